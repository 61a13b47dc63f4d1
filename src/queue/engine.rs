//! All engines as one: what the rest of the queue speaks to.
//!
//! Owns the choice by URL. Knows no statement.

use std::path::PathBuf;

use apalis::prelude::{Task, WorkerContext};

use super::memory_engine::MemoryEngine;
use super::redis_engine::RedisEngine;
use super::sqlite_engine::SqliteEngine;
use super::{Depth, QueueError};
use crate::dependency::{Dependency, Evidence};
use crate::network::{Address, is_in_memory, is_redis};

/// Where the jobs are kept.
#[derive(Clone)]
pub(super) enum Engine {
    /// A server, for any number of processes.
    Redis(RedisEngine),
    /// A file, for the processes of one machine.
    Sqlite(SqliteEngine),
    /// This process's memory.
    Memory(MemoryEngine),
}

impl Engine {
    pub(super) async fn connect(
        address: &Address,
        name: &str,
        dependency: Dependency,
    ) -> Result<Engine, QueueError> {
        let url = address.first();
        if is_in_memory(url) {
            return Ok(Engine::Memory(MemoryEngine::new(dependency)));
        }
        match url.split_once("://") {
            _ if is_redis(url) => {
                let engine = RedisEngine::connect(address, name, dependency).await?;
                Ok(Engine::Redis(engine))
            }
            // A memory database would be another one for each connection, and gone with it.
            Some(("sqlite", path)) if !path.is_empty() && !path.contains(":memory:") => {
                let engine = SqliteEngine::connect(url, name, dependency).await?;
                Ok(Engine::Sqlite(engine))
            }
            _ => Err(QueueError::Url(
                "the queue's URL must be memory, sqlite://PATH, redis://…, rediss://… or redis+unix:///…"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn dependency(&self) -> &Dependency {
        match self {
            Engine::Redis(redis) => redis.dependency(),
            Engine::Sqlite(sqlite) => sqlite.dependency(),
            Engine::Memory(memory) => memory.dependency(),
        }
    }

    /// Notes what ended a worker: what apalis asks by itself is not seen otherwise.
    pub(super) fn note(&self, error: &QueueError) {
        match self {
            // Every command goes through the link, which notes its error.
            Engine::Redis(_) | Engine::Memory(_) => {}
            Engine::Sqlite(sqlite) => sqlite.note(error),
        }
    }

    pub(super) async fn probe(&self) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => redis.probe().await,
            Engine::Sqlite(sqlite) => sqlite.probe().await,
            Engine::Memory(memory) => {
                memory.worked();
                Ok(())
            }
        }
    }

    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Engine::Redis(_) => "redis",
            Engine::Sqlite(_) => "sqlite",
            Engine::Memory(_) => "memory",
        }
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Engine::Redis(_) | Engine::Memory(_) => None,
            Engine::Sqlite(sqlite) => sqlite.folder(),
        }
    }

    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => redis.ping().await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.ping()).await,
            Engine::Memory(_) => Ok(()),
        }
    }

    pub(super) async fn push(
        &self,
        jobs: &[(String, String)],
        now_ms: i64,
    ) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => {
                redis.push(jobs).await?;
                if !jobs.is_empty() {
                    redis.dependency().worked(Evidence::Write);
                }
                Ok(())
            }
            Engine::Sqlite(sqlite) => {
                let push = sqlite.push(jobs, now_ms.div_euclid(1000));
                sqlite.noted(Evidence::Write, push).await
            }
            Engine::Memory(memory) => {
                memory.push(jobs, now_ms);
                Ok(())
            }
        }
    }

    pub(super) async fn depth(&self) -> Result<Depth, QueueError> {
        match self {
            Engine::Redis(redis) => redis.depth().await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.depth()).await,
            Engine::Memory(memory) => Ok(memory.depth()),
        }
    }

    pub(super) async fn oldest_waiting(&self) -> Result<Option<i64>, QueueError> {
        match self {
            Engine::Redis(redis) => redis.oldest_waiting().await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.oldest_waiting()).await,
            Engine::Memory(memory) => Ok(memory.oldest_waiting()),
        }
    }

    pub(super) async fn absent(&self, tasks: &[String]) -> Result<Vec<bool>, QueueError> {
        match self {
            Engine::Redis(redis) => redis.absent(tasks).await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.absent(tasks)).await,
            Engine::Memory(memory) => Ok(memory.absent(tasks)),
        }
    }

    pub(super) async fn workers(&self, alive_since: i64) -> Result<usize, QueueError> {
        match self {
            Engine::Redis(redis) => redis.workers(alive_since).await,
            Engine::Sqlite(sqlite) => {
                sqlite
                    .noted(Evidence::Read, sqlite.workers(alive_since))
                    .await
            }
            Engine::Memory(memory) => Ok(memory.workers()),
        }
    }

    pub(super) async fn reap(&self, limit: usize) -> Result<usize, QueueError> {
        match self {
            Engine::Redis(redis) => redis.reap(limit).await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.reap(limit)).await,
            // It keeps nothing that is finished.
            Engine::Memory(_) => Ok(0),
        }
    }

    /// What must be right before a worker registers.
    pub(super) async fn prepare(&self) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => redis.promote().await,
            Engine::Sqlite(_) | Engine::Memory(_) => Ok(()),
        }
    }

    pub(super) async fn fetch(
        &self,
        worker: &WorkerContext,
        count: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, QueueError> {
        match self {
            Engine::Redis(redis) => redis.fetch(worker, count).await,
            Engine::Sqlite(sqlite) => {
                sqlite
                    .noted(Evidence::Read, sqlite.fetch(worker, count))
                    .await
            }
            Engine::Memory(memory) => Ok(memory.fetch(worker, count)),
        }
    }

    /// Whether no job waits, where that is cheaper to ask than for jobs.
    pub(super) async fn has_none_waiting(&self) -> Result<bool, QueueError> {
        match self {
            Engine::Redis(redis) => redis.has_none_waiting().await,
            Engine::Sqlite(_) => Ok(false),
            Engine::Memory(memory) => Ok(memory.has_none_waiting()),
        }
    }

    /// Puts back whatever a worker of this process still holds, and forgets the worker.
    pub(super) async fn release(&self, worker: &str) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => redis.release(worker, false).await,
            Engine::Sqlite(sqlite) => sqlite.noted(Evidence::Read, sqlite.release(worker)).await,
            Engine::Memory(memory) => {
                memory.release(worker);
                Ok(())
            }
        }
    }

    /// Puts these unstarted jobs back.
    pub(super) async fn hand_back(&self, worker: &str, tasks: &[String]) -> Result<(), QueueError> {
        match self {
            Engine::Redis(redis) => redis.hand_back(worker, tasks).await,
            Engine::Sqlite(sqlite) => {
                sqlite
                    .noted(Evidence::Read, sqlite.hand_back(worker, tasks))
                    .await
            }
            Engine::Memory(memory) => {
                memory.hand_back(worker, tasks);
                Ok(())
            }
        }
    }
}
