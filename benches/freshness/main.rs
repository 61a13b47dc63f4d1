//! Whether a backfill makes live submissions late: how long one takes from its creation to its fetch
//! being stored, while nothing else goes on and while the past is brought in as fast as it can be.
//!
//! `freshet run` follows the simulated Reddit, which is in this process. Five times a second a
//! submission is published in a subreddit of twenty, and the database is asked every few milliseconds
//! which of those that are awaited it holds as fetched. By turns, and twice each:
//!
//! - live: nothing beside it.
//! - archive: twenty backfills from the simulated archive, handed to the running workers, which ask it
//!   120 times a minute together, as they do by default.
//! - dump: another process loads a file into the same database.
//!
//! ```sh
//! cargo bench --bench freshness                   # about seven minutes
//! cargo bench --bench freshness -- --only sqlite --seconds 20
//! cargo bench --bench freshness -- --requests 100000   # of an archive that knows no limit
//! ```
//!
//! Standard output is a Markdown table; progress goes to standard error.

mod probe;
mod program;

/// The servers that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/redis.rs"]
mod redis;
/// Made-up dumps.
#[expect(dead_code, reason = "what the other benchmark alone uses")]
#[path = "../load/rows.rs"]
mod rows;

use anyhow::{Context, ensure};
use clap::Parser;
use freshet::simulator::{ArchiveOptions, Oddities, Simulator, SimulatorOptions};
use freshet::store::Store;
use postgres::PostgresServer;
use probe::Probe;
use program::Programs;
use redis::RedisServer;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Of the world that is followed.
const SUBREDDITS: usize = 20;
/// An hour, all together: the past that there is to bring in, and the load beside the probe's.
const PER_HOUR: f64 = 1_000.0;
const PAST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long anything but the measuring may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures what backfills do to live work.
#[derive(Parser)]
struct Arguments {
    /// How long each turn takes
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How often each turn comes
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Submissions of the dump; it is loaded anew, into other rows, where it ends too early
    #[arg(long, default_value_t = 2_000_000)]
    rows: u64,
    /// How often each subreddit is polled
    #[arg(long, default_value = "2s")]
    interval: String,
    /// Requests a minute to the archive; the program's own default
    #[arg(long, default_value_t = 120)]
    requests: u32,
    /// Only the engines whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What goes on beside the live work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Archive,
    Dump,
}

impl Beside {
    const ALL: [Beside; 3] = [Beside::Nothing, Beside::Archive, Beside::Dump];
}

impl fmt::Display for Beside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Beside::Nothing => "live alone",
            Beside::Archive => "and a backfill from the archive",
            Beside::Dump => "and a dump, by another process",
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let dump = folder.path().join("made.zst");
    eprintln!("a dump of {} submissions is made", arguments.rows);
    rows::write(&dump, arguments.rows, 5_000)?;
    println!(
        "| engines | what goes on | live submissions | p50 | p95 | p99 | p95 of live alone | brought in beside |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    if "sqlite".contains(&arguments.only) {
        let own = tempfile::tempdir()?;
        let database = format!("sqlite://{}", own.path().join("store.db").display());
        let queue = format!("sqlite://{}", own.path().join("queue.db").display());
        let measured = measure(&arguments, own.path(), &dump, &database, &queue).await;
        measured.context("sqlite")?;
    }
    if "postgres".contains(&arguments.only) {
        let own = tempfile::tempdir()?;
        // The settings that they come with: what is committed is on the disk.
        let (postgres, redis) =
            tokio::task::spawn_blocking(|| (PostgresServer::start_with(""), RedisServer::start()))
                .await?;
        let (database, queue) = (postgres.url("postgres"), redis.url());
        let measured = measure(&arguments, own.path(), &dump, &database, &queue).await;
        measured.context("postgres")?;
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    folder: &Path,
    dump: &Path,
    database: &str,
    queue: &str,
) -> anyhow::Result<()> {
    let store = Store::connect(database, 2).await?;
    store.migrate().await?;
    let options = SimulatorOptions {
        oddities: Oddities::none(),
        requests_per_minute: None,
        listing_cap: 0,
        history: PAST,
        steady: true,
        archive: ArchiveOptions {
            requests_per_minute: 0,
            ..ArchiveOptions::default()
        },
        ..SimulatorOptions::world(1, SUBREDDITS, PER_HOUR / SUBREDDITS as f64)
    };
    let names: Vec<_> = options.subreddits.iter().map(|it| it.0.clone()).collect();
    let simulator = Simulator::start(options).await?;
    let programs = Programs {
        folder,
        database,
        queue,
        url: simulator.url(),
        interval: &arguments.interval,
        requests: arguments.requests,
    };
    ensure!(
        arguments.requests <= program::UNLIMITED,
        "--requests: at most {}",
        program::UNLIMITED
    );
    let mut run = programs.run(&names)?;
    let begun = std::time::Instant::now();
    while !caught_up(&store, names.len()).await? {
        run.still_runs()?;
        ensure!(begun.elapsed() < PATIENCE, "live work did not catch up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let backfills = programs.begin_backfills(&names)?;

    let mut probes: Vec<(Beside, Vec<Duration>, i64, f64)> = Beside::ALL
        .map(|beside| (beside, Vec::new(), 0, 0.0))
        .into();
    for round in 1..=arguments.rounds {
        for (beside, delays, brought, seconds) in &mut probes {
            let probe = Probe {
                control: simulator.control(),
                names: &names,
                database,
            };
            let loader = match beside {
                Beside::Nothing => None,
                Beside::Archive => {
                    programs.each_backfill("resume", &backfills)?;
                    None
                }
                Beside::Dump => Some(programs.load(dump)?),
            };
            // What begins in the turn before must not end in this one.
            let before = store.totals().await?.submissions();
            let begun = std::time::Instant::now();
            let measured = probe
                .measure(Duration::from_secs(arguments.seconds), &mut run)
                .await?;
            let stored = store.totals().await?.submissions() - before;
            *seconds += begun.elapsed().as_secs_f64();
            *brought += stored - measured.len() as i64;
            if *beside == Beside::Archive {
                ensure!(
                    programs.each_backfill("pause", &backfills)? > 0,
                    "the past is too short: nothing of it was left to bring in"
                );
            }
            if let Some(loader) = loader {
                ensure!(loader.stop()?, "the dump is too short; give --rows more");
            }
            delays.extend(measured);
            eprintln!("{}: {beside}: round {round}", store.engine());
        }
    }
    run.stop()?;
    simulator.stop().await?;
    let alone = quantile(&mut probes[0].1, 0.95);
    for (beside, delays, brought, seconds) in &mut probes {
        let p95 = quantile(delays, 0.95);
        println!(
            "| {} | {beside} | {} | {:.2} s | {:.2} s | {:.2} s | {:.2} | {:.0}/s |",
            store.engine(),
            delays.len(),
            quantile(delays, 0.5),
            p95,
            quantile(delays, 0.99),
            p95 / alone,
            *brought as f64 / *seconds,
        );
    }
    store.close().await;
    Ok(())
}

/// Whether every subreddit's first window is proven and its fetches are done.
async fn caught_up(store: &Store, subreddits: usize) -> anyhow::Result<bool> {
    let known = store.subreddits().await?;
    let proven = known.iter().filter(|it| it.covered_until.is_some()).count();
    let totals = store.totals().await?;
    Ok(proven == subreddits && totals.discovered < 10)
}

/// Seconds.
fn quantile(delays: &mut [Duration], share: f64) -> f64 {
    delays.sort_unstable();
    let last = delays.len().saturating_sub(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (last * share).round() as usize;
    delays.get(place).map_or(f64::NAN, Duration::as_secs_f64)
}
