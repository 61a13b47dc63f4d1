//! Looks into the database past freshet, and what is put into it to watch freshet's writing.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Executor, FromRow, PgConnection, SqliteConnection};
use std::time::Duration;
use tokio::time::timeout;

/// A look that takes longer has met a fault.
const LIMIT: Duration = Duration::from_secs(10);

/// What writes to the journal of this harness. An older object over a newer one shows in the time of
/// its observation, or in counts that grow and never shrink; a window of a claim that was lost in the
/// token of its row. A time that is half an hour or more before the last is that of a clock set back.
const WATCH_POSTGRES: &str = "
CREATE TABLE harness (what text NOT NULL, which text NOT NULL);
CREATE FUNCTION harness_submission() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO harness VALUES ('older', NEW.id); RETURN NULL; END $$;
CREATE TRIGGER harness_submission AFTER UPDATE ON submissions FOR EACH ROW
    WHEN (OLD.observed_ms - NEW.observed_ms BETWEEN 1 AND 1800000 OR NEW.num_comments < OLD.num_comments
          OR NEW.score < OLD.score)
    EXECUTE FUNCTION harness_submission();
CREATE FUNCTION harness_window() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.claim_token <> (SELECT claim_token FROM subreddits WHERE name = NEW.subreddit) THEN
        INSERT INTO harness VALUES ('expired', NEW.subreddit || ' ' || NEW.claim_token);
    END IF; RETURN NULL; END $$;
CREATE TRIGGER harness_window AFTER INSERT ON poll_windows FOR EACH ROW
    EXECUTE FUNCTION harness_window();";
const WATCH_SQLITE: &str = "
CREATE TABLE harness (what text NOT NULL, which text NOT NULL);
CREATE TRIGGER harness_submission AFTER UPDATE ON submissions
    WHEN OLD.observed_ms - NEW.observed_ms BETWEEN 1 AND 1800000 OR NEW.num_comments < OLD.num_comments
         OR NEW.score < OLD.score
    BEGIN INSERT INTO harness VALUES ('older', NEW.id); END;
CREATE TRIGGER harness_window AFTER INSERT ON poll_windows
    WHEN NEW.claim_token <> (SELECT claim_token FROM subreddits WHERE name = NEW.subreddit)
    BEGIN INSERT INTO harness VALUES ('expired', NEW.subreddit || ' ' || NEW.claim_token); END;";

#[derive(Debug, Clone)]
pub enum Database {
    /// Its URL.
    Postgres(String),
    /// Its file.
    Sqlite(String),
}

impl Database {
    /// The rows of a query; none where the database does not answer.
    pub async fn rows<T>(&self, sql: &'static str) -> Option<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let look = async {
            match self {
                Database::Postgres(url) => {
                    let mut connection = PgConnection::connect(url).await?;
                    let rows = sqlx::query_as(sql).fetch_all(&mut connection).await?;
                    connection.close().await?;
                    Ok::<_, sqlx::Error>(rows)
                }
                Database::Sqlite(path) => {
                    let mut connection = SqliteConnection::connect(path).await?;
                    let rows = sqlx::query_as(sql).fetch_all(&mut connection).await?;
                    connection.close().await?;
                    Ok(rows)
                }
            }
        };
        timeout(LIMIT, look).await.ok()?.ok()
    }

    /// The first column of a query.
    pub async fn texts(&self, sql: &'static str) -> Option<Vec<String>> {
        let rows: Vec<(String,)> = self.rows(sql).await?;
        Some(rows.into_iter().map(|(text,)| text).collect())
    }

    /// The one number that a query gives.
    pub async fn number(&self, sql: &'static str) -> Option<i64> {
        let rows: Vec<(i64,)> = self.rows(sql).await?;
        rows.first().map(|(number,)| *number)
    }

    /// Begins to watch what is written.
    pub async fn watch(&self) {
        match self {
            Database::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute(WATCH_POSTGRES).await.unwrap();
            }
            Database::Sqlite(path) => {
                let mut connection = SqliteConnection::connect(path).await.unwrap();
                connection.execute(WATCH_SQLITE).await.unwrap();
            }
        }
    }
}
