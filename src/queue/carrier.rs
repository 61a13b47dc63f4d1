//! The jobs of either engine as apalis sees them.
//!
//! Owns when and how many jobs are taken. apalis' storages register the worker, send its
//! heartbeats, bring back the jobs of dead workers and acknowledge; taking jobs is done here,
//! because a storage that holds a taken batch does none of that (a live worker is then declared
//! dead and its jobs run twice), and because only here is it known how many slots are free. No
//! more is ever taken than can start at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis_core::backend::finalize::Durable;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_redis::RedisStorage;
use apalis_sqlite::SqliteStorage;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::engine::Engine;
use super::runs::Slots;
use super::{QueueError, clock_ms};

/// The storage of either engine, chosen at run time without a box.
enum Storage {
    Redis(RedisStorage<Vec<u8>>),
    Sqlite(SqliteStorage<Vec<u8>>),
}

/// Signs of life of one worker, seen from outside its loop.
#[derive(Default)]
pub(super) struct Pulse {
    /// When the queue last answered a request for jobs in this life of the worker.
    pub(super) answered: AtomicBool,
}

/// A worker's source of jobs.
pub(super) struct Carrier {
    storage: Storage,
    engine: Engine,
    slots: Slots,
    last_poll_ms: Arc<AtomicI64>,
    pulse: Arc<Pulse>,
    ticker: Interval,
    /// Whether to ask for jobs now: at each tick, and on while every request is filled.
    due: bool,
    asked: usize,
    fetch: Option<BoxFuture<'static, Result<Vec<Task<Vec<u8>>>, QueueError>>>,
    taken: VecDeque<Task<Vec<u8>>>,
    hand_back: Option<BoxFuture<'static, Result<(), QueueError>>>,
}

impl Carrier {
    pub(super) fn new(
        engine: Engine,
        slots: Slots,
        last_poll_ms: Arc<AtomicI64>,
        pulse: Arc<Pulse>,
        poll_interval: Duration,
    ) -> Carrier {
        let storage = match &engine {
            Engine::Redis(redis) => Storage::Redis(redis.storage()),
            Engine::Sqlite(sqlite) => Storage::Sqlite(sqlite.storage()),
        };
        let mut ticker = interval(poll_interval.max(Duration::from_millis(1)));
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Carrier {
            storage,
            engine,
            slots,
            last_poll_ms,
            pulse,
            ticker,
            due: true,
            asked: 0,
            fetch: None,
            taken: VecDeque::new(),
            hand_back: None,
        }
    }

    /// Waits for a request under way; what it brings is in `taken`.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        let Some(fetch) = &mut self.fetch else {
            return Poll::Ready(Ok(()));
        };
        let tasks = ready!(fetch.poll_unpin(cx));
        self.fetch = None;
        let tasks = tasks?;
        self.pulse.answered.store(true, Ordering::Relaxed);
        // A request that was filled has more behind it: no need to wait for the tick.
        self.due = tasks.len() >= self.asked;
        self.taken.extend(tasks);
        Poll::Ready(Ok(()))
    }

    /// Gives back what was taken and not started, then says so once.
    fn poll_hand_back(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), QueueError>> {
        ready!(self.poll_fetch(cx))?;
        if !self.taken.is_empty() {
            let tasks: Vec<String> = self
                .taken
                .drain(..)
                .filter_map(|task| task.task_id().map(ToString::to_string))
                .collect();
            let (engine, name) = (self.engine.clone(), worker.name().to_owned());
            self.hand_back = Some(async move { engine.hand_back(&name, &tasks).await }.boxed());
        }
        if let Some(hand_back) = &mut self.hand_back {
            let handed = ready!(hand_back.poll_unpin(cx));
            self.hand_back = None;
            handed?;
        }
        self.slots.mark_handed_back();
        Poll::Ready(Ok(()))
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
        self.last_poll_ms.store(clock_ms(), Ordering::Relaxed);
        // Until Pending, so that a wake-up is always booked: one that is lost would leave the
        // worker asleep until its next heartbeat.
        while self.ticker.poll_tick(cx).is_ready() {
            self.due = true;
        }
        match &mut self.storage {
            Storage::Redis(storage) => {
                Backend::poll_ready(storage, cx, worker).map_err(QueueError::from)
            }
            Storage::Sqlite(storage) => {
                Backend::poll_ready(storage, cx, worker).map_err(QueueError::from)
            }
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Vec<u8>>, QueueError>>> {
        if self.slots.is_closed() {
            return match ready!(self.poll_hand_back(cx, worker)) {
                // Never `None`, which would end the heartbeats while jobs still run.
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Some(Err(error))),
            };
        }
        loop {
            if let Some(task) = self.taken.pop_front() {
                return Poll::Ready(Some(Ok(task)));
            }
            if self.fetch.is_none() {
                // A finished job or the next tick wakes the worker.
                let free = self.slots.free();
                if free == 0 || !self.due {
                    return Poll::Pending;
                }
                self.asked = free.min(FETCH_LIMIT);
                let (engine, worker, count) = (self.engine.clone(), worker.clone(), self.asked);
                self.fetch = Some(async move { engine.fetch(&worker, count).await }.boxed());
            }
            if let Err(error) = ready!(self.poll_fetch(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            if self.taken.is_empty() {
                return Poll::Pending;
            }
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
        }
    }
}

/// Jobs of one request at most.
const FETCH_LIMIT: usize = 500;

impl BackendConfig for Carrier {
    type Args = Vec<u8>;
    type Id = ();
    type Kind = Durable;
    type Config = ();
    // The same type for both storages.
    type Layer = <RedisStorage<Vec<u8>> as BackendConfig>::Layer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, worker: &mut WorkerContext) -> Self::Layer {
        match &mut self.storage {
            Storage::Redis(storage) => storage.middleware(worker),
            Storage::Sqlite(storage) => storage.middleware(worker),
        }
    }
}
