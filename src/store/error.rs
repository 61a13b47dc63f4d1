//! What went wrong, as what to do about it.

use crate::dependency::Fault;
use std::time::Duration;

/// A call to the store that did not succeed; nothing of it was stored, unless the answer to the
/// last `COMMIT` was lost. Every call may be made again in either case.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot serve now: unreachable, restarting, locked, full, or two transactions got
    /// in one another's way. Wait and do the same again.
    #[error("the database cannot serve at the moment")]
    Unavailable {
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The same call will never succeed against this database: wrong credentials, no tables, or a
    /// fault of this program.
    #[error("the database refused")]
    Failed {
        /// What the driver said.
        source: sqlx::Error,
    },
    /// Not the URL of a database. The text never holds the URL, which may hold a password.
    #[error("{0}")]
    Url(String),
    /// The database's encoding cannot hold every text: rows would be lost.
    #[error("the database's encoding is {0}; freshet needs UTF8")]
    Encoding(String),
    /// Nothing is to be read there as it is; the text says what to do.
    #[error("{0}")]
    Unreadable(String),
    /// The tables could not be brought to this version.
    #[error("the database could not be migrated")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// What to do where the database's encoding cannot hold every text.
pub const ENCODING_REMEDY: &str =
    "Make a database with UTF8 (createdb -E UTF8 -T template0 NAME), and name it in database.url.";

impl StoreError {
    /// Whether waiting and doing the same again is what helps.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }

    /// What went wrong, and what the driver says of it.
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// What went wrong and what to do about it, on one line.
    pub fn advised(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{}. {advice}", self.told()),
            None => self.told(),
        }
    }

    /// What somebody can do about it who only knows the address.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            StoreError::Unavailable { source } | StoreError::Failed { source } => advice(source),
            StoreError::Migration(
                sqlx::migrate::MigrateError::VersionMismatch(_)
                | sqlx::migrate::MigrateError::Dirty(_),
            ) => Some(
                "Its tables are not those of this build of freshet: use the build that made them, or another database.",
            ),
            StoreError::Migration(
                sqlx::migrate::MigrateError::Execute(source)
                | sqlx::migrate::MigrateError::ExecuteMigration(source, _),
            ) => advice(source),
            StoreError::Encoding(_) => Some(ENCODING_REMEDY),
            StoreError::Url(_) | StoreError::Unreadable(_) | StoreError::Migration(_) => None,
        }
    }

    /// The server did not answer within the time that any call may take.
    pub(crate) fn deadline(limit: Duration) -> StoreError {
        let text = format!("no answer within {} s", limit.as_secs());
        StoreError::Unavailable {
            source: sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)),
        }
    }

    /// A stored value that this version cannot read.
    pub(super) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
        sqlx::Error::Decode(Box::new(error))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        if passes(&source) {
            StoreError::Unavailable { source }
        } else {
            StoreError::Failed { source }
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(source)
            | sqlx::migrate::MigrateError::ExecuteMigration(source, _)
                if passes(&source) =>
            {
                StoreError::Unavailable { source }
            }
            other => StoreError::Migration(other),
        }
    }
}

/// Whether the fault lies in the moment rather than in the call.
pub(super) fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .is_some()
            {
                postgres_passes(&code)
            } else {
                sqlite_passes(&code)
            }
        }
        _ => false,
    }
}

fn advice(error: &sqlx::Error) -> Option<&'static str> {
    super::trouble::fault_now(error).map(Fault::steps)
}

/// SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>: connection (08),
/// resources (53, among them disk full), operator intervention (57: shutting down, starting up,
/// cancelled by a time limit), I/O (58); a serialization failure, a deadlock, a lock not granted, a
/// session ended for idling, and a server that has become a read-only replica.
fn postgres_passes(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "53" | "57" | "58"))
        || matches!(code, "40001" | "40P01" | "55P03" | "25P03" | "25006")
}

/// <https://www.sqlite.org/rescode.html>; the low byte of an extended code is its kind.
fn sqlite_passes(code: &str) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NO_MEMORY: i32 = 7;
    const IO: i32 = 10;
    const FULL: i32 = 13;
    // Locks of the log that others held all the while.
    const PROTOCOL: i32 = 15;
    let passing = [BUSY, LOCKED, NO_MEMORY, IO, FULL, PROTOCOL];
    code.parse::<i32>()
        .is_ok_and(|code| passing.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_can_mend_is_told_from_what_it_cannot() {
        for code in [
            "57P01", "57P03", "53300", "53100", "40001", "40P01", "08006",
        ] {
            assert!(postgres_passes(code), "{code}");
        }
        for code in ["42P01", "22P02", "23505", "28P01", "54001", ""] {
            assert!(!postgres_passes(code), "{code}");
        }
        for code in ["5", "517", "6", "13", "10", "1034", "15"] {
            assert!(sqlite_passes(code), "{code}");
        }
        for code in ["1", "19", "11", "2067", "", "14"] {
            assert!(!sqlite_passes(code), "{code}");
        }
    }
}
