//! One slice out of the archive, page by page.

use super::handler::{Broken, Step};
use super::walk::{Answer, Walk};
use super::{Backfiller, LEASE_MS};
use crate::liveness::CALL;
use crate::store::{Interval, SliceClaim, SliceEnd, SliceStep};
use crate::submission::SubmissionId;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

/// Walks what is left of a slice and stores each page; ends with the slice.
pub(super) async fn bring_in(
    backfiller: &Backfiller,
    claim: &SliceClaim,
    step: &Step<'_>,
) -> Result<(), Broken> {
    let subreddit = claim.subreddit()?;
    let range = Interval {
        start: claim.reached,
        end: claim.slice_end,
    };
    let progress = &backfiller.progress;
    let waiting = progress.clone();
    let archive = backfiller.archive.telling(move || waiting.made());
    // Before any page: what the archive takes in meanwhile may come behind them.
    let horizon =
        backfiller
            .horizon
            .at_least(claim.slice_end, &archive, &backfiller.store, &subreddit);
    let (horizon, mut requests) = progress.during(CALL, horizon).await?;
    progress.made();
    let mut walk = Walk::new(range, horizon);
    let mut refused = HashSet::new();
    let mut marked = false;
    loop {
        step.may_go_on()?;
        let ask = match walk.next() {
            Ok(ask) => ask,
            Err(ended) => {
                let whole = Interval {
                    start: claim.slice_start,
                    end: claim.slice_end,
                };
                let believed = Interval {
                    end: whole.end.min(horizon),
                    ..whole
                };
                let proven = ended.proven(believed);
                let reason = if !ended.agreed {
                    Some("the archive's answers contradict one another")
                } else if horizon < whole.end {
                    Some("the archive has not come so far yet")
                } else if ended.unseen.is_empty() {
                    None
                } else {
                    Some("more was posted within one second than the archive shows")
                };
                let last = SliceStep {
                    claim,
                    reached: claim.slice_end,
                    listed: walk.counted(),
                    refused: 0,
                    requests,
                    claimed_until_ms: (backfiller.now_ms)() + LEASE_MS,
                    end: Some(SliceEnd {
                        proven: &proven,
                        reason,
                    }),
                };
                return step.record(&last, &[], &[]).await;
            }
        };
        let Interval { start, end } = ask.interval;
        let page = archive.page(&subreddit, start, end, ask.order, ask.at_least);
        let page = progress.during(CALL, page).await.map_err(Broken::Page)?;
        progress.made();
        if !marked && backfiller.archive.simulated().load(Ordering::Relaxed) {
            // Before anything of it is stored.
            progress
                .during(CALL, backfiller.store.mark_simulated())
                .await?;
            marked = true;
        }
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
        // Pages overlap.
        let refused_before = refused.len();
        refused.extend(page.undecodable.iter().map(|it| hashed(it.raw.get())));
        let stepped = SliceStep {
            claim,
            reached: walk.reached().min(claim.slice_end),
            listed: walk.counted(),
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

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
