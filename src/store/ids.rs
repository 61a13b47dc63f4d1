//! The ledger of ids: what became of each id of the counter that Reddit numbers submissions with.
//!
//! Ids that were asked for are kept as runs, absent ids that are asked for again as rows, so the size
//! depends on what is pending and not on how much was scanned. A request's submissions and what it says
//! about ids are stored in one transaction. Two processes that record at the same time do no harm: a run
//! only grows, and an id that is settled never becomes pending again.

use super::content::{Batch, Content, Deltas, prepare};
use super::fetches::{FetchRecord, FetchStored};
use super::intervals::{Interval, cover};
use super::polls::Found;
use super::statement::{Dialects, Texts, Transaction, in_transaction, on_engine};
use super::submissions::json;
use super::{Store, StoreError};
use crate::submission::{Observation, SubmissionId, Undecodable};
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

/// An absent id that is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRetry {
    /// The id, as a number.
    pub id: i64,
    /// How often it was asked for again so far.
    pub tries: u32,
    /// When it was first found to be absent, milliseconds since the epoch.
    pub missing_ms: i64,
    /// When it is asked for next, milliseconds since the epoch.
    pub due_ms: i64,
}

/// The ledger as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdLedger {
    /// The first id that it answers for.
    pub first: i64,
    /// The highest id that was seen. What lies between the two and in no run was skipped.
    pub head: i64,
    /// What was asked for and answered, ascending; the ends are not part of the runs.
    pub runs: Vec<Interval>,
    /// Ids of these runs that are asked for again, ascending.
    pub retries: Vec<IdRetry>,
    /// Ids that were seen.
    pub seen: i64,
    /// Ids that are absent for good.
    pub absent: i64,
}

/// What one request for ids brought, to be stored in one transaction.
#[derive(Debug, Clone, Default)]
pub struct IdRecord<'a> {
    /// What was given out.
    pub observations: &'a [Observation],
    /// What was given out and is no submission.
    pub undecodable: &'a [Undecodable],
    /// Whether submissions of subreddits that are not watched are stored too.
    pub store_all: bool,
    /// Ids that were asked for and answered.
    pub asked: Vec<Interval>,
    /// Those that were seen.
    pub seen: Vec<i64>,
    /// Those that are asked for again.
    pub absent: Vec<IdRetry>,
    /// Those that are absent for good.
    pub gone: Vec<i64>,
    /// The highest id that was seen so far.
    pub head: i64,
    /// Milliseconds.
    pub now_ms: i64,
}

/// What became of an [`IdRecord`]; indexes point into its observations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdStored {
    /// The submissions that were stored.
    pub stored: FetchStored,
    /// Those of them that were not known.
    pub fresh: Vec<usize>,
}

const BEGIN: Dialects = Dialects::same(
    "INSERT INTO id_scan (slot, first_id, head_id) VALUES (0, $1, $2)
     ON CONFLICT (slot) DO NOTHING",
);
const SCAN: Dialects =
    Dialects::same("SELECT first_id, head_id, seen, absent FROM id_scan WHERE slot = 0");
const LOCK: Dialects = Dialects {
    postgres: "SELECT head_id FROM id_scan WHERE slot = 0 FOR UPDATE",
    sqlite: "SELECT head_id FROM id_scan WHERE slot = 0",
};
const MOVE: Dialects = Dialects::same(
    "UPDATE id_scan SET head_id = $1, seen = seen + $2, absent = absent + $3 WHERE slot = 0",
);
const RUNS: Dialects = Dialects::same("SELECT run_start, run_end FROM id_runs ORDER BY run_start");
const TOUCHING: Dialects = Dialects::same(
    "SELECT run_start, run_end FROM id_runs WHERE run_start <= $2 AND run_end >= $1
     ORDER BY run_start",
);
const ABSORB: Dialects = Dialects::same("DELETE FROM id_runs WHERE run_start = $1");
const KEEP: Dialects = Dialects::same(
    "INSERT INTO id_runs (run_start, run_end) VALUES ($1, $2)
     ON CONFLICT (run_start) DO UPDATE SET run_end = excluded.run_end",
);
const RETRIES: Dialects =
    Dialects::same("SELECT id, tries, missing_ms, due_ms FROM id_retries ORDER BY id");
const PENDING: Dialects = Dialects::same("SELECT count(*) FROM id_retries");
const ADD_RETRIES: Dialects = Dialects {
    postgres: "INSERT INTO id_retries (id, tries, missing_ms, due_ms)
     SELECT (value->>0)::bigint, (value->>1)::integer, (value->>2)::bigint, (value->>3)::bigint
     FROM json_array_elements($1::text::json)
     ON CONFLICT (id) DO NOTHING",
    sqlite: "INSERT INTO id_retries (id, tries, missing_ms, due_ms)
     SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each($1) WHERE true
     ON CONFLICT (id) DO NOTHING",
};
/// A try that another process counted is not counted back.
const POSTPONE: Dialects = Dialects {
    postgres: "UPDATE id_retries AS r SET tries = n.tries, due_ms = n.due_ms
     FROM (SELECT (value->>0)::bigint AS id, (value->>1)::integer AS tries,
                  (value->>3)::bigint AS due_ms
           FROM json_array_elements($1::text::json)) AS n
     WHERE r.id = n.id AND r.tries < n.tries",
    sqlite: "UPDATE id_retries AS r SET tries = n.tries, due_ms = n.due_ms
     FROM (SELECT value->>0 AS id, value->>1 AS tries, value->>3 AS due_ms FROM json_each($1)) AS n
     WHERE r.id = n.id AND r.tries < n.tries",
};
const SETTLE: Dialects = Dialects {
    postgres: "DELETE FROM id_retries
     WHERE id IN (SELECT value::text::bigint FROM json_array_elements($1::text::json))",
    sqlite: "DELETE FROM id_retries WHERE id IN (SELECT value FROM json_each($1))",
};
/// Nobody takes these off the list, or pauses them, until the end.
const WATCHED: Dialects = Dialects {
    postgres: "SELECT name FROM subreddits WHERE name = ANY($1) AND state <> 'paused'
     ORDER BY name FOR NO KEY UPDATE",
    sqlite: "SELECT name FROM subreddits
     WHERE name IN (SELECT value FROM json_each($1)) AND state <> 'paused'",
};
/// The newest rows by id, which are mostly the newest of the counter; some ids were made by hand.
const NEWEST: Dialects = Dialects::same("SELECT id FROM submissions ORDER BY id DESC LIMIT 1000");

/// The name of a subreddit in an object that is no submission.
#[derive(Deserialize)]
struct Named {
    subreddit: Option<String>,
}

/// The subreddit that an object that is no submission says it is of.
pub(super) fn subreddit_of(object: &Undecodable) -> Option<String> {
    let named: Named = serde_json::from_str(object.raw.get()).ok()?;
    named.subreddit.map(|name| name.to_ascii_lowercase())
}

impl Store {
    /// Begins the ledger where there is none: it answers for what lies above `head`, the highest id so far.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn begin_ids(&self, head: i64) -> Result<(), StoreError> {
        on_engine!(self, write, BEGIN, |sql, pool| {
            let query = sqlx::query(sql).bind(head.saturating_add(1)).bind(head);
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// The ledger; none before a scan began.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn id_ledger(&self) -> Result<Option<IdLedger>, StoreError> {
        let scan: Option<(i64, i64, i64, i64)> = on_engine!(self, read, SCAN, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_as(sql).fetch_optional(pool).await?)
        })?;
        let Some((first, head, seen, absent)) = scan else {
            return Ok(None);
        };
        // Runs before retries: a retry that is read here is of a run that is, or of one that grew since.
        let runs: Vec<(i64, i64)> = on_engine!(self, read, RUNS, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_as(sql).fetch_all(pool).await?)
        })?;
        let retries: Vec<(i64, i32, i64, i64)> = on_engine!(self, read, RETRIES, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_as(sql).fetch_all(pool).await?)
        })?;
        let runs = runs.into_iter();
        let retries = retries.into_iter();
        Ok(Some(IdLedger {
            first,
            head,
            runs: runs.map(|(start, end)| Interval { start, end }).collect(),
            retries: retries
                .map(|(id, tries, missing_ms, due_ms)| IdRetry {
                    id,
                    tries: tries.unsigned_abs(),
                    missing_ms,
                    due_ms,
                })
                .collect(),
            seen,
            absent,
        }))
    }

    /// How many absent ids are asked for again.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn pending_ids(&self) -> Result<i64, StoreError> {
        on_engine!(self, read, PENDING, |sql, pool| {
            Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
        })
    }

    /// The ids of some of the newest submissions, highest first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn newest_ids(&self) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<String> = on_engine!(self, read, NEWEST, |sql, pool| {
            Ok::<_, StoreError>(sqlx::query_scalar(sql).fetch_all(pool).await?)
        })?;
        let ids = ids.iter().filter_map(|id| id.parse::<SubmissionId>().ok());
        let mut ids: Vec<i64> = ids.filter_map(|id| id.number()).collect();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        Ok(ids)
    }

    /// Stores what a request for ids brought, in one transaction: the submissions as fetched (each ends the
    /// fetch that waits for it), what became of the ids, and the head. Of subreddits that are not watched,
    /// or are paused, nothing is stored unless `store_all` says so.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_ids(&self, record: &IdRecord<'_>) -> Result<IdStored, StoreError> {
        self.written(self.write_ids(record)).await
    }

    async fn write_ids(&self, record: &IdRecord<'_>) -> Result<IdStored, StoreError> {
        let begun = Instant::now();
        let mut batch = prepare(record.observations, matches!(self, Store::Postgres(_)));
        let mut transaction = self.begin().await?;
        // First, so that processes that record at the same time wait here and nowhere else.
        let head: Option<i64> = in_transaction!(&mut transaction, LOCK, |sql, connection| {
            sqlx::query_scalar(sql).fetch_optional(connection).await?
        });
        let given_out = GivenOut {
            observations: record.observations,
            undecodable: record.undecodable,
            store_all: record.store_all,
            now_ms: record.now_ms,
        };
        let written = transaction
            .write_given_out(&given_out, &mut batch, begun)
            .await?;
        transaction.note_ids(record, head).await?;
        transaction.count(written.deltas).await?;
        transaction.commit().await?;
        Ok(written.stored)
    }
}

/// What an answer gave out, to be stored as fetched.
pub(super) struct GivenOut<'a> {
    pub observations: &'a [Observation],
    pub undecodable: &'a [Undecodable],
    pub store_all: bool,
    pub now_ms: i64,
}

/// What became of it.
pub(super) struct WrittenOut {
    pub stored: IdStored,
    /// Subreddits whose submissions were given out and not stored, since nobody watches them now.
    pub unwatched: Vec<String>,
    /// The ids that were not known.
    pub fresh: HashSet<String>,
    /// To be counted at the transaction's end.
    pub deltas: Deltas,
}

impl Transaction {
    /// Stores submissions that were given out by id, and ends the fetches that wait for them; `batch` is
    /// what is made of them, of which what is not to be stored is taken out.
    pub(super) async fn write_given_out(
        &mut self,
        given_out: &GivenOut<'_>,
        batch: &mut Batch<'_>,
        begun: Instant,
    ) -> Result<WrittenOut, StoreError> {
        let rows: Vec<String> = batch.newest.iter().filter_map(Content::subreddit).collect();
        let objects: Vec<String> = given_out
            .undecodable
            .iter()
            .filter_map(subreddit_of)
            .collect();
        let names = rows.iter().chain(&objects);
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        let watched = self.lock_watched(names.iter().copied().collect()).await?;
        let is_kept = |name: Option<String>| {
            given_out.store_all || name.is_some_and(|name| watched.contains(&name))
        };
        batch.newest.retain(|row| is_kept(row.subreddit()));
        let undecodable: Vec<Undecodable> = given_out
            .undecodable
            .iter()
            .filter(|object| is_kept(subreddit_of(object)))
            .cloned()
            .collect();
        let fetched = FetchRecord {
            observations: given_out.observations,
            undecodable: &undecodable,
            deferred: &[],
            unavailable: &[],
            by: "",
            now_ms: given_out.now_ms,
        };
        let written = self.write_fetched(&fetched, batch, begun).await?;
        let found = Found::count(
            watched.iter().map(String::as_str),
            &batch.newest,
            &written.fresh,
        );
        self.add_found(&found).await?;
        let unwatched = names.into_iter().filter(|name| !watched.contains(*name));
        Ok(WrittenOut {
            stored: IdStored {
                stored: written.stored,
                fresh: batch.places_of(&written.fresh),
            },
            unwatched: unwatched.map(str::to_owned).collect(),
            fresh: written.fresh,
            deltas: written.deltas,
        })
    }

    /// Those of these names that are watched and not paused; their rows stay as they are until the end.
    async fn lock_watched(&mut self, names: Vec<&str>) -> Result<HashSet<String>, StoreError> {
        if names.is_empty() {
            return Ok(HashSet::new());
        }
        let names = Texts(names);
        let rows: Vec<String> = in_transaction!(self, WATCHED, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(names);
            query.fetch_all(connection).await?
        });
        Ok(rows.into_iter().collect())
    }

    /// Notes what became of ids. The ledger's row is locked.
    async fn note_ids(
        &mut self,
        record: &IdRecord<'_>,
        head: Option<i64>,
    ) -> Result<(), StoreError> {
        let Some(head) = head else {
            return Ok(());
        };
        let mut asked_before: Vec<Interval> = Vec::new();
        for asked in &record.asked {
            asked_before.extend(self.touching_runs(*asked).await?);
        }
        for asked in &record.asked {
            let touching = self.touching_runs(*asked).await?;
            let Some(change) = cover(&touching, *asked) else {
                continue;
            };
            for start in change.absorbed {
                in_transaction!(self, ABSORB, |sql, connection| {
                    let query = sqlx::query(sql).bind(start);
                    query.execute(connection).await?;
                });
            }
            in_transaction!(self, KEEP, |sql, connection| {
                let query = sqlx::query(sql)
                    .bind(change.kept.start)
                    .bind(change.kept.end);
                query.execute(connection).await?;
            });
        }
        let within = |runs: &[Interval], id: i64| {
            let mut runs = runs.iter();
            runs.any(|run| run.start <= id && id < run.end)
        };
        // What another process has asked for meanwhile is seen, pending or absent for good already.
        let (again, new): (Vec<&IdRetry>, Vec<&IdRetry>) =
            record.absent.iter().partition(|retry| retry.tries > 0);
        let new = new
            .into_iter()
            .filter(|retry| !within(&asked_before, retry.id));
        self.change_retries(ADD_RETRIES, &new.collect::<Vec<_>>())
            .await?;
        self.change_retries(POSTPONE, &again).await?;
        let waited = self.settle(&record.seen).await?;
        let newly_seen = record
            .seen
            .iter()
            .filter(|id| within(&record.asked, **id) && !within(&asked_before, **id))
            .count() as u64;
        let gone = self.settle(&record.gone).await?;
        in_transaction!(self, MOVE, |sql, connection| {
            let query = sqlx::query(sql)
                .bind(head.max(record.head))
                .bind((waited + newly_seen) as i64)
                .bind(gone as i64);
            query.execute(connection).await?;
        });
        Ok(())
    }

    async fn touching_runs(&mut self, asked: Interval) -> Result<Vec<Interval>, StoreError> {
        let runs: Vec<(i64, i64)> = in_transaction!(self, TOUCHING, |sql, connection| {
            let query = sqlx::query_as(sql).bind(asked.start).bind(asked.end);
            query.fetch_all(connection).await?
        });
        let runs = runs.into_iter();
        Ok(runs.map(|(start, end)| Interval { start, end }).collect())
    }

    async fn change_retries(
        &mut self,
        statement: Dialects,
        retries: &[&IdRetry],
    ) -> Result<(), StoreError> {
        if retries.is_empty() {
            return Ok(());
        }
        let rows = retries
            .iter()
            .map(|it| (it.id, it.tries, it.missing_ms, it.due_ms));
        let rows = json(&rows.collect::<Vec<_>>())?;
        in_transaction!(self, statement, |sql, connection| {
            sqlx::query(sql).bind(rows).execute(connection).await?;
        });
        Ok(())
    }

    /// Ends the retries of these ids; how many waited.
    async fn settle(&mut self, ids: &[i64]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids = json(ids)?;
        Ok(in_transaction!(self, SETTLE, |sql, connection| {
            let done = sqlx::query(sql).bind(ids).execute(connection).await?;
            done.rows_affected()
        }))
    }
}
