//! How often a subreddit posts, as a Gamma–Poisson estimate that forgets, and bursts of a group.

/// Evidence fades to 1/e in this time, seconds.
const MEMORY: f64 = 3_600.0;
/// A burst fades to 1/e in this time, seconds.
const BURST_MEMORY: f64 = 45.0;
/// How much of the difference to what came each poll of a burst corrects.
const FOLLOWS: f64 = 0.3;
/// What the first estimate counts for, in submissions: little, so that a few polls correct it.
const PRIOR: f64 = 0.5;
/// What the likeness to the others counts for, in submissions.
const LIKENESS: f64 = 0.7;
/// Standard deviations by which a rate is hardly higher than it seems.
const SURE: f64 = 3.0;
/// Exposure that stands behind the prior of an unknown subreddit, seconds.
const UNKNOWN_EXPOSURE: f64 = 3_600.0;

/// A rate, submissions a second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    events: f64,
    exposure: f64,
}

impl Rate {
    /// What is known before anything was seen; 0 is unknown.
    pub(super) fn expected(rate: f64) -> Rate {
        let rate = if rate.is_finite() { rate.max(0.0) } else { 0.0 };
        if rate > 0.0 {
            // As if some submissions had been seen at this rate.
            let exposure = (2.0 / rate).clamp(60.0, 6.0 * MEMORY);
            return Rate {
                events: rate * exposure,
                exposure,
            };
        }
        Rate {
            events: PRIOR,
            exposure: UNKNOWN_EXPOSURE,
        }
    }

    /// The mean of the estimate.
    pub(super) fn mean(&self) -> f64 {
        self.events / self.exposure
    }

    /// It is hardly higher than this.
    pub(super) fn at_most(&self) -> f64 {
        (self.events + SURE * self.events.sqrt()) / self.exposure
    }

    /// So many in so many seconds.
    pub(super) fn observe(&mut self, events: f64, seconds: f64) {
        let seconds = seconds.max(0.0);
        let kept = (-seconds / MEMORY).exp();
        self.events = self.events * kept + events;
        self.exposure = (self.exposure * kept + seconds).max(1.0);
    }

    /// More of what was observed last.
    pub(super) fn add(&mut self, events: f64) {
        self.events += events;
    }

    /// A first page showed so many over so many seconds, and of its subreddits `usual` a second each. One that it
    /// shows little of is taken to be more like the others than that little says.
    pub(super) fn learn(&mut self, events: f64, seconds: f64, usual: f64) {
        let seconds = seconds.clamp(10.0, 86_400.0);
        // No more than what is remembered: pages of quiet groups span days.
        let weight = (MEMORY / seconds).min(1.0);
        let likeness = (LIKENESS / usual.max(1e-9)).min(MEMORY);
        self.events = LIKENESS.min(usual * likeness) + events * weight;
        self.exposure = likeness + seconds * weight;
    }
}

/// What comes on top of the usual rate, submissions a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Burst {
    extra: f64,
    /// The length of the last observation, seconds.
    last: f64,
}

impl Burst {
    /// So many in so many seconds, where `rate` is usual. Much more than expected counts at once.
    pub(super) fn observe(&mut self, events: f64, seconds: f64, rate: f64) {
        let seconds = seconds.max(0.1);
        self.last = seconds;
        let expected = (rate + self.extra) * seconds;
        let surplus = events / seconds - rate;
        if events > expected + 3.5 * expected.sqrt() + 2.0 {
            self.extra = surplus;
        } else {
            // It follows what comes, and one poll is little evidence.
            let weight = (seconds / BURST_MEMORY).clamp(FOLLOWS, 1.0);
            self.extra += weight * (surplus.min(self.extra) - self.extra);
        }
        self.extra = self.extra.max(0.0);
    }

    /// More of what was observed last.
    pub(super) fn add(&mut self, events: f64) {
        if self.last > 0.0 {
            self.extra += events / self.last.max(1.0);
        }
    }

    pub(super) fn extra(&self) -> f64 {
        self.extra
    }
}
