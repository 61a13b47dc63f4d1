//! Walks whole listings beside the polls: again for open gaps while they can be reached, and now and
//! then for what was approved late or reappeared below every window.
//!
//! One process at a time repairs and one sweeps, one listing at a time, so that neither stands in a
//! poll's way. Both prove as a poll does, but move no watermark.

use super::Discover;
use super::count::count_walk;
use super::lease::Lease;
use super::member::milliseconds;
use super::pages::{WalkEnd, Walked, walk};
use super::prove::{listed_since, new_name, seconds};
use super::record::write;
use super::walk::Ended;
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::source::RequestClass;
use crate::store::{
    GapReason, Interval, PollRecord, PollStored, StoreError, SweepDue, SweepRecord, WindowOutcome,
};
use crate::submission::SubredditName;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// A killed process's sweeps are taken over after this long.
const LEASE: Duration = Duration::from_secs(20);
/// How often the database is asked for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Until what an outage broke off is tried again.
const AGAIN: Duration = Duration::from_secs(300);

/// What a listing is walked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Open gaps, with the fetches: they cannot wait for long.
    Repair,
    /// Whatever appeared late, after everything else.
    Sweep,
}

impl Kind {
    /// The metrics' label and the lease's name.
    fn as_str(self) -> &'static str {
        match self {
            Kind::Repair => "repair",
            Kind::Sweep => "sweep",
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing was due, or it is done.
    Done,
    /// Reddit did not answer: another process may fare better.
    CutOff,
    /// What came of it could not be written at all.
    Unwritten,
}

/// Walks again for open gaps until told to stop. A walk that is under way then is dropped, and due
/// again.
pub async fn repair(discover: Discover, stop: CancellationToken) {
    turns(&discover, Kind::Repair, &stop).await;
}

/// Walks whole listings now and then, until told to stop, as [`repair`] does.
pub async fn sweep(discover: Discover, stop: CancellationToken) {
    turns(&discover, Kind::Sweep, &stop).await;
}

async fn turns(discover: &Discover, kind: Kind, stop: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lease = Lease::new(discover, kind.as_str(), LEASE);
    let mut paused_until: Option<Instant> = None;
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = discover.progress.during(HOWEVER_LONG, look.tick()) => discover.progress.made(),
        }
        if paused_until.is_some_and(|until| Instant::now() < until) {
            continue;
        }
        let turn = async {
            if lease.held().await? {
                turn(discover, kind, &mut lease, stop).await
            } else {
                Ok(Turn::Done)
            }
        };
        // A walk says of each of its steps that it was made.
        match discover.progress.during(CALL, turn).await {
            Ok(ended) => {
                failing = false;
                // What cannot be written would be walked for again and again.
                paused_until = (ended == Turn::Unwritten).then(|| Instant::now() + AGAIN);
                if ended == Turn::CutOff {
                    discover.progress.made();
                    discover.progress.during(CALL, lease.release()).await;
                }
            }
            Err(error) if error.is_outage() => {
                tracing::debug!(%error, kind = kind.as_str(), "The database is not there to be asked what is to be walked");
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, kind = kind.as_str(), "It cannot be read what listing is to be walked next");
                }
            }
        }
    }
    lease.release().await;
}

/// The listing that is to be walked now.
async fn due(discover: &Discover, kind: Kind) -> Result<Option<SweepDue>, StoreError> {
    let now_ms = (discover.now_ms)();
    let interval = discover.config.sweep_interval;
    match kind {
        Kind::Repair => discover.store.due_repair(now_ms).await,
        Kind::Sweep if interval.is_zero() => Ok(None),
        Kind::Sweep => {
            let interval_ms = milliseconds(interval);
            discover.store.due_sweep(interval_ms, now_ms).await
        }
    }
}

/// Walks the listing that is due, if any.
async fn turn(
    discover: &Discover,
    kind: Kind,
    lease: &mut Lease<'_>,
    stop: &CancellationToken,
) -> Result<Turn, StoreError> {
    let Some(due) = due(discover, kind).await? else {
        return Ok(Turn::Done);
    };
    let class = match kind {
        Kind::Repair => RequestClass::Repair,
        Kind::Sweep => RequestClass::Proof,
    };
    let names = std::slice::from_ref(&due.subreddit);
    let walked = tokio::select! {
        walked = walk(discover, names, class, |_| due.reach, stop) => walked,
        never = lease.keep() => match never {},
    };
    if matches!(walked.end, WalkEnd::Stopped) {
        return Ok(Turn::Done);
    }
    let proven_before = discover.store.coverage(&due.subreddit).await?;
    let now_ms = (discover.now_ms)();
    let (record, outcome) = judge(discover, due, kind, &walked, now_ms);
    let poll = PollRecord {
        listed: walked.walk.listed(),
        undecodable: walked.walk.undecodable(),
        members: &[],
        sweep: Some(&record),
        now_ms,
    };
    let Some(stored) = write(discover, &poll, stop).await else {
        let postponed = discover.store.postpone_sweep(&record, now_ms).await;
        return Ok(match postponed {
            Ok(()) => Turn::Done,
            Err(_) => Turn::Unwritten,
        });
    };
    if !stored.fresh.is_empty() {
        discover.work.notify_one();
    }
    tell(
        discover,
        kind,
        &record,
        &walked,
        outcome,
        &stored,
        &proven_before,
    );
    Ok(match walked.end {
        WalkEnd::OutOfPatience => Turn::CutOff,
        _ => Turn::Done,
    })
}

/// Since when (seconds) a walk saw everything that a subreddit's listing shows, and why it saw nothing
/// older.
pub(super) fn ground(walked: &Walked, subreddit: &SubredditName) -> (Option<i64>, GapReason) {
    let walk = &walked.walk;
    match &walked.end {
        WalkEnd::Ended(_) if new_name(walk, subreddit, true).is_some() => {
            (None, GapReason::Unavailable)
        }
        // It shows something else than what it showed before.
        WalkEnd::Ended(_) if walked.contradicted => (None, GapReason::Unanswered),
        WalkEnd::Ended(Ended::Older) => (Some(walk.ground()), GapReason::Unanswered),
        // Nothing is claimed below the oldest: what is removed keeps its place in the listing, so
        // this end may be the cap's.
        WalkEnd::Ended(Ended::End) => {
            match walk.own().map(|item| item.submission.created_utc).min() {
                Some(oldest) => (Some(oldest), GapReason::BeyondListing),
                // Now and then Reddit serves nothing at all for minutes.
                None => (None, GapReason::Unanswered),
            }
        }
        WalkEnd::Ended(Ended::Cap | Ended::PageLimit) => {
            (listed_since(walk), GapReason::BeyondListing)
        }
        WalkEnd::Ended(Ended::AnchorVanished) => (listed_since(walk), GapReason::AnchorVanished),
        WalkEnd::Unavailable(_) => (listed_since(walk), GapReason::Unavailable),
        WalkEnd::Refused(_) | WalkEnd::OutOfPatience | WalkEnd::Stopped => {
            (listed_since(walk), GapReason::Unanswered)
        }
    }
}

/// What a walk proves and leaves.
fn judge(
    discover: &Discover,
    due: SweepDue,
    kind: Kind,
    walked: &Walked,
    now_ms: i64,
) -> (SweepRecord, WindowOutcome) {
    let (ground, reason) = ground(walked, &due.subreddit);
    // What is newer is for the polls to prove.
    let end = due.covered_until.min(walked.served_at);
    let proven = ground
        .map(|start| Interval { start, end })
        .filter(|proven| walked.is_dated() && !proven.is_empty());
    let settled_before = due.covered_until.min(walked.served_at);
    let settled_before = settled_before.saturating_sub(seconds(discover.config.overlap));
    let came_down = ground.is_some_and(|ground| ground <= due.reach)
        || (kind == Kind::Sweep && reason == GapReason::BeyondListing);
    let outcome = match ground {
        Some(_) if came_down => WindowOutcome::Complete,
        Some(_) => WindowOutcome::Truncated,
        None => WindowOutcome::Failed,
    };
    let next = (kind == Kind::Sweep).then(|| {
        let interval = discover.config.sweep_interval;
        let broken_off = match &walked.end {
            WalkEnd::Ended(ended) => *ended == Ended::AnchorVanished,
            WalkEnd::OutOfPatience | WalkEnd::Refused(_) | WalkEnd::Stopped => true,
            WalkEnd::Unavailable(_) => false,
        };
        let wait = if broken_off {
            interval.min(AGAIN)
        } else {
            interval
        };
        now_ms.saturating_add(milliseconds(wait))
    });
    let record = SweepRecord {
        doubts: walked.doubts(&due.subreddit, Some(settled_before)),
        due,
        proven,
        reason,
        next_sweep_ms: next,
    };
    (record, outcome)
}

/// Counts and logs what a walk brought.
fn tell(
    discover: &Discover,
    kind: Kind,
    record: &SweepRecord,
    walked: &Walked,
    outcome: WindowOutcome,
    stored: &PollStored,
    proven_before: &[(i64, i64)],
) {
    let metrics = &discover.metrics;
    let sweeps = &metrics.discover.sweeps;
    sweeps
        .with_label_values(&[kind.as_str(), outcome.as_str()])
        .inc();
    let fresh = count_walk(metrics, walked, stored, "sweep");
    // In a gap, or older than where watching began, it is not late: nobody claimed to have it. And
    // what lies within the overlap, the next poll would have found.
    let window = record.due.covered_until - seconds(discover.config.overlap);
    let is_late = |created: i64| {
        let above = proven_before.partition_point(|(start, _)| *start <= created);
        let interval = above.checked_sub(1).and_then(|at| proven_before.get(at));
        created < window && interval.is_some_and(|(_, end)| created < *end)
    };
    let late = fresh
        .iter()
        .filter(|item| is_late(item.submission.created_utc))
        .count();
    let subreddit = &record.due.subreddit;
    metrics.watched.label(subreddit.as_str(), |subreddit| {
        let counter = metrics.discover.late.with_label_values(&[subreddit]);
        counter.inc_by(late as u64);
    });
    if late > 0 {
        tracing::info!(%subreddit, late, "A sweep found what had appeared late");
    }
    if stored.gaps_repaired > 0 {
        let gaps = stored.gaps_repaired;
        tracing::info!(%subreddit, gaps, "Gaps were closed by walking the listing again");
    }
    let kind = kind.as_str();
    match &walked.end {
        WalkEnd::Refused(detail) => {
            tracing::warn!(%subreddit, kind, detail, "Reddit refused a listing that was walked again");
        }
        _ => tracing::debug!(
            %subreddit,
            kind,
            %outcome,
            reason = %record.reason,
            pages = walked.walk.pages(),
            fresh = stored.fresh.len(),
            "A listing was walked again"
        ),
    }
}
