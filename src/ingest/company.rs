//! Gathers the jobs in flight into requests of up to 100.
//!
//! A full request goes out at once. One that is not waits for a moment, and for as long after the last
//! request as the budget makes worthwhile: with 100 requests a minute that is 3 s, with 1,500 a moment.

use super::judge::End;
use super::record::Fetching;
use super::{Ingest, LINGER, max_batch_delay};
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::queue::Outcome;
use crate::source::MAX_INFO_IDS;
use crate::submission::SubmissionId;
use std::collections::HashMap;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A request is given up once none of its steps has ended for so long. That is twice what any of them
/// takes by its own limits, so what hangs is our own code; and less than a job may take, so that the jobs
/// learn of it. It bounds no sum of steps: an outage of the database may draw each of them out.
const HANGS_AFTER: Duration = CALL.saturating_mul(2);

/// One job, waiting for its end.
#[derive(Debug)]
struct Seat {
    id: SubmissionId,
    end: oneshot::Sender<End>,
}

/// Where jobs hand in their ids.
#[derive(Debug, Clone)]
pub struct Company(mpsc::Sender<Seat>);

/// The other end: forms requests until every [`Company`] handle is gone.
#[derive(Debug)]
pub struct Gathering {
    seats: mpsc::Receiver<Seat>,
    concurrency: usize,
    hangs_after: Duration,
}

impl Company {
    /// A company for up to `concurrency` jobs in flight.
    pub fn new(concurrency: usize) -> (Company, Gathering) {
        let (sender, seats) = mpsc::channel(concurrency.max(1));
        let gathering = Gathering {
            seats,
            concurrency,
            hangs_after: HANGS_AFTER,
        };
        (Company(sender), gathering)
    }

    /// Fetches and stores one submission, together with whoever else asks now.
    ///
    /// # Panics
    /// Where the shared work for it did, with the same text.
    pub async fn fetch(&self, id: SubmissionId) -> Outcome {
        let (end, ended) = oneshot::channel();
        if self.0.send(Seat { id, end }).await.is_err() {
            return Outcome::Returned;
        }
        match ended.await {
            Ok(Ok(outcome)) => outcome,
            // The panic hook has told of it already.
            Ok(Err(panic)) => resume_unwind(Box::new(panic)),
            // The request was dropped half-way; the feeder brings the job back.
            Err(_) => Outcome::Returned,
        }
    }
}

impl Gathering {
    /// A request is given up once it has made no step for so long.
    pub fn hanging_after(self, hangs_after: Duration) -> Gathering {
        Gathering {
            hangs_after,
            ..self
        }
    }

    /// Forms requests and runs them until no job can come any more. Once `draining`, an outage is
    /// not waited for: jobs are handed back at once.
    pub async fn run(self, ingest: Ingest, draining: CancellationToken) {
        let Gathering {
            mut seats,
            concurrency,
            hangs_after,
        } = self;
        let progress = ingest.progress.clone();
        let delay = max_batch_delay(ingest.reddit.budget().requests_per_minute());
        let stopping = draining.clone();
        let fetching = Fetching::new(ingest, draining, hangs_after, concurrency);
        // While all slots wait for the budget, seats gather: the tighter the budget, the fuller the
        // requests.
        let slots = Arc::new(Semaphore::new(concurrency.div_ceil(MAX_INFO_IDS).max(2)));
        let mut requests = JoinSet::new();
        let mut gathered: Vec<Seat> = Vec::new();
        let mut leave_at = Instant::now();
        // Of the last request, after which others wait.
        let mut follow_at = leave_at;
        let mut closed = false;
        while !(closed && gathered.is_empty()) {
            let full = gathered.len() >= MAX_INFO_IDS;
            // No other job can come before one of these has ended.
            let all = gathered.len() >= concurrency;
            // A worker that stops waits for no others.
            let now = full || all || closed || stopping.is_cancelled();
            let ready = !gathered.is_empty() && (now || Instant::now() >= leave_at);
            let room = MAX_INFO_IDS - gathered.len().min(MAX_INFO_IDS);
            tokio::select! {
                biased;
                slot = Arc::clone(&slots).acquire_owned(), if ready => {
                    let request = std::mem::take(&mut gathered);
                    follow_at = Instant::now() + delay;
                    let fetching = fetching.for_a_request(slot.ok());
                    requests.spawn(async move { answer(&fetching, request).await });
                }
                came = seats.recv_many(&mut gathered, room), if !full && !closed => {
                    closed = came == 0;
                    if came == gathered.len() {
                        leave_at = follow_at.max(Instant::now() + LINGER);
                    }
                }
                () = progress.during(HOWEVER_LONG, tokio::time::sleep_until(leave_at)),
                    if !ready && !gathered.is_empty() => {}
                () = stopping.cancelled(), if !ready && !gathered.is_empty() => {}
                Some(_) = requests.join_next(), if !requests.is_empty() => {}
                // Each request is watched by itself. That all of them last long, such as while Reddit
                // answers slowly, is no standstill of the worker that waits for them.
                () = progress.during(HOWEVER_LONG, pending::<()>()), if !requests.is_empty() => {}
            }
        }
        while requests.join_next().await.is_some() {}
    }
}

/// Runs one request and tells each job its own end.
async fn answer(fetching: &Fetching, request: Vec<Seat>) {
    let mut waiting: HashMap<SubmissionId, Vec<oneshot::Sender<End>>> = HashMap::new();
    for seat in request {
        waiting.entry(seat.id).or_default().push(seat.end);
    }
    let ids: Vec<SubmissionId> = waiting.keys().cloned().collect();
    for (id, end) in fetching.run(&ids).await {
        for (place, seat) in waiting.remove(&id).into_iter().flatten().enumerate() {
            // A second copy of a job had nothing left to do. One that stopped waiting needs no answer.
            let _ = seat.send(match &end {
                Ok(_) if place > 0 => Ok(Outcome::Obsolete),
                end => end.clone(),
            });
        }
    }
}
