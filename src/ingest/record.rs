//! One request's jobs: counted, fetched, judged one by one, stored in one transaction.

use super::isolate::{Isolation, is_suspect, most_suspected, speaks_of};
use super::judge::{End, Ends, Judged};
use super::known::Known;
use super::{ALONE_FROM_ATTEMPT, FAILED_RETRY_MS, Ingest, PATIENCE, RETURN_AFTER_MS, patience};
use crate::bisect::Bisection;
use crate::liveness::CALL;
use crate::queue::{Outcome, panic_text};
use crate::source::{InfoPage, MAX_INFO_IDS, Reddit, RequestClass, SourceError};
use crate::store::{Attempt, Failure, FailureKind, FetchStored, StoreError};
use crate::submission::{Observation, SubmissionId};
use futures::FutureExt;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LABEL: &str = "reddit";
/// Between two tries of the same statement while the database is away.
const STORE_PAUSE: Duration = Duration::from_millis(250);
/// A request that takes so long to fail is not made again as it was.
const SLOW: Duration = Duration::from_secs(5);

/// When jobs are run again whose request Reddit refused, or none of which the database would store.
pub(super) const REFUSED_RETRY_MS: i64 = 300_000;
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
    pub(super) ingest: Ingest,
    pub(super) draining: CancellationToken,
    /// The one place in a process for a job that was in flight whenever its process died.
    pub(super) alone: Arc<Semaphore>,
    /// The one place in a process for jobs whose request failed while others succeeded, and how many of
    /// them may be in it.
    pub(super) isolating: Arc<Semaphore>,
    pub(super) most_suspects: usize,
    pub(super) known: Arc<Known>,
    hangs_after: Duration,
    /// The place of this request among those that run at once.
    slot: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Fetching {
    pub(super) fn new(
        ingest: Ingest,
        draining: CancellationToken,
        hangs_after: Duration,
        concurrency: usize,
    ) -> Fetching {
        Fetching {
            ingest,
            draining,
            alone: Arc::new(Semaphore::new(1)),
            isolating: Arc::new(Semaphore::new(1)),
            most_suspects: (concurrency / 2).max(1),
            known: Arc::default(),
            hangs_after,
            slot: Mutex::default(),
        }
    }

    /// For one request, which is watched by itself.
    pub(super) fn for_a_request(&self, slot: Option<OwnedSemaphorePermit>) -> Fetching {
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
            isolating: Arc::clone(&self.isolating),
            most_suspects: self.most_suspects,
            known: Arc::clone(&self.known),
            hangs_after: self.hangs_after,
            slot: Mutex::new(slot),
        }
    }

    /// Lets another request begin: what this one does now may take long.
    pub(super) fn leave_slot(&self) {
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
        let (suspects, attempts): (Vec<Attempt>, Vec<Attempt>) =
            attempts.into_iter().partition(is_suspect);
        let (killers, company): (Vec<Attempt>, Vec<Attempt>) = attempts
            .into_iter()
            .partition(|attempt| attempt.attempts >= ALONE_FROM_ATTEMPT);
        // These first: whoever of the company kills the process is not to charge them.
        ends.extend(self.run_alone(killers).await);
        ends.extend(self.fetch(company).await);
        ends.extend(self.run_suspects(suspects).await);
        ends
    }

    /// Counts an attempt for each job, before the work.
    pub(super) async fn start(&self, ids: &[SubmissionId]) -> Result<Vec<Attempt>, StoreError> {
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

    pub(super) fn count_dead(&self, kind: FailureKind, jobs: usize) {
        let dead = &self.ingest.metrics.ingest.dead;
        dead.with_label_values(&[kind.as_str()]).inc_by(jobs as u64);
    }

    /// One request. What panics or hangs over it is charged to those that were in it, and to no others.
    pub(super) async fn fetch(&self, attempts: Vec<Attempt>) -> Ends {
        if attempts.is_empty() {
            return Ends::new();
        }
        let ids: Vec<SubmissionId> = attempts.iter().map(|attempt| attempt.id.clone()).collect();
        self.guarded(&ids, self.fetch_together(&attempts, &ids))
            .await
    }

    /// Work for these jobs, which are charged where it panics or hangs.
    pub(super) async fn guarded(
        &self,
        ids: &[SubmissionId],
        work: impl Future<Output = Ends>,
    ) -> Ends {
        let work = or_panic(ids, Box::pin(work));
        let watched = self.ingest.progress.unless_hung(self.hangs_after, work);
        if let Some(ends) = watched.await {
            return ends;
        }
        let kind = FailureKind::NeverEnded;
        futures::future::join_all(ids.iter().map(|id| self.fail(id, kind, HUNG))).await
    }

    async fn fetch_together(&self, attempts: &[Attempt], ids: &[SubmissionId]) -> Ends {
        let budget = self.ingest.reddit.budget().requests_per_minute();
        let deadline = Instant::now() + patience(budget);
        // What was left out before is asked for together with what is not, so that an answer that leaves
        // it out again says something.
        let mut known = match attempts.iter().all(|attempt| attempt.omissions > 0) {
            true => self.known_good(ids).await,
            false => Vec::new(),
        };
        known.truncate(MAX_INFO_IDS.saturating_sub(ids.len()));
        let class = if attempts.iter().all(|attempt| attempt.refresh) {
            RequestClass::Refresh
        } else {
            RequestClass::Fetch
        };
        let (mut outage, mut isolated) = (false, false);
        let page = loop {
            let begun = Instant::now();
            // Once it has failed, it may be for what is asked for.
            let reddit = if outage && !isolated {
                self.ingest.reddit.doubtful()
            } else {
                self.ingest.reddit.clone()
            };
            let asked = self.ask(&reddit, ids, &known, class, deadline, outage);
            let Some(answer) = asked.await else {
                return self.hand_back(attempts, RETURN_AFTER_MS).await;
            };
            let error = match answer {
                Ok(page) if speaks_of(&page, ids) || speaks_of(&page, &known) || isolated => {
                    break page;
                }
                Ok(page) => {
                    let page = page.emptied();
                    let mut search = Bisection::default();
                    search.add(attempts.to_vec());
                    let Isolation { mut ends, left } = self.isolate(search, begun).await;
                    if !left.is_empty() {
                        // Nothing is given out at all, of whatever is asked for.
                        ends.extend(self.record(&left, page).await);
                    }
                    return ends;
                }
                Err(error) => error,
            };
            let refused = matches!(error, SourceError::Refused { .. });
            let again = outage || refused || begun.elapsed() >= SLOW;
            // The wait that it asks for comes before each request, these among them.
            let turned_away = error.is_rate_limited() && self.known.turned_away_again(ids);
            let suspect = turned_away || (error.may_be_the_request() && again);
            if suspect && !std::mem::replace(&mut isolated, true) {
                let mut search = Bisection::default();
                search.add_failed(attempts.to_vec(), most_suspected(attempts));
                let Isolation { mut ends, left } = self.isolate(search, begun).await;
                if left.len() < attempts.len() {
                    ends.extend(self.hand_back(&left, RETURN_AFTER_MS).await);
                    return ends;
                }
            }
            outage = true;
            match error {
                SourceError::Refused { .. } => {
                    tracing::error!(jobs = ids.len(), %error, "Reddit refuses whatever is fetched; it is tried again in a few minutes");
                    return self.hand_back(attempts, REFUSED_RETRY_MS).await;
                }
                // The source holds the next request back for as long as the answer calls for.
                _ if Instant::now() < deadline => {}
                _ => return self.hand_back(attempts, RETURN_AFTER_MS).await,
            }
        };
        self.record(attempts, page).await
    }

    /// Asks once for these ids, and for others that are known to be given out; none where the process
    /// stops and nothing is waited for.
    pub(super) async fn ask(
        &self,
        reddit: &Reddit,
        ids: &[SubmissionId],
        known: &[SubmissionId],
        class: RequestClass,
        deadline: Instant,
        outage: bool,
    ) -> Option<Result<InfoPage, SourceError>> {
        let all = [ids, known].concat();
        let answer = tokio::select! {
            answer = reddit.info_before(&all, class, deadline) => answer,
            () = self.gives_up(outage) => return None,
        };
        self.ingest.progress.made();
        if let Ok(page) = &answer {
            self.known.note(page);
        }
        Some(answer)
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
    pub(super) async fn record(&self, attempts: &[Attempt], page: InfoPage) -> Ends {
        let metrics = &self.ingest.metrics.ingest;
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        metrics.batch_size.observe(attempts.len() as f64);
        for _ in attempts {
            metrics
                .fetch_seconds
                .with_label_values(&[LABEL])
                .observe(page.seconds);
        }
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
            Err(error) if error.is_outage() => {
                let error = error.told();
                tracing::debug!(
                    jobs = attempts.len(),
                    error,
                    "Fetched submissions could not be stored; they are fetched again"
                );
                ends.extend(self.hand_back(attempts, RETURN_AFTER_MS).await);
            }
            Err(error) => {
                let error = error.told();
                ends.extend(self.record_in_parts(attempts, judged, error).await);
            }
        }
        ends
    }

    /// Stores what was judged, in one transaction; what became of each.
    pub(super) async fn write(
        &self,
        attempts: &[Attempt],
        judged: &Judged,
    ) -> Result<Ends, StoreError> {
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
    pub(super) async fn fail(
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
        metrics
            .discover
            .undecodable
            .inc_by(judged.undecodable.len() as u64);
        metrics.discover.undecodable_dropped.inc_by(stored.dropped);
        for index in stored.changed.iter().chain(&stored.unchanged) {
            let Some(Observation { submission, .. }) = judged.observations.get(*index) else {
                continue;
            };
            let name = submission.subreddit.as_deref().unwrap_or_default();
            metrics.watched.label(name, |subreddit| {
                ingest
                    .stored
                    .with_label_values(&[subreddit, submission.kind.as_str()])
                    .inc();
            });
            #[expect(clippy::cast_precision_loss, reason = "histograms count in floats")]
            {
                if !metrics.watched.is_history(name, submission.created_utc) {
                    ingest.lag_seconds.observe(
                        (now_ms - submission.created_utc.saturating_mul(1000)) as f64 / 1000.0,
                    );
                }
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
    pub(super) async fn hand_back(&self, attempts: &[Attempt], after_ms: i64) -> Ends {
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
    pub(super) async fn persist<T, F>(&self, statement: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = statement().await;
            // Whatever came of it: one of many was written, or refused, or the database is away.
            self.ingest.progress.made();
            match result {
                Err(error) if error.is_outage() && Instant::now() < deadline => {
                    tokio::time::sleep(STORE_PAUSE).await;
                }
                other => return other,
            }
        }
    }
}
