//! The simulated Reddit's time.
//!
//! Owns two readings. *World time* is what submissions, listings and the `Date` header follow; it
//! may run faster than the wall clock, or stand still until moved. *Service time* is what tokens and
//! the rate window follow: clients wait for those in their own seconds, whatever the world's speed.
//! Knows nothing of what happens in time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Clock {
    starts_at_ms: i64,
    speed: f64,
    began: Instant,
    advanced_ms: AtomicI64,
}

impl Clock {
    /// `speed` is world seconds per real second; at 0 both readings stand still until advanced.
    pub(super) fn new(starts_at_ms: i64, speed: f64) -> Clock {
        Clock {
            starts_at_ms,
            speed,
            began: Instant::now(),
            advanced_ms: AtomicI64::new(0),
        }
    }

    /// World time, milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.moved() + millis(self.began.elapsed().mul_f64(self.speed))
    }

    /// Service time, milliseconds since the epoch.
    pub(super) fn service_ms(&self) -> i64 {
        if self.speed == 0.0 {
            self.moved()
        } else {
            self.moved() + millis(self.began.elapsed())
        }
    }

    /// Moves both readings on.
    pub(super) fn advance(&self, by: Duration) {
        self.advanced_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    fn moved(&self) -> i64 {
        self.starts_at_ms
            .saturating_add(self.advanced_ms.load(Ordering::SeqCst))
    }
}

/// A duration in whole milliseconds, at most what an `i64` holds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::new(1_000, 0.0);
        assert_eq!((clock.now_ms(), clock.service_ms()), (1_000, 1_000));
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now_ms(), clock.service_ms()), (3_000, 3_000));
    }

    #[test]
    fn service_time_keeps_the_wall_clocks_pace_in_a_fast_world() {
        let clock = Clock::new(0, 1_000_000.0);
        let service = clock.service_ms();
        let world = loop {
            let world = clock.now_ms();
            if world > 0 {
                break world;
            }
        };
        assert!(service < world);
    }
}
