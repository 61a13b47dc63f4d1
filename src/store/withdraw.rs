//! Taking back what was reported as complete, where later evidence contradicts it.
//!
//! Owns what is trusted still: what lies in the future was proven by nobody, and where submissions turn
//! up in proven time that nobody had seen, more of their neighbours may be missing. What is taken back
//! becomes a gap in the same transaction, so that it is walked again.

mod archives;
mod doubts;
mod runs;

pub use archives::Recent;
pub(super) use doubts::Told;
pub use doubts::{Doubts, Missing};
pub(super) use runs::{Brought, Tolerance};

use super::content::Content;
use super::gaps::{GapChanges, GapsChanged};
use super::intervals::{Interval, uncover};
use super::statement::{Dialects, Texts, Transaction, in_transaction};
use super::submissions::json;
use super::windows::Reach;
use super::{GapCause, GapRecord, StoreError};
use crate::submission::SubmissionId;
use runs::contradictions;
use std::collections::{BTreeSet, HashSet};

/// Seconds by which coverage may lie ahead of a process's clock: another machine's may differ as much.
const AHEAD: i64 = 120;

const COVERAGE: Dialects = Dialects::same(
    "SELECT covered_start, covered_end FROM coverage
     WHERE subreddit = $1 AND covered_end >= $2 AND covered_start <= $3 ORDER BY covered_start",
);
const REMOVE: Dialects =
    Dialects::same("DELETE FROM coverage WHERE subreddit = $1 AND covered_start = $2");
const KEEP: Dialects = Dialects::same(
    "INSERT INTO coverage (subreddit, covered_start, covered_end) VALUES ($1, $2, $3)
     ON CONFLICT (subreddit, covered_start) DO UPDATE SET covered_end = excluded.covered_end",
);
/// `$1` subreddits with what is now for each, `$2` how far ahead of that is still no future.
const FUTURE: Dialects = Dialects {
    postgres: "SELECT n.subreddit FROM json_to_recordset($1::text::json)
         AS n(subreddit text, lower_end bigint, upper_end bigint)
     JOIN subreddits AS s ON s.name = n.subreddit
     WHERE s.covered_until > n.upper_end + $2 OR s.seen_until > n.upper_end + $2
        OR EXISTS (SELECT 1 FROM coverage AS c
                   WHERE c.subreddit = n.subreddit AND c.covered_end > n.upper_end + $2)",
    sqlite: "SELECT n.value->>'subreddit' FROM json_each($1) AS n
     JOIN subreddits AS s ON s.name = n.value->>'subreddit'
     WHERE s.covered_until > (n.value->>'upper_end') + $2
        OR s.seen_until > (n.value->>'upper_end') + $2
        OR EXISTS (SELECT 1 FROM coverage AS c
                   WHERE c.subreddit = s.name AND c.covered_end > (n.value->>'upper_end') + $2)",
};
/// The end of the last window before the first that ended after it was over, or has not ended yet. `$2`
/// now, `$3` how far ahead is still none of these.
const TRUSTED: Dialects = Dialects::same(
    "SELECT max(window_end) FROM poll_windows
     WHERE subreddit = $1 AND outcome <> 'failed' AND window_end <= $2
       AND window_end <= finished_at + $3
       AND claim_token < coalesce(
           (SELECT min(claim_token) FROM poll_windows
            WHERE subreddit = $1 AND outcome <> 'failed'
              AND (window_end > $2 + $3 OR window_end > finished_at + $3)),
           9223372036854775807)",
);
/// Below the watermark all is proven or lies in a gap, so it goes back to where what was taken back
/// begins (`$2`; now, where nothing was), and not below it.
const SET_BACK: Dialects = Dialects {
    postgres: "UPDATE subreddits SET covered_until = least(covered_until, $2),
         seen_until = least(covered_until, $2),
         last_complete_at = least(last_complete_at, $2) WHERE name = $1
     RETURNING covered_until",
    sqlite: "UPDATE subreddits SET covered_until = min(covered_until, $2),
         seen_until = min(covered_until, $2),
         last_complete_at = min(last_complete_at, $2) WHERE name = $1
     RETURNING covered_until",
};
/// When what was known as a watermark (`$2`) was set had been discovered at the latest, seconds: before its window
/// ended, or in that second by its walk.
const KNOWN_BY: Dialects = Dialects::same(
    "SELECT max(CASE WHEN fresh > 0 THEN finished_at ELSE finished_at - 1 END) FROM poll_windows
     WHERE subreddit = $1 AND window_end = $2 AND outcome <> 'failed'",
);
/// The nearest submissions that were known before, below and above: `$2` and `$3` bound what is doubted,
/// `$4` are those that were not known, and `$5` when what was known was discovered at the latest.
const NEIGHBOURS: Dialects = Dialects {
    postgres: "SELECT (SELECT max(created_utc) FROM submissions
             WHERE lower(subreddit) = $1 AND created_utc < $2 AND NOT (id = ANY($4))
               AND discovered_at <= $5),
         (SELECT min(created_utc) FROM submissions
             WHERE lower(subreddit) = $1 AND created_utc >= $3 AND NOT (id = ANY($4))
               AND discovered_at <= $5)",
    sqlite: "SELECT (SELECT max(created_utc) FROM submissions
             WHERE lower(subreddit) = $1 AND created_utc < $2 AND discovered_at <= $5
               AND id NOT IN (SELECT value FROM json_each($4))),
         (SELECT min(created_utc) FROM submissions
             WHERE lower(subreddit) = $1 AND created_utc >= $3 AND discovered_at <= $5
               AND id NOT IN (SELECT value FROM json_each($4)))",
};

impl Transaction {
    /// Takes back what a walk contradicts, before what it proves is recorded. All rows are locked.
    pub(super) async fn contradicted(
        &mut self,
        told: &[Told<'_>],
        listed: &[Content<'_>],
        fresh: &HashSet<String>,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let presents = told
            .iter()
            .filter_map(|it| Some((it.subreddit, it.doubts.now?)));
        let presents: Vec<(&str, i64)> = presents.collect();
        let mut changed = self.withdraw_future(&presents, at).await?;
        for it in told {
            if let Some((until, cause)) = it.doubts.uncorroborated {
                let withdrawn = self.withdraw_silence(it.subreddit, until, fresh, cause, at);
                changed.add(withdrawn.await?);
            }
        }
        if fresh.len() < Tolerance::LISTING.at_least {
            return Ok(changed);
        }
        let fresh_ids: Vec<&str> = fresh.iter().map(String::as_str).collect();
        for it in told {
            let Some(settled_before) = it.doubts.settled_before else {
                continue;
            };
            let own = listed.iter().filter(|row| {
                let name = row.fields.subreddit.as_deref();
                name.is_some_and(|name| name.eq_ignore_ascii_case(it.subreddit))
            });
            let brought: Vec<Brought> = own
                .map(|row| Brought {
                    created: row.fields.created_utc,
                    fresh: fresh.contains(row.id()),
                })
                .collect();
            let withdrawn = self.contradict(
                it.subreddit,
                &brought,
                &fresh_ids,
                settled_before,
                Tolerance::LISTING,
                at,
            );
            changed.add(withdrawn.await?);
        }
        Ok(changed)
    }

    /// Takes back the time before a watermark in which nothing was listed, where nothing listed later
    /// meets what was known before.
    async fn withdraw_silence(
        &mut self,
        subreddit: &str,
        until: i64,
        fresh: &HashSet<String>,
        cause: GapCause,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let Some(proven) = self
            .coverage_in(subreddit, until - 1, until - 1)
            .await?
            .pop()
        else {
            return Ok(GapsChanged::default());
        };
        let fresh: Vec<&str> = fresh.iter().map(String::as_str).collect();
        // What polls found since then came with the answers that contradict the silence.
        let known_by: Option<i64> = in_transaction!(self, KNOWN_BY, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(subreddit).bind(until);
            query.fetch_one(connection).await?
        });
        let known_by = known_by.unwrap_or(i64::MAX);
        let neighbours = self.neighbours(subreddit, until, until, &fresh, known_by);
        let (last, _) = neighbours.await?;
        let silence = Interval {
            start: last.unwrap_or(i64::MIN).max(proven.start),
            end: until,
        };
        self.withdraw(subreddit, silence, cause, at).await
    }

    /// When the nearest submissions that were known were created: the last before `start`, and the first
    /// from `end` on. What was discovered after `known_by` (seconds) does not count.
    async fn neighbours(
        &mut self,
        subreddit: &str,
        start: i64,
        end: i64,
        fresh_ids: &[&str],
        known_by: i64,
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let ids: Texts<'_> = fresh_ids.iter().copied().collect();
        Ok(in_transaction!(self, NEIGHBOURS, |sql, connection| {
            let query = sqlx::query_as(sql)
                .bind(subreddit)
                .bind(start)
                .bind(end)
                .bind(ids)
                .bind(known_by);
            query.fetch_one(connection).await?
        }))
    }

    /// Which of what the walks could not read is stored all the same.
    pub(super) async fn known_unread<'a>(
        &mut self,
        doubts: impl Iterator<Item = &'a Doubts>,
    ) -> Result<HashSet<String>, StoreError> {
        let missing = doubts.flat_map(|doubts| &doubts.missing);
        let ids = missing.filter_map(|it| it.unread.as_ref());
        let ids: BTreeSet<&str> = ids.map(SubmissionId::as_str).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let known = self.known(ids.into_iter().collect(), false).await?;
        Ok(known.into_keys().collect())
    }

    /// Leaves a gap where each submission lies that was listed and is not stored, after what the walk
    /// proves was recorded.
    pub(super) async fn leave_out(
        &mut self,
        told: &[Told<'_>],
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        let cause = GapCause::NotStored;
        for it in told {
            for missing in &it.missing {
                let mut doubted = *missing;
                if missing.start == i64::MIN {
                    // It stands below all that was read: what was proven of older time rests on more.
                    let proven = it.proven.map_or(i64::MAX, |proven| proven.start);
                    doubted.start = proven.min(missing.end);
                }
                changed.add(self.withdraw(it.subreddit, doubted, cause, at).await?);
                if let Some(proven) = it.proven {
                    let left_out = Interval {
                        start: proven.start.max(missing.start),
                        end: proven.end.min(missing.end),
                    };
                    changed.add(self.open_gap(it.subreddit, left_out, cause, at).await?);
                }
            }
        }
        Ok(changed)
    }

    /// Takes back what these subreddits, whose rows are locked, have proven of the future: down to the
    /// last window that can be trusted, and up to now it becomes a gap. Each comes with its present.
    pub(super) async fn withdraw_future(
        &mut self,
        presents: &[(&str, i64)],
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        let reaches = presents.iter().map(|(subreddit, now)| {
            let present = Interval {
                start: *now,
                end: *now,
            };
            Reach::new(subreddit, present)
        });
        let reaches: Vec<_> = reaches.collect();
        if reaches.is_empty() {
            return Ok(changed);
        }
        let reaches = json(&reaches)?;
        let ahead: Vec<String> = in_transaction!(self, FUTURE, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(reaches).bind(AHEAD);
            query.fetch_all(connection).await?
        });
        for (subreddit, now) in presents
            .iter()
            .filter(|(name, _)| ahead.iter().any(|it| it == name))
        {
            changed.add(self.set_back(subreddit, *now, at).await?);
        }
        Ok(changed)
    }

    async fn set_back(
        &mut self,
        subreddit: &str,
        now: i64,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let trusted: Option<i64> = in_transaction!(self, TRUSTED, |sql, connection| {
            let query = sqlx::query_scalar(sql)
                .bind(subreddit)
                .bind(now)
                .bind(AHEAD);
            query.fetch_one(connection).await?
        });
        let mut doubted_from = None;
        for interval in self.coverage_in(subreddit, now, i64::MAX).await? {
            if interval.end > now.saturating_add(AHEAD) {
                let from = trusted.unwrap_or(i64::MIN).max(interval.start);
                doubted_from = Some(doubted_from.unwrap_or(from).min(from));
            }
        }
        if let Some(start) = doubted_from {
            let future = Interval {
                start,
                end: i64::MAX,
            };
            self.uncover(subreddit, future).await?;
        }
        let recorded = doubted_from.unwrap_or(now).min(now);
        let covered_until: Option<i64> = in_transaction!(self, SET_BACK, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(subreddit).bind(recorded);
            query.fetch_one(connection).await?
        });
        tracing::warn!(
            subreddit,
            covered_until,
            now,
            "Coverage lay in the future and was withdrawn: a wrong clock wrote it. What may be missing \
             since then is a gap, and its listing is walked again"
        );
        let Some(start) = doubted_from.or(covered_until) else {
            return Ok(GapsChanged::default());
        };
        self.open_gap(
            subreddit,
            Interval { start, end: now },
            GapCause::Contradicted,
            at,
        )
        .await
    }

    /// Takes back what was proven of the time of submissions that nobody knew, where there are more of
    /// them than `tolerance` explains: from the last that was known before them to the first after them.
    /// It is to be called after they are stored and before what the same walk proves is recorded; the
    /// subreddit's row is locked. `brought` is all that was brought of the subreddit, `fresh_ids` those
    /// of it that are new, and what was created from `settled_before` on is expected to be new.
    pub(super) async fn contradict(
        &mut self,
        subreddit: &str,
        brought: &[Brought],
        fresh_ids: &[&str],
        settled_before: i64,
        tolerance: Tolerance,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        let late = |it: &&Brought| it.fresh && it.created < settled_before;
        if brought.iter().filter(late).count() < tolerance.at_least {
            return Ok(changed);
        }
        let times = || brought.iter().filter(late).map(|it| it.created);
        let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let proven = self.coverage_in(subreddit, first, last).await?;
        let is_proven = |second: i64| {
            let holds = |it: &Interval| (it.start..it.end).contains(&second);
            proven.iter().find(|it| holds(it)).copied()
        };
        let settled = brought.iter().filter(|it| it.created < settled_before);
        let settled: Vec<Brought> = settled
            .filter(|it| is_proven(it.created).is_some())
            .copied()
            .collect();
        for missed in contradictions(&settled, tolerance) {
            let neighbours = self
                .neighbours(subreddit, missed.start, missed.end, fresh_ids, i64::MAX)
                .await?;
            // Of two of one second, one may be missing.
            let below = is_proven(missed.start).map_or(missed.start, |it| it.start);
            let above = is_proven(missed.end - 1).map_or(missed.end, |it| it.end);
            let doubted = Interval {
                start: neighbours.0.unwrap_or(i64::MIN).max(below),
                end: neighbours.1.map_or(i64::MAX, |it| it + 1).min(above),
            };
            tracing::warn!(
                subreddit,
                from = doubted.start,
                until = doubted.end,
                "Submissions turned up in time that was reported as complete; it is withdrawn and walked \
                 again"
            );
            let withdrawn = self.withdraw(subreddit, doubted, GapCause::Contradicted, at);
            changed.add(withdrawn.await?);
        }
        Ok(changed)
    }

    /// Takes back what is proven of an interval and opens a gap for it. The subreddit's row is locked.
    pub(super) async fn withdraw(
        &mut self,
        subreddit: &str,
        doubted: Interval,
        cause: GapCause,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        for withdrawn in self.uncover(subreddit, doubted).await? {
            changed.add(self.open_gap(subreddit, withdrawn, cause, at).await?);
        }
        Ok(changed)
    }

    /// Opens a gap, or extends the one of the same cause that it touches.
    pub(super) async fn open_gap(
        &mut self,
        subreddit: &str,
        interval: Interval,
        cause: GapCause,
        at: i64,
    ) -> Result<GapsChanged, StoreError> {
        let changes = GapChanges {
            subreddit,
            left: Some(GapRecord { interval, cause }),
            proven: None,
        };
        self.change_gaps(&[changes], "", at).await
    }

    /// Takes back what is proven of an interval; the pieces that were.
    async fn uncover(
        &mut self,
        subreddit: &str,
        doubted: Interval,
    ) -> Result<Vec<Interval>, StoreError> {
        let stored = self
            .coverage_in(subreddit, doubted.start, doubted.end)
            .await?;
        let withdrawal = uncover(&stored, doubted);
        for start in withdrawal.removed {
            in_transaction!(self, REMOVE, |sql, connection| {
                let query = sqlx::query(sql).bind(subreddit).bind(start);
                query.execute(connection).await?;
            });
        }
        for kept in withdrawal.kept {
            in_transaction!(self, KEEP, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(subreddit)
                    .bind(kept.start)
                    .bind(kept.end);
                query.execute(connection).await?;
            });
        }
        Ok(withdrawal.withdrawn)
    }

    /// The proven intervals that touch this time.
    async fn coverage_in(
        &mut self,
        subreddit: &str,
        start: i64,
        end: i64,
    ) -> Result<Vec<Interval>, StoreError> {
        let rows: Vec<(i64, i64)> = in_transaction!(self, COVERAGE, |sql, connection| {
            let query = sqlx::query_as(sql).bind(subreddit).bind(start).bind(end);
            query.fetch_all(connection).await?
        });
        let intervals = rows.into_iter().map(|(start, end)| Interval { start, end });
        Ok(intervals.collect())
    }
}
