//! Which version the tables have, beside that of this program.

use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};
use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};

/// Postgres names a table that is not there by this code; SQLite by its words.
const NO_TABLE: &str = "42P01";

const APPLIED: Dialects =
    Dialects::same("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version");

pub(super) fn postgres() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    // An older program may start on a newer database: see migrations/README.md.
    migrator.set_ignore_missing(true);
    migrator
}

pub(super) fn sqlite() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.set_ignore_missing(true);
    migrator
}

/// What the tables are to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// There are none.
    Missing,
    /// Some steps are still to be taken.
    Older {
        /// The last step that was.
        has: i64,
        /// The last one of this program.
        needs: i64,
    },
    /// As this program makes them.
    Current(i64),
    /// A newer program has made them; an older one may go on with them.
    Newer(i64),
}

impl Store {
    /// Which version the tables have.
    ///
    /// # Errors
    /// As the database answers; [`StoreError::Migration`] where a step was broken off or is another's.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let migrator = match self {
            Store::Postgres(_) => postgres(),
            Store::Sqlite(_) => sqlite(),
        };
        let applied: Result<Vec<(i64, bool, Vec<u8>)>, StoreError> =
            on_engine!(self, read, APPLIED, |sql, pool| {
                let rows = sqlx::query(sql).fetch_all(pool).await?;
                let read = rows.iter().map(|row| {
                    Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
                });
                Ok(read.collect::<Result<Vec<(i64, bool, Vec<u8>)>, sqlx::Error>>()?)
            });
        let applied = match applied {
            Err(StoreError::Failed { source }) if is_no_table(&source) => {
                return Ok(Schema::Missing);
            }
            applied => applied?,
        };
        if let Some((version, ..)) = applied.iter().find(|(_, success, _)| !success) {
            return Err(MigrateError::Dirty(*version).into());
        }
        for step in migrator.iter() {
            let found = applied
                .iter()
                .find(|(version, ..)| *version == step.version);
            if found.is_some_and(|(_, _, checksum)| **checksum != *step.checksum) {
                return Err(MigrateError::VersionMismatch(step.version).into());
            }
        }
        let last = |versions: &mut dyn Iterator<Item = i64>| versions.max().unwrap_or(0);
        let has = last(&mut applied.iter().map(|(version, ..)| *version));
        let needs = last(&mut migrator.iter().map(|step| step.version));
        let whole = migrator
            .iter()
            .all(|step| applied.iter().any(|(version, ..)| *version == step.version));
        Ok(match (applied.is_empty(), whole) {
            (true, _) => Schema::Missing,
            (false, false) => Schema::Older { has, needs },
            (false, true) if has > needs => Schema::Newer(has),
            (false, true) => Schema::Current(has),
        })
    }

    /// Whether the tables are there as this program reads them.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where they are missing or older.
    pub(super) async fn is_readable(&self) -> Result<(), StoreError> {
        let problem = match self.schema().await? {
            Schema::Current(_) | Schema::Newer(_) => return Ok(()),
            Schema::Missing => "there are no tables of freshet in it. Is it the right one? \
                 `freshet migrate` makes them, as a user who is allowed to create tables"
                .to_owned(),
            Schema::Older { has, needs } => format!(
                "its tables are those of an older freshet (step {has} of {needs}), and this command \
                 changes nothing. `freshet migrate` brings them up to date, as a user who may change them"
            ),
        };
        Err(StoreError::Unreadable(problem))
    }
}

fn is_no_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some(NO_TABLE) || error.message().starts_with("no such table")
    })
}
