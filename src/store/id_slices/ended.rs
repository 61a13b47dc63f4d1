//! The end of a slice from ids: whose gaps it closes.

use super::{ABSENT, AbsentId, DISMISS_ALL, DISMISS_INACTIVE, MEMBERS};
use crate::store::slices::{END, SliceClaim};
use crate::store::statement::{Dialects, Texts, Transaction, in_transaction};
use crate::store::{Interval, Store, StoreError, without};
use crate::submission::SubmissionId;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The end of a slice, all of whose ids are accounted for.
#[derive(Debug, Clone, Copy)]
pub struct IdSliceEnd<'a> {
    /// The right to record it.
    pub claim: &'a SliceClaim,
    /// Members of which something was given out just now: Reddit shows them to us. The gaps of others stay.
    pub shown: &'a [String],
    /// Ids for which requests failed to the last: they were not left out by anybody.
    pub failing: &'a BTreeSet<i64>,
    /// Seconds of which nothing is known for those, ascending: somebody's submission may be missing there.
    pub unknown: &'a [Interval],
    /// Why nothing is proven for anybody, if so.
    pub unproven: Option<&'a str>,
    /// Milliseconds.
    pub now_ms: i64,
}

/// What became of an [`IdSliceEnd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdSliceEnded {
    /// Gaps that were closed.
    pub gaps_repaired: u64,
    /// Subreddits of which it proved all that they had open in it.
    pub proven: usize,
    /// Those whose gaps stay open.
    pub left: usize,
}

/// What is stored and is given out by nobody any more says that ids do not tell everything of its subreddit.
const STORED_OF: Dialects = Dialects {
    postgres: "SELECT DISTINCT lower(subreddit) FROM submissions
     WHERE id = ANY($1) AND status <> 'unavailable' AND subreddit IS NOT NULL",
    sqlite: "SELECT DISTINCT lower(subreddit) FROM submissions
     WHERE id IN (SELECT value FROM json_each($1)) AND status <> 'unavailable'
       AND subreddit IS NOT NULL",
};
const OPEN: Dialects = Dialects {
    postgres: "SELECT subreddit, gap_start, gap_end FROM gaps
     WHERE subreddit = ANY($1) AND state = 'open' AND gap_start < $3 AND gap_end > $2
     ORDER BY subreddit, gap_start",
    sqlite: "SELECT subreddit, gap_start, gap_end FROM gaps
     WHERE subreddit IN (SELECT value FROM json_each($1)) AND state = 'open' AND gap_start < $3
       AND gap_end > $2
     ORDER BY subreddit, gap_start",
};
const FORGET: [Dialects; 3] = [
    Dialects::same("DELETE FROM id_slice_absent WHERE slice = $1"),
    DISMISS_ALL,
    Dialects::same("DELETE FROM id_slices WHERE slice = $1"),
];

impl Store {
    /// Ends a slice: closes the gaps within it of the members that are shown, active, and of which nothing stored is
    /// among what was left out. None where the claim is lost.
    ///
    /// # Errors
    /// As the database answers; then nothing was recorded, or all of it where the answer was lost.
    pub async fn end_id_slice(
        &self,
        end: &IdSliceEnd<'_>,
    ) -> Result<Option<IdSliceEnded>, StoreError> {
        self.written(async {
            let mut transaction = self.begin().await?;
            if !transaction.holds(end.claim).await? {
                transaction.rollback().await?;
                return Ok(None);
            }
            let ended = transaction.end_ids(end).await?;
            transaction.commit().await?;
            Ok(Some(ended))
        })
        .await
    }
}

impl Transaction {
    async fn end_ids(&mut self, end: &IdSliceEnd<'_>) -> Result<IdSliceEnded, StoreError> {
        let (claim, now) = (end.claim, end.now_ms.div_euclid(1000));
        let members: Vec<String> = in_transaction!(self, MEMBERS, |sql, connection| {
            let query = sqlx::query_scalar(sql).bind(claim.id);
            query.fetch_all(connection).await?
        });
        let whole = Interval {
            start: claim.slice_start,
            end: claim.slice_end,
        };
        let mut ended = IdSliceEnded {
            left: members.len(),
            ..IdSliceEnded::default()
        };
        if end.unproven.is_none() {
            let shown: Vec<&str> = members.iter().map(String::as_str).collect();
            self.lock_subreddits(&shown).await?;
            in_transaction!(self, DISMISS_INACTIVE, |sql, connection| {
                sqlx::query(sql).bind(claim.id).execute(connection).await?;
            });
            let kept: Vec<String> = in_transaction!(self, MEMBERS, |sql, connection| {
                let query = sqlx::query_scalar(sql).bind(claim.id);
                query.fetch_all(connection).await?
            });
            let contradicted = self.stored_of_absent(claim.id, end.failing).await?;
            let proven: Vec<&str> = kept
                .iter()
                .filter(|name| end.shown.contains(name) && !contradicted.contains(*name))
                .map(String::as_str)
                .collect();
            for (name, pieces) in self.open_within(&proven, whole).await? {
                let pieces = without(&pieces, end.unknown);
                let pieces = self.without_unstored(claim.backfill, &pieces).await?;
                ended.gaps_repaired += self.prove(&name, &pieces, "ids", now).await?;
            }
            ended.proven = proven.len();
            ended.left = members.len() - proven.len();
        }
        let reason = match (end.unproven, ended.left) {
            (Some(why), _) => Some(why.to_owned()),
            (None, 0) if end.unknown.is_empty() => None,
            (None, 0) => Some(
                "the time around some of its ids stays open: whatever request asks for them fails, while others succeed"
                    .to_owned(),
            ),
            (None, left) => Some(format!(
                "the gaps of {left} of {} subreddits stay open: Reddit does not show them, leaves out what is stored \
                 of them, or they were paused meanwhile",
                members.len()
            )),
        };
        let seconds = match ended.left {
            0 if end.unproven.is_none() => {
                let proven = without(&[whole], end.unknown);
                proven.iter().map(|it| it.end - it.start).sum()
            }
            _ => 0,
        };
        in_transaction!(self, END, |sql, connection| {
            let query = sqlx::query(sql).bind(claim.id).bind(seconds).bind(reason);
            query.execute(connection).await?;
        });
        for forget in FORGET {
            in_transaction!(self, forget, |sql, connection| {
                sqlx::query(sql).bind(claim.id).execute(connection).await?;
            });
        }
        self.finish_backfill(claim.backfill, now).await?;
        Ok(ended)
    }

    /// The subreddits of submissions that are stored and were left out.
    async fn stored_of_absent(
        &mut self,
        slice: i64,
        failing: &BTreeSet<i64>,
    ) -> Result<HashSet<String>, StoreError> {
        let absent: Vec<AbsentId> = in_transaction!(self, ABSENT, |sql, connection| {
            let query = sqlx::query_as(sql).bind(slice);
            query.fetch_all(connection).await?
        });
        let absent = absent.iter().filter(|it| !failing.contains(&it.id));
        let ids = absent.map(|it| SubmissionId::from_number(it.id));
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let mut names = HashSet::new();
        for ids in ids.chunks(1_000) {
            let ids: Texts<'_> = ids.iter().map(String::as_str).collect();
            let of: Vec<String> = in_transaction!(self, STORED_OF, |sql, connection| {
                let query = sqlx::query_scalar(sql).bind(ids);
                query.fetch_all(connection).await?
            });
            names.extend(of);
        }
        Ok(names)
    }

    /// What each of these has open within an interval, in order of their names.
    async fn open_within(
        &mut self,
        names: &[&str],
        within: Interval,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let names: Texts<'_> = names.iter().copied().collect();
        let rows: Vec<(String, i64, i64)> = in_transaction!(self, OPEN, |sql, connection| {
            let query = sqlx::query_as(sql).bind(names);
            let query = query.bind(within.start).bind(within.end);
            query.fetch_all(connection).await?
        });
        let mut open: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
        for (name, start, end) in rows {
            open.entry(name).or_default().push(Interval {
                start: start.max(within.start),
                end: end.min(within.end),
            });
        }
        Ok(open)
    }
}
