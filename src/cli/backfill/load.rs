//! Files, loaded one after the other by this process.

use super::begin::{ALL, Request};
use super::progress;
use crate::app::{Stop, now_ms};
use crate::backfill::{FileLoad, LEASE_MS, Load, Loading, Rejects};
use crate::cli::arguments::BackfillArguments;
use crate::cli::progress::Progress;
use crate::metrics::Metrics;
use crate::source::Input;
use crate::store::{SliceClaim, SliceDue, SliceState, Store};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A process that was killed has its claims for a lease's length.
const CLAIM_PATIENCE: Duration = Duration::from_secs(25);
const CLAIM_PAUSE: Duration = Duration::from_millis(250);

/// Loads what is left of a backfill's files; false where a signal came first.
pub(super) async fn load(
    store: &Store,
    metrics: &Arc<Metrics>,
    arguments: &BackfillArguments,
    request: &Request,
    id: i64,
) -> anyhow::Result<bool> {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let mut signals = Stop::listen().context("signals cannot be listened for")?;
    let listening = tokio::spawn(async move {
        signals.next().await;
        signalled.cancel();
    });
    let all = request.subreddit.as_str() == ALL;
    let loader = Load {
        store: store.clone(),
        metrics: Arc::clone(metrics),
        now_ms,
        subreddit: (!all).then(|| request.subreddit.clone()),
        complete: arguments.complete,
        stop: stop.clone(),
    };
    let mut rejects = Rejects::new(arguments.rejects.clone());
    let holder = format!("load-{}", uuid::Uuid::new_v4());
    let (mut whole, mut failed) = (true, Vec::new());
    for slice in store.slices(id).await? {
        if slice.state == SliceState::Done {
            continue;
        }
        let claim = claim(store, slice.id, &holder).await?;
        let name = claim.name.clone().unwrap_or_default();
        let input = if name == "-" {
            Input::Stdin
        } else {
            Input::File(PathBuf::from(&name))
        };
        let mut progress = Progress::new();
        let loaded = loader
            .load(&claim, input, &mut rejects, |told| {
                progress::file(&mut progress, &name, told);
            })
            .await;
        progress.end();
        let again = |store: Store, claim: SliceClaim, reason: Option<String>| async move {
            let due = SliceDue::Again {
                due_ms: now_ms(),
                spent: false,
            };
            // Else it ends with its lease.
            let _ = store
                .give_slice_back(&claim, reason.as_deref(), due, now_ms())
                .await;
        };
        match loaded {
            Ok(Loading::Whole) => {}
            Ok(Loading::Stopped) => {
                again(store.clone(), claim, None).await;
                whole = false;
                break;
            }
            Ok(Loading::Lost) => {
                // Of another's claim nothing is changed.
                again(store.clone(), claim, None).await;
                bail!("backfill {id} was paused or cancelled, or another process took it over")
            }
            Err(error) => {
                again(store.clone(), claim, Some(error.to_string())).await;
                let advice = match &error {
                    FileLoad::Store(error) => error.advice(),
                    _ => None,
                };
                let advice = advice.map_or(String::new(), |advice| format!("\n  {advice}"));
                failed.push(format!(
                    "{error}{advice}\n  What was read before that is stored."
                ));
                // One file's damage is not the others'.
                if !matches!(error, FileLoad::Dump(_)) {
                    break;
                }
            }
        }
    }
    listening.abort();
    told(&rejects);
    if failed.is_empty() {
        Ok(whole)
    } else {
        bail!("{}", failed.join("\n"))
    }
}

fn told(rejects: &Rejects) {
    if rejects.kept > 0 {
        eprintln!(
            "{} lines are no submission; they are kept in {}",
            rejects.kept,
            rejects.path().display()
        );
    }
}

/// Claims a file, after whoever was killed over it.
async fn claim(store: &Store, slice: i64, holder: &str) -> anyhow::Result<SliceClaim> {
    let deadline = Instant::now() + CLAIM_PATIENCE;
    let mut told = false;
    loop {
        let claim = store.begin_slice(slice, holder, now_ms(), LEASE_MS).await?;
        if let Some(claim) = claim {
            return Ok(claim);
        }
        if Instant::now() >= deadline {
            bail!("another process is loading it; see: freshet backfill status");
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("Another process had begun it; waiting up to 25 s for its claim to end.");
        }
        tokio::time::sleep(CLAIM_PAUSE).await;
    }
}
