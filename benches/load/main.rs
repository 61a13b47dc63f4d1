//! Storing what an archive kept: how many submissions a second, on both engines.
//!
//! The rows are made up, of the size and the columns of real ones, and each as if it were of another
//! moment: their ids and times grow, and their subreddits are many. Making them is not timed. Beside
//! each rate stands that of the same rows by the engine's own fastest way, into an equal table with
//! the same indexes: nothing can be faster. Postgres has the settings that it comes with.
//!
//! ```sh
//! cargo bench --bench load                             # about a minute
//! cargo bench --bench load -- --before 5000000         # and on five million stored: 20 GB, long
//! cargo bench --bench load -- --only postgres --rows 50000
//! ```
//!
//! Standard output is a Markdown table; progress goes to standard error.

mod limits;
mod rows;

/// The server that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

use anyhow::{Context, ensure};
use clap::Parser;
use freshet::store::{ArchiveRecord, Store};
use postgres::PostgresServer;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Measures how fast archives are stored.
#[derive(Parser)]
struct Arguments {
    /// Submissions of one measurement
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Submissions stored beforehand, for a second measurement
    #[arg(long, default_value_t = 0)]
    before: u64,
    /// Submissions in one transaction
    #[arg(long, default_value_t = 2000)]
    batch: u64,
    /// Of many subreddits at once, as in a dump, so many
    #[arg(long, default_value_t = 5000)]
    subreddits: u64,
    /// Only the engine whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was stored in what time.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    rows: u64,
    bytes: u64,
    spent: Duration,
}

impl Rate {
    fn per_second(self) -> f64 {
        self.rows as f64 / self.spent.as_secs_f64()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6 / self.spent.as_secs_f64();
        write!(
            formatter,
            "{:.0} submissions/s | {megabytes:.0} MB/s",
            self.per_second()
        )
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    println!("| engine | what | submissions | rate | JSON | against |");
    println!("|---|---|---|---|---|---|");
    if "sqlite".contains(&arguments.only) {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("store.db");
        let url = format!("sqlite://{}", file.display());
        let limit = async || limits::sqlite(folder.path()).await;
        measure(&arguments, &url, limit).await.context("sqlite")?;
    }
    if "postgres".contains(&arguments.only) {
        let server = tokio::task::spawn_blocking(|| PostgresServer::start_with("")).await?;
        let url = server.url("postgres");
        let limit = async || limits::postgres(&url).await;
        measure(&arguments, &url, limit).await.context("postgres")?;
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    url: &str,
    limit: impl AsyncFn() -> anyhow::Result<Duration>,
) -> anyhow::Result<()> {
    let store = Store::connect(url, 2).await?;
    store.migrate().await?;
    let engine = store.engine();
    let show = |what: &str, rate: Rate, against: Option<Rate>| {
        let against = against.map_or(String::new(), |other| {
            format!("{:.2}", rate.per_second() / other.per_second())
        });
        println!("| {engine} | {what} | {} | {rate} | {against} |", rate.rows);
    };
    let first = load(&store, arguments, 0..arguments.rows).await?;
    let spent = limit().await?;
    let limit = Rate { spent, ..first };
    show("the same rows by the engine alone", limit, None);
    show("stored on none", first, Some(limit));
    if arguments.before > arguments.rows {
        let filled = load(&store, arguments, arguments.rows..arguments.before).await?;
        show("stored in between", filled, Some(first));
        let on = arguments.before..arguments.before + arguments.rows;
        let last = load(&store, arguments, on).await?;
        show("stored on those", last, Some(first));
    }
    // A backfill that is done again.
    let again = load(&store, arguments, 0..arguments.rows).await?;
    show("known already", again, Some(first));
    store.close().await;
    Ok(())
}

/// Stores these rows, as many of which are new as are said to be.
async fn load(store: &Store, arguments: &Arguments, range: Range<u64>) -> anyhow::Result<Rate> {
    let mut rate = Rate::default();
    let before = store.totals().await?.submissions();
    let mut fresh = 0;
    let mut from = range.start;
    let mut told = Instant::now();
    while from < range.end {
        let to = (from + arguments.batch).min(range.end);
        let observations: Vec<_> = (from..to)
            .map(|number| rows::submission(number, arguments.subreddits))
            .collect::<anyhow::Result<_>>()?;
        let record = ArchiveRecord {
            observations: &observations,
            undecodable: &[],
            refresh: false,
            now_ms: rows::NOW_MS,
        };
        let begun = Instant::now();
        fresh += store.record_archived(&record).await?.fresh;
        rate.spent += begun.elapsed();
        rate.rows += to - from;
        rate.bytes += observations
            .iter()
            .map(|observation| observation.raw.get().len() as u64)
            .sum::<u64>();
        from = to;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{}: {to}: {rate}", store.engine());
        }
    }
    let after = store.totals().await?.submissions();
    ensure!(after - before == fresh as i64, "the counters are not true");
    Ok(rate)
}
