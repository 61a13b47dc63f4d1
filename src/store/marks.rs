//! What is true of the whole database.

use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};

const SIMULATED: &str = "simulated";
const REAL: &str = "real";
const SET: Dialects =
    Dialects::same("INSERT INTO marks (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
const GET: Dialects = Dialects::same("SELECT name FROM marks WHERE name = $1");

impl Store {
    /// Notes, for good, that submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_simulated(&self) -> Result<(), StoreError> {
        self.mark(SIMULATED).await
    }

    /// Whether submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_simulated(&self) -> Result<bool, StoreError> {
        self.is_marked(SIMULATED).await
    }

    /// Notes, for good, that submissions in it come from the real archive or from Reddit.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_real(&self) -> Result<(), StoreError> {
        self.mark(REAL).await
    }

    /// Whether submissions in it are known to be real.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_real(&self) -> Result<bool, StoreError> {
        self.is_marked(REAL).await
    }

    async fn mark(&self, mark: &str) -> Result<(), StoreError> {
        on_engine!(self, write, SET, |sql, pool| {
            sqlx::query(sql).bind(mark).execute(pool).await?;
            Ok(())
        })
    }

    async fn is_marked(&self, mark: &str) -> Result<bool, StoreError> {
        let mark: Option<String> = on_engine!(self, read, GET, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(mark);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(mark.is_some())
    }
}
