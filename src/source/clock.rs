//! A server's clock, as the `Date` of its answers tells it.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seconds by which an answer may differ from the others and still be believed by itself.
const JUMP: u64 = 86_400;

/// What answers have told. Time between them is counted without the clock of this machine, which may
/// be set meanwhile.
#[derive(Debug)]
pub(super) struct ItsClock {
    begun: Instant,
    told: Mutex<Told>,
}

/// Its time when this began; seconds since the epoch.
#[derive(Debug)]
struct Told {
    believed: i64,
    /// By the last answer, where that was the odd one.
    doubted: Option<i64>,
}

impl ItsClock {
    /// `ours` is the time that holds until answers tell another; seconds since the epoch.
    pub(super) fn new(ours: i64) -> ItsClock {
        ItsClock {
            begun: Instant::now(),
            told: Mutex::new(Told {
                believed: ours,
                doubted: None,
            }),
        }
    }

    /// The time there, seconds since the epoch.
    pub(super) fn now(&self) -> i64 {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.believed.saturating_add(self.elapsed())
    }

    /// Takes the `Date` of an answer that has just come; the time that is believed instead. One that
    /// is more than a day away from all others is believed when the next one agrees with it.
    pub(super) fn hear(&self, date: i64) -> i64 {
        let elapsed = self.elapsed();
        let at_begin = date.saturating_sub(elapsed);
        let agrees = |other: i64| at_begin.abs_diff(other) <= JUMP;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if agrees(told.believed) || told.doubted.is_some_and(agrees) {
            told.believed = at_begin;
            told.doubted = None;
            date
        } else {
            told.doubted = Some(at_begin);
            told.believed.saturating_add(elapsed)
        }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: i64 = 1_790_000_000;
    const MONTH: i64 = 30 * 86_400;

    #[test]
    fn one_odd_date_is_not_believed() {
        let clock = ItsClock::new(OURS);
        assert_eq!(clock.hear(OURS + 40), OURS + 40);
        assert!((OURS + 40..OURS + 50).contains(&clock.hear(OURS + MONTH)));
        assert_eq!(clock.hear(OURS + 41), OURS + 41);
        assert!((OURS + 41..OURS + 50).contains(&clock.hear(OURS + MONTH)));
        assert!((OURS + 41..OURS + 50).contains(&clock.now()));
    }

    #[test]
    fn dates_that_agree_are_believed_whatever_our_own_clock_says() {
        let clock = ItsClock::new(OURS);
        clock.hear(OURS - MONTH);
        assert_eq!(clock.hear(OURS - MONTH + 1), OURS - MONTH + 1);
        assert!(clock.now() < OURS - MONTH + 10);
    }
}
