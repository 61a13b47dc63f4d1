//! One poll: a walk of one listing, for one subreddit or several, recorded in one transaction.

use super::Discover;
use super::claims::Claims;
use super::overlaps::Overlaps;
use super::pages::{WalkEnd, walk};
use super::prove::{as_of, seconds, short_overlap, window_start};
use super::record::record;
use crate::source::Priority;
use crate::store::Claimed;
use crate::submission::SubredditName;
use tokio_util::sync::CancellationToken;

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
        let names: Vec<SubredditName> = group
            .iter()
            .map(|claimed| claimed.claim.subreddit.clone())
            .collect();
        let reach = |served_at| reach(discover, overlaps, &group, served_at);
        let walked = walk(discover, &names, Priority::Poll, reach, stop).await;
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
