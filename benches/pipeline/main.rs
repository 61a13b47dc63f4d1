//! The whole pipeline from end to end, with every part in a process of its own: the simulated Reddit
//! (unthrottled), freshet (`run`, all roles), and real Redis and Postgres servers with the settings
//! they come with.
//!
//! One measurement starts `freshet run` on subreddits that it has never seen and ends when each of
//! them is proven complete over its first window and every submission found has been fetched and
//! stored. The rate is those submissions over that time, the start of the process included. Pages
//! are full, as they are for a busy subreddit.
//!
//! What is stored beforehand: nothing; a million submissions; or a million submissions that wait to
//! be fetched, behind the live ones.
//!
//! ```sh
//! cargo bench --bench pipeline                        # everything, about ten minutes
//! cargo bench --bench pipeline -- --only sqlite/empty # one measurement
//! cargo bench --bench pipeline -- --before 100000     # a smaller store before
//! ```
//!
//! Standard output is a Markdown table; progress goes to standard error.

mod fill;
mod limits;
mod measure;
mod process;
mod report;
mod world;

/// The servers that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/redis.rs"]
mod redis;

use anyhow::Context;
use clap::Parser;
use fill::Before;
use measure::{Engines, Measurement};
use world::World;

/// Measures the whole pipeline.
#[derive(Parser)]
struct Arguments {
    /// Submissions in the first windows, about
    #[arg(long, default_value_t = 90_000)]
    live: u32,
    /// Submissions stored or waiting beforehand, about
    #[arg(long, default_value_t = 1_000_000)]
    before: u32,
    /// Only measurements whose name (such as postgres/waiting) contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Times each is measured; the middle one is shown
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let world = World::start(arguments.live, arguments.before)
        .await
        .context("the simulated Reddit")?;
    let mut measurements: Vec<Measurement> = Vec::new();
    let mut limits = Vec::new();
    for engines in [Engines::Sqlite, Engines::Postgres] {
        for before in Before::ALL {
            let name = format!("{engines}/{before}");
            if !name.contains(&arguments.only) {
                continue;
            }
            let mut runs = Vec::new();
            for _ in 0..arguments.times.max(1) {
                let (run, limit) = measure::measure(&world, engines, before)
                    .await
                    .with_context(|| name.clone())?;
                eprintln!("{name}: {run}");
                runs.push(run);
                limits.extend(limit);
            }
            runs.sort_by(|left, right| left.rate().total_cmp(&right.rate()));
            measurements.push(runs.swap_remove(runs.len() / 2));
        }
    }
    limits.push(limits::simulated_reddit(&world).await?);
    report::print(&measurements, &limits);
    Ok(())
}
