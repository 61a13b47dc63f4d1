//! Recording a poll: what it saw and proved, in one transaction.

use super::Discover;
use super::claims::Claims;
use super::count::count;
use super::member::member;
use super::overlaps::Overlaps;
use super::pages::{WalkEnd, Walked};
use super::parts::write_in_parts;
use super::prove::{posts_per_hour, seconds};
use super::walk::Ended;
use crate::liveness::CALL;
use crate::store::{Claimed, MemberRecord, PollRecord, PollStored, StoreError, WindowOutcome};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two tries while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Stores what the walk saw and proved; returns who is to be walked in smaller groups, with the rates that it showed.
pub(super) async fn record(
    discover: &Discover,
    claims: &Claims,
    overlaps: &Overlaps,
    group: &[Claimed],
    walked: &Walked,
    stop: &CancellationToken,
) -> Vec<Claimed> {
    let now_ms = (discover.now_ms)();
    let (mut members, mut smaller) = (Vec::with_capacity(group.len()), Vec::new());
    for claimed in group {
        match member(&discover.config, claimed, group.len() == 1, walked, now_ms) {
            Some(member) => members.push(member),
            None => smaller.push(Claimed {
                posts_per_hour: posts_per_hour(&walked.walk, claimed, false, walked.shown_at()),
                ..claimed.clone()
            }),
        }
    }
    let record = PollRecord {
        listed: walked.walk.listed(),
        undecodable: walked.walk.undecodable(),
        members: &members,
        sweep: None,
        now_ms,
    };
    let stored = write(discover, &record, stop).await;
    claims.end(members.iter().map(|member| &member.claim));
    let Some(stored) = stored else {
        return Vec::new();
    };
    for lost in &stored.lost {
        tracing::warn!(subreddit = %lost, "Another scheduler took this subreddit over; its window was not recorded here");
    }
    if !stored.fresh.is_empty() {
        discover.work.notify_one();
    }
    remember_overlaps(discover, overlaps, group, walked, &members);
    for claimed in group {
        let name = claimed.claim.subreddit.as_str();
        discover.metrics.watched.add(name, claimed.added_at);
    }
    count(&discover.metrics, walked, &members, &stored, now_ms);
    smaller
}

/// One transaction, repeated while the database is away. `None` where it cannot be written at all:
/// then the windows stay open, and the next polls list the same again.
pub(super) async fn write(
    discover: &Discover,
    record: &PollRecord<'_>,
    stop: &CancellationToken,
) -> Option<PollStored> {
    let error = match persist(discover, record, false, stop).await {
        Ok(stored) => return Some(stored),
        Err(error) => error,
    };
    if !error.is_outage() && !record.listed.is_empty() {
        // One item spoils it for all. Ever smaller parts tell which; that one is kept raw.
        if is_told(discover) {
            tracing::debug!(error = error.told(), "What was listed is stored in parts");
        } else {
            tracing::warn!(
                error = error.told(),
                items = record.listed.len(),
                "What was listed is stored in parts"
            );
        }
        let stored = write_in_parts(discover, record, stop).await;
        if stored.is_some() {
            return stored;
        }
    }
    // The claims are left to run out: given back, they would be due at once, again and again.
    if is_told(discover) {
        tracing::debug!(error = error.told(), "A walk could not be recorded");
    } else {
        tracing::error!(
            error = error.told(),
            subreddits = record.members.len(),
            "A walk could not be recorded; its windows stay open"
        );
    }
    None
}

/// Whether an outage of the database is logged already.
fn is_told(discover: &Discover) -> bool {
    discover.store.dependency().state().trouble.is_some()
}

/// Stores a poll, or only tries to.
pub(super) async fn persist(
    discover: &Discover,
    record: &PollRecord<'_>,
    only_try: bool,
    stop: &CancellationToken,
) -> Result<PollStored, StoreError> {
    let store = &discover.store;
    if only_try {
        repeat(discover, stop, || store.try_poll(record)).await
    } else {
        repeat(discover, stop, || store.record_poll(record)).await
    }
}

/// Repeats a transaction while the database is away and the process goes on.
pub(super) async fn repeat<T, F>(
    discover: &Discover,
    stop: &CancellationToken,
    transaction: impl Fn() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        let begun = Instant::now();
        let result = discover.progress.during(CALL, transaction()).await;
        // Whatever came of it: one of many items was written, or refused, or the database is away.
        discover.progress.made();
        match result {
            Err(error) if error.is_outage() && !stop.is_cancelled() => {
                tokio::time::sleep(STORE_PAUSE).await;
            }
            result => {
                let seconds = begun.elapsed().as_secs_f64();
                discover.metrics.ingest.write_seconds.observe(seconds);
                return result;
            }
        }
    }
}

/// Notes whose whole overlap this walk has listed, or as much of it as the listing shows.
fn remember_overlaps(
    discover: &Discover,
    overlaps: &Overlaps,
    group: &[Claimed],
    walked: &Walked,
    members: &[MemberRecord],
) {
    let WalkEnd::Ended(ended) = walked.end else {
        return;
    };
    let overlap = seconds(discover.config.overlap);
    for member in members {
        let Some(window) = &member.window else {
            continue;
        };
        let name = &member.claim.subreddit;
        let claimed = group.iter().find(|claimed| claimed.claim == member.claim);
        let covered = claimed.and_then(|claimed| claimed.covered_until);
        let target = covered.map(|covered| overlaps.target(name, covered, overlap));
        // The first window is its own target.
        let whole = window.outcome == WindowOutcome::Complete
            && target.is_none_or(|target| walked.walk.ground() <= target);
        if whole || matches!(ended, Ended::Cap | Ended::PageLimit) {
            overlaps.reached(name, walked.served_at);
        }
    }
}
