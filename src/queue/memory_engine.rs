//! The queue in this process's memory, for one process that schedules and works.
//!
//! Owns the jobs and who has taken them. What it holds is lost with the process, and fed again from the
//! database. Knows no wall clock, so nothing that happens to that delays a job.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use apalis::prelude::{Task, TaskId, WorkerContext};
use apalis_codec::json::JsonCodec;
use apalis_core::backend::persistence::{Persisted, Persistence, TaskEvent, TaskPersistLayer};
use apalis_core::task::builder::TaskBuilder;
use serde_json::Value;
use tokio::time::Instant;

use super::{Depth, HEARTBEAT, SILENCE};
use crate::dependency::{Dependency, Evidence};

/// Results that may be under way from jobs to the storage.
const RESULTS: usize = 500;

/// A queue of this process.
#[derive(Clone)]
pub(super) struct MemoryEngine {
    state: Arc<Mutex<State>>,
    dependency: Dependency,
}

#[derive(Default)]
struct State {
    /// In the order of their pushes.
    waiting: BTreeMap<u64, Job>,
    /// By task id.
    taken: HashMap<String, Taken>,
    /// The place in `waiting`, by task id.
    places: HashMap<String, u64>,
    pushed: u64,
    workers: HashMap<String, Instant>,
}

struct Job {
    task: String,
    payload: String,
    pushed_ms: i64,
}

struct Taken {
    job: Job,
    place: u64,
    worker: String,
}

impl State {
    fn put_back(&mut self, of: impl Fn(&Taken) -> bool) {
        let tasks: Vec<String> = self
            .taken
            .iter()
            .filter(|(_, taken)| of(taken))
            .map(|(task, _)| task.clone())
            .collect();
        for task in tasks {
            if let Some(Taken { job, place, .. }) = self.taken.remove(&task) {
                self.places.insert(task, place);
                self.waiting.insert(place, job);
            }
        }
    }

    /// Notes a sign of life of a worker, and puts back what others held that give none.
    fn beat(&mut self, worker: &str) {
        let now = Instant::now();
        self.workers.insert(worker.to_owned(), now);
        let silent = |at: &Instant| now.saturating_duration_since(*at) > SILENCE;
        if self.workers.values().any(silent) {
            self.workers.retain(|_, at| !silent(at));
            let alive: Vec<String> = self.workers.keys().cloned().collect();
            self.put_back(|taken| !alive.contains(&taken.worker));
        }
    }
}

impl MemoryEngine {
    pub(super) fn new(dependency: Dependency) -> MemoryEngine {
        MemoryEngine {
            state: Arc::default(),
            dependency,
        }
    }

    pub(super) fn dependency(&self) -> &Dependency {
        &self.dependency
    }

    /// It always works.
    pub(super) fn worked(&self) {
        self.dependency.worked(Evidence::Write);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn storage(&self) -> MemoryStorage {
        MemoryStorage(Persisted::new(Workers(self.clone())))
    }

    pub(super) fn push(&self, jobs: &[(String, String)], now_ms: i64) {
        let mut state = self.lock();
        for (task, payload) in jobs {
            if state.places.contains_key(task) || state.taken.contains_key(task) {
                continue;
            }
            let place = state.pushed;
            state.pushed += 1;
            state.places.insert(task.clone(), place);
            let job = Job {
                task: task.clone(),
                payload: payload.clone(),
                pushed_ms: now_ms,
            };
            state.waiting.insert(place, job);
        }
        drop(state);
        self.worked();
    }

    pub(super) fn depth(&self) -> Depth {
        let state = self.lock();
        Depth {
            waiting: state.waiting.len(),
            running: state.taken.len(),
        }
    }

    pub(super) fn oldest_waiting(&self) -> Option<i64> {
        let state = self.lock();
        state.waiting.values().next().map(|job| job.pushed_ms)
    }

    pub(super) fn absent(&self, tasks: &[String]) -> Vec<bool> {
        let state = self.lock();
        let absent = |task| !state.places.contains_key(task) && !state.taken.contains_key(task);
        tasks.iter().map(absent).collect()
    }

    pub(super) fn workers(&self) -> usize {
        let state = self.lock();
        let alive = state.workers.values().filter(|at| at.elapsed() <= SILENCE);
        alive.count()
    }

    /// Takes up to `count` waiting jobs for this worker, those first that were pushed first.
    pub(super) fn fetch(&self, worker: &WorkerContext, count: usize) -> Vec<Task<Vec<u8>>> {
        let mut state = self.lock();
        let mut tasks = Vec::new();
        while tasks.len() < count
            && let Some((place, job)) = state.waiting.pop_first()
        {
            state.places.remove(&job.task);
            // Each is one that this queue made.
            let Ok(id) = job.task.parse::<TaskId>() else {
                continue;
            };
            let payload = job.payload.clone().into_bytes();
            tasks.push(TaskBuilder::new(payload).task_id(id).build());
            let worker = worker.name().to_owned();
            let task = job.task.clone();
            state.taken.insert(task, Taken { job, place, worker });
        }
        tasks
    }

    pub(super) fn has_none_waiting(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    pub(super) fn forget_waiting(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.places.clear();
    }

    pub(super) fn release(&self, worker: &str) {
        let mut state = self.lock();
        state.workers.remove(worker);
        state.put_back(|taken| taken.worker == worker);
    }

    pub(super) fn hand_back(&self, worker: &str, tasks: &[String]) {
        let mut state = self.lock();
        state.put_back(|taken| taken.worker == worker && tasks.contains(&taken.job.task));
    }
}

/// What apalis drives of it: the worker's registration, heartbeats and acknowledgements.
pub(super) struct MemoryStorage(Persisted<Workers>);

impl MemoryStorage {
    pub(super) fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx, worker, HEARTBEAT)
    }

    pub(super) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.0.poll_close(cx, worker)
    }

    pub(super) fn middleware(&mut self) -> TaskPersistLayer<JsonCodec<Value>, Value> {
        let layer = self.0.layer(JsonCodec::default(), RESULTS);
        layer.persist_results(true)
    }
}

#[derive(Clone)]
pub(super) struct Workers(MemoryEngine);

impl Persistence for Workers {
    type Compact = Vec<u8>;
    type Response = Value;
    type Error = Infallible;

    async fn register(&mut self, worker: &WorkerContext) -> Result<(), Infallible> {
        self.heartbeat(worker).await
    }

    async fn heartbeat(&mut self, worker: &WorkerContext) -> Result<(), Infallible> {
        self.0.lock().beat(worker.name());
        self.0.worked();
        Ok(())
    }

    /// Jobs are taken by [`MemoryEngine::fetch`], as many as there are free slots.
    async fn fetch_next(&mut self, _: &WorkerContext) -> Result<Vec<Task<Vec<u8>>>, Infallible> {
        Ok(Vec::new())
    }

    async fn reenqueue_abandoned(
        &mut self,
        _: Vec<Task<Vec<u8>>>,
        _: &WorkerContext,
    ) -> Result<u64, Infallible> {
        Ok(0)
    }

    async fn handle_events(
        &mut self,
        events: Vec<TaskEvent<Value>>,
        _: &WorkerContext,
    ) -> Result<(), Infallible> {
        let mut state = self.0.lock();
        for event in events {
            if let TaskEvent::Complete(result) = event {
                state.taken.remove(&result.task_id.to_string());
            }
        }
        Ok(())
    }

    /// Jobs are pushed by [`MemoryEngine::push`].
    async fn push_tasks(&mut self, _: Vec<Task<Vec<u8>>>) -> Result<(), Infallible> {
        Ok(())
    }
}
