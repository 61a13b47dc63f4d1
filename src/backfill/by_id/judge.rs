//! What answers for ids mean: which absence is believed, and whether ids are in the order of creation.

use crate::discover::DELAYS_MS;
use crate::store::AbsentId;

/// Seconds around a slice whose ids are asked for too: by so much creation may be out of order with ids.
pub(super) const MARGIN: i64 = 60;
/// An id is left out of two answers at least, so far apart.
const CONFIRM_MS: i64 = 10_000;
/// Of so many that were given out, fewer than one may be out of order.
const ONE_IN: i64 = 100;

/// When an id that was left out is asked for again; none once its absence is believed: it is still left out
/// when the last of the delays has passed since all of the slice was created, and was so before.
pub(super) fn due_ms(absent: &AbsentId, slice_end: i64) -> Option<i64> {
    let created_ms = slice_end.saturating_add(MARGIN).saturating_mul(1000);
    let again_ms = absent.asked_ms.saturating_add(CONFIRM_MS);
    let times = DELAYS_MS
        .iter()
        .map(|delay| created_ms.saturating_add(*delay));
    match times.clone().find(|time| *time > absent.asked_ms) {
        Some(next) => Some(next.max(again_ms)),
        None if absent.tries > 0 => None,
        None => Some(again_ms),
    }
}

/// Whether this was asked for after the last of the delays: it may be known then for good.
pub(super) fn is_late_enough(asked_ms: i64, slice_end: i64) -> bool {
    let created_ms = slice_end.saturating_add(MARGIN).saturating_mul(1000);
    let last = DELAYS_MS.last().copied().unwrap_or(0);
    asked_ms >= created_ms.saturating_add(last)
}

/// How many of these were created long after the next one: what was scheduled, or ids that are in no order.
/// `items` are ids with their creation times, ascending.
pub(super) fn strays(items: &[(i64, i64)]) -> i64 {
    let pairs = items.iter().zip(items.iter().skip(1));
    let late = pairs.filter(|((_, time), (_, next))| *time > next.saturating_add(MARGIN));
    i64::try_from(late.count()).unwrap_or(i64::MAX)
}

/// Whether so many show that a time cannot be told from ids.
pub(super) fn is_disorder(strays: i64, given_out: i64) -> bool {
    strays.saturating_mul(ONE_IN) > given_out
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 1_790_000_000;

    fn absent(tries: i64, asked_s: i64) -> AbsentId {
        AbsentId {
            id: 7,
            tries,
            asked_ms: (END + asked_s) * 1000,
        }
    }

    #[test]
    fn an_absence_is_believed_a_day_and_a_half_after_all_of_the_slice_was_created_and_never_at_once()
     {
        let last = MARGIN + 129_600;
        for (tries, asked_s, next_s) in [
            (0, -500, Some(MARGIN + 10)),
            (0, MARGIN + 5, Some(MARGIN + 15)),
            (0, MARGIN + 30, Some(MARGIN + 60)),
            (3, MARGIN + 899, Some(MARGIN + 909)),
            (9, MARGIN + 21_600, Some(last)),
            (0, last - 1, Some(last + 9)),
            (9, last - 1, Some(last + 9)),
            (0, last, Some(last + 10)),
            (1, last, None),
            (0, last + 9_999_999, Some(last + 9_999_999 + 10)),
            (1, last + 9_999_999, None),
        ] {
            let next = due_ms(&absent(tries, asked_s), END);
            assert_eq!(
                next,
                next_s.map(|next| (END + next) * 1000),
                "{tries} {asked_s}"
            );
        }
    }

    #[test]
    fn a_scheduled_submission_is_a_stray_and_neighbours_that_are_a_minute_apart_are_not() {
        let ordered: Vec<(i64, i64)> = (0..100).map(|id| (id, id * 5)).collect();
        assert_eq!(strays(&ordered), 0);
        let mut swapped = ordered.clone();
        for id in (0..90).step_by(10) {
            swapped[id].1 += MARGIN;
        }
        assert_eq!(strays(&swapped), 0);
        let mut scheduled = ordered.clone();
        scheduled[50].1 += 900_000;
        assert_eq!(strays(&scheduled), 1);
        assert!(!is_disorder(1, 100) && is_disorder(1, 99) && is_disorder(2, 150));
        let random: Vec<(i64, i64)> = (0..100).map(|id| (id, id * 7_919 % 100_003)).collect();
        assert!(is_disorder(strays(&random), 100));
        assert!(!is_disorder(0, 0));
    }
}
