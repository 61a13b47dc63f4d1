//! What each poll covered, and what all of them together have proven.

use super::intervals::{Interval, cover};
use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::submissions::json;
use super::{Store, StoreError, WindowOutcome};
use crate::submission::SubredditName;
use serde::Serialize;
use std::collections::HashMap;

/// A poll's window, to be recorded. Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRecord {
    /// How far back the poll had to look.
    pub window_start: i64,
    /// Up to when it looked.
    pub window_end: i64,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: i64,
    /// Pages asked for.
    pub pages: u32,
    /// Submissions of this subreddit that were listed.
    pub listed: u32,
    /// What it proved.
    pub outcome: WindowOutcome,
}

/// A recorded window: a row of `poll_windows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollWindow {
    /// Whose.
    pub subreddit: SubredditName,
    /// As it was recorded.
    pub window: WindowRecord,
    /// Listed submissions of this subreddit that were new to the database.
    pub fresh: u32,
}

/// A poll's window with what the store adds to it.
#[derive(Debug, Serialize)]
pub(super) struct NewWindow<'a> {
    pub subreddit: &'a str,
    pub claim_token: i64,
    pub window_start: i64,
    pub window_end: i64,
    pub started_at: i64,
    pub finished_at: i64,
    pub pages: u32,
    pub listed: u32,
    pub fresh: i64,
    pub outcome: &'static str,
}

/// A claim leads to one window, so the same one recorded again is the same row.
const INSERT: Dialects = Dialects {
    postgres:
        "INSERT INTO poll_windows (subreddit, claim_token, window_start, window_end, started_at,
         finished_at, pages, listed, fresh, outcome)
     SELECT n.* FROM json_to_recordset($1::text::json) AS n(subreddit text, claim_token bigint,
         window_start bigint, window_end bigint, started_at bigint, finished_at bigint,
         pages bigint, listed bigint, fresh bigint, outcome text)
     ON CONFLICT (subreddit, claim_token) DO NOTHING",
    sqlite:
        "INSERT INTO poll_windows (subreddit, claim_token, window_start, window_end, started_at,
         finished_at, pages, listed, fresh, outcome)
     SELECT value->>'subreddit', value->>'claim_token', value->>'window_start',
         value->>'window_end', value->>'started_at', value->>'finished_at', value->>'pages',
         value->>'listed', value->>'fresh', value->>'outcome'
     FROM json_each($1) WHERE true
     ON CONFLICT (subreddit, claim_token) DO NOTHING",
};
const NEWEST: Dialects = Dialects::same(
    "SELECT window_start, window_end, started_at, finished_at, pages, listed, fresh, outcome
     FROM poll_windows WHERE subreddit = $1
     ORDER BY finished_at DESC, claim_token DESC LIMIT $2",
);
const TOUCHING: Dialects = Dialects {
    postgres: "SELECT c.subreddit, c.covered_start, c.covered_end
     FROM json_to_recordset($1::text::json) AS n(subreddit text, lower_end bigint, upper_end bigint)
     JOIN coverage AS c ON c.subreddit = n.subreddit
         AND c.covered_start <= n.upper_end AND c.covered_end >= n.lower_end",
    sqlite: "SELECT c.subreddit, c.covered_start, c.covered_end
     FROM json_each($1) AS n
     JOIN coverage AS c ON c.subreddit = n.value->>'subreddit'
         AND c.covered_start <= n.value->>'upper_end' AND c.covered_end >= n.value->>'lower_end'",
};
const ABSORB: Dialects =
    Dialects::same("DELETE FROM coverage WHERE subreddit = $1 AND covered_start = $2");
const KEEP: Dialects = Dialects {
    postgres: "INSERT INTO coverage (subreddit, covered_start, covered_end)
     SELECT n.subreddit, n.lower_end, n.upper_end
     FROM json_to_recordset($1::text::json) AS n(subreddit text, lower_end bigint, upper_end bigint)
     ON CONFLICT (subreddit, covered_start) DO UPDATE SET covered_end = excluded.covered_end",
    sqlite: "INSERT INTO coverage (subreddit, covered_start, covered_end)
     SELECT value->>'subreddit', value->>'lower_end', value->>'upper_end'
     FROM json_each($1) WHERE true
     ON CONFLICT (subreddit, covered_start) DO UPDATE SET covered_end = excluded.covered_end",
};
const COVERAGE: Dialects = Dialects::same(
    "SELECT covered_start, covered_end FROM coverage WHERE subreddit = $1 ORDER BY covered_start",
);
const PRUNE: Dialects = Dialects {
    postgres: "DELETE FROM poll_windows WHERE (subreddit, claim_token) IN (
         SELECT subreddit, claim_token FROM poll_windows WHERE finished_at < $1
         ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    sqlite: "DELETE FROM poll_windows WHERE (subreddit, claim_token) IN (
         SELECT subreddit, claim_token FROM poll_windows WHERE finished_at < $1
         ORDER BY finished_at LIMIT $2)",
};

/// Rows in one step of pruning: a few milliseconds, so that nobody waits for it.
const PRUNE_STEP: i64 = 1000;

/// An interval of a subreddit, as a parameter.
#[derive(Debug, Serialize)]
pub(super) struct Reach<'a> {
    pub subreddit: &'a str,
    pub lower_end: i64,
    pub upper_end: i64,
}

impl<'a> Reach<'a> {
    pub fn new(subreddit: &'a str, interval: Interval) -> Reach<'a> {
        Reach {
            subreddit,
            lower_end: interval.start,
            upper_end: interval.end,
        }
    }
}

impl Transaction {
    pub(super) async fn add_windows(
        &mut self,
        windows: &[NewWindow<'_>],
    ) -> Result<(), StoreError> {
        if windows.is_empty() {
            return Ok(());
        }
        let rows = json(windows)?;
        in_transaction!(self, INSERT, |sql, connection| {
            sqlx::query(sql).bind(rows).execute(connection).await?;
        });
        Ok(())
    }

    /// Adds one proven interval for each of these subreddits, whose rows are locked.
    pub(super) async fn cover(&mut self, proven: &[(&str, Interval)]) -> Result<(), StoreError> {
        if proven.is_empty() {
            return Ok(());
        }
        let reaches: Vec<_> = proven
            .iter()
            .map(|(subreddit, interval)| Reach::new(subreddit, *interval))
            .collect();
        let reaches = json(&reaches)?;
        let rows: Vec<(String, i64, i64)> = in_transaction!(self, TOUCHING, |sql, connection| {
            sqlx::query_as(sql)
                .bind(reaches)
                .fetch_all(connection)
                .await?
        });
        let mut stored: HashMap<String, Vec<Interval>> = HashMap::new();
        for (subreddit, start, end) in rows {
            let interval = Interval { start, end };
            stored.entry(subreddit).or_default().push(interval);
        }
        let mut kept = Vec::new();
        for (subreddit, proven) in proven {
            let touching = stored.get(*subreddit).map_or(&[][..], Vec::as_slice);
            let Some(change) = cover(touching, *proven) else {
                continue;
            };
            for start in change.absorbed {
                in_transaction!(self, ABSORB, |sql, connection| {
                    let query = sqlx::query(sql).bind(*subreddit).bind(start);
                    query.execute(connection).await?;
                });
            }
            kept.push(Reach::new(subreddit, change.kept));
        }
        if !kept.is_empty() {
            let rows = json(&kept)?;
            in_transaction!(self, KEEP, |sql, connection| {
                sqlx::query(sql).bind(rows).execute(connection).await?;
            });
        }
        Ok(())
    }
}

impl Store {
    /// The intervals of a subreddit that are proven complete: seconds, each from its start up to but
    /// not including its end, ascending, no two touching.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn coverage(&self, subreddit: &SubredditName) -> Result<Vec<(i64, i64)>, StoreError> {
        on_engine!(self, read, COVERAGE, |sql, pool| {
            let query = sqlx::query_as(sql).bind(subreddit.as_str());
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// The latest polls of a subreddit, newest first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn poll_windows(
        &self,
        subreddit: &SubredditName,
        limit: u32,
    ) -> Result<Vec<PollWindow>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, i64, i64, String);
        let rows: Vec<Row> = on_engine!(self, read, NEWEST, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(subreddit.as_str())
                .bind(i64::from(limit));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let count = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
        let windows = rows.into_iter().map(|row| {
            let (window_start, window_end, started_at, finished_at, pages, listed, fresh, outcome) =
                row;
            Ok(PollWindow {
                subreddit: subreddit.clone(),
                window: WindowRecord {
                    window_start,
                    window_end,
                    started_at,
                    finished_at,
                    pages: count(pages),
                    listed: count(listed),
                    outcome: outcome.parse().map_err(StoreError::unreadable)?,
                },
                fresh: count(fresh),
            })
        });
        Ok(windows.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Deletes windows of polls that ended before a moment (seconds), in small steps; returns how
    /// many. Coverage and gaps, which say what they proved, stay.
    ///
    /// # Errors
    /// As the database answers; steps done before stay done.
    pub async fn prune(&self, windows_before: i64) -> Result<u64, StoreError> {
        let mut pruned = 0;
        loop {
            let step: u64 = on_engine!(self, write, PRUNE, |sql, pool| {
                let query = sqlx::query(sql).bind(windows_before).bind(PRUNE_STEP);
                Ok::<_, StoreError>(query.execute(pool).await?.rows_affected())
            })?;
            pruned += step;
            if step == 0 {
                return Ok(pruned);
            }
        }
    }
}
