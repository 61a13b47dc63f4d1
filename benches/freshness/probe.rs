//! Submissions that are published and awaited one by one.

use crate::program::Running;
use anyhow::ensure;
use freshet::simulator::{Control, Publication};
use freshet::submission::SubredditName;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at the database: the error of what is measured.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Probe<'a> {
    pub(crate) control: &'a Control,
    pub(crate) names: &'a [SubredditName],
    pub(crate) database: &'a str,
}

impl Probe<'_> {
    /// Publishes for so long; how long each took from then until the database held it as fetched.
    pub(crate) async fn measure(
        &self,
        length: Duration,
        run: &mut Running,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut database = Database::connect(self.database).await?;
        let mut awaited: HashMap<String, Instant> = HashMap::new();
        let mut delays = Vec::new();
        let begun = Instant::now();
        let mut published = 0;
        let mut look = tokio::time::interval(LOOK);
        while begun.elapsed() < length || !awaited.is_empty() {
            look.tick().await;
            run.still_runs()?;
            ensure!(
                begun.elapsed() < length + PATIENCE,
                "{} submissions were not stored in {PATIENCE:?}",
                awaited.len()
            );
            if begun.elapsed() < length && begun.elapsed() >= PAUSE * published {
                let name = &self.names[published as usize % self.names.len()];
                let id = self.control.publish(Publication::to(name))?;
                awaited.insert(id.to_string(), Instant::now());
                published += 1;
            }
            if awaited.is_empty() {
                continue;
            }
            for id in database.fetched(awaited.keys()).await? {
                delays.extend(awaited.remove(&id).map(|since| since.elapsed()));
            }
        }
        Ok(delays)
    }
}

/// A connection of its own: the program's have enough to do.
enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    async fn connect(url: &str) -> anyhow::Result<Database> {
        Ok(if url.starts_with("sqlite:") {
            Database::Sqlite(SqliteConnection::connect(url).await?)
        } else {
            Database::Postgres(PgConnection::connect(url).await?)
        })
    }

    /// Which of these are stored as fetched.
    async fn fetched(&mut self, ids: impl Iterator<Item = &String>) -> anyhow::Result<Vec<String>> {
        // Ids are letters and digits.
        let ids: Vec<String> = ids.map(|id| format!("'{id}'")).collect();
        let query = AssertSqlSafe(format!(
            "SELECT id FROM submissions WHERE status = 'fetched' AND id IN ({})",
            ids.join(",")
        ));
        Ok(match self {
            Database::Sqlite(connection) => sqlx::query_scalar(query).fetch_all(connection).await?,
            Database::Postgres(connection) => {
                sqlx::query_scalar(query).fetch_all(connection).await?
            }
        })
    }
}
