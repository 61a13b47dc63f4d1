//! How fresh what is stored is, beside what people write instead: a PRAW stream, a polling loop and a
//! Celery pipeline, each against a simulated Reddit of its own that is the same for all.
//!
//! ```sh
//! cargo bench --bench peers                             # a short run of the first world
//! cargo bench --bench peers -- quiet --seconds 240
//! cargo bench --bench peers -- busy --only freshet --engine sqlite
//! cargo bench --bench peers -- busy burst many --only freshet --check
//! ```
//!
//! It needs Python 3 with `venv`, and PyPI for the first run: what the peers need is installed into
//! `target/peers`. A trigger in the database notes when each row appears, for all alike, and the truth of
//! the simulated Reddit says when each submission became visible. What is not stored at the end counts as
//! waiting until then.
//!
//! Standard output is a Markdown table; progress goes to standard error.

mod contestant;
mod measure;
mod process;
mod simulated;
mod world;

/// The servers that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/redis.rs"]
mod redis;

use anyhow::ensure;
use clap::Parser;
use contestant::{Contestant, Python, Setting};
use measure::{Database, Measured};
use simulated::Simulated;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::World;

/// Nothing is measured of what came before, while they start, milliseconds.
const WARM_UP_MS: i64 = 10_000;

/// The simulated Reddit approves no later than this, seconds.
const LATEST_S: i64 = 6 * 3_600;

/// Compares freshet with its peers.
#[derive(Parser)]
struct Arguments {
    #[arg(help = format!("Which worlds: {}", World::NAMES), default_value = "busy")]
    worlds: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only those whose name contains this: freshet, praw, loop, celery-1, celery-100
    #[arg(long, default_value = "")]
    only: String,
    /// postgres or sqlite
    #[arg(long, default_value = "postgres")]
    engine: String,
    /// The same world for the same seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests a minute, instead of the world's
    #[arg(long)]
    budget: Option<u32>,
    /// More settings of freshet run, such as --discover-overlap=5m
    #[arg(long, allow_hyphen_values = true)]
    freshet: Vec<String>,
    /// End with status 1 where freshet missed a normal submission or spent more than the budget
    #[arg(long)]
    check: bool,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        ["postgres", "sqlite"].contains(&arguments.engine.as_str()),
        "--engine: postgres or sqlite"
    );
    let named = arguments.worlds.iter().map(|name| World::named(name));
    let worlds: Vec<World> = named.collect::<Result<_, _>>()?;
    let fits = |it: &Contestant| it.name().contains(&arguments.only);
    let contestants: Vec<Contestant> = Contestant::ALL.into_iter().filter(fits).collect();
    let python = match contestants.iter().any(|it| *it != Contestant::Freshet) {
        true => Some(Python::installed()?),
        false => None,
    };
    let mut failed = Vec::new();
    for (name, mut world) in arguments.worlds.iter().zip(worlds) {
        world.requests_per_minute = arguments.budget.unwrap_or(world.requests_per_minute);
        println!(
            "{name}: {} subreddits, {}/s, {} requests a minute, interval {} s, {} s each, {}, seed {}\n",
            world.subreddits,
            world.per_second,
            world.requests_per_minute,
            world.interval_s,
            arguments.seconds,
            arguments.engine,
            arguments.seed,
        );
        println!("{}", measure::HEADING);
        for contestant in &contestants {
            let of = contestant.name();
            eprintln!("{name}: {of} runs for {} s", arguments.seconds);
            match compete(&arguments, &world, *contestant, python.as_ref()).await {
                Ok((measured, used)) => {
                    println!("| {of} | {} | {used} |", measured.columns());
                    for missed in measured.told_missed().take(20) {
                        eprintln!("{of}: {missed}");
                    }
                    if arguments.check && *contestant == Contestant::Freshet {
                        failed.extend(measured.checked(&world).err());
                    }
                }
                Err(error) => failed.push(error.context(of)),
            }
        }
        println!();
    }
    if let Some(python) = python {
        println!("{}", python.versions()?);
    }
    // The others are measured all the same.
    for error in &failed {
        eprintln!("{error:?}");
    }
    ensure!(failed.is_empty(), "{} of these did not hold", failed.len());
    Ok(())
}

async fn compete(
    arguments: &Arguments,
    world: &World,
    contestant: Contestant,
    python: Option<&Python>,
) -> anyhow::Result<(Measured, String)> {
    let folder = tempfile::tempdir()?;
    let redis = tokio::task::spawn_blocking(redis::RedisServer::start).await?;
    let url = match arguments.engine.as_str() {
        "sqlite" => format!("sqlite://{}", folder.path().join("store.db").display()),
        _ => postgres::fresh_database().await,
    };
    let mut database = Database::prepared(&url, contestant == Contestant::Freshet).await?;
    let simulated = Simulated::start(folder.path(), world, arguments.seed).await?;
    let names = simulated.names().await?;
    let setting = Setting {
        folder: folder.path(),
        database: &url,
        redis: redis.url(),
        simulated: simulated.url(),
        names: &names,
        world,
        more: &arguments.freshet,
        python,
    };
    let (begun, begun_ms) = (Instant::now(), simulated.now_ms().await?);
    let behind_ms = unix_ms() - begun_ms;
    let mut running = setting.start(contestant)?;
    let length = Duration::from_secs(arguments.seconds);
    let mut events = world.events();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while begun.elapsed() < length {
        tick.tick().await;
        running.sample()?;
        while let Some((_, event)) = events.next_if(|(at, _)| begun.elapsed() >= *at) {
            match event {
                world::Event::Outage(on) => simulated.outage(on).await?,
                world::Event::Kill => running.kill(),
                world::Event::Restart => running.replace(setting.start(contestant)?),
            }
        }
    }
    let ended_ms = simulated.now_ms().await?;
    running.sample()?;
    running.kill();
    let measured = Measured {
        from_ms: begun_ms + WARM_UP_MS,
        until_ms: ended_ms,
        interval_ms: world.interval_s * 1_000,
        truth: simulated.truth(begun_ms / 1_000 - LATEST_S).await?,
        seen: database.seen(behind_ms).await?,
        requests: simulated.requests().await?,
    };
    Ok((measured, running.columns()))
}

/// The time by which rows are stored, milliseconds.
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}
