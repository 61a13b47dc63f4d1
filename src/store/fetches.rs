//! Recording what fetches brought.

use super::clocks::AHEAD_MS;
use super::content::{Batch, Content, Deltas, prepare};
use super::give_back::GIVE_BACK;
use super::known::Change;
use super::statement::{Dialects, Texts, Transaction, in_transaction, on_engine};
use super::submissions::{Part, Progress, json};
use super::{Status, Store, StoreError};
use crate::submission::{Observation, SubmissionId, Undecodable};
use std::collections::HashSet;
use std::time::Instant;

/// What one or more fetches brought, to be stored in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct FetchRecord<'a> {
    /// What came.
    pub observations: &'a [Observation],
    /// What came and is no submission.
    pub undecodable: &'a [Undecodable],
    /// Left out of the answer, and to be asked for again then (milliseconds). Each omission is
    /// counted, and the attempt is given back.
    pub deferred: &'a [(SubmissionId, i64)],
    /// Not given out any more; the listed copy stays.
    pub unavailable: &'a [SubmissionId],
    /// Who asked, as told to [`Store::start_attempts`]. What was left out means nothing for a fetch
    /// that somebody else has begun or ended since.
    pub by: &'a str,
    /// Milliseconds.
    pub now_ms: i64,
}

/// What became of a [`FetchRecord`]; indexes point into its observations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchStored {
    /// Written.
    pub changed: Vec<usize>,
    /// Equal to what is stored, which was marked as fetched and not rewritten.
    pub unchanged: Vec<usize>,
    /// Older than what was fetched before, and not written, unless that was seen by a clock that has
    /// since been set back, or shows less of the submission. The fetch has ended none the less.
    pub stale: Vec<usize>,
    /// Ended because they are not given out any more: those that nobody else had begun or ended since.
    pub unavailable: Vec<SubmissionId>,
    /// Submissions whose text columns lost NUL characters, which Postgres cannot hold.
    pub nul_stripped: u64,
    /// Objects that are no submission which went, or were not kept, for want of room.
    pub dropped: u64,
}

/// Not where somebody else has begun since, or where the fetch has ended and come anew.
const END_OWN: Dialects = Dialects {
    postgres: "DELETE FROM fetches WHERE id = ANY($1) AND started_by = $2 RETURNING id",
    sqlite: "DELETE FROM fetches
     WHERE id IN (SELECT value FROM json_each($1)) AND started_by = $2 RETURNING id",
};
/// Bounded, whatever there is: the newest by id are mostly fetched.
const NEWEST_FETCHED: Dialects = Dialects::same(
    "SELECT id FROM (SELECT id, status FROM submissions ORDER BY id DESC LIMIT 1000) AS newest
     WHERE status = 'fetched' LIMIT $1",
);

impl Store {
    /// A few submissions that have been fetched, where the newest are.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn newest_fetched(&self, limit: u32) -> Result<Vec<SubmissionId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, read, NEWEST_FETCHED, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(i64::from(limit));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let ids = ids.into_iter().map(|id| id.parse());
        Ok(ids
            .collect::<Result<_, _>>()
            .map_err(StoreError::unreadable)?)
    }

    /// Stores what fetches brought and ends them, in one transaction.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_fetches(
        &self,
        record: &FetchRecord<'_>,
    ) -> Result<FetchStored, StoreError> {
        self.written(self.write_fetches(record)).await
    }

    async fn write_fetches(&self, record: &FetchRecord<'_>) -> Result<FetchStored, StoreError> {
        let begun = Instant::now();
        let batch = prepare(record.observations, matches!(self, Store::Postgres(_)));
        let mut transaction = self.begin().await?;
        let written = transaction.write_fetched(record, &batch, begun).await?;
        transaction.count(written.deltas).await?;
        transaction.commit().await?;
        Ok(written.stored)
    }
}

/// What a transaction has written of a [`FetchRecord`].
pub(super) struct Written {
    pub stored: FetchStored,
    /// The ids that were not known.
    pub fresh: HashSet<String>,
    /// To be counted at the transaction's end.
    pub deltas: Deltas,
}

impl Transaction {
    /// Writes what fetches brought and ends them. Of the observations those in `batch` are written. The
    /// call that makes the transaction began at `begun`.
    pub(super) async fn write_fetched(
        &mut self,
        record: &FetchRecord<'_>,
        batch: &Batch<'_>,
        begun: Instant,
    ) -> Result<Written, StoreError> {
        let now = record.now_ms.div_euclid(1000);
        let observed: HashSet<&str> = batch.newest.iter().map(Content::id).collect();
        let left_out = record.unavailable.iter().map(SubmissionId::as_str);
        let left_out: Texts<'_> = left_out.filter(|id| !observed.contains(id)).collect();
        let mut stored = FetchStored {
            stale: batch.superseded.clone(),
            nul_stripped: batch.newest.iter().filter(|row| row.nul_stripped).count() as u64,
            ..FetchStored::default()
        };
        let mut deltas = Deltas::default();
        let mut fresh = HashSet::new();

        let ids = batch.newest.iter().map(Content::id);
        let mut ids: Vec<&str> = ids.chain(left_out.0.iter().copied()).collect();
        ids.sort_unstable();
        let mut known = self.known(Texts(ids), true).await?;
        let unavailable: Vec<String> = in_transaction!(self, END_OWN, |sql, it| {
            let query = sqlx::query_scalar(sql).bind(left_out).bind(record.by);
            query.fetch_all(it).await?
        });
        deltas.fetches -= unavailable.len() as i64;
        for id in &unavailable {
            if let Some(row) = known.get(id)
                && row.status != Status::Unavailable
            {
                deltas.moves(Some(row.status), Status::Unavailable);
            }
        }

        // What was seen later than this is no newer than what comes now. The rows are locked, which may
        // have taken its time: what was seen meanwhile is newer.
        let waited = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let latest_ms = record
            .now_ms
            .saturating_add(waited)
            .saturating_add(AHEAD_MS);
        let mut pending: Vec<&Content<'_>> = batch.newest.iter().collect();
        while !pending.is_empty() {
            let (mut missing, mut touched) = (Vec::new(), Vec::new());
            let (mut whole, mut last) = (Vec::new(), Vec::new());
            let (mut copies, mut lacking) = (Vec::new(), Vec::new());
            for row in pending {
                let Some(known) = known.get(row.id()) else {
                    missing.push(row);
                    continue;
                };
                // The answer to a fetch follows the listing that it came from, whatever their clocks say.
                let older = known.status != Status::Discovered
                    && row.observed_ms < known.observed_ms
                    && known.observed_ms <= latest_ms;
                let change = known.change(row, !older);
                let places = match change {
                    Change::Nothing => &mut stored.stale,
                    Change::Time => &mut stored.unchanged,
                    Change::All | Change::Seen | Change::Copy | Change::Lacking => {
                        &mut stored.changed
                    }
                };
                places.push(row.index);
                match change {
                    Change::Nothing => {}
                    Change::Time => touched.push((row.id(), row.observed_ms)),
                    Change::All => whole.push(row),
                    Change::Seen => last.push(row),
                    Change::Copy => copies.push(row),
                    Change::Lacking => lacking.push(row),
                }
                if !older {
                    deltas.moves(Some(known.status), Status::Fetched);
                }
            }
            self.note_completeness(&last, &known).await?;
            self.rewrite(&whole, Part::All, Some(now)).await?;
            self.rewrite(&last, Part::Seen, Some(now)).await?;
            self.rewrite(&copies, Part::Copy, None).await?;
            self.rewrite(&lacking, Part::Lacking, None).await?;
            self.fetched_anew(&touched, now).await?;
            let progress = Progress {
                status: Status::Fetched,
                discovered_at: now,
                fetched_at: Some(now),
            };
            let inserted = self.insert(&missing, progress).await?;
            let inserted: HashSet<String> = inserted.into_iter().collect();
            pending = Vec::new();
            for row in missing {
                if inserted.contains(row.id()) {
                    stored.changed.push(row.index);
                    deltas.moves(None, Status::Fetched);
                } else {
                    pending.push(row);
                }
            }
            fresh.extend(inserted);
            // Another transaction has inserted these since we looked: now they are known.
            if !pending.is_empty() {
                let ids = pending.iter().map(|row| row.id()).collect();
                known = self.known(ids, true).await?;
            }
        }

        let objects = record.undecodable.iter();
        stored.dropped = self.keep_undecodable(objects, &mut deltas).await?;
        let ended = unavailable.iter().map(String::as_str).collect();
        self.set_status(ended, Status::Unavailable).await?;
        let ended = record.unavailable.iter();
        let ended = ended.filter(|id| unavailable.iter().any(|it| it == id.as_str()));
        stored.unavailable = ended.cloned().collect();
        end(self, record, batch, &mut deltas).await?;

        for places in [
            &mut stored.changed,
            &mut stored.unchanged,
            &mut stored.stale,
        ] {
            places.sort_unstable();
        }
        Ok(Written {
            stored,
            fresh,
            deltas,
        })
    }
}

/// Ends or defers the rows of `fetches`.
async fn end(
    transaction: &mut Transaction,
    record: &FetchRecord<'_>,
    batch: &Batch<'_>,
    deltas: &mut Deltas,
) -> Result<(), StoreError> {
    let ended: Texts<'_> = batch.newest.iter().map(Content::id).collect();
    if !record.deferred.is_empty() {
        let done: HashSet<&str> = ended.0.iter().copied().collect();
        let rows: Vec<(&str, i64)> = record
            .deferred
            .iter()
            .map(|(id, due_ms)| (id.as_str(), *due_ms))
            .filter(|(id, _)| !done.contains(id))
            .collect();
        let rows = json(&rows)?;
        in_transaction!(transaction, GIVE_BACK, |sql, connection| {
            let query = sqlx::query(sql).bind(rows).bind(record.by).bind(1_i32);
            query.execute(connection).await?;
        });
    }
    deltas.fetches -= transaction.end_fetches(ended).await?;
    Ok(())
}
