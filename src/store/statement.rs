//! One statement for two engines: the text in both dialects, the connection it runs on, and the
//! transaction that several of them share.

use super::{Sqlite, Store, StoreError};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo};
use sqlx::{Encode, Type};

/// A statement's text. Parameters are `$1`, `$2`, … in both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialects {
    pub postgres: &'static str,
    pub sqlite: &'static str,
}

impl Dialects {
    /// A text that both engines understand alike.
    pub const fn same(sql: &'static str) -> Dialects {
        Dialects {
            postgres: sql,
            sqlite: sql,
        }
    }
}

/// Runs `body` with the text and the connection pool of the store's engine, within the deadline.
/// `read` may use any connection, `write` the one that writes.
macro_rules! on_engine {
    ($store:expr, $access:ident, $dialects:expr, |$sql:ident, $pool:ident| $body:expr) => {
        // On the heap: what a driver needs for a call is large, and callers are nested deep.
        $store
            .noted(
                crate::store::statement::evidence::$access(),
                Box::pin(async move {
                    match $store {
                        crate::store::Store::Postgres(engine) => {
                            let ($sql, $pool) = ($dialects.postgres, engine.$access());
                            $body
                        }
                        crate::store::Store::Sqlite(engine) => {
                            let ($sql, $pool) = ($dialects.sqlite, engine.$access());
                            $body
                        }
                    }
                }),
            )
            .await
    };
}
pub(super) use on_engine;

/// What a statement proves that runs on a connection of this kind.
pub(super) mod evidence {
    use crate::dependency::Evidence;

    pub const fn read() -> Evidence {
        Evidence::Read
    }

    pub const fn write() -> Evidence {
        Evidence::Write
    }
}

/// Several statements that happen together or not at all.
pub(super) enum Transaction {
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

/// Runs `body` with the text and the connection of the transaction's engine.
macro_rules! in_transaction {
    ($transaction:expr, $dialects:expr, |$sql:ident, $connection:ident| $body:expr) => {
        match $transaction {
            crate::store::statement::Transaction::Postgres(transaction) => {
                let ($sql, $connection) = ($dialects.postgres, &mut **transaction);
                $body
            }
            crate::store::statement::Transaction::Sqlite(transaction) => {
                let ($sql, $connection) = ($dialects.sqlite, &mut **transaction);
                $body
            }
        }
    };
}
pub(super) use in_transaction;

impl Store {
    /// Begins a writing transaction; dropped before [`Transaction::commit`], it leaves nothing.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Store::Postgres(engine) => Transaction::Postgres(engine.begin().await?),
            // Takes the write lock at once: one that begins by reading may find it taken later, when
            // waiting no longer helps.
            Store::Sqlite(Sqlite { writer, .. }) => {
                Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
        })
    }
}

impl Transaction {
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Transaction::Postgres(transaction) => transaction.commit().await?,
            Transaction::Sqlite(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Transaction::Postgres(transaction) => transaction.rollback().await?,
            Transaction::Sqlite(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }
}

/// A list of texts as one parameter: an array for Postgres (`= ANY($1)`), a JSON array for SQLite
/// (`IN (SELECT value FROM json_each($1))`), so that a statement's text does not depend on how many.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts<'a>(pub Vec<&'a str>);

impl<'a> FromIterator<&'a str> for Texts<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        Texts(texts.into_iter().collect())
    }
}

impl Type<sqlx::Postgres> for Texts<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<&str> as Type<sqlx::Postgres>>::type_info()
    }
}

impl Encode<'_, sqlx::Postgres> for Texts<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<&str> as Encode<'_, sqlx::Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

impl Type<sqlx::Sqlite> for Texts<'_> {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<sqlx::Sqlite>>::type_info()
    }
}

impl Encode<'_, sqlx::Sqlite> for Texts<'_> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        let json = serde_json::to_string(&self.0)?;
        <String as Encode<'_, sqlx::Sqlite>>::encode(json, buffer)
    }
}
