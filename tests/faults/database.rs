//! Looks into the database past freshet, and what is put into it to watch freshet's writing.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Executor, FromRow, PgConnection, SqliteConnection};
use std::time::Duration;
use tokio::time::timeout;

/// A look that takes longer has met a fault.
const LIMIT: Duration = Duration::from_secs(10);

/// What writes to the journal of this harness. An older object over a newer one shows in the time of
/// its observation (half an hour or more before the last it is that of a clock set back), or in counts
/// that grow and never shrink; what is recorded under a claim that was lost, in a window with another
/// token than its row's, and in a row that is polled while nobody holds it or whose proof shrinks. Each
/// attempt at a job is a run.
///
/// A session whose port is in `harness_hold` waits at the last statement of its transaction for as
/// long as the lock is held.
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
    EXECUTE FUNCTION harness_window();
CREATE FUNCTION harness_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO harness VALUES ('expired', 'the row of ' || NEW.name || ' ' || NEW.claim_token);
    RETURN NULL; END $$;
CREATE TRIGGER harness_row AFTER UPDATE ON subreddits FOR EACH ROW
    WHEN (NEW.claim_token < OLD.claim_token OR NEW.covered_until < OLD.covered_until
          OR OLD.claimed_by IS NULL AND (NEW.covered_until IS DISTINCT FROM OLD.covered_until
                                         OR NEW.polled_at IS DISTINCT FROM OLD.polled_at))
    EXECUTE FUNCTION harness_row();
CREATE FUNCTION harness_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO harness VALUES ('run', NEW.id); RETURN NULL; END $$;
CREATE TRIGGER harness_run AFTER UPDATE ON fetches FOR EACH ROW
    WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION harness_run();
CREATE TABLE harness_hold (port integer NOT NULL);
CREATE FUNCTION harness_hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM harness_hold WHERE port = inet_client_port()) THEN
        PERFORM pg_advisory_xact_lock_shared(4711);
    END IF; RETURN NULL; END $$;
CREATE TRIGGER harness_hold AFTER UPDATE ON counters FOR EACH STATEMENT
    EXECUTE FUNCTION harness_hold();";
const WATCH_SQLITE: &str = "
CREATE TABLE harness (what text NOT NULL, which text NOT NULL);
CREATE TRIGGER harness_submission AFTER UPDATE ON submissions
    WHEN OLD.observed_ms - NEW.observed_ms BETWEEN 1 AND 1800000 OR NEW.num_comments < OLD.num_comments
         OR NEW.score < OLD.score
    BEGIN INSERT INTO harness VALUES ('older', NEW.id); END;
CREATE TRIGGER harness_window AFTER INSERT ON poll_windows
    WHEN NEW.claim_token <> (SELECT claim_token FROM subreddits WHERE name = NEW.subreddit)
    BEGIN INSERT INTO harness VALUES ('expired', NEW.subreddit || ' ' || NEW.claim_token); END;
CREATE TRIGGER harness_row AFTER UPDATE ON subreddits
    WHEN NEW.claim_token < OLD.claim_token OR NEW.covered_until < OLD.covered_until
         OR OLD.claimed_by IS NULL AND (NEW.covered_until IS NOT OLD.covered_until
                                        OR NEW.polled_at IS NOT OLD.polled_at)
    BEGIN INSERT INTO harness VALUES ('expired', 'the row of ' || NEW.name || ' ' || NEW.claim_token); END;
CREATE TRIGGER harness_run AFTER UPDATE ON fetches WHEN NEW.attempts > OLD.attempts
    BEGIN INSERT INTO harness VALUES ('run', NEW.id); END;";

/// The lock that `harness_hold` waits for.
pub const HOLD: i64 = 4711;

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

    pub fn url(&self) -> &str {
        match self {
            Database::Postgres(url) | Database::Sqlite(url) => url,
        }
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
