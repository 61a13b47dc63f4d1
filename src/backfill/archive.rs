//! One slice out of the archive, page by page.

use super::evidence::{around_missing, far_below, is_scattered, not_stored, silences};
use super::handler::{Broken, Step};
use super::walk::{Answer, Ended, Walk};
use super::{Backfiller, LEASE_MS};
use crate::liveness::CALL;
use crate::source::{ArcticShift, Order, SourceError};
use crate::store::{Interval, SliceClaim, SliceEnd, SliceStep, Store, without};
use crate::submission::{SubmissionId, SubredditName};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Why the newest of a slice is not proven; it is after some time.
pub const NOT_YET: &str = "the archive has not come so far yet";
const EMPTY: &str =
    "the archive shows nothing of that time, and neither what comes next nor what came before";
/// Submissions that are compared with the database at once.
const COMPARED: u32 = 5_000;

/// Walks what is left of a slice and stores each page; ends with the slice.
pub(super) async fn bring_in(
    backfiller: &Backfiller,
    claim: &SliceClaim,
    step: &Step<'_>,
) -> Result<(), Broken> {
    let subreddit = claim.subreddit()?;
    let range = Interval {
        // Nobody judged what older versions left at its end.
        start: match claim.reached < claim.slice_end {
            true => claim.reached,
            false => claim.slice_start,
        },
        end: claim.slice_end,
    };
    let progress = &backfiller.progress;
    let waiting = progress.clone();
    let archive = backfiller.archive.telling(move || waiting.made());
    // Before any page: what the archive takes in meanwhile may come behind them.
    let horizon = backfiller.horizon.at_least(
        claim.slice_end,
        &archive,
        &backfiller.store,
        &subreddit,
        (backfiller.now_ms)(),
    );
    let (horizon, mut requests) = progress.during(CALL, horizon).await?;
    progress.made();
    let mut walk = Walk::new(range, horizon);
    let mut refused = HashSet::new();
    let mut read = Read {
        believed: horizon,
        found: claim.listed,
        fresh: 0,
        unreadable: Vec::new(),
    };
    loop {
        step.may_go_on()?;
        let ask = match walk.next() {
            Ok(ask) => ask,
            Err(ended) => {
                let listed = walk.rest();
                read.found = read.found.saturating_add_unsigned(listed);
                read.fresh = step.fresh();
                let judged = judge(backfiller, claim, &walk, &ended, &read);
                let (mut proven, mut reason) = progress.during(CALL, judged).await?;
                if walk.seen().is_empty() && !range.is_empty() && !proven.is_empty() {
                    let now = (backfiller.now_ms)().div_euclid(1_000) + 1;
                    let silent = is_silence_shown(&archive, &subreddit, range, now);
                    let (shown, asked) = progress.during(CALL, silent).await?;
                    progress.made();
                    requests += asked;
                    if !shown {
                        proven = without(&proven, &[range]);
                        reason = Some(EMPTY);
                    }
                }
                let last = SliceStep {
                    unseen: &[],
                    claim,
                    reached: claim.slice_end,
                    listed,
                    refused: 0,
                    requests,
                    claimed_until_ms: (backfiller.now_ms)() + LEASE_MS,
                    end: Some(SliceEnd {
                        proven: &proven,
                        reason,
                        ends_backfill: true,
                    }),
                };
                return step.record(&last, &[], &[]).await;
            }
        };
        let Interval { start, end } = ask.interval;
        let page = archive.page(&subreddit, start, end, ask.order, ask.at_least);
        let page = progress.during(CALL, page).await.map_err(Broken::Page)?;
        progress.made();
        let items: Vec<(SubmissionId, i64)> = page
            .items
            .iter()
            .map(|item| (item.submission.id.clone(), item.submission.created_utc))
            .collect();
        walk.take(&Answer {
            items: &items,
            full: page.full,
            asked_for: page.asked_for,
        });
        read.believed = read.believed.min(page.served_at);
        let unreadable = page.unreadable.iter().map(|it| Interval {
            start: it.start,
            end: it.end,
        });
        // Whoever goes on behind this does not see them again.
        let mut unseen: Vec<Interval> = unreadable.collect();
        read.unreadable.extend(&unseen);
        unseen.extend(walk.unseen());
        if walk.next().is_err_and(|ended| !ended.agreed) {
            unseen.push(range);
        }
        // Pages overlap.
        let refused_before = refused.len();
        refused.extend(page.undecodable.iter().map(|it| hashed(it.raw.get())));
        let listed = walk.counted();
        read.found = read.found.saturating_add_unsigned(listed);
        let stepped = SliceStep {
            unseen: &unseen,
            claim,
            reached: walk.reached(),
            listed,
            refused: (refused.len() - refused_before) as u64,
            requests: requests + page.requests,
            claimed_until_ms: (backfiller.now_ms)() + LEASE_MS,
            end: None,
        };
        requests = 0;
        step.record(&stepped, &page.items, &page.undecodable)
            .await?;
    }
}

/// Whether an archive that shows nothing of a time shows what comes next, or else what came last before: an
/// answer without rows says nothing by itself, however often it is repeated. What comes next may spoil whatever
/// page it is on. The requests come back too.
async fn is_silence_shown(
    archive: &ArcticShift,
    subreddit: &SubredditName,
    silent: Interval,
    now: i64,
) -> Result<(bool, u32), SourceError> {
    let (start, end) = (silent.start, silent.end);
    let (mut requests, mut failed) = (0, None);
    for (interval, order) in [
        (start..now.max(end), Order::OldestFirst),
        (0..end, Order::NewestFirst),
    ] {
        let page = archive.page(subreddit, interval.start, interval.end, order, 1);
        let page = match page.await {
            Err(error) if error.may_be_the_request() && failed.is_none() => {
                failed = Some(error);
                continue;
            }
            page => page?,
        };
        requests += page.requests;
        let mut created = page.items.iter().map(|it| it.submission.created_utc);
        if !page.items.is_empty() {
            return Ok((created.all(|at| at < start || at >= end), requests));
        }
    }
    failed.map_or(Ok((false, requests)), Err)
}

/// What was read of a slice, beside what its walk saw.
struct Read {
    /// Up to when the archive was whole, and its answers were made; seconds.
    believed: i64,
    /// Submissions of the slice, with those of earlier attempts.
    found: i64,
    /// Those that nobody knew, of this attempt.
    fresh: u64,
    /// Where rows lay that are no submission, or none that can be stored.
    unreadable: Vec<Interval>,
}

/// What a walk proves that has come to its end, and why not more.
async fn judge(
    backfiller: &Backfiller,
    claim: &SliceClaim,
    walk: &Walk,
    ended: &Ended,
    read: &Read,
) -> Result<(Vec<Interval>, Option<&'static str>), Broken> {
    let whole = Interval {
        start: claim.slice_start,
        end: claim.slice_end,
    };
    if !ended.agreed {
        return Ok((
            Vec::new(),
            Some("the archive's answers contradict one another"),
        ));
    }
    if far_below(read.found, claim.expected) {
        let reason = "the archive shows far fewer submissions than when this was planned";
        return Ok((Vec::new(), Some(reason)));
    }
    let proven = ended.proven(Interval {
        end: whole.end.min(read.believed),
        ..whole
    });
    let mut missing = Vec::new();
    // Of what an earlier attempt read, only the number is known.
    let before = Interval {
        end: claim.reached,
        ..whole
    };
    let store = &backfiller.store;
    if !before.is_empty() {
        let stored = store.count_submissions(&claim.subreddit, before.start, before.end);
        if i64::try_from(stored.await?).unwrap_or(i64::MAX) > claim.listed {
            missing.push(before);
        }
    }
    let now = Interval {
        start: claim.reached,
        ..whole
    };
    let stored = stored_between(store, &claim.subreddit, now).await?;
    let around = around_missing(now, walk.seen(), &stored);
    let fresh = usize::try_from(read.fresh).unwrap_or(usize::MAX);
    let known = stored
        .len()
        .saturating_sub(around.len())
        .saturating_sub(fresh);
    if is_scattered(&around, known) {
        let reason =
            "the archive lacks submissions that are stored here and there, so it is not believed";
        return Ok((Vec::new(), Some(reason)));
    }
    missing.extend(around);
    let times = walk.seen().iter();
    let times = times.flat_map(|(at, ids)| std::iter::repeat_n(*at, ids.len()));
    // What an earlier attempt saw is stored.
    let earlier = stored_between(store, &claim.subreddit, before).await?;
    let earlier = earlier.into_iter().map(|(at, _)| at);
    let times: Vec<i64> = earlier.chain(times).collect();
    let silent = silences(&times);
    let lost = not_stored(walk.seen(), &stored);
    let left = without(&proven, &missing);
    let reason = if left != proven {
        Some("the archive lacks submissions that are stored, so it is not believed around them")
    } else if !silent.is_empty() {
        Some(
            "the archive shows nothing for far longer than what it shows before and after explains",
        )
    } else if read.believed < whole.end {
        Some(NOT_YET)
    } else if !ended.unseen.is_empty() {
        Some("more was posted within one second than the archive shows")
    } else if !read.unreadable.is_empty() || !lost.is_empty() {
        Some("some of what the archive shows could not be stored, so nothing is proven around it")
    } else {
        None
    };
    let left = without(&without(&left, &lost), &silent);
    Ok((without(&left, &read.unreadable), reason))
}

/// Times and ids of what is stored of a subreddit and a time, in order.
async fn stored_between(
    store: &Store,
    subreddit: &str,
    range: Interval,
) -> Result<Vec<(i64, String)>, Broken> {
    let mut stored: Vec<(i64, String)> = Vec::new();
    loop {
        let after = stored.last().cloned();
        let after = after.unwrap_or_else(|| (range.start, String::new()));
        let more = store.submissions_between(subreddit, &after, range.end, COMPARED);
        let more = more.await?;
        let last = more.len() < COMPARED as usize;
        stored.extend(more);
        if last {
            return Ok(stored);
        }
    }
}

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
