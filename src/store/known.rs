//! What is stored of an id, and what an observation changes of it.
//!
//! A row holds two things: the most complete copy of what the author wrote (the newest of those), and how
//! the submission was seen last. For nearly every row they are one object. Once it was removed they are
//! not, and whichever comes first, both stand in the end. What a copy leaves out that every submission
//! has, such as its title, is what another copy said that is as complete: of several the first to be stored. A
//! column does not become null again.

use super::content::Content;
use super::statement::{Dialects, Texts, Transaction, in_transaction};
use super::submissions::{Part, json};
use super::{Status, StoreError};
use crate::submission::{Completeness, Shown};
use std::collections::HashMap;

/// What is stored about an id.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub status: Status,
    /// When it was seen last.
    pub observed_ms: i64,
    /// Of what was seen last.
    pub seen_hash: Vec<u8>,
    /// Whether that shows a removal.
    pub removed: bool,
    /// Of the copy.
    hash: Vec<u8>,
    content_ms: i64,
    pub completeness: Completeness,
    /// Which lasting columns are null, by the bits of [`Content::has`].
    lacks: i32,
    /// Whether the row was written by a version that did not note how complete it is.
    unnoted: bool,
}

/// What an observation changes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Both.
    All,
    /// How it was seen last: the copy is the more complete.
    Seen,
    /// The copy: what was seen last is newer, and less complete.
    Copy,
    /// When it was seen last.
    Time,
    /// What the copy lacks: an older one has it.
    Lacking,
    /// Nothing.
    Nothing,
}

impl Known {
    /// What a row's worth of observations changes; `newer` where the last of them counts as newer than what
    /// is stored.
    pub fn change(&self, row: &Content<'_>, newer: bool) -> Change {
        let copy = row.completeness > self.completeness
            || (row.completeness == self.completeness
                && ((newer && row.is_one()) || row.content_ms > self.content_ms));
        let other = copy && self.hash != row.hash;
        match (newer, other) {
            (true, false) if self.seen_hash == row.seen_hash && !self.is_filled_by(row) => {
                Change::Time
            }
            (true, _) if copy => Change::All,
            (true, _) => Change::Seen,
            (false, true) => Change::Copy,
            (false, false) if self.is_filled_by(row) => Change::Lacking,
            (false, false) => Change::Nothing,
        }
    }

    /// Whether an observation shows what the row lacks, and no removal in its place.
    fn is_filled_by(&self, row: &Content<'_>) -> bool {
        self.lacks & row.has() != 0 && row.completeness == self.completeness
    }

    /// Whether a listing mends what is stored: it shows more of the submission, or that it is back.
    pub fn is_mended_by(&self, row: &Content<'_>) -> bool {
        row.completeness > self.completeness
            || self.is_filled_by(row)
            || (self.removed && !row.removed && row.observed_ms > self.observed_ms)
    }
}

/// Rows of older versions say by their columns how complete they are.
macro_rules! known {
    ($rest:literal) => {
        concat!(
            "SELECT id, status, observed_ms, raw_hash, content_ms, completeness, removed_hash, removed_ms,
             CASE WHEN subreddit IS NULL THEN 1 ELSE 0 END + CASE WHEN author IS NULL THEN 2 ELSE 0 END
             + CASE WHEN title IS NULL THEN 4 ELSE 0 END + CASE WHEN selftext IS NULL THEN 8 ELSE 0 END
             + CASE WHEN url IS NULL THEN 16 ELSE 0 END + CASE WHEN permalink IS NULL THEN 32 ELSE 0 END
             + CASE WHEN domain IS NULL THEN 64 ELSE 0 END + CASE WHEN is_self IS NULL THEN 128 ELSE 0 END,
             CASE WHEN completeness IS NULL THEN author END,
             CASE WHEN completeness IS NULL THEN title END,
             CASE WHEN completeness IS NULL
                  THEN CASE WHEN length(selftext) > 1000 THEN 'long' ELSE selftext END END,
             CASE WHEN completeness IS NULL THEN url END,
             CASE WHEN completeness IS NULL THEN is_self END,
             CASE WHEN completeness IS NULL THEN removed_by END
             FROM submissions ",
            $rest
        )
    };
}

/// With a lock in Postgres: a row found here stays as it is until the transaction ends.
const LOCK_KNOWN: Dialects = Dialects {
    postgres: known!("WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"),
    sqlite: KNOWN.sqlite,
};
const KNOWN: Dialects = Dialects {
    postgres: known!("WHERE id = ANY($1)"),
    sqlite: known!("WHERE id IN (SELECT value FROM json_each($1))"),
};
const NOTE: Dialects = Dialects {
    postgres: "UPDATE submissions AS s
     SET completeness = n.completeness
     FROM (SELECT value->>0 AS id, (value->>1)::smallint AS completeness
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.id = n.id",
    sqlite: "UPDATE submissions AS s
     SET completeness = n.completeness
     FROM (SELECT value->>0 AS id, value->>1 AS completeness FROM json_each($1)) AS n
     WHERE s.id = n.id",
};

#[derive(sqlx::FromRow)]
struct Row(
    String,
    String,
    i64,
    Vec<u8>,
    Option<i64>,
    Option<i16>,
    Option<Vec<u8>>,
    Option<i64>,
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<String>,
);

impl Row {
    fn read(self) -> Result<(String, Known), sqlx::Error> {
        let Row(
            id,
            status,
            observed_ms,
            hash,
            content_ms,
            completeness,
            seen_hash,
            removed_ms,
            lacks,
            ..,
        ) = &self;
        let unnoted = completeness.is_none();
        let completeness = completeness.map_or_else(
            || {
                let Row(.., author, title, selftext, url, is_self, removed_by) = &self;
                let shown = Shown {
                    author: author.as_deref(),
                    title: title.as_deref(),
                    selftext: selftext.as_deref(),
                    url: url.as_deref(),
                    is_self: *is_self,
                    removed_by: removed_by.as_deref(),
                };
                shown.completeness()
            },
            Completeness::from_number,
        );
        let known = Known {
            status: status.parse().map_err(StoreError::unreadable)?,
            observed_ms: *observed_ms,
            seen_hash: seen_hash.as_ref().unwrap_or(hash).clone(),
            removed: removed_ms.is_some() || (unnoted && !completeness.is_whole()),
            hash: hash.clone(),
            content_ms: content_ms.unwrap_or(*observed_ms),
            completeness,
            lacks: *lacks,
            unnoted,
        };
        Ok((id.clone(), known))
    }
}

impl Transaction {
    /// What is stored about these ids; `lock` keeps others from changing it meanwhile.
    pub async fn known(
        &mut self,
        ids: Texts<'_>,
        lock: bool,
    ) -> Result<HashMap<String, Known>, StoreError> {
        let statement = if lock { LOCK_KNOWN } else { KNOWN };
        let rows: Vec<Row> = in_transaction!(self, statement, |sql, connection| {
            sqlx::query_as(sql).bind(ids).fetch_all(connection).await?
        });
        let rows = rows.into_iter().map(Row::read);
        Ok(rows.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Notes of rows whose copy will stay how complete it is, where an older version did not.
    pub(super) async fn note_completeness(
        &mut self,
        rows: &[&Content<'_>],
        known: &HashMap<String, Known>,
    ) -> Result<(), StoreError> {
        let unnoted: Vec<(&str, i16)> = rows
            .iter()
            .filter_map(|row| {
                let known = known.get(row.id()).filter(|known| known.unnoted)?;
                Some((row.id(), known.completeness.as_number()))
            })
            .collect();
        if unnoted.is_empty() {
            return Ok(());
        }
        let unnoted = json(&unnoted)?;
        in_transaction!(self, NOTE, |sql, connection| {
            sqlx::query(sql).bind(unnoted).execute(connection).await?;
        });
        Ok(())
    }

    /// Rewrites of rows that are locked what `change` says; how many it was. How far they have come stays.
    pub(super) async fn rewrite_by(
        &mut self,
        rows: &[Content<'_>],
        known: &HashMap<String, Known>,
        change: impl Fn(&Content<'_>, &Known) -> Change,
    ) -> Result<u64, StoreError> {
        let (mut whole, mut last, mut copies) = (vec![], vec![], vec![]);
        let (mut lacking, mut again) = (vec![], vec![]);
        for row in rows {
            let Some(known) = known.get(row.id()) else {
                continue;
            };
            match change(row, known) {
                Change::All => whole.push(row),
                Change::Seen => last.push(row),
                Change::Copy => copies.push(row),
                Change::Lacking => lacking.push(row),
                Change::Time => again.push((row.id(), row.observed_ms)),
                Change::Nothing => {}
            }
        }
        self.note_completeness(&last, known).await?;
        self.rewrite(&whole, Part::All, None).await?;
        self.rewrite(&last, Part::Seen, None).await?;
        self.rewrite(&copies, Part::Copy, None).await?;
        self.rewrite(&lacking, Part::Lacking, None).await?;
        self.seen_again(&again).await?;
        Ok((whole.len() + last.len() + copies.len() + lacking.len()) as u64)
    }
}
