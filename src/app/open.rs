//! Opens what a process depends on, the database and the queue: waits for servers that come up, and says
//! what cannot be opened, why, and what to do.

use super::doctor::NOEVICTION;
use crate::config::{Config, ConfigError, KEYS, display_url};
use crate::dependency::Fault;
use crate::queue::{Queue, QueueError};
use crate::store::{Store, StoreError};
use anyhow::{anyhow, bail};
use secrecy::ExposeSecret;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Connections to a Postgres server from one process.
const CONNECTIONS: u32 = 10;
/// How long a process that is to run waits at its start for the database and the queue to come up.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a command waits for a server before it says what does not answer.
const COMMAND_PATIENCE: Duration = Duration::from_secs(4);
/// How long a command that can do without the queue waits for it.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);
const START_PAUSE: Duration = Duration::from_millis(500);
/// The queue's name: the prefix of its keys, and the `queue` label.
pub(super) const QUEUE_NAME: &str = "freshet";

/// Where `freshet demo` stores its submissions.
pub const DEMO_DATABASE: &str = "freshet-demo.db";

/// As [`open_store`], but makes no SQLite file: for whoever only looks at what there is, or changes it.
///
/// # Errors
/// As there, and where there is no such file.
pub async fn open_existing_store(config: &Config) -> anyhow::Result<Store> {
    must_exist(config)?;
    open_store(config).await
}

fn must_exist(config: &Config) -> anyhow::Result<()> {
    let url = config.database.url.expose_secret();
    if Store::missing(url) {
        let default = KEYS.iter().find(|key| key.name == "database.url");
        let chosen = default.and_then(|key| key.default) != Some(url);
        let demo = if !chosen && Path::new(DEMO_DATABASE).exists() {
            format!("\n  For the demo's, add: --database-url sqlite://{DEMO_DATABASE}")
        } else {
            String::new()
        };
        bail!(
            "there is no database at {} (database.url){demo}\n  Is the path right? Does its folder exist? \
             `freshet run`, `freshet subreddits add` and `freshet migrate` make one",
            display_url(url)
        );
    }
    Ok(())
}

/// As [`open_existing_store`], but changes nothing: a replica will do, a user who may only read, a file
/// that is not to be written to. The tables must have been brought to this version.
///
/// # Errors
/// As there, and where the tables are older.
pub async fn open_store_to_read(config: &Config) -> anyhow::Result<Store> {
    must_exist(config)?;
    let address = config.database_address();
    let connect = async |deadline| {
        let connect = Store::connect_reading(&address, CONNECTIONS);
        answered_by(deadline, config, connect).await
    };
    open(config, COMMAND_PATIENCE, connect).await
}

/// Connects to the database for one command, and brings its tables to this version.
///
/// # Errors
/// Where the database is not to be had within a few seconds.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let address = config.database_address();
    let connect = async |deadline| {
        let connect = Store::connect(&address, CONNECTIONS);
        let store = answered_by(deadline, config, connect).await?;
        store.migrate().await?;
        Ok(store)
    };
    open(config, COMMAND_PATIENCE, connect).await
}

/// As [`open_store`], for a process that is to run: waits for a server that comes up with it.
///
/// # Errors
/// Where the database is not to be had within half a minute.
pub(super) async fn await_store(config: &Config) -> anyhow::Result<Store> {
    let address = config.database_address();
    let connect = async |_| {
        let store = Store::connect(&address, CONNECTIONS).await?;
        store.migrate().await?;
        Ok(store)
    };
    open(config, START_PATIENCE, connect).await
}

/// Bounds an attempt to connect to a server. A file needs no such bound, and may take its time to recover.
async fn answered_by(
    deadline: Instant,
    config: &Config,
    connect: impl Future<Output = Result<Store, StoreError>>,
) -> Result<Store, StoreError> {
    if Store::folder_of(config.database.url.expose_secret()).is_some() {
        return connect.await;
    }
    let connected = tokio::time::timeout_at(deadline, connect).await;
    connected.unwrap_or_else(|_| Err(StoreError::deadline(COMMAND_PATIENCE)))
}

async fn open(
    config: &Config,
    patience: Duration,
    connect: impl AsyncFn(Instant) -> Result<Store, StoreError>,
) -> anyhow::Result<Store> {
    let url = config.database.url.expose_secret();
    let shown = display_url(url);
    let waits = |error: &StoreError| error.is_unavailable();
    let what = format!("The database at {shown}");
    patiently(&what, patience, connect, waits)
        .await
        .map_err(|error| match error {
            StoreError::Url(problem) => unusable("database.url", problem),
            error => {
                let what = format!("the database at {shown} (database.url)");
                cannot_be_opened(&what, &error, error.advice())
            }
        })
}

/// Connects to the queue.
///
/// # Errors
/// Where the queue is not to be had within half a minute.
pub async fn open_queue(config: &Config) -> anyhow::Result<Queue> {
    let url = config.queue.url.expose_secret();
    let (shown, address) = (display_url(url), config.queue_address());
    let connect = async |_| Queue::connect(&address, QUEUE_NAME).await;
    let waits = |error: &QueueError| error.is_unavailable();
    let what = format!("The queue at {shown}");
    patiently(&what, START_PATIENCE, connect, waits)
        .await
        .map_err(|error| no_queue(&shown, error))
}

fn no_queue(shown: &str, error: QueueError) -> anyhow::Error {
    match error {
        QueueError::Url(problem) => unusable("queue.url", problem),
        error => {
            let what = format!("the queue at {shown} (queue.url)");
            cannot_be_opened(&what, &error, error.advice())
        }
    }
}

/// Says within seconds where the queue's server does not answer, for a command that will need it: the budgets
/// that processes share are there, too.
///
/// # Errors
/// Where it does not.
pub async fn reach_queue(config: &Config) -> anyhow::Result<()> {
    if !config.shares_queue() {
        return Ok(());
    }
    let shown = display_url(config.queue.url.expose_secret());
    let connect = Queue::connect(config.queue_address(), QUEUE_NAME);
    match tokio::time::timeout(COMMAND_PATIENCE, connect).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(no_queue(&shown, error)),
        Err(_) => bail!(
            "the queue at {shown} (queue.url) cannot be opened: no answer within {} s\n  {}",
            COMMAND_PATIENCE.as_secs(),
            Fault::RedisUnreachable.steps()
        ),
    }
}

/// Connects to the queue, or does without it where it does not answer soon.
pub async fn try_queue(config: &Config) -> Option<Queue> {
    let url = config.queue.url.expose_secret();
    // Nobody has made one yet, and whoever only looks is not to; or nobody else can see it.
    if Queue::missing(url) || config.queue_in_memory() {
        return None;
    }
    let connect = Queue::connect(config.queue_address(), QUEUE_NAME);
    let answer = tokio::time::timeout(QUEUE_LIMIT, connect).await;
    answer.ok()?.ok()
}

/// Warns of a Redis that would throw away what it is given. A connection of its own asks: who may not is no
/// outage.
pub(super) async fn warn_of_eviction(config: &Config) {
    if !config.shares_queue() {
        return;
    }
    let policy = async { try_queue(config).await?.eviction_policy().await };
    let policy = tokio::time::timeout(QUEUE_LIMIT, policy).await;
    if let Some(policy) = policy.ok().flatten().filter(|it| it != "noeviction") {
        tracing::warn!(
            policy,
            remedy = NOEVICTION,
            "Redis may evict jobs and the shared rate budget when its memory is full"
        );
    }
}

pub(super) fn unusable(key: &'static str, problem: String) -> anyhow::Error {
    ConfigError::Unusable { key, problem }.into()
}

/// What, why, and on a line of its own what to do.
fn cannot_be_opened(
    what: &str,
    error: &dyn std::error::Error,
    advice: Option<&str>,
) -> anyhow::Error {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Many drivers repeat what is below them.
        if !why.contains(&text) {
            why.push_str(": ");
            why.push_str(&text);
        }
        cause = inner.source();
    }
    let advice = advice.map_or(String::new(), |advice| {
        format!("\n  {advice} Then run the same command again.")
    });
    anyhow!("{what} cannot be opened: {why}{advice}")
}

/// Tries until it works, as long as waiting can help and whoever waits would wait too. Each attempt is told
/// when that ends.
async fn patiently<T, E: std::error::Error>(
    what: &str,
    patience: Duration,
    connect: impl AsyncFn(Instant) -> Result<T, E>,
    waits: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        match connect(deadline).await {
            Err(error) if waits(&error) && Instant::now() + START_PAUSE < deadline => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "{what} does not answer yet; waiting up to {} s", patience.as_secs());
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            result => return result,
        }
    }
}
