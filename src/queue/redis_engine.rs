//! The queue in Redis: the connection, and every statement that apalis-redis lacks or gets wrong.
//!
//! Owns the keys below the queue's name, as apalis-redis lays them out: `data` (hash of payloads),
//! `meta:<task>`, `active` (list), `scheduled` (sorted set), `inflight:<worker>` (set), `done`,
//! `dead` (sets), `workers` (sorted set of heartbeats), `workers:metadata:<worker>`. A waiting job
//! is in `active`, a running one in one `inflight` set, never in both: each script keeps that true.
//!
//! A single Redis server (or a primary with replicas): the scripts touch keys of many slots, so
//! Redis Cluster is not supported. Workers write heartbeats by their own clocks, which must agree
//! to within a few seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apalis::prelude::{Task, WorkerContext};
use apalis_redis::{Config, RedisStorage};
use redis::Script;
use redis::aio::ConnectionManagerConfig;

use super::job::Job;
use super::{Depth, HEARTBEAT, MISSED_BEATS, QueueError, SILENCE};
use crate::dependency::Dependency;
use crate::network::Address;
use crate::redis_link::RedisLink;

/// Longer than a snapshot or a slow disk holds Redis up, shorter than a worker is thought dead.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Jobs of one script call: Redis serves nobody else meanwhile.
const STEP: usize = 500;

static PUSH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/push.lua")));
static ABSENT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/absent.lua")));
static DEPTH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/depth.lua")));
static HEAD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/head.lua")));
static REAP: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/reap.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/release.lua")));
static HAND_BACK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/hand_back.lua")));
static PROBE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/probe.lua")));
static PROMOTE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("redis_engine/promote.lua")));

/// Of each worker the last beat, and since when it stands.
#[derive(Default)]
struct Seen {
    beats: HashMap<String, (i64, Instant)>,
    at: Option<Instant>,
}

/// A queue in Redis.
#[derive(Clone)]
pub(super) struct RedisEngine {
    connection: RedisLink,
    name: Arc<str>,
    /// Where the sweep for leftovers of dead workers goes on.
    cursor: Arc<AtomicU64>,
    /// What the last look at the workers' beats saw.
    seen: Arc<Mutex<Seen>>,
}

impl RedisEngine {
    pub(super) async fn connect(
        address: &Address,
        name: &str,
        dependency: Dependency,
    ) -> Result<RedisEngine, QueueError> {
        address
            .redis()
            .map_err(|error| QueueError::Url(format!("the queue's URL is wrong: {error}")))?;
        // One try each: waiting between tries is the caller's, who can say so in the log.
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(250));
        let connection = RedisLink::connect(address, config, dependency).await?;
        Ok(RedisEngine {
            connection,
            name: Arc::from(name),
            cursor: Arc::default(),
            seen: Arc::default(),
        })
    }

    pub(super) fn connection(&self) -> RedisLink {
        self.connection.clone()
    }

    fn config(&self, batch: usize) -> Config {
        // Locks cost a scan of the backlog for each job. Results stay on: off, nothing is
        // acknowledged. Events are published to nobody.
        Config::default()
            .queue(&self.name)
            .batch_size(batch)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_BEATS)
            .lock_tasks(false)
            .persist_results(true)
            .emit_events(false)
    }

    pub(super) fn storage(&self) -> RedisStorage<Vec<u8>, RedisLink> {
        RedisStorage::new(self.connection.clone()).with_config(self.config(STEP))
    }

    /// Takes up to `count` (at least 1: Redis reads 0 as "all") waiting jobs for this worker.
    pub(super) async fn fetch(
        &self,
        worker: &WorkerContext,
        count: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, QueueError> {
        let config = self.config(count.clamp(1, STEP));
        let mut connection = self.connection.clone();
        Ok(apalis_redis::queries::fetch_next(&mut connection, worker, &config).await?)
    }

    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        Ok(redis::cmd("PING").query_async(&mut connection).await?)
    }

    pub(super) fn dependency(&self) -> &Dependency {
        self.connection.dependency()
    }

    /// Whether all that the queue needs to do can be done.
    pub(super) async fn probe(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let mut call = PROBE.arg(&*self.name);
        Ok(call.arg("probe").invoke_async(&mut connection).await?)
    }

    pub(super) async fn push(&self, jobs: &[(String, String)]) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        for step in jobs.chunks(STEP) {
            let mut call = PUSH.arg(&*self.name);
            for (task, payload) in step {
                call.arg(task).arg(payload);
            }
            call.invoke_async::<()>(&mut connection).await?;
        }
        Ok(())
    }

    /// One command. What something else put into `scheduled` is moved to `active` by the reaper.
    pub(super) async fn has_none_waiting(&self) -> Result<bool, QueueError> {
        let mut connection = self.connection.clone();
        let waiting: u64 = redis::cmd("LLEN")
            .arg(format!("{}:active", self.name))
            .query_async(&mut connection)
            .await?;
        Ok(waiting == 0)
    }

    pub(super) async fn depth(&self) -> Result<Depth, QueueError> {
        let mut connection = self.connection.clone();
        let (waiting, running) = DEPTH.arg(&*self.name).invoke_async(&mut connection).await?;
        Ok(Depth { waiting, running })
    }

    /// Milliseconds since the epoch, as the payload at the head has them.
    pub(super) async fn oldest_waiting(&self) -> Result<Option<i64>, QueueError> {
        let mut connection = self.connection.clone();
        let head: Option<Vec<u8>> = HEAD.arg(&*self.name).invoke_async(&mut connection).await?;
        Ok(head.and_then(|it| Job::decode(&it).ok()?.pushed_ms()))
    }

    /// For each task, whether it neither waits nor runs.
    pub(super) async fn absent(&self, tasks: &[String]) -> Result<Vec<bool>, QueueError> {
        let mut connection = self.connection.clone();
        let mut absent = Vec::with_capacity(tasks.len());
        for step in tasks.chunks(STEP) {
            let mut call = ABSENT.arg(&*self.name);
            for task in step {
                call.arg(task);
            }
            absent.extend(call.invoke_async::<Vec<bool>>(&mut connection).await?);
        }
        Ok(absent)
    }

    pub(super) async fn workers(&self, alive_since: i64) -> Result<usize, QueueError> {
        let mut connection = self.connection.clone();
        Ok(redis::cmd("ZCOUNT")
            .arg(format!("{}:workers", self.name))
            .arg(format!("({alive_since}"))
            .arg("+inf")
            .query_async(&mut connection)
            .await?)
    }

    pub(super) async fn reap(&self, limit: usize) -> Result<usize, QueueError> {
        self.promote().await?;
        self.sweep().await?;
        self.release_silent().await?;
        let mut connection = self.connection.clone();
        let mut reaped = 0;
        while reaped < limit {
            let step = STEP.min(limit - reaped);
            let gone: usize = REAP
                .arg(&*self.name)
                .arg(step)
                .invoke_async(&mut connection)
                .await?;
            reaped += gone;
            if gone < step {
                break;
            }
        }
        Ok(reaped)
    }

    /// Releases workers whose last beat has stood for too long by our own watch. By their beats' times
    /// nobody would notice it whose clock is behind theirs, be it another machine's or one that was set
    /// back: so a beat tells nothing but whether there is another one.
    async fn release_silent(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let beats: Vec<(String, i64)> = redis::cmd("ZRANGE")
            .arg(format!("{}:workers", self.name))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .query_async(&mut connection)
            .await?;
        let silent: Vec<String> = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let before = std::mem::take(&mut *seen);
            // Who did not look for a while does not know who was silent: all may have been frozen.
            let watched = before.at.is_some_and(|at| now - at < SILENCE / 2);
            seen.at = Some(now);
            for (worker, beat) in beats {
                let since = before.beats.get(&worker);
                let since = since.filter(|(same, _)| watched && *same == beat);
                let since = since.map_or(now, |(_, since)| *since);
                seen.beats.insert(worker, (beat, since));
            }
            let silent = seen.beats.iter();
            let silent = silent.filter(|(_, (_, since))| now - *since > SILENCE);
            silent.map(|(worker, _)| worker.clone()).collect()
        };
        for worker in silent {
            self.release(&worker, false).await?;
        }
        Ok(())
    }

    /// Moves due jobs from `scheduled` to `active` in small steps. This queue puts none there,
    /// but 8,000 that something else put there would wedge apalis' own script for ever.
    pub(super) async fn promote(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let now = super::clock_ms() / 1000;
        loop {
            let moved: usize = PROMOTE
                .arg(&*self.name)
                .arg(now)
                .arg(STEP)
                .invoke_async(&mut connection)
                .await?;
            if moved < STEP {
                return Ok(());
            }
        }
    }

    /// Looks at a few of the server's keys for what unregistered workers left behind.
    async fn sweep(&self) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(self.cursor.load(Ordering::Relaxed))
            .arg("MATCH")
            .arg(format!("{}:[iw]*", self.name))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut connection)
            .await?;
        self.cursor.store(next, Ordering::Relaxed);
        let inflight = format!("{}:inflight:", self.name);
        let metadata = format!("{}:workers:metadata:", self.name);
        for key in &keys {
            let worker = key
                .strip_prefix(&inflight)
                .or_else(|| key.strip_prefix(&metadata));
            if let Some(worker) = worker {
                self.release(worker, true).await?;
            }
        }
        Ok(())
    }

    /// Puts all jobs of a worker back and forgets the worker; with `only_unregistered`, only where
    /// it holds no registration.
    pub(super) async fn release(
        &self,
        worker: &str,
        only_unregistered: bool,
    ) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let lost: usize = RELEASE
            .arg(&*self.name)
            .arg(worker)
            .arg(u8::from(only_unregistered))
            .invoke_async(&mut connection)
            .await?;
        if lost > 0 {
            tracing::warn!(
                jobs = lost,
                "Jobs without a payload were dropped from the queue"
            );
        }
        Ok(())
    }

    /// Puts jobs that were taken and not started back at the head.
    pub(super) async fn hand_back(&self, worker: &str, tasks: &[String]) -> Result<(), QueueError> {
        let mut connection = self.connection.clone();
        let mut call = HAND_BACK.arg(&*self.name);
        call.arg(worker);
        for task in tasks {
            call.arg(task);
        }
        Ok(call.invoke_async(&mut connection).await?)
    }
}
