//! Opens what a process depends on, the database and the queue: waits for servers that come up, and says
//! what cannot be opened, why, and what to do.

use crate::config::{Config, ConfigError, display_url};
use crate::queue::{Queue, QueueError};
use crate::store::{Store, StoreError};
use anyhow::{anyhow, bail};
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio::time::Instant;

/// Connections to a Postgres server from one process.
const CONNECTIONS: u32 = 10;
/// How long a process waits at its start for the database and the queue to come up.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a command that can do without the queue waits for it.
const QUEUE_LIMIT: Duration = Duration::from_secs(2);
const START_PAUSE: Duration = Duration::from_millis(500);
/// The queue's name: the prefix of its keys, and the `queue` label.
pub(super) const QUEUE_NAME: &str = "freshet";

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
        bail!(
            "there is no database at {} (database.url)\n  Is the path right? Does its folder exist? \
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
    open(config, async || {
        Store::connect_reading(&address, CONNECTIONS).await
    })
    .await
}

/// Connects to the database and brings its tables to this version.
///
/// # Errors
/// Where the database is not to be had within half a minute.
pub async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let address = config.database_address();
    let connect = async || {
        let store = Store::connect(&address, CONNECTIONS).await?;
        store.migrate().await?;
        Ok(store)
    };
    open(config, connect).await
}

async fn open(
    config: &Config,
    connect: impl AsyncFn() -> Result<Store, StoreError>,
) -> anyhow::Result<Store> {
    let url = config.database.url.expose_secret();
    let shown = display_url(url);
    let waits = |error: &StoreError| error.is_unavailable();
    patiently(&format!("The database at {shown}"), connect, waits)
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
    let connect = async || Queue::connect(&address, QUEUE_NAME).await;
    let waits = |error: &QueueError| error.is_unavailable();
    patiently(&format!("The queue at {shown}"), connect, waits)
        .await
        .map_err(|error| match error {
            QueueError::Url(problem) => unusable("queue.url", problem),
            error => {
                let what = format!("the queue at {shown} (queue.url)");
                cannot_be_opened(&what, &error, error.advice())
            }
        })
}

/// Connects to the queue, or does without it where it does not answer soon.
pub async fn try_queue(config: &Config) -> Option<Queue> {
    let url = config.queue.url.expose_secret();
    // Nobody has made one yet, and whoever only looks is not to.
    if Queue::missing(url) {
        return None;
    }
    let connect = Queue::connect(config.queue_address(), QUEUE_NAME);
    let answer = tokio::time::timeout(QUEUE_LIMIT, connect).await;
    answer.ok()?.ok()
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

/// Tries until it works, as long as waiting can help and a supervisor would wait too.
async fn patiently<T, E: std::error::Error>(
    what: &str,
    connect: impl AsyncFn() -> Result<T, E>,
    waits: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + START_PATIENCE;
    let mut told = false;
    loop {
        match connect().await {
            Err(error) if waits(&error) && Instant::now() < deadline => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "{what} does not answer yet; waiting up to {} s", START_PATIENCE.as_secs());
                }
                tokio::time::sleep(START_PAUSE).await;
            }
            result => return result,
        }
    }
}
