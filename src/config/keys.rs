//! Every key: its name, default and meaning. Flags, environment names, help texts and the README's
//! table all come from here.

/// One key.
#[derive(Debug)]
pub struct Key {
    /// `section.key`.
    pub name: &'static str,
    /// As it would be written in the file; none where there is no default.
    pub default: Option<&'static str>,
    /// For a secret, whose value is never shown: the key that names a file which holds it.
    pub file: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
}

impl Key {
    /// `reddit.client_id` → `reddit-client-id`, the flag without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// `reddit.client_id` → `FRESHET_REDDIT__CLIENT_ID`.
    pub fn variable(&self) -> String {
        format!(
            "FRESHET_{}",
            self.name.replace('.', "__").to_ascii_uppercase()
        )
    }
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key {
        name,
        default: Some(default),
        file: None,
        help,
    }
}

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        name: "database.url",
        default: Some("sqlite://freshet.db"),
        file: Some("database.url_file"),
        help: "Where submissions are stored: sqlite://FILE or postgres://…",
    },
    Key {
        name: "queue.url",
        default: Some("memory"),
        file: Some("queue.url_file"),
        help: "What carries the jobs: memory (of the one process that runs), redis://…, rediss://…, redis+unix:///SOCKET or sqlite://FILE",
    },
    key(
        "queue.max_waiting",
        "2000",
        "Jobs waiting in the queue at most; the rest waits in the database. Of submissions older than 30 minutes there are fewer, so that live ones are fetched first",
    ),
    key(
        "http.listen",
        "127.0.0.1:8080",
        "Address of /metrics, /healthz, /readyz and /api/v1",
    ),
    Key {
        name: "http.allowed_hosts",
        default: None,
        file: None,
        help: "Names, separated by commas, by which it may be addressed beside its addresses, localhost and names without a dot; * for any, as is usual where it listens for other machines",
    },
    Key {
        name: "tls.ca_file",
        default: None,
        file: None,
        help: "Certificates (PEM) of authorities of your own: trusted beside the system's, by every connection",
    },
    Key {
        name: "proxy.url",
        default: None,
        file: Some("proxy.url_file"),
        help: "HTTP proxy to Reddit and the archive: http://HOST:PORT, or environment for HTTPS_PROXY and NO_PROXY",
    },
    Key {
        name: "reddit.client_id",
        default: None,
        file: Some("reddit.client_id_file"),
        help: "The application's id, from https://www.reddit.com/prefs/apps",
    },
    Key {
        name: "reddit.client_secret",
        default: None,
        file: Some("reddit.client_secret_file"),
        help: "The application's secret; installed applications have none",
    },
    Key {
        name: "reddit.username",
        default: None,
        file: None,
        help: "The account of a script application; also signs the user agent",
    },
    Key {
        name: "reddit.password",
        default: None,
        file: Some("reddit.password_file"),
        help: "That account's password",
    },
    key(
        "reddit.user_agent",
        "linux:freshet:VERSION (by /u/USERNAME)",
        "What every request says of itself; VERSION and USERNAME are filled in",
    ),
    key(
        "reddit.api_url",
        "https://oauth.reddit.com",
        "Any server that speaks Reddit's API",
    ),
    key(
        "reddit.auth_url",
        "https://www.reddit.com",
        "The token endpoint is below it",
    ),
    key(
        "reddit.requests_per_minute",
        "100",
        "One budget for all processes together",
    ),
    key(
        "arctic_shift.url",
        "https://arctic-shift.photon-reddit.com",
        "The archive that backfills read from",
    ),
    key(
        "arctic_shift.requests_per_minute",
        "120",
        "The archive's own budget, of all processes together where the queue is Redis",
    ),
    key(
        "discover.interval",
        "60s",
        "Freshness objective: the longest a subreddit goes unpolled while the budget allows",
    ),
    key(
        "discover.fastest",
        "1s",
        "Shortest time between two polls of one subreddit, where the budget has room",
    ),
    key(
        "discover.names_per_listing",
        "300",
        "Subreddits that share one listing request at most",
    ),
    key(
        "discover.first_window",
        "24h",
        "How far the first poll of a new subreddit looks back",
    ),
    key(
        "discover.overlap",
        "15m",
        "How far each window reaches back into the last",
    ),
    key(
        "discover.sweep_interval",
        "6h",
        "How often the whole listing is walked for what appeared late; 0s: never",
    ),
    key(
        "discover.repair",
        "listing",
        "Where open gaps are repaired from by themselves: listing, or arctic-shift too",
    ),
    key(
        "discover.id_scan",
        "auto",
        "Whether submissions are also found by their ids: on, off, or auto, where that buys more than listings do",
    ),
    key(
        "discover.scope",
        "watched",
        "Whose submissions the id scan stores: those of watched subreddits, or all",
    ),
    key(
        "discover.concurrency",
        "3",
        "Listings walked at the same time",
    ),
    key(
        "fetch.concurrency",
        "200",
        "Jobs in flight in one worker process",
    ),
    key(
        "liveness.unready_after",
        "60s",
        "How long a part may make no progress before the process is not ready",
    ),
    key(
        "liveness.exit_after",
        "180s",
        "How long a part may make no progress before the process ends with status 1",
    ),
    Key {
        name: "monitoring.dashboards_url",
        default: None,
        file: None,
        help: "Where Grafana shows its dashboards: the log and `status` name it",
    },
    Key {
        name: "monitoring.folders",
        default: None,
        file: None,
        help: "More folders, separated by commas, whose free space is a metric; those of SQLite files are anyway",
    },
    key(
        "monitoring.summary_every",
        "60s",
        "How often the log sums up what the process did; 0s: never",
    ),
    key(
        "shutdown.grace",
        "30s",
        "How long running work may take to end when the process is told to stop",
    ),
];
