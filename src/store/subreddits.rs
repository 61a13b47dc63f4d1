//! The watched list.

use super::statement::{Dialects, on_engine};
use super::{Store, StoreError, SubredditState};
use crate::submission::SubredditName;

/// What adding a subreddit found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was not watched, and is now.
    New,
    /// It was in the list before and stays as it was.
    Already(SubredditState),
}

/// A watched subreddit: its row in `subreddits`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subreddit {
    /// Lower case.
    pub name: SubredditName,
    /// Whether it is polled.
    pub state: SubredditState,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// Seconds.
    pub added_at: i64,
    /// Seconds; everything created before it, back to where watching began, is proven or in `gaps`.
    pub covered_until: Option<i64>,
    /// Seconds; how far a poll has looked, whether or not it proved anything.
    pub seen_until: Option<i64>,
    /// Submissions an hour, as estimated by the last poll.
    pub posts_per_hour: f64,
    /// Polls in a row that showed nothing, or where it is unavailable, that were refused.
    pub failures: u32,
    /// Milliseconds; when it is polled next.
    pub next_poll_ms: i64,
    /// Seconds; when the last poll was recorded.
    pub polled_at: Option<i64>,
    /// Seconds; the end of the newest window that was proven complete.
    pub last_complete_at: Option<i64>,
    /// Submissions found since it was added.
    pub submissions: i64,
    /// Seconds; creation of the newest of them.
    pub last_submission_at: Option<i64>,
    /// Counts the claims; see [`super::Claim`].
    pub claim_token: i64,
    /// Who polls it at the moment.
    pub claimed_by: Option<String>,
    /// Milliseconds; when that claim ends by itself.
    pub claimed_until_ms: Option<i64>,
    /// Open rows of `gaps`.
    pub open_gaps: i64,
    /// Its listing failed while others were given out, and has not been given out since.
    pub suspect: bool,
}

/// An active subreddit, with what a plan of polls needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// Lower case.
    pub name: SubredditName,
    /// Seconds.
    pub added_at: i64,
    /// Seconds; see [`Subreddit`].
    pub covered_until: Option<i64>,
    /// Submissions an hour; see [`Subreddit`].
    pub posts_per_hour: f64,
    /// Seconds; creation of the newest that was found.
    pub last_submission_at: Option<i64>,
    /// See [`Subreddit`].
    pub suspect: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    state: String,
    reason: Option<String>,
    added_at: i64,
    covered_until: Option<i64>,
    seen_until: Option<i64>,
    posts_per_hour: f64,
    failures: i32,
    next_poll_ms: i64,
    polled_at: Option<i64>,
    last_complete_at: Option<i64>,
    submissions: i64,
    last_submission_at: Option<i64>,
    claim_token: i64,
    claimed_by: Option<String>,
    claimed_until_ms: Option<i64>,
    open_gaps: i64,
    suspect: bool,
}

impl TryFrom<Row> for Subreddit {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Subreddit {
            name: row.name.parse().map_err(StoreError::unreadable)?,
            state: row.state.parse().map_err(StoreError::unreadable)?,
            reason: row.reason,
            added_at: row.added_at,
            covered_until: row.covered_until,
            seen_until: row.seen_until,
            posts_per_hour: row.posts_per_hour,
            failures: row.failures.unsigned_abs(),
            next_poll_ms: row.next_poll_ms,
            polled_at: row.polled_at,
            last_complete_at: row.last_complete_at,
            submissions: row.submissions,
            last_submission_at: row.last_submission_at,
            claim_token: row.claim_token,
            claimed_by: row.claimed_by,
            claimed_until_ms: row.claimed_until_ms,
            open_gaps: row.open_gaps,
            suspect: row.suspect,
        })
    }
}

const ADD: Dialects = Dialects::same(
    "INSERT INTO subreddits (name, state, added_at, next_poll_ms, claim_token)
     VALUES ($1, 'active', $2, $3, $4) ON CONFLICT (name) DO NOTHING",
);
const STATE: Dialects = Dialects::same("SELECT state FROM subreddits WHERE name = $1");
const RATE: Dialects = Dialects::same("SELECT posts_per_hour FROM subreddits WHERE name = $1");
const REMOVE: Dialects = Dialects::same("DELETE FROM subreddits WHERE name = $1");
const PAUSE: Dialects = Dialects::same("UPDATE subreddits SET state = 'paused' WHERE name = $1");
const RESUME: Dialects = Dialects::same(
    "UPDATE subreddits SET state = 'active', reason = NULL, failures = 0, next_poll_ms = $2
     WHERE name = $1",
);
const LIST: Dialects = Dialects::same(
    "SELECT subreddits.*,
            (SELECT count(*) FROM gaps WHERE gaps.subreddit = subreddits.name AND gaps.state = 'open') AS open_gaps
     FROM subreddits ORDER BY name",
);
const ACTIVE: Dialects = Dialects::same(
    "SELECT name, added_at, covered_until, posts_per_hour, last_submission_at, suspect
     FROM subreddits WHERE state = 'active' AND name > $1 ORDER BY name LIMIT $2",
);
/// Rows of the active subreddits that are read at once.
const ACTIVE_PART: u32 = 1_000;
const LATEST_WATERMARK: Dialects = Dialects::same("SELECT max(covered_until) FROM subreddits");
const ACTIVE_RATES: Dialects =
    Dialects::same("SELECT posts_per_hour FROM subreddits WHERE state = 'active'");
const COUNT_ACTIVE: Dialects =
    Dialects::same("SELECT count(*) FROM subreddits WHERE state = 'active'");
const BUSIEST: Dialects = Dialects::same(
    "SELECT name FROM subreddits WHERE state = 'active'
     ORDER BY posts_per_hour DESC, name LIMIT $1",
);
const LIST_PART: Dialects = Dialects::same(
    "SELECT subreddits.*,
            (SELECT count(*) FROM gaps WHERE gaps.subreddit = subreddits.name AND gaps.state = 'open') AS open_gaps
     FROM subreddits WHERE name > $1 ORDER BY name LIMIT $2",
);

impl Store {
    /// Puts a subreddit on the list, due now. `now` in seconds.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn add_subreddit(&self, name: &SubredditName, now: i64) -> Result<Added, StoreError> {
        // Claims of a row that was removed must not fit the row that takes its place, so a row's
        // tokens start anywhere.
        let token = (uuid::Uuid::new_v4().as_u128() >> 67) as i64;
        let due_ms = now.saturating_mul(1000);
        loop {
            let added: u64 = on_engine!(self, write, ADD, |sql, pool| {
                let query = sqlx::query(sql).bind(name.as_str()).bind(now);
                let done = query.bind(due_ms).bind(token).execute(pool).await?;
                Ok::<_, StoreError>(done.rows_affected())
            })?;
            if added > 0 {
                return Ok(Added::New);
            }
            let state: Option<String> = on_engine!(self, write, STATE, |sql, pool| {
                let query = sqlx::query_scalar(sql).bind(name.as_str());
                Ok::<_, StoreError>(query.fetch_optional(pool).await?)
            })?;
            // None: removed by another between the two statements.
            if let Some(state) = state {
                let state = state.parse().map_err(StoreError::unreadable)?;
                return Ok(Added::Already(state));
            }
        }
    }

    /// Takes a subreddit off the list; false where it was not on it. Its submissions, windows,
    /// coverage and gaps stay.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn remove_subreddit(&self, name: &SubredditName) -> Result<bool, StoreError> {
        self.change(REMOVE, name).await
    }

    /// Stops polling a subreddit; false where it is not on the list.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn pause_subreddit(&self, name: &SubredditName) -> Result<bool, StoreError> {
        self.change(PAUSE, name).await
    }

    /// Polls a paused or unavailable subreddit again, at once; false where it is not on the list.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn resume_subreddit(
        &self,
        name: &SubredditName,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        on_engine!(self, write, RESUME, |sql, pool| {
            let query = sqlx::query(sql).bind(name.as_str()).bind(now_ms);
            Ok(query.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Submissions an hour of a watched subreddit, as estimated by the last poll; none where it is not
    /// watched.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn posts_per_hour(&self, name: &SubredditName) -> Result<Option<f64>, StoreError> {
        on_engine!(self, read, RATE, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(name.as_str());
            Ok(query.fetch_optional(pool).await?)
        })
    }

    /// The whole list, ordered by name.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn subreddits(&self) -> Result<Vec<Subreddit>, StoreError> {
        let rows: Vec<Row> = on_engine!(self, read, LIST, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_as(sql).fetch_all(pool).await?)
        })?;
        let rows: Result<Vec<_>, sqlx::Error> = rows.into_iter().map(Row::try_into).collect();
        Ok(rows?)
    }

    /// Reads the active ones, ordered by name, in parts: whole rows of a long list would take much memory.
    ///
    /// # Errors
    /// As the database answers; then some may have been taken.
    pub async fn read_active(&self, mut take: impl FnMut(Active)) -> Result<(), StoreError> {
        let mut last = String::new();
        loop {
            let part = self.active_after(&last, ACTIVE_PART).await?;
            let is_last = part.len() < ACTIVE_PART as usize;
            if let Some(row) = part.last() {
                row.name.as_str().clone_into(&mut last);
            }
            part.into_iter().for_each(&mut take);
            if is_last {
                return Ok(());
            }
        }
    }

    /// So many of the active ones, ordered by name, from behind a name on; see [`Store::subreddits_after`].
    async fn active_after(&self, name: &str, most: u32) -> Result<Vec<Active>, StoreError> {
        type Row = (String, i64, Option<i64>, f64, Option<i64>, bool);
        let rows: Vec<Row> = on_engine!(self, read, ACTIVE, |sql, pool| {
            let query = sqlx::query_as(sql).bind(name).bind(i64::from(most));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let rows = rows.into_iter().map(
            |(name, added_at, covered_until, posts_per_hour, last_submission_at, suspect)| {
                Ok(Active {
                    name: name.parse().map_err(StoreError::unreadable)?,
                    added_at,
                    covered_until,
                    posts_per_hour,
                    last_submission_at,
                    suspect,
                })
            },
        );
        rows.collect()
    }

    /// The newest moment (seconds) up to which a subreddit's history is known; none where no poll ever was.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn latest_watermark(&self) -> Result<Option<i64>, StoreError> {
        on_engine!(self, read, LATEST_WATERMARK, |sql, pool| {
            Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
        })
    }

    /// Submissions an hour of each that is active, in no order.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn active_rates(&self) -> Result<Vec<f64>, StoreError> {
        on_engine!(self, read, ACTIVE_RATES, |sql, pool| {
            Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
        })
    }

    /// How many subreddits are watched and neither paused nor unavailable.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn count_active(&self) -> Result<i64, StoreError> {
        on_engine!(self, read, COUNT_ACTIVE, |sql, pool| {
            Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
        })
    }

    /// The active ones that get the most submissions, as estimated by their last polls.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn busiest(&self, most: u32) -> Result<Vec<SubredditName>, StoreError> {
        let names: Vec<String> = on_engine!(self, read, BUSIEST, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(i64::from(most));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let names = names.into_iter().map(|name| name.parse());
        Ok(names
            .collect::<Result<_, _>>()
            .map_err(StoreError::unreadable)?)
    }

    /// So many of the list, ordered by name, from behind a name on: a list may be too long to be held
    /// whole. An empty name stands before all.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn subreddits_after(
        &self,
        name: &str,
        most: u32,
    ) -> Result<Vec<Subreddit>, StoreError> {
        let rows: Vec<Row> = on_engine!(self, read, LIST_PART, |sql, pool| {
            let query = sqlx::query_as(sql).bind(name).bind(i64::from(most));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let rows: Result<Vec<_>, sqlx::Error> = rows.into_iter().map(Row::try_into).collect();
        Ok(rows?)
    }

    async fn change(&self, statement: Dialects, name: &SubredditName) -> Result<bool, StoreError> {
        on_engine!(self, write, statement, |sql, pool| {
            let query = sqlx::query(sql).bind(name.as_str());
            Ok(query.execute(pool).await?.rows_affected() > 0)
        })
    }
}
