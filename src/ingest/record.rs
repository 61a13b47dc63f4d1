//! One request's jobs: counted, fetched, judged one by one, stored in one transaction.

use super::judge::{Judged, Outcomes};
use super::{
    ALONE_FROM_ATTEMPT, FAILED_RETRY_MS, Ingest, MOST_ATTEMPTS, PATIENCE, RETURN_AFTER_MS,
};
use crate::queue::Outcome;
use crate::source::{InfoPage, Priority, SourceError};
use crate::store::{Attempt, FailNext, FetchStored, StoreError};
use crate::submission::{Observation, SubmissionId};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LABEL: &str = "reddit";
/// Between two tries of the same statement while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// When a refused request is made again.
const REFUSED_RETRY_MS: i64 = 300_000;

/// Fetches and stores; one for all requests of a process.
#[derive(Debug)]
pub(super) struct Fetching {
    ingest: Ingest,
    draining: CancellationToken,
    /// The one place for a job that was in flight whenever its process died.
    alone: Semaphore,
}

impl Fetching {
    pub(super) fn new(ingest: Ingest, draining: CancellationToken) -> Fetching {
        Fetching {
            ingest,
            draining,
            alone: Semaphore::new(1),
        }
    }

    /// Runs the jobs of these ids; an outcome for each.
    pub(super) async fn run(&self, ids: &[SubmissionId]) -> Outcomes {
        let all = |outcome: Outcome| ids.iter().map(|id| (id.clone(), outcome)).collect();
        let attempts = match self.persist(|| self.ingest.store.start_attempts(ids)).await {
            Ok(attempts) => attempts,
            Err(error) => {
                tracing::warn!(jobs = ids.len(), %error, "Jobs are handed back: the database is away");
                return all(Outcome::Returned);
            }
        };
        let mut outcomes = Outcomes::new();
        let started: HashSet<&SubmissionId> = attempts.iter().map(|attempt| &attempt.id).collect();
        let obsolete = ids.iter().filter(|id| !started.contains(id));
        outcomes.extend(obsolete.map(|id| (id.clone(), Outcome::Obsolete)));
        let (suspects, company): (Vec<Attempt>, Vec<Attempt>) = attempts
            .into_iter()
            .partition(|attempt| attempt.attempts >= ALONE_FROM_ATTEMPT);
        // Suspects first: whoever of the company kills the process is not to charge them.
        outcomes.extend(self.run_suspects(suspects).await);
        outcomes.extend(self.fetch(company).await);
        outcomes
    }

    /// Jobs that were in flight each time their process died run one at a time; the others of them
    /// go back to wait for their turn, uncharged.
    async fn run_suspects(&self, suspects: Vec<Attempt>) -> Outcomes {
        let (spent, mut suspects): (Vec<Attempt>, Vec<Attempt>) = suspects
            .into_iter()
            .partition(|attempt| attempt.attempts > MOST_ATTEMPTS);
        let mut outcomes = Outcomes::new();
        for attempt in spent {
            let reason = format!("never came to an end in {MOST_ATTEMPTS} attempts");
            tracing::error!(id = %attempt.id, reason, "A job is set aside");
            let next = FailNext::Dead {
                now: (self.ingest.now_ms)() / 1000,
            };
            let noted = self
                .persist(|| self.ingest.store.fail_fetch(&attempt.id, &reason, next))
                .await;
            outcomes.push((
                attempt.id.clone(),
                noted.map_or(Outcome::Returned, |()| Outcome::Failed),
            ));
        }
        let Some(first) = suspects.pop() else {
            return outcomes;
        };
        let turn = self.alone.try_acquire();
        let first = match &turn {
            Ok(_) => vec![first],
            Err(_) => {
                suspects.push(first);
                Vec::new()
            }
        };
        // Before the one runs: should it kill the process, the others have their attempts back.
        outcomes.extend(self.hand_back(&suspects, RETURN_AFTER_MS).await);
        outcomes.extend(self.fetch(first).await);
        outcomes
    }

    async fn fetch(&self, attempts: Vec<Attempt>) -> Outcomes {
        if attempts.is_empty() {
            return Outcomes::new();
        }
        let ids: Vec<SubmissionId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
        let metrics = &self.ingest.metrics.ingest;
        let deadline = Instant::now() + PATIENCE;
        let mut outage = false;
        let page = loop {
            let ask = self.ingest.reddit.info(&ids, Priority::Fetch);
            let answer = tokio::select! {
                answer = tokio::time::timeout_at(deadline, ask) => answer,
                () = self.gives_up(outage) => return self.hand_back(&attempts, RETURN_AFTER_MS).await,
            };
            match answer {
                Ok(Ok(page)) => break page,
                // Ids are checked before they are asked for, so this says nothing of any one of them.
                Ok(Err(error @ SourceError::Refused { .. })) => {
                    tracing::error!(jobs = ids.len(), %error, "Reddit refused a fetch; it is tried again in a few minutes");
                    return self.hand_back(&attempts, REFUSED_RETRY_MS).await;
                }
                // The source holds the next request back for as long as the answer calls for.
                Ok(Err(SourceError::Wait { .. } | SourceError::Unavailable { .. })) => {
                    outage = true
                }
                Err(_out_of_patience) => return self.hand_back(&attempts, RETURN_AFTER_MS).await,
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        metrics.batch_size.observe(ids.len() as f64);
        for _ in &ids {
            metrics
                .fetch_seconds
                .with_label_values(&[LABEL])
                .observe(page.seconds);
        }
        self.record(&attempts, page).await
    }

    /// Returns once the process stops and Reddit is out: then nothing is waited for.
    async fn gives_up(&self, outage: bool) {
        self.draining.cancelled().await;
        if !outage {
            self.ingest.reddit.held_back().await;
        }
    }

    /// Judges each id by the answer, and stores it all in one transaction.
    async fn record(&self, attempts: &[Attempt], page: InfoPage) -> Outcomes {
        let judged = Judged::new(attempts, page, (self.ingest.now_ms)());
        let mut outcomes = Outcomes::new();
        for id in &judged.unreadable {
            outcomes.push(
                self.fail(id, "its answer is no submission with an id and a time")
                    .await,
            );
        }
        let record = judged.record((self.ingest.now_ms)());
        let begun = Instant::now();
        match self
            .persist(|| self.ingest.store.record_fetches(&record))
            .await
        {
            Ok(stored) => {
                let metrics = &self.ingest.metrics.ingest;
                metrics.write_seconds.observe(begun.elapsed().as_secs_f64());
                self.count(attempts, &judged, &stored);
                outcomes.extend(judged.outcomes(&stored));
            }
            Err(error) if error.is_unavailable() => {
                tracing::warn!(jobs = attempts.len(), %error, "Fetched submissions could not be stored; they are fetched again");
                outcomes.extend(self.hand_back(attempts, RETURN_AFTER_MS).await);
            }
            Err(error) if attempts.len() > 1 => {
                // One of them cannot be stored: each by itself, so that it is known which.
                tracing::warn!(jobs = attempts.len(), %error, "Fetched submissions are stored one by one");
                for (attempt, page) in judged.into_single_pages(attempts) {
                    outcomes.extend(Box::pin(self.record(&[attempt], page)).await);
                }
            }
            Err(error) => {
                for attempt in attempts {
                    outcomes.push(
                        self.fail(&attempt.id, &format!("it could not be stored: {error}"))
                            .await,
                    );
                }
            }
        }
        outcomes
    }

    /// Notes that a job failed by its own fault; it is tried again, and set aside in the end.
    async fn fail(&self, id: &SubmissionId, reason: &str) -> (SubmissionId, Outcome) {
        tracing::error!(%id, reason, "A job failed; it is tried again, and set aside if it keeps failing");
        let next = FailNext::RetryAt((self.ingest.now_ms)() + FAILED_RETRY_MS);
        if let Err(error) = self
            .persist(|| self.ingest.store.fail_fetch(id, reason, next))
            .await
        {
            tracing::warn!(%id, %error, "The failure could not be noted in the database");
        }
        (id.clone(), Outcome::Failed)
    }

    fn count(&self, attempts: &[Attempt], judged: &Judged, stored: &FetchStored) {
        let metrics = &self.ingest.metrics;
        let ingest = &metrics.ingest;
        let now_ms = (self.ingest.now_ms)();
        ingest.unchanged.inc_by(stored.unchanged.len() as u64);
        ingest.nul_stripped.inc_by(stored.nul_stripped);
        metrics
            .discover
            .undecodable
            .inc_by(judged.undecodable.len() as u64);
        for index in stored.changed.iter().chain(&stored.unchanged) {
            let Some(Observation { submission, .. }) = judged.observations.get(*index) else {
                continue;
            };
            metrics.watched.label(
                submission.subreddit.as_deref().unwrap_or_default(),
                |subreddit| {
                    ingest
                        .stored
                        .with_label_values(&[subreddit, submission.kind.as_str()])
                        .inc();
                },
            );
            #[expect(clippy::cast_precision_loss, reason = "histograms count in floats")]
            {
                ingest.lag_seconds.observe(
                    (now_ms - submission.created_utc.saturating_mul(1000)) as f64 / 1000.0,
                );
                let chars = |text: &Option<String>| {
                    text.as_deref().map_or(0, |text| text.chars().count()) as f64
                };
                ingest.title_chars.observe(chars(&submission.title));
                ingest.selftext_chars.observe(chars(&submission.selftext));
                ingest.score.observe(submission.score.unwrap_or(0) as f64);
                ingest
                    .comments
                    .observe(submission.num_comments.unwrap_or(0) as f64);
            }
        }
        for attempt in attempts
            .iter()
            .filter(|attempt| judged.unavailable.contains(&attempt.id))
        {
            metrics.watched.label(
                attempt.subreddit.as_deref().unwrap_or_default(),
                |subreddit| {
                    ingest.unavailable.with_label_values(&[subreddit]).inc();
                },
            );
        }
    }

    /// Gives the attempts back: what went wrong was not the jobs' fault.
    async fn hand_back(&self, attempts: &[Attempt], after_ms: i64) -> Outcomes {
        if attempts.is_empty() {
            return Outcomes::new();
        }
        let ids: Vec<SubmissionId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
        let due_ms = (self.ingest.now_ms)() + after_ms;
        if let Err(error) = self
            .persist(|| self.ingest.store.return_fetches(&ids, due_ms))
            .await
        {
            // The feeder finds out that the queue no longer holds them.
            tracing::warn!(jobs = ids.len(), %error, "Jobs could not be handed back in the database");
        }
        ids.into_iter().map(|id| (id, Outcome::Returned)).collect()
    }

    /// Repeats a statement while the database is away, as long as a job may wait.
    async fn persist<T, F>(&self, statement: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match statement().await {
                Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                other => return other,
            }
        }
    }
}
