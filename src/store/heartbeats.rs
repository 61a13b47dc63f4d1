//! What shows that the whole way is open: a job that was sent through the queue, and in the demo a
//! submission too.

use super::statement::{Dialects, on_engine};
use super::{Store, StoreError};
use crate::submission::HEARTBEAT_SUBREDDIT;

/// The newest that came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// `job`: from the feeder through the queue to a worker, and here. `submission`: posted in
    /// [`HEARTBEAT_SUBREDDIT`], listed, discovered, queued, fetched, stored.
    pub path: String,
    /// When it set out, milliseconds since the epoch; of a submission whole seconds.
    pub sent_ms: i64,
    /// When it was here.
    pub done_ms: i64,
}

/// Not over a newer one, unless that comes from a clock that has since been set back.
const RECORD: Dialects = Dialects::same(
    "INSERT INTO heartbeats (path, sent_ms, done_ms) VALUES ('job', $1, $2)
     ON CONFLICT (path) DO UPDATE SET sent_ms = excluded.sent_ms, done_ms = excluded.done_ms
     WHERE heartbeats.sent_ms <= excluded.sent_ms OR heartbeats.sent_ms > excluded.done_ms",
);
const READ: Dialects = Dialects::same(
    "SELECT path, sent_ms, done_ms FROM heartbeats
     UNION ALL
     SELECT 'submission', created_utc * 1000, fetched_at * 1000 FROM (
         SELECT created_utc, fetched_at FROM submissions
         WHERE lower(subreddit) = $1 AND fetched_at IS NOT NULL
         ORDER BY created_utc DESC LIMIT 1) AS newest",
);

impl Store {
    /// Notes that a job sent then came through.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn record_heartbeat(&self, sent_ms: i64, done_ms: i64) -> Result<(), StoreError> {
        on_engine!(self, write, RECORD, |sql, pool| {
            let query = sqlx::query(sql).bind(sent_ms).bind(done_ms);
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// The newest of each path that has one.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let rows: Vec<(String, i64, i64)> = on_engine!(self, read, READ, |sql, pool| {
            let query = sqlx::query_as(sql).bind(HEARTBEAT_SUBREDDIT);
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let beats = rows.into_iter().map(|(path, sent_ms, done_ms)| Heartbeat {
            path,
            sent_ms,
            done_ms,
        });
        Ok(beats.collect())
    }
}
