//! One poll: a walk of one listing, for one subreddit or several, recorded in one transaction.

use super::Discover;
use super::claims::Claims;
use super::member::{WalkEnd, Walked};
use super::overlaps::Overlaps;
use super::prove::{as_of, seconds, short_overlap, window_start};
use super::record::record;
use super::walk::{Page, Walk};
use crate::source::{ListingPage, Priority, SourceError};
use crate::store::Claimed;
use crate::submission::SubredditName;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a poll stays with one outage; then it is recorded as failed, and its window stays open.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long an outage has kept a walk from its answer. A wait for the budget is none.
struct Patience {
    length: Duration,
    since: Option<Instant>,
}

impl Patience {
    fn new(length: Duration) -> Patience {
        let since = None;
        Patience { length, since }
    }

    /// A request failed: whether the walk is to be given up.
    fn failed(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= self.length
    }

    /// Returns when the outage has lasted too long and still holds requests back, as the caller is
    /// told by a future that ends while they are.
    async fn ends<F: Future<Output = ()>>(&mut self, held_back: impl Fn() -> F) {
        held_back().await;
        let since = *self.since.get_or_insert_with(Instant::now);
        tokio::time::sleep_until(since + self.length).await;
        held_back().await;
    }
}

/// Polls a group; what must be looked at alone is split off and polled after it.
pub(super) async fn poll(
    discover: &Discover,
    claims: &Claims,
    overlaps: &Overlaps,
    group: Vec<Claimed>,
    stop: &CancellationToken,
) {
    let guard = claims.guard(group.iter().map(|claimed| claimed.claim.clone()).collect());
    let mut waiting = vec![group];
    while let Some(group) = waiting.pop() {
        let walked = walk(discover, overlaps, &group, stop).await;
        match &walked.end {
            WalkEnd::Stopped => return guard.leave(),
            // One member spoils it for all: halve until it stands alone.
            WalkEnd::Unavailable(_) | WalkEnd::Refused(_) if group.len() > 1 => {
                let mut left = group;
                let right = left.split_off(left.len() / 2);
                waiting.push(right);
                waiting.push(left);
            }
            _ => {
                let alone = record(discover, claims, overlaps, &group, &walked, stop).await;
                let by_name = |claimed: &Claimed| alone.contains(&claimed.claim.subreddit);
                waiting.extend(
                    group
                        .into_iter()
                        .filter(by_name)
                        .map(|claimed| vec![claimed]),
                );
            }
        }
    }
}

async fn walk(
    discover: &Discover,
    overlaps: &Overlaps,
    group: &[Claimed],
    stop: &CancellationToken,
) -> Walked {
    let started_at = (discover.now_ms)() / 1000;
    let names: Vec<SubredditName> = group
        .iter()
        .map(|claimed| claimed.claim.subreddit.clone())
        .collect();
    // How far down to go is known with the first answer, which tells Reddit's time.
    let mut walk = Walk::new(i64::MIN);
    let mut served_at = None;
    let mut patience = Patience::new(PATIENCE);
    let end = loop {
        let request = match walk.next() {
            Ok(request) => request,
            Err(ended) => break WalkEnd::Ended(ended),
        };
        let ask = discover.reddit.new_page(
            &names,
            request.after.as_deref(),
            request.limit,
            Priority::Poll,
        );
        let answer = tokio::select! {
            () = stop.cancelled() => break WalkEnd::Stopped,
            answer = ask => answer,
            () = patience.ends(|| discover.reddit.held_back()) => {
                break WalkEnd::OutOfPatience;
            }
        };
        match answer {
            Ok(page) => {
                if served_at.is_none() {
                    served_at = Some(page.served_at);
                    walk.aim(reach(discover, overlaps, group, page.served_at));
                }
                walk.take(into_page(page));
                patience = Patience::new(PATIENCE);
            }
            // The source holds the next request back for as long as the answer calls for.
            Err(SourceError::Wait { .. }) if patience.failed() => break WalkEnd::OutOfPatience,
            Err(SourceError::Wait { .. }) => {}
            Err(SourceError::Unavailable { reason, .. }) => break WalkEnd::Unavailable(reason),
            Err(SourceError::Refused { detail, .. }) => break WalkEnd::Refused(detail),
        }
    };
    let finished_at = (discover.now_ms)() / 1000;
    Walked {
        walk,
        end,
        started_at,
        finished_at,
        served_at: served_at.unwrap_or_else(|| discover.reddit.its_time()),
    }
}

fn into_page(page: ListingPage) -> Page {
    Page {
        order: page.order,
        items: page.items,
        undecodable: page.undecodable,
        after: page.after,
    }
}

/// How far back a walk of this group must go, by Reddit's clock.
fn reach(discover: &Discover, overlaps: &Overlaps, group: &[Claimed], served_at: i64) -> i64 {
    let config = &discover.config;
    let overlap = seconds(config.overlap);
    let alone = group.len() == 1;
    let member = |claimed: &Claimed| {
        let claimed = as_of(claimed, served_at);
        let short = window_start(&claimed, short_overlap(config), served_at, config);
        let Some(covered) = claimed.covered_until else {
            return short;
        };
        let name = &claimed.claim.subreddit;
        let unproven = claimed.seen_until.is_some_and(|seen| seen > covered);
        if unproven && !alone {
            // What was last seen in company is proven later; here it is freshness that counts.
            return claimed.seen_until.unwrap_or(covered) - seconds(short_overlap(config));
        }
        if overlaps.due(name, served_at, overlap) {
            short.min(overlaps.target(name, covered, overlap))
        } else {
            short
        }
    };
    group.iter().map(member).min().unwrap_or(served_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::timeout;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_wait_while_requests_go_out_is_no_outage_however_long() {
        let mut patience = Patience::new(SHORT);
        assert!(timeout(LONG, patience.ends(pending)).await.is_err());
        assert!(
            !patience.failed(),
            "the clock starts with the first failure"
        );
        // One failure, and then a long wait for the next grant.
        assert!(timeout(LONG, patience.ends(pending)).await.is_err());
        assert!(patience.failed(), "a failure that late ends it");
    }

    #[tokio::test]
    async fn requests_that_are_held_back_for_too_long_end_the_walk() {
        let mut patience = Patience::new(SHORT);
        let begun = Instant::now();
        patience.ends(|| async {}).await;
        assert!(begun.elapsed() >= SHORT);
        assert!(patience.failed());
    }
}
