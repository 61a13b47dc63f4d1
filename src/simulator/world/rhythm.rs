//! When submissions come more often, and when less.

use crate::simulator::options::Bursts;

const DAY_MS: f64 = 24.0 * 3_600_000.0;
/// The busiest hour has 1.6 times the mean, the quietest 0.4 times.
const SWING: f64 = 0.6;

/// How a world's rates change with time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    /// By how much of the mean the busiest hour is above it, and the quietest below.
    swing: f64,
    bursts: Option<Bursts>,
    /// Bursts are counted from here, milliseconds.
    started_ms: i64,
}

impl Rhythm {
    pub(super) fn new(steady: bool, bursts: Option<Bursts>, started_ms: i64) -> Rhythm {
        Rhythm {
            swing: if steady { 0.0 } else { SWING },
            bursts,
            started_ms,
        }
    }

    /// The most that [`Rhythm::at`] ever is.
    pub(super) fn most(&self) -> f64 {
        (1.0 + self.swing) * self.bursts.map_or(1.0, |bursts| bursts.factor.max(1.0))
    }

    /// How many times the mean rate, at this world time (milliseconds), of a subreddit whose busiest moment
    /// is this part of a day.
    pub(super) fn at(&self, at_ms: f64, busiest: f64) -> f64 {
        let part_of_day = (at_ms / DAY_MS).fract();
        let wave = ((part_of_day - busiest) * std::f64::consts::TAU).cos();
        (1.0 + self.swing * wave) * self.burst(at_ms)
    }

    /// Nothing comes for a while at the end of each period, and then much for as long.
    fn burst(&self, at_ms: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit 53 bits")]
        let since = at_ms - self.started_ms as f64;
        let Some(bursts) = self.bursts.filter(|_| since >= 0.0) else {
            return 1.0;
        };
        let (every, lasts) = (
            bursts.every.as_secs_f64() * 1_000.0,
            bursts.lasts.as_secs_f64() * 1_000.0,
        );
        let left = every - since.rem_euclid(every);
        if left <= lasts {
            bursts.factor
        } else if left <= 2.0 * lasts {
            0.0
        } else {
            1.0
        }
    }
}
