//! Open gaps as backfills out of the archive: what no listing shows any more.

use super::evidence::merged;
use super::horizon::Horizon;
use super::plan::cut;
use super::reached::Reached;
use crate::liveness::{CALL, HOWEVER_LONG, Progress};
use crate::source::ArcticShift;
use crate::store::{
    Backfill, BackfillFilter, Gap, GapReason, GapState, Interval, NewBackfill, NewSlice, Store,
    StoreError,
};
use crate::submission::SubredditName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What such a backfill says was asked for.
const REQUEST: &str = "gaps";
const LOOK: Duration = Duration::from_secs(30);
const LEASE_NAME: &str = "repair_from_archive";
const LEASE_MS: i64 = 90_000;
/// Seconds between two tries of one subreddit's gaps: what the archive does not have it may get.
const AGAIN: i64 = 3_600;
/// A gap longer than this is done in parts, seconds.
const PART: i64 = 86_400;
const MAX_ACTIVE: u32 = 2;
/// How far around a gap submissions are counted, seconds: from an hour to a day, by the gap's length.
const AROUND: (i64, i64) = (3_600, 86_400);

/// Begins a backfill for each subreddit that has open gaps, but for those for which one is under way;
/// their numbers, with how many gaps each is for.
///
/// # Errors
/// As the database answers; what was begun goes on.
pub async fn repair_gaps(
    store: &Store,
    subreddit: Option<&SubredditName>,
    now_ms: i64,
) -> Result<Vec<(SubredditName, i64, usize)>, StoreError> {
    let gaps = store.gaps(subreddit, Some(GapState::Open)).await?;
    begin(store, gaps, now_ms, None).await
}

/// The backfills that are to close gaps and are not at their end, the newest first.
///
/// # Errors
/// As the database answers.
pub async fn repairs_under_way(
    store: &Store,
    subreddit: Option<&SubredditName>,
    now_ms: i64,
) -> Result<Vec<Backfill>, StoreError> {
    let under_way = BackfillFilter {
        subreddit,
        request: Some(REQUEST),
        open: true,
        ..BackfillFilter::default()
    };
    store.backfills(under_way, u32::MAX, now_ms).await
}

async fn begin(
    store: &Store,
    gaps: Vec<Gap>,
    now_ms: i64,
    not_since: Option<i64>,
) -> Result<Vec<(SubredditName, i64, usize)>, StoreError> {
    let mut by_subreddit: BTreeMap<String, (SubredditName, Vec<Interval>)> = BTreeMap::new();
    for gap in gaps {
        let name = gap.subreddit.as_str().to_owned();
        let (_, intervals) = by_subreddit
            .entry(name)
            .or_insert_with(|| (gap.subreddit.clone(), Vec::new()));
        intervals.push(gap.interval);
    }
    let mut begun = Vec::new();
    for (subreddit, mut intervals) in by_subreddit.into_values() {
        let latest = BackfillFilter {
            subreddit: Some(&subreddit),
            request: Some(REQUEST),
            ..BackfillFilter::default()
        };
        let latest = store.backfills(latest, 1, now_ms).await?;
        let latest = latest.first();
        if latest.is_some_and(|latest| latest.finished_at.is_none()) {
            continue;
        }
        // What was tried lately waits, and nothing that came since waits with it.
        if let (Some(latest), Some(not_since)) = (latest, not_since)
            && latest.created_at > not_since
        {
            let tried = latest.range_start..=latest.range_end;
            intervals.retain(|it| !tried.contains(&it.start) || !tried.contains(&it.end));
        }
        let Some(range) = intervals.iter().copied().reduce(Interval::hull) else {
            continue;
        };
        let gaps = merged(intervals.clone());
        let slices = expecting(store, &subreddit, &gaps).await?;
        let new = NewBackfill {
            subreddit: subreddit.clone(),
            source: "arctic-shift".to_owned(),
            request: REQUEST.to_owned(),
            range,
            newest_first: true,
            max_active: MAX_ACTIVE,
            refresh: true,
            expected: None,
            slices,
        };
        let id = store.create_backfill(&new, now_ms).await?;
        begun.push((subreddit, id, intervals.len()));
    }
    Ok(begun)
}

/// The slices of gaps, with what each should hold at least, by what was posted around its gap.
async fn expecting(
    store: &Store,
    subreddit: &SubredditName,
    gaps: &[Interval],
) -> Result<Vec<NewSlice>, StoreError> {
    let coverage = store.coverage(subreddit).await?;
    let known = store.posts_per_hour(subreddit).await?;
    let mut slices = Vec::new();
    for gap in gaps {
        let mut least: Option<f64> = None;
        for around in windows(*gap) {
            let (mut seconds, mut count) = (0, 0);
            for (start, end) in &coverage {
                let proven = Interval {
                    start: (*start).max(around.start),
                    end: (*end).min(around.end),
                };
                if !proven.is_empty() {
                    let name = subreddit.as_str();
                    let stored = store.count_submissions(name, proven.start, proven.end);
                    count += stored.await?;
                    seconds += proven.end - proven.start;
                }
            }
            // What is proven of less says little about the rest.
            if seconds * 2 >= around.end - around.start {
                let rate = per_second(count, seconds);
                least = Some(least.map_or(rate, |least| least.min(rate)));
            }
        }
        let known = known.map(|hourly| hourly / 3_600.0);
        let rate = least.or(known).unwrap_or_default();
        slices.extend(cut(&[*gap], PART).into_iter().map(|slice| NewSlice {
            expected: expected(rate, slice.end - slice.start),
            ..slice
        }));
    }
    Ok(slices)
}

/// Before a gap and after it: as long as it is, and a day, since nights are quieter.
fn windows(gap: Interval) -> Vec<Interval> {
    let length = (gap.end - gap.start).clamp(AROUND.0, AROUND.1);
    let mut windows = Vec::new();
    for length in [length, AROUND.1] {
        windows.push(Interval {
            start: gap.start - length,
            end: gap.start,
        });
        windows.push(Interval {
            start: gap.end,
            end: gap.end + length,
        });
    }
    windows
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn per_second(count: u64, seconds: i64) -> f64 {
    count as f64 / seconds as f64
}

/// How many a slice should hold at such a rate; none where it is none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, which saturates"
)]
fn expected(rate: f64, seconds: i64) -> Option<u32> {
    let expected = (rate * seconds as f64).floor() as u32;
    (expected > 0).then_some(expected)
}

/// What it takes to send gaps to the archive.
#[derive(Debug)]
pub struct Repair {
    /// Where the gaps are.
    pub store: Store,
    /// The archive.
    pub archive: ArcticShift,
    /// How far it has come, as the workers of slices know it.
    pub horizon: Arc<Horizon>,
    /// Who sends them, unique to this process.
    pub holder: String,
    /// Rung when slices may be fed.
    pub work: Arc<Notify>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Where it says that it gets on.
    pub progress: Progress,
}

/// Sends to the archive, until told to stop, what has become of gaps that no listing reaches, once it has
/// come as far as they.
pub async fn repair(repair: Repair, stop: CancellationToken) {
    let Repair {
        store,
        archive,
        horizon,
        holder,
        work,
        now_ms,
        progress,
    } = repair;
    let waiting = progress.clone();
    let mut reached = Reached::new(archive.telling(move || waiting.made()), horizon);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = progress.during(HOWEVER_LONG, look.tick()) => progress.made(),
        }
        let turn = async {
            if !store
                .acquire_lease(LEASE_NAME, &holder, now_ms(), LEASE_MS)
                .await?
            {
                return Ok(Vec::new());
            }
            let mut gaps = store.gaps(None, Some(GapState::Open)).await?;
            gaps.retain(|gap| gap.reason == Some(GapReason::BeyondListing));
            let gaps = reached.among(gaps, &store, now_ms(), &progress).await?;
            begin(&store, gaps, now_ms(), Some(now_ms() / 1000 - AGAIN)).await
        };
        let turn = progress.during(CALL, turn);
        let begun = tokio::select! {
            begun = turn => begun,
            // A question to the archive may wait long for its budget.
            () = stop.cancelled() => break,
        };
        match begun {
            Ok(begun) => {
                for (subreddit, backfill, gaps) in begun {
                    work.notify_one();
                    tracing::info!(%subreddit, backfill, gaps, "Gaps that no listing reaches are sent to the archive");
                }
            }
            Err::<_, StoreError>(error) => {
                tracing::debug!(%error, "Gaps could not be sent to the archive");
            }
        }
        progress.made();
    }
    if let Err(error) = store.release_lease(LEASE_NAME, &holder).await {
        tracing::debug!(%error, "A lease was left to run out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_expected_as_are_posted_in_that_time() {
        let rate = per_second(7_200, 3_600);
        assert_eq!(expected(rate, 1_800), Some(3_600));
        assert_eq!(expected(per_second(1, 3_600), 1_800), None);
        assert_eq!(expected(f64::MAX, i64::MAX), Some(u32::MAX));
        assert_eq!(expected(0.0, i64::MAX), None);
    }

    #[test]
    fn gaps_that_overlap_are_one() {
        let interval = |start, end| Interval { start, end };
        assert_eq!(
            merged(vec![interval(5, 9), interval(0, 3), interval(8, 20)]),
            [interval(0, 3), interval(5, 20)]
        );
    }
}
