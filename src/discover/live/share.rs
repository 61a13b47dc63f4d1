//! How many requests a second polls may plan with: what the other classes leave, found by trying.

use std::time::Duration;

/// The part of the budget that polls are guaranteed.
pub(super) const GUARANTEED: f64 = 0.45;
/// The part that a plan uses at most, so that the bucket is not always empty.
const MOST: f64 = 0.97;
/// Where a plan begins.
const FIRST: f64 = 0.7;
/// Factors by which it changes with each request.
const LESS: f64 = 0.97;
const MORE: f64 = 1.02;

/// The polls' part of the budget.
#[derive(Debug)]
pub(super) struct Share {
    /// Requests a second of all classes.
    budget: f64,
    part: f64,
}

impl Share {
    pub(super) fn new(budget: f64) -> Share {
        let part = FIRST;
        Share { budget, part }
    }

    /// Requests a second to plan with.
    pub(super) fn per_second(&self) -> f64 {
        self.budget * self.part
    }

    /// A request waited for its turn: for long where others need the budget too, or the plan asks too much.
    pub(super) fn waited(&mut self, wait: Duration) {
        let long = wait.as_secs_f64() * self.budget > 0.5;
        let factor = if long { LESS } else { MORE };
        self.part = (self.part * factor).clamp(GUARANTEED, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_takes_what_the_others_leave_and_never_less_than_is_guaranteed() {
        let mut share = Share::new(2.0);
        for _ in 0..100 {
            share.waited(Duration::ZERO);
        }
        assert!((share.per_second() - 2.0 * MOST).abs() < 1e-9);
        for _ in 0..100 {
            share.waited(Duration::from_secs(1));
        }
        assert!((share.per_second() - 2.0 * GUARANTEED).abs() < 1e-9);
    }
}
