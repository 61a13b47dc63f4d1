//! Leases: one holder at a time for a thing of which there must be one, such as the feeder; and what the
//! holder publishes of it.

use super::clocks::LENGTHS_AHEAD;
use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The lease of the process that polls.
pub const POLLS: &str = "live";
/// The lease of the process that scans ids.
pub const ID_SCAN: &str = "id_scan";

const ACQUIRE: Dialects = Dialects::same(
    "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms,
        state = CASE WHEN leases.holder = excluded.holder THEN leases.state END
     WHERE leases.holder = excluded.holder OR leases.until_ms <= $4 OR leases.until_ms > $5",
);
const RELEASE: Dialects = Dialects::same("DELETE FROM leases WHERE name = $1 AND holder = $2");
const PUBLISH: Dialects =
    Dialects::same("UPDATE leases SET state = $3 WHERE name = $1 AND holder = $2");
const STATE: Dialects =
    Dialects::same("SELECT state FROM leases WHERE name = $1 AND until_ms > $2");

/// What the present plan of polls comes to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PollPlan {
    /// Whether no subreddit waits longer than `discover.interval`, or ids are scanned.
    pub objective_met: bool,
    /// Mean time until a new submission is discovered, as expected.
    pub expected_lag_seconds: f64,
    /// Longest time between two polls of a subreddit.
    pub longest_interval_seconds: f64,
    /// Requests a minute with which no subreddit would wait longer than `discover.interval`.
    pub needed_per_minute: f64,
    /// Time between two proofs that nothing of a subreddit was missed.
    pub proof_period_seconds: f64,
    /// Requests that the process that polls made in the last minute, by class.
    pub requests_per_minute: BTreeMap<String, f64>,
}

/// How far a scan of ids is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IdScanState {
    /// Behind the newest id.
    pub lag_seconds: f64,
}

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

    /// Publishes what the holder of a lease does; nothing where another holds it.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn publish_lease_state(
        &self,
        name: &str,
        holder: &str,
        state: Option<&str>,
    ) -> Result<(), StoreError> {
        on_engine!(self, write, PUBLISH, |sql, pool| {
            let query = sqlx::query(sql).bind(name).bind(holder).bind(state);
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// What the process that polls published last; none where none polls.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn poll_plan(&self, now_ms: i64) -> Result<Option<PollPlan>, StoreError> {
        self.lease_state(POLLS, now_ms).await
    }

    /// What the process that scans ids published last; none where none scans.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn id_scan_state(&self, now_ms: i64) -> Result<Option<IdScanState>, StoreError> {
        self.lease_state(ID_SCAN, now_ms).await
    }

    /// Whether somebody has this lease.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn is_leased(&self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        let held: Option<Option<String>> = on_engine!(self, read, STATE, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(name).bind(now_ms);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(held.is_some())
    }

    /// Of another version it may not be readable: then nothing was published.
    async fn lease_state<T: DeserializeOwned>(
        &self,
        name: &str,
        now_ms: i64,
    ) -> Result<Option<T>, StoreError> {
        let state: Option<Option<String>> = on_engine!(self, read, STATE, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(name).bind(now_ms);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(state
            .flatten()
            .and_then(|state| serde_json::from_str(&state).ok()))
    }
}
