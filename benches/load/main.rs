//! Loading dumps: how many submissions a second, on both engines, and whether that stays.
//!
//! The rows are made up, of the size and the columns of real ones, and each as if it were of another
//! moment: their ids and times grow, and they are of as many subreddits as are said. Making them is
//! not timed. Postgres has the settings that it comes with.
//!
//! 1. The program loads a `.zst` of them (`freshet backfill all --source FILE`), from its start to its
//!    end. Beside it: decompressing that file and nothing else, and the same rows by the engine's own
//!    fastest way, into an equal table with the same indexes, from memory. Nothing can be faster.
//! 2. The same transactions, as the program makes them, in turns into a database that holds millions
//!    and one that holds none: what else the machine does slows both alike.
//!
//! ```sh
//! cargo bench --bench load                             # about three minutes, 4 GB
//! cargo bench --bench load -- --before 5000000         # on five million stored: 20 GB
//! cargo bench --bench load -- --only postgres --before 0
//! cargo bench --bench load -- --subreddits 5000        # all of Reddit rather than what is followed
//! ```
//!
//! Standard output is a Markdown table; progress goes to standard error.

mod limits;
mod program;
mod rows;

/// The server that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

use anyhow::{Context, ensure};
use clap::Parser;
use freshet::store::{ArchiveRecord, Store};
use freshet::submission::Observation;
use postgres::PostgresServer;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Measures how fast dumps are loaded.
#[derive(Parser)]
struct Arguments {
    /// Submissions of one measurement
    #[arg(long, default_value_t = 100_000)]
    rows: u64,
    /// Submissions stored beforehand in the second measurement
    #[arg(long, default_value_t = 1_000_000)]
    before: u64,
    /// Submissions in one transaction of the second measurement; the program's own number
    #[arg(long, default_value_t = 2000)]
    batch: u64,
    /// Of so many subreddits; a few have most
    #[arg(long, default_value_t = 100)]
    subreddits: u64,
    /// Only the engine whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was done in what time.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    rows: u64,
    /// Of JSON.
    bytes: u64,
    spent: Duration,
}

impl Rate {
    fn per_second(self) -> f64 {
        self.rows as f64 / self.spent.as_secs_f64()
    }

    /// As a share of another's.
    fn of(self, other: Rate) -> String {
        format!("{:.2}", self.per_second() / other.per_second())
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
    let folder = tempfile::tempdir()?;
    let dump = folder.path().join("made.zst");
    let bytes = rows::write(&dump, arguments.rows, arguments.subreddits)?;
    let file = Rate {
        rows: arguments.rows,
        bytes,
        spent: limits::decompression(&dump)?,
    };
    println!("| engine | what | submissions | rate | JSON | of the limit |");
    println!("|---|---|---|---|---|---|");
    println!("| | decompression alone | {} | {file} | |", file.rows);
    if "sqlite".contains(&arguments.only) {
        let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
        let urls = [url("grown.db"), url("empty.db")];
        let limit = async || limits::sqlite(folder.path(), "grown.db").await;
        let measured = measure(&arguments, file, &dump, urls, limit).await;
        measured.context("sqlite")?;
    }
    if "postgres".contains(&arguments.only) {
        let server = tokio::task::spawn_blocking(|| PostgresServer::start_with("")).await?;
        let grown = server.url("postgres");
        limits::create_database(&grown, "empty").await?;
        let urls = [grown.clone(), server.url("empty")];
        let limit = async || limits::postgres(&grown).await;
        let measured = measure(&arguments, file, &dump, urls, limit).await;
        measured.context("postgres")?;
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    file: Rate,
    dump: &Path,
    urls: [String; 2],
    limit: impl AsyncFn() -> anyhow::Result<Duration>,
) -> anyhow::Result<()> {
    let [grown_url, empty_url] = urls;
    // The tables are there, as they are whenever a backfill is not a program's first act.
    let grown = migrated(&grown_url).await?;
    let engine = grown.engine();
    let show = |what: &str, rate: Rate, share: &str| {
        println!("| {engine} | {what} | {} | {rate} | {share} |", rate.rows);
    };

    let run = load(dump, &grown_url)?;
    ensure!(
        grown.totals().await?.submissions() == arguments.rows as i64,
        "not all of the dump is stored"
    );
    let loaded = Rate {
        spent: run.spent,
        ..file
    };
    let alone = Rate {
        spent: limit().await?,
        ..file
    };
    show("the engine alone, from memory", alone, "");
    let peak = format!(
        "the program, from the dump, in {:.0} MB",
        run.peak_megabytes
    );
    show(&peak, loaded, &loaded.of(alone));
    let again = Rate {
        spent: load(dump, &grown_url)?.spent,
        ..file
    };
    show("the program, the same again", again, &again.of(alone));

    if arguments.before > arguments.rows {
        let filled = store(arguments, arguments.rows..arguments.before, &[&grown]).await?;
        show("filling", filled[0], "");
        // What a log still holds is written where it belongs as the last connection closes: neither
        // begins with what the other has not, and neither leaves any behind.
        grown.close().await;
        let (grown, empty) = (migrated(&grown_url).await?, migrated(&empty_url).await?);
        let range = arguments.before..arguments.before + arguments.rows;
        let mut rates = store(arguments, range, &[&grown, &empty]).await?;
        for (store, rate) in [&grown, &empty].into_iter().zip(&mut rates) {
            let begun = Instant::now();
            store.close().await;
            rate.spent += begun.elapsed();
        }
        show("on none", rates[1], "");
        let what = format!("on {}", arguments.before);
        show(
            &what,
            rates[0],
            &format!("{} of that on none", rates[0].of(rates[1])),
        );
    }
    Ok(())
}

/// Loads all of a dump.
fn load(dump: &Path, url: &str) -> anyhow::Result<program::Run> {
    let folder = dump.parent().context("it is in a folder")?;
    let words = ["backfill", "all", "--database-url", url, "--source"].map(OsStr::new);
    program::run(folder, &[&words[..], &[dump.as_os_str()]].concat())
}

async fn migrated(url: &str) -> anyhow::Result<Store> {
    let store = Store::connect(url, 2).await?;
    store.migrate().await?;
    Ok(store)
}

/// Stores these rows in each of the stores, by turns after each transaction; all of them are new.
async fn store(
    arguments: &Arguments,
    range: Range<u64>,
    stores: &[&Store],
) -> anyhow::Result<Vec<Rate>> {
    let mut rates = vec![Rate::default(); stores.len()];
    let mut from = range.start;
    let mut told = Instant::now();
    while from < range.end {
        let to = (from + arguments.batch).min(range.end);
        let observations: Vec<_> = (from..to)
            .map(|number| rows::submission(number, arguments.subreddits))
            .collect::<anyhow::Result<_>>()?;
        let bytes = observations
            .iter()
            .map(|observation| observation.raw.get().len() as u64)
            .sum::<u64>();
        // Whoever comes second finds the rows in the processor's cache: each is first every other time.
        let mut turns: Vec<_> = stores.iter().zip(&mut rates).collect();
        if (from / arguments.batch) % 2 == 1 {
            turns.reverse();
        }
        for (store, rate) in turns {
            rate.spent += transaction(store, &observations).await?;
            rate.rows += to - from;
            rate.bytes += bytes;
        }
        from = to;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{}: {to}: {}", stores[0].engine(), rates[0]);
        }
    }
    Ok(rates)
}

async fn transaction(store: &Store, observations: &[Observation]) -> anyhow::Result<Duration> {
    let record = ArchiveRecord {
        observations,
        undecodable: &[],
        refresh: false,
        now_ms: rows::NOW_MS,
    };
    let begun = Instant::now();
    let stored = store.record_archived(&record).await?;
    let spent = begun.elapsed();
    ensure!(
        stored.fresh == observations.len() as u64,
        "some were there already"
    );
    Ok(spent)
}
