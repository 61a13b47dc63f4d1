//! One request's jobs: counted, fetched, judged one by one, stored in one transaction.

use super::judge::{End, Ends, Judged};
use super::{
    ALONE_FROM_ATTEMPT, FAILED_RETRY_MS, Ingest, MOST_ATTEMPTS, PATIENCE, RETURN_AFTER_MS,
};
use crate::liveness::CALL;
use crate::queue::{Outcome, panic_text};
use crate::source::{InfoPage, Priority, SourceError};
use crate::store::{Attempt, Failure, FailureKind, FetchStored, StoreError};
use crate::submission::{Observation, SubmissionId};
use futures::FutureExt;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LABEL: &str = "reddit";
/// Between two tries of the same statement while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// When jobs are run again whose request Reddit refused, or none of which the database would store.
const REFUSED_RETRY_MS: i64 = 300_000;
/// Why a job is set aside whose last attempt reported nothing.
const NEVER_ENDED: &str = "its last attempt did not end: its process was killed or cut off";

/// Why jobs are tried again, and set aside in the end, whose request made no step any more.
const HUNG: &str = "its request hung, and was given up";

/// Work for these jobs; where it panics, each of them has.
pub(super) async fn or_panic(ids: &[SubmissionId], work: impl Future<Output = Ends>) -> Ends {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(ends) => ends,
        Err(panic) => {
            let text = panic_text(panic.as_ref());
            let all = ids.iter().map(|id| (id.clone(), Err(text.clone())));
            all.collect()
        }
    }
}

/// Fetches and stores.
#[derive(Debug)]
pub(super) struct Fetching {
    ingest: Ingest,
    draining: CancellationToken,
    /// The one place in a process for a job that was in flight whenever its process died.
    alone: Arc<Semaphore>,
    hangs_after: Duration,
}

impl Fetching {
    pub(super) fn new(
        ingest: Ingest,
        draining: CancellationToken,
        hangs_after: Duration,
    ) -> Fetching {
        Fetching {
            ingest,
            draining,
            alone: Arc::new(Semaphore::new(1)),
            hangs_after,
        }
    }

    /// For one request, which is watched by itself.
    pub(super) fn for_a_request(&self) -> Fetching {
        let progress = self.ingest.progress.another();
        let waiting = progress.clone();
        Fetching {
            ingest: Ingest {
                reddit: self.ingest.reddit.telling(move || waiting.made()),
                progress,
                ..self.ingest.clone()
            },
            draining: self.draining.clone(),
            alone: Arc::clone(&self.alone),
            hangs_after: self.hangs_after,
        }
    }

    /// Runs the jobs of these ids; an end for each.
    pub(super) async fn run(&self, ids: &[SubmissionId]) -> Ends {
        // What is watched is moved from one wrapping to the next, and this is large.
        let run = or_panic(ids, Box::pin(self.run_watched(ids)));
        self.ingest.progress.during(CALL, run).await
    }

    async fn run_watched(&self, ids: &[SubmissionId]) -> Ends {
        let all = |outcome: Outcome| ids.iter().map(|id| (id.clone(), Ok(outcome))).collect();
        let attempts = match self.start(ids).await {
            Ok(attempts) => attempts,
            Err(error) => {
                let error = error.told();
                tracing::warn!(
                    jobs = ids.len(),
                    error,
                    "Jobs are handed back: their attempts could not be counted"
                );
                return all(Outcome::Returned);
            }
        };
        let mut ends = Ends::new();
        let started: HashSet<&SubmissionId> = attempts.iter().map(|attempt| &attempt.id).collect();
        let obsolete = ids.iter().filter(|id| !started.contains(id));
        ends.extend(obsolete.map(|id| (id.clone(), Ok(Outcome::Obsolete))));
        let (suspects, company): (Vec<Attempt>, Vec<Attempt>) = attempts
            .into_iter()
            .partition(|attempt| attempt.attempts >= ALONE_FROM_ATTEMPT);
        // Suspects first: whoever of the company kills the process is not to charge them.
        ends.extend(self.run_suspects(suspects).await);
        ends.extend(self.fetch(company).await);
        ends
    }

    /// Counts an attempt for each job, before the work.
    async fn start(&self, ids: &[SubmissionId]) -> Result<Vec<Attempt>, StoreError> {
        let Ingest {
            store,
            holder,
            now_ms,
            ..
        } = &self.ingest;
        let now_ms = now_ms();
        self.persist(|| store.start_attempts(ids, holder, now_ms))
            .await
    }

    fn count_dead(&self, kind: FailureKind, jobs: usize) {
        let dead = &self.ingest.metrics.ingest.dead;
        dead.with_label_values(&[kind.as_str()]).inc_by(jobs as u64);
    }

    /// Jobs that were in flight each time their process died run one after another, each counted
    /// just before it runs; those whose turn does not come soon are handed back, uncharged.
    async fn run_suspects(&self, suspects: Vec<Attempt>) -> Ends {
        let (spent, suspects): (Vec<Attempt>, Vec<Attempt>) = suspects
            .into_iter()
            .partition(|attempt| attempt.attempts > MOST_ATTEMPTS);
        let mut ends = Ends::new();
        for attempt in spent {
            let reason = attempt.reason.as_deref().unwrap_or(NEVER_ENDED);
            tracing::error!(id = %attempt.id, reason, attempts = MOST_ATTEMPTS, "A job is set aside");
            let (id, now) = (&attempt.id, (self.ingest.now_ms)() / 1000);
            let noted = self
                .persist(|| self.ingest.store.set_aside(id, reason, now))
                .await;
            if noted.is_ok() {
                // That of an attempt which an older build lost is not known.
                let kind = attempt.failed_before.unwrap_or(FailureKind::NeverEnded);
                self.count_dead(kind, 1);
            }
            ends.push((
                attempt.id.clone(),
                Ok(noted.map_or(Outcome::Returned, |()| Outcome::Failed)),
            ));
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

    /// One request. What panics or hangs over it is charged to those that were in it, and to no others.
    async fn fetch(&self, attempts: Vec<Attempt>) -> Ends {
        if attempts.is_empty() {
            return Ends::new();
        }
        let ids: Vec<SubmissionId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
        let work = or_panic(&ids, Box::pin(self.fetch_together(&attempts, &ids)));
        if let Some(ends) = self
            .ingest
            .progress
            .unless_hung(self.hangs_after, work)
            .await
        {
            return ends;
        }
        let kind = FailureKind::NeverEnded;
        futures::future::join_all(ids.iter().map(|id| self.fail(id, kind, HUNG))).await
    }

    async fn fetch_together(&self, attempts: &[Attempt], ids: &[SubmissionId]) -> Ends {
        let metrics = &self.ingest.metrics.ingest;
        let deadline = Instant::now() + PATIENCE;
        let mut outage = false;
        let page = loop {
            let reddit = &self.ingest.reddit;
            let answer = tokio::select! {
                answer = reddit.info_before(ids, Priority::Fetch, deadline) => answer,
                () = self.gives_up(outage) => return self.hand_back(attempts, RETURN_AFTER_MS).await,
            };
            self.ingest.progress.made();
            match answer {
                Ok(page) => break page,
                // Ids are checked before they are asked for, so this says nothing of any one of them.
                Err(error @ SourceError::Refused { .. }) => {
                    tracing::error!(jobs = ids.len(), %error, "Reddit refused a fetch; it is tried again in a few minutes");
                    return self.hand_back(attempts, REFUSED_RETRY_MS).await;
                }
                // The source holds the next request back for as long as the answer calls for.
                Err(SourceError::Wait { .. } | SourceError::Unavailable { .. })
                    if Instant::now() < deadline =>
                {
                    outage = true;
                }
                Err(_) => return self.hand_back(attempts, RETURN_AFTER_MS).await,
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        metrics.batch_size.observe(ids.len() as f64);
        for _ in ids {
            metrics
                .fetch_seconds
                .with_label_values(&[LABEL])
                .observe(page.seconds);
        }
        self.record(attempts, page).await
    }

    /// Returns once the process stops and Reddit is out: then nothing is waited for. A slow answer is,
    /// as long as time is left to hand the jobs back before the process ends.
    async fn gives_up(&self, outage: bool) {
        self.draining.cancelled().await;
        if !outage {
            let _ = tokio::time::timeout(PATIENCE, self.ingest.reddit.held_back()).await;
        }
    }

    /// Judges each id by the answer, and stores it all in one transaction.
    async fn record(&self, attempts: &[Attempt], page: InfoPage) -> Ends {
        let judged = Judged::new(attempts, page, (self.ingest.now_ms)());
        let mut ends = Ends::new();
        for id in &judged.unreadable {
            ends.push(
                self.fail(
                    id,
                    FailureKind::Unreadable,
                    "its answer is no submission with an id and a time",
                )
                .await,
            );
        }
        match self.write(attempts, &judged).await {
            Ok(written) => ends.extend(written),
            Err(error) if error.is_unavailable() => {
                let error = error.told();
                tracing::warn!(
                    jobs = attempts.len(),
                    error,
                    "Fetched submissions could not be stored; they are fetched again"
                );
                ends.extend(self.hand_back(attempts, RETURN_AFTER_MS).await);
            }
            Err(error) => {
                let error = error.told();
                ends.extend(self.record_singly(attempts, judged, error).await);
            }
        }
        ends
    }

    /// The database refused them together: each by itself, so that it is known which it was. Where
    /// every single one is refused with the same words, it is none of them, and none is charged.
    async fn record_singly(&self, attempts: &[Attempt], judged: Judged, error: String) -> Ends {
        let mut ends = Ends::new();
        let pages = judged.into_single_pages(attempts);
        let mut refused: Vec<(Attempt, String)> = Vec::new();
        let together = pages.len();
        if together == 1 {
            let one = pages.into_iter().next();
            refused.extend(one.map(|(attempt, _)| (attempt, error)));
        } else {
            tracing::warn!(
                jobs = together,
                error,
                "Fetched submissions are stored one by one"
            );
            for (attempt, page) in pages {
                let alone = std::slice::from_ref(&attempt);
                let judged = Judged::new(alone, page, (self.ingest.now_ms)());
                match self.write(alone, &judged).await {
                    Ok(written) => ends.extend(written),
                    Err(error) if error.is_unavailable() => {
                        ends.extend(self.hand_back(alone, RETURN_AFTER_MS).await);
                    }
                    Err(error) => refused.push((attempt, error.told())),
                }
            }
        }
        let all_alike = refused.len() == together
            && refused.windows(2).all(|pair| match pair {
                [(_, one), (_, other)] => one == other,
                _ => true,
            });
        if let ([(_, error), _, ..], true) = (refused.as_slice(), all_alike) {
            tracing::error!(
                jobs = together,
                error,
                "The database refuses whatever was fetched, and no job is to blame: see that it can be \
                 written to. It is tried again in a few minutes, and no job spends an attempt"
            );
            let attempts: Vec<Attempt> = refused.into_iter().map(|(attempt, _)| attempt).collect();
            ends.extend(self.hand_back(&attempts, REFUSED_RETRY_MS).await);
            return ends;
        }
        for (attempt, error) in refused {
            let reason = format!("it could not be stored: {error}");
            ends.push(
                self.fail(&attempt.id, FailureKind::NotStored, &reason)
                    .await,
            );
        }
        ends
    }

    /// Stores what was judged, in one transaction; what became of each.
    async fn write(&self, attempts: &[Attempt], judged: &Judged) -> Result<Ends, StoreError> {
        let ingest = &self.ingest;
        let stored = self
            .persist(|| async move {
                let begun = Instant::now();
                // The time of this try: an earlier one may lie far back.
                let record = judged.record(&ingest.holder, (ingest.now_ms)());
                let stored = ingest.store.record_fetches(&record).await?;
                let seconds = begun.elapsed().as_secs_f64();
                ingest.metrics.ingest.write_seconds.observe(seconds);
                Ok(stored)
            })
            .await?;
        self.count(attempts, judged, &stored);
        Ok(judged.ends(&stored))
    }

    /// Notes that a job failed by its own fault; it is tried again, and set aside in the end.
    async fn fail(
        &self,
        id: &SubmissionId,
        kind: FailureKind,
        reason: &str,
    ) -> (SubmissionId, End) {
        tracing::error!(%id, reason, "A job failed; it is tried again, and set aside if it keeps failing");
        let now_ms = (self.ingest.now_ms)();
        let due_ms = now_ms + FAILED_RETRY_MS;
        let failure = Failure {
            by: &self.ingest.holder,
            kind,
            reason,
            now_ms,
        };
        if let Err(error) = self
            .persist(|| self.ingest.store.fail_fetch(id, failure, due_ms))
            .await
        {
            tracing::warn!(%id, %error, "The failure could not be noted in the database");
        }
        (id.clone(), Ok(Outcome::Failed))
    }

    fn count(&self, attempts: &[Attempt], judged: &Judged, stored: &FetchStored) {
        let metrics = &self.ingest.metrics;
        let ingest = &metrics.ingest;
        let now_ms = (self.ingest.now_ms)();
        ingest.unchanged.inc_by(stored.unchanged.len() as u64);
        ingest.nul_stripped.inc_by(stored.nul_stripped);
        self.count_dead(FailureKind::TooDeep, stored.refused.len());
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
            .filter(|attempt| stored.unavailable.contains(&attempt.id))
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
    async fn hand_back(&self, attempts: &[Attempt], after_ms: i64) -> Ends {
        if attempts.is_empty() {
            return Ends::new();
        }
        let ids: Vec<SubmissionId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
        let due_ms = (self.ingest.now_ms)() + after_ms;
        if let Err(error) = self
            .persist(|| {
                self.ingest
                    .store
                    .return_fetches(&ids, &self.ingest.holder, due_ms)
            })
            .await
        {
            // The feeder finds out that the queue no longer holds them.
            tracing::warn!(jobs = ids.len(), %error, "Jobs could not be handed back in the database");
        }
        ids.into_iter()
            .map(|id| (id, Ok(Outcome::Returned)))
            .collect()
    }

    /// Repeats a statement while the database is away, as long as a job may wait.
    async fn persist<T, F>(&self, statement: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = statement().await;
            // Whatever came of it: one of many was written, or refused, or the database is away.
            self.ingest.progress.made();
            match result {
                Err(error) if error.is_unavailable() && Instant::now() < deadline => {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                other => return other,
            }
        }
    }
}
