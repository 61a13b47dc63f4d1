//! How far a file shows that it reaches. Pure.
//!
//! One row far from all others may be of any origin, and says nothing of the time between: an end is believed
//! where several submissions are near it, by how many there were before. Where few are, none is far away.

use crate::source::Survey;
use crate::store::Interval;

/// So many in as much time before a silence tell that somebody would have posted in it.
const ENOUGH: u64 = 8;
/// And so many, that those behind it must be more than a few.
const MANY: u64 = 40;
/// An end is shown by so many.
const WITNESSES: u64 = 3;
/// The same behind a silence after many.
const WITNESSES_AFTER_MANY: u64 = 10;
/// The last tenth is no end where it is less than a tenth as dense as what comes before.
const TENTH: i128 = 10;

/// So many of it in as much time tell that it has not ended where its file goes on.
const MANY_OWN: usize = 40;
const HOUR: i64 = 3_600;
/// A silence of the subreddit that is no night; seconds.
const DAY: i64 = 24 * HOUR;

/// Submissions by time, seconds, ascending, each with the number of all up to it.
struct Times {
    at: Vec<i64>,
    up_to: Vec<u64>,
}

impl Times {
    /// Of times that ascend, each with how many submissions it has.
    fn new(times: impl IntoIterator<Item = (i64, u64)>) -> Times {
        let (mut at, mut up_to, mut all) = (Vec::new(), Vec::new(), 0u64);
        for (time, count) in times {
            all = all.saturating_add(count);
            at.push(time);
            up_to.push(all);
        }
        Times { at, up_to }
    }

    /// From the first to the last that are believed. Silences that are no longer than `shortest` are none.
    fn believed(&self, shortest: i64) -> Option<(i64, i64)> {
        let newest = self.at[..self.end(shortest)?].last()?;
        let oldest = self.backwards();
        let oldest = oldest.at[..oldest.end(shortest)?].last()?;
        let oldest = oldest.checked_neg()?;
        (oldest <= *newest).then_some((oldest, *newest))
    }

    fn backwards(&self) -> Times {
        let before = std::iter::once(0).chain(self.up_to.iter().copied());
        let counts = self.up_to.iter().zip(before).map(|(all, it)| all - it);
        let times = self.at.iter().map(|at| at.saturating_neg());
        let mut both: Vec<(i64, u64)> = times.zip(counts).collect();
        both.reverse();
        Times::new(both)
    }

    /// How many are from `start` to `end`, both included.
    fn within(&self, start: i64, end: i64) -> u64 {
        let before = |place: usize| place.checked_sub(1).map_or(0, |place| self.up_to[place]);
        let from = before(self.at.partition_point(|at| *at < start));
        before(self.at.partition_point(|at| *at <= end)).saturating_sub(from)
    }

    /// Behind the last that is believed.
    fn end(&self, shortest: i64) -> Option<usize> {
        let (newest, all) = (*self.at.last()?, *self.up_to.last()?);
        for (place, pair) in self.at.windows(2).enumerate() {
            let &[last, next] = pair else { continue };
            let silence = next.saturating_sub(last);
            if silence <= shortest {
                continue;
            }
            let before = self.within(last.saturating_sub(silence), last);
            if before < ENOUGH {
                continue;
            }
            let behind = all - self.up_to[place];
            let near = i128::from(self.within(next, next.saturating_add(silence)));
            let shown = i128::from(newest.saturating_sub(next).min(silence));
            let sparse = near * TENTH * i128::from(silence) < i128::from(before) * shown;
            let few = behind < WITNESSES || before >= MANY && behind < WITNESSES_AFTER_MANY;
            if few || sparse && i128::from(behind) * TENTH < i128::from(all) {
                return Some(place + 1);
            }
        }
        Some(self.at.len())
    }
}

/// The oldest and the newest submission of a file that are believed, of all of which these two are.
pub(super) fn ends(survey: &Survey, range: Interval, span: (i64, i64)) -> (i64, i64) {
    let (mut first, mut last) = span;
    let times = survey.times();
    let hours = survey.hours.iter();
    let hours = Times::new(hours.map(|(hour, count)| (hour * HOUR, *count)));
    if let Some((from, to)) = hours.believed(HOUR) {
        // Within these hours, what lies where is known of the subreddit's own.
        if from > first {
            let own = times.partition_point(|at| *at < from);
            let own = times.get(own).copied().unwrap_or(i64::MAX);
            first = own.min(from + HOUR);
        }
        if to + HOUR <= last {
            let own = times.partition_point(|at| *at < to + HOUR);
            let own = own.checked_sub(1).and_then(|it| times.get(it)).copied();
            last = own.unwrap_or(i64::MIN).max(to);
        }
    }
    let own = Times::new(times.iter().map(|at| (*at, 1))).believed(DAY);
    let Some((from, to)) = own else {
        return (first, last);
    };
    let within = |start: i64, end: i64| {
        times.partition_point(|at| *at <= end) - times.partition_point(|at| *at < start)
    };
    let before = first.max(range.start);
    let silence = from - before;
    let left_out = times.first().is_some_and(|it| *it < from);
    if left_out || silence > DAY && within(from, from + silence) >= MANY_OWN {
        first = first.max(from);
    }
    let silence = last.min(range.end) - to;
    let left_out = times.last().is_some_and(|it| *it > to);
    if left_out || silence > DAY && within(to - silence, to) >= MANY_OWN {
        last = last.min(to);
    }
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn believed(times: &[i64]) -> Option<(i64, i64)> {
        let mut times = times.to_vec();
        times.sort_unstable();
        let there = Times::new(times.iter().map(|at| (*at, 1))).believed(0);
        let back = Times::new(times.iter().rev().map(|at| (-at, 1))).believed(0);
        assert_eq!(there, back.map(|(start, end)| (-end, -start)));
        there
    }

    #[test]
    fn what_lies_far_from_the_rest_is_no_end() {
        for every in [60, 900, HOUR, DAY] {
            let half: Vec<i64> = (0..200).map(|it| it * every).collect();
            let end = 199 * every;
            let far = end + 200 * every;
            for strays in [
                vec![far],
                vec![end + 20 * every],
                vec![far, far],
                vec![far, far + 1, far + 2],
                vec![far - 100 * every, far],
                vec![far - 100 * every, far - 50 * every, far],
                vec![far - 90 * every, far - 60 * every, far - 30 * every, far],
                (0..9).map(|it| far - it * 20 * every).collect(),
                vec![-far],
                vec![-far, far],
                vec![-far, -far / 2, far / 2 + end, far],
            ] {
                let all = [half.as_slice(), &strays].concat();
                assert_eq!(believed(&all), Some((0, end)), "{every} {strays:?}");
            }
        }
    }

    #[test]
    fn what_is_sparse_or_uneven_or_dense_at_both_ends_is_believed() {
        let day = |day: i64, posts: i64| (0..posts).map(move |it| day * DAY + it * HOUR / 4);
        for times in [
            vec![5],
            vec![5, 30 * DAY],
            vec![0, DAY, 29 * DAY, 30 * DAY],
            vec![0, 7 * DAY, 9 * DAY, 10 * DAY, 11 * DAY, 12 * DAY, 30 * DAY],
            // Each has its nights and its weekends.
            (0..30).flat_map(|it| day(it, 40)).collect(),
            (0..30)
                .filter(|it| it % 7 < 5)
                .flat_map(|it| day(it, 40))
                .collect(),
            // It was away.
            (0..30)
                .filter(|it| !(8..15).contains(it))
                .flat_map(|it| day(it, 20))
                .collect(),
            (0..30)
                .filter(|it| !(8..29).contains(it))
                .flat_map(|it| day(it, 20))
                .collect(),
            // Fewer and fewer post.
            (0..40).map(|it| it * it * HOUR).collect(),
        ] {
            let ends = Some((times[0], times[times.len() - 1]));
            assert_eq!(believed(&times), ends, "{times:?}");
        }
        assert_eq!(believed(&[]), None);
    }
}
