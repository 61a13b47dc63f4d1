//! Reading submissions and totals.

use super::statement::{Dialects, Texts, on_engine};
use super::{Status, Store, StoreError};
use crate::submission::{SubmissionId, SubredditName};

/// A stored submission: its row in `submissions`, every column.
///
/// The fields are those of [`crate::submission::Submission`]; `kind` is the label's word.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each is the column and the field of the same name"
)]
pub struct StoredSubmission {
    pub id: SubmissionId,
    pub subreddit: Option<String>,
    pub author: Option<String>,
    pub title: Option<String>,
    pub selftext: Option<String>,
    pub url: Option<String>,
    pub permalink: Option<String>,
    pub domain: Option<String>,
    pub created_utc: i64,
    pub score: Option<i64>,
    pub num_comments: Option<i64>,
    pub upvote_ratio: Option<f64>,
    pub over_18: Option<bool>,
    pub spoiler: Option<bool>,
    pub stickied: Option<bool>,
    pub locked: Option<bool>,
    pub is_self: Option<bool>,
    pub link_flair_text: Option<String>,
    pub edited: Option<bool>,
    pub edited_at: Option<i64>,
    pub removed_by: Option<String>,
    pub kind: String,
    /// Seconds.
    pub discovered_at: i64,
    /// Seconds; `None` until fetched.
    pub fetched_at: Option<i64>,
    pub status: Status,
    /// Milliseconds; when the answer that these fields come from was asked for.
    pub observed_ms: i64,
    /// The object as Reddit sent it: the most complete copy, where a later one shows it removed.
    pub raw: String,
    /// Milliseconds; when it was last seen removed, in whatever way.
    pub removed_ms: Option<i64>,
    /// The object that was seen last, where it is not `raw`.
    pub removed_raw: Option<String>,
}

/// How many rows there are, from counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Submissions that stand as listed, not fetched yet.
    pub discovered: i64,
    /// Submissions that stand as fetched.
    pub fetched: i64,
    /// Submissions that Reddit no longer gives out.
    pub unavailable: i64,
    /// Different objects that are no submission.
    pub undecodable: i64,
}

impl Totals {
    /// All stored submissions.
    pub fn submissions(&self) -> i64 {
        self.discovered + self.fetched + self.unavailable
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    subreddit: Option<String>,
    author: Option<String>,
    title: Option<String>,
    selftext: Option<String>,
    url: Option<String>,
    permalink: Option<String>,
    domain: Option<String>,
    created_utc: i64,
    score: Option<i64>,
    num_comments: Option<i64>,
    upvote_ratio: Option<f64>,
    over_18: Option<bool>,
    spoiler: Option<bool>,
    stickied: Option<bool>,
    locked: Option<bool>,
    is_self: Option<bool>,
    link_flair_text: Option<String>,
    edited: Option<bool>,
    edited_at: Option<i64>,
    removed_by: Option<String>,
    kind: String,
    discovered_at: i64,
    fetched_at: Option<i64>,
    status: String,
    observed_ms: i64,
    raw_text: String,
    removed_ms: Option<i64>,
    removed_raw_text: Option<String>,
}

impl TryFrom<Row> for StoredSubmission {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(StoredSubmission {
            id: row.id.parse().map_err(StoreError::unreadable)?,
            status: row.status.parse().map_err(StoreError::unreadable)?,
            subreddit: row.subreddit,
            author: row.author,
            title: row.title,
            selftext: row.selftext,
            url: row.url,
            permalink: row.permalink,
            domain: row.domain,
            created_utc: row.created_utc,
            score: row.score,
            num_comments: row.num_comments,
            upvote_ratio: row.upvote_ratio,
            over_18: row.over_18,
            spoiler: row.spoiler,
            stickied: row.stickied,
            locked: row.locked,
            is_self: row.is_self,
            link_flair_text: row.link_flair_text,
            edited: row.edited,
            edited_at: row.edited_at,
            removed_by: row.removed_by,
            kind: row.kind,
            discovered_at: row.discovered_at,
            fetched_at: row.fetched_at,
            observed_ms: row.observed_ms,
            raw: row.raw_text,
            removed_ms: row.removed_ms,
            removed_raw: row.removed_raw_text,
        })
    }
}

const SUBMISSION: Dialects = Dialects::same(
    "SELECT submissions.*, CAST(raw AS text) AS raw_text,
            CAST(removed_raw AS text) AS removed_raw_text FROM submissions WHERE id = $1",
);
/// One look into the index for each subreddit that there is, instead of at each submission.
const NEXT_SUBREDDIT: Dialects = Dialects::same(
    "SELECT lower(subreddit) FROM submissions WHERE lower(subreddit) > $1
     ORDER BY lower(subreddit) LIMIT 1",
);
/// Along the index (lower(subreddit), created_utc).
const NEWEST: Dialects = Dialects::same(
    "SELECT max(created_utc) FROM submissions WHERE lower(subreddit) = $1 AND created_utc < $2",
);
/// Along the same index.
const COUNT: Dialects = Dialects::same(
    "SELECT count(*) FROM submissions
     WHERE lower(subreddit) = $1 AND created_utc >= $2 AND created_utc < $3",
);
const BETWEEN: Dialects = Dialects::same(
    "SELECT created_utc, id FROM submissions
     WHERE lower(subreddit) = $1 AND created_utc >= $2 AND created_utc < $4
       AND (created_utc > $2 OR id > $3)
     ORDER BY created_utc, id LIMIT $5",
);
const BY_HOUR: Dialects = Dialects::same(
    "SELECT created_utc / 3600 AS hour, count(*) FROM submissions
     WHERE lower(subreddit) = $1 AND created_utc >= $2 AND created_utc < $3
     GROUP BY created_utc / 3600 ORDER BY hour",
);
const TOTALS: Dialects = Dialects::same(
    "SELECT CAST(sum(discovered) AS bigint), CAST(sum(fetched) AS bigint),
            CAST(sum(unavailable) AS bigint), CAST(sum(undecodable) AS bigint)
     FROM counters",
);

const VISIBLE: Dialects = Dialects {
    postgres: "SELECT id FROM submissions
     WHERE lower(subreddit) = ANY($1) AND created_utc >= $2 AND created_utc < $3
       AND status <> 'unavailable' AND removed_by IS NULL
     ORDER BY created_utc DESC, id LIMIT $4",
    sqlite: "SELECT id FROM submissions
     WHERE lower(subreddit) IN (SELECT value FROM json_each($1))
       AND created_utc >= $2 AND created_utc < $3
       AND status <> 'unavailable' AND removed_by IS NULL
     ORDER BY created_utc DESC, id LIMIT $4",
};

/// A stored submission that listings show.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Visible {
    /// Base 36.
    pub id: String,
}

impl Store {
    /// One stored submission.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn submission(
        &self,
        id: &SubmissionId,
    ) -> Result<Option<StoredSubmission>, StoreError> {
        let row: Option<Row> = on_engine!(self, read, SUBMISSION, |sql, pool| {
            let query = sqlx::query_as(sql).bind(id.as_str());
            Ok::<_, StoreError>(query.fetch_optional(pool).await?)
        })?;
        Ok(row.map(StoredSubmission::try_from).transpose()?)
    }

    /// The subreddit after this one, in lower case, of those whose submissions are stored; whether
    /// watched or not.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn subreddit_after(&self, name: &str) -> Result<Option<String>, StoreError> {
        on_engine!(self, read, NEXT_SUBREDDIT, |sql, pool| {
            let query = sqlx::query_scalar(sql).bind(name);
            Ok(query.fetch_optional(pool).await?)
        })
    }

    /// When the newest stored submission of a subreddit was created that was so before `before`, seconds.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn newest_submission(
        &self,
        subreddit: &SubredditName,
        before: i64,
    ) -> Result<Option<i64>, StoreError> {
        on_engine!(self, read, NEWEST, |sql, pool| {
            let query = sqlx::query_scalar(sql)
                .bind(subreddit.as_str())
                .bind(before);
            Ok(query.fetch_one(pool).await?)
        })
    }

    /// The newest stored submissions of these subreddits that were created from `since` until before
    /// `until` (seconds) and that Reddit shows, as far as is known: newest first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn visible(
        &self,
        subreddits: &[SubredditName],
        since: i64,
        until: i64,
        limit: u32,
    ) -> Result<Vec<Visible>, StoreError> {
        let names: Texts<'_> = subreddits.iter().map(SubredditName::as_str).collect();
        on_engine!(self, read, VISIBLE, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(names)
                .bind(since)
                .bind(until)
                .bind(i64::from(limit));
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// How many submissions of a subreddit, in lower case, were created from `since` until before `until`
    /// (seconds). Reads each of them in the index: seconds for millions.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn count_submissions(
        &self,
        subreddit: &str,
        since: i64,
        until: i64,
    ) -> Result<u64, StoreError> {
        let count: i64 = on_engine!(self, read, COUNT, |sql, pool| {
            let query = sqlx::query_scalar(sql)
                .bind(subreddit)
                .bind(since)
                .bind(until);
            Ok::<_, StoreError>(query.fetch_one(pool).await?)
        })?;
        Ok(count.unsigned_abs())
    }

    /// When submissions of a subreddit, in lower case, were created, and their ids, oldest first: those
    /// behind `after`, which is such a pair, and before `until` (seconds).
    ///
    /// # Errors
    /// As the database answers.
    pub async fn submissions_between(
        &self,
        subreddit: &str,
        after: &(i64, String),
        until: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        on_engine!(self, read, BETWEEN, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(subreddit)
                .bind(after.0)
                .bind(&after.1)
                .bind(until)
                .bind(i64::from(limit));
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// How many submissions of a subreddit, in lower case, were created in each hour (since the epoch) of a
    /// time (seconds); hours without any are left out.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn submissions_by_hour(
        &self,
        subreddit: &str,
        since: i64,
        until: i64,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        on_engine!(self, read, BY_HOUR, |sql, pool| {
            let query = sqlx::query_as(sql).bind(subreddit).bind(since).bind(until);
            Ok(query.fetch_all(pool).await?)
        })
    }

    /// How many submissions stand in each status, and how many objects could not be decoded; from
    /// counters, so that it costs the same with millions of rows.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let (discovered, fetched, unavailable, undecodable): (i64, i64, i64, i64) =
            on_engine!(self, read, TOTALS, |sql, pool| {
                Ok::<_, StoreError>(sqlx::query_as(sql).fetch_one(pool).await?)
            })?;
        Ok(Totals {
            discovered,
            fetched,
            unavailable,
            undecodable,
        })
    }
}
