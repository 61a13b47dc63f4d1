//! What an error says of the database as a whole.

use super::{Store, StoreError};
use crate::dependency::{Class, Trouble, sqlite_class};
use sqlx::postgres::PgDatabaseError;

impl StoreError {
    /// Whether the database, rather than what was asked of it, is the cause: the same call succeeds
    /// once that is mended, by itself or by somebody.
    pub fn is_outage(&self) -> bool {
        self.is_unavailable() || self.driver().is_some_and(|error| class(error).is_some())
    }

    fn driver(&self) -> Option<&sqlx::Error> {
        match self {
            StoreError::Unavailable { source } | StoreError::Failed { source } => Some(source),
            _ => None,
        }
    }
}

impl Store {
    /// Notes what an error says of the database, and drops the connections that met it where new ones
    /// may fare better.
    pub(super) fn note(&self, error: &StoreError) {
        let Some(error) = error.driver() else { return };
        let Some(class) = class(error) else { return };
        let trouble = match self {
            Store::Postgres(engine) => {
                if matches!(class, Class::ReadOnly | Class::MissingSchema) {
                    engine.validity.revoke();
                }
                Trouble::new(class, error.to_string(), postgres_remedy(class, error))
            }
            Store::Sqlite(engine) => {
                if !matches!(class, Class::Locked | Class::Unreachable | Class::Full) {
                    engine.file.distrust();
                }
                let known = engine.file.trouble(code(error), error.to_string());
                known.unwrap_or_else(|| {
                    let remedy = "Another process may hold the file locked for long; see its log.";
                    Trouble::new(class, error.to_string(), remedy)
                })
            }
        };
        self.dependency().failed(trouble);
    }
}

/// The result code of SQLite; 0 where it is none.
fn code(error: &sqlx::Error) -> i32 {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn class(error: &sqlx::Error) -> Option<Class> {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => Some(Class::Unreachable),
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres_class(error.code()),
            None => sqlite_class(code(error), database.message()),
        },
        _ => None,
    }
}

/// By SQLSTATE; none for the faults of a statement, and for transactions that met one another.
fn postgres_class(code: &str) -> Option<Class> {
    Some(match (code.get(..2)?, code) {
        // Ended by a time limit or an operator, which says nothing of the server.
        (_, "57014") => return None,
        (_, "25006") => Class::ReadOnly,
        (_, "53100" | "53200") => Class::Full,
        (_, "57P03") => Class::NotServing,
        ("08" | "53" | "57", _) => Class::Unreachable,
        ("58", _) => Class::IoError,
        (_, "XX001" | "XX002") => Class::Corrupt,
        // A table, a column or a schema that is not there.
        (_, "42P01" | "42703" | "3F000" | "3D000") => Class::MissingSchema,
        (_, "42501") => Class::NoPermission,
        ("28", _) => Class::CredentialsRejected,
        _ => return None,
    })
}

fn postgres_remedy(class: Class, error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code());
    match class {
        Class::ReadOnly => {
            "The server takes no writes: it is a standby after a failover, default_transaction_read_only \
             is on, or a quota is exceeded. Point database.url at the primary or lift the restriction; \
             freshet reconnects automatically."
        }
        Class::MissingSchema => {
            "The tables are gone: the database was emptied or another one was put in its place. Restore \
             a backup, or run `freshet migrate` to begin with an empty one."
        }
        Class::NoPermission => {
            "Grant the user of database.url its rights on freshet's tables again."
        }
        Class::CredentialsRejected => "Check the user and the password in database.url.",
        Class::Full if code.as_deref() == Some("53200") => "The server is out of memory.",
        Class::Full => "Free space on the server's disk.",
        Class::Corrupt => "The server reports damaged data; restore a backup.",
        Class::IoError => "Check the server's disk and its log.",
        Class::NotServing => {
            "The server starts up or shuts down; freshet reconnects automatically."
        }
        _ if code.as_deref() == Some("53300") => {
            "The server's max_connections is reached: raise it, or run fewer processes."
        }
        _ => {
            "Is the server running, and can this machine reach it? freshet reconnects automatically."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_state_is_told_from_the_fault_of_a_statement() {
        for (code, class) in [
            ("25006", Some(Class::ReadOnly)),
            ("53100", Some(Class::Full)),
            ("53300", Some(Class::Unreachable)),
            ("57P01", Some(Class::Unreachable)),
            ("57P03", Some(Class::NotServing)),
            ("08006", Some(Class::Unreachable)),
            ("42P01", Some(Class::MissingSchema)),
            ("3D000", Some(Class::MissingSchema)),
            ("42501", Some(Class::NoPermission)),
            ("28P01", Some(Class::CredentialsRejected)),
            ("XX001", Some(Class::Corrupt)),
            ("40001", None),
            ("40P01", None),
            ("55P03", None),
            ("57014", None),
            ("23505", None),
            ("22P02", None),
            ("", None),
        ] {
            assert_eq!(postgres_class(code), class, "{code}");
        }
    }
}
