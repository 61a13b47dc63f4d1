//! What a source that was read proves, after what contradicts it. Pure.
//!
//! A source that lacks a submission which the database holds was not whole where that one lies: between
//! the submissions around it that both have, nothing is proven, and where it lacks one here and one there,
//! nothing at all. A source that shows far less than it did when the backfill was planned proves nothing,
//! and none proves a silence that is far too long for what it shows before and after.

use crate::store::Interval;
use crate::submission::SubmissionId;
use std::collections::{BTreeMap, HashSet};

/// Fewer submissions than this are too few to say that others are missing.
const ENOUGH: i64 = 20;
/// What is found is far below what was expected where it is less than one in so many.
const FAR_BELOW: i64 = 10;
/// Places at which a source lacks what is stored, from which on it is not believed anywhere.
const SCATTERED: usize = 5;
/// And so many of a hundred of what was stored.
const SCATTERED_PERCENT: usize = 10;
/// Submissions in as much time before a silence, and after it, from which on somebody kept silent about
/// others: seconds without any would come once in ages.
const TOO_MANY_FOR_SILENCE: usize = 40;
/// Shorter silences may be the pause between two bursts; seconds.
const SILENCE: i64 = 900;

/// Where a source was not whole: around each of `stored` (when it was created, and its id) that it did not
/// show, as far as the nearest that it did show, or as the range.
pub(super) fn around_missing(
    range: Interval,
    shown: &BTreeMap<i64, Vec<SubmissionId>>,
    stored: &[(i64, String)],
) -> Vec<Interval> {
    let ids: HashSet<&str> = shown.values().flatten().map(SubmissionId::as_str).collect();
    let missing = stored.iter().filter(|(_, id)| !ids.contains(id.as_str()));
    let holes = missing.map(|(at, _)| {
        let before = shown.range(..=*at).next_back().map(|(at, _)| at + 1);
        let after = shown.range(*at..).next().map(|(at, _)| *at);
        Interval {
            start: before.unwrap_or(range.start).min(*at),
            end: after.unwrap_or(range.end).max(at + 1),
        }
    });
    holes.collect()
}

/// Whether a source lacks so much of what is stored, at so many places, that it may lack as much of what is
/// not. `holes` is where, `known` how many of the stored it shows.
pub(super) fn is_scattered(holes: &[Interval], known: usize) -> bool {
    let places = merged(holes.to_vec()).len();
    places >= SCATTERED && places * 100 >= (places + known) * SCATTERED_PERCENT
}

/// Where a source shows nothing for far longer than what it shows just before and after explains. `times`
/// ascend.
pub(super) fn silences(times: &[i64]) -> Vec<Interval> {
    let mut found = Vec::new();
    for (place, pair) in times.windows(2).enumerate() {
        let &[last, next] = pair else { continue };
        let length = next - last;
        if length <= SILENCE {
            continue;
        }
        let before = place + 1 - times.partition_point(|at| *at < last - length);
        let after = times.partition_point(|at| *at <= next + length) - place - 1;
        if before.min(after) >= TOO_MANY_FOR_SILENCE {
            found.push(Interval {
                start: last + 1,
                end: next,
            });
        }
    }
    found
}

/// Ascending, no two touching.
pub(super) fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::new();
    for interval in intervals {
        match merged.last_mut() {
            Some(last) if last.touches(interval) => *last = last.hull(interval),
            _ => merged.push(interval),
        }
    }
    merged
}

/// The seconds of submissions that a source showed and the database does not hold.
pub(super) fn not_stored(
    shown: &BTreeMap<i64, Vec<SubmissionId>>,
    stored: &[(i64, String)],
) -> Vec<Interval> {
    let stored: HashSet<&str> = stored.iter().map(|(_, id)| id.as_str()).collect();
    let lost = shown.iter().filter(|(_, ids)| {
        let mut ids = ids.iter();
        ids.any(|id| !stored.contains(id.as_str()))
    });
    let second = |(at, _): (&i64, _)| Interval {
        start: *at,
        end: at + 1,
    };
    lost.map(second).collect()
}

/// Whether so little was found that the source cannot have shown everything.
pub(super) fn far_below(found: i64, expected: Option<i64>) -> bool {
    let expected = expected.filter(|expected| *expected >= ENOUGH);
    expected.is_some_and(|expected| found.saturating_mul(FAR_BELOW) < expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::without;
    use proptest::prelude::*;

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start, end }
    }

    fn shown(at: &[i64]) -> BTreeMap<i64, Vec<SubmissionId>> {
        let id = |at: &i64| format!("s{at}").parse().unwrap();
        at.iter().map(|at| (*at, vec![id(at)])).collect()
    }

    fn stored(at: &[i64]) -> Vec<(i64, String)> {
        at.iter().map(|at| (*at, format!("s{at}"))).collect()
    }

    #[test]
    fn nothing_is_proven_between_the_neighbours_of_what_is_missing() {
        let range = interval(0, 100);
        let holes = around_missing(range, &shown(&[10, 50]), &stored(&[10, 30, 50, 70]));
        assert_eq!(holes, [interval(11, 50), interval(51, 100)]);
        let left = without(&[range], &holes);
        assert_eq!(left, [interval(0, 11), interval(50, 51)]);
        let none = around_missing(range, &shown(&[]), &stored(&[5]));
        assert!(without(&[range], &none).is_empty());
    }

    #[test]
    fn what_was_shown_and_is_not_stored_costs_its_second() {
        let lost = not_stored(&shown(&[10, 20, 30]), &stored(&[10, 30, 40]));
        assert_eq!(lost, [interval(20, 21)]);
    }

    #[test]
    fn one_of_a_second_that_is_missing_beside_others_costs_that_second() {
        let mut stored = stored(&[10]);
        stored.push((10, "other".to_owned()));
        let holes = around_missing(interval(0, 100), &shown(&[5, 10, 20]), &stored);
        assert_eq!(holes, [interval(10, 11)]);
    }

    #[test]
    fn only_a_large_difference_from_a_large_number_is_far_below() {
        assert!(!far_below(0, None));
        assert!(!far_below(0, Some(19)));
        assert!(far_below(1, Some(20)));
        assert!(!far_below(2, Some(20)));
    }

    #[test]
    fn a_source_that_lacks_one_here_and_one_there_lacks_others_too() {
        let holes = |count: i64| -> Vec<Interval> {
            (0..count)
                .map(|at| interval(at * 10, at * 10 + 5))
                .collect()
        };
        assert!(is_scattered(&holes(5), 20));
        assert!(!is_scattered(&holes(4), 0), "too few to tell");
        assert!(!is_scattered(&holes(5), 200), "too few of so many");
        let one: Vec<Interval> = (0..9).map(|at| interval(at, at + 2)).collect();
        assert!(!is_scattered(&one, 0), "an archive was away once");
    }

    #[test]
    fn a_silence_amid_many_is_not_believed_and_one_among_few_is() {
        let each_minute = |minutes: std::ops::Range<i64>| minutes.map(|it| it * 60);
        let times = |hole: std::ops::Range<i64>| -> Vec<i64> {
            each_minute(0..600)
                .filter(|at| !hole.contains(&(at / 60)))
                .collect()
        };
        assert_eq!(silences(&times(0..0)), []);
        let hole = interval(199 * 60 + 1, 260 * 60);
        assert_eq!(silences(&times(200..260)), [hole]);
        assert_eq!(silences(&times(200..230)), [], "30 are too few to tell");
        assert_eq!(silences(&times(0..60)), [], "it may begin there");
        let daily: Vec<i64> = (0..99).map(|day| day * 86_400).collect();
        assert_eq!(silences(&daily), []);
        let night: Vec<i64> = each_minute(0..600)
            .chain(each_minute(1_080..1_110))
            .collect();
        assert_eq!(silences(&night), [], "few come after it");
    }

    proptest! {
        #[test]
        fn no_second_of_a_hole_is_left_and_no_other_is_lost(
            proven in prop::collection::vec((0i64..60, 1i64..20), 0..4),
            holes in prop::collection::vec((0i64..80, 0i64..20), 0..5),
        ) {
            let of = |it: &[(i64, i64)]| -> Vec<Interval> {
                it.iter().map(|(start, length)| interval(*start, start + length)).collect()
            };
            let (proven, holes) = (of(&proven), of(&holes));
            let within = |all: &[Interval], at: i64| all.iter().any(|it| it.start <= at && at < it.end);
            let left = without(&proven, &holes);
            for at in 0..100 {
                let expected = within(&proven, at) && !within(&holes, at);
                prop_assert_eq!(within(&left, at), expected, "{}", at);
            }
        }
    }
}
