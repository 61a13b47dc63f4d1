//! How fast: the arithmetic behind the promise of a budget.
//!
//! Knows no state and no clock.

use super::Priority;
use std::num::NonZeroU32;

/// The promise holds for windows up to this much longer than a minute. A grant is not an arrival:
/// one request may dawdle on its way while a later one does not, and a grant of a block
/// (see [`super::stock`]) is used a little after it was taken. What they can shift is less than this.
const SLACK_MS: f64 = 1_000.0;

/// Shares of a bucket are reserved as if it were no larger: those ahead come a few at a time, and a
/// large bucket that starts empty would keep the others waiting for nothing.
const MOST_RESERVED: f64 = 30.0;

const MINUTE_MS: f64 = 60_000.0;

/// A bucket's size and its refill, such that no minute holds more grants than it may.
///
/// A bucket of `burst` that gains a grant every T lets through, in any 60 s, at most
/// `burst + floor(60 s / T)`. With T = 61 s / (rpm - burst + 1) that is at most rpm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    burst: f64,
    per_ms: f64,
}

impl Pace {
    /// The pace for so many requests a minute.
    pub fn per_minute(requests: NonZeroU32) -> Pace {
        let rpm = requests.get();
        // Two at least, where the rate allows it, so that a poll can be left one.
        let burst = (rpm / 20).max(if rpm >= 10 { 2 } else { 1 });
        Pace {
            burst: f64::from(burst),
            per_ms: (f64::from(rpm) - f64::from(burst) + 1.0) / (MINUTE_MS + SLACK_MS),
        }
    }

    /// Grants that may be given out at once after a rest.
    pub fn burst(&self) -> f64 {
        self.burst
    }

    /// Grants gained in a millisecond.
    pub fn per_ms(&self) -> f64 {
        self.per_ms
    }

    /// What must stay in the bucket after a grant of this priority, for the ones above it, while it
    /// refills at `rate` grants per millisecond.
    ///
    /// A slower refill than the pace's own needs a smaller reserve, or the wait for it would grow
    /// without bound; one grant is left in any case, where the bucket holds more than one. Never so
    /// much that a full bucket could not grant.
    pub fn reserve(&self, priority: Priority, rate: f64) -> f64 {
        let share = match priority {
            Priority::Poll => 0.0,
            Priority::Fetch => 0.3,
            Priority::Backfill => 0.6,
        };
        let full = share * self.burst.min(MOST_RESERVED);
        (full * rate / self.per_ms)
            .clamp(full.min(1.0), full)
            .min(self.burst - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_closed_minute_can_hold_more_than_its_requests() {
        for rpm in (1..2_000).chain([6_000, 100_000, 10_000_000]) {
            let pace = Pace::per_minute(NonZeroU32::new(rpm).unwrap());
            let most = pace.burst() + (MINUTE_MS * pace.per_ms()).floor();
            assert!(most <= f64::from(rpm), "{rpm}: {most}");
            assert!(pace.burst() >= 1.0);
        }
    }

    #[test]
    fn little_of_the_rate_is_given_up_for_the_promise() {
        let pace = Pace::per_minute(NonZeroU32::new(100).unwrap());
        assert!(pace.per_ms() * MINUTE_MS > 94.0);
    }

    #[test]
    fn every_priority_can_be_served_from_a_full_bucket() {
        for rpm in 1..500 {
            let pace = Pace::per_minute(NonZeroU32::new(rpm).unwrap());
            for priority in [Priority::Poll, Priority::Fetch, Priority::Backfill] {
                for slower in [1.0, 0.5, 0.01, 0.0] {
                    let reserve = pace.reserve(priority, pace.per_ms() * slower);
                    assert!(1.0 + reserve <= pace.burst(), "{rpm}");
                }
            }
        }
    }
}
