//! Intervals that may miss submissions.

use super::intervals::{GapChange, Interval, OpenGap, plan_gaps};
use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::submissions::json;
use super::windows::Reach;
use super::{GapCause, GapReason, GapState, Store, StoreError};
use crate::submission::SubredditName;
use std::collections::HashMap;

/// A gap that a poll left, to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapRecord {
    /// What was not reached. An empty interval is no gap.
    pub interval: Interval,
    /// Why.
    pub cause: GapCause,
}

/// A recorded gap: a row of `gaps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The row's number.
    pub id: i64,
    /// Whose.
    pub subreddit: SubredditName,
    /// What may miss submissions.
    pub interval: Interval,
    /// Why.
    pub cause: GapCause,
    /// What became of it.
    pub state: GapState,
    /// Seconds.
    pub opened_at: i64,
    /// What proved it complete: `poll`, `sweep`, …
    pub repaired_by: Option<String>,
    /// Seconds.
    pub repaired_at: Option<i64>,
    /// Seconds; when its listing was last walked again for it.
    pub tried_at: Option<i64>,
    /// Why it was still open then.
    pub reason: Option<GapReason>,
}

#[derive(sqlx::FromRow)]
struct GapRow {
    id: i64,
    subreddit: String,
    gap_start: i64,
    gap_end: i64,
    cause: String,
    state: String,
    opened_at: i64,
    repaired_by: Option<String>,
    repaired_at: Option<i64>,
    tried_at: Option<i64>,
    reason: Option<String>,
}

/// Seconds that a new gap is left to the polls, which close most of them.
const REPAIR_AFTER: i64 = 60;

/// What became of gaps in one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GapsChanged {
    /// Causes of gaps that were not known before.
    pub opened: Vec<GapCause>,
    /// How many were closed.
    pub repaired: u64,
}

impl GapsChanged {
    pub fn add(&mut self, more: GapsChanged) {
        self.opened.extend(more.opened);
        self.repaired += more.repaired;
    }
}

/// What one walk of a subreddit does to its gaps.
#[derive(Debug, Clone, Copy)]
pub(super) struct GapChanges<'a> {
    pub subreddit: &'a str,
    pub left: Option<GapRecord>,
    pub proven: Option<Interval>,
}

impl GapChanges<'_> {
    /// The ground in which stored gaps matter.
    fn reach(&self) -> Option<Interval> {
        match (self.left.map(|gap| gap.interval), self.proven) {
            (Some(left), Some(proven)) => Some(left.hull(proven)),
            (left, proven) => left.or(proven),
        }
    }
}

const TOUCHING: Dialects = Dialects {
    postgres: "SELECT g.id, g.subreddit, g.gap_start, g.gap_end, g.cause
     FROM json_to_recordset($1::text::json) AS n(subreddit text, lower_end bigint, upper_end bigint)
     JOIN gaps AS g ON g.subreddit = n.subreddit AND g.state = 'open'
         AND g.gap_start <= n.upper_end AND g.gap_end >= n.lower_end
     ORDER BY g.id",
    sqlite: "SELECT g.id, g.subreddit, g.gap_start, g.gap_end, g.cause
     FROM json_each($1) AS n
     JOIN gaps AS g ON g.subreddit = n.value->>'subreddit' AND g.state = 'open'
         AND g.gap_start <= n.value->>'upper_end' AND g.gap_end >= n.value->>'lower_end'
     ORDER BY g.id",
};
const INSERT: Dialects = Dialects::same(
    "INSERT INTO gaps (subreddit, gap_start, gap_end, cause, state, opened_at, reason, next_try_at)
     VALUES ($1, $2, $3, $4, 'open', $5, $6, $7)",
);
/// What grew at its newer end has not been tried.
const MOVE: Dialects = Dialects::same(
    "UPDATE gaps SET gap_start = $2, gap_end = $3,
         tried_at = CASE WHEN $3 > gap_end THEN NULL ELSE tried_at END,
         reason = CASE WHEN $3 > gap_end AND cause <> 'cap' THEN NULL ELSE reason END,
         next_try_at = CASE WHEN $3 > gap_end AND cause <> 'cap' THEN $4 ELSE next_try_at END
     WHERE id = $1",
);
const REPAIR: Dialects = Dialects::same(
    "UPDATE gaps SET state = 'repaired', repaired_by = $3, repaired_at = $2 WHERE id = $1",
);
const DELETE: Dialects = Dialects::same("DELETE FROM gaps WHERE id = $1");
const LIST: Dialects = Dialects::same(
    "SELECT id, subreddit, gap_start, gap_end, cause, state, opened_at, repaired_by, repaired_at,
            tried_at, reason
     FROM gaps
     WHERE ($1 IS NULL OR subreddit = $1) AND ($2 IS NULL OR state = $2)
     ORDER BY subreddit, gap_start, gap_end, id",
);

impl Transaction {
    /// Applies what walks left and proved to subreddits whose rows are locked.
    pub(super) async fn change_gaps(
        &mut self,
        polls: &[GapChanges<'_>],
        repaired_by: &'static str,
        now: i64,
    ) -> Result<GapsChanged, StoreError> {
        let reaches: Vec<_> = polls
            .iter()
            .filter_map(|poll| Some(Reach::new(poll.subreddit, poll.reach()?)))
            .collect();
        if reaches.is_empty() {
            return Ok(GapsChanged::default());
        }
        let reaches = json(&reaches)?;
        let rows: Vec<(i64, String, i64, i64, String)> =
            in_transaction!(self, TOUCHING, |sql, connection| {
                sqlx::query_as(sql)
                    .bind(reaches)
                    .fetch_all(connection)
                    .await?
            });
        let mut stored: HashMap<String, Vec<OpenGap<GapCause>>> = HashMap::new();
        for (row, subreddit, start, end, cause) in rows {
            stored.entry(subreddit).or_default().push(OpenGap {
                row: Some(row),
                interval: Interval { start, end },
                cause: cause.parse().map_err(StoreError::unreadable)?,
            });
        }
        let mut changed = GapsChanged::default();
        for poll in polls {
            let open = stored.get(poll.subreddit).map_or(&[][..], Vec::as_slice);
            let left = poll.left.map(|gap| (gap.interval, gap.cause));
            let plan = plan_gaps(open, left, poll.proven);
            for change in plan.changes {
                changed.repaired += u64::from(matches!(change, GapChange::Repair { .. }));
                self.change_gap(poll.subreddit, change, repaired_by, now)
                    .await?;
            }
            if let Some(gap) = poll.left.filter(|_| plan.opened) {
                changed.opened.push(gap.cause);
            }
        }
        Ok(changed)
    }

    async fn change_gap(
        &mut self,
        subreddit: &str,
        change: GapChange<GapCause>,
        repaired_by: &'static str,
        now: i64,
    ) -> Result<(), StoreError> {
        match change {
            GapChange::Insert { interval, cause } => {
                // The walk that left it has seen all that the listing shows.
                let reached = cause == GapCause::Cap;
                in_transaction!(self, INSERT, |sql, connection| {
                    let query = sqlx::query(sql)
                        .bind(subreddit)
                        .bind(interval.start)
                        .bind(interval.end)
                        .bind(cause.as_str())
                        .bind(now)
                        .bind(reached.then_some(GapReason::BeyondListing.as_str()))
                        .bind((!reached).then_some(now + REPAIR_AFTER));
                    query.execute(connection).await?;
                });
            }
            GapChange::Move { row, interval } => in_transaction!(self, MOVE, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(row)
                    .bind(interval.start)
                    .bind(interval.end)
                    .bind(now + REPAIR_AFTER);
                query.execute(connection).await?;
            }),
            GapChange::Repair { row } => in_transaction!(self, REPAIR, |sql, connection| {
                let query = sqlx::query(sql).bind(row).bind(now).bind(repaired_by);
                query.execute(connection).await?;
            }),
            GapChange::Delete { row } => in_transaction!(self, DELETE, |sql, connection| {
                sqlx::query(sql).bind(row).execute(connection).await?;
            }),
        }
        Ok(())
    }
}

impl Store {
    /// Recorded gaps, of one subreddit or all, in one state or any; by subreddit, then by start.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn gaps(
        &self,
        subreddit: Option<&SubredditName>,
        state: Option<GapState>,
    ) -> Result<Vec<Gap>, StoreError> {
        let rows: Vec<GapRow> = on_engine!(self, read, LIST, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(subreddit.map(SubredditName::as_str))
                .bind(state.map(GapState::as_str));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let gaps = rows.into_iter().map(Gap::try_from);
        Ok(gaps.collect::<Result<_, sqlx::Error>>()?)
    }
}

impl TryFrom<GapRow> for Gap {
    type Error = sqlx::Error;

    fn try_from(row: GapRow) -> Result<Self, sqlx::Error> {
        let reason = row.reason.map(|reason| reason.parse()).transpose();
        Ok(Gap {
            id: row.id,
            subreddit: row.subreddit.parse().map_err(StoreError::unreadable)?,
            interval: Interval {
                start: row.gap_start,
                end: row.gap_end,
            },
            cause: row.cause.parse().map_err(StoreError::unreadable)?,
            state: row.state.parse().map_err(StoreError::unreadable)?,
            opened_at: row.opened_at,
            repaired_by: row.repaired_by,
            repaired_at: row.repaired_at,
            tried_at: row.tried_at,
            reason: reason.map_err(StoreError::unreadable)?,
        })
    }
}
