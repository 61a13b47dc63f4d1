//! A line in the log now and then that sums up what this process did: without it, a healthy process
//! is silent for days.

use crate::metrics::Metrics;
use prometheus::core::{Atomic, Collector, GenericCounterVec, GenericGaugeVec};
use std::time::Duration;
use tokio::time::Instant;

/// The first line comes this soon, so that whoever has just started the process sees that it works.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// What the counters showed at the last line.
#[derive(Debug)]
pub(super) struct Summary {
    every: Duration,
    next: Option<Instant>,
    since: Instant,
    before: Counts,
}

/// What this process has done since it started.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Counts {
    discovered: u64,
    stored: u64,
    requests: u64,
}

impl Counts {
    fn read(metrics: &Metrics) -> Counts {
        Counts {
            discovered: counted(&metrics.discover.submissions),
            stored: counted(&metrics.ingest.stored),
            requests: counted(&metrics.api.requests),
        }
    }
}

impl Summary {
    /// A line every so often; none where that is zero.
    pub(super) fn new(every: Duration) -> Summary {
        let now = Instant::now();
        Summary {
            every,
            next: (!every.is_zero()).then(|| now + FIRST_AFTER.min(every)),
            since: now,
            before: Counts::default(),
        }
    }

    /// Logs the line if it is time for one.
    pub(super) fn log_if_due(&mut self, metrics: &Metrics) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        let counts = Counts::read(metrics);
        let submissions = &metrics.ingest.submissions;
        let left = ["backlog", "waiting", "running"].map(|state| {
            let jobs = &metrics.queue.jobs;
            jobs.with_label_values(&["fetch", state]).get()
        });
        tracing::info!(
            seconds = (now - self.since).as_secs(),
            discovered = counts.discovered.saturating_sub(self.before.discovered),
            fetched = counts.stored.saturating_sub(self.before.stored),
            requests = counts.requests.saturating_sub(self.before.requests),
            in_database = gauged(submissions),
            left_to_fetch = left.iter().sum::<i64>(),
            open_gaps = gauged(&metrics.discover.open_gaps),
            subreddits = gauged(&metrics.discover.subreddits),
            "Summary since the last one"
        );
        self.before = counts;
        self.since = now;
        self.next = Some(now + self.every);
    }
}

fn counted<P: Atomic>(counters: &GenericCounterVec<P>) -> u64 {
    let families = counters.collect();
    let series = families.iter().flat_map(|family| family.get_metric());
    whole(series.map(|series| series.get_counter().get_value()).sum())
}

fn gauged<P: Atomic>(gauges: &GenericGaugeVec<P>) -> u64 {
    let families = gauges.collect();
    let series = families.iter().flat_map(|family| family.get_metric());
    whole(series.map(|series| series.get_gauge().get_value()).sum())
}

/// Prometheus knows no integers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, and the conversion saturates"
)]
fn whole(count: f64) -> u64 {
    count.round() as u64
}
