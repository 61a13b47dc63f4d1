//! Queues of small jobs, a submission to fetch or a slice of a backfill each, in this process's memory, in a SQLite file
//! or in Redis.
//!
//! Owns everything about apalis and about the queue's keys and tables, and refuses to know what a
//! job means, what is due and when to try again: that is the database's. The queue is a bounded
//! buffer in front of it. It may lose everything at any instant ([`Queue::absent`] finds out what),
//! and a job may run twice, in any order, long after it was pushed.
//!
//! | file | owns |
//! |---|---|
//! | `handler` | the words between a worker and the meaning of its jobs |
//! | `job` | payloads and task ids |
//! | `engine`, `memory_engine`, `redis_engine`, `sqlite_engine` | what each engine does, in its statements |
//! | `carrier` | when and how many jobs are taken |
//! | `pushes` | what wakes an idle worker |
//! | `inspect` | whether a Redis will do |
//! | `service`, `runs` | jobs as runs of the handler, in slots |
//! | `worker` | the life of a worker through outages, and its stop |

mod carrier;
mod engine;
mod error;
mod handler;
mod inspect;
mod job;
mod memory_engine;
mod pushes;
mod redis_engine;
mod runs;
mod service;
mod sqlite_engine;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

pub use error::QueueError;
pub use handler::{Fault, Handler, Outcome, WorkOptions};
pub use inspect::RedisInspection;
pub use job::{SliceId, Work};
pub use runs::panic_text;

use crate::dependency::{Dependency, Evidence, Service};
use crate::metrics::Metrics;
use crate::network::Address;
use engine::Engine;
use job::{Job, heartbeat_task_id, task_id};
use pushes::Pushes;

/// How often a worker says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After how many missed beats its jobs are given to others: these six seconds, up to two until
/// another worker looks, and the next poll make less than ten.
const MISSED_BEATS: usize = 3;

/// The same, as a time.
const SILENCE: Duration = Duration::from_secs(HEARTBEAT.as_secs() * MISSED_BEATS as u64);
/// And in seconds.
const SILENCE_SECONDS: i64 = SILENCE.as_secs() as i64;

/// A handle to the queue; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    engine: Engine,
    name: Arc<str>,
    pushes: Pushes,
}

/// How many jobs the queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Pushed and not yet taken.
    pub waiting: usize,
    /// Taken by a worker, including one that has died since.
    pub running: usize,
}

impl Queue {
    /// Makes the queue `name` in `memory`, which the handle's clones share and nobody else sees, or connects to
    /// it at `sqlite://PATH` (a file of its own, made where missing),
    /// `redis://…`, `rediss://…` or `redis+unix:///SOCKET` (one server; not a Redis Cluster).
    ///
    /// Queues of different names at one URL do not touch one another. The name is the prefix of
    /// the keys in Redis: letters, digits, `_`, `-` and `.`.
    ///
    /// # Errors
    /// [`QueueError::Url`] where URL or name make no sense, or the file is another database's;
    /// [`QueueError::Unavailable`] while nothing answers.
    pub async fn connect(address: impl Into<Address>, name: &str) -> Result<Queue, QueueError> {
        Queue::connect_as(address, name, Dependency::new(Service::Queue)).await
    }

    /// The same, and reports to a dependency that there is already: another queue at this URL.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_as(
        address: impl Into<Address>,
        name: &str,
        dependency: Dependency,
    ) -> Result<Queue, QueueError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(QueueError::Url(format!(
                "{name:?} cannot name a queue: letters, digits, _, - and . can"
            )));
        }
        Ok(Queue {
            engine: Engine::connect(&address.into(), name, dependency).await?,
            name: Arc::from(name),
            pushes: Pushes::new(),
        })
    }

    /// Whether its jobs end with this process, and no other can hold one.
    pub fn dies_with_process(&self) -> bool {
        matches!(self.engine, Engine::Memory(_))
    }

    /// Whether [`Queue::connect`] would make the file, because there is none.
    pub fn missing(url: &str) -> bool {
        url.starts_with("sqlite:") && sqlite_engine::SqliteEngine::missing(url)
    }

    /// Asks the engine for a sign of life.
    ///
    /// # Errors
    /// As the engine answers, or does not.
    pub async fn ping(&self) -> Result<(), QueueError> {
        self.engine.ping().await
    }

    /// How it fares, as its calls find out.
    pub fn dependency(&self) -> &Dependency {
        self.engine.dependency()
    }

    /// Writes a little and takes it back at once, as pushing and taking jobs does. Success ends an
    /// outage.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn probe(&self) -> Result<(), QueueError> {
        self.engine.probe().await?;
        self.dependency().proved(Evidence::Write);
        Ok(())
    }

    /// `memory`, `redis` or `sqlite`.
    pub fn engine(&self) -> &'static str {
        self.engine.as_str()
    }

    /// Where the file of such a URL lies; none where a server has it.
    pub fn folder_of(url: &str) -> Option<PathBuf> {
        url.starts_with("sqlite:")
            .then(|| sqlite_engine::SqliteEngine::folder_of(url))?
    }

    /// Where its file lies; none where a server has it.
    pub fn folder(&self) -> Option<PathBuf> {
        self.engine.folder()
    }

    /// Makes a job for each of these; one that waits or runs keeps its job, so pushing
    /// again does no harm. Later pushes run after earlier ones, as a rule.
    ///
    /// The bound on the queue's depth is the caller's: see [`Queue::depth`].
    ///
    /// # Errors
    /// As the engine answers. Some of the jobs may have been made; push them all again.
    pub async fn push<W: Work>(&self, works: &[W], now_ms: i64) -> Result<(), QueueError> {
        let jobs: Vec<(String, String)> = works
            .iter()
            .map(|work| (task_id(&self.name, work), work.job(Some(now_ms)).encode()))
            .collect();
        let pushed = self.engine.push(&jobs, now_ms).await;
        // Also where it failed: a part may have arrived.
        self.pushes.pushed();
        pushed
    }

    /// Notes whether this process is the one that pushes. Its idle workers then wait to be woken, and
    /// look more rarely by themselves. What waits in memory is forgotten where another pushes: that process
    /// has the same work to do.
    pub fn fed_here(&self, here: bool) {
        self.pushes.fed_here(here);
        if let (Engine::Memory(memory), false) = (&self.engine, here) {
            memory.forget_waiting();
        }
    }

    /// Makes a job that does nothing but be noted by a worker, unless one waits or runs already.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn push_heartbeat(&self, now_ms: i64) -> Result<(), QueueError> {
        let task = heartbeat_task_id(&self.name);
        // Asked first, because that also clears away what a damaged queue still holds of one.
        let absent = self.engine.absent(std::slice::from_ref(&task)).await?;
        if absent.contains(&true) {
            let job = Job::Heartbeat { sent_ms: now_ms };
            let jobs = [(task, job.encode())];
            self.engine.push(&jobs, now_ms).await?;
            self.pushes.pushed();
        }
        Ok(())
    }

    /// How many jobs wait and run. Costs the same however many have finished.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        self.engine.depth().await
    }

    /// Since when the oldest waiting job waits, milliseconds since the epoch; none where none does. In
    /// Redis it is the next to be taken, which may be younger than what a worker held that died. Costs
    /// the same however many wait.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn oldest_waiting(&self) -> Result<Option<i64>, QueueError> {
        self.engine.oldest_waiting().await
    }

    /// Those that have no job waiting or running, in their order: never pushed, finished,
    /// wiped or lost. Each of them can be pushed. Costs a look at the whole (bounded) queue.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn absent<W: Work>(&self, works: &[W]) -> Result<Vec<W>, QueueError> {
        let tasks: Vec<String> = works.iter().map(|it| task_id(&self.name, it)).collect();
        let absent = self.engine.absent(&tasks).await?;
        let absent = works.iter().zip(absent).filter(|(_, absent)| *absent);
        Ok(absent.map(|(work, _)| work.clone()).collect())
    }

    /// How many workers, of all processes, have a fresh heartbeat.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn workers(&self) -> Result<usize, QueueError> {
        let now_s = clock_ms() / 1000;
        self.engine.workers(now_s - SILENCE_SECONDS).await
    }

    /// Forgets up to `limit` finished jobs, and leftovers of workers that are gone, in small steps;
    /// never a job that waits or runs. Jobs and workers that were timed by a clock which has since
    /// been set back are timed anew. How many jobs were forgotten. Nothing else prunes the queue:
    /// call it regularly.
    ///
    /// # Errors
    /// As the engine answers.
    pub async fn reap(&self, limit: usize) -> Result<usize, QueueError> {
        self.engine.reap(limit).await
    }

    /// Runs jobs until `stop`. Outages of the queue do not end it: it comes back by itself, and the
    /// jobs that run meanwhile run on.
    ///
    /// After `stop` it takes no more jobs, puts those it took and did not start back at once, lets
    /// the running ones end and leaves. It sets no limit to that: drop the future to cut it short;
    /// the jobs are then cancelled and run elsewhere, seconds later.
    ///
    /// # Errors
    /// Only after `stop`, where the queue was away at the end: unacknowledged jobs run again.
    pub async fn work<H: Handler>(
        &self,
        options: WorkOptions,
        handler: Arc<H>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Result<(), QueueError> {
        worker::work(self, options, handler, metrics, stop).await
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URL, which may hold a password.
        formatter
            .debug_struct("Queue")
            .field("engine", &self.engine())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Milliseconds since the epoch. Workers need the machine's clock: heartbeats are compared with
/// those of other processes.
fn clock_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
