//! `freshet gaps`: times that may miss submissions, and how they are closed out of the archive or by ids.

use super::arguments::{GapsAction, GapsSource};
use super::backfill::watch;
use super::moment::rfc3339;
use super::output::print_line;
use super::report::{align_right, counted, print_json, span, table, warn_if_simulated, why};
use crate::app::{
    Unmixed, connect_archive, ids_are_dense, now_ms, open_existing_store, open_store_to_read,
    reach_queue,
};
use crate::backfill::{ids_under_way, repair_gaps, repair_gaps_by_ids, repairs_under_way};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::{Backfill, BackfillState, GapReason, GapState, Store};
use crate::submission::SubredditName;
use anyhow::{Context, bail};
use serde_json::json;
use std::sync::Arc;

pub(super) async fn run(config: &Config, action: GapsAction) -> anyhow::Result<()> {
    let store = match action {
        GapsAction::List { .. } => open_store_to_read(config).await?,
        GapsAction::Repair { .. } => open_existing_store(config).await?,
    };
    warn_if_simulated(&store).await?;
    let done = match action {
        GapsAction::List { subreddit, json } => list(&store, subreddit.as_ref(), json).await,
        GapsAction::Repair {
            subreddit,
            source,
            detach,
            json,
        } => {
            if !detach {
                reach_queue(config).await?;
            }
            let subreddit = subreddit.as_ref();
            match source {
                GapsSource::ArcticShift => repair(config, &store, subreddit, detach, json).await,
                GapsSource::Ids => repair_by_ids(config, &store, subreddit, detach, json).await,
            }
        }
    };
    store.close().await;
    done
}

async fn list(store: &Store, subreddit: Option<&SubredditName>, json: bool) -> anyhow::Result<()> {
    let gaps = store
        .gaps(subreddit, Some(GapState::Open))
        .await
        .context("the gaps")?;
    if json {
        let gaps: Vec<_> = gaps
            .iter()
            .map(|gap| {
                json!({
                    "subreddit": gap.subreddit.as_str(),
                    "start": gap.interval.start,
                    "end": gap.interval.end,
                    "cause": gap.cause.as_str(),
                    "reason": gap.reason.map(|reason| reason.as_str()),
                    "opened_at": gap.opened_at,
                })
            })
            .collect();
        return print_json(&gaps);
    }
    if gaps.is_empty() {
        eprintln!("No gap is open.");
        return Ok(());
    }
    let mut rows = table(&["SUBREDDIT", "FROM", "LENGTH", "CAUSE"]);
    align_right(&mut rows, &[2]);
    for gap in &gaps {
        rows.add_row([
            gap.subreddit.to_string(),
            rfc3339(gap.interval.start),
            span(gap.interval.end - gap.interval.start),
            why(gap.cause.as_str(), gap.reason.map(GapReason::as_str)),
        ]);
    }
    print_line!("{rows}");
    eprintln!(
        "`freshet gaps repair` asks the archive for what is missing there, and with --source ids Reddit."
    );
    Ok(())
}

async fn repair(
    config: &Config,
    store: &Store,
    subreddit: Option<&SubredditName>,
    detach: bool,
    json: bool,
) -> anyhow::Result<()> {
    let sources: &[_] = match detach {
        true => &[],
        false => &[("arctic_shift.url", &config.arctic_shift.url)],
    };
    let unmixed = Unmixed::check(config, store, sources).await?;
    let under_way = match detach {
        true => Vec::new(),
        false => repairs_under_way(store, subreddit, now_ms())
            .await
            .context("the repairs that were begun")?,
    };
    let begun = repair_gaps(store, subreddit, now_ms())
        .await
        .context("the gaps")?;
    if begun.is_empty() && under_way.is_empty() {
        if json {
            return print_json(&json!([]));
        }
        eprintln!("No gap is open for which no repair is under way.");
        return Ok(());
    }
    for Backfill { id, subreddit, .. } in &under_way {
        resume(store, *id).await?;
        eprintln!("Resuming backfill {id}, which closes gaps of r/{subreddit}.");
    }
    for (name, id, gaps) in &begun {
        eprintln!(
            "Backfill {id} closes {} of r/{name}.",
            counted(*gaps as u64, "gap")
        );
    }
    let begun: Vec<i64> = begun.iter().map(|(_, id, _)| *id).collect();
    finish(config, store, &unmixed, &under_way, &begun, detach, json).await
}

async fn repair_by_ids(
    config: &Config,
    store: &Store,
    subreddit: Option<&SubredditName>,
    detach: bool,
    json: bool,
) -> anyhow::Result<()> {
    if config.reddit.client.is_none() && !detach {
        bail!("ids are asked for at Reddit, which needs a key: set reddit.client_id");
    }
    let sources: &[_] = match detach {
        true => &[],
        false => &[("reddit.api_url", &config.reddit.api_url)],
    };
    let unmixed = Unmixed::check(config, store, sources).await?;
    let under_way = match detach {
        true => Vec::new(),
        false => {
            let metrics = Arc::new(Metrics::new());
            if !ids_are_dense(config, store, &unmixed, &metrics).await? {
                bail!(
                    "too few of Reddit's ids exist to ask for all of a time; without --source ids, the archive is \
                     asked"
                );
            }
            let under_way = ids_under_way(store, now_ms()).await;
            under_way.context("the repairs that were begun")?
        }
    };
    let begun = repair_gaps_by_ids(store, subreddit, now_ms()).await;
    let begun = begun.context("the gaps")?;
    if begun.is_none() && under_way.is_empty() {
        if json {
            return print_json(&json!([]));
        }
        eprintln!("No gap of an active subreddit is open for which no repair by ids is under way.");
        return Ok(());
    }
    for Backfill { id, .. } in &under_way {
        resume(store, *id).await?;
        eprintln!("Resuming backfill {id}, which closes gaps by ids.");
    }
    if let Some(repair) = begun {
        eprintln!(
            "Backfill {} closes {} by the ids of {}, for about {} at most.",
            repair.backfill,
            counted(repair.gaps as u64, "gap"),
            span(repair.seconds),
            counted(repair.requests, "request")
        );
    }
    let begun: Vec<i64> = begun.iter().map(|it| it.backfill).collect();
    finish(config, store, &unmixed, &under_way, &begun, detach, json).await
}

/// Lets a repair go on that was begun, as the same command does for any other backfill.
async fn resume(store: &Store, id: i64) -> anyhow::Result<()> {
    let running = store.set_backfill_state(id, BackfillState::Running, now_ms());
    running.await.context("a repair that was begun")?;
    Ok(())
}

/// Does these here, or leaves them to others.
async fn finish(
    config: &Config,
    store: &Store,
    unmixed: &Unmixed,
    under_way: &[Backfill],
    begun: &[i64],
    detach: bool,
    json: bool,
) -> anyhow::Result<()> {
    if detach {
        if json {
            return print_json(&json!({ "backfills": begun }));
        }
        eprintln!("A process that runs does them; see: freshet backfill list");
        return Ok(());
    }
    let metrics = Arc::new(Metrics::new());
    let archive = connect_archive(config, &metrics)?;
    let mut ended = Vec::new();
    let under_way = under_way.iter().map(|backfill| backfill.id);
    for id in under_way.chain(begun.iter().copied()) {
        match watch(config, store, archive.clone(), unmixed, &metrics, id).await? {
            Some(backfill) => ended.push(backfill),
            None => {
                return Err(super::backfill::interrupted("freshet gaps repair"));
            }
        }
    }
    super::backfill::report(store, &ended, json).await
}
