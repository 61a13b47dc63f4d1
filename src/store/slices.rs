//! Slices of backfills: fed to the queue, claimed with a lease and a token, recorded page by page.
//!
//! What a page brought and how far the slice has come are one transaction, under the slice's present
//! token: a worker that was cut off and comes back writes nothing over its successor's work, and a
//! killed one's slice goes on where its last page ended.

use super::archived::{ArchiveRecord, ArchiveStored};
use super::clocks::LENGTHS_AHEAD;
use super::content::{Deltas, prepare};
use super::statement::{Dialects, Transaction, in_transaction, on_engine};
use super::submissions::json;
use super::withdraw::Recent;
use super::{Interval, Store, StoreError};
use crate::submission::SubredditName;

/// Slices wait no longer than this by design.
const LONGEST_WAIT_MS: i64 = 15 * 60 * 1000;

/// A slice, and the right to record it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SliceClaim {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub backfill: i64,
    /// The row's token while the claim holds.
    pub token: i64,
    /// The file that it is; none for a slice of time.
    pub name: Option<String>,
    /// Seconds.
    pub slice_start: i64,
    /// Seconds.
    pub slice_end: i64,
    /// Up to which second, or line of the file, it is stored.
    pub reached: i64,
    /// Tries since it last got on, this one among them.
    pub attempts: i64,
    /// Whose past.
    pub subreddit: String,
    /// Where it comes from.
    pub source: String,
    /// Whether what it finds is fetched from Reddit afterwards.
    pub refresh: bool,
    /// What was found so far and is no submission.
    pub refused: i64,
    /// Submissions that were found so far.
    pub listed: i64,
    /// How many were expected at least when it was planned, where somebody has estimated it.
    pub expected: Option<i64>,
}

/// How far a slice comes with a page.
#[derive(Debug, Clone, Copy)]
pub struct SliceStep<'a> {
    /// The right to record it.
    pub claim: &'a SliceClaim,
    /// Up to which second, or line of the file, it is stored with this.
    pub reached: i64,
    /// Of which times it is known that not everything was shown, or could be read.
    pub unseen: &'a [Interval],
    /// Submissions of the slice that were found and are counted for the first time.
    pub listed: u64,
    /// What was found and is no submission.
    pub refused: u64,
    /// Requests that were sent.
    pub requests: u32,
    /// Until when (milliseconds) the claim holds then.
    pub claimed_until_ms: i64,
    /// What it means where it is the last.
    pub end: Option<SliceEnd<'a>>,
}

/// What became of a [`SliceStep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SliceStored {
    /// Of what was found.
    pub archived: ArchiveStored,
    /// Gaps that were closed.
    pub gaps_repaired: u64,
}

/// What the end of a slice means.
#[derive(Debug, Clone, Copy)]
pub struct SliceEnd<'a> {
    /// What it proved complete.
    pub proven: &'a [Interval],
    /// Where it ended, if that was before its end.
    pub reason: Option<&'a str>,
    /// Whether the backfill is done with the last of its slices; else [`Store::prove_backfill`] ends it.
    pub ends_backfill: bool,
}

/// One feeder at a time asks. A backfill that lets so many be done at once has no more of them in the
/// queue; its next are the oldest, or the newest.
const CLAIM: Dialects = Dialects::same(
    "UPDATE slices SET fed_ms = $1 WHERE id IN (
         SELECT w.id FROM (
             SELECT s.id, b.max_active - (
                        SELECT count(*) FROM slices AS a
                        WHERE a.backfill = b.id AND a.state = 'waiting' AND a.fed_ms IS NOT NULL
                    ) AS room,
                    row_number() OVER (PARTITION BY b.id ORDER BY
                        CASE WHEN b.newest_first THEN -s.part ELSE s.part END) AS place
             FROM backfills AS b JOIN slices AS s ON s.backfill = b.id
             WHERE b.state = 'running' AND b.source <> 'files' AND s.state = 'waiting'
               AND s.fed_ms IS NULL AND s.due_ms <= $1) AS w
         WHERE w.place <= w.room ORDER BY w.place LIMIT $2)
     RETURNING id",
);
const HAS_DUE: Dialects = Dialects::same(
    "SELECT count(*) FROM (
         SELECT 1 FROM backfills AS b JOIN slices AS s ON s.backfill = b.id
         WHERE b.state = 'running' AND b.source <> 'files' AND s.state = 'waiting'
           AND s.fed_ms IS NULL AND s.due_ms <= $1 LIMIT 1) AS due",
);
const FED_BEFORE: Dialects = Dialects::same(
    "SELECT id FROM slices WHERE fed_ms < $1 AND fed_ms IS NOT NULL AND state = 'waiting'
     ORDER BY fed_ms LIMIT $2",
);
const UNFEED: Dialects = Dialects {
    postgres: "UPDATE slices SET fed_ms = NULL
     WHERE id IN (SELECT CAST(value #>> '{}' AS bigint) FROM json_array_elements($1::text::json))
       AND fed_ms IS NOT NULL AND state = 'waiting'",
    sqlite: "UPDATE slices SET fed_ms = NULL
     WHERE id IN (SELECT value FROM json_each($1)) AND fed_ms IS NOT NULL AND state = 'waiting'",
};
const RETIME: Dialects =
    Dialects::same("UPDATE slices SET due_ms = $1 WHERE state = 'waiting' AND due_ms > $2");
/// `$1` which, `$2` by whom, `$3` now, `$4` until when, `$5` the latest end that a claim can have.
const BEGIN: Dialects = Dialects::same(
    "UPDATE slices
     SET claim_token = claim_token + 1, claimed_by = $2, claimed_until_ms = $4,
         attempts = attempts + 1
     WHERE id = $1 AND state = 'waiting'
       AND (claimed_until_ms IS NULL OR claimed_until_ms <= $3 OR claimed_until_ms > $5)
       AND EXISTS (SELECT 1 FROM backfills WHERE id = slices.backfill AND state = 'running')
     RETURNING id",
);
const BEGUN: Dialects = Dialects::same(
    "SELECT s.id, s.backfill, s.claim_token AS token, s.name, s.slice_start, s.slice_end, s.reached,
            s.attempts, b.subreddit, b.source, b.refresh, s.refused, s.listed, s.expected
     FROM slices AS s JOIN backfills AS b ON b.id = s.backfill WHERE s.id = $1",
);
const RENEW: Dialects = Dialects::same(
    "UPDATE slices SET claimed_until_ms = $3
     WHERE id = $1 AND claim_token = $2 AND state = 'waiting' AND claimed_by IS NOT NULL
       AND EXISTS (SELECT 1 FROM backfills WHERE id = slices.backfill AND state = 'running')",
);
/// The backfill's row first, for everybody: whoever ends a slice learns whether it was the last.
const LOCK: Dialects = Dialects {
    postgres: "SELECT id FROM backfills WHERE id = $1 AND state = 'running' FOR NO KEY UPDATE",
    sqlite: "SELECT id FROM backfills WHERE id = $1 AND state = 'running'",
};
const HELD: Dialects = Dialects::same(
    "SELECT id FROM slices WHERE id = $1 AND claim_token = $2 AND state = 'waiting'
       AND claimed_by IS NOT NULL",
);
const STEP: Dialects = Dialects::same(
    "UPDATE slices
     SET reached = $2, listed = listed + $3, fresh = fresh + $4, renewed = renewed + $5,
         refused = refused + $6, requests = requests + $7, claimed_until_ms = $8, attempts = 0,
         reason = NULL WHERE id = $1 RETURNING listed, fresh, renewed",
);
pub(super) const END: Dialects = Dialects::same(
    "UPDATE slices
     SET state = 'done', proven_seconds = $2, reason = $3, fed_ms = NULL, claimed_by = NULL,
         claimed_until_ms = NULL
     WHERE id = $1",
);
/// `$6`: an attempt that is given back is as if it had not begun.
const GIVE_BACK: Dialects = Dialects::same(
    "UPDATE slices
     SET state = $3, due_ms = $4, reason = $5, fed_ms = NULL, claimed_by = NULL,
         claimed_until_ms = NULL,
         attempts = CASE WHEN attempts > 0 THEN attempts - $6 ELSE 0 END
     WHERE id = $1 AND claim_token = $2 AND state = 'waiting'",
);

impl Store {
    /// Takes slices out to be put into the queue: of each backfill as many as may be done at once.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim_slices(&self, now_ms: i64, limit: u32) -> Result<Vec<i64>, StoreError> {
        let mut slices: Vec<i64> = on_engine!(self, write, CLAIM, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(now_ms).bind(i64::from(limit));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        slices.sort_unstable();
        Ok(slices)
    }

    /// Whether [`Store::claim_slices`] might give any out.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn has_due_slice(&self, now_ms: i64) -> Result<bool, StoreError> {
        on_engine!(self, read, HAS_DUE, |sql, pool| {
            let due: i64 = sqlx::query_scalar(sql).bind(now_ms).fetch_one(pool).await?;
            Ok(due > 0)
        })
    }

    /// Slices handed to the queue before a moment (milliseconds) and still not done.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn slices_fed_before(
        &self,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        on_engine!(self, read, FED_BEFORE, |sql, pool| {
            let query = sqlx::query_scalar(sql)
                .bind(before_ms)
                .bind(i64::from(limit));
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// Lets slices be fed again that the queue has lost; returns how many were fed.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn unfeed_slices(&self, slices: &[i64]) -> Result<u64, StoreError> {
        let slices = &json(slices)?;
        on_engine!(self, write, UNFEED, |sql, pool| {
            let query = sqlx::query(sql).bind(slices);
            Ok(query.execute(pool).await?.rows_affected())
        })
    }

    /// Makes due what waits by a clock that is ahead of this one; returns how many.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn retime_slices(&self, now_ms: i64) -> Result<u64, StoreError> {
        on_engine!(self, write, RETIME, |sql, pool| {
            let latest = now_ms.saturating_add(LONGEST_WAIT_MS);
            let query = sqlx::query(sql).bind(now_ms).bind(latest);
            Ok(query.execute(pool).await?.rows_affected())
        })
    }

    /// Claims a slice for `lease_ms` and counts an attempt; none where it is done, or another holds
    /// it, or its backfill does not run.
    ///
    /// # Errors
    /// As the database answers; where the answer was lost, the claim ends with its lease.
    pub async fn begin_slice(
        &self,
        slice: i64,
        holder: &str,
        now_ms: i64,
        lease_ms: i64,
    ) -> Result<Option<SliceClaim>, StoreError> {
        let latest = now_ms.saturating_add(lease_ms.saturating_mul(LENGTHS_AHEAD));
        self.written(async {
            let mut transaction = self.begin().await?;
            let begun: Option<i64> = in_transaction!(&mut transaction, BEGIN, |sql, connection| {
                let query = sqlx::query_scalar(sql)
                    .bind(slice)
                    .bind(holder)
                    .bind(now_ms)
                    .bind(now_ms.saturating_add(lease_ms))
                    .bind(latest);
                query.fetch_optional(connection).await?
            });
            if begun.is_none() {
                return Ok(None);
            }
            let claim = in_transaction!(&mut transaction, BEGUN, |sql, connection| {
                let query = sqlx::query_as(sql).bind(slice);
                query.fetch_one(connection).await?
            });
            transaction.commit().await?;
            Ok(Some(claim))
        })
        .await
    }

    /// Keeps a claim until then (milliseconds); false where it is lost.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn renew_slice(&self, claim: &SliceClaim, until_ms: i64) -> Result<bool, StoreError> {
        on_engine!(self, write, RENEW, |sql, pool| {
            let query = sqlx::query(sql)
                .bind(claim.id)
                .bind(claim.token)
                .bind(until_ms);
            Ok(query.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Stores what a page brought and how far the slice has come, in one transaction; none where the
    /// claim is lost, or the backfill was paused or cancelled: then nothing was written.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_slice(
        &self,
        step: &SliceStep<'_>,
        record: &ArchiveRecord<'_>,
    ) -> Result<Option<SliceStored>, StoreError> {
        let mut recent = Recent::default();
        self.record_slice_after(step, record, &mut recent).await
    }

    /// As [`Store::record_slice`], after what the same source brought before, which this page adds to.
    ///
    /// # Errors
    /// As there.
    pub async fn record_slice_after(
        &self,
        step: &SliceStep<'_>,
        record: &ArchiveRecord<'_>,
        recent: &mut Recent,
    ) -> Result<Option<SliceStored>, StoreError> {
        let batch = prepare(record.observations, matches!(self, Store::Postgres(_)));
        self.written(async {
            let mut transaction = self.begin().await?;
            if !transaction.holds(step.claim).await? {
                transaction.rollback().await?;
                return Ok(None);
            }
            let mut deltas = Deltas::default();
            let mut brought = recent.clone();
            let mut archived = transaction
                .archive(record, &batch, &mut brought, &mut deltas)
                .await?;
            archived.known = transaction.step(step, &archived).await?;
            transaction
                .note_unstored(step.claim.backfill, record)
                .await?;
            transaction
                .note_unseen(step.claim.backfill, step.unseen)
                .await?;
            let gaps_repaired = match step.end {
                Some(end) => {
                    transaction
                        .end_slice(step.claim, end, record.now_ms)
                        .await?
                }
                None => 0,
            };
            let stored = SliceStored {
                archived,
                gaps_repaired,
            };
            transaction.count(deltas).await?;
            transaction.commit().await?;
            *recent = brought;
            Ok(Some(stored))
        })
        .await
    }

    /// Lets a slice go: to be tried again at `due_ms`, or set aside. `spent` keeps the attempt counted.
    ///
    /// # Errors
    /// As the database answers; then the claim ends with its lease.
    pub async fn give_slice_back(
        &self,
        claim: &SliceClaim,
        reason: Option<&str>,
        due: SliceDue,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (state, due_ms, spent) = match due {
            SliceDue::Again { due_ms, spent } => ("waiting", due_ms, spent),
            SliceDue::Never => ("failed", now_ms, true),
        };
        self.written(async {
            let mut transaction = self.begin().await?;
            let _: Option<i64> = in_transaction!(&mut transaction, LOCK, |sql, connection| {
                let query = sqlx::query_scalar(sql).bind(claim.backfill);
                query.fetch_optional(connection).await?
            });
            in_transaction!(&mut transaction, GIVE_BACK, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(claim.id)
                    .bind(claim.token)
                    .bind(state)
                    .bind(due_ms)
                    .bind(reason.map(|reason| reason.replace('\0', "")))
                    .bind(i64::from(!spent));
                query.execute(connection).await?;
            });
            transaction
                .finish_backfill(claim.backfill, now_ms.div_euclid(1000))
                .await?;
            transaction.commit().await
        })
        .await
    }
}

/// When a slice that was let go is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceDue {
    /// Then.
    Again {
        /// Milliseconds.
        due_ms: i64,
        /// Whether the attempt counts.
        spent: bool,
    },
    /// It is set aside.
    Never,
}

impl Transaction {
    /// Whether a claim holds, which nobody changes until the end.
    pub(super) async fn holds(&mut self, claim: &SliceClaim) -> Result<bool, StoreError> {
        let running: Option<i64> = in_transaction!(self, LOCK, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(claim.backfill);
            query.fetch_optional(connection).await?
        });
        if running.is_none() {
            return Ok(false);
        }
        let held: Option<i64> = in_transaction!(self, HELD, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(claim.id).bind(claim.token);
            query.fetch_optional(connection).await?
        });
        Ok(held.is_some())
    }

    pub(super) async fn step(
        &mut self,
        step: &SliceStep<'_>,
        stored: &ArchiveStored,
    ) -> Result<u64, StoreError> {
        let (listed, new) = (step.listed as i64, (stored.fresh + stored.renewed) as i64);
        let after: (i64, i64, i64) = in_transaction!(self, STEP, |sql, connection| {
            let query = sqlx::query_as(sql)
                .bind(step.claim.id)
                .bind(step.reached)
                .bind(step.listed as i64)
                .bind(stored.fresh as i64)
                .bind(stored.renewed as i64)
                .bind(step.refused as i64)
                .bind(i64::from(step.requests))
                .bind(step.claimed_until_ms);
            query.fetch_one(connection).await?
        });
        // Pages overlap: known is what is listed and not new, as it is shown.
        let known = after.0 - after.1 - after.2;
        Ok((known.max(0) - (known - listed + new).max(0)).max(0) as u64)
    }

    async fn end_slice(
        &mut self,
        claim: &SliceClaim,
        end: SliceEnd<'_>,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        let (name, now) = (claim.subreddit.as_str(), now_ms.div_euclid(1000));
        let all_proven = self.without_unstored(claim.backfill, end.proven).await?;
        let gaps_repaired = self.prove(name, &all_proven, "backfill", now).await?;
        let proven: i64 = all_proven.iter().map(|it| it.end - it.start).sum();
        in_transaction!(self, END, |sql, connection| {
            let query = sqlx::query(sql)
                .bind(claim.id)
                .bind(proven)
                .bind(end.reason);
            query.execute(connection).await?;
        });
        if end.ends_backfill {
            self.finish_backfill(claim.backfill, now).await?;
        }
        Ok(gaps_repaired)
    }
}

impl SliceClaim {
    /// Whose past it is about; `all` for everything that a file holds.
    ///
    /// # Errors
    /// A name that this version does not take for one.
    pub fn subreddit(&self) -> Result<SubredditName, StoreError> {
        Ok(self.subreddit.parse().map_err(StoreError::unreadable)?)
    }
}
