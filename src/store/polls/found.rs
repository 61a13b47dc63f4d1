//! What was new of each watched subreddit, counted on its row.

use crate::store::StoreError;
use crate::store::content::Content;
use crate::store::statement::{Dialects, Transaction, in_transaction};
use crate::store::submissions::json;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What was new of one watched subreddit: how many, and when the newest was posted (seconds).
#[derive(Serialize)]
pub(in crate::store) struct Found<'a> {
    name: &'a str,
    pub(in crate::store) fresh: i64,
    newest: i64,
}

impl<'a> Found<'a> {
    /// Of each of these subreddits, what is new among `rows`.
    pub fn count(
        names: impl IntoIterator<Item = &'a str>,
        rows: &[Content<'_>],
        fresh: &HashSet<String>,
    ) -> HashMap<&'a str, Found<'a>> {
        let found = names.into_iter().map(|name| (name, Found::none(name)));
        let mut found: HashMap<&str, Found<'_>> = found.collect();
        for row in rows.iter().filter(|row| fresh.contains(row.id())) {
            let name = row.subreddit();
            if let Some(found) = name.and_then(|name| found.get_mut(name.as_str())) {
                found.add(row);
            }
        }
        found
    }

    fn none(name: &'a str) -> Found<'a> {
        Found {
            name,
            fresh: 0,
            newest: i64::MIN,
        }
    }

    fn add(&mut self, row: &Content<'_>) {
        self.fresh += 1;
        self.newest = self.newest.max(row.fields.created_utc);
    }
}

const FOUND: Dialects = Dialects {
    postgres: "UPDATE subreddits AS s
     SET submissions = s.submissions + n.fresh,
         last_submission_at = greatest(s.last_submission_at, n.newest)
     FROM json_to_recordset($1::text::json) AS n(name text, fresh bigint, newest bigint)
     WHERE s.name = n.name",
    sqlite: "UPDATE subreddits AS s
     SET submissions = s.submissions + (n.value->>'fresh'),
         last_submission_at = max(coalesce(s.last_submission_at, n.value->>'newest'),
                                  n.value->>'newest')
     FROM json_each($1) AS n
     WHERE s.name = n.value->>'name'",
};

impl Transaction {
    /// Counts what was new of each subreddit whose row is locked.
    pub(in crate::store) async fn add_found(
        &mut self,
        found: &HashMap<&str, Found<'_>>,
    ) -> Result<(), StoreError> {
        let found: Vec<&Found<'_>> = found.values().filter(|found| found.fresh > 0).collect();
        if !found.is_empty() {
            let found = json(&found)?;
            in_transaction!(self, FOUND, |sql, connection| {
                sqlx::query(sql).bind(found).execute(connection).await?;
            });
        }
        Ok(())
    }
}
