//! `freshet demo`: the pipeline against a simulated Reddit of its own.

mod ending;
mod screen;
mod terminal;
mod view;

use super::Usage;
use crate::app::{self, Plan, Role, Running};
use crate::config::{Config, Key, RedditClient};
use crate::observe::RecentLines;
use crate::simulator::{Oddities, Simulator, SimulatorOptions};
use crate::submission::{HEARTBEAT_SUBREDDIT, SubredditName};
use anyhow::{Context, bail};
use secrecy::SecretString;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// The demo keeps its made-up submissions apart from real ones.
const DATABASE: &str = app::DEMO_DATABASE;

/// A more generous Reddit than the real one and closer looks at it, so that nobody waits a minute
/// for something to happen.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("reddit.requests_per_minute", "600"),
    ("discover.interval", "10s"),
    ("discover.first_window", "8h"),
    ("discover.sweep_interval", "2m"),
    ("monitoring.summary_every", "10s"),
];

/// A key's default in a demo; none where it has no effect there, because nothing leaves this machine.
pub(super) fn default_of(key: &Key) -> Option<Option<&'static str>> {
    let simulated = key.name.starts_with("arctic_shift.url")
        || [
            "reddit.client",
            "reddit.password",
            "reddit.api",
            "reddit.auth",
        ]
        .iter()
        .any(|it| key.name.starts_with(it));
    let own = DEFAULTS.iter().find(|(name, _)| *name == key.name);
    match (key.name, own) {
        _ if simulated => None,
        ("database.url", _) => Some(Some("sqlite://freshet-demo.db")),
        ("queue.url", _) => Some(Some("memory")),
        (_, Some((_, default))) => Some(Some(default)),
        _ => Some(key.default),
    }
}

/// Some past, so that there is something to see at once: enough that the busiest subreddit has more
/// than a listing shows, which makes a gap.
const HISTORY: Duration = Duration::from_secs(8 * 3600);

/// How often the demo posts in [`HEARTBEAT_SUBREDDIT`].
const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);

/// Log lines that stay on the terminal after the live view.
const LINES_LEFT: usize = 4;

/// The world to make up.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    pub(super) subreddits: u32,
    pub(super) per_hour: f64,
    pub(super) seed: u64,
}

/// Runs until stopped. `chosen` tells which keys were given as flags; the demo has its own defaults
/// for the rest.
pub(super) async fn run(
    mut config: Config,
    world: World,
    lines: Option<RecentLines>,
    chosen: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let per_subreddit = world.per_hour / f64::from(world.subreddits);
    if !(per_subreddit.is_finite() && per_subreddit >= 0.0) {
        return Err(Usage("--per-hour: must be a number, and not below 0".to_owned()).into());
    }
    // Held to the end.
    let _claim = if chosen("database.url") {
        None
    } else {
        Some(claim_folder()?)
    };
    if !chosen("database.url") {
        config.database.url = start_afresh(DATABASE)?.into();
    }
    if !chosen("queue.url") {
        config.queue.url = "memory".to_owned().into();
    }
    let simulator = Simulator::start(SimulatorOptions {
        oddities: Oddities::realistic(),
        history: HISTORY,
        heartbeat: Some((HEARTBEAT_SUBREDDIT.parse()?, HEARTBEAT_EVERY)),
        requests_per_minute: Some(config.reddit.requests_per_minute.get()),
        ..SimulatorOptions::world(world.seed, world.subreddits as usize, per_subreddit)
    })
    .await
    .context("the simulated Reddit cannot be started")?;
    let url = simulator
        .url()
        .parse()
        .context("the simulated Reddit has no address")?;
    config.reddit.auth_url = Clone::clone(&url);
    // The real one has nothing of it, and nothing is to leave this machine.
    config.arctic_shift.url = Clone::clone(&url);
    config.reddit.api_url = url;
    config.reddit.login = None;
    config.reddit.client = Some(RedditClient {
        id: "demo".to_owned(),
        secret: "made up".into(),
    });
    app::warn_of_simulation(
        "SIMULATED: this demo shows made-up submissions of a simulated Reddit; nothing leaves this machine",
    );
    if lines.is_some() {
        // The live view shows the same numbers, and more of them.
        config.monitoring.summary_every = Duration::ZERO;
    }
    let own = (!chosen("database.url")).then_some(DATABASE);
    let database = config.database.clone();
    let subreddits: Vec<SubredditName> = simulator.control().subreddits();
    let plan = Plan {
        config,
        roles: Role::ALL.to_vec(),
        subreddits,
    };
    let Some(lines) = lines else {
        let ended = app::run(plan, None).await;
        ending::describe(&database, own).await;
        return ended;
    };
    let (started, running) = oneshot::channel::<Running>();
    let pipeline = app::run(plan, Some(started));
    tokio::pin!(pipeline);
    let running = tokio::select! {
        ended = &mut pipeline => return ended,
        running = running => running.context("the pipeline did not start")?,
    };
    let mut shown = Box::pin(view::show(&running, &lines, own));
    let ended = tokio::select! {
        ended = &mut pipeline => ended,
        shown = &mut shown => match shown {
            Err(error) if error.is::<view::Insisted>() => Err(error),
            // A demo that nobody sees shows nothing.
            shown => {
                running.stop.cancel();
                pipeline.await.and(shown)
            }
        },
    };
    // Gives the terminal back.
    drop(shown);
    for line in lines.last(LINES_LEFT) {
        eprintln!("{line}");
    }
    ending::describe(&database, own).await;
    ended
}

/// Keeps a second demo from removing the files of one that runs: the lock goes with the process.
fn claim_folder() -> anyhow::Result<File> {
    let folder = File::open(".").context("the current folder cannot be opened")?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => bail!(
            "another demo runs in this folder and uses {DATABASE}; stop it, or start this one in \
             another folder"
        ),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "The folder cannot be locked against a second demo");
            Ok(folder)
        }
    }
}

/// A database of this demo alone: what an earlier one left is made up, and of another world.
fn start_afresh(file: &str) -> anyhow::Result<SecretString> {
    for ending in ["", "-wal", "-shm"] {
        let path = format!("{file}{ending}");
        if Path::new(&path).exists() {
            std::fs::remove_file(&path)
                .with_context(|| format!("{path} of an earlier demo cannot be removed"))?;
        }
    }
    Ok(SecretString::from(format!("sqlite://{file}")))
}
