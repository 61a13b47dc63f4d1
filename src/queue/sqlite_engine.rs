//! The queue in a SQLite file of its own: the pool, and every statement that apalis-sqlite lacks
//! or gets wrong.
//!
//! Owns the tables `Jobs` and `Workers`, as apalis-sqlite's migrations make them. A job waits as
//! `Pending` (or as `Failed` with attempts left, which this queue never makes), runs as `Queued`
//! (with locks off no job is ever marked `Running`), has finished as anything else.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis::prelude::{Task, WorkerContext};
use apalis_sqlite::{Config, SqliteStorage};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row, SqlitePool};

use super::{Depth, HEARTBEAT, MISSED_BEATS, QueueError, SILENCE_SECONDS};
use crate::dependency::{Class, DatabaseFile, Dependency, Evidence, Fault};

/// How long a statement waits for a foreign lock before the worker starts anew.
const BUSY_TIMEOUT: Duration = Duration::from_secs(12);
/// Between two tries to open a file that others make.
const LOCKED_PAUSE: Duration = Duration::from_millis(100);
/// Jobs of one transaction: others write between two of them.
const STEP: usize = 500;
/// A worker's row stays this long after its last beat, so that whoever looks can still see it.
const WORKER_ROW_SECONDS: i64 = 600;
/// No job is pushed for later: one that seems to be so far ahead was pushed by a clock that has since
/// been set back.
const AHEAD_SECONDS: i64 = 60;

const ROW_BUFFER: usize = 2 * STEP;

/// Indexes that apalis makes and no statement here needs: each costs every job three changes. By the
/// first the acknowledgement would also scan all that the worker ever did.
const USELESS_INDEXES: [&str; 5] = [
    "LIdx",
    "idx_jobs_status_run_at",
    "idx_jobs_completed_done_at",
    "idx_jobs_claimable",
    "idx_jobs_idempotency_key",
];

/// A queue in a file.
#[derive(Clone)]
pub(super) struct SqliteEngine {
    pool: SqlitePool,
    name: Arc<str>,
    dependency: Dependency,
    /// A connection to a file that was deleted or replaced is closed.
    file: Arc<DatabaseFile>,
}

impl SqliteEngine {
    /// Whether a well-formed URL names a file that is not there.
    pub(super) fn missing(url: &str) -> bool {
        SqliteConnectOptions::from_str(url).is_ok_and(|options| !options.get_filename().exists())
    }

    pub(super) async fn connect(
        url: &str,
        name: &str,
        dependency: Dependency,
    ) -> Result<SqliteEngine, QueueError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| QueueError::Url(format!("the queue's URL is wrong: {error}")))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            // Pages that are written again and again reach the file once for each 32 MB of log.
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "67108864")
            // More than any statement returns: its thread never waits for the reader.
            .row_buffer_size(ROW_BUFFER);
        // One connection: SQLite has one writer, and waiting for a connection is fair and wakes at
        // once, while waiting for a lock is a sleep that grows.
        let file = Arc::new(DatabaseFile::new(options.get_filename()));
        let held = Arc::clone(&file);
        let pool_options = SqlitePoolOptions::new()
            .max_connections(1)
            .before_acquire(move |_, state| {
                let held = held.is_held(state.age);
                Box::pin(async move { Ok(held) })
            })
            .acquire_timeout(BUSY_TIMEOUT * 2)
            // A full disk ends a transaction within SQLite, and sqlx goes on counting it: the next
            // that fails would stay open for ever, unseen by others and in their way. The ping comes
            // after the rollback that was asked for.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            });
        // Processes that make the file at once lock one another out, for which no statement waits there.
        let begun = Instant::now();
        let pool = loop {
            let opened = open(pool_options.clone(), options.clone()).await;
            match opened {
                Err(error) if is_locked(&error) && begun.elapsed() < BUSY_TIMEOUT => {
                    tokio::time::sleep(LOCKED_PAUSE).await;
                }
                opened => break opened?,
            }
        };
        Ok(SqliteEngine {
            pool,
            name: Arc::from(name),
            dependency,
            file,
        })
    }

    pub(super) fn dependency(&self) -> &Dependency {
        &self.dependency
    }

    /// Notes how a call went.
    pub(super) async fn noted<T>(
        &self,
        evidence: Evidence,
        call: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let result = call.await;
        match &result {
            Ok(_) => self.dependency.worked(evidence),
            Err(error) => self.note(error),
        }
        result
    }

    pub(super) fn note(&self, error: &QueueError) {
        let Some((class, error)) = error.sqlite() else {
            return;
        };
        if !matches!(class, Class::Locked | Class::Unreachable | Class::Full) {
            self.file.distrust();
        }
        let fault = Fault::of_queue_file(class);
        self.dependency.failed(self.file.suffers(fault, &error));
    }

    /// Whether a job can be stored and taken. Makes the tables where the file was lost: the jobs are in
    /// the database.
    pub(super) async fn probe(&self) -> Result<(), QueueError> {
        let written = self
            .noted(Evidence::Write, self.write_and_take_back())
            .await;
        let lost = |error: &QueueError| matches!(error.sqlite(), Some((Class::MissingSchema, _)));
        if !written.as_ref().is_err_and(lost) {
            return written;
        }
        self.noted(Evidence::Read, make_tables(&self.pool)).await?;
        self.noted(Evidence::Write, self.write_and_take_back())
            .await
    }

    async fn write_and_take_back(&self) -> Result<(), QueueError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO Jobs (job, id, job_type, status, attempts, max_attempts, run_at)
             VALUES ('', 'probe', 'probe', 'Done', 0, 1, 0) ON CONFLICT (id) DO NOTHING",
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM Jobs WHERE id = 'probe'")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    fn config(&self, batch: usize) -> Config {
        Config::default()
            .queue(&self.name)
            .batch_size(batch)
            .heartbeat_interval(HEARTBEAT)
            .missed_heartbeats(MISSED_BEATS)
            .lock_tasks(false)
            .persist_results(true)
    }

    pub(super) fn storage(&self) -> SqliteStorage<Vec<u8>> {
        SqliteStorage::new(&self.pool).with_config(self.config(STEP))
    }

    /// Takes up to `count` waiting jobs for this worker.
    pub(super) async fn fetch(
        &self,
        worker: &WorkerContext,
        count: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, QueueError> {
        let config = self.config(count.clamp(1, STEP));
        Ok(apalis_sqlite::queries::fetch_next(&self.pool, &config, worker).await?)
    }

    pub(super) fn folder_of(url: &str) -> Option<PathBuf> {
        let options = SqliteConnectOptions::from_str(url).ok()?;
        let file = std::path::absolute(options.get_filename()).ok()?;
        file.parent().map(Path::to_owned)
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        let options = self.pool.connect_options();
        let file = std::path::absolute(options.get_filename()).ok()?;
        file.parent().map(Path::to_owned)
    }

    pub(super) async fn ping(&self) -> Result<(), QueueError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn push(
        &self,
        jobs: &[(String, String)],
        now_s: i64,
    ) -> Result<(), QueueError> {
        for step in jobs.chunks(STEP) {
            let step: Vec<(&str, &str)> = step
                .iter()
                .map(|(task, payload)| (task.as_str(), payload.as_str()))
                .collect();
            // A waiting or running job stays as it is; a finished one becomes a new job.
            sqlx::query(
                "INSERT INTO Jobs (job, id, job_type, status, attempts, max_attempts, run_at)
                 SELECT CAST(value ->> 1 AS BLOB), value ->> 0, ?2, 'Pending', 0, 1, ?3
                 FROM json_each(?1) WHERE true
                 ON CONFLICT (id) DO UPDATE SET
                    job = excluded.job, status = 'Pending', attempts = 0, max_attempts = 1,
                    run_at = excluded.run_at, last_result = NULL, lock_at = NULL,
                    lock_by = NULL, done_at = NULL
                 WHERE Jobs.status IN ('Done', 'Killed')
                    OR (Jobs.status = 'Failed' AND Jobs.attempts >= Jobs.max_attempts)",
            )
            .bind(serde_json::json!(step).to_string())
            .bind(&*self.name)
            .bind(now_s)
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    pub(super) async fn depth(&self) -> Result<Depth, QueueError> {
        let row = sqlx::query(
            "SELECT
                (SELECT count(*) FROM Jobs WHERE job_type = ?1 AND status = 'Pending')
              + (SELECT count(*) FROM Jobs WHERE job_type = ?1 AND status = 'Failed'
                    AND attempts < max_attempts) AS waiting,
                (SELECT count(*) FROM Jobs WHERE job_type = ?1
                    AND status IN ('Queued', 'Running')) AS running",
        )
        .bind(&*self.name)
        .fetch_one(&self.pool)
        .await?;
        Ok(Depth {
            waiting: count(row.try_get("waiting")?),
            running: count(row.try_get("running")?),
        })
    }

    /// Milliseconds since the epoch, though the engine keeps whole seconds.
    pub(super) async fn oldest_waiting(&self) -> Result<Option<i64>, QueueError> {
        let pushed_s: Option<i64> = sqlx::query_scalar(
            "SELECT min(run_at) FROM Jobs WHERE job_type = ?1 AND status = 'Pending'",
        )
        .bind(&*self.name)
        .fetch_one(&self.pool)
        .await?;
        Ok(pushed_s.map(|it| it.saturating_mul(1000)))
    }

    /// For each task, whether it neither waits nor runs.
    pub(super) async fn absent(&self, tasks: &[String]) -> Result<Vec<bool>, QueueError> {
        let mut absent = Vec::with_capacity(tasks.len());
        for step in tasks.chunks(STEP) {
            let present: Vec<String> = sqlx::query_scalar(
                "SELECT id FROM Jobs WHERE id IN (SELECT value FROM json_each(?1))
                    AND (status IN ('Pending', 'Queued', 'Running')
                        OR (status = 'Failed' AND attempts < max_attempts))",
            )
            .bind(json(step))
            .fetch_all(&self.pool)
            .await?;
            let present: HashSet<String> = present.into_iter().collect();
            absent.extend(step.iter().map(|task| !present.contains(task)));
        }
        Ok(absent)
    }

    pub(super) async fn workers(&self, alive_since: i64) -> Result<usize, QueueError> {
        let live: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM Workers WHERE worker_type = ?1 AND last_seen > ?2",
        )
        .bind(&*self.name)
        .bind(alive_since)
        .fetch_one(&self.pool)
        .await?;
        Ok(count(live))
    }

    pub(super) async fn reap(&self, limit: usize) -> Result<usize, QueueError> {
        let mut reaped = 0;
        while reaped < limit {
            let step = STEP.min(limit - reaped);
            let gone = sqlx::query(
                "DELETE FROM Jobs WHERE id IN (
                    SELECT id FROM Jobs WHERE job_type = ?1
                        AND (status IN ('Done', 'Killed')
                            OR (status = 'Failed' AND attempts >= max_attempts))
                    LIMIT ?2)",
            )
            .bind(&*self.name)
            .bind(i64::try_from(step).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await?
            .rows_affected();
            let gone = usize::try_from(gone).unwrap_or(usize::MAX);
            reaped += gone;
            if gone < step {
                break;
            }
        }
        let now_s = super::clock_ms() / 1000;
        sqlx::query(
            "UPDATE Jobs SET run_at = ?2
             WHERE job_type = ?1 AND status = 'Pending' AND run_at > ?3",
        )
        .bind(&*self.name)
        .bind(now_s)
        .bind(now_s + AHEAD_SECONDS)
        .execute(&self.pool)
        .await?;
        sqlx::query("UPDATE Workers SET last_seen = ?2 WHERE worker_type = ?1 AND last_seen > ?3")
            .bind(&*self.name)
            .bind(now_s)
            .bind(now_s + SILENCE_SECONDS)
            .execute(&self.pool)
            .await?;
        // A row that a job still names must stay: apalis finds orphans through it.
        sqlx::query(
            "DELETE FROM Workers WHERE worker_type = ?1 AND last_seen < ?2
                AND NOT EXISTS (SELECT 1 FROM Jobs WHERE lock_by = Workers.id)",
        )
        .bind(&*self.name)
        .bind(now_s - WORKER_ROW_SECONDS)
        .execute(&self.pool)
        .await?;
        Ok(reaped)
    }

    /// Puts all jobs of a worker back and counts the worker as gone. Its row is left to the
    /// reaper, since finished jobs name it.
    pub(super) async fn release(&self, worker: &str) -> Result<(), QueueError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL
             WHERE job_type = ?1 AND status IN ('Queued', 'Running') AND lock_by = ?2",
        )
        .bind(&*self.name)
        .bind(worker)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("UPDATE Workers SET last_seen = 0 WHERE id = ?1")
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Puts jobs that were taken and not started back.
    pub(super) async fn hand_back(&self, worker: &str, tasks: &[String]) -> Result<(), QueueError> {
        sqlx::query(
            "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
             WHERE id IN (SELECT value FROM json_each(?1)) AND lock_by = ?2
                AND status = 'Queued'",
        )
        .bind(json(tasks))
        .bind(worker)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn open(
    pool: SqlitePoolOptions,
    file: SqliteConnectOptions,
) -> Result<SqlitePool, QueueError> {
    let pool = pool.connect_with(file).await?;
    make_tables(&pool).await?;
    Ok(pool)
}

fn is_locked(error: &QueueError) -> bool {
    matches!(error.sqlite(), Some((Class::Locked, _)))
}

async fn make_tables(pool: &SqlitePool) -> Result<(), QueueError> {
    migrate(pool).await?;
    for index in USELESS_INDEXES {
        let drop = format!("DROP INDEX IF EXISTS {index}");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(pool).await?;
    }
    Ok(())
}

/// Applies apalis' migrations alone: its `setup` also turns synchronous writes off.
async fn migrate(pool: &SqlitePool) -> Result<(), QueueError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match SqliteStorage::migrations().run(pool).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
                return Err(QueueError::Url(
                    "the queue's file holds another database: give the queue a file of its own"
                        .to_owned(),
                ));
            }
            // Two processes that start at once run into one another, for migrations hold no
            // lock in SQLite; the second finds the work done.
            Err(_) if tries < 5 => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(MigrateError::Execute(error)) => return Err(error.into()),
            Err(error) => {
                return Err(QueueError::Failed {
                    source: error.into(),
                });
            }
        }
    }
}

fn count(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn json(tasks: &[String]) -> String {
    serde_json::json!(tasks).to_string()
}
