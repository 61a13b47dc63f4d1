//! From a command line to a backfill: what is asked for, whether it was begun before, what it takes.

use super::shown;
use crate::app::now_ms;
use crate::backfill::{Estimate, Plan, PlannedSource, best_source, plan, uncovered};
use crate::cli::arguments::{BackfillArguments, BackfillOrder, Reprocess};
use crate::cli::moment::{in_order, rfc3339};
use crate::config::Config;
use crate::source::{ArcticShift, Input};
use crate::store::{BackfillFilter, BackfillState, Interval, NewBackfill, NewSlice, Store};
use crate::submission::SubredditName;
use anyhow::Context;
use std::path::PathBuf;

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
    /// The same for the same command.
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
        // Nobody posts in the future.
        let until = until.min(latest);
        in_order(since, until)?;
        let text = |moment: Option<&crate::cli::moment::Moment>| {
            moment.map_or("", |moment| moment.text.as_str()).to_owned()
        };
        let words = format!(
            "{} since={} until={} reprocess={:?} refresh={}",
            if arguments.source.is_empty() {
                "best".to_owned()
            } else {
                arguments.source.join(" ")
            },
            text(arguments.since.as_ref()),
            text(arguments.until.as_ref()),
            arguments.reprocess,
            arguments.refresh,
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
                path => Input::File(PathBuf::from(path)),
            });
            let missing = files
                .iter()
                .find(|text| *text != "-" && !std::path::Path::new(text).exists());
            match missing {
                Some(missing) => Err(format!(
                    "--source {missing}: there is no such file, and reddit and arctic-shift are the other sources"
                )),
                None => Ok((Some(PlannedSource::Files), inputs.collect())),
            }
        }
    }
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
            store
                .set_backfill_state(same.id, BackfillState::Running, now_ms())
                .await?;
            return Ok(Begun::Resumed(same.id));
        }
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
        eprintln!("{}", shown::expectation(&planned));
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
            });
            // A listing has ten pages.
            unknown(slices.into_iter().collect(), 10)
        }
        PlannedSource::Files => {
            let Interval { start, end } = request.range;
            let slices = request.files.iter().map(|input| NewSlice {
                name: Some(match input {
                    Input::Stdin => "-".to_owned(),
                    Input::File(path) => path.display().to_string(),
                }),
                start,
                end,
            });
            unknown(slices.collect(), 0)
        }
    })
}
