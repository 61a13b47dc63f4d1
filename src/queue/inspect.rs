//! A look at the Redis for whoever wonders whether it will do. What it writes ends by itself.

use super::QueueError;
use super::engine::Engine;
use crate::redis_link::RedisLink;
use redis::Script;
use std::collections::HashMap;

/// What the queue and the budget do, on keys of its own.
const TRIAL: &str = include_str!("redis_engine/trial.lua");
/// What a running process does now and then, on the queue's own keys.
const PROBE: &str = include_str!("redis_engine/probe.lua");

/// What was found. What the user may not ask is unknown.
#[derive(Debug, Default)]
pub struct RedisInspection {
    /// `7.0.15`.
    pub version: Option<String>,
    /// `master` or `slave`.
    pub role: Option<String>,
    /// Bytes that it may hold; none for no limit.
    pub limit: Option<u64>,
    /// Bytes that it holds.
    pub used: Option<u64>,
    /// What it throws away when it is full.
    pub policy: Option<String>,
    /// Whether each write is kept on disk.
    pub appends: Option<bool>,
    /// Whether the last attempt to write to disk failed.
    pub cannot_save: bool,
    /// Its clock, milliseconds since the epoch.
    pub clock_ms: Option<i64>,
    /// Why a job could not be pushed, taken and ended there.
    pub refused: Option<QueueError>,
}

impl super::Queue {
    /// Looks at it; none where the queue is no Redis.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn inspect(&self) -> Result<Option<RedisInspection>, QueueError> {
        match &self.engine {
            Engine::Redis(redis) => look(redis.connection(), &self.name).await.map(Some),
            Engine::Sqlite(_) | Engine::Memory(_) => Ok(None),
        }
    }
}

impl super::Queue {
    /// What its Redis throws away when it is full; none where it is none, or may not be asked.
    pub async fn eviction_policy(&self) -> Option<String> {
        let Engine::Redis(redis) = &self.engine else {
            return None;
        };
        let mut connection = redis.connection();
        let asked = redis::cmd("INFO").arg("memory").to_owned();
        let info: String = asked.query_async(&mut connection).await.ok()?;
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        let policy = lines.find(|(name, _)| *name == "maxmemory_policy");
        policy.map(|(_, policy)| policy.trim().to_owned())
    }
}

async fn look(mut connection: RedisLink, name: &str) -> Result<RedisInspection, QueueError> {
    // Whoever may not ask learns less; whoever gets no answer at all learns that.
    let time: Result<(i64, i64), QueueError> = redis::cmd("TIME")
        .query_async(&mut connection)
        .await
        .map_err(QueueError::from);
    let clock_ms = match time {
        Ok((seconds, micros)) => Some(seconds * 1_000 + micros / 1_000),
        Err(error) if error.is_unavailable() => return Err(error),
        Err(_) => None,
    };
    let info: Result<String, _> = redis::cmd("INFO").query_async(&mut connection).await;
    let info = info.unwrap_or_default();
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    let info: HashMap<&str, &str> = lines.collect();
    let of = |name: &str| info.get(name).map(|value| value.trim().to_owned());
    let number = |name: &str| of(name)?.parse::<u64>().ok();
    let failed = |name: &str| of(name).is_some_and(|it| it != "ok");
    let key = format!("{name}:doctor:{}", uuid::Uuid::new_v4().simple());
    let trial = async {
        let trial = Script::new(TRIAL);
        let tried: String = trial.key(key).invoke_async(&mut connection).await?;
        tracing::debug!(tried, "What the queue does was tried");
        let probe = Script::new(PROBE);
        let mut probe = probe.arg(name);
        probe.arg("doctor");
        probe.invoke_async::<()>(&mut connection).await?;
        let mut scan = redis::cmd("SCAN");
        scan.arg(0).arg("COUNT").arg(1);
        scan.query_async::<redis::Value>(&mut connection).await?;
        Ok::<(), redis::RedisError>(())
    };
    let trial = trial.await;
    Ok(RedisInspection {
        version: of("redis_version"),
        role: of("role"),
        limit: number("maxmemory").filter(|limit| *limit > 0),
        used: number("used_memory"),
        policy: of("maxmemory_policy"),
        appends: of("aof_enabled").map(|it| it == "1"),
        cannot_save: failed("rdb_last_bgsave_status") || failed("aof_last_write_status"),
        clock_ms,
        refused: trial.err().map(QueueError::from),
    })
}
