//! `freshet jobs …`: what was set aside, and what becomes of it.

use super::Usage;
use super::arguments::{DeadSelection, JobsAction};
use super::output::print_line;
use super::report::{age, align_right, print_json, shown, table};
use crate::app::{now_ms, open_existing_store, open_store_to_read};
use crate::config::Config;
use crate::store::{DeadFilter, FailureKind, FetchJob, PastAttempt, Store};
use crate::submission::SubmissionId;
use anyhow::{Context, bail};
use comfy_table::Table;
use serde_json::{Value, json};
use std::time::Duration;

/// Taken at a time, so that no transaction is long.
const STEP: u32 = 1000;
const WHAT: &str = "the jobs that were set aside";

pub(super) async fn run(config: &Config, action: JobsAction) -> anyhow::Result<()> {
    let store = match action {
        JobsAction::Dead { .. } | JobsAction::Show { .. } => open_store_to_read(config).await?,
        JobsAction::Retry(_) | JobsAction::Discard(_) => open_existing_store(config).await?,
    };
    let result = act(&store, action).await;
    store.close().await;
    result
}

async fn act(store: &Store, action: JobsAction) -> anyhow::Result<()> {
    match action {
        JobsAction::Dead {
            filter,
            limit,
            json,
        } => {
            let dead = store.dead_fetches(&filter.into(), limit).await;
            list(&dead.context(WHAT)?, limit, json)
        }
        JobsAction::Show { id, json } => show(store, &id, json).await,
        JobsAction::Retry(selection) => {
            let retry = async |ids: &[SubmissionId]| store.retry_dead(ids, now_ms()).await;
            let count = each(store, selection, retry).await?;
            eprintln!("{count} will be tried again now.");
            Ok(())
        }
        JobsAction::Discard(selection) => {
            let discard = async |ids: &[SubmissionId]| store.discard_dead(ids).await;
            let count = each(store, selection, discard).await?;
            eprintln!("{count} discarded; what their listings showed stays.");
            Ok(())
        }
    }
}

/// Acts on all that are selected, in steps; how many there were.
async fn each(
    store: &Store,
    selection: DeadSelection,
    act: impl AsyncFn(&[SubmissionId]) -> Result<u64, crate::store::StoreError>,
) -> anyhow::Result<u64> {
    let DeadSelection { ids, all, filter } = selection;
    let mut filter = DeadFilter::from(filter);
    let narrowed = filter.subreddit.is_some() || filter.reason.is_some();
    if ids.is_empty() && !all && !narrowed {
        let problem = "name some ids, narrow with --subreddit or --reason, or say --all";
        return Err(Usage(problem.to_owned()).into());
    }
    let named = ids.len();
    filter.ids = (named > 0).then_some(ids);
    let mut count = 0;
    loop {
        let found = store.dead_fetches(&filter, STEP).await.context(WHAT)?;
        // Only further down each time: what dies again meanwhile is not taken again.
        let Some(last) = found.last() else { break };
        filter.below = last.dead_at.map(|at| (at, last.id.clone()));
        let found: Vec<SubmissionId> = found.into_iter().map(|dead| dead.id).collect();
        count += act(&found).await.context(WHAT)?;
    }
    if count == 0 {
        bail!("no job that was set aside matches; see: freshet jobs dead");
    }
    Ok(count)
}

fn as_json(dead: &FetchJob) -> Value {
    json!({
        "id": dead.id.as_str(),
        "subreddit": dead.subreddit,
        "attempts": dead.attempts,
        "omissions": dead.omissions,
        "reason": dead.reason,
        "dead_at": dead.dead_at,
        "history": dead.history,
    })
}

fn list(dead: &[FetchJob], limit: u32, json: bool) -> anyhow::Result<()> {
    if json {
        let dead: Vec<Value> = dead.iter().map(as_json).collect();
        return print_json(&dead);
    }
    if dead.is_empty() {
        eprintln!("No job is set aside.");
        return Ok(());
    }
    let now = now_ms() / 1000;
    let mut rows = table(&["ID", "SUBREDDIT", "ATTEMPTS", "SET ASIDE", "REASON"]);
    align_right(&mut rows, &[2]);
    for dead in dead {
        rows.add_row([
            dead.id.to_string(),
            shown(dead.subreddit.as_deref().unwrap_or_default()),
            dead.attempts.to_string(),
            dead.dead_at.map_or(String::new(), |at| age(now - at)),
            shown(dead.reason.as_deref().unwrap_or_default()),
        ]);
    }
    print_line!("{rows}");
    if dead.len() == limit as usize {
        eprintln!("The latest {limit}; --limit shows more.");
    }
    Ok(())
}

async fn show(store: &Store, id: &SubmissionId, json: bool) -> anyhow::Result<()> {
    let Some(job) = store.fetch_job(id).await.context("the job")? else {
        bail!("{id} has no job: it was fetched, given up, or never found");
    };
    let listed = store.submission(id).await.context("the submission")?;
    if json {
        let mut value = as_json(&job);
        if let Some(listed) = &listed {
            value["status"] = listed.status.as_str().into();
            value["title"] = listed.title.clone().into();
            value["permalink"] = listed.permalink.clone().into();
            value["created_utc"] = listed.created_utc.into();
            value["discovered_at"] = listed.discovered_at.into();
        }
        return print_json(&value);
    }
    let now = now_ms() / 1000;
    print_line!("Job         {id}");
    match job.dead_at {
        Some(at) => print_line!("Set aside   {}", age(now - at)),
        None => print_line!("Set aside   no; it waits for its turn or runs"),
    }
    print_line!(
        "Reason      {}",
        shown(job.reason.as_deref().unwrap_or("none was noted"))
    );
    print_line!(
        "Attempts    {}, left out of {} answers",
        job.attempts,
        job.omissions
    );
    if let Some(listed) = listed {
        print_line!(
            "Stored      {}, found {}",
            listed.status.as_str(),
            age(now - listed.discovered_at)
        );
        print_line!(
            "Title       {}",
            shown(listed.title.as_deref().unwrap_or_default())
        );
        print_line!(
            "Permalink   {}",
            shown(listed.permalink.as_deref().unwrap_or_default())
        );
    }
    if !job.history.is_empty() {
        print_line!("\n{}", story(&job.history, now));
    }
    Ok(())
}

/// The attempts that failed, one below the other.
fn story(history: &[PastAttempt], now: i64) -> Table {
    let mut rows = table(&["STARTED", "BY", "LASTED", "WHAT HAPPENED"]);
    align_right(&mut rows, &[2]);
    if rows.width().is_none() {
        // Not on a terminal.
        rows.set_width(80);
    }
    for attempt in history {
        let started = attempt.started_ms;
        let lasted = started
            .zip(attempt.ended_ms)
            .map(|(from, to)| Duration::from_millis((to - from).max(0).unsigned_abs()));
        let happened = match (&attempt.reason, attempt.kind.parse()) {
            (Some(reason), _) => shown(reason),
            (None, Ok(FailureKind::NeverEnded)) => {
                "did not end: its process was killed or cut off".to_owned()
            }
            (None, _) => "what was noted of it cannot be read".to_owned(),
        };
        rows.add_row([
            started.map_or("unknown".to_owned(), |at| age(now - at / 1000)),
            shown(attempt.by.as_deref().unwrap_or_default()),
            lasted.map_or("–".to_owned(), |it| format!("{:.1} s", it.as_secs_f64())),
            happened,
        ]);
    }
    rows
}
