//! `freshet jobs …`: what was set aside, and what becomes of it.

use super::Usage;
use super::arguments::{DeadSelection, JobsAction};
use super::report::{age, align_right, table};
use crate::app::{now_ms, open_store};
use crate::config::Config;
use crate::store::{DeadFetch, DeadFilter, Store};
use crate::submission::SubmissionId;
use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Taken at a time, so that no transaction is long.
const STEP: u32 = 1000;
const WHAT: &str = "the jobs that were set aside";

pub(super) async fn run(config: &Config, action: JobsAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
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
        let found: Vec<SubmissionId> = found.into_iter().map(|dead| dead.id).collect();
        if found.is_empty() {
            break;
        }
        count += act(&found).await.context(WHAT)?;
    }
    if count == 0 {
        bail!("no job that was set aside matches; see: freshet jobs dead");
    }
    Ok(count)
}

fn as_json(dead: &DeadFetch) -> Value {
    json!({
        "id": dead.id.as_str(),
        "subreddit": dead.subreddit,
        "attempts": dead.attempts,
        "omissions": dead.omissions,
        "reason": dead.reason,
        "dead_at": dead.dead_at,
    })
}

fn list(dead: &[DeadFetch], limit: u32, json: bool) -> anyhow::Result<()> {
    if json {
        let dead: Vec<Value> = dead.iter().map(as_json).collect();
        println!("{}", serde_json::to_string_pretty(&dead)?);
        return Ok(());
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
            dead.subreddit.clone().unwrap_or_default(),
            dead.attempts.to_string(),
            age(now - dead.dead_at),
            dead.reason.clone().unwrap_or_default(),
        ]);
    }
    println!("{rows}");
    if dead.len() == limit as usize {
        eprintln!("The latest {limit}; --limit shows more.");
    }
    Ok(())
}

async fn show(store: &Store, id: &SubmissionId, json: bool) -> anyhow::Result<()> {
    let filter = DeadFilter {
        ids: Some(vec![id.clone()]),
        ..DeadFilter::default()
    };
    let found = store.dead_fetches(&filter, 1).await.context(WHAT)?;
    let Some(dead) = found.first() else {
        bail!("the job of {id} was not set aside; see: freshet jobs dead");
    };
    let listed = store.submission(id).await.context("the submission")?;
    if json {
        let mut value = as_json(dead);
        if let Some(listed) = &listed {
            value["status"] = listed.status.as_str().into();
            value["title"] = listed.title.clone().into();
            value["permalink"] = listed.permalink.clone().into();
            value["created_utc"] = listed.created_utc.into();
            value["discovered_at"] = listed.discovered_at.into();
        }
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let now = now_ms() / 1000;
    println!("Job         {id}");
    println!("Set aside   {}", age(now - dead.dead_at));
    println!(
        "Reason      {}",
        dead.reason.as_deref().unwrap_or("none was noted")
    );
    println!(
        "Attempts    {}, left out of {} answers",
        dead.attempts, dead.omissions
    );
    if let Some(listed) = listed {
        println!(
            "Stored      {}, found {}",
            listed.status.as_str(),
            age(now - listed.discovered_at)
        );
        println!(
            "Title       {}",
            listed.title.as_deref().unwrap_or_default()
        );
        println!(
            "Permalink   {}",
            listed.permalink.as_deref().unwrap_or_default()
        );
    }
    Ok(())
}
