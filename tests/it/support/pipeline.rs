//! The whole pipeline in this process, against a simulated Reddit, on either pair of engines.

use crate::support::postgres::fresh_database;
use crate::support::redis::RedisServer;
use freshet::app::{Plan, Role, Running, run};
use freshet::config::{Config, Inputs};
use freshet::metrics::Metrics;
use freshet::simulator::Simulator;
use freshet::store::Store;
use freshet::submission::SubredditName;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// What stores and what carries the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engines {
    /// A file each.
    Sqlite,
    /// Postgres and Redis.
    Servers,
}

/// The database and the queue of one or more pipelines.
pub struct Ground {
    pub database: String,
    pub queue: String,
    _folder: TempDir,
    _redis: Option<RedisServer>,
}

impl Ground {
    pub async fn new(engines: Engines) -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let (database, queue, redis) = match engines {
            Engines::Sqlite => (file("store.db"), "memory".to_owned(), None),
            Engines::Servers => {
                let redis = tokio::task::spawn_blocking(RedisServer::start)
                    .await
                    .unwrap();
                (fresh_database().await, redis.url(), Some(redis))
            }
        };
        Ground {
            database,
            queue,
            _folder: folder,
            _redis: redis,
        }
    }

    /// A configuration that leads here and to this Reddit, unthrottled; `settings` come on top.
    pub fn config(&self, simulator: &Simulator, settings: &[(&'static str, &str)]) -> Config {
        let mut flags = vec![
            ("database.url", self.database.clone()),
            ("queue.url", self.queue.clone()),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("reddit.client_id", "pipeline".to_owned()),
            ("reddit.client_secret", "secret".to_owned()),
            ("reddit.api_url", simulator.url()),
            ("reddit.auth_url", simulator.url()),
            ("reddit.requests_per_minute", "10000000".to_owned()),
            ("shutdown.grace", "5s".to_owned()),
        ];
        for (key, value) in settings {
            flags.retain(|(known, _)| known != key);
            flags.push((key, (*value).to_owned()));
        }
        Config::load(Inputs {
            flags,
            ..Inputs::default()
        })
        .unwrap()
    }

    /// The first column of a query's rows, read past the store.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        if self.database.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.database).await.unwrap();
            let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
            rows.unwrap()
        } else {
            let mut connection = PgConnection::connect(&self.database).await.unwrap();
            let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
            rows.unwrap()
        }
    }
}

/// A running pipeline; told to stop when dropped.
pub struct Pipeline {
    pub running: Running,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Pipeline {
    /// Starts all roles.
    pub async fn start(config: Config, subreddits: Vec<SubredditName>) -> Pipeline {
        let plan = Plan {
            config,
            roles: Role::ALL.to_vec(),
            subreddits,
        };
        let (sender, started) = oneshot::channel();
        let runtime = Handle::current();
        // It stays on the thread that started it, as in the binary.
        let task = tokio::task::spawn_blocking(move || runtime.block_on(run(plan, Some(sender))));
        match started.await {
            Ok(running) => Pipeline {
                running,
                task: Some(task),
            },
            Err(_) => panic!("it did not start: {:?}", task.await),
        }
    }

    pub fn store(&self) -> &Store {
        &self.running.health.store
    }

    pub fn metrics(&self) -> &Metrics {
        &self.running.health.metrics
    }

    /// Waits until the condition holds.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        condition: impl AsyncFn(&Store) -> bool,
    ) {
        until(what, within, async || condition(self.store()).await).await;
    }

    /// Waits until there are so many, however long that takes while they become more.
    pub async fn until_count(
        &self,
        what: &str,
        wanted: usize,
        count: impl AsyncFn(&Store) -> usize,
    ) {
        let (mut last, mut since) = (0, Instant::now());
        while last < wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = count(self.store()).await;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            assert!(
                since.elapsed() < 2 * LONG,
                "{last} of {wanted} for long: {what}"
            );
        }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.running.stop.cancel();
        let task = self.task.take().unwrap();
        let ended = timeout(LONG, task).await;
        ended.expect("it stops in time").unwrap().unwrap();
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.running.stop.cancel();
    }
}

/// However slow the machine: only a hang takes longer.
const LONG: Duration = Duration::from_secs(180);

/// Asks until the condition holds. The time is what it takes on a machine that has some: a test fails
/// after [`LONG`] at the earliest.
pub async fn until(what: &str, within: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let within = within.max(LONG);
    let deadline = Instant::now() + within;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
