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
/// Where pages are sampled to estimate the rest, seconds before the end of what is missing: every quarter
/// of the last day, and then twice in each span that is as long as all after it, by turns at this time of
/// day and half a day apart. What lies between two pages is judged by both, so that neither the busy nor
/// the quiet hours of a day stand for all of it.
const DAY: i64 = 86_400;
const QUARTER: i64 = DAY / 4;
const HALF: i64 = DAY / 2;
/// How often one of them is asked for before there is no plan; whoever asks for it is there.
const TRIES: u32 = 3;
/// New rows of a page, of which the first stood on the one before.
const ROWS_PER_PAGE: f64 = 99.0;
/// Requests that a slice takes beside its full pages: of the last page about half is a page more, and its
/// end is asked for the other way round. Nothing that is shown is not believed without three more.
const BESIDE_PAGES: f64 = 1.5;
const LEAST: f64 = 2.0;
const EMPTY: f64 = 3.0;
/// A stored submission takes about so much more than the object that came, with columns and indexes.
const DISK_FACTOR: f64 = 1.7;

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

/// What one page says of a stretch of what is missing; both in seconds before its end.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    from: i64,
    to: i64,
    per_second: f64,
    /// All of the stretch that this page counted is known; the rest is judged by it.
    counted: u64,
    judged_seconds: i64,
    /// When the rows were created.
    created: Vec<i64>,
    bytes: usize,
    seconds: f64,
}

/// Samples some pages of what is missing and plans the rest.
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
    let mut samples: Vec<Sample> = Vec::new();
    let mut from = 0;
    while from < length {
        let Some(before) = place(missing, from) else {
            break;
        };
        let page = page(archive, subreddit, before, Order::NewestFirst).await?;
        let sample = sample(&page, before, from, length);
        from = sample.to;
        samples.push(sample);
    }
    // What lies before the last page may be less dense, or from before there was anything.
    if let (Some(first), Some(last)) = (missing.first(), samples.last())
        && last.judged_seconds > 0
    {
        let page = page(archive, subreddit, *first, Order::OldestFirst).await?;
        samples.push(oldest(&page, *first, length));
    }
    if samples.iter().all(|sample| sample.created.is_empty()) {
        let ever = Interval {
            start: 0,
            end: i64::from(u32::MAX),
        };
        let ever = self::page(archive, subreddit, ever, Order::NewestFirst).await?;
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

/// Reads a page of the newest of `before`, which ends `from` seconds before the end of all.
fn sample(page: &ArchivePage, before: Interval, from: i64, length: i64) -> Sample {
    let created: Vec<i64> = page
        .items
        .iter()
        .map(|item| item.submission.created_utc)
        .collect();
    let whole = before.end - before.start;
    let shown = match created.iter().min() {
        Some(oldest) if page.full => (before.end - oldest).clamp(1, whole.max(1)),
        _ => whole.max(1),
    };
    let to = next_sample(from, length).min(length).max(from);
    // A page counts as far as it shows, and one that is not full to the end of its stretch.
    let to = to.max((from + shown).min(length));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    Sample {
        from,
        to,
        per_second: created.len() as f64 / shown as f64,
        counted: created.len() as u64,
        judged_seconds: (to - from - shown).max(0),
        bytes: page.items.iter().map(|item| item.raw.get().len()).sum(),
        seconds: page.seconds,
        created,
    }
}

/// Reads a page of the oldest: it adds nothing to the estimate, but says what the oldest slices hold.
fn oldest(page: &ArchivePage, first: Interval, length: i64) -> Sample {
    let created = page.items.iter().map(|item| item.submission.created_utc);
    let newest = created.max().filter(|_| page.full).unwrap_or(first.end - 1);
    let backwards = Interval {
        start: first.start,
        end: newest + 1,
    };
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    Sample {
        per_second: page.items.len() as f64 / (backwards.end - backwards.start).max(1) as f64,
        counted: 0,
        judged_seconds: 0,
        ..sample(page, backwards, length, length)
    }
}

/// The next place behind one where a page is sampled of a range of this length.
fn next_sample(from: i64, length: i64) -> i64 {
    let next = regular_sample(from);
    // The last stretch has two ends, too, half a day apart.
    let last = from >= DAY && next >= length && regular_sample(from - 1) == from;
    if last && length - from > HALF {
        return from + HALF;
    }
    next
}

fn regular_sample(from: i64) -> i64 {
    if from < DAY {
        return (from / QUARTER + 1) * QUARTER;
    }
    let mut span = DAY;
    while from >= 2 * span {
        span *= 2;
    }
    let within = span + span / 2 + if span > DAY { HALF } else { 0 };
    if from < within { within } else { 2 * span }
}

/// How many submissions the samples tell of, each stretch between two judged by both.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn found(samples: &[Sample]) -> f64 {
    let found = samples.iter().enumerate().map(|(place, it)| {
        let next = samples.get(place + 1).unwrap_or(it);
        it.counted as f64 + it.per_second.midpoint(next.per_second) * it.judged_seconds as f64
    });
    found.sum()
}

/// How many requests slices take that hold so many submissions together.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn requests(submissions: f64, slices: &[NewSlice], samples: &[Sample]) -> f64 {
    let each = submissions / slices.len().max(1) as f64;
    let pages = (each / ROWS_PER_PAGE + BESIDE_PAGES).max(LEAST);
    let is_counted = samples.iter().all(|it| it.judged_seconds == 0);
    let empty = slices.iter().map(|slice| match slice.expected {
        Some(1..) => 0.0,
        _ if is_counted => 1.0,
        _ => (-each).exp(),
    });
    slices.len() as f64 * pages + EMPTY * empty.sum::<f64>()
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
    let submissions = found(samples).round() as u64;
    let rows = samples.iter().map(|it| it.created.len()).sum::<usize>();
    let bytes = samples.iter().map(|sample| sample.bytes).sum::<usize>();
    let wanted = i64::try_from(submissions.div_ceil(SLICE_SUBMISSIONS)).unwrap_or(i64::MAX);
    let wanted = wanted.clamp(1, MOST_SLICES);
    let seconds = ((length + wanted - 1) / wanted)
        .clamp(SHORTEST_SLICE, LONGEST_SLICE)
        .max(length / MOST_SLICES);
    let mut slices = cut(missing, seconds);
    expect(&mut slices, length, samples);
    // Those that begin together each ask how far the archive has come.
    let first = slices.len().min(max_active.max(1) as usize);
    let requests = requests(submissions as f64, &slices, samples).round() as u64 + first as u64;
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

/// Notes what each slice holds at least: what the samples showed of it, or as many as come at the slower of
/// the rates around it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn expect(slices: &mut [NewSlice], length: i64, samples: &[Sample]) {
    let mut begins = 0;
    for slice in slices {
        let ends = begins + slice.end - slice.start;
        // From the end of all, as the samples count.
        let (from, to) = (length - ends, length - begins);
        begins = ends;
        let mut judged = 0.0;
        for pair in samples.windows(2) {
            let overlap = (pair[0].to.min(to) - pair[0].from.max(from)).max(0);
            judged += pair[0].per_second.min(pair[1].per_second) * overlap as f64;
        }
        let within = |at: &&i64| slice.start <= **at && **at < slice.end;
        let shown = samples.iter().flat_map(|it| &it.created).filter(within);
        slice.expected = Some((judged as u32).max(shown.count() as u32));
    }
}

/// Of some intervals, the one that a moment is in which comes `offset` seconds before the end of all, up to
/// that moment.
fn place(intervals: &[Interval], mut offset: i64) -> Option<Interval> {
    for interval in intervals.iter().rev() {
        let length = interval.end - interval.start;
        if offset < length {
            return Some(Interval {
                start: interval.start,
                end: interval.end - offset,
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
            expected: None,
        }));
    }
    slices
}

#[cfg(test)]
mod tests;
