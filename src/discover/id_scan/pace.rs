//! How many requests a scan makes: at most so many a minute, whatever there is to ask for.

use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// All of Reddit needs some twenty, with its retries.
const MOST: f64 = 40.0;
/// Of the whole budget: where the scan is a choice of the program's, and where it was asked for.
const SHARE: f64 = 0.4;
const SHARE_IF_ASKED_FOR: f64 = 0.7;
/// Of those, one step's first request each; what is left is for bursts and for what was skipped.
const FOR_STEPS: f64 = 0.97;
/// Unused ones are kept for a burst, up to so many.
const KEPT: f64 = 8.0;

/// Requests a minute that a scan may make at this budget.
pub(super) fn allowed(requests_per_minute: NonZeroU32, asked_for: bool) -> f64 {
    let share = if asked_for { SHARE_IF_ASKED_FOR } else { SHARE };
    MOST.min(share * f64::from(requests_per_minute.get()))
}

#[derive(Debug)]
pub(super) struct Pace {
    per_minute: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(per_minute: f64, now: Instant) -> Pace {
        Pace {
            per_minute,
            left: KEPT,
            at: now,
        }
    }

    /// From one step to the next.
    pub(super) fn step(&self) -> Duration {
        Duration::from_secs_f64(60.0 / (self.per_minute * FOR_STEPS))
    }

    /// Takes one request where `spare` are left besides.
    pub(super) fn take(&mut self, now: Instant, spare: f64) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.per_minute / 60.0).min(KEPT);
        self.at = now;
        let may = self.left >= 1.0 + spare;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_requests_than_allowed_but_for_what_was_kept() {
        let begun = Instant::now();
        let mut pace = Pace::new(allowed(NonZeroU32::new(100).unwrap(), true), begun);
        let mut taken = 0;
        for tenth in 1..=6_000 {
            while pace.take(begun + Duration::from_millis(100) * tenth, 0.0) {
                taken += 1;
            }
        }
        assert!((400..=408).contains(&taken), "{taken}");
        assert!(pace.step() > Duration::from_millis(1_500));
        let small = allowed(NonZeroU32::new(30).unwrap(), false);
        assert!((small - 12.0).abs() < 0.01);
    }
}
