//! Fetches that were set aside: who, why, and what becomes of them.

use super::attempts::PastAttempt;
use super::content::Deltas;
use super::statement::{Dialects, Texts, in_transaction, on_engine};
use super::{Store, StoreError};
use crate::submission::{SubmissionId, SubredditName};

/// What still has to be fetched, or was set aside and is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchJob {
    /// What is to be fetched.
    pub id: SubmissionId,
    /// Where it was posted, lower case.
    pub subreddit: Option<String>,
    /// Tries, one under way among them.
    pub attempts: u32,
    /// Answers that left it out.
    pub omissions: u32,
    /// The last failure.
    pub reason: Option<String>,
    /// When it was set aside, seconds.
    pub dead_at: Option<i64>,
    /// The newest attempts that failed, the oldest of them first.
    pub history: Vec<PastAttempt>,
}

/// Which of them; all conditions must hold, and one that is absent always does.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// One of these.
    pub ids: Option<Vec<SubmissionId>>,
    /// Posted there.
    pub subreddit: Option<SubredditName>,
    /// This text is a part of the reason.
    pub reason: Option<String>,
    /// Further down the list than this one: its time (seconds) and id.
    pub below: Option<(i64, SubmissionId)>,
}

const LIST: Dialects = Dialects {
    postgres: "SELECT id, subreddit, attempts, omissions, reason, dead_at, CAST(history AS text)
     FROM fetches
     WHERE dead_at IS NOT NULL AND ($1::text[] IS NULL OR id = ANY($1))
         AND ($2::text IS NULL OR subreddit = $2)
         AND ($3::text IS NULL OR position($3 IN reason) > 0)
         AND ($5::bigint IS NULL OR dead_at < $5 OR (dead_at = $5 AND id > $6))
     ORDER BY dead_at DESC, id LIMIT $4",
    sqlite: "SELECT id, subreddit, attempts, omissions, reason, dead_at, CAST(history AS text)
     FROM fetches
     WHERE dead_at IS NOT NULL AND ($1 IS NULL OR id IN (SELECT value FROM json_each($1)))
         AND ($2 IS NULL OR subreddit = $2)
         AND ($3 IS NULL OR instr(reason, $3) > 0)
         AND ($5 IS NULL OR dead_at < $5 OR (dead_at = $5 AND id > $6))
     ORDER BY dead_at DESC, id LIMIT $4",
};
const ONE: Dialects = Dialects::same(
    "SELECT id, subreddit, attempts, omissions, reason, dead_at, CAST(history AS text)
     FROM fetches WHERE id = $1",
);
/// The reason stays until there is another, the history for good.
const RETRY: Dialects = Dialects {
    postgres: "UPDATE fetches SET dead_at = NULL, attempts = 0, omissions = 0, due_ms = $2
     WHERE id = ANY($1) AND dead_at IS NOT NULL",
    sqlite: "UPDATE fetches SET dead_at = NULL, attempts = 0, omissions = 0, due_ms = $2
     WHERE id IN (SELECT value FROM json_each($1)) AND dead_at IS NOT NULL",
};
const DISCARD: Dialects = Dialects {
    postgres: "DELETE FROM fetches WHERE id = ANY($1) AND dead_at IS NOT NULL",
    sqlite: "DELETE FROM fetches
     WHERE id IN (SELECT value FROM json_each($1)) AND dead_at IS NOT NULL",
};

type Row = (
    String,
    Option<String>,
    i32,
    i32,
    Option<String>,
    Option<i64>,
    Option<String>,
);

fn read(
    (id, subreddit, attempts, omissions, reason, dead_at, history): Row,
) -> sqlx::Result<FetchJob> {
    // What cannot be read, in part or whole, hides nothing else.
    let history = history.and_then(|text| serde_json::from_str(&text).ok());
    let history = history.map(|entries: Vec<serde_json::Value>| {
        let entries = entries.into_iter().map(serde_json::from_value);
        entries.map(Result::unwrap_or_default).collect()
    });
    Ok(FetchJob {
        id: id.parse().map_err(StoreError::unreadable)?,
        subreddit,
        attempts: attempts.unsigned_abs(),
        omissions: omissions.unsigned_abs(),
        reason,
        dead_at,
        history: history.unwrap_or_default(),
    })
}

impl Store {
    /// Those that match, the latest first, at most `limit`.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn dead_fetches(
        &self,
        filter: &DeadFilter,
        limit: u32,
    ) -> Result<Vec<FetchJob>, StoreError> {
        let ids: Option<Texts<'_>> = filter
            .ids
            .as_ref()
            .map(|ids| ids.iter().map(SubmissionId::as_str).collect());
        let subreddit = filter.subreddit.as_ref().map(SubredditName::as_str);
        let reason = filter.reason.as_deref();
        let (below_at, below_id) = match &filter.below {
            Some((at, id)) => (Some(*at), Some(id.as_str())),
            None => (None, None),
        };
        let rows: Vec<Row> = on_engine!(self, read, LIST, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(ids)
                .bind(subreddit)
                .bind(reason)
                .bind(i64::from(limit))
                .bind(below_at)
                .bind(below_id);
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let dead: sqlx::Result<_> = rows.into_iter().map(read).collect();
        Ok(dead?)
    }

    /// What is known of the fetch of one submission, set aside or not; none where none is to be made.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn fetch_job(&self, id: &SubmissionId) -> Result<Option<FetchJob>, StoreError> {
        let row: Option<Row> = on_engine!(self, read, ONE, |sql, pool| {
            let query = sqlx::query_as(sql).bind(id.as_str());
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(row.map(read).transpose()?)
    }

    /// Puts them back into the backlog, due at once, with all their attempts; returns how many.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn retry_dead(&self, ids: &[SubmissionId], now_ms: i64) -> Result<u64, StoreError> {
        let texts: Texts<'_> = ids.iter().map(SubmissionId::as_str).collect();
        let texts = &texts;
        on_engine!(self, write, RETRY, |sql, pool| {
            let query = sqlx::query(sql).bind(texts).bind(now_ms);
            Ok(query.execute(pool).await?.rows_affected())
        })
    }

    /// Gives them up: what their listings showed stays, and nothing fetches them any more. Returns
    /// how many.
    ///
    /// # Errors
    /// As the database answers; then none was given up.
    pub async fn discard_dead(&self, ids: &[SubmissionId]) -> Result<u64, StoreError> {
        self.written(async {
            let texts: Texts<'_> = ids.iter().map(SubmissionId::as_str).collect();
            let mut transaction = self.begin().await?;
            let gone = in_transaction!(&mut transaction, DISCARD, |sql, connection| {
                let query = sqlx::query(sql).bind(texts);
                query.execute(connection).await?.rows_affected()
            });
            let deltas = Deltas {
                fetches: -i64::try_from(gone).unwrap_or(i64::MAX),
                ..Deltas::default()
            };
            transaction.count(deltas).await?;
            transaction.commit().await?;
            Ok(gone)
        })
        .await
    }
}
