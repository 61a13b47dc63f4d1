//! A simulated Reddit with a past, the archive of it, and a database for the program to bring it into.

use super::binary::{Finished, Home, PATIENCE, Process, finish};
use super::postgres::fresh_database;
use freshet::simulator::{
    ArchiveOptions, Control, Endpoint, Oddities, Simulator, SimulatorOptions,
};
use freshet::store::Store;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use std::io::Write;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// The one subreddit that has a past.
pub const NAME: &str = "past";
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;

/// Between two looks through the program, which tells nobody when it changes something.
const LOOK: Duration = Duration::from_millis(200);

/// What stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Sqlite,
    Postgres,
}

pub struct Past {
    pub simulator: Simulator,
    pub home: Home,
    pub database: String,
}

/// r/past with about so many submissions an hour, three days of them, at a clock that stands still.
pub fn options(seed: u64, hourly: f64) -> SimulatorOptions {
    SimulatorOptions {
        subreddits: vec![(NAME.parse().unwrap(), hourly)],
        speed: 0.0,
        history: Duration::from_secs(3 * 86_400),
        requests_per_minute: None,
        steady: true,
        oddities: Oddities {
            equal_timestamps: 0.3,
            ..Oddities::none()
        },
        archive: ArchiveOptions {
            requests_per_minute: 0,
            ..ArchiveOptions::default()
        },
        ..SimulatorOptions::world(seed, 0, 0.0)
    }
}

impl Past {
    pub async fn start(options: SimulatorOptions, on: On) -> Past {
        let home = Home::new();
        let database = match on {
            On::Sqlite => format!("sqlite://{}", home.path().join("freshet.db").display()),
            On::Postgres => fresh_database().await,
        };
        Past {
            simulator: Simulator::start(options).await.unwrap(),
            home,
            database,
        }
    }

    pub fn control(&self) -> &Control {
        self.simulator.control()
    }

    /// Seconds.
    pub fn now(&self) -> i64 {
        self.control().now_ms() / 1000
    }

    /// The program, which asks this Reddit and this archive without limits.
    pub fn command(&self, words: &[&str]) -> Command {
        let url = self.simulator.url();
        let mut command = self.home.command(words);
        for (name, value) in [
            ("DATABASE__URL", self.database.as_str()),
            ("ARCTIC_SHIFT__URL", &url),
            ("ARCTIC_SHIFT__REQUESTS_PER_MINUTE", "60000"),
            ("HTTP__LISTEN", "127.0.0.1:0"),
        ] {
            command.env(format!("FRESHET_{name}"), value);
        }
        command
    }

    /// The same with a key for this Reddit.
    pub fn with_key(&self, words: &[&str]) -> Command {
        let url = self.simulator.url();
        let mut command = self.command(words);
        for (name, value) in [
            ("API_URL", url.as_str()),
            ("AUTH_URL", &url),
            ("CLIENT_ID", "past"),
            ("CLIENT_SECRET", "secret"),
            ("REQUESTS_PER_MINUTE", "60000"),
        ] {
            command.env(format!("FRESHET_REDDIT__{name}"), value);
        }
        command
    }

    /// `freshet run` with that key, on this subreddit that is not the one with a past.
    pub fn service(&self, other: &str) -> Process {
        Process::start(&mut self.with_key(&["run", other]))
    }

    /// Runs it to its end.
    pub async fn try_run(&self, words: &[&str]) -> Finished {
        finish(&mut self.command(words)).await
    }

    /// Runs it to its end, which must be well.
    pub async fn run(&self, words: &[&str]) -> Finished {
        self.try_run(words).await.ended_with(0)
    }

    pub fn begin(&self, words: &[&str]) -> Process {
        Process::start(&mut self.command(words))
    }

    /// What it prints for machines.
    pub async fn json(&self, words: &[&str]) -> Value {
        let printed = self.run(&[words, &["--json"]].concat()).await.stdout;
        serde_json::from_str(&printed).unwrap()
    }

    /// Every backfill, the newest first.
    pub async fn backfills(&self) -> Vec<Value> {
        let listed = self.json(&["backfill", "list"]).await;
        listed.as_array().unwrap().clone()
    }

    /// Everything about one.
    pub async fn status(&self, backfill: i64) -> Value {
        let number = backfill.to_string();
        self.json(&["backfill", "status", &number]).await
    }

    /// Waits until a backfill is done that this process begins or was left, and gives its status.
    pub async fn until_done(&self, backfill: i64, process: &Process) -> Value {
        let begun = Instant::now();
        loop {
            let all = self.backfills().await;
            let is_done = |it: &&Value| it["id"] == backfill && it["state"] == "done";
            if all.iter().any(|it| is_done(&it)) {
                return self.status(backfill).await;
            }
            let said = process.stderr();
            assert!(begun.elapsed() < PATIENCE, "not in time: {all:#?}\n{said}");
            sleep(LOOK).await;
        }
    }

    /// The ids that the archive has of a range, sorted.
    pub fn truth(&self, start: i64, end: i64) -> Vec<String> {
        let truth = self
            .control()
            .archive_truth(&NAME.parse().unwrap(), start, end);
        let mut ids: Vec<String> = truth.iter().map(ToString::to_string).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids that are stored, sorted; as often as each is.
    pub async fn stored(&self) -> Vec<String> {
        let rows = self.rows("id").await;
        let id = |row: &Value| row["id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = rows.iter().map(id).collect();
        ids.sort_unstable();
        ids
    }

    /// These columns of all that is stored.
    pub async fn rows(&self, columns: &str) -> Vec<Value> {
        let line = ["export", NAME, "--columns", columns, "--format", "ndjson"];
        let exported = self.try_run(&line).await;
        if exported.stderr.contains("no submission of it is stored") {
            return Vec::new();
        }
        let exported = exported.ended_with(0).stdout;
        let rows = exported.lines();
        rows.map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// How many seconds of a range are proven complete.
    pub async fn proven(&self, start: i64, end: i64) -> i64 {
        let (start, end) = (time(start), time(end));
        let line = ["coverage", NAME, "--since", &start, "--until", &end];
        self.json(&line).await[0]["proven_seconds"]
            .as_i64()
            .unwrap()
    }

    /// The database, past the program.
    pub async fn store(&self) -> Store {
        let store = Store::connect(&self.database, 2).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// How many fetches wait of each priority.
    pub async fn priorities(&self) -> Vec<(i64, i64)> {
        let mut connection = SqliteConnection::connect(&self.database).await.unwrap();
        let sql = "SELECT priority, count(*) FROM fetches GROUP BY priority ORDER BY priority";
        sqlx::query_as(sql)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    /// Requests to the archive so far.
    pub fn asked(&self) -> u64 {
        self.control().stats().of(Endpoint::ArchiveSearch)
    }

    /// Waits until the archive was asked so often, or the process has ended.
    pub async fn until_asked(&self, times: u64, process: &mut Process) {
        let begun = Instant::now();
        while self.asked() < times && !process.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "{}", process.stderr());
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Changes a database behind the program's back.
pub async fn execute(database: &str, statements: &[String]) {
    for sql in statements {
        let sql = sqlx::AssertSqlSafe(sql.clone());
        if database.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(database).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }
}

/// Seconds, as the program reads them.
pub fn time(at: i64) -> String {
    chrono::DateTime::from_timestamp(at, 0)
        .unwrap()
        .to_rfc3339()
}

/// A `.zst` file of frames of which the last is cut.
pub fn cut_zst(text: &str) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    for piece in text.as_bytes().chunks(40_000) {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() - 20);
    bytes
}
