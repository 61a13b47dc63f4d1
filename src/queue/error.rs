//! What a caller of the queue can decide upon: wait and try again, or give up.
//!
//! Owns the sorting of both engines' errors into decisions. Knows no keys and no tables.

use std::error::Error;

use apalis::prelude::WorkerError;

use crate::dependency::{Class, Fault, sqlite_class};
use crate::redis_link::{redis_code, redis_fault};

/// Any error underneath.
type Source = Box<dyn Error + Send + Sync>;

/// Why the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The server is away, starting, full or too slow, or the file is locked: wait and try again.
    #[error("the queue does not answer")]
    Unavailable {
        /// What the engine said.
        #[source]
        source: Source,
    },
    /// The URL or the name names no queue: only a changed configuration helps. Holds a reason,
    /// never the URL, which may carry a password.
    #[error("{0}")]
    Url(String),
    /// The engine refused; trying the same again is of no use.
    #[error("the queue refused the request")]
    Failed {
        /// What the engine said.
        #[source]
        source: Source,
    },
}

impl QueueError {
    /// What somebody can do about it.
    pub fn advice(&self) -> Option<&'static str> {
        let redis = self.engine().and_then(|it| it.downcast_ref());
        let fault = match redis {
            Some(error) => redis_fault(error),
            None => self.sqlite().map(|(class, _)| Fault::of_queue_file(class)),
        };
        fault.map(Fault::steps)
    }

    fn engine(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            QueueError::Unavailable { source } | QueueError::Failed { source } => Some(&**source),
            QueueError::Url(_) => None,
        }
    }

    /// What SQLite's error says of the file, if it is one.
    pub(super) fn sqlite(&self) -> Option<(Class, String)> {
        let error = self.engine()?.downcast_ref::<sqlx::Error>()?;
        let class = match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
                Class::Unreachable
            }
            sqlx::Error::Database(database) => {
                let code = database.code()?.parse().ok()?;
                sqlite_class(code, database.message())?
            }
            _ => return None,
        };
        Some((class, error.to_string()))
    }

    /// Whether the engine, rather than what was asked of it, is the cause: the same succeeds once that
    /// is mended, by itself or by somebody.
    pub fn is_outage(&self) -> bool {
        let redis = |error: &redis::RedisError| redis_fault(error).is_some();
        let error = self.engine().and_then(|it| it.downcast_ref());
        self.is_unavailable() || error.is_some_and(redis) || self.sqlite().is_some()
    }

    /// What went wrong, and what the engine says of it.
    pub fn told(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// Whether waiting may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, QueueError::Unavailable { .. })
    }
}

/// The codes of server errors that pass: out of memory or disk, a script that runs long, a
/// replica that is not yet a master, no room for clients.
const PASSING_CODES: [&str; 9] = [
    "LOADING",
    "BUSY",
    "OOM",
    "MISCONF",
    "MASTERDOWN",
    "READONLY",
    "TRYAGAIN",
    "NOREPLICAS",
    "MAXCLIENTS",
];

/// Whether an answer of the server speaks of something that passes.
fn passes(error: &redis::RedisError) -> bool {
    redis_code(error).is_some_and(|code| PASSING_CODES.contains(&code))
}

impl From<redis::RedisError> for QueueError {
    fn from(error: redis::RedisError) -> Self {
        let passing = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
            || passes(&error);
        if passing {
            QueueError::Unavailable {
                source: error.into(),
            }
        } else {
            QueueError::Failed {
                source: error.into(),
            }
        }
    }
}

impl From<sqlx::Error> for QueueError {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            // The primary result codes BUSY, LOCKED, IOERR and FULL; extended ones keep the
            // primary code in their low byte.
            sqlx::Error::Database(inner) => inner
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13)),
            _ => false,
        };
        if passing {
            QueueError::Unavailable {
                source: error.into(),
            }
        } else {
            QueueError::Failed {
                source: error.into(),
            }
        }
    }
}

impl From<apalis_redis::Error> for QueueError {
    fn from(error: apalis_redis::Error) -> Self {
        match error {
            apalis_redis::Error::Database(error) => error.into(),
            other => QueueError::Failed {
                source: other.into(),
            },
        }
    }
}

impl From<apalis_sqlite::Error> for QueueError {
    fn from(error: apalis_sqlite::Error) -> Self {
        match error {
            apalis_sqlite::Error::Database(error) => error.into(),
            other => QueueError::Failed {
                source: other.into(),
            },
        }
    }
}

impl From<WorkerError> for QueueError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::BackendError(source) => match source.downcast::<QueueError>() {
                Ok(error) => *error,
                Err(source) => QueueError::Failed { source },
            },
            other => QueueError::Failed {
                source: other.into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_worth_waiting_for_and_a_refusal_is_not() {
        let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(QueueError::from(redis::RedisError::from(lost)).is_unavailable());
        let refused = redis::RedisError::from((redis::ErrorKind::AuthenticationFailed, "no"));
        assert!(!QueueError::from(refused).is_unavailable());
        assert!(QueueError::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!QueueError::from(sqlx::Error::RowNotFound).is_unavailable());
    }

    #[test]
    fn what_a_server_refuses_for_now_is_worth_waiting_for_too() {
        let answered = |line: &str| {
            let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
            QueueError::from(value.extract_error().unwrap_err()).is_unavailable()
        };
        for line in [
            "ERR max number of clients reached",
            "OOM command not allowed when used memory > 'maxmemory'. script: f1, on @user_script:3.",
            "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
            "READONLY You can't write against a read only replica.",
            "NOREPLICAS Not enough good replicas to write.",
            "ERR Error running script (call to f_1): @user_script:3: @user_script: 3: \
             -OOM command not allowed when used memory > 'maxmemory'.",
            "ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write \
             against a read only replica.",
        ] {
            assert!(answered(line), "{line}");
        }
        for line in [
            "ERR unknown command 'EVALSHA'",
            "ERR Cant fetch next: worker not registered script: f1, on @user_script:21.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "NOAUTH Authentication required.",
        ] {
            assert!(!answered(line), "{line}");
        }
    }
}
