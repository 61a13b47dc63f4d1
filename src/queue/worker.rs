//! The life of a worker: start, work, start anew after a fault, stop.
//!
//! Owns the mechanics of outages and of stopping. Knows no meaning of a job and no statement.
//!
//! apalis ends a worker at the first error of its backend (a restarted server, a wiped one, a slow
//! answer, a locked file). Here each life of the worker gets a fresh name, since a name cannot
//! register again for as long as it may still count as alive; what the last life held is put back
//! first; the runs go on through it all.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apalis::prelude::{Worker, WorkerContext};
use futures::FutureExt;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

use super::carrier::{Carrier, Pulse};
use super::handler::{Handler, Outcome, WorkOptions};
use super::job::Work;
use super::runs::Runs;
use super::service::JobService;
use super::{Queue, QueueError};
use crate::liveness::CALL;
use crate::metrics::Metrics;

/// The pause after the first fault, doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A life of this length shows that the outage before it is over.
const SETTLED: Duration = Duration::from_secs(5);

/// Ends what still runs when the caller drops the worker's future.
struct AbortOnDrop<H: Handler>(Arc<Runs<H>>);

impl<H: Handler> Drop for AbortOnDrop<H> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Works until `stop`; see [`Queue::work`].
pub(super) async fn work<H: Handler>(
    queue: &Queue,
    options: WorkOptions,
    handler: Arc<H>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    start_at_zero(&metrics, H::Work::LABEL);
    let progress = options.progress.clone();
    let runs = Arc::new(Runs::new(handler, metrics, &options));
    let slots = runs.slots.clone();
    let _abort = AbortOnDrop(Arc::clone(&runs));
    let mut outage = Outage::default();
    // The name of the last life, until what it held is put back.
    let mut held: Option<String> = None;
    loop {
        let started = Instant::now();
        let result = async {
            if let Some(name) = &held {
                progress.during(CALL, queue.engine.release(name)).await?;
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            progress.during(CALL, queue.engine.prepare()).await?;
            let name = format!("freshet-{}-{}", std::process::id(), uuid::Uuid::new_v4());
            held = Some(name.clone());
            live(queue, &options, &runs, &name, &stop, &mut outage).await?;
            progress.during(CALL, queue.engine.release(&name)).await
        }
        .await;
        if stop.is_cancelled() {
            slots.close();
            slots.idle().await;
            // Not put back yet: once more, now that nothing runs.
            if let (Err(_), Some(name)) = (&result, &held)
                && let Err(error) = queue.engine.release(name).await
            {
                tracing::warn!(%error, "Jobs of this worker could not be put back; others take them over when its heartbeat has grown old");
            }
            return Ok(());
        }
        if let Err(error) = &result {
            queue.engine.note(error);
        }
        let away = result.as_ref().is_err_and(QueueError::is_outage);
        match result {
            Ok(()) => tracing::warn!("The worker ended unasked and starts anew"),
            Err(error) => outage.note(&error, started.elapsed()),
        }
        let pause = outage.pause();
        tokio::select! {
            () = stop.cancelled() => {}
            () = progress.during(CALL, sleep(pause)), if away => progress.made(),
            () = sleep(pause), if !away => {}
        }
    }
}

/// One life of a worker under one name, to its end by fault or by `stop`.
async fn live<H: Handler>(
    queue: &Queue,
    options: &WorkOptions,
    runs: &Arc<Runs<H>>,
    name: &str,
    stop: &CancellationToken,
    outage: &mut Outage,
) -> Result<(), QueueError> {
    let context = WorkerContext::new(name);
    let pulse = Arc::new(Pulse::default());
    let carrier = Carrier::new(
        queue.engine.clone(),
        &queue.pushes,
        runs.slots.clone(),
        Arc::clone(&pulse),
        options,
    );
    let worker = Worker::<Vec<u8>, _, _, _>::new(
        context.clone(),
        carrier,
        JobService(Arc::clone(runs)),
        Identity::new(),
    );
    // apalis panics where its states contradict one another: a fault like any other.
    let mut run = Box::pin(AssertUnwindSafe(worker.run()).catch_unwind());
    let stopping = async {
        stop.cancelled().await;
        runs.slots.close();
        // Only now, and only once nothing runs, may apalis hear of it: a worker of its that is
        // told to stop sends no heartbeat while its jobs end, and others would run them again.
        runs.slots.handed_back().await;
        runs.slots.idle().await;
    };
    tokio::pin!(stopping);
    let mut recovery = interval(Duration::from_millis(100));
    recovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ended = &mut run => return ended_as(ended),
            () = &mut stopping => break,
            _ = recovery.tick(), if outage.is_open() => {
                if pulse.answered.load(Ordering::Relaxed) {
                    outage.close();
                }
            }
        }
    }
    if context.stop().is_err() {
        return Ok(());
    }
    ended_as(run.await)
}

fn ended_as(
    ended: Result<Result<(), apalis::prelude::WorkerError>, Box<dyn std::any::Any + Send>>,
) -> Result<(), QueueError> {
    match ended {
        Ok(result) => result.map_err(QueueError::from),
        Err(_) => Err(QueueError::Failed {
            source: "the worker's loop panicked".into(),
        }),
    }
}

/// A time during which no life of the worker lasted; told in the log once, not at each try.
#[derive(Default)]
struct Outage {
    since: Option<Instant>,
    faults: u32,
}

impl Outage {
    fn is_open(&self) -> bool {
        self.since.is_some()
    }

    fn note(&mut self, error: &QueueError, lived: Duration) {
        if lived >= SETTLED && self.since.is_none() {
            self.faults = 0;
        }
        self.faults = self.faults.saturating_add(1);
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let begins = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        if begins && !error.is_outage() {
            tracing::error!(%error, cause, "Worker ended with an error; restarting");
        } else if begins {
            tracing::debug!(%error, cause, "The worker lost the queue and tries again until it is back");
        } else {
            tracing::debug!(%error, cause, faults = self.faults, "The queue is still away");
        }
    }

    fn close(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::debug!(
                after_seconds = since.elapsed().as_secs_f64(),
                "The queue answers the worker again"
            );
        }
    }

    fn pause(&self) -> Duration {
        let doublings = self.faults.saturating_sub(1).min(10);
        (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
    }
}

/// Series with known labels exist from the start, so that a rate over them has a first point.
fn start_at_zero(metrics: &Metrics, label: &str) {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    for outcome in outcomes
        .into_iter()
        .chain(["panicked", "timed_out", "malformed"])
    {
        let finished = &metrics.queue.finished;
        finished.with_label_values(&[label, outcome]).inc_by(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew_after_a_settled_life() {
        let error = QueueError::Url("x".to_owned());
        let mut outage = Outage::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            outage.note(&error, Duration::ZERO);
            pauses.push(outage.pause().as_millis());
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        outage.close();
        outage.note(&error, Duration::ZERO);
        assert_eq!(outage.pause(), LONGEST_PAUSE, "a short life proves nothing");
        outage.close();
        outage.note(&error, SETTLED);
        assert_eq!(outage.pause(), FIRST_PAUSE);
    }
}
