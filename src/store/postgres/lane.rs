//! Where a statement runs: on a session of its own, or behind a pooler that hands each transaction to
//! whichever session is free.
//!
//! Behind such a pooler (PgBouncer in transaction mode) nothing may outlive a transaction: settings
//! would leak to other programs, and statements that were prepared would be looked for in the wrong
//! session. So every statement has a transaction there, which is told the settings first.

use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{ConnectOptions, Connection, Describe, Either, Error, Execute, Executor, Row, SqlStr};

/// What every session is told.
///
/// All statements of this program look rows up by keys that they bring along, so the only right
/// plan is a nested loop over an index. The planner chooses by statistics, and those of a table that
/// went from empty to a million rows within a minute say that it is empty: other plans are switched
/// off, and planning is done once.
///
/// The time limits end what a frozen or vanished process has left behind.
pub(super) const SESSION: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
     SET jit = off; SET plan_cache_mode = force_generic_plan;
     SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';
     SET lock_timeout = '30s'";

/// The same for a transaction behind a pooler. What an earlier one left prepared is forgotten first:
/// names of statements are counted anew on every connection, and would meet.
pub(super) const TRANSACTION: &str =
    "BEGIN; DEALLOCATE ALL;
     SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
     SET LOCAL jit = off;
     SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s';
     SET LOCAL lock_timeout = '30s'";

/// The one in which tables are migrated behind a pooler: a step may take its time.
pub(super) const MIGRATION: &str = "BEGIN; DEALLOCATE ALL; SET LOCAL statement_timeout = 0;
     SET LOCAL lock_timeout = '15s'; SET LOCAL client_min_messages = warning";

/// Set by the first connection, and looked for after: a pooler refuses it, or drops it.
const PROBE: (&str, &str) = ("enable_mergejoin", "off");
const PROBED: &str = "SELECT current_setting('enable_mergejoin') = 'off'";

/// Whether a pooler stands before the server, and how to connect then.
pub(super) async fn probe(options: PgConnectOptions) -> Result<(PgConnectOptions, bool), Error> {
    let direct = options.clone().options([PROBE]);
    match PgConnection::connect_with(&direct).await {
        Ok(mut connection) => {
            // As text: what is prepared may be looked for in another session.
            let held: bool = connection.fetch_one(PROBED).await?.try_get(0)?;
            let _ = connection.close().await;
            if held {
                return Ok((options, false));
            }
        }
        Err(error) if refuses_settings(&error) => {}
        Err(error) => return Err(error),
    }
    let pooled = behind_a_pooler(options);
    let connection = pooled.connect().await?;
    let _ = connection.close().await;
    Ok((pooled, true))
}

/// What no pooler refuses. Floats travel in binary, whatever their setting.
pub(super) fn behind_a_pooler(options: PgConnectOptions) -> PgConnectOptions {
    options.extra_float_digits(None).statement_cache_capacity(0)
}

/// Takes all steps in one transaction, under the lock by which other programs take theirs.
pub(super) async fn migrate(pool: &PgPool, migrator: &mut Migrator) -> Result<(), MigrateError> {
    let mut transaction = pool.begin_with(MIGRATION).await?;
    let database: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(lock(&database))
        .execute(&mut *transaction)
        .await?;
    migrator.set_locking(false);
    migrator.run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

/// As sqlx computes it for sessions of their own.
fn lock(database: &str) -> i64 {
    let mut checksum = flate2::Crc::new();
    checksum.update(database.as_bytes());
    0x3d32_ad9e * i64::from(checksum.sum())
}

/// `unsupported startup parameter: options` and the like, of whatever pooler.
fn refuses_settings(error: &Error) -> bool {
    let Error::Database(error) = error else {
        return false;
    };
    let said = error.message().to_ascii_lowercase();
    said.contains("startup parameter")
        || said.contains("startup option")
        || said.contains("command-line options")
}

/// Runs single statements.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Lane<'a> {
    pub(super) pool: &'a PgPool,
    pub(super) pooled: bool,
}

impl<'p> Executor<'p> for Lane<'p> {
    type Database = sqlx::Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        if !self.pooled {
            return self.pool.fetch_many(query);
        }
        // What is read at once is bounded by every caller.
        let whole = async move {
            let mut transaction = self.pool.begin_with(TRANSACTION).await?;
            let connection: &mut PgConnection = &mut transaction;
            let results: Vec<_> = connection.fetch_many(query).try_collect().await?;
            transaction.commit().await?;
            Ok::<_, Error>(stream::iter(results.into_iter().map(Ok::<_, Error>)))
        };
        stream::once(whole).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        if !self.pooled {
            return self.pool.fetch_optional(query);
        }
        Box::pin(async move {
            let mut transaction = self.pool.begin_with(TRANSACTION).await?;
            let connection: &mut PgConnection = &mut transaction;
            let row = connection.fetch_optional(query).await?;
            transaction.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<sqlx::Postgres>, Error>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
