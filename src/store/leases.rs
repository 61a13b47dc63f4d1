//! Leases: one holder at a time for a thing of which there must be one, such as the feeder.

use super::clocks::LENGTHS_AHEAD;
use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};

const ACQUIRE: Dialects = Dialects::same(
    "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
     WHERE leases.holder = excluded.holder OR leases.until_ms <= $4 OR leases.until_ms > $5",
);
const RELEASE: Dialects = Dialects::same("DELETE FROM leases WHERE name = $1 AND holder = $2");

impl Store {
    /// Takes a lease that is free or expired, or renews one's own, until `ttl_ms` from now; false
    /// where another holds it. A lease that seems to end further ahead than twice `ttl_ms` was
    /// timed by a clock that has since been set back, and counts as expired.
    ///
    /// # Errors
    /// As the database answers; then the lease must be taken for lost.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        now_ms: i64,
        ttl_ms: i64,
    ) -> Result<bool, StoreError> {
        on_engine!(self, write, ACQUIRE, |sql, pool| {
            let query = sqlx::query(sql)
                .bind(name)
                .bind(holder)
                .bind(now_ms.saturating_add(ttl_ms))
                .bind(now_ms)
                .bind(now_ms.saturating_add(ttl_ms.saturating_mul(LENGTHS_AHEAD)));
            Ok(query.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Gives a lease up; one that another holds stays.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        on_engine!(self, write, RELEASE, |sql, pool| {
            sqlx::query(sql)
                .bind(name)
                .bind(holder)
                .execute(pool)
                .await?;
            Ok(())
        })
    }
}
