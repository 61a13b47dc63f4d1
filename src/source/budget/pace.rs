//! How fast: the arithmetic behind the promise of a budget.
//!
//! Knows no state and no clock.

use std::num::NonZeroU32;

/// The promise holds for windows up to this much longer than a minute. A grant is not an arrival:
/// one request may dawdle on its way while a later one does not, and a grant of a block
/// (see [`super::stock`]) is used a little after it was taken. What they can shift is less than this.
const SLACK_MS: f64 = 1_000.0;

/// One block holds what the pace gains in this time.
const BLOCK_MS: f64 = 20.0;

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
        // Two at least, where the rate allows it, so that one can be kept for whose turn it is.
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

    /// How many grants to take in one round trip to a shared state; one, at the rates that Reddit
    /// allows.
    pub fn block(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates"
        )]
        let block = (self.per_ms * BLOCK_MS) as u32;
        block.max(1)
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
}
