//! Backfills: what is brought in of the past, and in which slices.

use super::statement::{Dialects, in_transaction, on_engine};
use super::submissions::json;
use super::{BackfillState, Interval, SliceState, Store, StoreError};
use crate::submission::SubredditName;
use serde::Serialize;

/// A backfill that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackfill {
    /// Whose past; `all` for everything that files hold.
    pub subreddit: SubredditName,
    /// Where it comes from: `reddit`, `arctic-shift` or `files`.
    pub source: String,
    /// What was asked for, in a form that is the same for the same command.
    pub request: String,
    /// All of it, seconds.
    pub range: Interval,
    /// Whether the newest slices are done first.
    pub newest_first: bool,
    /// Slices that are done at once at most.
    pub max_active: u32,
    /// Whether what it finds is fetched from Reddit afterwards.
    pub refresh: bool,
    /// How many submissions it is expected to bring, where somebody has estimated it.
    pub expected: Option<u64>,
    /// What it is done in, the oldest first.
    pub slices: Vec<NewSlice>,
}

/// A slice of a backfill that is to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewSlice {
    /// The file that it is; none for a slice of time.
    pub name: Option<String>,
    /// Seconds.
    pub start: i64,
    /// Seconds.
    pub end: i64,
    /// Submissions that it holds at least, where somebody has estimated it.
    pub expected: Option<u32>,
}

/// A backfill and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Backfill {
    /// Its number.
    pub id: i64,
    /// Whose past.
    pub subreddit: String,
    /// Where it comes from.
    pub source: String,
    /// What was asked for.
    pub request: String,
    /// Seconds.
    pub range_start: i64,
    /// Seconds.
    pub range_end: i64,
    /// Whether the newest slices are done first.
    pub newest_first: bool,
    /// Slices that are done at once at most.
    pub max_active: i64,
    /// Whether what it finds is fetched from Reddit afterwards.
    pub refresh: bool,
    /// A [`BackfillState`]'s word.
    pub state: String,
    /// How many submissions it is expected to bring.
    pub expected: Option<i64>,
    /// Seconds.
    pub created_at: i64,
    /// Seconds; when it was done or cancelled.
    pub finished_at: Option<i64>,
    /// How many slices it has.
    pub slices: i64,
    /// How many of them are done.
    pub slices_done: i64,
    /// How many were set aside.
    pub slices_failed: i64,
    /// How many are being worked on.
    pub slices_active: i64,
    /// Seconds of all its slices together.
    pub seconds: i64,
    /// Seconds of them that are stored.
    pub seconds_done: i64,
    /// Seconds of them that are proven complete.
    pub seconds_proven: i64,
    /// Submissions that were found in its range.
    pub listed: i64,
    /// Those that were new to the database.
    pub fresh: i64,
    /// Those of which a newer state was found than the stored one.
    pub renewed: i64,
    /// What was found and is no submission.
    pub refused: i64,
    /// Requests that were sent for it.
    pub requests: i64,
    /// The latest trouble of a slice that waits or was set aside.
    pub trouble: Option<String>,
}

impl Backfill {
    /// Its state.
    ///
    /// # Errors
    /// A word that this version does not know.
    pub fn state(&self) -> Result<BackfillState, StoreError> {
        Ok(self.state.parse().map_err(StoreError::unreadable)?)
    }
}

const CREATE: Dialects = Dialects::same(
    "INSERT INTO backfills (subreddit, source, request, range_start, range_end, newest_first,
         max_active, refresh, state, expected, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10) RETURNING id",
);
const ADD_SLICES: Dialects = Dialects {
    postgres: "INSERT INTO slices (backfill, part, name, slice_start, slice_end, reached, state, due_ms,
         expected)
     SELECT $1, n.ordinality, n.value->>'name', (n.value->>'start')::bigint, (n.value->>'end')::bigint,
            CASE WHEN n.value->>'name' IS NULL THEN (n.value->>'start')::bigint ELSE 0 END,
            'waiting', $3, (n.value->>'expected')::bigint
     FROM json_array_elements($2::text::json) WITH ORDINALITY AS n",
    sqlite: "INSERT INTO slices (backfill, part, name, slice_start, slice_end, reached, state, due_ms,
         expected)
     SELECT $1, n.key + 1, n.value->>'name', n.value->>'start', n.value->>'end',
            CASE WHEN n.value->>'name' IS NULL THEN n.value->>'start' ELSE 0 END, 'waiting', $3,
            n.value->>'expected'
     FROM json_each($2) AS n",
};
/// `$1` now, which says whose claims hold.
macro_rules! read {
    ($which:literal) => {
        Dialects::same(concat!(
            "SELECT b.id, b.subreddit, b.source, b.request, b.range_start, b.range_end, b.newest_first,
            b.max_active, b.refresh, b.state, b.expected, b.created_at, b.finished_at,
            count(s.id) AS slices,
            coalesce(sum(CASE WHEN s.state = 'done' THEN 1 ELSE 0 END), 0) AS slices_done,
            coalesce(sum(CASE WHEN s.state = 'failed' THEN 1 ELSE 0 END), 0) AS slices_failed,
            coalesce(sum(CASE WHEN s.claimed_until_ms > $1 THEN 1 ELSE 0 END), 0) AS slices_active,
            CAST(coalesce(sum(s.slice_end - s.slice_start), 0) AS bigint) AS seconds,
            CAST(coalesce(sum(CASE WHEN s.state = 'done' THEN s.slice_end - s.slice_start
                                   WHEN s.name IS NULL THEN s.reached - s.slice_start
                                   ELSE 0 END), 0) AS bigint) AS seconds_done,
            CAST(coalesce(sum(s.proven_seconds), 0) AS bigint) AS seconds_proven,
            CAST(coalesce(sum(CASE WHEN s.listed < s.fresh + s.renewed THEN s.fresh + s.renewed
                                   ELSE s.listed END), 0) AS bigint) AS listed,
            CAST(coalesce(sum(s.fresh), 0) AS bigint) AS fresh,
            CAST(coalesce(sum(s.renewed), 0) AS bigint) AS renewed,
            CAST(coalesce(sum(s.refused), 0) AS bigint) AS refused,
            CAST(coalesce(sum(s.requests), 0) AS bigint) AS requests,
            max(CASE WHEN s.state <> 'done' THEN s.reason END) AS trouble
     FROM backfills AS b LEFT JOIN slices AS s ON s.backfill = b.id
     WHERE ",
            $which
        ))
    };
}
/// `$2` to `$5` narrow it where they are not null.
const READ: Dialects = read!(
    "(CAST($2 AS bigint) IS NULL OR b.id = $2) AND (CAST($3 AS text) IS NULL OR b.subreddit = $3)
       AND (CAST($4 AS text) IS NULL OR b.request = $4)
       AND ($5 = 0 OR b.state IN ('running', 'paused'))
     GROUP BY b.id ORDER BY b.id DESC LIMIT $6"
);
const UNSETTLED: Dialects = read!(
    "b.id IN (SELECT id FROM backfills WHERE state IN ('running', 'paused')
              UNION SELECT backfill FROM slices WHERE state = 'failed')
       AND b.state <> 'cancelled'
     GROUP BY b.id ORDER BY b.id DESC LIMIT $2"
);
/// Each part is found by a partial index that holds nothing of what is done; `$1` now. CROSS JOIN: SQLite
/// begins with its left, so what was left over when a backfill was cancelled costs nothing either.
const COUNT: Dialects = Dialects::same(
    "SELECT b.running, b.paused, s.waiting - s.active - s.later AS waiting, s.active, s.later,
            (SELECT count(*) FROM slices AS f JOIN backfills AS whose ON whose.id = f.backfill
             WHERE f.state = 'failed' AND whose.state <> 'cancelled') AS failed
     FROM (SELECT coalesce(sum(CASE WHEN state = 'running' THEN 1 ELSE 0 END), 0) AS running,
                  coalesce(sum(CASE WHEN state = 'paused' THEN 1 ELSE 0 END), 0) AS paused
           FROM backfills WHERE state IN ('running', 'paused')) AS b,
          (SELECT count(*) AS waiting,
                  coalesce(sum(CASE WHEN w.claimed_until_ms > $1 THEN 1 ELSE 0 END), 0) AS active,
                  coalesce(sum(CASE WHEN w.claimed_until_ms > $1 OR i.slice IS NULL THEN 0 ELSE 1 END), 0)
                      AS later
           FROM backfills AS open CROSS JOIN slices AS w
                LEFT JOIN id_slices AS i ON i.slice = w.id AND i.next_id >= i.end_id
           WHERE open.state IN ('running', 'paused') AND w.backfill = open.id
             AND w.state = 'waiting') AS s",
);
/// The backfill's row first, as whoever records a slice does.
const LOCK: Dialects = Dialects {
    postgres: "SELECT state FROM backfills WHERE id = $1 FOR NO KEY UPDATE",
    sqlite: "SELECT state FROM backfills WHERE id = $1",
};
const SET_STATE: Dialects =
    Dialects::same("UPDATE backfills SET state = $2, finished_at = $3 WHERE id = $1");
const SET_ORDER: Dialects =
    Dialects::same("UPDATE backfills SET newest_first = $2, max_active = $3 WHERE id = $1");
/// What only a new try or giving it up can settle.
const SET_ASIDE: Dialects =
    Dialects::same("SELECT count(*) FROM slices WHERE backfill = $1 AND state = 'failed'");
/// What was set aside is tried again, and what was fed before is fed anew.
const REVIVE: Dialects = Dialects::same(
    "UPDATE slices SET state = 'waiting', attempts = 0, due_ms = $2,
         fed_ms = CASE WHEN claimed_until_ms > $2 THEN fed_ms END
     WHERE backfill = $1 AND state <> 'done'",
);

/// How many backfills are neither done nor cancelled, and what is left of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct BackfillCounts {
    /// Backfills that go on.
    pub running: i64,
    /// Backfills that were paused.
    pub paused: i64,
    /// Their slices that nobody works on.
    pub waiting: i64,
    /// Those all of whose ids were asked for, while absent ones may still appear.
    pub later: i64,
    /// Their slices that are being brought in.
    pub active: i64,
    /// Slices that were set aside, of those and of what is done but for them.
    pub failed: i64,
}

/// Which backfills are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackfillFilter<'a> {
    /// This one.
    pub id: Option<i64>,
    /// Of this subreddit.
    pub subreddit: Option<&'a SubredditName>,
    /// Asked for in these words.
    pub request: Option<&'a str>,
    /// Those alone that are neither done nor cancelled.
    pub open: bool,
}

impl Store {
    /// Begins a backfill; its number.
    ///
    /// # Errors
    /// As the database answers; where the answer was lost it may have begun.
    pub async fn create_backfill(&self, new: &NewBackfill, now_ms: i64) -> Result<i64, StoreError> {
        self.written(async {
            let slices = json(&new.slices)?;
            let mut transaction = self.begin().await?;
            let id: i64 = in_transaction!(&mut transaction, CREATE, |sql, connection| {
                let query = sqlx::query_scalar(sql)
                    .bind(new.subreddit.as_str())
                    .bind(&new.source)
                    .bind(&new.request)
                    .bind(new.range.start)
                    .bind(new.range.end)
                    .bind(new.newest_first)
                    .bind(i64::from(new.max_active))
                    .bind(new.refresh)
                    .bind(new.expected.and_then(|it| i64::try_from(it).ok()))
                    .bind(now_ms.div_euclid(1000));
                query.fetch_one(connection).await?
            });
            in_transaction!(&mut transaction, ADD_SLICES, |sql, connection| {
                let query = sqlx::query(sql).bind(id).bind(&slices).bind(now_ms);
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(id)
        })
        .await
    }

    /// Changes which slices of a backfill come next, and how many are worked on at once.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn set_backfill_order(
        &self,
        id: i64,
        newest_first: bool,
        max_active: u32,
    ) -> Result<(), StoreError> {
        on_engine!(self, write, SET_ORDER, |sql, pool| {
            let query = sqlx::query(sql)
                .bind(id)
                .bind(newest_first)
                .bind(i64::from(max_active));
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// Backfills and how far they have come, the newest first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn backfills(
        &self,
        filter: BackfillFilter<'_>,
        limit: u32,
        now_ms: i64,
    ) -> Result<Vec<Backfill>, StoreError> {
        on_engine!(self, read, READ, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(now_ms)
                .bind(filter.id)
                .bind(filter.subreddit.map(SubredditName::as_str))
                .bind(filter.request)
                .bind(i32::from(filter.open))
                .bind(i64::from(limit));
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// Backfills that are neither done nor cancelled, and those that are done but for what was set
    /// aside; the newest first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn unsettled_backfills(
        &self,
        limit: u32,
        now_ms: i64,
    ) -> Result<Vec<Backfill>, StoreError> {
        on_engine!(self, read, UNSETTLED, |sql, pool| {
            let query = sqlx::query_as(sql).bind(now_ms).bind(i64::from(limit));
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// How much of them there is. What is done costs nothing.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn count_backfills(&self, now_ms: i64) -> Result<BackfillCounts, StoreError> {
        on_engine!(self, read, COUNT, |sql, pool| {
            Ok(sqlx::query_as(sql).bind(now_ms).fetch_one(pool).await?)
        })
    }

    /// Pauses, resumes or cancels a backfill; false where it is done or cancelled already. One that is
    /// resumed tries again what was set aside, and one that is cancelled gives it up, also where
    /// nothing else was left of it.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn set_backfill_state(
        &self,
        id: i64,
        state: BackfillState,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let now = now_ms.div_euclid(1000);
        self.written(async {
            let mut transaction = self.begin().await?;
            let before: Option<String> =
                in_transaction!(&mut transaction, LOCK, |sql, connection| {
                    let query = sqlx::query_scalar(sql).bind(id);
                    query.fetch_optional(connection).await?
                });
            let before = before.map(|word| word.parse().map_err(StoreError::unreadable));
            let ended = match before.transpose()? {
                None | Some(BackfillState::Cancelled) => return Ok(false),
                Some(BackfillState::Done) => true,
                Some(BackfillState::Running | BackfillState::Paused) => false,
            };
            let revived: u64 = if state == BackfillState::Running {
                in_transaction!(&mut transaction, REVIVE, |sql, connection| {
                    let query = sqlx::query(sql).bind(id).bind(now_ms);
                    query.execute(connection).await?.rows_affected()
                })
            } else {
                0
            };
            if ended && revived == 0 {
                let given_up: i64 =
                    in_transaction!(&mut transaction, SET_ASIDE, |sql, connection| {
                        let query = sqlx::query_scalar(sql).bind(id);
                        query.fetch_one(connection).await?
                    });
                if state != BackfillState::Cancelled || given_up == 0 {
                    return Ok(false);
                }
            }
            let finished = matches!(state, BackfillState::Cancelled | BackfillState::Done);
            in_transaction!(&mut transaction, SET_STATE, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(id)
                    .bind(state.as_str())
                    .bind(finished.then_some(now));
                query.execute(connection).await?;
            });
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

#[derive(sqlx::FromRow)]
struct SliceRow {
    id: i64,
    name: Option<String>,
    slice_start: i64,
    slice_end: i64,
    reached: i64,
    state: String,
    listed: i64,
    fresh: i64,
    attempts: i64,
    reason: Option<String>,
}

/// One slice of a backfill and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its number.
    pub id: i64,
    /// The file that it is; none for a slice of time.
    pub name: Option<String>,
    /// Seconds.
    pub interval: Interval,
    /// Up to which second, or line of the file, it is stored.
    pub reached: i64,
    /// How far it has come.
    pub state: SliceState,
    /// Submissions that were found in it.
    pub listed: i64,
    /// Those that were new to the database.
    pub fresh: i64,
    /// Tries since it last got on.
    pub attempts: i64,
    /// What went wrong last, or where it ended.
    pub reason: Option<String>,
}

const SLICES: Dialects = Dialects::same(
    "SELECT id, name, slice_start, slice_end, reached, state, listed, fresh, attempts, reason
     FROM slices WHERE backfill = $1 ORDER BY part",
);

impl Store {
    /// The slices of a backfill, in their order.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn slices(&self, backfill: i64) -> Result<Vec<Slice>, StoreError> {
        let rows: Vec<SliceRow> = on_engine!(self, read, SLICES, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_as(sql).bind(backfill).fetch_all(pool).await?)
        })?;
        let slices = rows.into_iter().map(|row| {
            Ok(Slice {
                id: row.id,
                name: row.name,
                interval: Interval {
                    start: row.slice_start,
                    end: row.slice_end,
                },
                reached: row.reached,
                state: row.state.parse().map_err(StoreError::unreadable)?,
                listed: row.listed,
                fresh: row.fresh,
                attempts: row.attempts,
                reason: row.reason,
            })
        });
        Ok(slices.collect::<Result<_, sqlx::Error>>()?)
    }
}
