//! `freshet backfill`: the past of a subreddit, planned, done, watched and told.

mod begin;
mod load;
mod progress;
mod shown;

use super::Usage;
use super::arguments::{BackfillAction, BackfillArguments};
use super::report::{print_json, warn_if_simulated};
use crate::app::{
    Unmixed, connect_archive, now_ms, open_existing_store, open_store, open_store_to_read,
    reach_queue, read_backfill, run_backfill,
};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::source::{ArcticShift, Input};
use crate::store::{Backfill, BackfillFilter, BackfillState, Store};
use anyhow::{Context, bail};
use begin::{Begun, Request};
use progress::SlicesProgress;
pub(super) use shown::report;
use std::sync::Arc;

pub(super) async fn run(config: &Config, mut arguments: BackfillArguments) -> anyhow::Result<()> {
    if let Some(action) = arguments.action.take() {
        let store = match action {
            BackfillAction::List { .. } | BackfillAction::Status { .. } => {
                open_store_to_read(config).await?
            }
            _ => open_existing_store(config).await?,
        };
        warn_if_simulated(&store).await?;
        let done = act(&store, action).await;
        store.close().await;
        return done;
    }
    let has_key = config.reddit.client.is_some();
    let request = Request::new(&arguments, has_key, now_ms() / 1000).map_err(Usage)?;
    let metrics = Arc::new(Metrics::new());
    let archive = connect_archive(config, &metrics)?;
    let store = open_store(config).await?;
    if request.files.is_empty() {
        reach_queue(config).await?;
    }
    let done = bring_in(config, &store, archive, &metrics, &arguments, &request).await;
    store.close().await;
    done
}

async fn bring_in(
    config: &Config,
    store: &Store,
    archive: ArcticShift,
    metrics: &Arc<Metrics>,
    arguments: &BackfillArguments,
    request: &Request,
) -> anyhow::Result<()> {
    let sources = request.asks(config, arguments.detach);
    let unmixed = Unmixed::check(config, store, &sources).await?;
    if !request.files.is_empty() && !arguments.dry_run {
        Unmixed::files(config, store).await?;
    }
    if !arguments.dry_run {
        unmixed.guard(None, Some(&archive));
    }
    let begun = begin::begin(config, store, &archive, arguments, request);
    let begun = unmixed.unless_refused(begun).await?;
    let id = match begun {
        Begun::Planned => return Ok(()),
        Begun::NothingMissing => {
            if arguments.json {
                print_json(&serde_json::json!([]))?;
            }
            eprintln!("All of it is proven complete already; --reprocess all does it again.");
            return Ok(());
        }
        Begun::Resumed(id) => {
            eprintln!("Resuming backfill {id}, which was asked for in the same words.");
            id
        }
        Begun::New(id) => {
            eprintln!("Backfill {id} begins.");
            id
        }
    };
    if arguments.detach {
        if arguments.json {
            return print_json(&serde_json::json!({ "backfills": [id] }));
        }
        eprintln!("A process that runs (freshet run) does it; see: freshet backfill status {id}");
        return Ok(());
    }
    let again = if request.files.contains(&Input::Stdin) {
        "the same command, given all of it again,"
    } else {
        "the same command"
    };
    if request.files.is_empty() {
        return match watch(config, store, archive, &unmixed, metrics, id).await? {
            Some(backfill) => report(store, &[backfill], arguments.json).await,
            None => Err(interrupted(again)),
        };
    }
    if load::load(store, metrics, arguments, request, id).await? {
        let backfill = read_backfill(store, id).await?;
        // That there is nothing may be what complete files prove.
        let nothing = backfill.listed == 0 && !arguments.complete;
        report(store, &[backfill], arguments.json).await?;
        if nothing {
            bail!(
                "there is no submission of r/{} in what was read, or none of the time that was asked for.\n  \
                 Are these the files of this subreddit and of this time?",
                request.subreddit
            );
        }
        Ok(())
    } else {
        Err(interrupted(again))
    }
}

/// Does a backfill here and shows how it gets on; none where a signal came before its end.
pub(super) async fn watch(
    config: &Config,
    store: &Store,
    archive: ArcticShift,
    unmixed: &Unmixed,
    metrics: &Arc<Metrics>,
    id: i64,
) -> anyhow::Result<Option<Backfill>> {
    let mut progress = SlicesProgress::new();
    let told = |backfill: &Backfill| progress.reached(backfill);
    let end = run_backfill(config, store, archive, unmixed, metrics, id, told).await;
    progress.end();
    end
}

/// What an interrupted command ends with: status 1, since it is not done.
pub(super) fn interrupted(again: &str) -> anyhow::Error {
    anyhow::anyhow!("interrupted; what was brought in is stored, and {again} goes on from there")
}

async fn act(store: &Store, action: BackfillAction) -> anyhow::Result<()> {
    match action {
        BackfillAction::List { limit, json } => {
            let all = store.backfills(BackfillFilter::default(), limit, now_ms());
            shown::list(&all.await.context("the backfills")?, json)
        }
        BackfillAction::Status { backfill, json } => {
            let backfill = match backfill {
                Some(id) => read_backfill(store, id).await?,
                None => {
                    let newest = store
                        .backfills(BackfillFilter::default(), 1, now_ms())
                        .await?;
                    match newest.into_iter().next() {
                        Some(newest) => newest,
                        None => bail!("no backfill was ever begun; see: freshet backfill --help"),
                    }
                }
            };
            shown::status(store, &backfill, json).await
        }
        BackfillAction::Pause { backfill } => {
            set(store, backfill, BackfillState::Paused).await?;
            eprintln!("Backfill {backfill} is paused; freshet backfill resume {backfill} goes on.");
            Ok(())
        }
        BackfillAction::Resume { backfill } => {
            set(store, backfill, BackfillState::Running).await?;
            eprintln!(
                "Backfill {backfill} goes on in the processes that run, or here with the command \
                 that began it."
            );
            Ok(())
        }
        BackfillAction::Cancel { backfill } => {
            set(store, backfill, BackfillState::Cancelled).await?;
            eprintln!("Backfill {backfill} is cancelled; what it stored stays.");
            Ok(())
        }
    }
}

async fn set(store: &Store, id: i64, state: BackfillState) -> anyhow::Result<()> {
    let before = read_backfill(store, id).await?;
    if !store.set_backfill_state(id, state, now_ms()).await? {
        bail!("backfill {id} is {} already", before.state);
    }
    Ok(())
}
