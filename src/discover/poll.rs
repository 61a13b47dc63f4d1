//! One poll: a walk of one listing, for one subreddit or several, recorded in one transaction.

use super::claims::Claims;
use super::count::count;
use super::member::{WalkEnd, Walked, member};
use super::prove::{seconds, short_overlap};
use super::schedule::Discover;
use super::walk::{Page, Walk};
use crate::source::{ListingPage, Priority, SourceError};
use crate::store::{Claimed, MemberRecord, PollRecord, PollStored, WindowOutcome};
use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a poll stays with one outage; then it is recorded as failed, and its window stays open.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two tries to record a poll while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// When each subreddit's overlap was last reached in full (Reddit's clock, seconds). A quiet one's
/// is reached by every poll for nothing; a busy one's costs pages, so it is paid once per overlap.
/// Lost with the process, which costs one deeper walk.
#[derive(Debug, Default)]
pub(super) struct Overlaps(Mutex<HashMap<SubredditName, i64>>);

impl Overlaps {
    fn last(&self, name: &SubredditName) -> Option<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
    }

    fn reached(&self, name: &SubredditName, served_at: i64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), served_at);
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
    let mut waiting = vec![group];
    while let Some(group) = waiting.pop() {
        let walked = walk(discover, overlaps, &group, stop).await;
        match &walked.end {
            WalkEnd::Stopped => return,
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
    let reach = group
        .iter()
        .map(|claimed| reach(discover, overlaps, claimed, group.len() == 1, started_at))
        .min();
    let mut walk = Walk::new(reach.unwrap_or(started_at));
    let mut served_at = None;
    let mut patience_ends = Instant::now() + PATIENCE;
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
            answer = tokio::time::timeout_at(patience_ends, ask) => answer,
        };
        match answer {
            Ok(Ok(page)) => {
                served_at.get_or_insert(page.served_at);
                walk.take(into_page(page));
                patience_ends = Instant::now() + PATIENCE;
            }
            // The source holds the next request back for as long as the answer calls for.
            Ok(Err(SourceError::Wait { .. })) => {}
            Ok(Err(SourceError::Unavailable { reason, .. })) => break WalkEnd::Unavailable(reason),
            Ok(Err(SourceError::Refused { detail, .. })) => break WalkEnd::Refused(detail),
            Err(_out_of_patience) => break WalkEnd::OutOfPatience,
        }
        if Instant::now() >= patience_ends {
            break WalkEnd::OutOfPatience;
        }
    };
    let finished_at = (discover.now_ms)() / 1000;
    Walked {
        walk,
        end,
        started_at,
        finished_at,
        served_at: served_at.unwrap_or(started_at),
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

/// How far back a walk must go for this member.
fn reach(
    discover: &Discover,
    overlaps: &Overlaps,
    claimed: &Claimed,
    alone: bool,
    now: i64,
) -> i64 {
    let config = &discover.config;
    let Some(covered) = claimed.covered_until else {
        return now.saturating_sub(seconds(config.first_window));
    };
    if !alone {
        // What was last seen in company is proven later; here it is freshness that counts.
        return covered.max(claimed.seen_until.unwrap_or(covered)) - seconds(short_overlap(config));
    }
    match overlaps.last(&claimed.claim.subreddit) {
        Some(last) if covered - last < seconds(config.overlap) => {
            covered - seconds(short_overlap(config))
        }
        // What was approved since the last whole overlap stands at most one overlap below that.
        last => last.unwrap_or(covered).min(covered) - seconds(config.overlap),
    }
}

/// Stores what the walk saw and proved; returns who is to be walked alone.
async fn record(
    discover: &Discover,
    claims: &Claims,
    overlaps: &Overlaps,
    group: &[Claimed],
    walked: &Walked,
    stop: &CancellationToken,
) -> Vec<SubredditName> {
    let now_ms = (discover.now_ms)();
    let (mut members, mut to_be_alone) = (Vec::with_capacity(group.len()), Vec::new());
    for claimed in group {
        match member(&discover.config, claimed, group.len() == 1, walked, now_ms) {
            Some(member) => members.push(member),
            None => to_be_alone.push(claimed.claim.subreddit.clone()),
        }
    }
    let record = PollRecord {
        listed: walked.walk.listed(),
        undecodable: walked.walk.undecodable(),
        members: &members,
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
    remember_overlaps(discover, overlaps, group, &members);
    count(&discover.metrics, walked, &members, &stored, now_ms);
    to_be_alone
}

/// One transaction, repeated while the database is away. `None` where it cannot be written at all:
/// then the windows stay open, and the next polls list the same again.
async fn write(
    discover: &Discover,
    record: &PollRecord<'_>,
    stop: &CancellationToken,
) -> Option<PollStored> {
    loop {
        let begun = Instant::now();
        match discover.store.record_poll(record).await {
            Ok(stored) => {
                discover
                    .metrics
                    .ingest
                    .write_seconds
                    .observe(begun.elapsed().as_secs_f64());
                return Some(stored);
            }
            Err(error) if error.is_unavailable() && !stop.is_cancelled() => {
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => {
                tracing::error!(%error, subreddits = record.members.len(), "A poll could not be recorded; its windows stay open");
                let claims: Vec<_> = record
                    .members
                    .iter()
                    .map(|member| member.claim.clone())
                    .collect();
                if let Err(error) = discover.store.release_claims(&claims).await {
                    tracing::debug!(%error, "Claims were left to run out");
                }
                return None;
            }
        }
    }
}

fn remember_overlaps(
    discover: &Discover,
    overlaps: &Overlaps,
    group: &[Claimed],
    members: &[MemberRecord],
) {
    for member in members {
        let Some(window) = &member.window else {
            continue;
        };
        let claimed = group.iter().find(|claimed| claimed.claim == member.claim);
        let covered = claimed.and_then(|claimed| claimed.covered_until);
        let whole = covered.is_none_or(|covered| {
            window.window_start <= covered - seconds(discover.config.overlap)
        });
        if whole && window.outcome == WindowOutcome::Complete {
            overlaps.reached(&member.claim.subreddit, window.window_end);
        }
    }
}
