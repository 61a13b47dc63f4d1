//! All that one run stands on: servers, simulated Reddit, the ways to them, and the processes.

use crate::cells::{Engines, Strike};
use crate::course::Run;
use crate::database::Database;
use crate::member::{Member, Ways};
use crate::panicking;
use crate::proxy::{Hearing, Proxy};
use crate::reddit::Reddit;
use crate::strikes::{clock, disk};
use crate::support::postgres::PostgresServer;
use crate::support::redis::{RedisServer, free_port};
use std::path::Path;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Less than the load would ask for in a busy minute, about 260, and more than the polls alone, about
/// 160: processes that do not share it, or forget what they have spent, exceed it. What is left beside the
/// polls, 70, fetches the 2,000 submissions that wait at a strike in less than 20 s: how soon all is
/// normal is then up to the fault and not to the budget.
pub const REQUESTS_PER_MINUTE: u32 = 230;
/// Where a job kills its process: whatever was in flight with it is then fetched alone, one request
/// each.
const REQUESTS_PER_MINUTE_ALONE: u32 = 600;
/// How far back the first windows reach: no listing is longer than its cap in this time.
pub const FIRST_WINDOW: &str = "10m";
pub const FIRST_WINDOW_SECONDS: i64 = 600;

/// The submission that is the fault, where a job is.
pub const POISON: &str = "poison";

pub struct Site {
    pub run: Run,
    pub reddit: Reddit,
    pub database: Database,
    pub members: Vec<Member>,
    /// Those of the engines; none where they are files.
    pub servers: Option<Servers>,
    pub folder: TempDir,
    /// When freshet was first started, by Reddit's time, seconds.
    pub began: i64,
}

pub struct Servers {
    pub redis: RedisServer,
    pub postgres: PostgresServer,
    /// Those that others took over from: they still hold connections.
    pub retired_redis: Option<RedisServer>,
    pub retired_postgres: Option<PostgresServer>,
}

impl Servers {
    fn start() -> Servers {
        let redis = RedisServer::start();
        // Durable as by default: what was committed outlives the kill of all its processes.
        let postgres = PostgresServer::start_with("-c max_connections=200");
        Servers {
            redis,
            postgres,
            retired_redis: None,
            retired_postgres: None,
        }
    }

    /// For one process.
    fn ways(&self) -> Ways {
        let address = |url: &str| {
            let url: reqwest::Url = url.parse().unwrap();
            format!("127.0.0.1:{}", url.port().unwrap())
                .parse()
                .unwrap()
        };
        Ways {
            redis: Proxy::start(address(&self.redis.url())),
            postgres: Proxy::start(address(&self.postgres.url("postgres"))),
        }
    }
}

impl Run {
    pub fn requests_per_minute(&self) -> u32 {
        match self.cell.strike {
            Strike::KillingJob => REQUESTS_PER_MINUTE_ALONE,
            _ => REQUESTS_PER_MINUTE,
        }
    }
}

impl Site {
    /// Everything is started and runs.
    pub async fn start(run: Run) -> Site {
        let folder = TempDir::new().unwrap();
        let reddit = Reddit::start(run.seed, run.requests_per_minute()).await;
        let servers = match run.engines {
            Engines::Servers => Some(block_in_place(Servers::start)),
            Engines::Files => None,
        };
        let disk = disk::mounted().unwrap_or(folder.path());
        let file = |name: &str| format!("sqlite://{}", disk.join(name).display());
        let roles: &[&str] = match run.engines {
            Engines::Servers => &["scheduler", "scheduler", "worker", "worker", "worker"],
            Engines::Files => &["all"],
        };
        let environment = match run.cell.strike {
            Strike::ClockStepped(_) => clock::environment(folder.path()),
            _ => Vec::new(),
        };
        let began = reddit.now_ms().await / 1000;
        let mut members = Vec::new();
        for role in roles {
            let proxy = Proxy::start(reddit.address());
            let url = format!("http://{}", proxy.address());
            let ways = servers.as_ref().map(Servers::ways);
            let (database_url, queue_url) = match &ways {
                Some(Ways { redis, postgres }) => (
                    format!(
                        "postgres://postgres@{}/postgres?sslmode=disable",
                        postgres.address()
                    ),
                    format!("redis://{}/", redis.address()),
                ),
                None => (file("store.db"), "memory".to_owned()),
            };
            let panics = run.cell.strike == Strike::PanickingJob && *role == "worker";
            let command = if panics {
                panicking::command(&database_url, &queue_url, &url)
            } else {
                let mut command =
                    command(role, &database_url, &queue_url, &url, &reddit.subreddits);
                command.push("--reddit-requests-per-minute".to_owned());
                command.push(run.requests_per_minute().to_string());
                command
            };
            let environment = environment.clone();
            let mut member = Member::new(role, proxy, ways, command, environment, !panics);
            if run.cell.strike == Strike::LogSinkGone {
                member = member.with_sink(free_port());
            }
            members.push(member);
        }
        for member in &mut members {
            member.start();
        }
        for member in &mut members {
            member.running().await;
        }
        let database = match &servers {
            Some(servers) => Database::Postgres(servers.postgres.url("postgres")),
            None => Database::Sqlite(file("store.db")),
        };
        database.watch().await;
        Site {
            run,
            reddit,
            database,
            members,
            servers,
            folder,
            began,
        }
    }

    /// Keeps what the processes said, for whoever looks for the cause of a broken run.
    pub fn keep_logs(&self) {
        let name = format!("{} {}", self.run.name(), self.run.seed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("faults")
            .join(name);
        let _ = std::fs::create_dir_all(&folder);
        for (place, member) in self.members.iter().enumerate() {
            let file = folder.join(format!("{place}-{}.log", member.role));
            let _ = std::fs::write(file, member.log());
        }
        eprintln!("The logs are in {}", folder.display());
    }

    /// As seen past the ways of the processes.
    pub fn queue_url(&self) -> String {
        match &self.servers {
            Some(servers) => servers.redis.url(),
            None => "memory".to_owned(),
        }
    }

    pub fn servers(&mut self) -> &mut Servers {
        self.servers.as_mut().unwrap()
    }

    /// The places of those with this role.
    pub fn with_role(&self, role: &str) -> Vec<usize> {
        let places = 0..self.members.len();
        places
            .filter(|place| self.members[*place].role == role)
            .collect()
    }

    /// Waits until one with this role asks Reddit for what it is there for; its place. It holds work
    /// then, and its request goes on when it is released.
    pub async fn next_to_ask(&self, role: &str) -> (usize, Hearing) {
        let words = if role == "worker" {
            "/api/info"
        } else {
            "/new"
        };
        let hearing = self.with_role(role).into_iter().map(|place| {
            let mut hearing = self.members[place].reddit.listen_for(words);
            Box::pin(async move {
                hearing.heard.changed().await.unwrap();
                (place, hearing)
            })
        });
        // The others' requests go on as their hearings are dropped.
        futures::future::select_all(hearing).await.0
    }

    /// Whether every process says that it is ready.
    pub async fn is_ready(&mut self) -> bool {
        for member in &mut self.members {
            if !member.is_ready().await {
                return false;
            }
        }
        true
    }
}

/// A freshet of this role.
fn command(
    role: &str,
    database: &str,
    queue: &str,
    reddit: &str,
    subreddits: &[String],
) -> Vec<String> {
    let mut command = vec![env!("CARGO_BIN_EXE_freshet").to_owned(), "run".to_owned()];
    if role != "worker" {
        command.extend(subreddits.iter().cloned());
    }
    if role != "all" {
        command.extend(["--role".to_owned(), role.to_owned()]);
    }
    let options: [(&str, &str); 13] = [
        ("--log-format", "json"),
        ("--database-url", database),
        ("--queue-url", queue),
        ("--http-listen", "127.0.0.1:0"),
        ("--reddit-api-url", reddit),
        ("--reddit-auth-url", reddit),
        ("--arctic-shift-url", reddit),
        ("--arctic-shift-requests-per-minute", "600"),
        ("--reddit-client-id", "faults"),
        ("--reddit-client-secret", "secret"),
        ("--discover-interval", "3s"),
        ("--discover-first-window", FIRST_WINDOW),
        ("--discover-overlap", "1m"),
    ];
    for (name, value) in options {
        command.extend([name.to_owned(), value.to_owned()]);
    }
    command
}
