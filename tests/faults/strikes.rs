//! How each fault is brought about, and taken back.

pub mod clock;
pub mod disk;
mod jobs;
mod processes;

use crate::cells::Strike;
use crate::course::Length;
use crate::site::Site;
use freshet::simulator::{Command, Fault};
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::sleep;

/// How long the faults last that last at all, seconds: in short runs and in long ones.
const RESTART: (u64, u64) = (2, 5);
const FROZEN_SERVER: (u64, u64) = (8, 20);
const CUT: (u64, u64) = (6, 30);
const REDDIT_DOWN: (u64, u64) = (9, 60);
const REDDIT_FAULTY: (u64, u64) = (10, 60);

/// The part of all answers that is broken, where they are.
const BROKEN: f64 = 0.2;

impl Length {
    /// Lets a fault last. Nothing can be waited for: the length is the fault.
    pub async fn last(self, (short, long): (u64, u64)) {
        let seconds = match self {
            Length::Short => short,
            Length::Long => long,
        };
        sleep(Duration::from_secs(seconds)).await;
    }
}

impl Strike {
    /// Returns when the fault is over.
    pub async fn strike(self, site: &mut Site) {
        let length = site.run.length;
        match self {
            Strike::Nothing => {}
            Strike::OneKilled(role) => processes::one_killed(site, role).await,
            Strike::AllKilled(role) => processes::all_killed(site, role).await,
            Strike::Frozen(role) => processes::frozen(site, role).await,
            Strike::Terminated => processes::terminated(site).await,
            Strike::RollingRestart => processes::rolling_restart(site).await,
            Strike::KillingJob => jobs::killing(site).await,
            Strike::PanickingJob => jobs::panicking(site).await,
            Strike::ClockStepped(seconds) => clock::step(site.folder.path(), seconds),
            Strike::DiskFull => disk::full(site).await,
            Strike::RedisKilled => {
                block_in_place(|| site.servers().redis.kill());
                length.last(RESTART).await;
                block_in_place(|| site.servers().redis.restart());
            }
            Strike::RedisWiped => {
                let url = site.servers().redis.url();
                let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
                redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
            }
            Strike::RedisFrozen => {
                site.servers().redis.freeze();
                length.last(FROZEN_SERVER).await;
                site.servers().redis.thaw();
            }
            Strike::RedisCut => {
                site.servers().redis_proxy.close();
                length.last(CUT).await;
                site.servers().redis_proxy.open();
            }
            Strike::PostgresKilled => {
                block_in_place(|| site.servers().postgres.kill());
                length.last(RESTART).await;
                block_in_place(|| site.servers().postgres.restart());
            }
            Strike::PostgresFrozen => {
                site.servers().postgres.freeze();
                length.last(FROZEN_SERVER).await;
                site.servers().postgres.thaw();
            }
            Strike::PostgresCut => {
                site.servers().postgres_proxy.close();
                length.last(CUT).await;
                site.servers().postgres_proxy.open();
            }
            Strike::RedditDown => reddit_down(site).await,
            Strike::RedditFaulty => {
                let chance = BROKEN;
                site.reddit.tell(&Command::FaultChance { chance }).await;
                length.last(REDDIT_FAULTY).await;
                let chance = 0.0;
                site.reddit.tell(&Command::FaultChance { chance }).await;
            }
            Strike::TokenRevoked => {
                site.reddit.tell(&Command::RevokeTokens).await;
            }
        }
    }
}

/// Unreachable for a third of the time, silent for another, then an error to everything.
async fn reddit_down(site: &mut Site) {
    let third = (REDDIT_DOWN.0 / 3, REDDIT_DOWN.1 / 3);
    for member in &site.members {
        member.reddit.close();
    }
    site.run.length.last(third).await;
    for fault in [
        Fault::Slow { delay_ms: 600_000 },
        Fault::ErrorPage { status: 503 },
    ] {
        let fault = Some(fault);
        site.reddit.tell(&Command::Outage { fault }).await;
        for member in &mut site.members {
            member.reddit.close();
            member.reddit.open();
        }
        site.run.length.last(third).await;
    }
    site.reddit.tell(&Command::Outage { fault: None }).await;
    for member in &mut site.members {
        member.reddit.close();
        member.reddit.open();
    }
}
