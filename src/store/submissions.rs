//! Rows of `submissions`, of what hangs on them, and of the counters, as the writing transactions
//! change them.

use super::content::{Content, Deltas, Known, hash};
use super::statement::{Dialects, Texts, Transaction, in_transaction};
use super::{Status, StoreError, postgres, sqlite};
use crate::submission::Undecodable;
use std::collections::HashMap;

/// Every column, in the order in which both engines bind them.
pub(super) const COLUMNS: &str = "id, subreddit, author, title, selftext, url, permalink, domain, \
     created_utc, score, num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self, \
     link_flair_text, edited, edited_at, removed_by, kind, observed_ms, raw_hash, raw, \
     discovered_at, fetched_at, status";

/// With a lock in Postgres: a row found here stays as it is until the transaction ends.
const LOCK_KNOWN: Dialects = Dialects {
    postgres: "SELECT id, status, observed_ms, raw_hash FROM submissions WHERE id = ANY($1)
     ORDER BY id FOR NO KEY UPDATE",
    sqlite: KNOWN.sqlite,
};
const KNOWN: Dialects = Dialects {
    postgres: "SELECT id, status, observed_ms, raw_hash FROM submissions WHERE id = ANY($1)",
    sqlite: "SELECT id, status, observed_ms, raw_hash FROM submissions
     WHERE id IN (SELECT value FROM json_each($1))",
};
const FETCHED_ANEW: Dialects = Dialects {
    postgres: "UPDATE submissions AS s
     SET status = 'fetched', fetched_at = $2, observed_ms = n.observed_ms
     FROM (SELECT value->>0 AS id, (value->>1)::bigint AS observed_ms
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.id = n.id",
    sqlite: "UPDATE submissions AS s
     SET status = 'fetched', fetched_at = $2, observed_ms = n.observed_ms
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
/// A later sight of the same object counts; the same sight recorded again does not.
const KEEP_UNDECODABLE: Dialects = Dialects::same(
    "INSERT INTO undecodable (hash, raw, reason, times, first_seen_ms, last_seen_ms)
     VALUES ($1, $2, $3, 1, $4, $4)
     ON CONFLICT (hash) DO UPDATE
     SET times = undecodable.times + 1, last_seen_ms = excluded.last_seen_ms
     WHERE excluded.last_seen_ms > undecodable.last_seen_ms
     RETURNING times",
);
const COUNT: Dialects = Dialects {
    postgres: "UPDATE counters
     SET discovered = discovered + $1, fetched = fetched + $2, unavailable = unavailable + $3,
         undecodable = undecodable + $4, fetches = fetches + $5
     WHERE slot = pg_backend_pid() % 16",
    sqlite: "UPDATE counters
     SET discovered = discovered + $1, fetched = fetched + $2, unavailable = unavailable + $3,
         undecodable = undecodable + $4, fetches = fetches + $5
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
    /// What is stored about these ids; `lock` keeps others from changing it meanwhile.
    pub async fn known(
        &mut self,
        ids: Texts<'_>,
        lock: bool,
    ) -> Result<HashMap<String, Known>, StoreError> {
        let statement = if lock { LOCK_KNOWN } else { KNOWN };
        let rows: Vec<(String, String, i64, Vec<u8>)> =
            in_transaction!(self, statement, |sql, connection| {
                sqlx::query_as(sql).bind(ids).fetch_all(connection).await?
            });
        let mut known = HashMap::with_capacity(rows.len());
        for (id, status, observed_ms, hash) in rows {
            let status = status.parse().map_err(StoreError::unreadable)?;
            let row = Known {
                status,
                observed_ms,
                hash,
            };
            known.insert(id, row);
        }
        Ok(known)
    }

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

    /// Rewrites the content of rows that are known and locked, and nothing else of them.
    pub async fn renew(&mut self, contents: &[&Content<'_>]) -> Result<(), StoreError> {
        if contents.is_empty() {
            return Ok(());
        }
        match self {
            Transaction::Postgres(transaction) => {
                postgres::submissions::renew(transaction, contents).await?;
            }
            Transaction::Sqlite(transaction) => {
                sqlite::submissions::renew(transaction, contents).await?;
            }
        }
        Ok(())
    }

    /// Rewrites rows that are known and locked, as fetched.
    pub async fn rewrite(&mut self, contents: &[&Content<'_>], now: i64) -> Result<(), StoreError> {
        if contents.is_empty() {
            return Ok(());
        }
        match self {
            Transaction::Postgres(transaction) => {
                postgres::submissions::rewrite(transaction, contents, now).await?;
            }
            Transaction::Sqlite(transaction) => {
                sqlite::submissions::rewrite(transaction, contents, now).await?;
            }
        }
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

    /// Keeps objects that are no submission; returns how many were not kept before.
    pub async fn keep_undecodable(
        &mut self,
        objects: impl Iterator<Item = &Undecodable>,
    ) -> Result<i64, StoreError> {
        let mut objects: Vec<_> = objects.map(|object| (hash(&object.raw), object)).collect();
        objects.sort_by_key(|(hash, object)| (*hash, object.observed_ms));
        let mut new = 0;
        for (hash, object) in objects {
            let times: Option<i64> = in_transaction!(self, KEEP_UNDECODABLE, |sql, connection| {
                let query = sqlx::query_scalar(sql)
                    .bind(hash.as_slice())
                    .bind(object.raw.get())
                    .bind(object.reason.replace('\0', ""))
                    .bind(object.observed_ms);
                query.fetch_optional(connection).await?
            });
            new += i64::from(times == Some(1));
        }
        Ok(new)
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
