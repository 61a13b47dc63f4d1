//! Files, loaded one after the other by this process.

use super::begin::{ALL, Request};
use super::progress;
use crate::app::{Stop, now_ms, read_backfill};
use crate::backfill::{
    Claimed, FileEvidence, FileLoad, LEASE_MS, Load, Loading, Rejects, prove_files,
};
use crate::cli::arguments::BackfillArguments;
use crate::cli::moment::rfc3339;
use crate::cli::progress::Progress;
use crate::cli::report::{counted, shown};
use crate::metrics::Metrics;
use crate::source::Input;
use crate::store::{BackfillState, SliceClaim, SliceDue, SliceState, Store};
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
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
        remembered: AtomicUsize::new(0),
    };
    let mut rejects = Rejects::new(arguments.rejects.clone());
    let holder = format!("load-{}", uuid::Uuid::new_v4());
    let (mut whole, mut failed, mut unreadable) = (true, Vec::new(), true);
    let mut evidence: Vec<FileEvidence> = Vec::new();
    let slices = store.slices(id).await?;
    for slice in &slices {
        if slice.state == SliceState::Done {
            if arguments.complete {
                let name = slice.name.clone().unwrap_or_default();
                eprintln!("Reading {} again for what it proves.", shown(&name));
                match loader.survey(&name, slice.interval, input(&name)).await {
                    Ok(Some(file)) => evidence.push(file),
                    Ok(None) => {
                        whole = false;
                        break;
                    }
                    Err(error) => failed.push(error.to_string()),
                }
            }
            continue;
        }
        let claim = claim(store, slice.id, &holder).await?;
        let name = claim.name.clone().unwrap_or_default();
        let mut progress = Progress::new();
        let loaded = loader
            .load(&claim, input(&name), &mut rejects, |told| {
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
            Ok(Loading::Whole(file)) => evidence.extend(file),
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
                unreadable &= matches!(error, FileLoad::Dump(_) | FileLoad::Empty { .. });
                let advice = match &error {
                    FileLoad::Store(error) => error.advice(),
                    _ => None,
                };
                let advice = advice.map_or(String::new(), |advice| format!("\n  {advice}"));
                failed.push(format!(
                    "{error}{advice}\n  What was read before that is stored."
                ));
                // One file's damage is not the others'.
                if !matches!(error, FileLoad::Dump(_) | FileLoad::Empty { .. }) {
                    break;
                }
            }
        }
    }
    listening.abort();
    told(&rejects);
    if arguments.complete && whole {
        let all = failed.is_empty() && evidence.len() == slices.len();
        let claimed = prove_files(
            store,
            id,
            &request.subreddit,
            request.range,
            &evidence,
            all,
            now_ms(),
        );
        let claimed = claimed
            .await
            .context("nothing is proven; the same command tries again")?;
        display_claimed(&claimed);
        if claimed.proven.is_empty() && failed.is_empty() {
            bail!(
                "--complete: nothing of r/{} is proven complete by these files, for the reasons above; what \
                 they hold of it is stored.\n  Are they the files of this subreddit and of this time?",
                request.subreddit
            );
        }
    }
    if failed.is_empty() {
        return Ok(whole);
    }
    let left = left_over(store, id, unreadable).await?;
    bail!("{}\n  {left}", failed.join("\n"))
}

/// What becomes of a backfill some of whose files failed: it is not left open where nothing of it can be gone on
/// with.
async fn left_over(store: &Store, id: i64, unreadable: bool) -> anyhow::Result<String> {
    let backfill = read_backfill(store, id).await?;
    if unreadable && backfill.listed == 0 && backfill.slices_done == 0 {
        store
            .set_backfill_state(id, BackfillState::Cancelled, now_ms())
            .await?;
        return Ok(format!(
            "No submission could be read, and backfill {id} is cancelled."
        ));
    }
    Ok(format!(
        "Backfill {id} waits for the same command, or for: freshet backfill cancel {id}"
    ))
}

fn input(name: &str) -> Input {
    if name == "-" {
        Input::Stdin
    } else {
        Input::File(PathBuf::from(name))
    }
}

/// What files proved that somebody said are complete, and why not more.
fn display_claimed(claimed: &Claimed) {
    if claimed.proven.is_empty() {
        eprintln!("Nothing is proven complete:");
    } else {
        eprintln!("Proven complete:");
    }
    for proven in &claimed.proven {
        let (start, end) = (rfc3339(proven.start), rfc3339(proven.end));
        eprintln!("  {start} until {end}");
    }
    for reason in &claimed.reasons {
        eprintln!("  {}", shown(reason));
    }
}

fn told(rejects: &Rejects) {
    if rejects.found > 0 {
        let kept = match rejects.kept {
            1 if rejects.found == 1 => "it is".to_owned(),
            kept if kept == rejects.found => "they are".to_owned(),
            kept => format!("the first {kept} are"),
        };
        eprintln!(
            "{} {} no submission; {kept} kept in {}",
            counted(rejects.found, "line"),
            if rejects.found == 1 { "is" } else { "are" },
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
