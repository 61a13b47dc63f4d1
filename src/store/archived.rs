//! Recording what an archive kept, many submissions at a time.

use super::content::{Batch, Content, Deltas, prepare};
use super::known::{Change, Known};
use super::polls::Found;
use super::statement::{Texts, Transaction};
use super::submissions::Progress;
use super::withdraw::Recent;
use super::{Status, Store, StoreError};
use crate::submission::{Observation, Undecodable};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Behind everything that is live: what a refresh asks for is old, and may be millions.
pub(super) const REFRESH_PRIORITY: i16 = 2;

/// What an archive kept, to be stored in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveRecord<'a> {
    /// What was kept, of whatever subreddit.
    pub observations: &'a [Observation],
    /// What was kept and is no submission.
    pub undecodable: &'a [Undecodable],
    /// Whether the present state of each is to be fetched from Reddit, behind live work. Not where
    /// it has been fetched since the archive saw it, or is known not to be given out.
    pub refresh: bool,
    /// Milliseconds.
    pub now_ms: i64,
}

/// What became of an [`ArchiveRecord`]: of each id in it, one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveStored {
    /// Submissions that were not there.
    pub fresh: u64,
    /// Rewritten, because the archive saw them later than what is stored, and otherwise, or saw more of
    /// them.
    pub renewed: u64,
    /// Left as they were; of a slice, as it counts them: each once, however many pages show it.
    pub known: u64,
    /// Objects that are no submission which went, or were not kept, for want of room.
    pub dropped: u64,
    /// Gaps that were opened, since what was not there contradicts the proof of its time.
    pub contradicted: u64,
}

impl Store {
    /// Stores what an archive kept, in one transaction: submissions that are new, newer content of
    /// those that are known, objects that are none. A few thousand at a time are stored fastest.
    /// Doing it again changes nothing.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_archived(
        &self,
        record: &ArchiveRecord<'_>,
    ) -> Result<ArchiveStored, StoreError> {
        self.written(async {
            let batch = prepare(record.observations, matches!(self, Store::Postgres(_)));
            let mut deltas = Deltas::default();
            let mut transaction = self.begin().await?;
            let mut recent = Recent::default();
            let stored = transaction
                .archive(record, &batch, &mut recent, &mut deltas)
                .await?;
            transaction.count(deltas).await?;
            transaction.commit().await?;
            Ok(stored)
        })
        .await
    }
}

impl Transaction {
    /// Does what [`Store::record_archived`] does, but for the counters, which come last: `deltas`
    /// says what to add. `batch` is what the record's observations were prepared into, `recent` what the
    /// same source brought before.
    ///
    /// Locks are taken in the order in which a poll takes them: subreddits, submissions that are
    /// new, submissions that are known, their fetches; each by name or id.
    pub(super) async fn archive(
        &mut self,
        record: &ArchiveRecord<'_>,
        batch: &Batch<'_>,
        recent: &mut Recent,
        deltas: &mut Deltas,
    ) -> Result<ArchiveStored, StoreError> {
        let rows = &batch.newest;
        let names: BTreeSet<String> = rows.iter().filter_map(Content::subreddit).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let watched = self.lock_subreddits(&names).await?;

        let ids = rows.iter().map(Content::id).collect();
        // Without locks: most of what is known is not touched.
        let known = self.known(ids, false).await?;
        let unknown: Vec<&Content<'_>> = rows
            .iter()
            .filter(|row| !known.contains_key(row.id()))
            .collect();
        let progress = Progress {
            status: Status::Discovered,
            discovered_at: record.now_ms.div_euclid(1000),
            fetched_at: None,
        };
        let fresh: HashSet<String> = self
            .insert_many(&unknown, progress)
            .await?
            .into_iter()
            .collect();
        deltas.discovered += fresh.len() as i64;

        // Looked at again under a lock. Those that are in neither came in between.
        let touched: Texts<'_> = rows
            .iter()
            .filter(|row| !fresh.contains(row.id()))
            .filter(|row| {
                known.get(row.id()).is_none_or(|known| {
                    change(row, known) != Change::Nothing
                        || (record.refresh && refreshes(row, known))
                })
            })
            .map(Content::id)
            .collect();
        let known = if touched.0.is_empty() {
            HashMap::new()
        } else {
            self.known(touched, true).await?
        };
        let renewed = self.rewrite_by(rows, &known, change).await?;
        if record.refresh {
            let due: Vec<(&str, Option<String>)> = rows
                .iter()
                .filter(|row| {
                    let known = known.get(row.id());
                    fresh.contains(row.id()) || known.is_some_and(|known| refreshes(row, known))
                })
                .map(|row| (row.id(), row.subreddit()))
                .collect();
            deltas.fetches += self
                .add_fetches(&due, REFRESH_PRIORITY, record.now_ms)
                .await?;
        }

        let objects = record.undecodable.iter();
        let dropped = self.keep_undecodable(objects, deltas).await?;
        let names = watched.keys().map(String::as_str);
        self.add_found(&Found::count(names, rows, &fresh)).await?;
        let now = record.now_ms.div_euclid(1000);
        let contradicted = self.contradicted_by_archive(rows, &fresh, recent, now);
        let contradicted = contradicted.await?.opened.len() as u64;

        let fresh = fresh.len() as u64;
        Ok(ArchiveStored {
            fresh,
            renewed,
            known: rows.len() as u64 - fresh - renewed,
            dropped,
            contradicted,
        })
    }
}

/// What the archive's observation changes of what is stored.
fn change(row: &Content<'_>, known: &Known) -> Change {
    known.change(row, row.observed_ms > known.observed_ms)
}

/// Whether Reddit has not been asked since the archive saw it.
fn refreshes(row: &Content<'_>, known: &Known) -> bool {
    match known.status {
        Status::Discovered => true,
        Status::Fetched => row.observed_ms > known.observed_ms,
        Status::Unavailable => false,
    }
}
