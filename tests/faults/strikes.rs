//! How each fault is brought about, and taken back.

pub mod clock;
mod commits;
pub mod disk;
pub mod evidence;
mod failover;
mod jobs;
mod lies;
mod log;
mod processes;

use crate::cells::Strike;
use crate::course::{Length, until};
use crate::site::Site;
use evidence::Eve;
use freshet::simulator::{Command, Endpoint, Fault};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

/// How long the faults last that last at all, seconds: in short runs and in long ones.
const RESTART: (u64, u64) = (2, 5);
const FROZEN_SERVER: (u64, u64) = (8, 20);
const CUT: (u64, u64) = (6, 30);
const UNREACHABLE: (u64, u64) = (3, 15);
/// In long runs longer than a request waits for its answer.
const SILENT: (u64, u64) = (4, 35);
const REFUSING: (u64, u64) = (4, 15);
const NO_WRITES: (u64, u64) = (4, 30);
const REDDIT_FAULTY: (u64, u64) = (10, 60);

/// For how long an answer can be waited for.
const PROBE: Duration = Duration::from_secs(2);

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
    pub async fn strike(self, site: &mut Site, eve: &Eve) {
        let length = site.run.length;
        match self {
            Strike::Nothing => {}
            Strike::OneKilled(role) => processes::one_killed(site, role).await,
            Strike::AllKilled(role) => processes::all_killed(site, role).await,
            Strike::Frozen(role, seconds) => processes::frozen(site, role, seconds).await,
            Strike::FrozenCommitting(role, seconds) => {
                commits::frozen(site, role, seconds).await;
            }
            Strike::OneCut(role) => {
                let places = site.with_role(role);
                // Not always the one that feeds the queue.
                let place = usize::try_from(site.run.seed).unwrap() % places.len();
                cut(site, &places[place..=place], Cut::REDIS).await;
            }
            Strike::Terminated => processes::terminated(site).await,
            Strike::RollingRestart => processes::rolling_restart(site).await,
            Strike::KillingJob => jobs::killing(site).await,
            Strike::PanickingJob => jobs::panicking(site).await,
            Strike::PoisonedId => jobs::poisoned(site).await,
            Strike::LogSinkGone => log::gone(site).await,
            Strike::LyingClock => lies::clock(site, eve).await,
            Strike::LyingArchive => lies::archive(site, eve).await,
            Strike::ClockStepped(seconds) => clock::step(site.folder.path(), seconds),
            Strike::DiskFull => disk::full(site, eve).await,
            Strike::RedisKilled => {
                block_in_place(|| site.servers().redis.kill());
                assert!(!redis_answers(site).await, "Redis is still there");
                length.last(RESTART).await;
                block_in_place(|| site.servers().redis.restart());
            }
            Strike::RedisForgets => {
                let folder = redis_folder(site);
                block_in_place(|| site.servers().redis.kill());
                std::fs::remove_dir_all(folder.join("appendonlydir")).unwrap();
                length.last(RESTART).await;
                block_in_place(|| site.servers().redis.restart());
            }
            Strike::RedisWiped => {
                let mut connection = redis_connection(site);
                let keys: usize = redis::cmd("DBSIZE").query(&mut connection).unwrap();
                assert!(keys > 0, "Redis held nothing");
                redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
            }
            Strike::RedisFrozen => {
                site.servers().redis.freeze();
                assert!(!redis_answers(site).await, "Redis still answers");
                length.last(FROZEN_SERVER).await;
                site.servers().redis.thaw();
            }
            Strike::PostgresKilled => {
                block_in_place(|| site.servers().postgres.kill());
                assert!(!postgres_answers(site).await, "Postgres is still there");
                length.last(RESTART).await;
                block_in_place(|| site.servers().postgres.restart());
            }
            Strike::PostgresFrozen => {
                site.servers().postgres.freeze();
                assert!(!postgres_answers(site).await, "Postgres still answers");
                length.last(FROZEN_SERVER).await;
                site.servers().postgres.thaw();
            }
            Strike::RedisCut => cut_all(site, Cut::REDIS).await,
            Strike::PostgresCut => cut_all(site, Cut::POSTGRES).await,
            Strike::RedisFailsOver => failover::redis(site).await,
            Strike::RedisFull => failover::redis_full(site).await,
            Strike::PostgresFailsOver => failover::postgres(site).await,
            Strike::PostgresReadOnly => failover::postgres_read_only(site).await,
            Strike::BothCut => cut_all(site, Cut::BOTH).await,
            Strike::RedditDown => reddit_down(site, eve).await,
            Strike::RedditFaulty => {
                let chance = BROKEN;
                site.reddit.tell(&Command::FaultChance { chance }).await;
                if length == Length::Long {
                    silent_answers(site).await;
                }
                length.last(REDDIT_FAULTY).await;
                eve.until_broken(site).await;
                let chance = 0.0;
                site.reddit.tell(&Command::FaultChance { chance }).await;
            }
            Strike::TokenRevoked => {
                site.reddit.tell(&Command::RevokeTokens).await;
            }
        }
    }
}

/// Which servers are cut off.
#[derive(Clone, Copy)]
struct Cut {
    redis: bool,
    postgres: bool,
}

impl Cut {
    const REDIS: Cut = Cut {
        redis: true,
        postgres: false,
    };
    const POSTGRES: Cut = Cut {
        redis: false,
        postgres: true,
    };
    const BOTH: Cut = Cut {
        redis: true,
        postgres: true,
    };
}

async fn cut_all(site: &mut Site, what: Cut) {
    let places: Vec<usize> = (0..site.members.len()).collect();
    cut(site, &places, what).await;
}

/// The connections of these processes end, and new ones are refused.
async fn cut(site: &mut Site, places: &[usize], what: Cut) {
    for place in places {
        let ways = site.members[*place].servers.as_ref().unwrap();
        for (wanted, way) in [(what.redis, &ways.redis), (what.postgres, &ways.postgres)] {
            if wanted {
                assert!(way.close() > 0, "there was no connection to cut");
                until("connections are refused", PROBE, async || {
                    TcpStream::connect(way.address()).await.is_err()
                })
                .await;
            }
        }
    }
    site.run.length.last(CUT).await;
    for place in places {
        let ways = site.members[*place].servers.as_mut().unwrap();
        for (wanted, way) in [
            (what.redis, &mut ways.redis),
            (what.postgres, &mut ways.postgres),
        ] {
            if wanted {
                way.open();
            }
        }
    }
}

pub fn redis_connection(site: &mut Site) -> redis::Connection {
    let url = site.servers().redis.url();
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

fn redis_folder(site: &mut Site) -> PathBuf {
    let mut connection = redis_connection(site);
    let mut command = redis::cmd("CONFIG");
    let answer: Vec<String> = command
        .arg("GET")
        .arg("dir")
        .query(&mut connection)
        .unwrap();
    PathBuf::from(&answer[1])
}

async fn redis_answers(site: &mut Site) -> bool {
    let client = redis::Client::open(site.servers().redis.url()).unwrap();
    let ask = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").exec_async(&mut connection).await
    };
    timeout(PROBE, ask).await.is_ok_and(|answer| answer.is_ok())
}

async fn postgres_answers(site: &Site) -> bool {
    let look = site.database.number("SELECT CAST(1 AS bigint)");
    timeout(PROBE, look).await.is_ok_and(|it| it.is_some())
}

/// Some answers that come later than anybody waits for them.
async fn silent_answers(site: &Site) {
    for endpoint in [Endpoint::Listing, Endpoint::Info] {
        let command = Command::FailNext {
            count: 2,
            fault: Fault::Slow { delay_ms: 40_000 },
            endpoint: Some(endpoint),
        };
        site.reddit.tell(&command).await;
    }
}

/// Unreachable for a while, silent for another, then an error to everything.
async fn reddit_down(site: &mut Site, eve: &Eve) {
    let length = site.run.length;
    let cut: usize = site.members.iter().map(|it| it.reddit.close()).sum();
    assert!(cut > 0, "there was no connection to cut");
    length.last(UNREACHABLE).await;
    let silence = Fault::Slow { delay_ms: 600_000 };
    let refusal = Fault::ErrorPage { status: 503 };
    for (fault, seconds) in [(silence, SILENT), (refusal, REFUSING)] {
        let fault = Some(fault);
        site.reddit.tell(&Command::Outage { fault }).await;
        reconnect(site);
        length.last(seconds).await;
        // Whoever waits after a failure is to meet this one too.
        if fault == Some(silence) {
            evidence::until_silent(site).await;
        } else {
            eve.until_refused(site).await;
        }
    }
    site.reddit.tell(&Command::Outage { fault: None }).await;
    reconnect(site);
}

fn reconnect(site: &mut Site) {
    for member in &mut site.members {
        member.reddit.close();
        member.reddit.open();
    }
}
