//! Whether our clock agrees with the database server's, and so with those of other machines.
//!
//! What is due, who has claimed what, and which of two answers is newer is told by the clocks of the
//! processes: where they differ by more than a claim lasts, schedulers take subreddits from one another.

use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// A larger difference is told in the log (milliseconds): far more than asking takes, and far less than a
/// claim lasts.
const AGREE_MS: i64 = 5_000;

/// Compares the clocks now and then.
#[derive(Debug, Default)]
pub(super) struct Clock {
    told: bool,
}

impl Clock {
    /// # Errors
    /// Where the database does not answer.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        now_ms: fn() -> i64,
        metrics: &Metrics,
    ) -> Result<(), StoreError> {
        let asked_ms = now_ms();
        let Some(theirs_ms) = store.clock_ms().await? else {
            return Ok(());
        };
        let ahead_ms = i64::midpoint(asked_ms, now_ms()) - theirs_ms;
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of this era are exact"
        )]
        let ahead = ahead_ms as f64 / 1000.0;
        metrics.clock_ahead.set(ahead);
        let differ = ahead_ms.abs() > AGREE_MS;
        if differ && !self.told {
            tracing::warn!(
                ahead_seconds = ahead,
                "This machine's clock and the database server's differ: set them (NTP), or processes on \
                 several machines take work from one another"
            );
        }
        self.told = differ;
        Ok(())
    }
}
