//! The archive beside the simulated Reddit: what it is made with, and how often it may be asked.
//!
//! A service of its own on the same listener, with Arctic Shift's API: it needs no token, has its
//! own quota, and fails apart from Reddit. What it holds is `world`'s business, its words are
//! `http`'s.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// The quota runs over fixed windows of a minute of service time.
const WINDOW_MS: i64 = 60_000;
/// What the rate limit headers promise where no quota is enforced.
const UNTHROTTLED: u64 = 1_000_000;
/// What `limit=auto` may become, unless the archive bears less.
const AUTO: std::ops::RangeInclusive<usize> = 100..=1000;

/// How the archive beside the simulated Reddit is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveOptions {
    /// How long after a submission could be seen the archive has it, in world time.
    pub lag: Duration,
    /// Whether `after` lets through what was created at that very time.
    pub after_inclusive: bool,
    /// Whether `before` lets through what was created at that very time.
    pub before_inclusive: bool,
    /// Requests a minute of service time, all clients together; 0 is no limit.
    pub requests_per_minute: u32,
    /// Searches for more at a time than this are answered with 422; `None` is no bound.
    pub overload_above: Option<u32>,
    /// The chance of such a 422 whatever is asked for, from 0 to 1.
    pub overload: f64,
}

impl Default for ArchiveOptions {
    /// A minute behind, 600 requests a minute, both bounds exclusive, never overloaded.
    fn default() -> ArchiveOptions {
        ArchiveOptions {
            lag: Duration::from_secs(60),
            after_inclusive: false,
            before_inclusive: false,
            requests_per_minute: 600,
            overload_above: None,
            overload: 0.0,
        }
    }
}

/// What the rate limit headers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Whether this request may pass.
    pub(super) passes: bool,
    pub(super) remaining: u64,
    /// Until the window ends, whole seconds, at least 1.
    pub(super) reset_s: i64,
}

/// The archive's door.
#[derive(Debug)]
pub(super) struct Archive {
    options: ArchiveOptions,
    window: i64,
    used: u64,
    rng: ChaCha8Rng,
}

impl Archive {
    pub(super) fn new(seed: u64, options: ArchiveOptions) -> Archive {
        Archive {
            options,
            window: 0,
            used: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) fn options(&self) -> &ArchiveOptions {
        &self.options
    }

    /// Counts a request.
    pub(super) fn pass(&mut self, service_ms: i64) -> Allowance {
        let window = service_ms.div_euclid(WINDOW_MS);
        if self.window != window {
            (self.window, self.used) = (window, 0);
        }
        let quota = match self.options.requests_per_minute {
            0 => u64::MAX,
            quota => u64::from(quota),
        };
        let passes = self.used < quota;
        if passes {
            self.used += 1;
        }
        Allowance {
            passes,
            remaining: (quota - self.used).min(UNTHROTTLED),
            reset_s: (WINDOW_MS - service_ms.rem_euclid(WINDOW_MS) + 999) / 1000,
        }
    }

    /// Whether a request for so many rows is more than it bears now.
    pub(super) fn is_overloaded(&mut self, rows: usize) -> bool {
        // Drawn whether needed or not: a bound must not change what chance decides.
        let by_chance = self.rng.random_bool(self.options.overload.clamp(0.0, 1.0));
        by_chance || rows > self.most_rows()
    }

    /// What `limit=auto` becomes this time: never more than it bears.
    pub(super) fn auto_limit(&mut self) -> usize {
        let most = self.most_rows().max(1);
        self.rng.random_range(AUTO).min(most)
    }

    fn most_rows(&self) -> usize {
        self.options.overload_above.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_lasts_for_a_minute_of_the_clock() {
        let options = ArchiveOptions {
            requests_per_minute: 2,
            ..ArchiveOptions::default()
        };
        let mut archive = Archive::new(1, options);
        let mut pass = |service_ms| {
            let it = archive.pass(service_ms);
            (it.passes, it.remaining, it.reset_s)
        };
        assert_eq!(pass(0), (true, 1, 60));
        assert_eq!(pass(59_500), (true, 0, 1));
        assert_eq!(pass(59_999), (false, 0, 1));
        assert_eq!(pass(60_000), (true, 1, 60));
    }

    #[test]
    fn auto_is_never_more_than_the_archive_bears() {
        let options = ArchiveOptions {
            overload_above: Some(150),
            ..ArchiveOptions::default()
        };
        let mut archive = Archive::new(1, options);
        for _ in 0..100 {
            let limit = archive.auto_limit();
            assert!((100..=150).contains(&limit), "{limit}");
            assert!(!archive.is_overloaded(limit));
        }
        assert!(archive.is_overloaded(151));
    }
}
