//! What is true of the whole database: whether it holds what is real, or what is made up.

use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::{Store, StoreError};

/// One at a time: of two that find neither mark, one sets its own.
const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(hashtextextended('marks', 0))";
const SET: Dialects =
    Dialects::same("INSERT INTO marks (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
const GET: Dialects = Dialects::same("SELECT name FROM marks WHERE name = $1");

/// What a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Submissions that were made up.
    Simulated,
    /// Submissions from Reddit, a real archive, or files.
    Real,
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Mark::Simulated => "simulated",
            Mark::Real => "real",
        }
    }
}

impl Store {
    /// Sets a mark for good, unless the other one is set: then false, and nothing is changed.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_unless(&self, mark: Mark, other: Mark) -> Result<bool, StoreError> {
        // Mostly nothing is to be written.
        if self.is_marked(other).await? {
            return Ok(false);
        }
        if self.is_marked(mark).await? {
            return Ok(true);
        }
        self.written(async {
            let mut transaction = self.begin().await?;
            if let Transaction::Postgres(transaction) = &mut transaction {
                sqlx::query(ONE_AT_A_TIME)
                    .execute(&mut **transaction)
                    .await?;
            }
            let found: Option<String> =
                in_transaction!(&mut transaction, GET, |sql, connection| {
                    let query = sqlx::query_scalar(sql).bind(other.as_str());
                    query.fetch_optional(connection).await?
                });
            if found.is_some() {
                transaction.rollback().await?;
                return Ok(false);
            }
            in_transaction!(&mut transaction, SET, |sql, connection| {
                let query = sqlx::query(sql).bind(mark.as_str());
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Notes, for good, that submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_simulated(&self) -> Result<(), StoreError> {
        self.mark(Mark::Simulated).await
    }

    /// Whether submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_simulated(&self) -> Result<bool, StoreError> {
        self.is_marked(Mark::Simulated).await
    }

    /// Notes, for good, that submissions in it come from the real archive or from Reddit.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_real(&self) -> Result<(), StoreError> {
        self.mark(Mark::Real).await
    }

    /// Whether submissions in it are known to be real.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_real(&self) -> Result<bool, StoreError> {
        self.is_marked(Mark::Real).await
    }

    async fn mark(&self, mark: Mark) -> Result<(), StoreError> {
        on_engine!(self, write, SET, |sql, pool| {
            sqlx::query(sql).bind(mark.as_str()).execute(pool).await?;
            Ok(())
        })
    }

    async fn is_marked(&self, mark: Mark) -> Result<bool, StoreError> {
        let found: Option<String> = on_engine!(self, read, GET, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(mark.as_str());
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(found.is_some())
    }
}
