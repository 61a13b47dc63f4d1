//! The backlog: what still has to be fetched, and who has been handed it.
//!
//! A row of `fetches` waits (`fed_ms` null, due now or later), is fed (handed to the queue), or is
//! dead (set aside, with the reason). It goes when the fetch is recorded.

use super::clocks::AHEAD_MS;
use super::statement::{Dialects, Texts, on_engine};
use super::{Store, StoreError};
use crate::submission::SubmissionId;

/// How many fetches there are of each sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchCounts {
    /// Due and not fed.
    pub backlog: i64,
    /// Due later.
    pub deferred: i64,
    /// Handed to the queue.
    pub fed: i64,
    /// Set aside.
    pub dead: i64,
}

/// Lower is sooner; the table's check allows these alone: live submissions, older ones that polls and
/// sweeps find, and those of backfills, which are stored already.
const PRIORITIES: [i16; 3] = [LIVE, OLDER, 2];
pub(super) const LIVE: i16 = 0;
pub(super) const OLDER: i16 = 1;

/// No fetch waits this long by design.
const LONGEST_WAIT_MS: i64 = 15 * 60 * 1000;

/// One priority at a time: only so does the index (priority, due_ms) lead straight to the rows due
/// first, past however many that wait for later.
const CLAIM: Dialects = Dialects {
    postgres: "UPDATE fetches SET fed_ms = $2
     WHERE id = ANY(ARRAY(
         SELECT id FROM fetches
         WHERE priority = $1 AND due_ms <= $2
           AND fed_ms IS NULL AND dead_at IS NULL
         ORDER BY due_ms LIMIT $3 FOR UPDATE SKIP LOCKED))
     RETURNING id, due_ms",
    sqlite: "UPDATE fetches SET fed_ms = $2
     WHERE id IN (
         SELECT id FROM fetches
         WHERE priority = $1 AND due_ms <= $2
           AND fed_ms IS NULL AND dead_at IS NULL
         ORDER BY due_ms LIMIT $3)
     RETURNING id, due_ms",
};
/// One that was never tried waits for nothing; another as long as it was to, and by this clock. `$2` and
/// `$3` are the latest moments at which it may have been tried, and may be due; `$4` the longest wait.
const RETIME: Dialects = Dialects::same(
    "UPDATE fetches
     SET due_ms = $1 + CASE WHEN started_ms IS NULL OR due_ms <= started_ms THEN 0
                            WHEN due_ms - started_ms > $4 THEN $4
                            ELSE due_ms - started_ms END,
         started_ms = CASE WHEN started_ms IS NULL THEN NULL ELSE $1 END
     WHERE id IN (
         SELECT id FROM fetches
         WHERE priority IN (0, 1, 2) AND due_ms > $2 AND fed_ms IS NULL AND dead_at IS NULL
           AND (started_ms IS NULL OR started_ms > $2 OR due_ms > $3)
         ORDER BY id LIMIT $5)",
);
const FED_BEFORE: Dialects = Dialects::same(
    "SELECT id FROM fetches
     WHERE (fed_ms < $1 OR fed_ms > $3) AND dead_at IS NULL ORDER BY fed_ms LIMIT $2",
);
const UNFEED: Dialects = Dialects {
    postgres: "UPDATE fetches SET fed_ms = NULL
     WHERE id = ANY($1) AND fed_ms IS NOT NULL AND dead_at IS NULL",
    sqlite: "UPDATE fetches SET fed_ms = NULL
     WHERE id IN (SELECT value FROM json_each($1)) AND fed_ms IS NOT NULL AND dead_at IS NULL",
};
/// One priority at a time, as above: the first of the index each.
const OLDEST: Dialects = Dialects::same(
    "SELECT (SELECT due_ms FROM fetches
             WHERE priority = 0 AND due_ms <= $1 AND fed_ms IS NULL AND dead_at IS NULL
             ORDER BY due_ms LIMIT 1),
            (SELECT due_ms FROM fetches
             WHERE priority = 1 AND due_ms <= $1 AND fed_ms IS NULL AND dead_at IS NULL
             ORDER BY due_ms LIMIT 1),
            (SELECT due_ms FROM fetches
             WHERE priority = 2 AND due_ms <= $1 AND fed_ms IS NULL AND dead_at IS NULL
             ORDER BY due_ms LIMIT 1)",
);
/// Counts what is small or indexed; the backlog, which may be large, is the rest.
const COUNTS: Dialects = Dialects::same(
    "SELECT (SELECT CAST(sum(fetches) AS bigint) FROM counters),
            (SELECT count(*) FROM fetches
             WHERE priority IN (0, 1, 2) AND due_ms > $1 AND fed_ms IS NULL AND dead_at IS NULL),
            (SELECT count(*) FROM fetches WHERE fed_ms IS NOT NULL AND dead_at IS NULL),
            (SELECT count(*) FROM fetches WHERE dead_at IS NOT NULL)",
);

impl Store {
    /// A submission is live, and fetched first, that is no older than this when a poll finds it, seconds.
    pub const LIVE_SECONDS: i64 = 30 * 60;

    /// Takes up to `limit` due fetches out of the backlog to be put into the queue: by priority, then
    /// those due longest. No two callers get the same one. Where the answer is lost,
    /// [`Store::fed_before`] finds them.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim_fetches(
        &self,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<SubmissionId>, StoreError> {
        self.claim_live_first(now_ms, limit, limit).await
    }

    /// The same, where no more than `background` of them may be of a lower priority than live
    /// submissions.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim_live_first(
        &self,
        now_ms: i64,
        limit: u32,
        background: u32,
    ) -> Result<Vec<SubmissionId>, StoreError> {
        let (mut claimed, mut below) = (Vec::new(), i64::from(background));
        for priority in PRIORITIES {
            let mut wanted = i64::from(limit) - claimed.len() as i64;
            if priority != LIVE {
                wanted = wanted.min(below);
            }
            if wanted <= 0 {
                break;
            }
            let mut rows: Vec<(String, i64)> = on_engine!(self, write, CLAIM, |sql, pool| {
                let query = sqlx::query_as(sql).bind(priority).bind(now_ms).bind(wanted);
                Ok::<_, StoreError>(query.fetch_all(pool).await?)
            })?;
            if priority != LIVE {
                below -= rows.len() as i64;
            }
            rows.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
            claimed.extend(rows.into_iter().map(|(id, _)| id));
        }
        ids(claimed)
    }

    /// Times up to `limit` fetches anew that wait by a clock which is ahead of this one, or was before
    /// this one was set back; returns how many. Looks at all that are due later: not to be called all
    /// the time.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn retime_fetches(&self, now_ms: i64, limit: u32) -> Result<u64, StoreError> {
        on_engine!(self, write, RETIME, |sql, pool| {
            let query = sqlx::query(sql)
                .bind(now_ms)
                .bind(now_ms.saturating_add(AHEAD_MS))
                .bind(now_ms.saturating_add(LONGEST_WAIT_MS))
                .bind(LONGEST_WAIT_MS)
                .bind(i64::from(limit));
            Ok(query.execute(pool).await?.rows_affected())
        })
    }

    /// Fetches handed to the queue before a moment (milliseconds) and still not finished, those
    /// handed over longest ago first; and those that a clock handed over which has since been set
    /// back, as far as their time is a minute later than that moment.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn fed_before(
        &self,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<SubmissionId>, StoreError> {
        let rows: Vec<String> = on_engine!(self, read, FED_BEFORE, |sql, pool| {
            let query = sqlx::query_scalar(sql)
                .bind(before_ms)
                .bind(i64::from(limit))
                .bind(before_ms.saturating_add(AHEAD_MS));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        ids(rows)
    }

    /// Puts fetches back into the backlog that the queue has lost; returns how many were fed.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn unfeed(&self, ids: &[SubmissionId]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let texts = &list(ids);
        on_engine!(self, write, UNFEED, |sql, pool| {
            Ok(sqlx::query(sql)
                .bind(texts)
                .execute(pool)
                .await?
                .rows_affected())
        })
    }

    /// How many fetches wait, are fed or set aside, without counting the backlog row by row.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn fetch_counts(&self, now_ms: i64) -> Result<FetchCounts, StoreError> {
        let (all, deferred, fed, dead): (i64, i64, i64, i64) =
            on_engine!(self, read, COUNTS, |sql, pool| {
                let query = sqlx::query_as(sql).bind(now_ms);
                Ok::<_, StoreError>(query.fetch_one(pool).await?)
            })?;
        Ok(FetchCounts {
            backlog: (all - deferred - fed - dead).max(0),
            deferred,
            fed,
            dead,
        })
    }

    /// Since when (milliseconds) that fetch is due which waits longest in the backlog; none where none
    /// is due. Costs the same however many wait.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn oldest_due(&self, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let heads: (Option<i64>, Option<i64>, Option<i64>) =
            on_engine!(self, read, OLDEST, |sql, pool| {
                let query = sqlx::query_as(sql).bind(now_ms);
                Ok::<_, StoreError>(query.fetch_one(pool).await?)
            })?;
        Ok([heads.0, heads.1, heads.2].into_iter().flatten().min())
    }
}

/// In one order for everybody, so that no two statements wait for one another.
pub(super) fn list(ids: &[SubmissionId]) -> Texts<'_> {
    let mut texts: Texts<'_> = ids.iter().map(SubmissionId::as_str).collect();
    texts.0.sort_unstable();
    texts
}

fn ids(texts: Vec<String>) -> Result<Vec<SubmissionId>, StoreError> {
    let ids = texts.iter().map(|text| text.parse());
    let ids: Result<_, _> = ids.collect();
    Ok(ids.map_err(StoreError::unreadable)?)
}
