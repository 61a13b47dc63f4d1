//! Open gaps as one backfill by ids: each time once, for all subreddits that have a gap there.

use super::judge::MARGIN;
use crate::backfill::evidence::merged;
use crate::backfill::plan::cut;
use crate::config::IdScan;
use crate::discover::{Discover, ids_are_dense};
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::store::{
    Backfill, BackfillFilter, Gap, GapReason, GapState, Interval, NewBackfill, Store, StoreError,
    without,
};
use crate::submission::SubredditName;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What such a backfill says was asked for, and of whom.
const REQUEST: &str = "gaps by ids";
const ALL: &str = "all";
/// What the source of such a backfill is called.
pub const IDS: &str = "ids";
/// A longer time is done in parts, seconds.
const PART: i64 = 21_600;
/// By itself, no longer gap is repaired so, seconds: 655 requests an hour, whatever is in it.
const LONGEST: i64 = 86_400;
/// By itself, a time is tried again after so many seconds.
const AGAIN: i64 = 21_600;
const LOOK: Duration = Duration::from_secs(30);
/// How long it holds that ids are dense, or are not.
const DENSE_FOR: Duration = Duration::from_secs(3_600);
const LEASE_NAME: &str = "repair_by_ids";
const LEASE_MS: i64 = 90_000;
/// Ids a second of all of Reddit, and of one request those that are new.
const PER_SECOND: f64 = 18.2;
const PER_REQUEST: f64 = 97.0;
/// Requests to find where a slice begins and ends.
const TO_FIND: f64 = 12.0;

/// A backfill that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRepair {
    /// Its number.
    pub backfill: i64,
    /// How many gaps it is for.
    pub gaps: usize,
    /// All its time, seconds.
    pub seconds: i64,
    /// About how many requests it takes, at most, where ids come as on all of Reddit.
    pub requests: u64,
}

/// Begins a backfill for the open gaps of subreddits that are active, but for those that one under way
/// is for; none where there are none.
///
/// # Errors
/// As the database answers; where the answer was lost it may have begun.
pub async fn repair_gaps_by_ids(
    store: &Store,
    subreddit: Option<&SubredditName>,
    now_ms: i64,
) -> Result<Option<IdRepair>, StoreError> {
    let gaps = store.gaps(subreddit, Some(GapState::Open)).await?;
    begin(store, gaps, now_ms, None).await
}

/// The repairs by ids that are not at their end, the newest first.
///
/// # Errors
/// As the database answers.
pub async fn ids_under_way(store: &Store, now_ms: i64) -> Result<Vec<Backfill>, StoreError> {
    let filter = BackfillFilter {
        request: Some(REQUEST),
        open: true,
        ..BackfillFilter::default()
    };
    store.backfills(filter, u32::MAX, now_ms).await
}

/// What backfills by ids are for that are under way, or were begun after `since`.
async fn taken(
    store: &Store,
    since: Option<i64>,
    now_ms: i64,
) -> Result<Vec<Interval>, StoreError> {
    let filter = BackfillFilter {
        request: Some(REQUEST),
        open: since.is_none(),
        ..BackfillFilter::default()
    };
    let backfills = store.backfills(filter, 1_000, now_ms).await?;
    let mut taken = Vec::new();
    for backfill in backfills {
        let is_open = backfill.finished_at.is_none();
        if is_open || since.is_some_and(|since| backfill.finished_at > Some(since)) {
            let slices = store.slices(backfill.id).await?;
            taken.extend(slices.iter().map(|slice| slice.interval));
        }
    }
    Ok(taken)
}

async fn begin(
    store: &Store,
    mut gaps: Vec<Gap>,
    now_ms: i64,
    since: Option<i64>,
) -> Result<Option<IdRepair>, StoreError> {
    if gaps.is_empty() {
        return Ok(None);
    }
    let names: HashSet<&SubredditName> = gaps.iter().map(|gap| &gap.subreddit).collect();
    let mut active = HashSet::new();
    let read = store.read_active(|row| {
        if names.contains(&row.name) {
            active.insert(row.name);
        }
    });
    read.await?;
    gaps.retain(|gap| active.contains(&gap.subreddit));
    let taken = taken(store, since, now_ms).await?;
    gaps.retain(|gap| !without(&[gap.interval], &taken).is_empty());
    let times = times(gaps.iter().map(|gap| gap.interval), &taken);
    let Some(range) = times.iter().copied().reduce(Interval::hull) else {
        return Ok(None);
    };
    let Ok(subreddit) = ALL.parse() else {
        return Ok(None);
    };
    let slices = cut(&times, PART);
    let seconds: i64 = times.iter().map(|it| it.end - it.start).sum();
    let requests = requests(seconds, slices.len());
    let new = NewBackfill {
        subreddit,
        source: IDS.to_owned(),
        request: REQUEST.to_owned(),
        range,
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices,
    };
    let backfill = store.create_backfill(&new, now_ms).await?;
    Ok(Some(IdRepair {
        backfill,
        gaps: gaps.len(),
        seconds,
        requests,
    }))
}

/// Each time once, without what others do; what is close together is one, since the margins overlap.
fn times(gaps: impl Iterator<Item = Interval>, taken: &[Interval]) -> Vec<Interval> {
    let wider = gaps.map(|gap| Interval {
        start: gap.start,
        end: gap.end.saturating_add(2 * MARGIN),
    });
    let together = merged(wider.collect());
    let together = together.into_iter().map(|it| Interval {
        start: it.start,
        end: it.end - 2 * MARGIN,
    });
    without(&together.collect::<Vec<_>>(), taken)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn requests(seconds: i64, slices: usize) -> u64 {
    let around = (slices as i64).saturating_mul(2 * MARGIN);
    let ids = seconds.saturating_add(around) as f64 * PER_SECOND;
    (ids / PER_REQUEST + slices as f64 * TO_FIND).ceil() as u64
}

/// What it takes to repair gaps by ids.
#[derive(Debug)]
pub struct IdRepairs {
    /// Where the gaps are, and whom to ask whether ids are dense.
    pub discover: Discover,
    /// Rung when slices may be fed.
    pub work: Arc<Notify>,
}

/// Begins, until told to stop, repairs by ids of what has become of gaps that no listing reaches, where ids are
/// dense.
pub async fn repair_by_ids(repairs: IdRepairs, stop: CancellationToken) {
    let IdRepairs { discover, work } = repairs;
    let (store, progress) = (&discover.store, &discover.progress);
    let mut look = tokio::time::interval(LOOK);
    let mut dense: Option<(Instant, bool)> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = progress.during(HOWEVER_LONG, look.tick()) => progress.made(),
        }
        let turn = async {
            let now_ms = (discover.now_ms)();
            let leased = store.acquire_lease(LEASE_NAME, &discover.holder, now_ms, LEASE_MS);
            if !leased.await? {
                return Ok(None);
            }
            let mut gaps = store.gaps(None, Some(GapState::Open)).await?;
            gaps.retain(|gap| {
                gap.reason == Some(GapReason::BeyondListing)
                    && gap.interval.end - gap.interval.start <= LONGEST
            });
            if gaps.is_empty() || !is_dense(&discover, &mut dense).await {
                return Ok(None);
            }
            let since = now_ms.div_euclid(1000) - AGAIN;
            begin(store, gaps, now_ms, Some(since)).await
        };
        let begun = tokio::select! {
            begun = progress.during(CALL, turn) => begun,
            // A question to Reddit may wait long for its budget.
            () = stop.cancelled() => break,
        };
        match begun {
            Ok(Some(repair)) => {
                work.notify_one();
                let IdRepair {
                    backfill,
                    gaps,
                    seconds,
                    requests,
                } = repair;
                tracing::info!(
                    backfill,
                    gaps,
                    seconds,
                    requests,
                    "Gaps that no listing reaches are repaired by their ids"
                );
            }
            Ok(None) => {}
            Err::<_, StoreError>(error) => {
                tracing::debug!(%error, "Gaps could not be repaired by their ids");
            }
        }
        progress.made();
    }
    if let Err(error) = store.release_lease(LEASE_NAME, &discover.holder).await {
        tracing::debug!(%error, "A lease was left to run out");
    }
}

/// Whether ids are dense, as it was known lately; where the scan was asked for, that is taken for granted.
async fn is_dense(discover: &Discover, known: &mut Option<(Instant, bool)>) -> bool {
    if discover.config.id_scan == IdScan::On {
        return true;
    }
    match known {
        Some((asked, dense)) if asked.elapsed() < DENSE_FOR => *dense,
        _ => {
            let dense = match ids_are_dense(discover).await {
                Ok(dense) => dense,
                Err(error) => {
                    tracing::debug!(%error, "Whether ids are dense is not known");
                    return false;
                }
            };
            *known = Some((Instant::now(), dense));
            dense
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start, end }
    }

    #[test]
    fn each_time_is_done_once_whoever_has_a_gap_there() {
        let gaps = [
            interval(1_000, 2_000),
            interval(1_500, 2_500),
            interval(2_600, 2_700),
        ];
        assert_eq!(times(gaps.into_iter(), &[]), [interval(1_000, 2_700)]);
        let apart = [
            interval(1_000, 2_000),
            interval(2_000 + 2 * MARGIN + 1, 3_000),
        ];
        assert_eq!(times(apart.into_iter(), &[]), apart);
        assert_eq!(
            times(gaps.into_iter(), &[interval(1_200, 2_650)]),
            [interval(1_000, 1_200), interval(2_650, 2_700)]
        );
        assert_eq!(times(gaps.into_iter(), &[interval(0, 9_000)]), []);
    }

    #[test]
    fn an_hour_of_all_of_reddit_takes_some_seven_hundred_requests() {
        let hour = requests(3_600, 1);
        assert!((655..=730).contains(&hour), "{hour}");
        assert!(requests(86_400, 4) < 24 * hour);
    }
}
