//! A job is one slice: claimed, brought in page by page, and let go however that ends.

use super::parts::{refused, without};
use super::{Backfiller, LEASE_MS, LEASE_RENEWAL, archive, by_id, listing};
use crate::discover::Discover;
use crate::liveness::CALL;
use crate::metrics::Metrics;
use crate::queue::{Fault, Handler, Outcome, SliceId};
use crate::source::{Order, SourceError};
use crate::store::{
    ArchiveRecord, ArchiveStored, GapCause, Recent, SliceClaim, SliceDue, SliceStep, Split,
    StoreError,
};
use crate::submission::{Observation, Undecodable};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// A slice lets others have its place after so long.
const LONGEST_TURN: Duration = Duration::from_secs(120);
/// The same where it waits for one answer, which may be that of the next page; well below the queue's
/// own limit.
const LONGEST_WAIT: Duration = Duration::from_secs(200);
/// When a slice is tried again whose source did not answer.
const UNANSWERED_AGAIN_MS: i64 = 5_000;
/// When a slice is tried again whose request was refused, or whose attempt went wrong.
const FAILED_AGAIN_MS: i64 = 60_000;
/// Attempts without a page after which a slice is set aside.
const MOST_ATTEMPTS: i64 = 6;
const NEVER_ENDED: &str = "its last attempts did not end: their processes were killed or cut off";
/// Between two tries of the same statement while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// What asks Reddit.
pub(super) fn discover_of(backfiller: &Backfiller) -> Result<&Discover, Broken> {
    let no_key = "this process has no key for Reddit (reddit.client_id)";
    let discover = backfiller.discover.as_ref();
    discover.ok_or(Broken::ElsewhereOnly(no_key))
}

/// Why a slice did not come to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// Another has it, or its backfill was paused or cancelled.
    Lost,
    /// This process stops.
    Stopped,
    /// It has had its turn.
    TurnOver,
    /// The source does not answer; what it said.
    Unanswered(String),
    /// The source refuses what was asked; what it said.
    Refused(String),
    /// A page of the source fails, and perhaps for what it holds.
    Page(SourceError),
    /// All that can be done now is done; when there is more (milliseconds), and why it waits.
    Waits { due_ms: i64, reason: String },
    /// Another process may be able to.
    ElsewhereOnly(&'static str),
    /// The database.
    Store(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        Broken::Store(error)
    }
}

impl From<SourceError> for Broken {
    fn from(error: SourceError) -> Broken {
        match error {
            SourceError::Wait { .. } => Broken::Unanswered(error.to_string()),
            SourceError::Unavailable { .. } | SourceError::Refused { .. } => {
                Broken::Refused(error.to_string())
            }
        }
    }
}

/// What the walks of a slice have in common.
#[derive(Debug)]
pub(super) struct Step<'a> {
    backfiller: &'a Backfiller,
    begun: Instant,
    /// Up to which second the slice is stored.
    reached: AtomicI64,
    /// What it brought before.
    recent: Mutex<Recent>,
    /// Submissions of it that nobody knew.
    fresh: AtomicU64,
}

impl Step<'_> {
    /// Submissions that nobody knew, of what this attempt stored.
    pub(super) fn fresh(&self) -> u64 {
        self.fresh.load(Ordering::Relaxed)
    }

    /// Between two pages.
    pub(super) fn may_go_on(&self) -> Result<(), Broken> {
        if self.backfiller.stop.is_cancelled() {
            Err(Broken::Stopped)
        } else if self.begun.elapsed() >= LONGEST_TURN {
            Err(Broken::TurnOver)
        } else {
            Ok(())
        }
    }

    /// Stores a page and how far the slice has come with it.
    pub(super) async fn record(
        &self,
        step: &SliceStep<'_>,
        items: &[Observation],
        undecodable: &[Undecodable],
    ) -> Result<(), Broken> {
        let Backfiller {
            store,
            progress,
            metrics,
            unstored,
            ..
        } = self.backfiller;
        let record = ArchiveRecord {
            observations: items,
            undecodable,
            refresh: step.claim.refresh,
            now_ms: (self.backfiller.now_ms)(),
        };
        let mut recent = self.recent.lock().await;
        let stored = loop {
            let stored = progress
                .during(CALL, store.record_slice_after(step, &record, &mut recent))
                .await;
            progress.made();
            match stored {
                // What came is not asked for again because the database was away for a moment.
                Err(error) if error.is_outage() => {
                    unstored.failed(&error);
                    self.may_go_on()?;
                    progress.during(CALL, sleep(STORE_PAUSE)).await;
                }
                Err(error) if !items.is_empty() => {
                    let recent = &mut recent;
                    return self
                        .record_in_parts(step, items, undecodable, recent, error)
                        .await;
                }
                stored => break stored?,
            }
        };
        unstored.stored();
        let Some(stored) = stored else {
            return Err(Broken::Lost);
        };
        self.reached.store(step.reached, Ordering::Relaxed);
        self.fresh
            .fetch_add(stored.archived.fresh, Ordering::Relaxed);
        count(metrics, &step.claim.source, stored.archived);
        let by = metrics
            .discover
            .gaps_repaired
            .with_label_values(&["backfill"]);
        by.inc_by(stored.gaps_repaired);
        Ok(())
    }
}

impl Step<'_> {
    /// One item spoils a page for all: ever smaller parts tell which; that one is kept raw.
    async fn record_in_parts(
        &self,
        step: &SliceStep<'_>,
        items: &[Observation],
        undecodable: &[Undecodable],
        recent: &mut Recent,
        error: StoreError,
    ) -> Result<(), Broken> {
        tracing::warn!(%error, items = items.len(), "A page of a backfill is stored in parts");
        let Backfiller {
            store,
            progress,
            now_ms,
            ..
        } = self.backfiller;
        let reached = self.reached.load(Ordering::Relaxed);
        let refused = refused(store, step.claim, reached, items, recent, now_ms());
        let Some(refused) = progress.during(CALL, refused).await else {
            return Err(error.into());
        };
        progress.made();
        let items = without(items, &refused);
        let step = SliceStep {
            refused: step.refused + refused.len() as u64,
            ..*step
        };
        let kept: Vec<Undecodable> = undecodable
            .iter()
            .cloned()
            .chain(refused.into_values())
            .collect();
        if items.is_empty() && kept.len() == undecodable.len() {
            return Err(error.into());
        }
        let record = ArchiveRecord {
            observations: &items,
            undecodable: &kept,
            refresh: step.claim.refresh,
            now_ms: now_ms(),
        };
        let stored = progress.during(CALL, store.record_slice_after(&step, &record, recent));
        let Some(stored) = stored.await? else {
            return Err(Broken::Lost);
        };
        self.fresh
            .fetch_add(stored.archived.fresh, Ordering::Relaxed);
        self.reached.store(step.reached, Ordering::Relaxed);
        count(
            &self.backfiller.metrics,
            &step.claim.source,
            stored.archived,
        );
        Ok(())
    }
}

/// Counts what was found, by what it was to the database.
pub(super) fn count(metrics: &Metrics, source: &str, stored: ArchiveStored) {
    for (outcome, submissions) in [
        ("fresh", stored.fresh),
        ("renewed", stored.renewed),
        ("known", stored.known),
    ] {
        let counter = &metrics.backfill.submissions;
        counter
            .with_label_values(&[source, outcome])
            .inc_by(submissions);
    }
    metrics.discover.undecodable_dropped.inc_by(stored.dropped);
    let gaps = &metrics.discover.gaps;
    gaps.with_label_values(&[GapCause::Contradicted.as_str()])
        .inc_by(stored.contradicted);
}

/// Runs slices.
#[derive(Debug)]
pub struct SliceHandler(Backfiller);

impl SliceHandler {
    /// What its jobs bring in goes where the backfiller says.
    pub fn new(backfiller: Backfiller) -> SliceHandler {
        SliceHandler(backfiller)
    }

    async fn bring_in(&self, claim: &SliceClaim) -> Result<(), Broken> {
        let step = Step {
            backfiller: &self.0,
            begun: Instant::now(),
            reached: AtomicI64::new(claim.reached),
            recent: Mutex::default(),
            fresh: AtomicU64::new(0),
        };
        let work = async {
            match claim.source.as_str() {
                "arctic-shift" => match archive::bring_in(&self.0, claim, &step).await {
                    Err(Broken::Page(error)) => Err(self.doubt(claim, error).await),
                    done => done,
                },
                "reddit" => listing::bring_in(&self.0, claim, &step).await,
                by_id::IDS => by_id::bring_in(&self.0, claim, &step).await,
                _ => Err(Broken::ElsewhereOnly(
                    "this process does not know its source: a newer build began it",
                )),
            }
        };
        let kept = async {
            loop {
                sleep(LEASE_RENEWAL).await;
                let until_ms = (self.0.now_ms)() + LEASE_MS;
                // Where the database does not answer, the next page finds out.
                if let Ok(false) = self.0.store.renew_slice(claim, until_ms).await {
                    return Err(Broken::Lost);
                }
            }
        };
        // While the archive is away, a request may wait longer than the queue lets a job run, which would
        // count as an attempt that did not end.
        tokio::select! {
            done = work => done,
            lost = kept => lost,
            () = sleep(LONGEST_WAIT) => Err(Broken::TurnOver),
        }
    }

    /// Whether a page fails for what it holds: the archive is asked for a time of which it holds nothing.
    async fn doubt(&self, claim: &SliceClaim, error: SourceError) -> Broken {
        let name = match claim.subreddit() {
            Ok(name) if error.may_be_the_request() => name,
            _ => return error.into(),
        };
        let (archive, progress) = (&self.0.archive, &self.0.progress);
        let other = archive.page(&name, 1, 2, Order::OldestFirst, 1);
        let other = progress.during(CALL, other).await;
        progress.made();
        match other {
            Ok(_) => Broken::Page(error),
            Err(_) => error.into(),
        }
    }

    /// A slice one of whose pages fails while the archive gives out others: both halves of what is left
    /// are done by themselves, until what fails is one second.
    async fn split(&self, claim: &SliceClaim, error: SourceError) -> Outcome {
        let (backfill, slice) = (claim.backfill, claim.id);
        let split = self.0.store.split_slice(claim, (self.0.now_ms)());
        match self.0.progress.during(CALL, split).await {
            Ok(Split::Halved) => {
                tracing::info!(backfill, slice, %error, "A page fails while the archive gives out others; its slice is done in parts");
                Outcome::Returned
            }
            Ok(Split::Alone) => {
                let reason = format!(
                    "whatever page holds this second fails, while the archive gives out others: {error}"
                );
                self.let_go(claim, Broken::Refused(reason)).await
            }
            Ok(Split::Lost) => Outcome::Obsolete,
            Err(error) => self.let_go(claim, error.into()).await,
        }
    }

    /// Lets go of a slice that did not come to its end; how its job ended.
    async fn let_go(&self, claim: &SliceClaim, broken: Broken) -> Outcome {
        let now_ms = (self.0.now_ms)();
        let (backfill, slice) = (claim.backfill, claim.id);
        let again = |after_ms, spent| SliceDue::Again {
            due_ms: now_ms + after_ms,
            spent,
        };
        let last = claim.attempts >= MOST_ATTEMPTS;
        let failed = if last {
            SliceDue::Never
        } else {
            again(FAILED_AGAIN_MS, true)
        };
        let (reason, due, outcome) = match broken {
            // Of another's claim nothing is changed. That of a paused backfill is not to be waited for
            // when it goes on.
            Broken::Lost => (None, again(0, false), Outcome::Obsolete),
            Broken::Stopped | Broken::TurnOver => (None, again(0, false), Outcome::Returned),
            Broken::Unanswered(reason) => {
                tracing::warn!(
                    backfill,
                    slice,
                    reason,
                    "A slice's source does not answer; it is tried again until it does"
                );
                (
                    Some(reason),
                    again(UNANSWERED_AGAIN_MS, false),
                    Outcome::Returned,
                )
            }
            Broken::Page(error) => (Some(error.to_string()), failed, Outcome::Failed),
            Broken::Waits { due_ms, reason } => {
                let due = SliceDue::Again {
                    due_ms,
                    spent: false,
                };
                (Some(reason), due, Outcome::Returned)
            }
            Broken::ElsewhereOnly(reason) => (
                Some(reason.to_owned()),
                again(UNANSWERED_AGAIN_MS, false),
                Outcome::Returned,
            ),
            Broken::Refused(reason) => (Some(reason), failed, Outcome::Failed),
            Broken::Store(error) if error.is_outage() => {
                tracing::warn!(
                    backfill,
                    slice,
                    error = error.told(),
                    "A slice waits for the database"
                );
                (None, again(UNANSWERED_AGAIN_MS, false), Outcome::Returned)
            }
            Broken::Store(error) => (Some(error.told()), failed, Outcome::Failed),
        };
        if outcome == Outcome::Failed {
            let reason = reason.as_deref();
            tracing::error!(
                backfill,
                slice,
                reason,
                set_aside = last,
                "A slice of a backfill failed"
            );
        }
        let given_back = self
            .0
            .store
            .give_slice_back(claim, reason.as_deref(), due, now_ms);
        if let Err(error) = self.0.progress.during(CALL, given_back).await {
            tracing::debug!(%error, slice, "A slice's claim was left to run out");
        }
        outcome
    }
}

impl Handler for SliceHandler {
    type Work = SliceId;

    async fn run(&self, slice: SliceId) -> Outcome {
        let Backfiller {
            store,
            holder,
            progress,
            ..
        } = &self.0;
        let now_ms = (self.0.now_ms)();
        let begun = store.begin_slice(slice.0, holder, now_ms, LEASE_MS);
        let claim = match progress.during(CALL, begun).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return Outcome::Obsolete,
            Err(error) => {
                if error.is_outage() {
                    self.0.unstored.failed(&error);
                }
                let error = error.told();
                tracing::warn!(%slice, error, "A slice could not be begun");
                return Outcome::Returned;
            }
        };
        let outcome = if claim.attempts > MOST_ATTEMPTS {
            let given_back =
                store.give_slice_back(&claim, Some(NEVER_ENDED), SliceDue::Never, now_ms);
            if let Err(error) = progress.during(CALL, given_back).await {
                tracing::debug!(%error, %slice, "A slice could not be set aside");
            }
            Outcome::Failed
        } else {
            match self.bring_in(&claim).await {
                Ok(()) => Outcome::Stored,
                Err(Broken::Page(error)) => self.split(&claim, error).await,
                Err(broken) => self.let_go(&claim, broken).await,
            }
        };
        // The next slice may have its place.
        self.0.work.notify_one();
        outcome
    }

    /// None are sent through this queue.
    async fn heartbeat(&self, _: i64) {}

    async fn fault(&self, slice: SliceId, fault: Fault) {
        // Its attempt stays counted, and its claim ends with its lease.
        tracing::error!(%slice, ?fault, "A slice of a backfill went wrong; it is tried again");
    }
}
