//! The configuration: flags over environment over file over defaults, parsed once.
//!
//! Owns every key (see [`KEYS`]), where its value came from, and what is wrong with it. The only
//! module that reads the environment. A [`Config`] is whole and valid, or there is none.

mod keys;
mod layers;
mod values;

pub use crate::network::display as display_url;
pub use keys::{KEYS, Key};
pub use layers::{Inputs, Origin, edit_distance};

use crate::network::{Address, Network, Secret, is_in_memory, is_redis};
use layers::Settings;
use secrecy::ExposeSecret;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// What is wrong with the configuration, and where. Ends the process with status 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that does not exist.
    #[error("unknown key {key} in {origin}{hint}")]
    Unknown {
        /// As it was written.
        key: String,
        /// Where.
        origin: Origin,
        /// ` (did you mean …?)` or nothing.
        hint: String,
    },
    /// A value that its key cannot have.
    #[error("{key}: {problem} (from {origin})")]
    Invalid {
        /// Section and key.
        key: &'static str,
        /// What is wrong; never the value of a secret.
        problem: String,
        /// Where.
        origin: Origin,
    },
    /// A value that only shows when it is used that its key cannot have it.
    #[error("{key}: {problem}")]
    Unusable {
        /// Section and key.
        key: &'static str,
        /// What is wrong; never the value of a secret.
        problem: String,
    },
    /// Keys that only make sense together.
    #[error("{key} is set, but {missing} is not: {why}")]
    Incomplete {
        /// The one that is there.
        key: &'static str,
        /// The one that is not.
        missing: &'static str,
        /// What needs both.
        why: &'static str,
    },
    /// Several of these; a line each.
    #[error("the configuration has {} mistakes:{}", .0.len(), lines(.0))]
    Several(Vec<ConfigError>),
    /// A file that cannot be read or is no TOML.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl ConfigError {
    /// The key whose value is at fault, where that can be left out to see what else is wrong.
    fn key(&self) -> Option<&'static str> {
        match self {
            ConfigError::Invalid { key, .. } | ConfigError::Incomplete { key, .. } => Some(key),
            ConfigError::Unknown { .. }
            | ConfigError::Unusable { .. }
            | ConfigError::Several(_)
            | ConfigError::File { .. } => None,
        }
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where submissions are stored.
    pub database: DatabaseConfig,
    /// What carries the jobs.
    pub queue: QueueConfig,
    /// The HTTP server of every role.
    pub http: HttpConfig,
    /// Reddit's API.
    pub reddit: RedditConfig,
    /// The archive's API.
    pub arctic_shift: ArcticShiftConfig,
    /// Finding submissions.
    pub discover: DiscoverConfig,
    /// Fetching submissions.
    pub fetch: FetchConfig,
    /// Getting on with the work.
    pub liveness: LivenessConfig,
    /// Being watched.
    pub monitoring: MonitoringConfig,
    /// Stopping.
    pub shutdown: ShutdownConfig,
    /// The proxy, and whose certificates are believed.
    pub network: Network,
}

/// `database.…`
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `sqlite://…` or `postgres://…`; may hold a password.
    pub url: Secret,
}

/// `queue.…`
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// `sqlite://…`, `redis://…`, `rediss://…` or `redis+unix:///…`; may hold a password.
    pub url: Secret,
    /// Jobs waiting in the queue at most; the rest waits in the database.
    pub max_waiting: u32,
}

/// `http.…`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names by which it may be addressed, in lower case; `*` for any.
    pub allowed_hosts: Vec<String>,
}

/// `reddit.…`
#[derive(Debug, Clone)]
pub struct RedditConfig {
    /// The application's credentials; without them there is nothing to run against.
    pub client: Option<RedditClient>,
    /// The account of a script application.
    pub login: Option<RedditLogin>,
    /// What every request says of itself.
    pub user_agent: String,
    /// The API.
    pub api_url: Url,
    /// The token endpoint is below it.
    pub auth_url: Url,
    /// One budget for all processes together.
    pub requests_per_minute: NonZeroU32,
}

/// `reddit.client_id` and `reddit.client_secret`.
#[derive(Debug, Clone)]
pub struct RedditClient {
    /// Public half.
    pub id: String,
    /// Secret half; empty for installed applications.
    pub secret: Secret,
}

/// `reddit.username` and `reddit.password`.
#[derive(Debug, Clone)]
pub struct RedditLogin {
    /// Account name, without `u/`.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// `arctic_shift.…`
#[derive(Debug, Clone)]
pub struct ArcticShiftConfig {
    /// The archive's API.
    pub url: Url,
    /// A budget of its own.
    pub requests_per_minute: NonZeroU32,
}

/// `discover.…`
#[derive(Debug, Clone)]
pub struct DiscoverConfig {
    /// The longest that a subreddit goes unpolled, while the budget allows.
    pub interval: Duration,
    /// The shortest time between two polls of one subreddit.
    pub fastest: Duration,
    /// Names in one listing request at most.
    pub names_per_listing: usize,
    /// Between two proofs that nothing of a subreddit was missed: `interval`, or longer where the budget
    /// takes longer for one round of them.
    pub proof_period: Duration,
    /// How far the first poll of a new subreddit looks back.
    pub first_window: Duration,
    /// How far each window reaches back into the last.
    pub overlap: Duration,
    /// Between two walks of a subreddit's whole listing; zero for none.
    pub sweep_interval: Duration,
    /// Whether submissions are found by their ids too.
    pub id_scan: IdScan,
    /// What is stored of that.
    pub scope: Scope,
    /// Whether gaps that no listing reaches are sent to the archive.
    pub repair_from_archive: bool,
    /// Listings walked at the same time. All wait for the same budget: more hold more memory and
    /// end later, fewer stand still when one answer is slow.
    pub concurrency: usize,
}

/// Whether submissions are found by their ids, beside the listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdScan {
    /// Where that buys more than listings do.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Whose submissions are stored of those that are found by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of watched subreddits.
    Watched,
    /// All of them.
    All,
}

/// `fetch.…`
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// Jobs in flight in one worker process.
    pub concurrency: usize,
}

/// `liveness.…`
#[derive(Debug, Clone)]
pub struct LivenessConfig {
    /// How long a part may make no progress before the process is not ready.
    pub unready_after: Duration,
    /// How long before it ends; longer than that.
    pub exit_after: Duration,
}

/// `monitoring.…`
#[derive(Debug, Clone)]
pub struct MonitoringConfig {
    /// Where Grafana shows its dashboards.
    pub dashboards_url: Option<Url>,
    /// Folders whose free space is measured, beside those of SQLite files.
    pub folders: Vec<PathBuf>,
    /// How often the log sums up what the process did; zero for never.
    pub summary_every: Duration,
}

/// `shutdown.…`
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// How long running work may take to end.
    pub grace: Duration,
}

impl Config {
    /// Where the database is, and who may vouch for it.
    pub fn database_address(&self) -> Address {
        Address::new(self.database.url.clone(), self.network.trust.clone())
    }

    /// Where the queue is, and who may vouch for it.
    pub fn queue_address(&self) -> Address {
        Address::new(self.queue.url.clone(), self.network.trust.clone())
    }

    /// Whether the queue is one that processes share, and with it their budgets.
    pub fn shares_queue(&self) -> bool {
        is_redis(self.queue.url.expose_secret())
    }

    /// Whether the queue lies in the memory of the process that works, which no other sees.
    pub fn queue_in_memory(&self) -> bool {
        is_in_memory(self.queue.url.expose_secret())
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// All that is wrong, by key and origin.
    pub fn load(inputs: Inputs) -> Result<Config, ConfigError> {
        let environment = inputs.environment.clone();
        let (mut settings, mut wrong) = Settings::gather(inputs);
        let mut forgotten: Vec<&str> = Vec::new();
        let config = loop {
            let error = match Config::read(&settings, &environment) {
                Ok(config) => break Some(config),
                Err(error) => error,
            };
            // Without it the others can be looked at.
            let key = error.key().filter(|key| settings.forget(key));
            // What only does not go together with what was left out is no mistake of its own.
            let follows = match (&error, key) {
                (ConfigError::Incomplete { missing, .. }, _) => forgotten.contains(missing),
                (_, Some(_)) => false,
                (_, None) => !forgotten.is_empty(),
            };
            if !follows {
                wrong.push(error);
            }
            match key {
                Some(key) => forgotten.push(key),
                None => break None,
            }
        };
        match (config, wrong.pop()) {
            (Some(config), None) => Ok(config),
            (_, Some(only)) if wrong.is_empty() => Err(only),
            (_, last) => {
                wrong.extend(last);
                Err(ConfigError::Several(wrong))
            }
        }
    }

    fn read(settings: &Settings, environment: &[(String, String)]) -> Result<Config, ConfigError> {
        let username = settings.text("reddit.username")?;
        let config = Config {
            database: DatabaseConfig {
                url: settings.store_url("database.url", &["sqlite", "postgres", "postgresql"])?,
            },
            queue: QueueConfig {
                url: settings.queue_url("queue.url")?,
                // Above 7,999 due jobs the queue would stop for good: see the queue module.
                max_waiting: settings.number("queue.max_waiting", 1, 7_000)?,
            },
            http: HttpConfig {
                listen: settings.address("http.listen")?,
                allowed_hosts: settings.host_names("http.allowed_hosts")?,
            },
            reddit: RedditConfig {
                client: match (
                    settings.text("reddit.client_id")?,
                    settings.secret("reddit.client_secret")?,
                ) {
                    (Some(id), _) if id.contains(':') => {
                        return Err(settings.invalid("reddit.client_id", "it holds a colon"));
                    }
                    (Some(id), secret) => Some(RedditClient {
                        id,
                        secret: secret.unwrap_or_default(),
                    }),
                    (None, Some(_)) => {
                        return Err(ConfigError::Incomplete {
                            key: "reddit.client_secret",
                            missing: "reddit.client_id",
                            why: "an application has both",
                        });
                    }
                    (None, None) => None,
                },
                login: match (username.clone(), settings.secret("reddit.password")?) {
                    (Some(username), Some(password)) => Some(RedditLogin { username, password }),
                    (None, Some(_)) => {
                        return Err(ConfigError::Incomplete {
                            key: "reddit.password",
                            missing: "reddit.username",
                            why: "a script application logs in with both",
                        });
                    }
                    // A name alone only signs the user agent.
                    (_, None) => None,
                },
                user_agent: settings
                    .printable("reddit.user_agent")?
                    .replace("VERSION", env!("CARGO_PKG_VERSION"))
                    .replace("USERNAME", username.as_deref().unwrap_or("unknown")),
                api_url: settings.http_url("reddit.api_url")?,
                auth_url: settings.http_url("reddit.auth_url")?,
                requests_per_minute: settings.count("reddit.requests_per_minute", 10_000_000)?,
            },
            arctic_shift: ArcticShiftConfig {
                url: settings.http_url("arctic_shift.url")?,
                requests_per_minute: settings.count("arctic_shift.requests_per_minute", 100_000)?,
            },
            discover: {
                let interval =
                    settings.duration("discover.interval", Duration::from_millis(100))?;
                DiscoverConfig {
                    interval,
                    fastest: settings.duration("discover.fastest", Duration::from_millis(50))?,
                    names_per_listing: settings.number("discover.names_per_listing", 1, 1_000)?
                        as usize,
                    proof_period: interval,
                    first_window: settings
                        .duration("discover.first_window", Duration::from_secs(1))?,
                    overlap: settings.duration("discover.overlap", Duration::ZERO)?,
                    sweep_interval: settings.duration("discover.sweep_interval", Duration::ZERO)?,
                    id_scan: settings.choice(
                        "discover.id_scan",
                        &[
                            ("auto", IdScan::Auto),
                            ("on", IdScan::On),
                            ("off", IdScan::Off),
                        ],
                    )?,
                    scope: settings.choice(
                        "discover.scope",
                        &[("watched", Scope::Watched), ("all", Scope::All)],
                    )?,
                    repair_from_archive: settings.choice(
                        "discover.repair",
                        &[("listing", false), ("arctic-shift", true)],
                    )?,
                    concurrency: settings.number("discover.concurrency", 1, 16)? as usize,
                }
            },
            fetch: FetchConfig {
                concurrency: settings.number("fetch.concurrency", 1, 4_000)? as usize,
            },
            liveness: LivenessConfig {
                unready_after: settings
                    .duration("liveness.unready_after", Duration::from_secs(2))?,
                exit_after: settings.duration("liveness.exit_after", Duration::from_secs(2))?,
            },
            monitoring: MonitoringConfig {
                dashboards_url: match settings.text("monitoring.dashboards_url")? {
                    Some(_) => Some(settings.http_url("monitoring.dashboards_url")?),
                    None => None,
                },
                folders: settings.folders("monitoring.folders")?,
                summary_every: settings.duration("monitoring.summary_every", Duration::ZERO)?,
            },
            shutdown: ShutdownConfig {
                grace: settings.duration("shutdown.grace", Duration::ZERO)?,
            },
            network: Network {
                proxy: settings.proxy("proxy.url", environment)?,
                trust: settings.trust("tls.ca_file")?,
                ..Network::default()
            },
        };
        let finds_all = config.discover.id_scan != IdScan::Off;
        if config.discover.scope == Scope::All && !finds_all {
            let problem = "all needs discover.id_scan, which is off: listings show watched \
                           subreddits only";
            return Err(settings.invalid("discover.scope", problem));
        }
        if config.liveness.exit_after <= config.liveness.unready_after {
            let problem = "it must be longer than liveness.unready_after";
            return Err(settings.invalid("liveness.exit_after", problem));
        }
        Ok(config)
    }
}
