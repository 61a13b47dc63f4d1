//! The queue: a Redis that keeps jobs, lets them be pushed and taken, and throws none away.

use super::{Check, clock, told};
use crate::app::open::QUEUE_NAME;
use crate::app::{backfills, now_ms};
use crate::config::{Config, display_url};
use crate::dependency::Fault;
use crate::queue::{Queue, QueueError, RedisInspection};
use secrecy::ExposeSecret;

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let url = config.queue.url.expose_secret();
    let shown = display_url(url);
    if !config.shares_queue() {
        let found = if config.queue_in_memory() {
            format!("{shown}: of the process that runs, and no server")
        } else {
            format!("{shown}: of this machine, and no server")
        };
        return vec![Check::ok("queue", found)];
    }
    let queue = match Queue::connect(config.queue_address(), QUEUE_NAME).await {
        Ok(queue) => queue,
        Err(error) => {
            let found = format!("{shown} cannot be opened: {}", told(&error));
            return vec![Check::fail("queue", found, advice(&error))];
        }
    };
    let asked = now_ms();
    let found = queue.inspect().await;
    let ours = asked.midpoint(now_ms());
    let found = match found {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => {
            let found = format!("{shown} does not answer: {}", told(&error));
            return vec![Check::fail("queue", found, advice(&error))];
        }
    };
    let version = found.version.as_deref().unwrap_or("of an unknown version");
    let mut checks = vec![Check::ok("queue", format!("Redis {version} at {shown}"))];
    checks.push(role(&found));
    checks.push(rights(found.refused.as_ref(), config).await);
    checks.extend(memory(&found));
    checks.push(persistence(&found));
    if let Some(theirs) = found.clock_ms {
        checks.push(clock("queue.clock", "Redis'", theirs, ours));
    }
    checks
}

fn role(found: &RedisInspection) -> Check {
    const NAME: &str = "queue.role";
    match found.role.as_deref() {
        Some("master") => Check::ok(NAME, "a primary, which takes writes"),
        None => Check::ok(NAME, "unknown: this user may not ask (INFO)"),
        Some(_) => Check::fail(
            NAME,
            "a replica, which takes no writes",
            Fault::RedisReplica.steps(),
        ),
    }
}

/// Both queues, and with the first the budget, whose keys begin alike.
async fn rights(refused: Option<&QueueError>, config: &Config) -> Check {
    const NAME: &str = "queue.rights";
    let refusal = |error: &QueueError, name: &str| {
        let found = format!(
            "a job cannot be pushed and taken ({name}:…): {}",
            told(error)
        );
        Check::fail(NAME, found, advice(error))
    };
    if let Some(error) = refused {
        return refusal(error, QUEUE_NAME);
    }
    let slices = async {
        let queue = Queue::connect(config.queue_address(), backfills::QUEUE_NAME).await?;
        match queue.inspect().await?.and_then(|found| found.refused) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    };
    match slices.await {
        Err(error) => refusal(&error, backfills::QUEUE_NAME),
        Ok(()) => Check::ok(NAME, "jobs can be pushed and taken, scripts run"),
    }
}

fn memory(found: &RedisInspection) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(policy) = &found.policy {
        checks.push(match policy.as_str() {
            "noeviction" => Check::ok("queue.policy", "noeviction: nothing is thrown away"),
            // Without a limit it never comes to that.
            other if found.limit.is_none() => Check::warn(
                "queue.policy",
                format!("{other}, which would throw jobs away if there were a limit (maxmemory)"),
                NOEVICTION,
            ),
            other => Check::fail(
                "queue.policy",
                format!("{other}: when it is full, Redis throws jobs and the rate budget away"),
                NOEVICTION,
            ),
        });
    }
    if let (Some(used), Some(limit)) = (found.used, found.limit) {
        let found = format!("{} of {} MB used", used / 1_000_000, limit / 1_000_000);
        let remedy = Fault::RedisFull.steps();
        checks.push(match used {
            _ if used >= limit => Check::fail("queue.memory", format!("full: {found}"), remedy),
            _ if used.saturating_mul(10) >= limit.saturating_mul(9) => {
                Check::warn("queue.memory", format!("almost full: {found}"), remedy)
            }
            _ => Check::ok("queue.memory", found),
        });
    }
    checks
}

/// What keeps Redis from throwing jobs away.
pub(in crate::app) const NOEVICTION: &str =
    "CONFIG SET maxmemory-policy noeviction (and in redis.conf, or the provider's settings).";

fn persistence(found: &RedisInspection) -> Check {
    const NAME: &str = "queue.persistence";
    match found.appends {
        _ if found.cannot_save => Check::fail(
            NAME,
            "Redis could not write to its disk when it last tried",
            Fault::RedisDisk.steps(),
        ),
        Some(true) => Check::ok(NAME, "appendonly: jobs outlive a restart"),
        Some(false) => Check::warn(
            NAME,
            "appendonly is off: jobs in the queue are lost when Redis restarts, and found again from the database",
            "It works. CONFIG SET appendonly yes (and in redis.conf) saves the second try.",
        ),
        None => Check::ok(NAME, "unknown: this user may not ask (INFO)"),
    }
}

fn advice(error: &QueueError) -> String {
    let general =
        "The message is Redis' own; docs/operations.md, \"Rights\", has what its user needs.";
    error.advice().unwrap_or(general).to_owned()
}
