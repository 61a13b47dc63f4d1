//! How many requests a second polls may plan with: a little more than they got lately, so that the plan follows what
//! the other classes leave.

use crate::source::RequestClass;
use tokio::time::Instant;

/// The part that a plan uses at most, so that the bucket is not always empty.
const MOST: f64 = 0.97;
/// What is planned, of what was got.
const MARGIN: f64 = 1.15;
/// What was got fades to 1/e in this time, seconds.
const MEMORY: f64 = 20.0;

/// The polls' part of the budget.
#[derive(Debug)]
pub(super) struct Share {
    /// Requests a second of all classes.
    budget: f64,
    /// Requests a second that polls got lately.
    got: f64,
    last: Option<Instant>,
}

impl Share {
    pub(super) fn new(budget: f64) -> Share {
        Share {
            budget,
            got: budget * 0.7,
            last: None,
        }
    }

    /// Requests a second to plan with; what is `scanned` by ids is only confirmed by polls, which then leave
    /// what is beyond their guaranteed part to the others.
    pub(super) fn per_second(&self, scanned: bool) -> f64 {
        if scanned {
            return self.budget * RequestClass::Poll.share_beside_scan();
        }
        let least = self.budget * RequestClass::Poll.share();
        (self.got * MARGIN).clamp(least, self.budget * MOST)
    }

    /// A poll had its turn.
    pub(super) fn granted(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let seconds = now.saturating_duration_since(last).as_secs_f64();
            let kept = (-seconds / MEMORY).exp();
            // What one request in so many seconds adds to a mean that fades.
            self.got = self.got * kept + (1.0 - kept) / seconds.max(1e-3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is planned after polls had a turn as often as planned, or as others leave.
    fn planned(left: f64) -> f64 {
        let mut share = Share::new(2.0);
        let mut now = Instant::now();
        for _ in 0..500 {
            share.granted(now);
            now += Duration::from_secs_f64(1.0 / share.per_second(false).min(left));
        }
        share.per_second(false)
    }

    #[test]
    fn a_plan_takes_what_the_others_leave_and_never_less_than_is_guaranteed() {
        assert!((planned(10.0) - 2.0 * MOST).abs() < 0.01, "nobody else");
        assert!((planned(1.2) - 1.2 * MARGIN).abs() < 0.02, "others");
        assert!(
            (planned(0.2) - 2.0 * RequestClass::Poll.share()).abs() < 0.01,
            "an outage"
        );
    }
}
