//! Rows of `submissions`, of what hangs on them, and of the counters, as the writing transactions
//! change them.

use super::content::{Content, Deltas};
use super::statement::{Dialects, Texts, Transaction, in_transaction};
use super::{Status, StoreError, postgres, sqlite};

/// Every column, in the order in which both engines bind them.
pub(super) const COLUMNS: &str = "id, subreddit, author, title, selftext, url, permalink, domain, \
     created_utc, score, num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self, \
     link_flair_text, edited, edited_at, removed_by, kind, observed_ms, raw_hash, raw, content_ms, \
     completeness, removed_ms, removed_hash, removed_raw, discovered_at, fetched_at, status";

/// Those of them that say how far a row has come, which an observation does not.
const PROGRESS: [&str; 3] = ["discovered_at", "fetched_at", "status"];
/// Those that say how a submission was seen last.
const SEEN: [&str; 13] = [
    "score",
    "num_comments",
    "upvote_ratio",
    "over_18",
    "spoiler",
    "stickied",
    "locked",
    "link_flair_text",
    "removed_by",
    "observed_ms",
    "removed_ms",
    "removed_hash",
    "removed_raw",
];

/// Those that every object of Reddit has: a copy without one leaves what an equally complete one said. In the
/// order of the bits of [`Content::has`].
const LASTING: [&str; 8] = [
    "subreddit",
    "author",
    "title",
    "selftext",
    "url",
    "permalink",
    "domain",
    "is_self",
];

/// What a statement rewrites of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All that observations say.
    All,
    /// How it was seen last. The copy stays, and is no longer what was seen last.
    Seen,
    /// The copy, which is not what was seen last. What that was stays.
    Copy,
    /// What the copy lacks, and nothing else.
    Lacking,
}

impl Part {
    pub const EACH: [Part; 4] = [Part::All, Part::Seen, Part::Copy, Part::Lacking];

    /// Assignments to the columns of `old` from those of `new`.
    pub fn assignments(self, old: &str, new: &str) -> String {
        let columns = COLUMNS.split(", ").filter(|column| {
            *column != "id"
                && !PROGRESS.contains(column)
                && match self {
                    Part::All => true,
                    Part::Seen => SEEN.contains(column),
                    Part::Copy => !SEEN.contains(column),
                    Part::Lacking => LASTING.contains(column),
                }
        });
        // What a removal put in the place of a text or an author fills in nothing.
        let equal =
            format!("coalesce({old}.completeness, {new}.completeness) = {new}.completeness");
        let mut set: Vec<String> = columns
            .filter(|column| self != Part::Seen || *column != "content_ms")
            .map(|column| match self {
                Part::Lacking => format!("{column} = coalesce({old}.{column}, {new}.{column})"),
                _ if LASTING.contains(&column) => format!(
                    "{column} = coalesce({new}.{column}, CASE WHEN {equal} THEN {old}.{column} END)"
                ),
                _ => format!("{column} = {new}.{column}"),
            })
            .collect();
        // Of several values the first that is not null: the old row's, as an update sees it.
        let keep = |column: &str, other: &str| {
            format!("{column} = coalesce({old}.{column}, {old}.{other})")
        };
        match self {
            Part::All | Part::Lacking => {}
            Part::Seen => set.push(keep("content_ms", "observed_ms")),
            Part::Copy => set.extend([
                keep("removed_ms", "observed_ms"),
                keep("removed_hash", "raw_hash"),
                keep("removed_raw", "raw"),
            ]),
        }
        set.join(", ")
    }
}

const FETCHED_ANEW: Dialects = Dialects {
    postgres: "UPDATE submissions AS s
     SET status = 'fetched', fetched_at = $2, observed_ms = n.observed_ms,
         removed_ms = CASE WHEN s.removed_ms IS NOT NULL THEN n.observed_ms END
     FROM (SELECT value->>0 AS id, (value->>1)::bigint AS observed_ms
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.id = n.id",
    sqlite: "UPDATE submissions AS s
     SET status = 'fetched', fetched_at = $2, observed_ms = n.observed_ms,
         removed_ms = CASE WHEN s.removed_ms IS NOT NULL THEN n.observed_ms END
     FROM (SELECT value->>0 AS id, value->>1 AS observed_ms FROM json_each($1)) AS n
     WHERE s.id = n.id",
};
const SEEN_AGAIN: Dialects = Dialects {
    postgres: "UPDATE submissions AS s
     SET observed_ms = n.observed_ms,
         removed_ms = CASE WHEN s.removed_ms IS NOT NULL THEN n.observed_ms END
     FROM (SELECT value->>0 AS id, (value->>1)::bigint AS observed_ms
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.id = n.id",
    sqlite: "UPDATE submissions AS s
     SET observed_ms = n.observed_ms,
         removed_ms = CASE WHEN s.removed_ms IS NOT NULL THEN n.observed_ms END
     FROM (SELECT value->>0 AS id, value->>1 AS observed_ms FROM json_each($1)) AS n
     WHERE s.id = n.id",
};
const SET_STATUS: Dialects = Dialects {
    postgres: "UPDATE submissions SET status = $2 WHERE id = ANY($1) AND status <> $2",
    sqlite: "UPDATE submissions SET status = $2
     WHERE id IN (SELECT value FROM json_each($1)) AND status <> $2",
};
const ADD_FETCHES: Dialects = Dialects {
    postgres: "INSERT INTO fetches (id, subreddit, priority, due_ms)
     SELECT value->>0, value->>1, $3, $2 FROM json_array_elements($1::text::json)
     ON CONFLICT (id) DO NOTHING",
    sqlite: "INSERT INTO fetches (id, subreddit, priority, due_ms)
     SELECT value->>0, value->>1, $3, $2 FROM json_each($1) WHERE true
     ON CONFLICT (id) DO NOTHING",
};
const END_FETCHES: Dialects = Dialects {
    postgres: "DELETE FROM fetches WHERE id = ANY($1)",
    sqlite: "DELETE FROM fetches WHERE id IN (SELECT value FROM json_each($1))",
};
const COUNT: Dialects = Dialects {
    postgres: "UPDATE counters
     SET discovered = discovered + $1, fetched = fetched + $2, unavailable = unavailable + $3,
         undecodable = undecodable + $4, undecodable_bytes = undecodable_bytes + $5,
         fetches = fetches + $6
     WHERE slot = pg_backend_pid() % 16",
    sqlite: "UPDATE counters
     SET discovered = discovered + $1, fetched = fetched + $2, unavailable = unavailable + $3,
         undecodable = undecodable + $4, undecodable_bytes = undecodable_bytes + $5,
         fetches = fetches + $6
     WHERE slot = 0",
};

/// The columns that say how far a row has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub status: Status,
    /// Seconds.
    pub discovered_at: i64,
    /// Seconds.
    pub fetched_at: Option<i64>,
}

impl Transaction {
    /// Inserts rows; the ids that were not there come back.
    pub async fn insert(
        &mut self,
        contents: &[&Content<'_>],
        progress: Progress,
    ) -> Result<Vec<String>, StoreError> {
        if contents.is_empty() {
            return Ok(Vec::new());
        }
        Ok(match self {
            Transaction::Postgres(transaction) => {
                postgres::submissions::insert(transaction, contents, progress).await?
            }
            Transaction::Sqlite(transaction) => {
                sqlite::submissions::insert(transaction, contents, progress).await?
            }
        })
    }

    /// Does what [`Transaction::insert`] does, in the fastest way there is where all are new.
    pub async fn insert_many(
        &mut self,
        contents: &[&Content<'_>],
        progress: Progress,
    ) -> Result<Vec<String>, StoreError> {
        if let Transaction::Postgres(transaction) = self
            && !contents.is_empty()
            && postgres::copying::copy(transaction, contents, progress).await?
        {
            return Ok(contents.iter().map(|row| row.id().to_owned()).collect());
        }
        self.insert(contents, progress).await
    }

    /// Rewrites a part of rows that are known and locked; as fetched at `fetched_at` (seconds), or leaving
    /// how far they have come.
    pub async fn rewrite(
        &mut self,
        contents: &[&Content<'_>],
        part: Part,
        fetched_at: Option<i64>,
    ) -> Result<(), StoreError> {
        if contents.is_empty() {
            return Ok(());
        }
        match self {
            Transaction::Postgres(transaction) => {
                postgres::submissions::rewrite(transaction, contents, part, fetched_at).await?;
            }
            Transaction::Sqlite(transaction) => {
                sqlite::submissions::rewrite(transaction, contents, part, fetched_at).await?;
            }
        }
        Ok(())
    }

    /// Rows that are locked and were seen again as they are: when (milliseconds).
    pub async fn seen_again(&mut self, rows: &[(&str, i64)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = json(rows)?;
        in_transaction!(self, SEEN_AGAIN, |sql, connection| {
            sqlx::query(sql).bind(rows).execute(connection).await?;
        });
        Ok(())
    }

    /// Rows whose content stays and which are locked: fetched now, last seen then (milliseconds).
    pub async fn fetched_anew(&mut self, rows: &[(&str, i64)], now: i64) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = json(rows)?;
        in_transaction!(self, FETCHED_ANEW, |sql, connection| {
            let query = sqlx::query(sql).bind(rows).bind(now);
            query.execute(connection).await?;
        });
        Ok(())
    }

    /// Changes nothing but the status.
    pub async fn set_status(&mut self, ids: Texts<'_>, status: Status) -> Result<(), StoreError> {
        if ids.0.is_empty() {
            return Ok(());
        }
        in_transaction!(self, SET_STATUS, |sql, connection| {
            let query = sqlx::query(sql).bind(ids).bind(status.as_str());
            query.execute(connection).await?;
        });
        Ok(())
    }

    /// Puts ids (with their subreddits) into the backlog; returns how many were not in it.
    pub async fn add_fetches(
        &mut self,
        rows: &[(&str, Option<String>)],
        priority: i16,
        due_ms: i64,
    ) -> Result<i64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let rows = json(rows)?;
        Ok(in_transaction!(self, ADD_FETCHES, |sql, connection| {
            let query = sqlx::query(sql).bind(rows).bind(due_ms).bind(priority);
            query.execute(connection).await?.rows_affected() as i64
        }))
    }

    /// Takes ids out of the backlog; returns how many were in it.
    pub async fn end_fetches(&mut self, ids: Texts<'_>) -> Result<i64, StoreError> {
        if ids.0.is_empty() {
            return Ok(0);
        }
        Ok(in_transaction!(self, END_FETCHES, |sql, connection| {
            let done = sqlx::query(sql).bind(ids).execute(connection).await?;
            done.rows_affected() as i64
        }))
    }

    /// Changes the counters; last, because in Postgres others wait for them until the end.
    pub async fn count(&mut self, deltas: Deltas) -> Result<(), StoreError> {
        if deltas.is_zero() {
            return Ok(());
        }
        in_transaction!(self, COUNT, |sql, connection| {
            let query = sqlx::query(sql)
                .bind(deltas.discovered)
                .bind(deltas.fetched)
                .bind(deltas.unavailable)
                .bind(deltas.undecodable)
                .bind(deltas.undecodable_bytes)
                .bind(deltas.fetches);
            query.execute(connection).await?;
        });
        Ok(())
    }
}

/// Several rows as one parameter.
pub(super) fn json(rows: &(impl serde::Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Failed {
        source: sqlx::Error::Encode(Box::new(error)),
    })
}
