//! Walks of a whole listing beside the polls: which is due, and what came of it.
//!
//! A sweep moves no watermark and needs no claim: what it proves stays true however late it is
//! recorded, and recording it twice changes nothing.

use super::gaps::GapChanges;
use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::{GapReason, Interval, Store, StoreError, SweepKind};
use crate::submission::SubredditName;

/// A listing that is to be walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepDue {
    /// Whose.
    pub subreddit: SubredditName,
    /// What for.
    pub kind: SweepKind,
    /// Seconds: how far down; `i64::MIN` for all that the listing shows.
    pub reach: i64,
    /// Seconds: where the oldest open gap begins.
    pub oldest_gap: Option<i64>,
    /// Seconds: the watermark, which bounds what a sweep may prove.
    pub covered_until: i64,
    /// Seconds; creation time of the newest that was found.
    pub last_submission_at: Option<i64>,
}

/// Which sweeps are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepTimes {
    /// Between two sweeps of a listing; none where only gaps are walked again.
    pub interval_ms: Option<i64>,
    /// Seconds that a new gap is left to the polls.
    pub repair_after: i64,
    /// Seconds until a gap that may still be reached is tried again.
    pub repair_again_after: i64,
}

/// What a sweep means for its subreddit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRecord {
    /// Whose.
    pub subreddit: SubredditName,
    /// What it proved complete.
    pub proven: Option<Interval>,
    /// Seconds: open gaps that begin here or later were walked for.
    pub reach: i64,
    /// Seconds: and end here or before.
    pub covered_until: i64,
    /// Why those of them that are still open are.
    pub reason: GapReason,
    /// Milliseconds; none leaves it.
    pub next_sweep_ms: Option<i64>,
}

type Row = (String, Option<i64>, Option<i64>, i64, Option<i64>);

/// `$1` and `$2`: opened between these is too new, `$3` and `$2`: tried between these too lately.
const REPAIR: Dialects = Dialects::same(
    "SELECT s.name, min(g.gap_start),
            (SELECT min(o.gap_start) FROM gaps AS o WHERE o.subreddit = s.name AND o.state = 'open'),
            s.covered_until, s.last_submission_at
     FROM gaps AS g JOIN subreddits AS s ON s.name = g.subreddit
     WHERE g.state = 'open' AND s.state = 'active' AND g.gap_end <= s.covered_until
       AND ((g.tried_at IS NULL AND g.opened_at NOT BETWEEN $1 AND $2)
            OR (g.reason <> 'beyond_listing' AND g.tried_at NOT BETWEEN $3 AND $2))
     GROUP BY s.name, s.covered_until, s.last_submission_at
     ORDER BY min(coalesce(g.tried_at, g.opened_at)), s.name LIMIT 1",
);
/// `$1` now, `$2` the interval. One that seems to be due much later was timed by a clock that has
/// since been set back, or under a longer interval.
const SWEEP: Dialects = Dialects::same(
    "SELECT s.name, NULL,
            (SELECT min(o.gap_start) FROM gaps AS o WHERE o.subreddit = s.name AND o.state = 'open'),
            s.covered_until, s.last_submission_at
     FROM subreddits AS s
     WHERE s.state = 'active' AND s.covered_until IS NOT NULL
       AND (coalesce(s.next_sweep_ms, s.added_at * 1000 + $2) <= $1
            OR s.next_sweep_ms > $1 + 2 * $2)
     ORDER BY coalesce(s.next_sweep_ms, s.added_at * 1000 + $2), s.name LIMIT 1",
);
const NEXT: Dialects = Dialects::same("UPDATE subreddits SET next_sweep_ms = $2 WHERE name = $1");
const TRIED: Dialects = Dialects::same(
    "UPDATE gaps SET tried_at = $2, reason = $3
     WHERE subreddit = $1 AND state = 'open' AND gap_start >= $4 AND gap_end <= $5",
);

impl Store {
    /// The listing that is to be walked now, if any; gaps first, since listings move on.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn due_sweep(
        &self,
        times: SweepTimes,
        now_ms: i64,
    ) -> Result<Option<SweepDue>, StoreError> {
        let now = now_ms.div_euclid(1000);
        let row: Option<Row> = on_engine!(self, read, REPAIR, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(now - times.repair_after)
                .bind(now)
                .bind(now - times.repair_again_after);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        if let Some(row) = row {
            return due(row, SweepKind::Repair).map(Some);
        }
        let Some(interval_ms) = times.interval_ms else {
            return Ok(None);
        };
        let row: Option<Row> = on_engine!(self, read, SWEEP, |sql, pool| {
            let query = sqlx::query_as(sql).bind(now_ms).bind(interval_ms);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        row.map(|row| due(row, SweepKind::Sweep)).transpose()
    }
}

fn due(row: Row, kind: SweepKind) -> Result<SweepDue, StoreError> {
    let (subreddit, reach, oldest_gap, covered_until, last_submission_at) = row;
    Ok(SweepDue {
        subreddit: subreddit.parse().map_err(StoreError::unreadable)?,
        kind,
        reach: reach.unwrap_or(i64::MIN),
        oldest_gap,
        covered_until,
        last_submission_at,
    })
}

impl Transaction {
    /// Coverage, gaps and the next sweep, of a subreddit whose row is locked; how many gaps it
    /// closed.
    pub(super) async fn record_sweep(
        &mut self,
        sweep: &SweepRecord,
        now: i64,
    ) -> Result<u64, StoreError> {
        let name = sweep.subreddit.as_str();
        if let Some(proven) = sweep.proven {
            self.cover(&[(name, proven)]).await?;
        }
        let changes = GapChanges {
            subreddit: name,
            left: None,
            proven: sweep.proven,
        };
        let changed = self.change_gaps(&[changes], "sweep", now).await?;
        in_transaction!(self, TRIED, |sql, connection| {
            let query = sqlx::query(sql)
                .bind(name)
                .bind(now)
                .bind(sweep.reason.as_str())
                .bind(sweep.reach)
                .bind(sweep.covered_until);
            query.execute(connection).await?;
        });
        if let Some(next_sweep_ms) = sweep.next_sweep_ms {
            in_transaction!(self, NEXT, |sql, connection| {
                let query = sqlx::query(sql).bind(name).bind(next_sweep_ms);
                query.execute(connection).await?;
            });
        }
        Ok(changed.repaired)
    }
}
