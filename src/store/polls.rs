//! Recording what a poll saw: the only place where a watermark moves.

mod found;

pub(super) use found::Found;

use super::backlog::{LIVE, OLDER};
use super::content::{Content, Deltas, prepare};
use super::gaps::{GapChanges, GapsChanged};
use super::known::{Change, Known};
use super::statement::{Dialects, Texts, Transaction, in_transaction};
use super::submissions::{Progress, json};
use super::windows::NewWindow;
use super::withdraw::Told;
use super::{
    Claim, Doubts, GapCause, GapRecord, Interval, Status, Store, StoreError, SubredditState,
    SweepRecord, WindowOutcome, WindowRecord, without,
};
use crate::submission::{Observation, SubredditName, Undecodable};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What one poll of one or more subreddits saw, to be stored in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct PollRecord<'a> {
    /// What was listed, of whatever subreddit.
    pub listed: &'a [Observation],
    /// What was listed and is no submission.
    pub undecodable: &'a [Undecodable],
    /// The subreddits that were polled.
    pub members: &'a [MemberRecord],
    /// The subreddit that was swept.
    pub sweep: Option<&'a SweepRecord>,
    /// Milliseconds.
    pub now_ms: i64,
}

/// What a poll means for one of its subreddits.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRecord {
    /// The right to record it.
    pub claim: Claim,
    /// What the poll covered; none where it only looked.
    pub window: Option<WindowRecord>,
    /// What it proved complete.
    pub proven: Option<Interval>,
    /// What it did not reach.
    pub gap: Option<GapRecord>,
    /// What the subreddit's row becomes.
    pub update: SubredditUpdate,
    /// What contradicts earlier proofs, or this one.
    pub doubts: Doubts,
}

/// New values of a subreddit's row.
#[derive(Debug, Clone, PartialEq)]
pub struct SubredditUpdate {
    /// Seconds; never moves the stored one back. `None` leaves it.
    pub covered_until: Option<i64>,
    /// Seconds. `None` leaves it.
    pub seen_until: Option<i64>,
    /// Submissions an hour.
    pub posts_per_hour: f64,
    /// Polls in a row that showed nothing, or where it is unavailable, that were refused.
    pub failures: u32,
    /// A row that was paused meanwhile stays paused.
    pub state: SubredditState,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// Milliseconds.
    pub next_poll_ms: i64,
}

/// What became of a [`PollRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollStored {
    /// Which of the listed were new to the database (places in `listed`, ascending).
    pub fresh: Vec<usize>,
    /// Causes of gaps that were not known before.
    pub gaps_opened: Vec<GapCause>,
    /// Gaps that were closed.
    pub gaps_repaired: u64,
    /// Subreddits whose claim is no longer held: nothing of their windows, gaps or rows was written.
    pub lost: Vec<SubredditName>,
    /// Objects that are no submission which went, or were not kept, for want of room.
    pub dropped: u64,
}

#[derive(Serialize)]
struct Update<'a> {
    name: &'a str,
    claim_token: i64,
    covered_until: Option<i64>,
    seen_until: Option<i64>,
    posts_per_hour: f64,
    failures: i32,
    state: &'static str,
    reason: Option<String>,
    next_poll_ms: i64,
    complete_at: Option<i64>,
}

const LOCK: Dialects = Dialects {
    postgres: "SELECT name, claim_token FROM subreddits WHERE name = ANY($1)
     ORDER BY name FOR NO KEY UPDATE",
    sqlite: "SELECT name, claim_token FROM subreddits
     WHERE name IN (SELECT value FROM json_each($1))",
};
const UPDATE: Dialects = Dialects {
    postgres: "UPDATE subreddits AS s
     SET covered_until = greatest(s.covered_until, n.covered_until),
         seen_until = coalesce(n.seen_until, s.seen_until),
         posts_per_hour = n.posts_per_hour, failures = n.failures,
         state = CASE WHEN s.state = 'paused' THEN s.state ELSE n.state END,
         reason = CASE WHEN s.state = 'paused' THEN s.reason ELSE n.reason END,
         next_poll_ms = n.next_poll_ms, polled_at = $2,
         last_complete_at = greatest(s.last_complete_at, n.complete_at),
         claimed_by = NULL, claimed_until_ms = NULL
     FROM json_to_recordset($1::text::json) AS n(name text, claim_token bigint,
         covered_until bigint, seen_until bigint, posts_per_hour double precision,
         failures integer, state text, reason text, next_poll_ms bigint, complete_at bigint)
     WHERE s.name = n.name AND s.claim_token = n.claim_token",
    sqlite: "UPDATE subreddits AS s
     SET covered_until = coalesce(max(s.covered_until, n.value->>'covered_until'),
                                  s.covered_until, n.value->>'covered_until'),
         seen_until = coalesce(n.value->>'seen_until', s.seen_until),
         posts_per_hour = n.value->>'posts_per_hour', failures = n.value->>'failures',
         state = CASE WHEN s.state = 'paused' THEN s.state ELSE n.value->>'state' END,
         reason = CASE WHEN s.state = 'paused' THEN s.reason ELSE n.value->>'reason' END,
         next_poll_ms = n.value->>'next_poll_ms', polled_at = $2,
         last_complete_at = coalesce(max(s.last_complete_at, n.value->>'complete_at'),
                                     s.last_complete_at, n.value->>'complete_at'),
         claimed_by = NULL, claimed_until_ms = NULL
     FROM json_each($1) AS n
     WHERE s.name = n.value->>'name' AND s.claim_token = n.value->>'claim_token'",
};
impl Store {
    /// Stores what a poll saw, in one transaction: submissions that are new (with their fetches),
    /// objects that are none, windows, proven intervals, gaps, the subreddits' rows. Submissions
    /// that are known stay as they are, unless the listing shows more of them than was left by a
    /// removal, or they had become unavailable: then they are fetched again. What is listed is stored also for subreddits whose claim was lost.
    ///
    /// # Errors
    /// As the database answers; then nothing was stored, or all of it where the answer was lost.
    pub async fn record_poll(&self, poll: &PollRecord<'_>) -> Result<PollStored, StoreError> {
        self.written(async {
            let (transaction, stored) = self.write_poll(poll).await?;
            transaction.commit().await?;
            Ok(stored)
        })
        .await
    }

    /// Does what [`Store::record_poll`] does and takes it all back: says what it would bring.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn try_poll(&self, poll: &PollRecord<'_>) -> Result<PollStored, StoreError> {
        self.written(async {
            let (transaction, stored) = self.write_poll(poll).await?;
            transaction.rollback().await?;
            Ok(stored)
        })
        .await
    }

    pub(super) async fn write_poll(
        &self,
        poll: &PollRecord<'_>,
    ) -> Result<(Transaction, PollStored), StoreError> {
        let batch = prepare(poll.listed, matches!(self, Store::Postgres(_)));
        let now = poll.now_ms.div_euclid(1000);
        let mut deltas = Deltas::default();
        let mut transaction = self.begin().await?;

        let names = poll.members.iter().map(|member| &member.claim.subreddit);
        let names = names.chain(poll.sweep.map(|sweep| &sweep.due.subreddit));
        // Also of those that nothing is recorded of: what is new of them is counted.
        let listed: Vec<String> = batch.newest.iter().filter_map(Content::subreddit).collect();
        let names: BTreeSet<&str> = names
            .map(SubredditName::as_str)
            .chain(listed.iter().map(String::as_str))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let tokens = transaction.lock_subreddits(&names).await?;
        let (held, lost) = split(poll.members, &tokens);
        let fresh = transaction
            .discover(&batch.newest, poll, &mut deltas)
            .await?;
        let objects = poll.undecodable.iter();
        let dropped = transaction.keep_undecodable(objects, &mut deltas).await?;

        let found = Found::count(names, &batch.newest, &fresh);
        let sweep = poll
            .sweep
            .filter(|sweep| tokens.contains_key(sweep.due.subreddit.as_str()));
        let doubts = held.iter().map(|member| &member.doubts);
        let doubts = doubts.chain(sweep.map(|sweep| &sweep.doubts));
        let known = transaction.known_unread(doubts).await?;
        let told = held
            .iter()
            .map(|member| Told::new(&member.claim.subreddit, &member.doubts, member.proven));
        let swept = sweep.map(|sweep| Told::new(&sweep.due.subreddit, &sweep.doubts, sweep.proven));
        let told: Vec<Told<'_>> = told
            .chain(swept)
            .map(|told| told.with_missing(&known))
            .collect();
        let mut gaps = transaction
            .contradicted(&told, &batch.newest, &fresh, now)
            .await?;
        gaps.add(
            transaction
                .record_members(&held, &told, &found, now)
                .await?,
        );
        if let (Some(sweep), Some(told)) = (sweep, told.last()) {
            gaps.add(transaction.record_sweep(sweep, told, now).await?);
        }
        gaps.add(transaction.leave_out(&told, now).await?);
        transaction.add_found(&found).await?;
        transaction.count(deltas).await?;

        let fresh = batch.places_of(&fresh);
        let stored = PollStored {
            fresh,
            gaps_opened: gaps.opened,
            gaps_repaired: gaps.repaired,
            lost,
            dropped,
        };
        Ok((transaction, stored))
    }
}

/// Members whose token is still the row's, and the names of the others. A subreddit that is named
/// twice is recorded once.
fn split<'a>(
    members: &'a [MemberRecord],
    tokens: &HashMap<String, i64>,
) -> (Vec<&'a MemberRecord>, Vec<SubredditName>) {
    let mut seen = HashSet::new();
    let (held, lost): (Vec<_>, Vec<_>) = members
        .iter()
        .filter(|member| seen.insert(&member.claim.subreddit))
        .partition(|member| {
            tokens.get(member.claim.subreddit.as_str()) == Some(&member.claim.token)
        });
    let lost = lost
        .into_iter()
        .map(|member| member.claim.subreddit.clone());
    (held, lost.collect())
}

impl Transaction {
    /// The present tokens of these rows, which nobody else changes until the end.
    pub(super) async fn lock_subreddits(
        &mut self,
        names: &[&str],
    ) -> Result<HashMap<String, i64>, StoreError> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Texts<'_> = names.iter().copied().collect();
        let rows: Vec<(String, i64)> = in_transaction!(self, LOCK, |sql, connection| {
            sqlx::query_as(sql)
                .bind(names)
                .fetch_all(connection)
                .await?
        });
        Ok(rows.into_iter().collect())
    }

    /// Inserts what is not known and revives what had become unavailable; the ids of the former
    /// come back.
    async fn discover(
        &mut self,
        listed: &[Content<'_>],
        poll: &PollRecord<'_>,
        deltas: &mut Deltas,
    ) -> Result<HashSet<String>, StoreError> {
        let now_ms = poll.now_ms;
        if listed.is_empty() {
            return Ok(HashSet::new());
        }
        let ids = listed.iter().map(Content::id).collect();
        // Without locks: most of what a poll lists is known and not touched.
        let known = self.known(ids, false).await?;
        let unknown: Vec<&Content<'_>> = listed
            .iter()
            .filter(|row| !known.contains_key(row.id()))
            .collect();
        let progress = Progress {
            status: Status::Discovered,
            discovered_at: now_ms.div_euclid(1000),
            fetched_at: None,
        };
        let fresh: HashSet<String> = self.insert(&unknown, progress).await?.into_iter().collect();
        deltas.discovered += fresh.len() as i64;

        let touched: Texts<'_> = listed
            .iter()
            .filter(|row| {
                known.get(row.id()).is_some_and(|known| {
                    known.status == Status::Unavailable || known.is_mended_by(row)
                })
            })
            .map(Content::id)
            .collect();
        let revived = if touched.0.is_empty() {
            HashSet::new()
        } else {
            // Looked at again under a lock: another poll may do the same at the same time.
            let known = self.known(touched, true).await?;
            self.rewrite_by(listed, &known, |row, known| {
                if known.is_mended_by(row) {
                    known.change(row, row.observed_ms > known.observed_ms)
                } else {
                    Change::Nothing
                }
            })
            .await?;
            self.revive(known, deltas).await?
        };

        // What a sweep finds waits behind what polls find, however young it is.
        let since = now_ms.div_euclid(1000) - Store::LIVE_SECONDS;
        let live = |row: &Content<'_>| poll.sweep.is_none() && row.fields.created_utc >= since;
        for (priority, wanted) in [(LIVE, true), (OLDER, false)] {
            let due: Vec<(&str, Option<String>)> = listed
                .iter()
                .filter(|row| fresh.contains(row.id()) || revived.contains(row.id()))
                .filter(|row| live(row) == wanted)
                .map(|row| (row.id(), row.subreddit()))
                .collect();
            deltas.fetches += self.add_fetches(&due, priority, now_ms).await?;
        }
        Ok(fresh)
    }

    /// Rows that were unavailable are discovered again.
    async fn revive(
        &mut self,
        known: HashMap<String, Known>,
        deltas: &mut Deltas,
    ) -> Result<HashSet<String>, StoreError> {
        let revived: HashSet<String> = known
            .into_iter()
            .filter(|(_, row)| row.status == Status::Unavailable)
            .map(|(id, _)| id)
            .collect();
        for _ in &revived {
            deltas.moves(Some(Status::Unavailable), Status::Discovered);
        }
        let ids = revived.iter().map(String::as_str).collect();
        self.set_status(ids, Status::Discovered).await?;
        Ok(revived)
    }

    /// Windows, coverage, gaps and rows of the members whose claim holds.
    async fn record_members(
        &mut self,
        held: &[&MemberRecord],
        told: &[Told<'_>],
        found: &HashMap<&str, Found<'_>>,
        now: i64,
    ) -> Result<GapsChanged, StoreError> {
        let windows: Vec<NewWindow<'_>> = held
            .iter()
            .filter_map(|member| {
                let window = member.window?;
                let subreddit = member.claim.subreddit.as_str();
                Some(NewWindow {
                    subreddit,
                    claim_token: member.claim.token,
                    window_start: window.window_start,
                    window_end: window.window_end,
                    started_at: window.started_at,
                    finished_at: window.finished_at,
                    pages: window.pages,
                    listed: window.listed,
                    fresh: found.get(subreddit).map_or(0, |found| found.fresh),
                    outcome: window.outcome.as_str(),
                })
            })
            .collect();
        self.add_windows(&windows).await?;

        // Usually one piece each; more where a submission in between could not be stored.
        let pieces: Vec<Vec<Interval>> = held
            .iter()
            .zip(told)
            .map(|(member, told)| without(member.proven.as_slice(), &told.missing))
            .collect();
        let rounds = pieces.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut changed = GapsChanged::default();
        for round in 0..rounds {
            let proven = pieces.iter().map(|pieces| pieces.get(round).copied());
            let changes = held.iter().zip(proven).map(|(member, proven)| GapChanges {
                subreddit: member.claim.subreddit.as_str(),
                left: member.gap.filter(|_| round == 0),
                proven,
            });
            let changes: Vec<GapChanges<'_>> = changes.collect();
            let proven = changes.iter();
            let proven = proven.filter_map(|change| Some((change.subreddit, change.proven?)));
            let proven: Vec<(&str, Interval)> = proven.collect();
            self.cover(&proven).await?;
            changed.add(self.change_gaps(&changes, "poll", now).await?);
        }

        if !held.is_empty() {
            let updates: Vec<Update<'_>> = held.iter().map(|member| update(member)).collect();
            let updates = json(&updates)?;
            in_transaction!(self, UPDATE, |sql, connection| {
                let query = sqlx::query(sql).bind(updates).bind(now);
                query.execute(connection).await?;
            });
        }
        Ok(changed)
    }
}

fn update(member: &MemberRecord) -> Update<'_> {
    let update = &member.update;
    let complete = member
        .window
        .filter(|window| window.outcome == WindowOutcome::Complete);
    Update {
        name: member.claim.subreddit.as_str(),
        claim_token: member.claim.token,
        covered_until: update.covered_until,
        seen_until: update.seen_until,
        // JSON has no other numbers, and the column is not null.
        posts_per_hour: if update.posts_per_hour.is_finite() {
            update.posts_per_hour
        } else {
            0.0
        },
        failures: i32::try_from(update.failures).unwrap_or(i32::MAX),
        state: update.state.as_str(),
        reason: update
            .reason
            .as_ref()
            .map(|reason| reason.replace('\0', "")),
        next_poll_ms: update.next_poll_ms,
        complete_at: complete.map(|window| window.window_end),
    }
}
