//! Gauges that describe the service rather than this process: read from the database and the queue
//! now and then. A label that empties is set to zero or goes, so none reports the past for ever.

use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::{Store, SubredditState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);
/// The backlog is counted row by row, so less often.
const COUNT_EVERY: u32 = 5;
const QUEUE: &str = "fetch";

/// What sampling needs.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// The watched list, gaps, the backlog.
    pub store: Store,
    /// Waiting and running jobs.
    pub queue: Queue,
    /// Where the numbers go.
    pub metrics: Arc<Metrics>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
}

/// Samples until told to stop.
pub async fn sample(gauges: Gauges, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn: u32 = 0;
    loop {
        tokio::select! { () = stop.cancelled() => return, _ = tick.tick() => {} }
        if let Err(error) = gauges.subreddits().await {
            tracing::debug!(%error, "The watched list could not be sampled");
        }
        if turn.is_multiple_of(COUNT_EVERY)
            && let Err(error) = gauges.backlog().await
        {
            tracing::debug!(%error, "The backlog could not be sampled");
        }
        if let Err(error) = gauges.queue().await {
            tracing::debug!(%error, "The queue could not be sampled");
        }
        turn = turn.wrapping_add(1);
    }
}

impl Gauges {
    /// The watched list: states, gaps, newest complete polls, and the bound on labels.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn subreddits(&self) -> Result<(), crate::store::StoreError> {
        let watched = self.store.subreddits().await?;
        let discover = &self.metrics.discover;
        self.metrics
            .watched
            .set(watched.iter().map(|subreddit| subreddit.name.to_string()));
        for state in [
            SubredditState::Active,
            SubredditState::Paused,
            SubredditState::Unavailable,
        ] {
            let count = watched
                .iter()
                .filter(|subreddit| subreddit.state == state)
                .count();
            discover
                .subreddits
                .with_label_values(&[state.as_str()])
                .set(i64::try_from(count).unwrap_or(0));
        }
        discover.open_gaps.reset();
        discover.last_complete_poll.reset();
        for subreddit in &watched {
            let label = &[subreddit.name.as_str()];
            discover
                .open_gaps
                .with_label_values(label)
                .set(subreddit.open_gaps);
            // Series that exist from the start let a rate see their first step.
            discover.submissions.with_label_values(label).inc_by(0);
            let unavailable = &self.metrics.ingest.unavailable;
            unavailable.with_label_values(label).inc_by(0);
            if let Some(covered) = subreddit.covered_until {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "seconds of this era are exact in f64"
                )]
                discover
                    .last_complete_poll
                    .with_label_values(label)
                    .set(covered as f64);
            }
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<(), crate::store::StoreError> {
        let counts = self.store.fetch_counts((self.now_ms)()).await?;
        for (state, count) in [
            ("backlog", counts.backlog),
            ("deferred", counts.deferred),
            ("dead", counts.dead),
        ] {
            self.metrics
                .queue
                .jobs
                .with_label_values(&[QUEUE, state])
                .set(count);
        }
        Ok(())
    }

    async fn queue(&self) -> Result<(), crate::queue::QueueError> {
        let depth = self.queue.depth().await?;
        for (state, count) in [("waiting", depth.waiting), ("running", depth.running)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics
                .queue
                .jobs
                .with_label_values(&[QUEUE, state])
                .set(count);
        }
        let workers = self.queue.workers().await?;
        self.metrics
            .queue
            .workers
            .set(i64::try_from(workers).unwrap_or(i64::MAX));
        Ok(())
    }
}
