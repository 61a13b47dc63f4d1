//! Who polls which subreddit: claims that end by themselves, fenced by a token.
//!
//! Each claim raises the row's token, and a poll is recorded only under the row's present token, so
//! a scheduler that lost its claim while it slept cannot write over its successor's work.

use super::clocks::{AHEAD_MS, LENGTHS_AHEAD};
use super::statement::{Dialects, Texts, in_transaction, on_engine};
use super::submissions::json;
use super::{Store, StoreError, SubredditState};
use crate::submission::SubredditName;
use std::collections::HashSet;

/// The right to poll a subreddit and to record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The subreddit.
    pub subreddit: SubredditName,
    /// The row's token while the claim holds.
    pub token: i64,
}

/// A claimed subreddit, with what its next window depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// To be handed back with what the poll saw.
    pub claim: Claim,
    /// Active or unavailable.
    pub state: SubredditState,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// Seconds.
    pub added_at: i64,
    /// Seconds; see [`super::Subreddit`].
    pub covered_until: Option<i64>,
    /// Seconds; see [`super::Subreddit`].
    pub seen_until: Option<i64>,
    /// Submissions an hour.
    pub posts_per_hour: f64,
    /// Seconds; creation time of the newest that was found.
    pub last_submission_at: Option<i64>,
    /// Polls in a row that showed nothing, or where it is unavailable, that were refused.
    pub failures: u32,
    /// Milliseconds; when it became due.
    pub next_poll_ms: i64,
    /// Its listing failed while others were given out, and it is to be listed alone.
    pub suspect: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    claim_token: i64,
    state: String,
    reason: Option<String>,
    added_at: i64,
    covered_until: Option<i64>,
    seen_until: Option<i64>,
    posts_per_hour: f64,
    last_submission_at: Option<i64>,
    failures: i32,
    next_poll_ms: i64,
    suspect: bool,
}

/// A subreddit that was timed by a clock ahead of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedAhead {
    /// The subreddit.
    pub subreddit: SubredditName,
    /// The row's token, which each claim raises.
    pub token: i64,
    /// When it is due by that clock (milliseconds): a poll that is recorded changes it.
    pub next_poll_ms: i64,
    /// Until when it is claimed (milliseconds): whoever polls for long renews it every few seconds.
    pub claimed_until_ms: Option<i64>,
    /// How long it was to wait, milliseconds; 0 where nothing says so.
    pub wait_ms: i64,
}

/// `$1` holder, `$2` now, `$3` claimed until, `$4` the latest end that a claim can have, `$5` how many.
const CLAIM: Dialects = Dialects {
    // ARRAY(…) is evaluated once; a joined sub-select may be evaluated again and lock more rows.
    postgres: "UPDATE subreddits
     SET claim_token = claim_token + 1, claimed_by = $1, claimed_until_ms = $3
     WHERE name = ANY(ARRAY(
         SELECT name FROM subreddits
         WHERE state <> 'paused' AND next_poll_ms <= $2
           AND (claimed_until_ms IS NULL OR claimed_until_ms <= $2 OR claimed_until_ms > $4)
         ORDER BY next_poll_ms LIMIT $5 FOR UPDATE SKIP LOCKED))
     RETURNING name, claim_token, state, reason, added_at, covered_until, seen_until, posts_per_hour,
               last_submission_at, failures, next_poll_ms, suspect",
    sqlite: "UPDATE subreddits
     SET claim_token = claim_token + 1, claimed_by = $1, claimed_until_ms = $3
     WHERE name IN (
         SELECT name FROM subreddits
         WHERE state <> 'paused' AND next_poll_ms <= $2
           AND (claimed_until_ms IS NULL OR claimed_until_ms <= $2 OR claimed_until_ms > $4)
         ORDER BY next_poll_ms LIMIT $5)
     RETURNING name, claim_token, state, reason, added_at, covered_until, seen_until, posts_per_hour,
               last_submission_at, failures, next_poll_ms, suspect",
};
/// `$1` the latest poll that there can be, milliseconds, `$2` the same in seconds, `$3` the latest due
/// time.
const TIMED_AHEAD: Dialects = Dialects::same(
    "SELECT name, claim_token, next_poll_ms, claimed_until_ms,
            CASE WHEN polled_at > $2 THEN next_poll_ms - polled_at * 1000 ELSE 0 END
     FROM subreddits
     WHERE state <> 'paused' AND next_poll_ms > $1
       AND (polled_at > $2 OR polled_at IS NULL OR next_poll_ms > $3)",
);
const MAKE_DUE: Dialects = Dialects {
    postgres: "UPDATE subreddits AS s SET next_poll_ms = $2
     FROM (SELECT value->>0 AS name, (value->>1)::bigint AS token
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.name = n.name AND s.claim_token = n.token AND s.next_poll_ms > $2",
    sqlite: "UPDATE subreddits AS s SET next_poll_ms = $2
     FROM (SELECT value->>0 AS name, value->>1 AS token FROM json_each($1)) AS n
     WHERE s.name = n.name AND s.claim_token = n.token AND s.next_poll_ms > $2",
};
const SUSPECT: Dialects =
    Dialects::same("UPDATE subreddits SET suspect = $2 WHERE name = $1 AND suspect <> $2");
const RENEW: Dialects = Dialects {
    postgres: "UPDATE subreddits AS s SET claimed_until_ms = $2
     FROM (SELECT value->>0 AS name, (value->>1)::bigint AS token
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.name = n.name AND s.claim_token = n.token AND s.claimed_by IS NOT NULL
     RETURNING s.name, s.claim_token",
    sqlite: "UPDATE subreddits SET claimed_until_ms = $2
     FROM (SELECT value->>0 AS name, value->>1 AS token FROM json_each($1)) AS n
     WHERE subreddits.name = n.name AND claim_token = n.token AND claimed_by IS NOT NULL
     RETURNING subreddits.name, claim_token",
};
const RELEASE: Dialects = Dialects {
    postgres: "UPDATE subreddits AS s SET claimed_by = NULL, claimed_until_ms = NULL
     FROM (SELECT value->>0 AS name, (value->>1)::bigint AS token
           FROM json_array_elements($1::text::json)) AS n
     WHERE s.name = n.name AND s.claim_token = n.token
     RETURNING s.name, s.claim_token",
    sqlite: "UPDATE subreddits SET claimed_by = NULL, claimed_until_ms = NULL
     FROM (SELECT value->>0 AS name, value->>1 AS token FROM json_each($1)) AS n
     WHERE subreddits.name = n.name AND claim_token = n.token
     RETURNING subreddits.name, claim_token",
};
/// Takes these rows in one order for everybody, so that no two wait for one another; SQLite has one writer.
const LOCK: Dialects = Dialects {
    postgres: "SELECT name FROM subreddits WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE",
    sqlite: "SELECT 1 WHERE $1 IS NULL",
};

impl Store {
    /// Claims up to `limit` subreddits that are due, those due longest first, for `lease_ms`. No two
    /// callers get the same one. A claim whose answer is lost ends with its lease.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim_due(
        &self,
        holder: &str,
        now_ms: i64,
        lease_ms: i64,
        limit: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let rows: Vec<Row> = on_engine!(self, write, CLAIM, |sql, pool| {
            let query = sqlx::query_as(sql)
                .bind(holder)
                .bind(now_ms)
                .bind(now_ms.saturating_add(lease_ms))
                .bind(now_ms.saturating_add(lease_ms.saturating_mul(LENGTHS_AHEAD)))
                .bind(i64::from(limit));
            Ok::<_, StoreError>(query.fetch_all(pool).await?)
        })?;
        let mut claimed: Vec<Claimed> = rows
            .into_iter()
            .map(Claimed::try_from)
            .collect::<Result<_, sqlx::Error>>()?;
        claimed.sort_by(|a, b| {
            (a.next_poll_ms, &a.claim.subreddit).cmp(&(b.next_poll_ms, &b.claim.subreddit))
        });
        Ok(claimed)
    }

    /// Subreddits whose next poll was timed by a clock that is ahead of this one: another machine's,
    /// or this one's before it was set back. Which it is, time shows: whether anything of it changes.
    /// None waits for `longest_wait_ms` by design: one that seems to was timed so, too.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn timed_ahead(
        &self,
        now_ms: i64,
        longest_wait_ms: i64,
    ) -> Result<Vec<TimedAhead>, StoreError> {
        let ahead_ms = now_ms.saturating_add(AHEAD_MS);
        let rows: Vec<(String, i64, i64, Option<i64>, i64)> =
            on_engine!(self, read, TIMED_AHEAD, |sql, pool| {
                let query = sqlx::query_as(sql)
                    .bind(ahead_ms)
                    .bind(ahead_ms.div_euclid(1000))
                    .bind(now_ms.saturating_add(longest_wait_ms));
                Ok::<_, StoreError>(query.fetch_all(pool).await?)
            })?;
        rows.into_iter()
            .map(|(name, token, next_poll_ms, claimed_until_ms, wait_ms)| {
                Ok(TimedAhead {
                    subreddit: name.parse().map_err(StoreError::unreadable)?,
                    token,
                    next_poll_ms,
                    claimed_until_ms,
                    wait_ms: wait_ms.clamp(0, longest_wait_ms),
                })
            })
            .collect()
    }

    /// Makes subreddits due that nobody has claimed since they were [`Store::timed_ahead`].
    ///
    /// # Errors
    /// As the database answers.
    pub async fn make_due(&self, rows: &[TimedAhead], now_ms: i64) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<(&str, i64)> = rows
            .iter()
            .map(|row| (row.subreddit.as_str(), row.token))
            .collect();
        let rows = &json(&rows)?;
        on_engine!(self, write, MAKE_DUE, |sql, pool| {
            sqlx::query(sql)
                .bind(rows)
                .bind(now_ms)
                .execute(pool)
                .await?;
            Ok(())
        })
    }

    /// Notes whether a subreddit's listing fails while others are given out, so that it spoils none that
    /// it would share.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn suspect_subreddit(
        &self,
        name: &SubredditName,
        suspect: bool,
    ) -> Result<(), StoreError> {
        on_engine!(self, write, SUSPECT, |sql, pool| {
            let query = sqlx::query(sql).bind(name.as_str()).bind(suspect);
            query.execute(pool).await?;
            Ok(())
        })
    }

    /// Extends claims; those that are still held come back.
    ///
    /// # Errors
    /// As the database answers; then the claims are as they were.
    pub async fn renew_claims(
        &self,
        claims: &[Claim],
        until_ms: i64,
    ) -> Result<Vec<Claim>, StoreError> {
        self.change_claims(RENEW, claims, Some(until_ms)).await
    }

    /// Gives claims up; the subreddits stay due as they were.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn release_claims(&self, claims: &[Claim]) -> Result<(), StoreError> {
        self.change_claims(RELEASE, claims, None).await.map(drop)
    }

    /// Runs a statement for all claims; those that it found come back.
    async fn change_claims(
        &self,
        statement: Dialects,
        claims: &[Claim],
        until_ms: Option<i64>,
    ) -> Result<Vec<Claim>, StoreError> {
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<(&str, i64)> = claims
            .iter()
            .map(|claim| (claim.subreddit.as_str(), claim.token))
            .collect();
        let pairs = json(&pairs)?;
        self.written(async {
            let mut transaction = self.begin().await?;
            let names: Texts<'_> = claims
                .iter()
                .map(|claim| claim.subreddit.as_str())
                .collect();
            in_transaction!(&mut transaction, LOCK, |sql, connection| {
                sqlx::query(sql).bind(names).execute(connection).await?;
            });
            let held: Vec<(String, i64)> =
                in_transaction!(&mut transaction, statement, |sql, connection| {
                    let mut query = sqlx::query_as(sql).bind(&pairs);
                    if let Some(until_ms) = until_ms {
                        query = query.bind(until_ms);
                    }
                    query.fetch_all(connection).await?
                });
            transaction.commit().await?;
            let held: HashSet<(String, i64)> = held.into_iter().collect();
            let found = |claim: &&Claim| held.contains(&(claim.subreddit.to_string(), claim.token));
            Ok(claims.iter().filter(found).cloned().collect())
        })
        .await
    }
}

impl TryFrom<Row> for Claimed {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Claimed {
            claim: Claim {
                subreddit: row.name.parse().map_err(StoreError::unreadable)?,
                token: row.claim_token,
            },
            state: row.state.parse().map_err(StoreError::unreadable)?,
            reason: row.reason,
            added_at: row.added_at,
            covered_until: row.covered_until,
            seen_until: row.seen_until,
            posts_per_hour: row.posts_per_hour,
            last_submission_at: row.last_submission_at,
            failures: row.failures.unsigned_abs(),
            next_poll_ms: row.next_poll_ms,
            suspect: row.suspect,
        })
    }
}
