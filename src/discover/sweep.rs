//! Walks whole listings beside the polls: for open gaps while they can still be reached, and now and
//! then for what was approved late or reappeared below every window.
//!
//! One process at a time sweeps, one listing at a time, so that a sweep never stands in a poll's way.
//! It proves as a poll does, but moves no watermark.

use super::Discover;
use super::count::count_walk;
use super::member::{milliseconds, silenced};
use super::pages::{WalkEnd, Walked, walk};
use super::prove::{listed_since, new_name, seconds};
use super::record::write;
use super::walk::Ended;
use crate::config::DiscoverConfig;
use crate::source::Priority;
use crate::store::{
    GapReason, Interval, PollRecord, PollStored, StoreError, SweepDue, SweepKind, SweepRecord,
    SweepTimes,
};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const LEASE: &str = "sweep";
/// A killed process's sweeps are taken over after this long.
const LEASE_MS: i64 = 20_000;
const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// How often the database is asked for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Until what went wrong is tried again.
const AGAIN: Duration = Duration::from_secs(300);

/// What one sweep found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It came down to where it was to reach.
    Complete,
    /// It proved something, but not all.
    Truncated,
    /// It brought nothing.
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Truncated => "truncated",
            Outcome::Failed => "failed",
        }
    }
}

/// Sweeps until told to stop. A walk that is under way then is dropped, and due again.
pub async fn run(discover: Discover, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed: Option<Instant> = None;
    let mut paused_until: Option<Instant> = None;
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = discover.progress.during(look.tick()) => discover.progress.made(),
        }
        if paused_until.is_some_and(|until| Instant::now() < until) {
            continue;
        }
        let turn = async {
            if renewed.is_none_or(|at| at.elapsed() >= LEASE_RENEWAL) {
                renewed = hold(&discover).await?.then(Instant::now);
            }
            match renewed {
                Some(_) => sweep(&discover, &stop).await,
                None => Ok(true),
            }
        };
        match discover.progress.during(turn).await {
            Ok(written) => {
                failing = false;
                // What cannot be written would be walked for again and again.
                paused_until = (!written).then(|| Instant::now() + AGAIN);
            }
            Err(error) => {
                renewed = None;
                if !std::mem::replace(&mut failing, true) {
                    tracing::debug!(%error, "What is to be swept cannot be read; trying again until it can");
                }
            }
        }
    }
    if renewed.is_some()
        && let Err(error) = discover.store.release_lease(LEASE, &discover.holder).await
    {
        tracing::debug!(%error, "The lease on sweeping was left to run out");
    }
}

async fn hold(discover: &Discover) -> Result<bool, StoreError> {
    let now_ms = (discover.now_ms)();
    let lease = discover
        .store
        .acquire_lease(LEASE, &discover.holder, now_ms, LEASE_MS);
    lease.await
}

/// Renews the lease while a walk waits for its turns. Where it is lost all the same, two walk the
/// same listing, which does no harm.
async fn keep_holding(discover: &Discover) -> Infallible {
    loop {
        tokio::time::sleep(LEASE_RENEWAL).await;
        if let Err(error) = hold(discover).await {
            tracing::debug!(%error, "The lease on sweeping could not be renewed");
        }
    }
}

/// Walks the listing that is due, if any; false where its result could not be written.
async fn sweep(discover: &Discover, stop: &CancellationToken) -> Result<bool, StoreError> {
    let times = sweep_times(&discover.config);
    let due = discover.store.due_sweep(times, (discover.now_ms)()).await?;
    let Some(due) = due else { return Ok(true) };
    let proven_before = discover.store.coverage(&due.subreddit).await?;
    let priority = match due.kind {
        SweepKind::Repair => Priority::Fetch,
        SweepKind::Sweep => Priority::Backfill,
    };
    let names = std::slice::from_ref(&due.subreddit);
    let walked = tokio::select! {
        walked = walk(discover, names, priority, |_| due.reach, stop) => walked,
        never = keep_holding(discover) => match never {},
    };
    if matches!(walked.end, WalkEnd::Stopped) {
        return Ok(true);
    }
    let now_ms = (discover.now_ms)();
    let (record, outcome) = judge(&due, &walked, times.interval_ms, now_ms);
    let poll = PollRecord {
        listed: walked.walk.listed(),
        undecodable: walked.walk.undecodable(),
        members: &[],
        sweep: Some(&record),
        now_ms,
    };
    let Some(stored) = write(discover, &poll, stop).await else {
        return Ok(false);
    };
    if !stored.fresh.is_empty() {
        discover.work.notify_one();
    }
    tell(
        discover,
        &due,
        &walked,
        (outcome, record.reason),
        &stored,
        &proven_before,
    );
    Ok(true)
}

/// When what is due. New gaps are left to the polls for an interval, which close most of them.
pub fn sweep_times(config: &DiscoverConfig) -> SweepTimes {
    SweepTimes {
        interval_ms: (!config.sweep_interval.is_zero())
            .then(|| milliseconds(config.sweep_interval)),
        repair_after: seconds(config.interval),
        repair_again_after: seconds(AGAIN),
    }
}

/// What a walk proves and leaves.
fn judge(
    due: &SweepDue,
    walked: &Walked,
    interval_ms: Option<i64>,
    now_ms: i64,
) -> (SweepRecord, Outcome) {
    let walk = &walked.walk;
    let whole = due.kind == SweepKind::Sweep;
    let (ground, reason, outcome) = match &walked.end {
        WalkEnd::Ended(_) if new_name(walk, &due.subreddit, true).is_some() => {
            (None, GapReason::Unavailable, Outcome::Failed)
        }
        WalkEnd::Ended(_) if silenced(due.last_submission_at, walk) => {
            (None, GapReason::Unanswered, Outcome::Failed)
        }
        WalkEnd::Ended(Ended::Older) => (
            Some(walk.ground()),
            GapReason::Unanswered,
            Outcome::Complete,
        ),
        // All that there ever was is in it.
        WalkEnd::Ended(Ended::End) => {
            let items = walk.listed().iter();
            let oldest = items.map(|item| item.submission.created_utc).min();
            let ground = oldest.into_iter().chain(due.oldest_gap).min();
            (ground, GapReason::Unanswered, Outcome::Complete)
        }
        WalkEnd::Ended(Ended::Cap) if whole => (
            listed_since(walk),
            GapReason::BeyondListing,
            Outcome::Complete,
        ),
        WalkEnd::Ended(Ended::Cap | Ended::PageLimit) => (
            listed_since(walk),
            GapReason::BeyondListing,
            Outcome::Truncated,
        ),
        WalkEnd::Ended(Ended::AnchorVanished) => (
            listed_since(walk),
            GapReason::AnchorVanished,
            Outcome::Truncated,
        ),
        WalkEnd::Unavailable(_) => (None, GapReason::Unavailable, Outcome::Failed),
        WalkEnd::Refused(_) | WalkEnd::OutOfPatience | WalkEnd::Stopped => {
            (None, GapReason::Unanswered, Outcome::Failed)
        }
    };
    // What is newer is for the polls to prove.
    let end = due.covered_until.min(walked.served_at);
    let next = interval_ms.filter(|_| whole).map(|interval| {
        let wait = match outcome {
            Outcome::Complete => interval,
            Outcome::Truncated | Outcome::Failed => interval.min(milliseconds(AGAIN)),
        };
        now_ms.saturating_add(wait)
    });
    let record = SweepRecord {
        subreddit: due.subreddit.clone(),
        proven: ground
            .map(|start| Interval { start, end })
            .filter(|proven| !proven.is_empty()),
        reach: due.reach,
        covered_until: due.covered_until,
        reason,
        next_sweep_ms: next,
    };
    (record, outcome)
}

/// Counts and logs what a sweep brought.
fn tell(
    discover: &Discover,
    due: &SweepDue,
    walked: &Walked,
    (outcome, reason): (Outcome, GapReason),
    stored: &PollStored,
    proven_before: &[(i64, i64)],
) {
    let metrics = &discover.metrics;
    let (kind, outcome) = (due.kind.as_str(), outcome.as_str());
    metrics
        .discover
        .sweeps
        .with_label_values(&[kind, outcome])
        .inc();
    let fresh = count_walk(metrics, walked, stored, "sweep");
    // Older than where watching began, or in a gap, is not late: nobody claimed to have it.
    let late = fresh
        .iter()
        .filter(|item| {
            let created = item.submission.created_utc;
            proven_before
                .iter()
                .any(|(start, end)| (*start..*end).contains(&created))
        })
        .count();
    metrics.watched.label(due.subreddit.as_str(), |subreddit| {
        let counter = metrics.discover.late.with_label_values(&[subreddit]);
        counter.inc_by(late as u64);
    });
    if late > 0 {
        tracing::info!(subreddit = %due.subreddit, late, "A sweep found what had appeared late");
    }
    if due.kind == SweepKind::Repair {
        let gaps_closed = stored.gaps_repaired;
        let reason = (gaps_closed == 0).then_some(reason.as_str());
        tracing::info!(subreddit = %due.subreddit, outcome, gaps_closed, reason, "A listing was walked again for open gaps");
    }
}
