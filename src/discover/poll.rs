//! One poll: a walk of one listing, for one subreddit or several, recorded in one transaction.

use super::Discover;
use super::claims::Claims;
use super::group::plan;
use super::overlaps::Overlaps;
use super::pages::{PATIENCE, Tries, WalkEnd, walk_with};
use super::prove::{as_of, seconds, short_overlap, window_start};
use super::record::record;
use super::suspects::Answered;
use crate::bisect::Divide;
use crate::config::DiscoverConfig;
use crate::liveness::CALL;
use crate::source::RequestClass;
use crate::store::Claimed;
use crate::submission::SubredditName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Failures of a shared listing that are put down to chance; with one more it is halved.
const SHARED_TRIES: u32 = 1;
/// The same of one that is asked for alone, before it is listed alone from then on.
const LONE_TRIES: u32 = 2;

/// Listings that are still to be walked, and what the others came to.
struct Round {
    /// The last is next.
    waiting: Vec<Vec<Claimed>>,
    /// Whether any was halved for a failure.
    halved: bool,
    /// Since the first of these failures an outage is waited for.
    failing_since: Option<Instant>,
    /// How many listings the scheduler had been given when this began.
    answered: u64,
}

impl Round {
    /// How a listing is asked for, and whether that is expected to fail; put off where another is better
    /// asked for first.
    fn how<'a>(&self, group: &[Claimed], answered: &'a Answered) -> (Tries<'a>, bool) {
        let others_answered = answered.count() > self.answered;
        match group {
            [one] if one.suspect => (Tries::Few(0), true),
            [_] if self.halved && others_answered => (Tries::Few(LONE_TRIES), true),
            [_] => (Tries::UntilOthers(answered), false),
            _ if self.out_of_patience() => (Tries::Few(0), true),
            _ if self.halved => (Tries::Few(0), true),
            _ => (Tries::Few(SHARED_TRIES), false),
        }
    }

    fn out_of_patience(&self) -> bool {
        self.failing_since
            .is_some_and(|since| since.elapsed() >= PATIENCE)
    }

    fn halve(&mut self, group: Vec<Claimed>) {
        match group.divide() {
            Ok((left, right)) => {
                for half in [right, left] {
                    if half.len() == 1 {
                        // The others tell whether it is an outage.
                        self.waiting.insert(0, half);
                    } else {
                        self.waiting.push(half);
                    }
                }
            }
            Err(one) => self.waiting.insert(0, one),
        }
    }
}

/// Polls a group; what must be looked at alone is split off and polled after it. One that spoils the
/// listing that it shares is found by halving it, and listed alone from then on.
pub(super) async fn poll(
    discover: &Discover,
    claims: &Claims,
    overlaps: &Overlaps,
    answered: &Answered,
    group: Vec<Claimed>,
    stop: &CancellationToken,
) {
    let guard = claims.guard(group.iter().map(|claimed| claimed.claim.clone()).collect());
    let mut round = Round {
        waiting: vec![group],
        halved: false,
        failing_since: None,
        answered: answered.count(),
    };
    while let Some(group) = round.waiting.pop() {
        let names: Vec<SubredditName> = group
            .iter()
            .map(|claimed| claimed.claim.subreddit.clone())
            .collect();
        let (tries, doubtful) = round.how(&group, answered);
        let reach = |served_at| reach(discover, overlaps, &group, served_at);
        let walked = walk_with(
            discover,
            &names,
            RequestClass::Proof,
            tries,
            doubtful,
            reach,
            stop,
        )
        .await;
        if matches!(walked.end, WalkEnd::Ended(_)) {
            answered.one_more();
        }
        match &walked.end {
            WalkEnd::Stopped => return guard.leave(),
            // One member spoils it for all: halve until it stands alone.
            WalkEnd::Unavailable(_) | WalkEnd::Refused(_) if group.len() > 1 => round.halve(group),
            WalkEnd::OutOfPatience
                if group.len() > 1 && walked.doubtful && !round.out_of_patience() =>
            {
                round.halved = true;
                round.failing_since.get_or_insert_with(Instant::now);
                round.halve(group);
            }
            end => {
                if let [one] = group.as_slice() {
                    let failed = matches!(end, WalkEnd::OutOfPatience | WalkEnd::Refused(_));
                    let others = answered.count() > round.answered;
                    note_suspect(discover, one, failed, failed && others).await;
                }
                let size = group.len();
                let rest = record(discover, claims, overlaps, &group, &walked, stop).await;
                round.waiting.extend(smaller(rest, size, &discover.config));
            }
        }
    }
}

/// Those of a group whose listing was cut short, in smaller groups by the rates that it showed.
fn smaller(rest: Vec<Claimed>, size: usize, config: &DiscoverConfig) -> Vec<Vec<Claimed>> {
    let groups = plan(rest, config, |_| false);
    let halves = groups.into_iter().flat_map(|group| {
        if group.len() < size {
            return vec![group];
        }
        match group.divide() {
            Ok((left, right)) => vec![left, right],
            Err(one) => vec![one],
        }
    });
    halves.collect()
}

/// One whose listing fails while others are given out is a suspect until it is given out.
async fn note_suspect(discover: &Discover, claimed: &Claimed, failed: bool, alone: bool) {
    let suspect = alone || (claimed.suspect && failed);
    if suspect == claimed.suspect {
        return;
    }
    let name = &claimed.claim.subreddit;
    if suspect {
        tracing::warn!(subreddit = %name, "A subreddit's listing fails while others are given out; it is listed alone until it is given out");
    }
    let noted = discover.store.suspect_subreddit(name, suspect);
    if let Err(error) = discover.progress.during(CALL, noted).await {
        tracing::debug!(%error, subreddit = %name, "It could not be noted whether a subreddit is to be listed alone");
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
            // As later windows do, for what stands below its place.
            return short - overlap.min(seconds(config.first_window));
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
