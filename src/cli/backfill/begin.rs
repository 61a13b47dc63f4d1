//! From a command line to a backfill: what is asked for, whether it was begun before, what it takes.

use super::shown;
use crate::app::now_ms;
use crate::backfill::{Estimate, Plan, PlannedSource, Rejects, best_source, plan, uncovered};
use crate::cli::arguments::{BackfillArguments, BackfillOrder, Reprocess};
use crate::cli::moment::{in_order, rfc3339};
use crate::config::Config;
use crate::source::{ArcticShift, Input};
use crate::store::{BackfillFilter, BackfillState, Interval, NewBackfill, NewSlice, Store};
use crate::submission::SubredditName;
use anyhow::Context;
use std::path::Path;
use url::Url;

/// Everything, in files.
pub(super) const ALL: &str = "all";
/// The latest second that a file is asked for where no end was given.
const LATEST: i64 = 253_402_300_800;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) subreddit: SubredditName,
    pub(super) range: Interval,
    /// None where the best is to be chosen.
    source: Option<PlannedSource>,
    pub(super) files: Vec<Input>,
    /// The same for the same command, and for the same files.
    words: String,
}

impl Request {
    /// Reads it out of a command line.
    pub(super) fn new(
        arguments: &BackfillArguments,
        has_key: bool,
        now: i64,
    ) -> Result<Request, String> {
        let subreddit = arguments.subreddit.clone().ok_or("name a subreddit")?;
        let (source, files) = sources(&arguments.source)?;
        let from_files = source == Some(PlannedSource::Files);
        if subreddit.as_str() == ALL && !from_files {
            return Err("`all` can only be taken out of files: --source FILE".to_owned());
        }
        if source == Some(PlannedSource::Reddit) && !has_key && !arguments.detach {
            return Err(
                "--source reddit needs a key, and reddit.client_id is not set; --detach leaves it to \
                 a process that has one, and --source arctic-shift needs none"
                    .to_owned(),
            );
        }
        if arguments.detach && from_files {
            return Err("files are read by this process: leave --detach out".to_owned());
        }
        if arguments.complete && (!from_files || subreddit.as_str() == ALL) {
            return Err("--complete speaks of one subreddit in files: --source FILE".to_owned());
        }
        let since = match &arguments.since {
            Some(since) => since.at,
            None if from_files => 0,
            None => return Err("since when? --since 2024-01-01, or --since 30d".to_owned()),
        };
        let latest = if from_files { LATEST } else { now };
        let until = arguments.until.as_ref().map_or(latest, |until| until.at);
        if since > latest {
            return Err(format!("--since ({}) lies in the future", rfc3339(since)));
        }
        in_order(since, until)?;
        // Nobody posts in the future.
        let until = until.min(latest);
        if from_files {
            can_be_made(&arguments.rejects)?;
        }
        let text = |moment: Option<&crate::cli::moment::Moment>| {
            moment.map_or("", |moment| moment.text.as_str()).to_owned()
        };
        let words = format!(
            "{} since={} until={} reprocess={:?} refresh={}{}{}",
            if arguments.source.is_empty() {
                "best".to_owned()
            } else if from_files {
                files.iter().map(file_name).collect::<Vec<_>>().join(" ")
            } else {
                arguments.source.join(" ")
            },
            text(arguments.since.as_ref()),
            text(arguments.until.as_ref()),
            arguments.reprocess,
            arguments.refresh,
            if arguments.complete { " complete" } else { "" },
            if from_files {
                format!(
                    "{OF}{}",
                    files.iter().map(identity).collect::<Vec<_>>().join(" ")
                )
            } else {
                String::new()
            },
        );
        Ok(Request {
            subreddit,
            range: Interval {
                start: since.max(0),
                end: until,
            },
            source,
            files,
            words,
        })
    }
}

impl Request {
    /// The sources that this process may ask for it.
    pub(super) fn asks<'a>(
        &self,
        config: &'a Config,
        detach: bool,
    ) -> Vec<(&'static str, &'a Url)> {
        let archive = ("arctic_shift.url", &config.arctic_shift.url);
        let reddit = ("reddit.api_url", &config.reddit.api_url);
        let has_key = config.reddit.client.is_some();
        match self.source {
            Some(PlannedSource::Files) => Vec::new(),
            Some(PlannedSource::ArcticShift) => vec![archive],
            // Whoever walks a listing instead of this process asks his own.
            Some(PlannedSource::Reddit) if detach => Vec::new(),
            Some(PlannedSource::Reddit) => vec![reddit],
            None if has_key && !detach => vec![archive, reddit],
            None => vec![archive],
        }
    }
}

/// What `--source` names, all of it of one kind.
fn sources(given: &[String]) -> Result<(Option<PlannedSource>, Vec<Input>), String> {
    let known = |text: &str| match text {
        "reddit" => Some(PlannedSource::Reddit),
        "arctic-shift" => Some(PlannedSource::ArcticShift),
        _ => None,
    };
    match given {
        [] => Ok((None, Vec::new())),
        [one] if known(one).is_some() => Ok((known(one), Vec::new())),
        many if many.iter().any(|text| known(text).is_some()) => {
            Err("one source at a time: reddit, arctic-shift, or files".to_owned())
        }
        files => {
            let inputs = files.iter().map(|text| match text.as_str() {
                "-" => Input::Stdin,
                // The same from every folder.
                path => Input::File(std::fs::canonicalize(path).unwrap_or_else(|_| path.into())),
            });
            let inputs: Vec<Input> = inputs.collect();
            for (given, input) in files.iter().zip(&inputs) {
                if let Input::File(path) = input {
                    let problem = match std::fs::metadata(path) {
                        Err(_) => {
                            "there is no such file, and reddit and arctic-shift are the other sources"
                        }
                        Ok(found) if found.is_dir() => "it is a folder; name the files in it",
                        Ok(_) => continue,
                    };
                    return Err(format!("--source {given}: {problem}"));
                }
            }
            if inputs
                .iter()
                .filter(|input| matches!(input, Input::Stdin))
                .count()
                > 1
            {
                return Err("--source -: standard input can be read once".to_owned());
            }
            Ok((Some(PlannedSource::Files), inputs))
        }
    }
}

/// Before hours of loading end with it.
fn can_be_made(rejects: &Path) -> Result<(), String> {
    let folder = rejects.parent().filter(|it| !it.as_os_str().is_empty());
    let problem = if rejects.is_dir() {
        "it is a folder; name a file"
    } else if folder.is_some_and(|folder| !folder.is_dir()) {
        "there is no such folder"
    } else {
        let cannot = |error| format!("--rejects {}: {error}", rejects.display());
        return Rejects::check(rejects).map_err(cannot);
    };
    Err(format!("--rejects {}: {problem}", rejects.display()))
}

/// Comes between what was asked for and what the files were then.
const OF: &str = " of=";

fn file_name(input: &Input) -> String {
    match input {
        Input::Stdin => "-".to_owned(),
        Input::File(path) => path.display().to_string(),
    }
}

/// What differs where the lines that were read before may be others now. Of standard input nobody
/// knows: it is never gone on with, and what is stored of it is only known already.
fn identity(input: &Input) -> String {
    let found = match input {
        Input::Stdin => None,
        Input::File(path) => std::fs::metadata(path).ok(),
    };
    let changed = found.and_then(|found| {
        let changed = found.modified().ok()?;
        let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(format!("{}@{}", found.len(), since.as_millis()))
    });
    changed.unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

/// Gives up what the same command began with other files of the same names, and nobody does.
async fn give_up_others(store: &Store, request: &Request) -> anyhow::Result<()> {
    let open = BackfillFilter {
        subreddit: Some(&request.subreddit),
        open: true,
        ..BackfillFilter::default()
    };
    let asked = request.words.split_once(OF).map(|(asked, _)| asked);
    let open = store.backfills(open, u32::MAX, now_ms()).await;
    for other in open.context("the backfills")? {
        let same = asked.is_some() && other.request.split_once(OF).map(|it| it.0) == asked;
        if same && other.slices_active == 0 {
            store
                .set_backfill_state(other.id, BackfillState::Cancelled, now_ms())
                .await?;
            eprintln!(
                "Backfill {} was begun with other contents and is given up; what it stored stays.",
                other.id
            );
        }
    }
    Ok(())
}

/// What became of a request.
pub(super) enum Begun {
    /// It was only to be planned, and that was shown.
    Planned,
    /// There is nothing to do.
    NothingMissing,
    /// It was begun before.
    Resumed(i64),
    /// It begins.
    New(i64),
}

/// Plans a request and begins it, unless it was begun before or is only to be planned.
pub(super) async fn begin(
    config: &Config,
    store: &Store,
    archive: &ArcticShift,
    arguments: &BackfillArguments,
    request: &Request,
) -> anyhow::Result<Begun> {
    if !arguments.dry_run {
        let same = BackfillFilter {
            subreddit: Some(&request.subreddit),
            request: Some(&request.words),
            open: true,
            ..BackfillFilter::default()
        };
        let same = store
            .backfills(same, 1, now_ms())
            .await
            .context("the backfills")?;
        if let Some(same) = same.first() {
            let newest_first = arguments.order == BackfillOrder::Newest;
            store
                .set_backfill_order(same.id, newest_first, arguments.max_active)
                .await?;
            store
                .set_backfill_state(same.id, BackfillState::Running, now_ms())
                .await?;
            return Ok(Begun::Resumed(same.id));
        }
        give_up_others(store, request).await?;
    }
    let covered = match arguments.reprocess {
        Reprocess::Missing => store.coverage(&request.subreddit).await?,
        Reprocess::All => Vec::new(),
    };
    let missing = uncovered(request.range, &covered);
    if missing.is_empty() {
        return Ok(Begun::NothingMissing);
    }
    let (source, why) = match request.source {
        Some(source) => (source, None),
        None => {
            let watched = store.subreddits().await?;
            let watched = watched.iter().find(|row| row.name == request.subreddit);
            let hourly = watched.map(|row| row.posts_per_hour);
            let has_key = config.reddit.client.is_some();
            let (source, why) = best_source(has_key, hourly, request.range, now_ms() / 1000);
            (source, Some(why))
        }
    };
    let planned = planned(config, archive, arguments, request, source, &missing).await?;
    if arguments.dry_run {
        shown::plan(
            request,
            source,
            why.as_deref(),
            &missing,
            &planned,
            arguments.json,
        )?;
        return Ok(Begun::Planned);
    }
    if let Some(why) = why {
        eprintln!("Source: {}, since {why}.", source.as_str());
    }
    if source == PlannedSource::ArcticShift {
        for line in shown::expectation(&planned) {
            eprintln!("{line}");
        }
    }
    let new = NewBackfill {
        subreddit: request.subreddit.clone(),
        source: source.as_str().to_owned(),
        request: request.words.clone(),
        range: request.range,
        newest_first: arguments.order == BackfillOrder::Newest,
        max_active: arguments.max_active,
        refresh: arguments.refresh,
        expected: (planned.estimate.samples > 0).then_some(planned.estimate.submissions),
        slices: planned.slices,
    };
    let id = store.create_backfill(&new, now_ms()).await?;
    Ok(Begun::New(id))
}

async fn planned(
    config: &Config,
    archive: &ArcticShift,
    arguments: &BackfillArguments,
    request: &Request,
    source: PlannedSource,
    missing: &[Interval],
) -> anyhow::Result<Plan> {
    let unknown = |slices, requests| Plan {
        slices,
        estimate: Estimate {
            submissions: 0,
            requests,
            seconds: 0,
            bytes: 0,
            samples: 0,
        },
    };
    Ok(match source {
        PlannedSource::ArcticShift => {
            let per_minute = config.arctic_shift.requests_per_minute;
            plan(
                archive,
                &request.subreddit,
                missing,
                per_minute,
                arguments.max_active,
            )
            .await
            .with_context(|| {
                format!(
                    "r/{} from {} until {}",
                    request.subreddit,
                    rfc3339(request.range.start),
                    rfc3339(request.range.end)
                )
            })?
        }
        PlannedSource::Reddit => {
            let bounds = missing.iter().copied().reduce(Interval::hull);
            let slices = bounds.map(|whole| NewSlice {
                name: None,
                start: whole.start,
                end: whole.end,
                expected: None,
            });
            // A listing has ten pages.
            unknown(slices.into_iter().collect(), 10)
        }
        PlannedSource::Files => {
            let Interval { start, end } = request.range;
            let slices = request.files.iter().map(|input| NewSlice {
                name: Some(file_name(input)),
                start,
                end,
                expected: None,
            });
            unknown(slices.collect(), 0)
        }
    })
}
