//! What is true of the whole database.

use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};

const SIMULATED: &str = "simulated";
const SET: Dialects =
    Dialects::same("INSERT INTO marks (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
const GET: Dialects = Dialects::same("SELECT name FROM marks WHERE name = $1");

impl Store {
    /// Notes, for good, that submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark_simulated(&self) -> Result<(), StoreError> {
        on_engine!(self, write, SET, |sql, pool| {
            sqlx::query(sql).bind(SIMULATED).execute(pool).await?;
            Ok(())
        })
    }

    /// Whether submissions in it were made up.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_simulated(&self) -> Result<bool, StoreError> {
        let mark: Option<String> = on_engine!(self, read, GET, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(SIMULATED);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(mark.is_some())
    }
}
