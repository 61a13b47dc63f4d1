//! A queue of its own for each test, and workers whose jobs write down what happens to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshet::ingest::{Company, FetchHandler, Ingest};
use freshet::metrics::Metrics;
use freshet::queue::{Depth, Fault, Handler, Outcome, Queue, WorkOptions};
use freshet::submission::SubmissionId;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::redis::shared_url;

/// Longer than anything but a fault takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A queue of its own, and what must outlive it.
pub struct Place {
    pub url: String,
    pub name: String,
    pub queue: Queue,
    _folder: Option<TempDir>,
}

/// The engines that pass the suite.
#[derive(Clone, Copy)]
pub enum On {
    Redis,
    Sqlite,
    Memory,
}

impl On {
    /// How many of so many finished jobs are kept until they are reaped.
    pub fn kept(self, finished: usize) -> usize {
        match self {
            On::Redis | On::Sqlite => finished,
            On::Memory => 0,
        }
    }
}

impl Place {
    pub async fn new(on: On) -> Place {
        let name = format!("test-{}", uuid::Uuid::new_v4());
        let (url, folder) = match on {
            On::Redis => (shared_url(), None),
            On::Memory => ("memory".to_owned(), None),
            On::Sqlite => {
                let folder = TempDir::new().unwrap();
                let url = format!("sqlite://{}", folder.path().join("queue.db").display());
                (url, Some(folder))
            }
        };
        Place::at(url, name, folder).await
    }

    pub async fn at(url: String, name: String, folder: Option<TempDir>) -> Place {
        let queue = Queue::connect(&url, &name).await.unwrap();
        Place {
            url,
            name,
            queue,
            _folder: folder,
        }
    }
}

pub fn ids(range: std::ops::Range<usize>) -> Vec<SubmissionId> {
    range
        .map(|number| format!("x{number}").parse().unwrap())
        .collect()
}

pub fn id(text: &str) -> SubmissionId {
    text.parse().unwrap()
}

pub fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// What a test's job does.
#[derive(Clone, Copy)]
pub enum Deed {
    End,
    /// Until a permit of `gate` is given.
    WaitAtTheGate,
    Panic,
    Hang,
}

/// Writes down every start and every fault.
pub struct Recorder {
    deed: Box<dyn Fn(&SubmissionId) -> Deed + Send + Sync>,
    pub starts: Mutex<HashMap<SubmissionId, usize>>,
    pub faults: Mutex<Vec<(SubmissionId, Fault)>>,
    pub heartbeats: Mutex<Vec<i64>>,
    pub gate: Semaphore,
    pub running: AtomicUsize,
    pub most_running: AtomicUsize,
    changed: watch::Sender<()>,
}

impl Recorder {
    pub fn new(deed: impl Fn(&SubmissionId) -> Deed + Send + Sync + 'static) -> Arc<Recorder> {
        Arc::new(Recorder {
            deed: Box::new(deed),
            starts: Mutex::default(),
            faults: Mutex::default(),
            heartbeats: Mutex::default(),
            gate: Semaphore::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        })
    }

    pub fn started(&self) -> usize {
        self.starts.lock().unwrap().len()
    }

    pub fn runs_of(&self, id: &SubmissionId) -> usize {
        self.starts.lock().unwrap().get(id).copied().unwrap_or(0)
    }

    pub fn runs(&self) -> usize {
        self.starts.lock().unwrap().values().sum()
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Recorder) -> bool) {
        let mut changes = self.changed.subscribe();
        let reached = timeout(PATIENCE, changes.wait_for(|()| condition(self))).await;
        let (runs, distinct) = (self.runs(), self.started());
        assert!(
            reached.is_ok(),
            "not in time: {what} ({runs} runs of {distinct} jobs)"
        );
    }
}

/// One running job; its drop is seen however the job ends, by cancelling too.
struct Running<'a>(&'a Recorder);

impl<'a> Running<'a> {
    fn begin(recorder: &'a Recorder) -> Running<'a> {
        let running = recorder.running.fetch_add(1, Ordering::SeqCst) + 1;
        recorder.most_running.fetch_max(running, Ordering::SeqCst);
        recorder.changed.send_replace(());
        Running(recorder)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.send_replace(());
    }
}

impl Handler for Recorder {
    type Work = SubmissionId;

    async fn run(&self, id: SubmissionId) -> Outcome {
        *self.starts.lock().unwrap().entry(id.clone()).or_default() += 1;
        let _running = Running::begin(self);
        match (self.deed)(&id) {
            Deed::End => {}
            Deed::WaitAtTheGate => self.gate.acquire().await.unwrap().forget(),
            Deed::Panic => panic!("{id} is a bad one"),
            Deed::Hang => std::future::pending().await,
        }
        Outcome::Stored
    }

    async fn heartbeat(&self, sent_ms: i64) {
        self.heartbeats.lock().unwrap().push(sent_ms);
        self.changed.send_replace(());
    }

    async fn fault(&self, id: SubmissionId, fault: Fault) {
        self.faults.lock().unwrap().push((id, fault));
        self.changed.send_replace(());
    }
}

/// A worker in a task of its own.
pub struct Worker {
    pub stop: CancellationToken,
    pub metrics: Arc<Metrics>,
    task: JoinHandle<Result<(), freshet::queue::QueueError>>,
}

impl Worker {
    pub fn start(queue: &Queue, handler: &Arc<Recorder>, options: WorkOptions) -> Worker {
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        let task = {
            let (queue, handler) = (queue.clone(), Arc::clone(handler));
            let (stop, metrics) = (stop.clone(), Arc::clone(&metrics));
            tokio::spawn(async move { queue.work(options, handler, metrics, stop).await })
        };
        Worker {
            stop,
            metrics,
            task,
        }
    }

    pub async fn end(self) {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.task)
            .await
            .expect("the worker stops");
        ended.unwrap().expect("the worker leaves in good order");
    }

    pub fn abort(self) {
        self.task.abort();
    }

    pub fn count(&self, outcome: &str) -> u64 {
        let finished = &self.metrics.queue.finished;
        finished.with_label_values(&["fetch", outcome]).get()
    }
}

pub fn slots(concurrency: usize) -> WorkOptions {
    WorkOptions {
        concurrency,
        ..WorkOptions::default()
    }
}

/// Asks until the answer is the one.
pub async fn depth_becomes(queue: &Queue, wanted: Depth) {
    let mut last = None;
    let reached = timeout(PATIENCE, async {
        loop {
            let depth = queue.depth().await.unwrap();
            if depth == wanted {
                return;
            }
            last = Some(depth);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(reached.await.is_ok(), "{last:?} never became {wanted:?}");
}

pub const EMPTY: Depth = Depth {
    waiting: 0,
    running: 0,
};

/// One test for each engine.
macro_rules! on_both {
    ($($name:ident => $behaviour:ident;)+) => {
        mod redis { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$behaviour(super::On::Redis).await }
        )+ }
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$behaviour(super::On::Sqlite).await }
        )+ }
    };
}
pub(crate) use on_both;

/// The same on these and in memory, where there is nothing that fails below the queue.
macro_rules! on_each {
    ($($name:ident => $behaviour:ident;)+) => {
        crate::support::jobs::on_both! { $($name => $behaviour;)+ }
        mod memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$behaviour(super::On::Memory).await }
        )+ }
    };
}
pub(crate) use on_each;

/// A worker of a queue that fetches, and what forms its requests.
pub struct FetchingWorker {
    stop: CancellationToken,
    working: JoinHandle<Result<(), freshet::queue::QueueError>>,
    gathering: JoinHandle<()>,
}

impl FetchingWorker {
    pub fn start(queue: &Queue, ingest: Ingest) -> FetchingWorker {
        let (company, gathering) = Company::new(200);
        let handler = Arc::new(FetchHandler::new(ingest.clone(), company));
        let stop = CancellationToken::new();
        let (queue, metrics) = (queue.clone(), Arc::clone(&ingest.metrics));
        let stopping = stop.clone();
        let working = tokio::spawn(async move {
            let options = WorkOptions::default();
            queue.work(options, handler, metrics, stopping).await
        });
        let gathering = tokio::spawn(gathering.run(ingest, stop.clone()));
        FetchingWorker {
            stop,
            working,
            gathering,
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.working.await.unwrap().unwrap();
        self.gathering.await.unwrap();
    }
}
