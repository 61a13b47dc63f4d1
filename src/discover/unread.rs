//! When what was listed and cannot be read was posted, as far as its place in the listing tells.
//!
//! A listing shows what may be a submission and says not when it was created. What stands around it
//! bounds that, and no time in which it may lie is complete.

use crate::store::Interval;
use crate::submission::{Observation, SubmissionId, Unread};
use std::collections::HashMap;

/// So many above and below bound it: old ones that reappear on top come in ones and twos.
const NEIGHBOURS: usize = 3;

/// What cannot be read, and between which it stands in its page.
#[derive(Debug)]
pub(super) struct Placed {
    unread: Unread,
    /// The nearest above it in the same page.
    above: Option<SubmissionId>,
    /// The nearest below it there.
    below: Option<SubmissionId>,
    /// How many were listed before that page.
    before: usize,
}

impl Placed {
    /// `items` are those of its page that count, each with its place among all of them.
    pub(super) fn new(
        unread: Unread,
        place: usize,
        items: &[(usize, SubmissionId)],
        before: usize,
    ) -> Placed {
        let split = items.partition_point(|(at, _)| *at < place);
        let (above, below) = items.split_at(split);
        Placed {
            unread,
            above: above.last().map(|(_, id)| id.clone()),
            below: below.first().map(|(_, id)| id.clone()),
            before,
        }
    }
}

/// Each with the time in which it was created. That has no end where it stands on top of all that was
/// listed, or those above stand out of their place, and no beginning where it stands below everything.
pub(super) fn times<'a>(
    placed: &[Placed],
    listed: impl Iterator<Item = &'a Observation>,
    disorder: i64,
) -> Vec<(Unread, Interval)> {
    if placed.is_empty() {
        return Vec::new();
    }
    let (ids, times): (Vec<&SubmissionId>, Vec<i64>) = listed
        .map(|item| (&item.submission.id, item.submission.created_utc))
        .unzip();
    let places: HashMap<&SubmissionId, usize> = ids.into_iter().zip(0..).collect();
    let place = |id: &Option<SubmissionId>| places.get(id.as_ref()?).copied();
    let placed = placed.iter().map(|it| {
        let own = place(&it.above).map(|above| above + 1);
        let own = own.or_else(|| place(&it.below)).unwrap_or(it.before);
        let interval = match it.unread.created_utc {
            Some(at) => Interval {
                start: at,
                end: at.saturating_add(1),
            },
            None => between(&times, own, disorder),
        };
        (it.unread.clone(), interval)
    });
    placed.collect()
}

/// When what stands above the item at `place` may have been created.
fn between(times: &[i64], place: usize, disorder: i64) -> Interval {
    let (above, below) = times.split_at(place.min(times.len()));
    let above = &above[above.len().saturating_sub(NEIGHBOURS)..];
    let below = &below[..below.len().min(NEIGHBOURS)];
    let (last, first) = (above.iter().max(), below.iter().min());
    // A listing that is in order shows nothing newer below.
    let last = last.filter(|last| below.iter().all(|below| below <= last));
    let oldest = above.iter().chain(below).min();
    Interval {
        start: match (first, oldest) {
            (Some(_), Some(oldest)) => oldest.saturating_sub(disorder),
            _ => i64::MIN,
        },
        end: last.map_or(i64::MAX, |last| {
            last.saturating_add(1).saturating_add(disorder)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVER: (i64, i64) = (i64::MIN, i64::MAX);

    #[test]
    fn its_neighbours_bound_when_an_item_without_a_time_was_created() {
        let ordered = [100, 90, 80, 70, 60, 50, 40];
        for (times, place, disorder, (start, end)) in [
            (&ordered[..], 3, 0, (50, 101)),
            (&ordered, 3, 5, (45, 106)),
            (&ordered, 1, 0, (70, 101)),
            (&ordered, 0, 0, (80, i64::MAX)),
            (&ordered, 6, 0, (40, 71)),
            (&ordered, 7, 0, (i64::MIN, 61)),
            (&[], 0, 0, EVER),
            (&[50], 0, 0, (50, i64::MAX)),
            (&[50], 1, 0, (i64::MIN, 51)),
            (&[50, 50], 1, 0, (50, 51)),
            // Old ones that reappeared stand above it, below it, and around it.
            (&[5, 100, 90, 80], 1, 0, (5, i64::MAX)),
            (&[100, 5, 90, 80], 2, 0, (5, 101)),
            (&[100, 5, 90, 80], 1, 0, (5, 101)),
            (&[5, 6, 100, 90], 1, 0, (5, i64::MAX)),
        ] {
            let it = between(times, place, disorder);
            assert_eq!((it.start, it.end), (start, end), "{times:?} at {place}");
        }
    }
}
