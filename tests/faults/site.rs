//! All that one run stands on: servers, simulated Reddit, the ways to them, and the processes.

use crate::cells::{Engines, Strike};
use crate::course::Run;
use crate::database::Database;
use crate::member::Member;
use crate::panicking;
use crate::proxy::Proxy;
use crate::reddit::Reddit;
use crate::strikes::{clock, disk};
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use std::path::Path;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Somewhat more than the load asks for in its busiest minute, about 220: nothing waits for long, and processes
/// that forget what they have spent exceed it.
pub const REQUESTS_PER_MINUTE: u32 = 300;
/// Where a job kills its process: whatever was in flight with it is then fetched alone, one request
/// each.
const REQUESTS_PER_MINUTE_ALONE: u32 = 600;
/// How far back the first windows reach: no listing is longer than its cap in this time.
pub const FIRST_WINDOW: &str = "10m";

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
}

pub struct Servers {
    pub redis: RedisServer,
    pub redis_proxy: Proxy,
    pub postgres: PostgresServer,
    pub postgres_proxy: Proxy,
}

impl Servers {
    fn start() -> Servers {
        let redis = RedisServer::start();
        // Durable as by default: what was committed outlives the kill of all its processes.
        let postgres = PostgresServer::start_with("-c max_connections=200");
        let address = |url: &str| {
            let url: reqwest::Url = url.parse().unwrap();
            format!("127.0.0.1:{}", url.port().unwrap())
                .parse()
                .unwrap()
        };
        Servers {
            redis_proxy: Proxy::start(address(&redis.url())),
            postgres_proxy: Proxy::start(address(&postgres.url("postgres"))),
            redis,
            postgres,
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
        let (servers, database_url, queue_url) = match run.engines {
            Engines::Servers => {
                let servers = block_in_place(Servers::start);
                let port = |proxy: &Proxy| proxy.address().port();
                let database = format!(
                    "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable",
                    port(&servers.postgres_proxy)
                );
                let queue = format!("redis://127.0.0.1:{}/", port(&servers.redis_proxy));
                (Some(servers), database, queue)
            }
            Engines::Files => {
                let disk = disk::mounted().unwrap_or(folder.path());
                let file = |name: &str| format!("sqlite://{}", disk.join(name).display());
                (None, file("store.db"), file("queue.db"))
            }
        };
        let roles: &[&str] = match run.engines {
            Engines::Servers => &["scheduler", "scheduler", "worker", "worker", "worker"],
            Engines::Files => &["all"],
        };
        let environment = match run.cell.strike {
            Strike::ClockStepped(_) => clock::environment(folder.path()),
            _ => Vec::new(),
        };
        let mut members = Vec::new();
        for role in roles {
            let proxy = Proxy::start(reddit.address());
            let url = format!("http://{}", proxy.address());
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
            members.push(Member::new(
                role,
                proxy,
                command,
                environment.clone(),
                !panics,
            ));
        }
        for member in &mut members {
            member.start();
        }
        for member in &mut members {
            member.running().await;
        }
        let database = match &servers {
            Some(servers) => Database::Postgres(servers.postgres.url("postgres")),
            None => Database::Sqlite(database_url),
        };
        database.watch().await;
        Site {
            run,
            reddit,
            database,
            members,
            servers,
            folder,
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

    /// Waits until one with this role asks Reddit for what it is there for; its place. What holds
    /// the work is then under way.
    pub async fn next_to_ask(&self, role: &str) -> usize {
        let words = if role == "worker" {
            "/api/info"
        } else {
            "/new"
        };
        let hearing = self.with_role(role).into_iter().map(|place| {
            let mut heard = self.members[place].reddit.listen_for(words, false);
            Box::pin(async move {
                heard.changed().await.unwrap();
                place
            })
        });
        let (place, ..) = futures::future::select_all(hearing).await;
        place
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
    let options: [(&str, &str); 11] = [
        ("--log-format", "json"),
        ("--database-url", database),
        ("--queue-url", queue),
        ("--http-listen", "127.0.0.1:0"),
        ("--reddit-api-url", reddit),
        ("--reddit-auth-url", reddit),
        ("--reddit-client-id", "faults"),
        ("--reddit-client-secret", "secret"),
        ("--discover-interval", "2s"),
        ("--discover-first-window", FIRST_WINDOW),
        ("--discover-overlap", "1m"),
    ];
    for (name, value) in options {
        command.extend([name.to_owned(), value.to_owned()]);
    }
    command
}
