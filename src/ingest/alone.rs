//! Jobs that were in flight whenever their process died, one at a time; and the end of those that failed
//! too often.

use super::judge::{End, Ends};
use super::record::Fetching;
use super::{MOST_ATTEMPTS, PATIENCE, RETURN_AFTER_MS};
use crate::queue::Outcome;
use crate::store::{Attempt, FailureKind};
use crate::submission::SubmissionId;
use tokio::time::Instant;

/// Why a job is set aside whose last attempt reported nothing.
const NEVER_ENDED: &str = "its last attempt did not end: its process was killed or cut off";

impl Fetching {
    /// Jobs that were in flight each time their process died run one after another, each counted
    /// just before it runs; those whose turn does not come soon are handed back, uncharged.
    pub(super) async fn run_alone(&self, suspects: Vec<Attempt>) -> Ends {
        let (spent, suspects): (Vec<Attempt>, Vec<Attempt>) = suspects
            .into_iter()
            .partition(|attempt| attempt.attempts > MOST_ATTEMPTS);
        let mut ends = Ends::new();
        for attempt in spent {
            let reason = attempt.reason.as_deref().unwrap_or(NEVER_ENDED);
            // That of an attempt which an older build lost is not known.
            let kind = attempt.failed_before.unwrap_or(FailureKind::NeverEnded);
            ends.push(self.set_aside(&attempt.id, kind, reason).await);
        }
        let Ok(_turn) = self.alone.try_acquire() else {
            ends.extend(self.hand_back(&suspects, RETURN_AFTER_MS).await);
            return ends;
        };
        let deadline = Instant::now() + PATIENCE;
        let mut suspects = suspects.into_iter();
        let first: Vec<Attempt> = suspects.by_ref().take(1).collect();
        // Before any runs: should it kill the process, the others have their attempts back.
        let others = self.hand_back(suspects.as_slice(), RETURN_AFTER_MS).await;
        ends.extend(self.fetch(first).await);
        for (id, returned) in others {
            if Instant::now() >= deadline || self.draining.is_cancelled() {
                ends.push((id, returned));
                continue;
            }
            match self.start(std::slice::from_ref(&id)).await {
                Ok(attempt) if attempt.is_empty() => ends.push((id, Ok(Outcome::Obsolete))),
                Ok(attempt) => ends.extend(self.fetch(attempt).await),
                // As it was handed back.
                Err(_) => ends.push((id, returned)),
            }
        }
        ends
    }

    /// Ends a job that failed too often.
    pub(super) async fn set_aside(
        &self,
        id: &SubmissionId,
        kind: FailureKind,
        reason: &str,
    ) -> (SubmissionId, End) {
        tracing::error!(%id, reason, attempts = MOST_ATTEMPTS, "A job is set aside");
        let now = (self.ingest.now_ms)() / 1000;
        let noted = self
            .persist(|| self.ingest.store.set_aside(id, reason, now))
            .await;
        if noted.is_ok() {
            self.count_dead(kind, 1);
        }
        let outcome = noted.map_or(Outcome::Returned, |()| Outcome::Failed);
        (id.clone(), Ok(outcome))
    }
}
