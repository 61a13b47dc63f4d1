//! One measurement: an engine pair, a state of the store, one run.

use crate::fill::{Before, fill};
use crate::limits::{self, Limit};
use crate::postgres::PostgresServer;
use crate::process::{Freshet, processor_seconds, processor_seconds_of_others};
use crate::redis::RedisServer;
use crate::world::{UNLIMITED, World};
use anyhow::Context;
use freshet::simulator::Endpoint;
use freshet::store::Store;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No measurement may take longer.
const LIMIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(100);

/// What stores and what carries the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engines {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Engines::Sqlite => "sqlite",
            Engines::Postgres => "postgres",
        })
    }
}

/// What one run took.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) engines: Engines,
    pub(crate) before: Before,
    /// Submissions stored or waiting beforehand.
    pub(crate) rows_before: usize,
    /// What those take on the disk, with their indexes: bytes.
    pub(crate) size_before: i64,
    /// Found, fetched and stored.
    pub(crate) submissions: f64,
    pub(crate) seconds: f64,
    /// For each 1,000 submissions.
    pub(crate) requests: f64,
    pub(crate) peak_megabytes: f64,
    /// Processor seconds of freshet, of the simulated Reddit, and of the servers.
    pub(crate) processor: [f64; 3],
}

impl Measurement {
    pub(crate) fn rate(&self) -> f64 {
        self.submissions / self.seconds
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [freshet, reddit, servers] = self.processor;
        write!(
            formatter,
            "{:.0} submissions/s ({:.0} in {:.1} s), {:.1} requests per 1,000, {:.0} MB, processor \
             seconds {freshet:.1} freshet + {reddit:.1} simulated Reddit + {servers:.1} servers",
            self.rate(),
            self.submissions,
            self.seconds,
            self.requests,
            self.peak_megabytes,
        )
    }
}

/// The servers of a pair; stopped when dropped.
struct Servers {
    _running: Option<(PostgresServer, RedisServer)>,
    database: String,
    queue: String,
}

impl Servers {
    fn start(engines: Engines, folder: &Path) -> Servers {
        match engines {
            Engines::Sqlite => Servers {
                _running: None,
                database: format!("sqlite://{}", folder.join("store.db").display()),
                queue: format!("sqlite://{}", folder.join("queue.db").display()),
            },
            Engines::Postgres => {
                // The settings that the programs come with: what is committed is on the disk.
                let postgres = PostgresServer::start_with("");
                let redis = RedisServer::start();
                Servers {
                    database: postgres.url("postgres"),
                    queue: redis.url(),
                    _running: Some((postgres, redis)),
                }
            }
        }
    }
}

/// Measures one run; after one that began with nothing, also what the engine alone can do.
pub(crate) async fn measure(
    world: &World,
    engines: Engines,
    before: Before,
) -> anyhow::Result<(Measurement, Option<Limit>)> {
    let folder = TempDir::new()?;
    let servers = Servers::start(engines, folder.path());
    let store = Store::connect(&servers.database, 4).await?;
    store.migrate().await?;
    fill(&store, world, before).await?;
    let mut look = Look::connect(engines, &servers.database).await?;
    settle(&mut look, before).await?;
    let size_before = look.size().await?;

    let at_start = store.totals().await?;
    let requests_at_start = world.requests().await?;
    let processor = |process: u32| {
        [
            processor_seconds(process),
            processor_seconds(world.process.id()),
            processor_seconds_of_others(&[process, world.process.id()]),
        ]
    };
    let [_, reddit_at_start, servers_at_start] = processor(0);
    let begun = Instant::now();
    let mut freshet = Freshet::start(folder.path(), "run", &arguments(&servers, world))?;
    while !is_done(&store, &mut look, world).await? {
        freshet.still_runs()?;
        anyhow::ensure!(begun.elapsed() < LIMIT, "not done after {LIMIT:?}");
        tokio::time::sleep(LOOK).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let [freshet_seconds, reddit_seconds, server_seconds] = processor(freshet.id());
    let peak_megabytes = freshet.peak_megabytes()?;
    let totals = store.totals().await?;
    let requests = world.requests().await?;
    freshet.stop()?;

    let found = (totals.submissions() - at_start.submissions()) as f64;
    let fetched = (totals.fetched - at_start.fetched) as f64;
    let made = |endpoint| (requests.of(endpoint) - requests_at_start.of(endpoint)) as f64;
    let measurement = Measurement {
        engines,
        before,
        rows_before: usize::try_from(at_start.submissions())?,
        size_before,
        submissions: found,
        seconds,
        requests: 1000.0 * (made(Endpoint::Listing) / found + made(Endpoint::Info) / fetched),
        peak_megabytes,
        processor: [
            freshet_seconds,
            reddit_seconds - reddit_at_start,
            server_seconds - servers_at_start,
        ],
    };
    let limit = match (before, engines) {
        (Before::Empty, Engines::Sqlite) => Some(limits::sqlite(folder.path()).await?),
        (Before::Empty, Engines::Postgres) => Some(limits::postgres(&servers.database).await?),
        _ => None,
    };
    Ok((measurement, limit))
}

fn arguments(servers: &Servers, world: &World) -> Vec<String> {
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(world.subreddits.iter().cloned());
    let unlimited = UNLIMITED.to_string();
    let options: [(&str, &str); 8] = [
        ("--database-url", &servers.database),
        ("--queue-url", &servers.queue),
        ("--http-listen", "127.0.0.1:0"),
        ("--reddit-api-url", &world.url),
        ("--reddit-auth-url", &world.url),
        ("--reddit-client-id", "bench"),
        ("--reddit-client-secret", "bench"),
        ("--reddit-requests-per-minute", &unlimited),
    ];
    for (name, value) in options {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    arguments
}

/// A connection beside the program's own, for what the program has no words for.
enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Look {
    async fn connect(engines: Engines, url: &str) -> anyhow::Result<Look> {
        Ok(match engines {
            Engines::Sqlite => Look::Sqlite(SqliteConnection::connect(url).await?),
            Engines::Postgres => Look::Postgres(PgConnection::connect(url).await?),
        })
    }

    async fn execute(&mut self, statement: &'static str) -> anyhow::Result<()> {
        match self {
            Look::Sqlite(connection) => sqlx::raw_sql(statement).execute(connection).await.err(),
            Look::Postgres(connection) => sqlx::raw_sql(statement).execute(connection).await.err(),
        }
        .map_or(Ok(()), |error| Err(error).context(statement))
    }

    /// Bytes of the whole database.
    async fn size(&mut self) -> anyhow::Result<i64> {
        let query = match self {
            Look::Sqlite(_) => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Look::Postgres(_) => "SELECT pg_database_size(current_database())",
        };
        self.number(query).await
    }

    async fn number(&mut self, query: &'static str) -> anyhow::Result<i64> {
        Ok(match self {
            Look::Sqlite(connection) => sqlx::query_scalar(query).fetch_one(connection).await?,
            Look::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await?,
        })
    }
}

/// Puts what waits behind everything live, and lets the engine end what filling has left to do.
async fn settle(look: &mut Look, before: Before) -> anyhow::Result<()> {
    if before == Before::Waiting {
        look.execute("UPDATE fetches SET priority = 2").await?;
    }
    match look {
        Look::Sqlite(_) => look.execute("PRAGMA wal_checkpoint(TRUNCATE)").await,
        Look::Postgres(_) => {
            look.execute("VACUUM ANALYZE").await?;
            look.execute("CHECKPOINT").await
        }
    }
}

/// Fetches of live submissions that wait or are handed over; one is enough of those that wait.
const LIVE_LEFT: &str = "SELECT count(*) FROM (
    SELECT id FROM (SELECT id FROM fetches
        WHERE priority = 0 AND fed_ms IS NULL AND dead_at IS NULL LIMIT 1) AS waiting
    UNION ALL
    SELECT id FROM fetches
    WHERE priority = 0 AND fed_ms IS NOT NULL AND dead_at IS NULL) AS live";

/// Whether every subreddit is proven and nothing live is left to fetch.
async fn is_done(store: &Store, look: &mut Look, world: &World) -> anyhow::Result<bool> {
    let subreddits = store.subreddits().await?;
    let proven = subreddits.iter().filter(|it| it.covered_until.is_some());
    Ok(proven.count() == world.subreddits.len() && look.number(LIVE_LEFT).await? == 0)
}
