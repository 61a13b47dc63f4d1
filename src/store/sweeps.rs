//! Walks of a whole listing beside the polls: which is due, and what came of it.
//!
//! A sweep moves no watermark and needs no claim: what it proves stays true however late it is
//! recorded, and recording it twice changes nothing.

use super::gaps::{GapChanges, GapsChanged};
use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::withdraw::Told;
use super::{Doubts, GapReason, Interval, Store, StoreError, without};
use crate::submission::SubredditName;

/// A listing that is to be walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepDue {
    /// Whose.
    pub subreddit: SubredditName,
    /// Seconds: how far down; `i64::MIN` for all that the listing shows.
    pub reach: i64,
    /// Seconds: the watermark, which bounds what a sweep may prove.
    pub covered_until: i64,
}

/// What a sweep means for its subreddit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRecord {
    /// What was due.
    pub due: SweepDue,
    /// What it proved complete.
    pub proven: Option<Interval>,
    /// Why the gaps that it was to reach, and that are still open, are.
    pub reason: GapReason,
    /// Milliseconds; none leaves it.
    pub next_sweep_ms: Option<i64>,
    /// What contradicts earlier proofs, or this one.
    pub doubts: Doubts,
}

type Row = (String, i64, i64);

/// The first wait between two tries of a gap, and the longest, seconds.
const AGAIN_FIRST: i64 = 300;
const AGAIN_LONGEST: i64 = 6 * 3600;

/// `$1` now; `$2` what no gap waits for by design: it was timed by a clock that has since been set
/// back. Gaps that were never tried come first: a listing moves on.
const DUE_REPAIR: Dialects = Dialects::same(
    "SELECT s.name, min(g.gap_start), s.covered_until
     FROM gaps AS g JOIN subreddits AS s ON s.name = g.subreddit
     WHERE g.state = 'open' AND (g.next_try_at <= $1 OR g.next_try_at > $2)
       AND s.state = 'active' AND g.gap_end <= s.covered_until
     GROUP BY s.name, s.covered_until
     ORDER BY min(CASE WHEN g.tried_at IS NULL THEN 0 ELSE 1 END), min(g.next_try_at), s.name
     LIMIT 1",
);
/// `$1` now, `$2` the interval. One that seems to be due much later was timed by a clock that has
/// since been set back, or under a longer interval.
const DUE_SWEEP: Dialects = Dialects {
    postgres: "SELECT name, (-9223372036854775808)::bigint, covered_until
     FROM subreddits
     WHERE state = 'active' AND covered_until IS NOT NULL
       AND (coalesce(next_sweep_ms, added_at * 1000 + $2) <= $1 OR next_sweep_ms > $1 + 2 * $2)
     ORDER BY coalesce(next_sweep_ms, added_at * 1000 + $2), name LIMIT 1",
    sqlite: "SELECT name, -9223372036854775808, covered_until
     FROM subreddits
     WHERE state = 'active' AND covered_until IS NOT NULL
       AND (coalesce(next_sweep_ms, added_at * 1000 + $2) <= $1 OR next_sweep_ms > $1 + 2 * $2)
     ORDER BY coalesce(next_sweep_ms, added_at * 1000 + $2), name LIMIT 1",
};
const NEXT: Dialects = Dialects::same("UPDATE subreddits SET next_sweep_ms = $2 WHERE name = $1");
/// Each try doubles the wait. `$3` is the reason; `$6` and `$7` bound the wait.
const TRIED: Dialects = Dialects {
    postgres: "UPDATE gaps SET tried_at = $2, reason = $3,
         next_try_at = CASE WHEN $3 = 'beyond_listing' THEN NULL ELSE
             $2 + least($7, greatest($6, 2 * coalesce(next_try_at - tried_at, 0))) END
     WHERE subreddit = $1 AND state = 'open' AND next_try_at IS NOT NULL
       AND gap_start >= $4 AND gap_end <= $5",
    sqlite: "UPDATE gaps SET tried_at = $2, reason = $3,
         next_try_at = CASE WHEN $3 = 'beyond_listing' THEN NULL ELSE
             $2 + min($7, max($6, 2 * coalesce(next_try_at - tried_at, 0))) END
     WHERE subreddit = $1 AND state = 'open' AND next_try_at IS NOT NULL
       AND gap_start >= $4 AND gap_end <= $5",
};

impl Store {
    /// The listing that is to be walked for open gaps now, if any: how far down is said with it.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn due_repair(&self, now_ms: i64) -> Result<Option<SweepDue>, StoreError> {
        let now = now_ms.div_euclid(1000);
        let row: Option<Row> = on_engine!(self, read, DUE_REPAIR, |sql, pool| {
            let query = sqlx::query_as(sql).bind(now).bind(now + 2 * AGAIN_LONGEST);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        row.map(due).transpose()
    }

    /// The listing that is to be walked whole now, if any, where each is after so long.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn due_sweep(
        &self,
        interval_ms: i64,
        now_ms: i64,
    ) -> Result<Option<SweepDue>, StoreError> {
        let row: Option<Row> = on_engine!(self, read, DUE_SWEEP, |sql, pool| {
            let query = sqlx::query_as(sql).bind(now_ms).bind(interval_ms);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        row.map(due).transpose()
    }

    /// Notes that a sweep came to nothing, where what it brought cannot be recorded: others are due
    /// before it then.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn postpone_sweep(&self, sweep: &SweepRecord, now_ms: i64) -> Result<(), StoreError> {
        self.written(async {
            let mut transaction = self.begin().await?;
            transaction.tried(sweep, now_ms.div_euclid(1000)).await?;
            transaction.commit().await
        })
        .await
    }
}

fn due((subreddit, reach, covered_until): Row) -> Result<SweepDue, StoreError> {
    Ok(SweepDue {
        subreddit: subreddit.parse().map_err(StoreError::unreadable)?,
        reach,
        covered_until,
    })
}

impl Transaction {
    /// Coverage, gaps and the next sweep, of a subreddit whose row is locked.
    pub(super) async fn record_sweep(
        &mut self,
        sweep: &SweepRecord,
        told: &Told<'_>,
        now: i64,
    ) -> Result<GapsChanged, StoreError> {
        let name = sweep.due.subreddit.as_str();
        let mut changed = GapsChanged::default();
        for proven in without(sweep.proven.as_slice(), &told.missing) {
            self.cover(&[(name, proven)]).await?;
            let changes = GapChanges {
                subreddit: name,
                left: None,
                proven: Some(proven),
            };
            changed.add(self.change_gaps(&[changes], "sweep", now).await?);
        }
        self.tried(sweep, now).await?;
        Ok(changed)
    }

    async fn tried(&mut self, sweep: &SweepRecord, now: i64) -> Result<(), StoreError> {
        let name = sweep.due.subreddit.as_str();
        in_transaction!(self, TRIED, |sql, connection| {
            let query = sqlx::query(sql)
                .bind(name)
                .bind(now)
                .bind(sweep.reason.as_str())
                .bind(sweep.due.reach)
                .bind(sweep.due.covered_until)
                .bind(AGAIN_FIRST)
                .bind(AGAIN_LONGEST);
            query.execute(connection).await?;
        });
        if let Some(next_sweep_ms) = sweep.next_sweep_ms {
            in_transaction!(self, NEXT, |sql, connection| {
                let query = sqlx::query(sql).bind(name).bind(next_sweep_ms);
                query.execute(connection).await?;
            });
        }
        Ok(())
    }
}
