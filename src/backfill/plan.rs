//! What a backfill will take: which source, which slices, how much of everything.

use crate::source::{ArchivePage, ArcticShift, Order, SourceError};
use crate::store::{Interval, NewSlice};
use crate::submission::SubredditName;
use std::num::NonZeroU32;

/// Submissions in a slice, about: some ten requests, so that little is done again when one is cut off,
/// and many slices share the work.
const SLICE_SUBMISSIONS: u64 = 1_000;
const SHORTEST_SLICE: i64 = 3_600;
const LONGEST_SLICE: i64 = 30 * 86_400;
/// More slices than this would be longer to count than to do.
const MOST_SLICES: i64 = 5_000;
/// Pages that are looked at to estimate the rest.
const SAMPLES: i64 = 6;
/// How often one of them is asked for before there is no plan; whoever asks for it is there.
const TRIES: u32 = 3;
/// New rows of a page, of which the first stood on the one before.
const ROWS_PER_PAGE: u64 = 99;
/// A stored submission takes about so much more than the object that came, with columns and indexes.
const DISK_FACTOR: f64 = 1.7;
/// What a listing shows at most, of which deleted ones take places.
const LISTING: f64 = 900.0;

/// Where submissions of the past come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedSource {
    /// Reddit's listing, which ends after about 1,000.
    Reddit,
    /// The archive.
    ArcticShift,
    /// Files of this machine.
    Files,
}

impl PlannedSource {
    /// As the command line and the database call it.
    pub fn as_str(self) -> &'static str {
        match self {
            PlannedSource::Reddit => "reddit",
            PlannedSource::ArcticShift => "arctic-shift",
            PlannedSource::Files => "files",
        }
    }
}

/// Which source is best where none was chosen, and why.
pub fn best_source(
    has_key: bool,
    posts_per_hour: Option<f64>,
    range: Interval,
    now: i64,
) -> (PlannedSource, String) {
    if !has_key {
        let why = "the archive needs no key, and reddit.client_id is not set";
        return (PlannedSource::ArcticShift, why.to_owned());
    }
    let Some(hourly) = posts_per_hour.filter(|hourly| *hourly > 0.0) else {
        let why = "how far Reddit's listing reaches back is not known: it is not watched";
        return (PlannedSource::ArcticShift, why.to_owned());
    };
    #[expect(clippy::cast_possible_truncation, reason = "seconds of some years")]
    let reach = (LISTING / hourly * 3_600.0).min(1e10) as i64;
    let days = reach / 86_400;
    if now - range.start < reach {
        let why = format!(
            "Reddit's listing of about 1,000 reaches back some {days} days at {hourly:.1} an hour"
        );
        (PlannedSource::Reddit, why)
    } else {
        let why = format!(
            "Reddit's listing of about 1,000 reaches back only some {days} days at {hourly:.1} an hour"
        );
        (PlannedSource::ArcticShift, why)
    }
}

/// What of a range is not covered; `covered` ascending, as the store keeps it.
pub fn uncovered(range: Interval, covered: &[(i64, i64)]) -> Vec<Interval> {
    let mut missing = Vec::new();
    let mut start = range.start;
    for (from, to) in covered {
        let end = (*from).min(range.end);
        if start < end {
            missing.push(Interval { start, end });
        }
        start = start.max(*to);
    }
    let end = range.end;
    missing.push(Interval { start, end });
    missing.retain(|interval| !interval.is_empty());
    missing
}

/// What it will take, about.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Submissions that it will find.
    pub submissions: u64,
    /// Requests that it will send.
    pub requests: u64,
    /// How long that takes under the budget, if nothing else asks.
    pub seconds: u64,
    /// What the database will grow by.
    pub bytes: u64,
    /// Pages that this was judged by.
    pub samples: u32,
}

/// A planned backfill.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is missing, cut into jobs.
    pub slices: Vec<NewSlice>,
    /// About.
    pub estimate: Estimate,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The archive holds nothing of it, at any time.
    #[error(
        "the archive has nothing of r/{0}: is the name right? It has no private or quarantined subreddits either"
    )]
    Unknown(SubredditName),
    /// The archive did not answer. What the transport said of it is in its words already.
    #[error("the archive cannot be asked (arctic_shift.url): {0}")]
    Source(SourceError),
}

impl From<SourceError> for PlanError {
    fn from(error: SourceError) -> PlanError {
        PlanError::Source(error)
    }
}

/// What one look told.
#[derive(Debug, Default, Clone, Copy)]
struct Sample {
    per_second: f64,
    rows: usize,
    bytes: usize,
    seconds: f64,
}

/// Looks at some pages of what is missing and plans the rest.
///
/// # Errors
/// Where the archive does not answer, or does not know the subreddit.
pub async fn plan(
    archive: &ArcticShift,
    subreddit: &SubredditName,
    missing: &[Interval],
    per_minute: NonZeroU32,
    max_active: u32,
) -> Result<Plan, PlanError> {
    let length: i64 = missing.iter().map(|it| it.end - it.start).sum();
    let looks = SAMPLES.min(length.div_euclid(SHORTEST_SLICE) + 1);
    let mut samples: Vec<Sample> = Vec::new();
    for look in 0..looks {
        let Some(from) = place(missing, length * look / looks) else {
            break;
        };
        let page = page(archive, subreddit, from, Order::OldestFirst).await?;
        let created = page.items.iter().map(|item| item.submission.created_utc);
        let span = match created.max() {
            Some(newest) if page.full => newest - from.start + 1,
            _ => from.end - from.start,
        };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        samples.push(Sample {
            per_second: page.items.len() as f64 / span.max(1) as f64,
            rows: page.items.len(),
            bytes: page.items.iter().map(|item| item.raw.get().len()).sum(),
            seconds: page.seconds,
        });
    }
    if samples.iter().all(|sample| sample.rows == 0) {
        let ever = Interval {
            start: 0,
            end: i64::from(u32::MAX),
        };
        let ever = page(archive, subreddit, ever, Order::NewestFirst).await?;
        if ever.items.is_empty() {
            return Err(PlanError::Unknown(subreddit.clone()));
        }
    }
    Ok(from_samples(
        missing, length, &samples, per_minute, max_active,
    ))
}

/// One page, though an answer went wrong now and then.
async fn page(
    archive: &ArcticShift,
    subreddit: &SubredditName,
    of: Interval,
    order: Order,
) -> Result<ArchivePage, SourceError> {
    let mut tries = 1;
    loop {
        match archive.page(subreddit, of.start, of.end, order, 1).await {
            Err(SourceError::Wait { .. }) if tries < TRIES => tries += 1,
            answered => return answered,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn from_samples(
    missing: &[Interval],
    length: i64,
    samples: &[Sample],
    per_minute: NonZeroU32,
    max_active: u32,
) -> Plan {
    let count = samples.len().max(1) as f64;
    let rate = samples.iter().map(|sample| sample.per_second).sum::<f64>() / count;
    let submissions = (rate * length as f64).round() as u64;
    let rows = samples.iter().map(|sample| sample.rows).sum::<usize>();
    let bytes = samples.iter().map(|sample| sample.bytes).sum::<usize>();
    let wanted = i64::try_from(submissions.div_ceil(SLICE_SUBMISSIONS)).unwrap_or(i64::MAX);
    let seconds = (length / wanted.clamp(1, MOST_SLICES))
        .clamp(SHORTEST_SLICE, LONGEST_SLICE)
        .max(length / MOST_SLICES);
    let slices = cut(missing, seconds);
    let requests = submissions / ROWS_PER_PAGE + 2 * slices.len() as u64;
    let answer = samples.iter().map(|sample| sample.seconds).sum::<f64>() / count;
    let by_budget = requests as f64 * 60.0 / f64::from(per_minute.get());
    let by_answers = requests as f64 * answer / f64::from(max_active.max(1));
    let object = bytes as f64 / rows.max(1) as f64;
    Plan {
        slices,
        estimate: Estimate {
            submissions,
            requests,
            seconds: by_budget.max(by_answers).ceil() as u64,
            bytes: (submissions as f64 * object * DISK_FACTOR) as u64,
            samples: samples.len() as u32,
        },
    }
}

/// What lies behind the first `offset` seconds of some intervals, up to the end of the one that it is in.
fn place(intervals: &[Interval], mut offset: i64) -> Option<Interval> {
    for interval in intervals {
        let length = interval.end - interval.start;
        if offset < length {
            return Some(Interval {
                start: interval.start + offset,
                end: interval.end,
            });
        }
        offset -= length;
    }
    None
}

/// Cuts intervals into equal parts of about so many seconds.
pub(super) fn cut(intervals: &[Interval], seconds: i64) -> Vec<NewSlice> {
    let mut slices = Vec::new();
    for interval in intervals {
        let length = interval.end - interval.start;
        let parts = (length + seconds - 1) / seconds.max(1);
        let bound = |part: i64| {
            let at = i128::from(length) * i128::from(part) / i128::from(parts.max(1));
            interval.start + i64::try_from(at).unwrap_or(length)
        };
        slices.extend((0..parts).map(|part| NewSlice {
            name: None,
            start: bound(part),
            end: bound(part + 1),
        }));
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start, end }
    }

    #[test]
    fn what_is_covered_is_left_out() {
        let range = interval(0, 100);
        assert_eq!(uncovered(range, &[]), [range]);
        assert_eq!(
            uncovered(range, &[(-5, 10), (20, 30), (90, 120)]),
            [interval(10, 20), interval(30, 90)]
        );
        assert!(uncovered(range, &[(0, 100)]).is_empty());
        assert!(uncovered(range, &[(-9, 300)]).is_empty());
    }

    #[test]
    fn slices_cover_what_is_missing_without_holes() {
        let missing = [interval(0, 100_000), interval(200_000, 200_010)];
        let slices = cut(&missing, 30_000);
        assert_eq!(slices.len(), 5);
        assert_eq!((slices[0].start, slices[3].end), (0, 100_000));
        for pair in slices[..4].windows(2) {
            assert_eq!(pair[0].end, pair[1].start);
        }
        assert_eq!((slices[4].start, slices[4].end), (200_000, 200_010));
    }

    #[test]
    fn an_estimate_follows_its_samples() {
        let missing = [interval(0, 1_000_000)];
        let sample = |per_second| Sample {
            per_second,
            rows: 100,
            bytes: 200_000,
            seconds: 0.5,
        };
        let budget = NonZeroU32::new(60).unwrap();
        let samples = [sample(0.01), sample(0.03)];
        let plan = from_samples(&missing, 1_000_000, &samples, budget, 4);
        assert_eq!(plan.estimate.submissions, 20_000);
        assert_eq!(plan.slices.len(), 20);
        assert_eq!(plan.estimate.requests, 20_000 / 99 + 40);
        assert_eq!(plan.estimate.seconds, plan.estimate.requests);
        assert_eq!(plan.estimate.bytes, 68_000_000);
    }

    #[test]
    fn the_listing_is_chosen_only_where_it_surely_reaches() {
        let range = interval(1_000_000, 1_100_000);
        let best = |key, hourly| best_source(key, hourly, range, 1_100_000).0;
        assert_eq!(best(true, Some(1.0)), PlannedSource::Reddit);
        assert_eq!(best(true, Some(100.0)), PlannedSource::ArcticShift);
        assert_eq!(best(true, None), PlannedSource::ArcticShift);
        assert_eq!(best(false, Some(1.0)), PlannedSource::ArcticShift);
    }
}
