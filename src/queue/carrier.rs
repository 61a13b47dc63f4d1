//! The jobs of any engine as apalis sees them.
//!
//! Owns when and how many jobs are taken. apalis' storages register the worker, send its
//! heartbeats, bring back the jobs of dead workers and acknowledge; taking jobs is done here,
//! because a storage that holds a taken batch does none of that (a live worker is then declared
//! dead and its jobs run twice), and because only here is it known how many slots are free. No
//! more is ever taken than can start at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use apalis::prelude::{Backend, Task, WorkerContext};
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Durable;
use apalis_redis::RedisStorage;
use apalis_sqlite::SqliteStorage;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep};

use super::QueueError;
use super::engine::Engine;
use super::handler::WorkOptions;
use super::memory_engine::MemoryStorage;
use super::pushes::{NextPush, Pushes};
use super::runs::Slots;
use crate::liveness::Progress;
use crate::redis_link::RedisLink;

/// Jobs of one request at most.
const FETCH_LIMIT: usize = 500;

/// A request that takes so long is waited for: longer than an answer takes, and not longer than
/// either engine takes to give one up.
const WAITED_FOR: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_secs(60);

/// The storage of each engine, chosen at run time without a box.
enum Storage {
    Redis(RedisStorage<Vec<u8>, RedisLink>),
    Sqlite(SqliteStorage<Vec<u8>>),
    Memory(MemoryStorage),
}

/// Signs of life of one worker, seen from outside its loop.
#[derive(Default)]
pub(super) struct Pulse {
    /// When the queue last answered a request for jobs in this life of the worker.
    pub(super) answered: AtomicBool,
}

/// A request to the engine that is under way.
type Request<T> = BoxFuture<'static, Result<T, QueueError>>;

/// A worker's source of jobs.
pub(super) struct Carrier {
    storage: Storage,
    engine: Engine,
    slots: Slots,
    progress: Progress,
    pulse: Arc<Pulse>,
    poll_interval: Duration,
    idle_interval: Duration,
    pushes: Pushes,
    next_push: NextPush,
    /// Until the next look.
    look: Pin<Box<Sleep>>,
    /// Between two looks; doubled while they find nothing.
    pause: Duration,
    /// Whether the last request found nothing and nothing was pushed since.
    idle: bool,
    /// Whether to ask for jobs now: at each look and each push, and on while every request is filled.
    due: bool,
    asked: usize,
    asked_at: Instant,
    fetch: Option<Request<Vec<Task<Vec<u8>>>>>,
    taken: VecDeque<Task<Vec<u8>>>,
    hand_back: Option<Request<()>>,
}

impl Carrier {
    pub(super) fn new(
        engine: Engine,
        pushes: &Pushes,
        slots: Slots,
        pulse: Arc<Pulse>,
        options: &WorkOptions,
    ) -> Carrier {
        let storage = match &engine {
            Engine::Redis(redis) => Storage::Redis(redis.storage()),
            Engine::Sqlite(sqlite) => Storage::Sqlite(sqlite.storage()),
            Engine::Memory(memory) => Storage::Memory(memory.storage()),
        };
        let poll_interval = options.poll_interval.max(Duration::from_millis(1));
        Carrier {
            storage,
            engine,
            slots,
            progress: options.progress.clone(),
            pulse,
            poll_interval,
            idle_interval: options.idle_interval.max(poll_interval),
            pushes: pushes.clone(),
            next_push: pushes.next(),
            look: Box::pin(sleep(poll_interval)),
            pause: poll_interval,
            idle: false,
            due: true,
            asked: 0,
            asked_at: Instant::now(),
            fetch: None,
            taken: VecDeque::new(),
            hand_back: None,
        }
    }

    /// Moves on the request under way and the handing back under way.
    ///
    /// Also while the storage is busy, when apalis asks for no job: a request that is left alone
    /// holds the one connection to SQLite, for which the storage waits.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), QueueError> {
        if let Some(fetch) = &mut self.fetch
            && let Poll::Ready(tasks) = fetch.poll_unpin(cx)
        {
            self.fetch = None;
            let tasks = tasks?;
            self.pulse.answered.store(true, Ordering::Relaxed);
            if tasks.is_empty() && self.slots.all_free() {
                self.progress.made();
            }
            // A request that was filled has more behind it: no need to wait for the next look.
            self.due |= tasks.len() >= self.asked;
            self.idle = tasks.is_empty();
            self.pause = if self.idle {
                (self.pause * 2).min(self.pushes.idle_look(self.idle_interval))
            } else {
                self.poll_interval
            };
            if !self.idle {
                self.look.as_mut().reset(Instant::now() + self.pause);
            }
            self.taken.extend(tasks);
        }
        if let Some(hand_back) = &mut self.hand_back
            && let Poll::Ready(handed) = hand_back.poll_unpin(cx)
        {
            self.hand_back = None;
            handed?;
        }
        Ok(())
    }

    /// Asks for as many jobs as can start at once; an idle worker, only where any wait.
    fn ask(&mut self, worker: &WorkerContext) {
        self.due = false;
        self.asked = self.slots.free().min(FETCH_LIMIT);
        self.asked_at = Instant::now();
        let (engine, worker, count) = (self.engine.clone(), worker.clone(), self.asked);
        let idle = self.idle;
        let fetch = async move {
            if idle && engine.has_none_waiting().await? {
                return Ok(Vec::new());
            }
            engine.fetch(&worker, count).await
        };
        self.fetch = Some(fetch.boxed());
    }

    /// Notes whether it is time to ask. Until Pending, so that a wake-up is always booked: one that is
    /// lost would leave the worker asleep until its next heartbeat.
    fn look(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(watching) = self.next_push.poll_unpin(cx) {
            self.next_push = watching.next();
            self.due = true;
            self.idle = false;
        }
        while self.look.as_mut().poll(cx).is_ready() {
            self.due = true;
            self.look.as_mut().reset(Instant::now() + self.pause);
        }
    }

    /// Gives back what was taken and not started; says so when nothing is left.
    fn return_taken(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Result<(), QueueError> {
        if !self.taken.is_empty() && self.hand_back.is_none() {
            let tasks: Vec<String> = self
                .taken
                .drain(..)
                .filter_map(|task| task.task_id().map(ToString::to_string))
                .collect();
            let (engine, name) = (self.engine.clone(), worker.name().to_owned());
            self.hand_back = Some(async move { engine.hand_back(&name, &tasks).await }.boxed());
        }
        self.drive(cx)?;
        if self.fetch.is_none() && self.hand_back.is_none() && self.taken.is_empty() {
            self.slots.mark_handed_back();
        }
        Ok(())
    }
}

impl Backend for Carrier {
    type Task = Task<Vec<u8>>;
    type Error = QueueError;

    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), QueueError>> {
        if self.fetch.is_some() && WAITED_FOR.contains(&self.asked_at.elapsed()) {
            self.progress.made();
        }
        self.look(cx);
        if let Err(error) = self.drive(cx) {
            return Poll::Ready(Err(error));
        }
        match &mut self.storage {
            Storage::Redis(storage) => {
                Backend::poll_ready(storage, cx, worker).map_err(QueueError::from)
            }
            Storage::Sqlite(storage) => {
                Backend::poll_ready(storage, cx, worker).map_err(QueueError::from)
            }
            Storage::Memory(storage) => storage
                .poll_ready(cx, worker)
                .map_err(|never| match never {}),
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Vec<u8>>, QueueError>>> {
        if self.slots.is_closed() {
            return match self.return_taken(cx, worker) {
                // Never `None`, which would end the heartbeats while jobs still run.
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Some(Err(error))),
            };
        }
        // A finished job, a push or the next look wakes a worker that has no free slot or nothing to ask.
        if self.taken.is_empty() && self.fetch.is_none() && self.due && self.slots.free() > 0 {
            self.ask(worker);
            if let Err(error) = self.drive(cx) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        match self.taken.pop_front() {
            Some(task) => Poll::Ready(Some(Ok(task))),
            None => Poll::Pending,
        }
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), QueueError>> {
        match &mut self.storage {
            Storage::Redis(storage) => {
                Backend::poll_close(storage, cx, worker).map_err(QueueError::from)
            }
            Storage::Sqlite(storage) => {
                Backend::poll_close(storage, cx, worker).map_err(QueueError::from)
            }
            Storage::Memory(storage) => storage
                .poll_close(cx, worker)
                .map_err(|never| match never {}),
        }
    }
}

impl BackendConfig for Carrier {
    type Args = Vec<u8>;
    type Id = ();
    type Kind = Durable;
    type Config = ();
    // The same type for all storages.
    type Layer = <RedisStorage<Vec<u8>> as BackendConfig>::Layer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        match &mut self.storage {
            Storage::Redis(storage) => storage.middleware(worker),
            Storage::Sqlite(storage) => storage.middleware(worker),
            Storage::Memory(storage) => storage.middleware(),
        }
    }
}
