//! Slices of backfills from ids: which ids are asked for, which were left out, whose gaps they close.
//!
//! As with any slice, all of it is recorded under the claim's token, with how far the slice has come: a process
//! that was killed or cut off leaves what the next one goes on from.

mod ended;

pub use ended::{IdSliceEnd, IdSliceEnded};

use super::archived::{ArchiveRecord, ArchiveStored};
use super::content::prepare;
use super::ids::{GivenOut, IdStored, subreddit_of};
use super::slices::{SliceClaim, SliceStep};
use super::statement::{Dialects, Texts, Transaction, in_transaction, on_engine};
use super::submissions::json;
use super::withdraw::Recent;
use super::{Interval, Store, StoreError};
use crate::submission::{Observation, SubmissionId, Undecodable};
use std::time::Instant;

/// An id that was left out of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct AbsentId {
    /// The id, as a number.
    pub id: i64,
    /// How often it was asked for again.
    pub tries: i64,
    /// When it was last asked for, milliseconds.
    pub asked_ms: i64,
}

/// How far a slice from ids has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdSlice {
    /// The first id that is asked for.
    pub first: i64,
    /// The id after the last.
    pub end: i64,
    /// Those below it were asked for.
    pub next: i64,
    /// Whether these ids hold all of the slice's time.
    pub whole: bool,
    /// How many of them were given out.
    pub given_out: i64,
    /// How many of those were created within the slice's time, far from what their neighbours were.
    pub strays: i64,
    /// Those that were left out so far, ascending.
    pub absent: Vec<AbsentId>,
    /// Subreddits whose gaps it may close, in order.
    pub members: Vec<String>,
}

/// What one answer brought to a slice.
#[derive(Debug, Clone)]
pub struct IdSliceStep<'a> {
    /// The right to record it.
    pub claim: &'a SliceClaim,
    /// What was given out.
    pub observations: &'a [Observation],
    /// What was given out and is no submission.
    pub undecodable: &'a [Undecodable],
    /// Whether submissions of subreddits that are not watched are stored too.
    pub store_all: bool,
    /// Ids below it were asked for with this.
    pub next: i64,
    /// Up to which second of the slice they reach.
    pub reached: i64,
    /// Ids that were asked for and left out.
    pub absent: Vec<i64>,
    /// Ids for which requests failed: their absence is to be shown anew.
    pub failing: Vec<i64>,
    /// Ids that were left out before and are given out now.
    pub appeared: Vec<i64>,
    /// When they were asked for, milliseconds.
    pub asked_ms: i64,
    /// As in [`IdSlice`], of those that were asked for for the first time.
    pub given_out: i64,
    /// As in [`IdSlice`].
    pub strays: i64,
    /// Until when (milliseconds) the claim holds then.
    pub claimed_until_ms: i64,
    /// Milliseconds.
    pub now_ms: i64,
}

const READ: Dialects = Dialects::same(
    "SELECT first_id, end_id, next_id, whole, given_out, strays FROM id_slices WHERE slice = $1",
);
const ABSENT: Dialects =
    Dialects::same("SELECT id, tries, asked_ms FROM id_slice_absent WHERE slice = $1 ORDER BY id");
const MEMBERS: Dialects =
    Dialects::same("SELECT subreddit FROM id_slice_members WHERE slice = $1 ORDER BY subreddit");
const BEGIN: Dialects = Dialects::same(
    "INSERT INTO id_slices (slice, first_id, end_id, next_id, whole) VALUES ($1, $2, $3, $2, $4)
     ON CONFLICT (slice) DO NOTHING",
);
const ENLIST: Dialects = Dialects::same(
    "INSERT INTO id_slice_members (slice, subreddit)
     SELECT DISTINCT CAST($1 AS bigint), s.name
     FROM gaps AS g JOIN subreddits AS s ON s.name = g.subreddit
     WHERE g.state = 'open' AND s.state = 'active' AND g.gap_start < $3 AND g.gap_end > $2
     ON CONFLICT (slice, subreddit) DO NOTHING",
);
const STEP: Dialects = Dialects::same(
    "UPDATE id_slices SET next_id = $2, given_out = given_out + $3, strays = strays + $4
     WHERE slice = $1",
);
/// What was recorded and whose answer was lost is not counted again.
const LEAVE_OUT: Dialects = Dialects {
    postgres: "INSERT INTO id_slice_absent (slice, id, tries, asked_ms)
     SELECT $1, value::text::bigint, 0, $3 FROM json_array_elements($2::text::json)
     ON CONFLICT (slice, id) DO UPDATE
     SET tries = id_slice_absent.tries + 1, asked_ms = excluded.asked_ms
     WHERE excluded.asked_ms > id_slice_absent.asked_ms",
    sqlite: "INSERT INTO id_slice_absent (slice, id, tries, asked_ms)
     SELECT $1, value, 0, $3 FROM json_each($2) WHERE true
     ON CONFLICT (slice, id) DO UPDATE
     SET tries = id_slice_absent.tries + 1, asked_ms = excluded.asked_ms
     WHERE excluded.asked_ms > id_slice_absent.asked_ms",
};
/// Nothing is known of these, whatever was known before.
const FAIL: Dialects = Dialects {
    postgres: "INSERT INTO id_slice_absent (slice, id, tries, asked_ms)
     SELECT $1, value::text::bigint, 0, $3 FROM json_array_elements($2::text::json)
     ON CONFLICT (slice, id) DO UPDATE SET tries = 0, asked_ms = excluded.asked_ms",
    sqlite: "INSERT INTO id_slice_absent (slice, id, tries, asked_ms)
     SELECT $1, value, 0, $3 FROM json_each($2) WHERE true
     ON CONFLICT (slice, id) DO UPDATE SET tries = 0, asked_ms = excluded.asked_ms",
};
const APPEAR: Dialects = Dialects {
    postgres: "DELETE FROM id_slice_absent WHERE slice = $1
       AND id IN (SELECT value::text::bigint FROM json_array_elements($2::text::json))",
    sqlite: "DELETE FROM id_slice_absent WHERE slice = $1 AND id IN (SELECT value FROM json_each($2))",
};
const DISMISS: Dialects = Dialects {
    postgres: "DELETE FROM id_slice_members WHERE slice = $1 AND subreddit = ANY($2)",
    sqlite: "DELETE FROM id_slice_members WHERE slice = $1
       AND subreddit IN (SELECT value FROM json_each($2))",
};
/// Whoever is not listed now, or was not when something of it came.
const DISMISS_INACTIVE: Dialects = Dialects::same(
    "DELETE FROM id_slice_members WHERE slice = $1
       AND subreddit NOT IN (SELECT name FROM subreddits WHERE state = 'active')",
);
const DISMISS_ALL: Dialects = Dialects::same("DELETE FROM id_slice_members WHERE slice = $1");
/// Nobody has one, and none is in the queue.
const WAITS_UNTIL: Dialects = Dialects::same(
    "SELECT min(CASE WHEN fed_ms IS NULL THEN due_ms ELSE 0 END) FROM slices
     WHERE backfill = $1 AND state = 'waiting'",
);
const NEWEST_OF: Dialects = Dialects::same(
    "SELECT id FROM submissions WHERE lower(subreddit) = $1 AND status <> 'unavailable'
     ORDER BY created_utc DESC LIMIT $2",
);

impl Store {
    /// How far a slice has come; none where it was never begun.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn id_slice(&self, slice: i64) -> Result<Option<IdSlice>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, i64);
        let row: Option<Row> = on_engine!(self, read, READ, |sql, pool| {
            let query = sqlx::query_as(sql).bind(slice);
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        let Some((first, end, next, whole, given_out, strays)) = row else {
            return Ok(None);
        };
        let absent: Vec<AbsentId> = on_engine!(self, read, ABSENT, |sql, pool| {
            let query = sqlx::query_as(sql).bind(slice);
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let members: Vec<String> = on_engine!(self, read, MEMBERS, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(slice);
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        Ok(Some(IdSlice {
            first,
            end,
            next,
            whole: whole != 0,
            given_out,
            strays,
            absent,
            members,
        }))
    }

    /// Begins a slice: these ids are asked for, and the gaps within it of those are to be closed that are active
    /// now. False where the claim is lost.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn begin_id_slice(
        &self,
        claim: &SliceClaim,
        ids: Interval,
        whole: bool,
    ) -> Result<bool, StoreError> {
        self.written(async {
            let mut transaction = self.begin().await?;
            if !transaction.holds(claim).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            in_transaction!(&mut transaction, BEGIN, |sql, connection| {
                let query = sqlx::query(sql).bind(claim.id).bind(ids.start);
                let query = query.bind(ids.end).bind(i64::from(whole));
                query.execute(connection).await?;
            });
            in_transaction!(&mut transaction, ENLIST, |sql, connection| {
                let query = sqlx::query(sql).bind(claim.id);
                let query = query.bind(claim.slice_start).bind(claim.slice_end);
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Stores what an answer brought, as fetched, and how far the slice has come with it, in one
    /// transaction, and takes back what it contradicts together with what came before (`recent`, to which it is
    /// added once it is stored); none where the claim is lost. A member something of which was given out and cannot be stored
    /// now is none any more. With what was stored comes how many gaps were opened.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_id_slice(
        &self,
        step: &IdSliceStep<'_>,
        recent: &mut Recent,
    ) -> Result<Option<(IdStored, u64)>, StoreError> {
        self.written(async {
            let begun = Instant::now();
            let mut batch = prepare(step.observations, matches!(self, Store::Postgres(_)));
            let mut transaction = self.begin().await?;
            if !transaction.holds(step.claim).await? {
                transaction.rollback().await?;
                return Ok(None);
            }
            let given_out = GivenOut {
                observations: step.observations,
                undecodable: step.undecodable,
                store_all: step.store_all,
                now_ms: step.now_ms,
            };
            let written = transaction
                .write_given_out(&given_out, &mut batch, begun)
                .await?;
            let kept = ArchiveRecord {
                observations: step.observations,
                undecodable: step.undecodable,
                refresh: false,
                now_ms: step.now_ms,
            };
            transaction
                .note_unstored(step.claim.backfill, &kept)
                .await?;
            let mut brought = recent.clone();
            let now = step.now_ms.div_euclid(1000);
            let contradicted = transaction
                .contradicted_by_archive(&batch.newest, &written.fresh, &mut brought, now)
                .await?;
            transaction.note_id_slice(step, &written.unwatched).await?;
            let stored = &written.stored.stored;
            let fresh = written.stored.fresh.len();
            let counted = ArchiveStored {
                fresh: fresh as u64,
                renewed: stored.changed.len().saturating_sub(fresh) as u64,
                ..ArchiveStored::default()
            };
            let slice = SliceStep {
                claim: step.claim,
                reached: step.reached,
                unseen: &[],
                listed: (stored.changed.len() + stored.unchanged.len() + stored.stale.len()) as u64,
                refused: step.undecodable.len() as u64,
                requests: 1,
                claimed_until_ms: step.claimed_until_ms,
                end: None,
            };
            transaction.step(&slice, &counted).await?;
            transaction.count(written.deltas).await?;
            transaction.commit().await?;
            *recent = brought;
            Ok(Some((written.stored, contradicted.opened.len() as u64)))
        })
        .await
    }

    /// Until when (milliseconds) nothing of a backfill can be done; 0 where something is under way, none where
    /// nothing is left.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn waits_until(&self, backfill: i64) -> Result<Option<i64>, StoreError> {
        on_engine!(self, read, WAITS_UNTIL, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(backfill);
            Ok(query.fetch_one(pool).await?)
        })
    }

    /// The ids of a few of a subreddit's newest submissions, of those that were not found to be left out.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn newest_of(&self, subreddit: &str, limit: u32) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<String> = on_engine!(self, read, NEWEST_OF, |sql, pool| {
            let query = sqlx::query_scalar(sql)
                .bind(subreddit)
                .bind(i64::from(limit));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let ids = ids.iter().filter_map(|id| id.parse::<SubmissionId>().ok());
        Ok(ids.filter_map(|id| id.number()).collect())
    }
}

impl Transaction {
    async fn note_id_slice(
        &mut self,
        step: &IdSliceStep<'_>,
        unwatched: &[String],
    ) -> Result<(), StoreError> {
        let slice = step.claim.id;
        in_transaction!(self, STEP, |sql, connection| {
            let query = sqlx::query(sql).bind(slice).bind(step.next);
            let query = query.bind(step.given_out).bind(step.strays);
            query.execute(connection).await?;
        });
        if !step.appeared.is_empty() {
            let appeared = json(&step.appeared)?;
            in_transaction!(self, APPEAR, |sql, connection| {
                let query = sqlx::query(sql).bind(slice).bind(appeared);
                query.execute(connection).await?;
            });
        }
        for (noted, ids) in [(LEAVE_OUT, &step.absent), (FAIL, &step.failing)] {
            if ids.is_empty() {
                continue;
            }
            let ids = json(ids)?;
            in_transaction!(self, noted, |sql, connection| {
                let query = sqlx::query(sql).bind(slice).bind(ids);
                query.bind(step.asked_ms).execute(connection).await?;
            });
        }
        // An object whose time cannot be read may be of any second.
        let unread = step.undecodable.iter();
        let unread = unread.filter(|object| !object.cause.is_a_submission());
        let unread: Vec<Option<String>> = unread.map(subreddit_of).collect();
        if unread.contains(&None) {
            in_transaction!(self, DISMISS_ALL, |sql, connection| {
                sqlx::query(sql).bind(slice).execute(connection).await?;
            });
        }
        let unread = unread.iter().flatten();
        let dismissed: Texts<'_> = unwatched.iter().chain(unread).map(String::as_str).collect();
        if !dismissed.0.is_empty() {
            in_transaction!(self, DISMISS, |sql, connection| {
                let query = sqlx::query(sql).bind(slice).bind(dismissed);
                query.execute(connection).await?;
            });
        }
        in_transaction!(self, DISMISS_INACTIVE, |sql, connection| {
            sqlx::query(sql).bind(slice).execute(connection).await?;
        });
        Ok(())
    }
}
