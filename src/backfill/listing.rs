//! One slice out of Reddit's own listing: all of it in one walk, which is never long.

use super::evidence::far_below;
use super::handler::{Broken, Step, discover_of};
use super::{Backfiller, LEASE_MS};
use crate::discover::{Past, PastEnd, past};
use crate::store::{Interval, SliceClaim, SliceEnd, SliceStep, Store};
use crate::submission::Observation;

/// Walks the listing down to the slice's start and stores what lies within.
pub(super) async fn bring_in(
    backfiller: &Backfiller,
    claim: &SliceClaim,
    step: &Step<'_>,
) -> Result<(), Broken> {
    let discover = discover_of(backfiller)?;
    let subreddit = claim.subreddit()?;
    let store = &backfiller.store;
    let walked = past(discover, &subreddit, claim.slice_start, &backfiller.stop).await;
    let Past {
        items,
        undecodable,
        pages,
        proven,
        unread,
        end,
    } = walked;
    match &end {
        PastEnd::Stopped => return Err(Broken::Stopped),
        PastEnd::Refused(reason) => return Err(Broken::Refused(reason.clone())),
        PastEnd::Reached | PastEnd::Ended | PastEnd::Unanswered => {}
    }
    let within = |item: &Observation| {
        let created = item.submission.created_utc;
        claim.slice_start <= created && created < claim.slice_end
    };
    let items: Vec<Observation> = items.into_iter().filter(within).collect();
    let proven: Vec<Interval> = proven
        .map(|proven| Interval {
            start: proven.start.max(claim.slice_start),
            end: proven.end.min(claim.slice_end),
        })
        .filter(|proven| !proven.is_empty())
        .into_iter()
        .collect();
    let proven = believed(store, claim, &items, proven).await?;
    let reason = (end == PastEnd::Ended).then(|| match proven.first() {
        Some(proven) => format!(
            "the listing ends at {}; an archive may have what is older",
            time(proven.start)
        ),
        None => "the listing ends before it; an archive may have it".to_owned(),
    });
    let ends = end != PastEnd::Unanswered;
    let whole = Interval {
        start: claim.slice_start,
        end: claim.slice_end,
    };
    let unread = unread.into_iter().filter(|_| ends);
    let unread = unread.map(|it| Interval {
        start: it.start.max(whole.start),
        end: it.end.min(whole.end),
    });
    let unread: Vec<Interval> = unread.filter(|it| !it.is_empty()).collect();
    let stepped = SliceStep {
        unseen: &unread,
        claim,
        reached: if ends {
            claim.slice_end
        } else {
            claim.slice_start
        },
        listed: if ends { items.len() as u64 } else { 0 },
        refused: undecodable.len() as u64,
        requests: pages,
        claimed_until_ms: (backfiller.now_ms)() + LEASE_MS,
        end: ends.then_some(SliceEnd {
            proven: &proven,
            reason: reason.as_deref(),
            ends_backfill: true,
        }),
    };
    step.record(&stepped, &items, &undecodable).await?;
    if ends {
        Ok(())
    } else {
        Err(Broken::Unanswered("Reddit did not answer".to_owned()))
    }
}

/// What is proven, unless the listing shows next to nothing of what the database holds of it: submissions vanish
/// from listings, but not nearly all of them.
async fn believed(
    store: &Store,
    claim: &SliceClaim,
    items: &[Observation],
    proven: Vec<Interval>,
) -> Result<Vec<Interval>, Broken> {
    let mut believed = Vec::new();
    for interval in proven {
        let within = |item: &&Observation| {
            let created = item.submission.created_utc;
            interval.start <= created && created < interval.end
        };
        let shown = items.iter().filter(within).count();
        let stored = store.count_submissions(&claim.subreddit, interval.start, interval.end);
        let stored = i64::try_from(stored.await?).unwrap_or(i64::MAX);
        if !far_below(i64::try_from(shown).unwrap_or(i64::MAX), Some(stored)) {
            believed.push(interval);
        }
    }
    Ok(believed)
}

/// Seconds in RFC 3339.
fn time(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
