//! One job → one submission fetched and stored, in company.
//!
//! Jobs in flight share requests (up to 100 ids) and transactions, yet each has its own attempts,
//! its own outcome and its own place in the metrics. Owns what a failed fetch means: wait without
//! spending an attempt, try again later, give up, set aside. Knows no queue mechanics and no SQL.

mod alone;
mod company;
mod isolate;
mod judge;
mod known;
mod parts;
mod record;

pub use company::Company;

use crate::liveness::{CALL, Progress};
use crate::metrics::Metrics;
use crate::queue::{Fault, Handler, Outcome};
use crate::source::{Reddit, RequestClass};
use crate::store::{Failure, FailureKind, Store};
use crate::submission::{Kind, SubmissionId};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long the first job of a request waits for others at least.
pub const LINGER: Duration = Duration::from_millis(200);
/// A request that is not full follows the last one after so long at the latest.
const LONGEST_BATCH_DELAY: Duration = Duration::from_secs(15);
/// How long a request waits for its turn at most, however small the budget.
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);
/// How long a job stays with one outage of Reddit or of the database before it is handed back, to
/// be queued again when due: a job never blocks its worker for long; longer only where the budget is so
/// small that its turn takes longer. A request that was sent ends by its own time limit.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long after the last request one may follow that is not full: what a budget of so many requests a
/// minute leaves to such requests.
pub fn max_batch_delay(requests_per_minute: NonZeroU32) -> Duration {
    let between = share_of(requests_per_minute);
    between.clamp(LINGER, LONGEST_BATCH_DELAY)
}

/// How long a request waits for its turn: long enough for the smallest share of the budget to come round.
fn patience(requests_per_minute: NonZeroU32) -> Duration {
    let turns = share_of(requests_per_minute).saturating_mul(3);
    turns.clamp(PATIENCE, LONGEST_PATIENCE)
}

/// From one request to the next, where fetches have their guaranteed share and no more.
fn share_of(requests_per_minute: NonZeroU32) -> Duration {
    let share = RequestClass::Fetch.share() * f64::from(requests_per_minute.get());
    Duration::from_secs_f64(60.0 / share)
}

/// When a job that was handed back is due again.
pub const RETURN_AFTER_MS: i64 = 10_000;
/// Waits between the tries of a submission that the answer leaves out, about ten minutes together;
/// after the last it is unavailable.
pub const OMITTED_RETRY_MS: [i64; 4] = [20_000, 60_000, 160_000, 360_000];
/// Attempts after which a job runs alone, one at a time: among the jobs that were in flight when
/// their process died, only the one that kills it is then charged.
pub const ALONE_FROM_ATTEMPT: u32 = 3;
/// Attempts after which a job is set aside.
pub const MOST_ATTEMPTS: u32 = 6;
/// When a job that failed by itself is tried again.
const FAILED_RETRY_MS: i64 = 30_000;

/// What fetching needs.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Where to fetch.
    pub reddit: Reddit,
    /// Where to store.
    pub store: Store,
    /// What to count.
    pub metrics: Arc<Metrics>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Where a request says that it gets on.
    pub progress: Progress,
    /// Who tries, unique to this process: what a job's history calls it.
    pub holder: String,
}

/// Runs jobs by handing them to their company.
#[derive(Debug)]
pub struct FetchHandler {
    ingest: Ingest,
    company: Company,
}

impl FetchHandler {
    /// Jobs run by this handler share requests through `company`.
    pub fn new(ingest: Ingest, company: Company) -> FetchHandler {
        // A rate over the sum has a first point from the start; seven for each subreddit were too many.
        for kind in Kind::ALL.map(Kind::as_str) {
            let stored = &ingest.metrics.ingest.stored;
            stored.with_label_values(&["other", kind]).inc_by(0);
        }
        FetchHandler { ingest, company }
    }
}

impl Handler for FetchHandler {
    type Work = SubmissionId;

    async fn run(&self, id: SubmissionId) -> Outcome {
        self.company.fetch(id).await
    }

    async fn heartbeat(&self, sent_ms: i64) {
        let Ingest {
            store, progress, ..
        } = &self.ingest;
        let noted = store.record_heartbeat(sent_ms, (self.ingest.now_ms)());
        if let Err(error) = progress.during(CALL, noted).await {
            tracing::debug!(%error, "A heartbeat could not be noted in the database");
        }
    }

    async fn fault(&self, id: SubmissionId, fault: Fault) {
        let reason = match fault {
            Fault::Panicked(message) => format!("panicked: {message}"),
            Fault::TimedOut => {
                // Its request may still be under way and ends its row. Else something hangs, which
                // is not the job's fault: the feeder finds out that the queue no longer holds it.
                tracing::warn!(%id, "A job ran out of time; it is queued again unless its request still ends it");
                return;
            }
        };
        tracing::error!(%id, reason, "A job failed; it is tried again, and set aside if it keeps failing");
        let now_ms = (self.ingest.now_ms)();
        let failure = Failure {
            by: &self.ingest.holder,
            kind: FailureKind::Panicked,
            reason: &reason,
            now_ms,
        };
        let noted = self
            .ingest
            .store
            .fail_fetch(&id, failure, now_ms + FAILED_RETRY_MS);
        if let Err(error) = self.ingest.progress.during(CALL, noted).await {
            // The feeder finds out that the queue no longer holds it.
            tracing::warn!(%id, %error, "The failure could not be noted in the database");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_the_budget_the_longer_a_request_waits_for_others_within_bounds() {
        for (requests_per_minute, delay_ms, patience_ms) in [
            (1, 15_000, 120_000),
            (10, 15_000, 105_882),
            (30, 11_765, 35_294),
            (60, 5_882, 17_647),
            (100, 3_529, 15_000),
            (1_000, 353, 15_000),
            (1_500, 235, 15_000),
            (10_000_000, 200, 15_000),
        ] {
            let requests = NonZeroU32::new(requests_per_minute).unwrap();
            let ms = |duration: Duration| (duration.as_secs_f64() * 1_000.0).round();
            let delays = (ms(max_batch_delay(requests)), ms(patience(requests)));
            assert_eq!(delays, (delay_ms.into(), patience_ms.into()), "{requests}");
        }
    }
}
