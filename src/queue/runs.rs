//! The jobs that run in this process, and the slots they run in.
//!
//! Owns the limit on concurrency and the end of every run: its time limit, its panics, its
//! metrics. Knows no engine: a run outlives the worker that took it, so that an outage of the
//! queue cancels nothing, and a job that comes back while it still runs joins its run instead of
//! doubling it. (A job that comes back after its run has ended, unacknowledged, runs again.)

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::clock_ms;
use super::handler::{Fault, Handler, WorkOptions};
use super::job::Work;
use crate::liveness::Progress;
use crate::metrics::Metrics;

/// How long a handler may take to note a fault or a heartbeat.
const FAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of a panic's text that are kept.
const PANIC_CHARS: usize = 200;

/// Resolves when a run has ended, however it ended.
type End = Shared<oneshot::Receiver<()>>;

/// Everything that runs on behalf of one call of [`super::Queue::work`].
pub(super) struct Runs<H: Handler> {
    handler: Arc<H>,
    metrics: Arc<Metrics>,
    job_timeout: Duration,
    progress: Progress,
    pub(super) slots: Slots,
    running: Mutex<HashMap<H::Work, (End, AbortHandle)>>,
}

impl<H: Handler> Runs<H> {
    pub(super) fn new(handler: Arc<H>, metrics: Arc<Metrics>, options: &WorkOptions) -> Self {
        Runs {
            handler,
            metrics,
            job_timeout: options.job_timeout,
            progress: options.progress.clone(),
            slots: Slots::new(options.concurrency),
            running: Mutex::default(),
        }
    }

    /// Starts a job, or joins it where it runs already; the future resolves at its end.
    pub(super) fn start(
        self: &Arc<Self>,
        work: H::Work,
        pushed_ms: Option<i64>,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Held over the spawn: the run takes the lock to leave, so it cannot leave before it is in.
        let mut running = self.lock();
        let end = match running.get(&work) {
            Some((end, _)) => end.clone(),
            None => {
                let (sender, receiver) = oneshot::channel();
                let end = receiver.shared();
                let permit = self.slots.try_take();
                let task = Arc::clone(self).run(work.clone(), pushed_ms, permit, sender);
                let abort = tokio::spawn(task).abort_handle();
                running.insert(work, (end.clone(), abort));
                end
            }
        };
        drop(running);
        end.map(|_| ())
    }

    async fn run(
        self: Arc<Self>,
        work: H::Work,
        pushed_ms: Option<i64>,
        permit: Option<OwnedSemaphorePermit>,
        end: oneshot::Sender<()>,
    ) {
        let permit = match permit {
            Some(permit) => Some(permit),
            None => self.slots.take().await,
        };
        let queue = &self.metrics.queue;
        if let Some(pushed_ms) = pushed_ms {
            // Clocks differ between machines: a negative wait is none.
            let waited = (clock_ms() - pushed_ms).max(0) as f64 / 1000.0;
            queue
                .wait_seconds
                .with_label_values(&[H::Work::LABEL])
                .observe(waited);
        }
        let started = Instant::now();
        let label = self.outcome(&work).await;
        queue
            .run_seconds
            .with_label_values(&[H::Work::LABEL])
            .observe(started.elapsed().as_secs_f64());
        queue
            .finished
            .with_label_values(&[H::Work::LABEL, label])
            .inc();
        self.lock().remove(&work);
        drop(permit);
        // Nobody listens where the worker that took the job has ended since.
        let _ = end.send(());
    }

    /// Runs the handler within its bounds; the label of how it went.
    async fn outcome(&self, work: &H::Work) -> &'static str {
        let run = AssertUnwindSafe(async { self.handler.run(work.clone()).await }).catch_unwind();
        let fault = match timeout(self.job_timeout, run).await {
            Ok(Ok(outcome)) => {
                self.progress.made();
                return outcome.as_str();
            }
            Ok(Err(panic)) => Fault::Panicked(panic_text(panic.as_ref())),
            Err(_) => Fault::TimedOut,
        };
        let label = fault.as_str();
        let told = AssertUnwindSafe(async { self.handler.fault(work.clone(), fault).await });
        if !matches!(
            timeout(FAULT_TIMEOUT, told.catch_unwind()).await,
            Ok(Ok(()))
        ) {
            tracing::warn!(%work, fault = label, "A job's fault could not be noted");
        }
        label
    }

    /// Runs a heartbeat, in a slot like any job. It ends with the worker that took it, and is then
    /// taken by another.
    pub(super) async fn beat(self: Arc<Self>, sent_ms: i64) {
        let _permit = match self.slots.try_take() {
            Some(permit) => Some(permit),
            None => self.slots.take().await,
        };
        let noted = AssertUnwindSafe(async { self.handler.heartbeat(sent_ms).await });
        if !matches!(
            timeout(FAULT_TIMEOUT, noted.catch_unwind()).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("A heartbeat could not be noted");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<H::Work, (End, AbortHandle)>> {
        // Nothing panics while it is held, and a map of handles cannot be left half changed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a payload that is no job.
    pub(super) fn count_malformed(&self) {
        let finished = &self.metrics.queue.finished;
        finished
            .with_label_values(&[H::Work::LABEL, "malformed"])
            .inc();
    }

    /// Ends every run at its next await.
    pub(super) fn abort(&self) {
        for (_, (_, abort)) in self.lock().drain() {
            abort.abort();
        }
    }
}

/// What a panic said: its first line, cut to 200 characters. Below it may stand what people wrote.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(PANIC_CHARS).collect()
}

/// The places in which jobs run.
#[derive(Clone)]
pub(super) struct Slots(Arc<SlotsInner>);

struct SlotsInner {
    free: Arc<Semaphore>,
    size: u32,
    closed: AtomicBool,
    handed_back: Notify,
}

impl Slots {
    pub(super) fn new(size: usize) -> Slots {
        let size = size.clamp(1, 4_000);
        Slots(Arc::new(SlotsInner {
            free: Arc::new(Semaphore::new(size)),
            size: u32::try_from(size).expect("clamped just above"),
            closed: AtomicBool::new(false),
            handed_back: Notify::new(),
        }))
    }

    /// How many jobs could start now.
    pub(super) fn free(&self) -> usize {
        self.0.free.available_permits()
    }

    /// Whether no job runs.
    pub(super) fn all_free(&self) -> bool {
        self.free() >= self.0.size as usize
    }

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.free).try_acquire_owned().ok()
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.free).acquire_owned().await.ok()
    }

    /// From now on no job is taken from the queue.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Says that nothing taken and unstarted is left in this process.
    pub(super) fn mark_handed_back(&self) {
        self.0.handed_back.notify_one();
    }

    /// Waits for [`Slots::mark_handed_back`].
    pub(super) async fn handed_back(&self) {
        self.0.handed_back.notified().await;
    }

    /// Waits until no job runs.
    pub(super) async fn idle(&self) {
        // The semaphore is never closed, and nobody asks for more than there are.
        let _all = self.0.free.acquire_many(self.0.size).await;
    }
}
