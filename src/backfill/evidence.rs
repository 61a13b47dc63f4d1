//! What a source that was read proves, after what contradicts it. Pure.
//!
//! A source that lacks a submission which the database holds was not whole where that one lies: between
//! the submissions around it that both have, nothing is proven. And a source that shows far less than
//! it did when the backfill was planned proves nothing.

use crate::store::Interval;
use crate::submission::SubmissionId;
use std::collections::{BTreeMap, HashSet};

/// Fewer submissions than this are too few to say that others are missing.
const ENOUGH: i64 = 20;
/// What is found is far below what was expected where it is less than one in so many.
const FAR_BELOW: i64 = 10;

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

/// What is left of some intervals without the holes.
pub(super) fn without(proven: &[Interval], holes: &[Interval]) -> Vec<Interval> {
    let mut left = proven.to_vec();
    for hole in holes.iter().filter(|hole| !hole.is_empty()) {
        left = left
            .into_iter()
            .flat_map(|it| {
                let before = Interval {
                    start: it.start,
                    end: it.end.min(hole.start),
                };
                let after = Interval {
                    start: it.start.max(hole.end),
                    end: it.end,
                };
                [before, after]
            })
            .filter(|it| !it.is_empty())
            .collect();
    }
    left
}

/// Whether so little was found that the source cannot have shown everything.
pub(super) fn far_below(found: i64, expected: Option<i64>) -> bool {
    let expected = expected.filter(|expected| *expected >= ENOUGH);
    expected.is_some_and(|expected| found.saturating_mul(FAR_BELOW) < expected)
}

#[cfg(test)]
mod tests {
    use super::*;
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
