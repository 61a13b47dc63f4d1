//! What an error says of the database as a whole.

use super::error::passes;
use super::{Store, StoreError};
use crate::dependency::{Class, Fault, Trouble, sqlite_class};
use sqlx::postgres::PgDatabaseError;

impl StoreError {
    /// Whether the database, rather than what was asked of it, is the cause: the same call succeeds
    /// once that is mended, by itself or by somebody.
    pub fn is_outage(&self) -> bool {
        self.is_unavailable() || self.driver().is_some_and(|error| fault(error).is_some())
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
        let Some(fault) = fault(error) else {
            // By a trigger or a constraint, say, which may be there for every row.
            if matches!(error, sqlx::Error::Database(_)) && !passes(error) {
                self.dependency().refused();
            }
            return;
        };
        let trouble = match self {
            Store::Postgres(engine) => {
                if matches!(fault.class(), Class::ReadOnly | Class::MissingSchema) {
                    engine.validity.revoke();
                }
                Trouble::new(fault, error.to_string())
            }
            Store::Sqlite(engine) => {
                let said = error.to_string();
                let known = engine.file.trouble(code(error), &said);
                let trouble = known.unwrap_or_else(|| engine.file.suffers(Fault::FileSlow, &said));
                let stays = matches!(
                    trouble.class,
                    Class::Locked | Class::Unreachable | Class::Full
                );
                if !stays {
                    engine.file.distrust();
                }
                trouble
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

/// What is wrong with the database; none for what passes, and for the faults of a statement.
fn fault(error: &sqlx::Error) -> Option<Fault> {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut => Some(Fault::PostgresUnreachable),
        sqlx::Error::WorkerCrashed => Some(Fault::FileSlow),
        sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres_fault(error.code()),
            None => sqlite_class(code(error), database.message()).map(Fault::of_database_file),
        },
        _ => None,
    }
}

/// The fault that keeps a call from succeeding now: as above, or a lock that was not granted.
pub(super) fn fault_now(error: &sqlx::Error) -> Option<Fault> {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some("55P03") => Some(Fault::PostgresLocked),
        _ => fault(error),
    }
}

/// By SQLSTATE; none for the faults of a statement, and for transactions that met one another.
fn postgres_fault(code: &str) -> Option<Fault> {
    Some(match (code.get(..2)?, code) {
        // Ended by a time limit or an operator, which says nothing of the server.
        (_, "57014") => return None,
        (_, "25006") => Fault::PostgresReadOnly,
        (_, "53100") => Fault::PostgresFull,
        (_, "53200") => Fault::PostgresMemory,
        // A quota, as providers and extensions tell of it.
        (_, "53000" | "53400") => Fault::PostgresFull,
        (_, "53300") => Fault::PostgresConnections,
        (_, "57P03") => Fault::PostgresNotServing,
        ("08" | "53" | "57", _) => Fault::PostgresUnreachable,
        ("58", _) => Fault::PostgresIoError,
        (_, "XX001" | "XX002") => Fault::PostgresCorrupt,
        (_, "3D000") => Fault::PostgresDatabaseMissing,
        // A table, a column or a schema that is not there.
        (_, "42P01" | "42703" | "3F000") => Fault::PostgresTablesMissing,
        (_, "42501") => Fault::PostgresPermission,
        ("28", _) => Fault::PostgresCredentials,
        _ => return None,
    })
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
            ("53400", Some(Class::Full)),
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
            assert_eq!(postgres_fault(code).map(Fault::class), class, "{code}");
        }
    }
}
