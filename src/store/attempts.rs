//! Attempts at a fetch: counted before the work, and those that failed kept with their story.
//!
//! A row of `fetches` knows who tries now and since when, which costs the update that counts the
//! attempt nothing more. Its `history` stays null until an attempt fails, or turns out never to have
//! ended when the next begins; then it holds the newest of them as a JSON array.

use super::archived::REFRESH_PRIORITY;
use super::codes::FailureKind;
use super::statement::{Dialects, on_engine};
use super::submissions::json;
use super::{Store, StoreError};
use crate::submission::SubmissionId;
use serde::{Deserialize, Serialize};

/// Characters of a reason that are kept.
const REASON_CHARS: usize = 500;

/// A fetch that is about to be tried, counted beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What to fetch.
    pub id: SubmissionId,
    /// Tries so far, this one among them. One that ends the process stays counted.
    pub attempts: u32,
    /// Answers so far that left it out.
    pub omissions: u32,
    /// Where it was posted, lower case.
    pub subreddit: Option<String>,
    /// Why the attempt before this failed; none where it never ended, and where there was none.
    pub reason: Option<String>,
    /// How the one before this failed, if any did.
    pub failed_before: Option<FailureKind>,
    /// How often the request that it was in was halved, since it failed while others succeeded.
    pub suspicion: u32,
    /// Whether it was fetched before, and a backfill asked for it again.
    pub refresh: bool,
}

/// The row of an [`Attempt`], its fields in their order.
type Started = (
    String,
    i32,
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    i32,
    i16,
);

/// An attempt that failed. One that cannot be read is as `default` says: nothing is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PastAttempt {
    /// When it began, milliseconds since the epoch; none where an older build began it.
    pub started_ms: Option<i64>,
    /// Who tried.
    pub by: Option<String>,
    /// When it failed, milliseconds since the epoch; none where it never ended: its process was
    /// killed, or cut off, or lost it.
    pub ended_ms: Option<i64>,
    /// A [`FailureKind`]'s word.
    pub kind: String,
    /// What happened, in words; none where it never ended.
    pub reason: Option<String>,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// Who tried, as told to [`Store::start_attempts`].
    pub by: &'a str,
    /// Its sort.
    pub kind: FailureKind,
    /// What happened, in words; cut to a sensible length.
    pub reason: &'a str,
    /// Milliseconds.
    pub now_ms: i64,
}

/// The history with one more entry (the text of an object's keys and values), the oldest of twenty
/// gone for it; unchanged where no attempt was under way, so that a call made again adds nothing, or
/// where a further condition does not hold.
macro_rules! longer_history {
    (postgres $entry:literal $($condition:literal)?) => {
        concat!(
            "history = CASE WHEN started ",
            $($condition,)?
            "THEN
                 (CASE WHEN jsonb_array_length(history) >= 20 THEN history - 0
                       ELSE coalesce(history, '[]'::jsonb) END)
                 || jsonb_build_array(jsonb_build_object(",
            $entry,
            ")) ELSE history END"
        )
    };
    (sqlite $entry:literal $($condition:literal)?) => {
        concat!(
            "history = CASE WHEN started ",
            $($condition,)?
            "THEN
                 json_insert(
                     CASE WHEN json_array_length(history) >= 20 THEN json_remove(history, '$[0]')
                          ELSE coalesce(history, '[]') END,
                     '$[#]', json_object(",
            $entry,
            ")) ELSE history END"
        )
    };
}

/// What a worker begins again goes on: only the end of it could not be written, or its answer was
/// lost. A worker that died has another name when it comes back.
const START: Dialects = Dialects {
    postgres: concat!(
        "UPDATE fetches SET
             attempts = CASE WHEN started AND started_by = $2 THEN attempts ELSE attempts + 1 END,
             started = true, started_by = $2, started_ms = $3, ",
        longer_history!(postgres
            "'started_ms', started_ms, 'by', started_by, 'ended_ms', NULL, 'kind', 'never_ended',
             'reason', NULL"
            "AND started_by IS DISTINCT FROM $2 "),
        " WHERE id = ANY($1) AND dead_at IS NULL
         RETURNING id, attempts, omissions, subreddit, reason, history ->> -1, suspicion,
             priority"
    ),
    sqlite: concat!(
        "UPDATE fetches SET
             attempts = CASE WHEN started AND started_by = $2 THEN attempts ELSE attempts + 1 END,
             started = true, started_by = $2, started_ms = $3, ",
        longer_history!(sqlite
            "'started_ms', started_ms, 'by', started_by, 'ended_ms', NULL, 'kind', 'never_ended',
             'reason', NULL"
            "AND started_by IS NOT $2 "),
        " WHERE id IN (SELECT value FROM json_each($1)) AND dead_at IS NULL
         RETURNING id, attempts, omissions, subreddit, reason, history ->> '$[#-1]',
                   suspicion, priority"
    ),
};
/// Not where somebody else has begun since: that attempt goes on, and of this one its history says
/// already that it did not end.
const RETRY: Dialects = Dialects {
    postgres: concat!(
        "UPDATE fetches SET reason = $2, due_ms = $3, fed_ms = NULL, started = false, ",
        longer_history!(postgres
            "'started_ms', started_ms, 'by', started_by, 'ended_ms', CAST($4 AS bigint),
             'kind', CAST($5 AS text), 'reason', CAST($2 AS text)"),
        " WHERE id = $1 AND dead_at IS NULL AND (NOT started OR started_by = $6)"
    ),
    sqlite: concat!(
        "UPDATE fetches SET reason = $2, due_ms = $3, fed_ms = NULL, started = false, ",
        longer_history!(sqlite
            "'started_ms', started_ms, 'by', started_by, 'ended_ms', $4, 'kind', $5, 'reason', $2"),
        " WHERE id = $1 AND dead_at IS NULL AND (NOT started OR started_by = $6)"
    ),
};
/// The attempt that was counted to find this out was none.
const SET_ASIDE: Dialects = Dialects::same(
    "UPDATE fetches SET reason = $2, dead_at = $3, fed_ms = NULL, started = false,
         attempts = CASE WHEN started AND attempts > 0 THEN attempts - 1 ELSE attempts END
     WHERE id = $1 AND dead_at IS NULL",
);

const SUSPECT: Dialects = Dialects {
    postgres: "UPDATE fetches AS f SET suspicion = n.halvings
     FROM (SELECT value->>0 AS id, (value->>1)::integer AS halvings
           FROM json_array_elements($1::text::json)) AS n
     WHERE f.id = n.id AND f.suspicion <> n.halvings",
    sqlite: "UPDATE fetches AS f SET suspicion = n.halvings
     FROM (SELECT value->>0 AS id, value->>1 AS halvings FROM json_each($1)) AS n
     WHERE f.id = n.id AND f.suspicion <> n.halvings",
};

impl Store {
    /// Notes how often the request that each of these was in has been halved, so that a process that
    /// takes over goes on from there.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn suspect_fetches(
        &self,
        suspects: &[(SubmissionId, u32)],
    ) -> Result<(), StoreError> {
        if suspects.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<(&str, u32)> = suspects
            .iter()
            .map(|(id, halvings)| (id.as_str(), *halvings))
            .collect();
        rows.sort_unstable();
        let rows = &json(&rows)?;
        on_engine!(self, write, SUSPECT, |sql, pool| {
            sqlx::query(sql).bind(rows).execute(pool).await?;
            Ok(())
        })
    }

    /// Counts one more attempt for each of these, before the work, so that a fetch that kills its
    /// process is found out; notes who tries, and of each attempt that never ended that it did not.
    /// Those that are done or set aside are not returned. What the same one begins again before its end
    /// is known here is the same attempt.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn start_attempts(
        &self,
        ids: &[SubmissionId],
        by: &str,
        now_ms: i64,
    ) -> Result<Vec<Attempt>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let texts = &super::backlog::list(ids);
        let rows: Vec<Started> = on_engine!(self, write, START, |sql, pool| {
            let query = sqlx::query_as(sql).bind(texts).bind(by).bind(now_ms);
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let attempts = rows.into_iter().map(
            |(id, attempts, omissions, subreddit, reason, last, suspicion, priority)| {
                let last: Option<PastAttempt> =
                    last.and_then(|text| serde_json::from_str(&text).ok());
                Ok(Attempt {
                    id: id.parse().map_err(StoreError::unreadable)?,
                    attempts: attempts.unsigned_abs(),
                    omissions: omissions.unsigned_abs(),
                    subreddit,
                    suspicion: suspicion.unsigned_abs(),
                    refresh: priority == REFRESH_PRIORITY,
                    failed_before: last.as_ref().and_then(|last| last.kind.parse().ok()),
                    // An older build kept no history.
                    reason: last.map_or(reason, |last| last.reason),
                })
            },
        );
        Ok(attempts.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Ends the attempt under way as failed, if it is still the one that failed; it is tried again then
    /// (milliseconds), and its reason is kept.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn fail_fetch(
        &self,
        id: &SubmissionId,
        failure: Failure<'_>,
        due_ms: i64,
    ) -> Result<(), StoreError> {
        let (reason, kind) = (told(failure.reason), failure.kind.as_str());
        on_engine!(self, write, RETRY, |sql, pool| {
            let query = sqlx::query(sql)
                .bind(id.as_str())
                .bind(reason)
                .bind(due_ms)
                .bind(failure.now_ms)
                .bind(kind)
                .bind(failure.by);
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// Sets a fetch aside at a time (seconds), for what its attempts came to. One that was begun and
    /// came to nothing but this is not counted.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn set_aside(
        &self,
        id: &SubmissionId,
        reason: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let reason = told(reason);
        on_engine!(self, write, SET_ASIDE, |sql, pool| {
            let query = sqlx::query(sql).bind(id.as_str()).bind(reason).bind(now);
            query.execute(pool).await?;
            Ok(())
        })
    }
}

/// A reason as it is kept.
fn told(reason: &str) -> String {
    // Postgres' text cannot hold it.
    let reason = reason.replace('\0', "");
    match reason.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or_default()),
        None => reason,
    }
}
