//! What an archive or a file brings of time that is recorded as proven, and nobody knew.
//!
//! Some of it is no contradiction. An archive takes its copy within seconds, so it holds what was removed
//! before any poll could list it (one submission in ten and more, where filters are strict), and what a
//! moderator approved after the polls had passed (one or two in a hundred). A copy that shows a removal is
//! no evidence at all. A copy taken long after the creation shows a submission that polls should have
//! listed. A copy taken early says less: only where most of what the archive holds was unknown.

use super::runs::{Brought, Tolerance};
use crate::store::StoreError;
use crate::store::content::Content;
use crate::store::gaps::GapsChanged;
use crate::store::proofs::ONE_AT_A_TIME;
use crate::store::statement::{Dialects, Texts, Transaction, in_transaction};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is younger may not have been listed yet, or be found by the overlap of the next poll: seconds.
const SETTLED: i64 = 3_600;
/// A copy taken so long after the creation shows what was visible for two poll intervals: seconds.
const VISIBLE: i64 = 3_600;
/// Submissions that are remembered from one page to the next, so that what is missing is seen as a whole.
const MAX_ROWS: usize = 2_000;

const COVERED: Dialects = Dialects {
    postgres: "SELECT DISTINCT subreddit FROM coverage WHERE subreddit = ANY($1)",
    sqlite: "SELECT DISTINCT subreddit FROM coverage
     WHERE subreddit IN (SELECT value FROM json_each($1))",
};

/// What a source brought last, of subreddits of which something is proven. Each slice and each file has its
/// own, and hands it from page to page.
#[derive(Debug, Clone, Default)]
pub struct Recent(Vec<Row>);

#[derive(Debug, Clone)]
struct Row {
    id: String,
    subreddit: String,
    created: i64,
    novelty: Novelty,
}

/// What a submission says about the proof of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Novelty {
    /// It was known.
    Known,
    /// It was not, and the copy was taken when polls should have listed it.
    Missed,
    /// It was not, and it may have been gone before anyone could list it.
    Early,
    /// It was not, and the copy shows that it was removed.
    Removed,
}

impl Novelty {
    fn of(row: &Content<'_>, fresh: bool) -> Novelty {
        if !fresh {
            Novelty::Known
        } else if row.removed || !row.completeness.is_whole() || is_gone(row.seen_raw.get()) {
            Novelty::Removed
        } else if row.observed_ms.div_euclid(1000) - row.fields.created_utc >= VISIBLE {
            Novelty::Missed
        } else {
            Novelty::Early
        }
    }
}

/// Whether an archive says beside its first copy that the submission was gone when it looked again.
fn is_gone(raw: &str) -> bool {
    #[derive(Deserialize)]
    struct Object {
        #[serde(rename = "_meta", default)]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        removal_type: serde_json::Value,
        #[serde(default)]
        was_deleted_later: serde_json::Value,
        #[serde(default)]
        was_initially_deleted: serde_json::Value,
    }
    if !raw.contains("_meta") {
        return false;
    }
    let object = serde_json::from_str::<Object>(raw).ok();
    object.and_then(|it| it.meta).is_some_and(|meta| {
        meta.removal_type.as_str().is_some_and(|by| !by.is_empty())
            || meta.was_deleted_later == serde_json::Value::Bool(true)
            || meta.was_initially_deleted == serde_json::Value::Bool(true)
    })
}

impl Recent {
    /// Adds a page. What an earlier page brought as unknown stays unknown when it comes again.
    fn add(&mut self, rows: Vec<Row>) {
        let before: HashMap<&str, Novelty> = self
            .0
            .iter()
            .map(|row| (row.id.as_str(), row.novelty))
            .collect();
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|row| Row {
                novelty: before.get(row.id.as_str()).copied().unwrap_or(row.novelty),
                ..row
            })
            .collect();
        let again: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        self.0.retain(|row| !again.contains(row.id.as_str()));
        self.0.extend(rows);
        let surplus = self.0.len().saturating_sub(MAX_ROWS);
        self.0.drain(..surplus);
    }
}

impl Transaction {
    /// Takes back what a page contradicts. The rows of the watched subreddits in it are locked.
    pub(in crate::store) async fn contradicted_by_archive(
        &mut self,
        rows: &[Content<'_>],
        fresh: &HashSet<String>,
        recent: &mut Recent,
        now: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        let names: BTreeSet<String> = rows.iter().filter_map(Content::subreddit).collect();
        let names: Texts<'_> = names.iter().map(String::as_str).collect();
        let covered: Vec<String> = in_transaction!(self, COVERED, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(names);
            query.fetch_all(connection).await?
        });
        let covered: BTreeSet<String> = covered.into_iter().collect();
        if covered.is_empty() {
            return Ok(changed);
        }
        let mut page: Vec<Row> = Vec::new();
        for row in rows {
            let Some(subreddit) = row.subreddit().filter(|name| covered.contains(name)) else {
                continue;
            };
            page.push(Row {
                id: row.id().to_owned(),
                subreddit,
                created: row.fields.created_utc,
                novelty: Novelty::of(row, fresh.contains(row.id())),
            });
        }
        // Batches are ordered by id.
        page.sort_by_key(|row| row.created);
        let touched: BTreeSet<String> = page
            .iter()
            .filter(|row| row.novelty != Novelty::Known)
            .map(|row| row.subreddit.clone())
            .collect();
        recent.add(page);
        for subreddit in touched {
            let own = recent.0.iter().filter(|row| row.subreddit == subreddit);
            let own: Vec<&Row> = own.collect();
            changed.add(self.contradicted_by(&subreddit, &own, now).await?);
        }
        Ok(changed)
    }

    async fn contradicted_by(
        &mut self,
        subreddit: &str,
        rows: &[&Row],
        now: i64,
    ) -> Result<GapsChanged, StoreError> {
        let mut changed = GapsChanged::default();
        let unknown = rows.iter().filter(|row| row.novelty != Novelty::Known);
        let unknown: Vec<&str> = unknown.map(|row| row.id.as_str()).collect();
        let tallies: [(&[Novelty], Tolerance); 2] = [
            (&[Novelty::Missed], Tolerance::LISTING),
            (&[Novelty::Missed, Novelty::Early], Tolerance::EARLY_COPIES),
        ];
        let mut locked = false;
        for (speaking, tolerance) in tallies {
            let speaks = |row: &&&Row| speaking.contains(&row.novelty);
            if rows.iter().filter(speaks).count() < tolerance.at_least {
                continue;
            }
            let brought: Vec<Brought> = rows
                .iter()
                .filter(|row| row.novelty == Novelty::Known || speaks(row))
                .map(|row| Brought {
                    created: row.created,
                    fresh: row.novelty != Novelty::Known,
                })
                .collect();
            if !std::mem::replace(&mut locked, true)
                && let Transaction::Postgres(transaction) = self
            {
                // Nobody watches it, perhaps, so that no row of it is locked.
                let query = sqlx::query(ONE_AT_A_TIME).bind(subreddit);
                query.execute(&mut **transaction).await?;
            }
            let withdrawn = self.contradict(
                subreddit,
                &brought,
                &unknown,
                now.saturating_sub(SETTLED),
                tolerance,
                now,
            );
            changed.add(withdrawn.await?);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn row(id: &str, created: i64, novelty: Novelty) -> Row {
        Row {
            id: id.to_owned(),
            subreddit: "rust".to_owned(),
            created,
            novelty,
        }
    }

    #[test]
    fn what_a_page_brought_as_unknown_stays_so_on_the_next() {
        let mut recent = Recent::default();
        recent.add(vec![
            row("a", 1, Novelty::Missed),
            row("b", 2, Novelty::Known),
        ]);
        recent.add(vec![
            row("a", 1, Novelty::Known),
            row("c", 3, Novelty::Early),
        ]);
        let found: BTreeMap<&str, Novelty> = recent
            .0
            .iter()
            .map(|row| (row.id.as_str(), row.novelty))
            .collect();
        let expected = [
            ("a", Novelty::Missed),
            ("b", Novelty::Known),
            ("c", Novelty::Early),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut recent = Recent::default();
        for page in 0..5 {
            let rows = (0..1_000).map(|at| row(&format!("{page}-{at}"), at, Novelty::Known));
            recent.add(rows.collect());
        }
        assert_eq!(recent.0.len(), MAX_ROWS);
        assert_eq!(recent.0[0].id, "3-0");
    }

    #[test]
    fn an_archive_that_found_it_gone_says_so() {
        for (raw, expected) in [
            (r#"{"id":"a"}"#, false),
            (r#"{"id":"a","_meta":{"retrieved_2nd_on":5}}"#, false),
            (r#"{"id":"a","_meta":{"removal_type":"moderator"}}"#, true),
            (r#"{"id":"a","_meta":{"was_deleted_later":true}}"#, true),
            (r#"{"id":"a","_meta":{"removal_type":null}}"#, false),
            (r#"{"id":"a","_meta":7}"#, false),
        ] {
            assert_eq!(is_gone(raw), expected, "{raw}");
        }
    }
}
