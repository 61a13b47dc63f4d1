//! SQLite: connecting, migrating, and the statements that send many rows at once.

pub(super) mod submissions;

use super::StoreError;
use crate::dependency::{DatabaseFile, Dependency, Service};
use sqlx::Connection;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long one process waits for another that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for the one writing connection: longer than one wait for another process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// A file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    /// One connection: SQLite has one writer at a time, and a queue in front of it is fairer than
    /// its busy handler.
    pub(super) writer: SqlitePool,
    /// The write-ahead log lets these read while the writer writes.
    pub(super) readers: SqlitePool,
    pub(super) dependency: Dependency,
    /// A connection to a file that was deleted or replaced is closed.
    pub(super) file: Arc<DatabaseFile>,
}

/// CANTOPEN, READONLY, and IOERR of the memory that is shared: there is no room for a log.
fn is_not_to_be_written(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 8 | 10 | 14))
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

impl Sqlite {
    pub(super) async fn connect(url: &str, connections: u32) -> Result<Sqlite, StoreError> {
        if is_in_memory(url) {
            return Err(StoreError::Url(
                "a database in memory cannot be shared; give sqlite:// a path".to_owned(),
            ));
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| StoreError::Url("not a well-formed sqlite:// URL".to_owned()))?
            .create_if_missing(true)
            // A submission takes about a page of that: smaller ones spread each over several.
            .page_size(8192)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            // Pages that are written again and again reach the file once for each 32 MB of log.
            .pragma("wal_autocheckpoint", "4000")
            // The log is cut back after a burst instead of keeping its greatest length for ever.
            .pragma("journal_size_limit", "67108864")
            // Reading threads hand their rows over in as many steps; the default is 50.
            .row_buffer_size(1024);
        let file = Arc::new(DatabaseFile::new(options.get_filename()));
        let pool = || {
            let file = Arc::clone(&file);
            SqlitePoolOptions::new()
                .before_acquire(move |_, state| {
                    let held = file.is_held(state.age);
                    Box::pin(async move { Ok(held) })
                })
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // Waiting for the one writer is nothing to warn of.
                .acquire_slow_threshold(ACQUIRE_TIMEOUT / 2)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        // The writer first: it makes the file and turns the log on.
        let writer = pool()
            .max_connections(1)
            // A full disk ends a transaction within SQLite, and sqlx goes on counting it: no other
            // would ever begin on this connection. The ping comes after the rollback that was asked for.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            // 16 MB of pages; the default of 2 MB is smaller than one transaction of 1,000 rows.
            .connect_with(options.clone().pragma("cache_size", "-16384"))
            .await?;
        // From here on a file that is gone is an error, and no reason to make an empty one.
        let existing = options.create_if_missing(false);
        writer.set_connect_options(existing.clone().pragma("cache_size", "-16384"));
        let readers = pool()
            .max_connections(connections)
            // Each has a cache of its own, which fills as the file grows; the system caches the file anyway.
            .connect_with(
                existing
                    .pragma("query_only", "1")
                    .pragma("cache_size", "-512"),
            )
            .await?;
        Ok(Sqlite {
            writer,
            readers,
            dependency: Dependency::new(Service::Database),
            file,
        })
    }

    /// Opens a file to read it alone: nothing is made and nothing is written.
    pub(super) async fn connect_reading(url: &str, connections: u32) -> Result<Sqlite, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| StoreError::Url("not a well-formed sqlite:// URL".to_owned()))?
            .create_if_missing(false)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("temp_store", "memory")
            .row_buffer_size(1024);
        if options.get_filename().is_dir() {
            let problem = "it is a folder, and no file. Is the path right? Does its folder exist?";
            return Err(StoreError::Unreadable(problem.to_owned()));
        }
        let open = async |options: SqliteConnectOptions| {
            let pool = SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .max_connections(connections)
                .connect_with(options)
                .await?;
            // The log of writes is looked at by the first who reads.
            sqlx::query("SELECT count(*) FROM sqlite_master")
                .execute(&pool)
                .await?;
            Ok::<_, sqlx::Error>(pool)
        };
        let readers = match open(options.clone()).await {
            // Beside a file in this mode lies a log, which whoever reads needs to make where there is
            // none. Where there is none and the folder is not to be written to, nobody writes.
            Err(error) if is_not_to_be_written(&error) => {
                let log = PathBuf::from(format!("{}-wal", options.get_filename().display()));
                if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
                    return Err(StoreError::Unreadable(format!(
                        "its folder is not to be written to, and what was written last is still in {}: \
                         let the service that writes it end, or copy the file with its -wal to a folder \
                         that may be written to",
                        log.display()
                    )));
                }
                open(options.clone().immutable(true)).await?
            }
            opened => opened?,
        };
        Ok(Sqlite {
            writer: readers.clone(),
            readers,
            dependency: Dependency::new(Service::Database),
            file: Arc::new(DatabaseFile::new(options.get_filename())),
        })
    }

    /// Whether a well-formed URL names a file that is not there.
    pub(super) fn missing(url: &str) -> bool {
        let options = SqliteConnectOptions::from_str(url);
        !is_in_memory(url) && options.is_ok_and(|options| !options.get_filename().exists())
    }

    pub(super) fn folder_of(url: &str) -> Option<PathBuf> {
        let options = SqliteConnectOptions::from_str(url).ok()?;
        let file = std::path::absolute(options.get_filename()).ok()?;
        file.parent().map(Path::to_owned)
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        let options = self.writer.connect_options();
        let file = std::path::absolute(options.get_filename()).ok()?;
        file.parent().map(Path::to_owned)
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let migrator = super::schema::sqlite();
        // sqlx takes no lock here. Of two processes that take a step at once, one fails, and finds
        // the step taken when it looks again; so there are at most as many failures as steps.
        let mut chances = migrator.iter().count() + 1;
        loop {
            match migrator.run(&self.writer).await {
                Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..))
                    if chances > 0 =>
                {
                    chances -= 1;
                }
                result => return Ok(result?),
            }
        }
    }

    pub(super) fn read(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) fn write(&self) -> &SqlitePool {
        &self.writer
    }
}
