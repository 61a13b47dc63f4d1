//! A look at the database for whoever wonders whether it will do. Nothing of it is changed.

use super::statement::{Dialects, Texts, Transaction, in_transaction, on_engine};
use super::{Schema, Store, StoreError, schema};

const POSTGRES: &str = "SELECT 'PostgreSQL ' || current_setting('server_version'), \
     current_setting('server_version_num')::int, current_setting('server_encoding'), \
     pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_user::text, \
     (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
     coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";

/// Tables on which the user lacks a right, and whether it is their owner's.
const RIGHTS: &str = "SELECT c.relname::text, pg_has_role(c.relowner, 'MEMBER'), \
     has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
     AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') \
     FROM unnest($1::text[]) AS known(name) JOIN pg_class c ON c.oid = to_regclass(known.name) \
     ORDER BY 1";

/// Which tables there are.
const THERE: Dialects = Dialects {
    postgres: "SELECT name FROM unnest($1::text[]) AS known(name) WHERE to_regclass(name) IS NOT NULL",
    sqlite: "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (SELECT value FROM json_each($1))",
};

/// Taken back at once.
const TRIAL: Dialects = Dialects::same("INSERT INTO marks (name) VALUES ('doctor')");

/// What was found.
#[derive(Debug)]
pub struct Inspection {
    /// `PostgreSQL 17.2`.
    pub version: String,
    /// Major version of a server, none of a file.
    pub major: Option<i32>,
    /// Of the server's texts; none of a file.
    pub encoding: Option<String>,
    /// Whether the server follows another.
    pub replica: bool,
    /// Whether it takes no writes from anybody.
    pub read_only: bool,
    /// Who is connected.
    pub user: Option<String>,
    /// The server's clock, milliseconds since the epoch.
    pub clock_ms: Option<i64>,
    /// Whether a pooler stands before it that hands out a session for each transaction.
    pub pooled: bool,
    /// Whether the user may make tables, and change those there are.
    pub migrates: bool,
    /// Tables on which the user lacks a right to read or write.
    pub lacking: Vec<String>,
}

impl Store {
    /// Looks at it.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn inspect(&self) -> Result<Inspection, StoreError> {
        super::within_deadline(async {
            match self {
                Store::Postgres(engine) => {
                    let lane = engine.read();
                    let (version, number, encoding, replica, read_only, user, clock_ms, makes): (
                        String,
                        i32,
                        String,
                        bool,
                        bool,
                        String,
                        i64,
                        bool,
                    ) = sqlx::query_as(POSTGRES).fetch_one(lane).await?;
                    let rights: Vec<(String, bool, bool)> = sqlx::query_as(RIGHTS)
                        .bind(tables())
                        .fetch_all(lane)
                        .await?;
                    let lacking = rights.iter().filter(|(_, _, whole)| !whole);
                    Ok(Inspection {
                        version,
                        major: Some(number / 10_000),
                        encoding: Some(encoding),
                        replica,
                        read_only,
                        user: Some(user),
                        clock_ms: Some(clock_ms),
                        pooled: engine.pooled,
                        migrates: makes && rights.iter().all(|(_, owns, _)| *owns),
                        lacking: lacking.map(|(table, ..)| table.clone()).collect(),
                    })
                }
                Store::Sqlite(engine) => {
                    let version: String =
                        sqlx::query_scalar("SELECT 'SQLite ' || sqlite_version()")
                            .fetch_one(engine.read())
                            .await?;
                    Ok(Inspection {
                        version,
                        major: None,
                        encoding: None,
                        replica: false,
                        read_only: false,
                        user: None,
                        clock_ms: None,
                        pooled: false,
                        migrates: true,
                        lacking: Vec::new(),
                    })
                }
            }
        })
        .await
    }

    /// The tables that are missing of those that the steps make.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn missing_tables(&self) -> Result<Vec<String>, StoreError> {
        let mut tables = tables();
        let known = &tables;
        let there: Vec<String> = on_engine!(self, read, THERE, |sql, pool| {
            let names = known.iter().map(String::as_str).collect();
            let query = sqlx::query_scalar(sql).bind(Texts(names));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        tables.retain(|table| !there.contains(table));
        Ok(tables)
    }

    /// Writes a row, and takes it back; where the tables are as this program makes them, a submission, too.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub async fn try_writing(&self, schema: Schema, now_ms: i64) -> Result<(), StoreError> {
        super::within_deadline(async {
            let mut transaction: Transaction = self.begin().await?;
            in_transaction!(&mut transaction, TRIAL, |sql, connection| {
                sqlx::query(sql).execute(connection).await?;
            });
            transaction.rollback().await?;
            match schema {
                Schema::Current(_) | Schema::Newer(_) => self.take_and_give_back(now_ms).await,
                Schema::Missing | Schema::Older { .. } => Ok(()),
            }
        })
        .await
    }
}

/// The tables that the steps make.
fn tables() -> Vec<String> {
    let migrator = schema::postgres();
    let mut tables = Vec::new();
    for step in migrator.iter() {
        for after in step.sql.as_str().split("CREATE TABLE ").skip(1) {
            let name = after.trim_start_matches("IF NOT EXISTS ");
            let end = name.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
            tables.push(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_table_that_the_steps_make_is_looked_at() {
        let tables = super::tables();
        for name in ["submissions", "fetches", "coverage", "backfills", "marks"] {
            assert!(tables.iter().any(|it| it == name), "{name}: {tables:?}");
        }
    }
}
