//! One poll: a page of a listing, of which what is new is stored.

use super::super::Discover;
use super::super::count::{count_found, count_lag};
use super::super::planner::{Answer, Poll};
use super::super::record::write;
use super::seen::Seen;
use super::{PATIENCE, lock};
use crate::liveness::CALL;
use crate::source::{ListingPage, RequestClass, SourceError};
use crate::store::PollRecord;
use crate::submission::{Observation, SubmissionId, SubredditName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// The last submissions of a page, by which it joins what is known.
const TAIL: usize = 10;
/// So many of them must be known.
const KNOWN: usize = 3;
/// Submissions older than what was known when polls began, less this, are known, seconds: they are listed out
/// of order by seconds.
const ORDER_SLACK: i64 = 60;
/// Submissions appear so many seconds after their creation, as a rule.
const ARRIVAL_SLACK: i64 = 5;
/// Submissions in proven time that no poll stored: so many contradict the proof, and are left to the next
/// proof walk, which withdraws it.
const CONTRADICTING: usize = 5;

/// What a poll needs.
pub(super) struct Page {
    pub(super) discover: Discover,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// Creation time (seconds) of the newest submission that was known when polls began.
    pub(super) known_until: Option<i64>,
    /// Until when (seconds) time is proven, by subreddit.
    pub(super) settled_until: HashMap<String, i64>,
}

/// Why a poll came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nothing was answered, or what was could not be stored: it is new to the next poll.
    Unanswered,
    /// It was answered that this is not to be had.
    Refused,
    /// The request was longer than the server takes.
    TooLong,
}

impl Page {
    /// Requests a page and stores what is new.
    pub(super) async fn request(&self, poll: &Poll) -> Result<Answer, Failed> {
        let Discover {
            reddit, progress, ..
        } = &self.discover;
        let ask = reddit.new_page(&poll.names, poll.after.as_deref(), 100, RequestClass::Poll);
        let answer = tokio::select! {
            answer = progress.during(CALL, ask) => answer,
            () = self.outage() => return Err(Failed::Unanswered),
        };
        let mut page = answer.map_err(|error| failed(poll, &error))?;
        progress.made();
        let large = page.take_large();
        let stored = self.take(poll, page).await;
        drop(large);
        stored
    }

    /// Returns once an outage has held requests back for long.
    async fn outage(&self) {
        loop {
            self.discover.reddit.held_back().await;
            tokio::time::sleep(PATIENCE).await;
            if tokio::time::timeout(std::time::Duration::ZERO, self.discover.reddit.held_back())
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    async fn take(&self, poll: &Poll, page: ListingPage) -> Result<Answer, Failed> {
        let now_ms = (self.discover.now_ms)();
        let now = now_ms.div_euclid(1_000);
        let lost = poll.after.is_some() && page.items.is_empty();
        let joined = !lost && self.joins(poll, &page);
        let shown_at = page.moment.shown;
        let ListingPage {
            items,
            undecodable,
            order,
            after,
            ..
        } = page;
        // Proof walks keep it.
        drop((undecodable, order));
        let ids: Vec<SubmissionId> = items.iter().map(|it| it.submission.id.clone()).collect();
        let mut answer = Answer {
            shown_at,
            new: HashMap::new(),
            joined,
            lost,
            after,
            span: span(items.iter().map(|item| item.submission.created_utc), now),
            listed: if poll.first {
                by_subreddit(items.iter())
            } else {
                HashMap::new()
            },
        };
        let new = self.new_items(items);
        if new.is_empty() {
            lock(&self.seen).add(ids.iter());
            return Ok(answer);
        }
        let record = PollRecord {
            listed: &new,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms,
        };
        // A poll that is dropped when the process stops is made again by the next one.
        let Some(stored) = write(&self.discover, &record, &CancellationToken::new()).await else {
            return Err(Failed::Unanswered);
        };
        if !stored.fresh.is_empty() {
            self.discover.work.notify_one();
        }
        let fresh = stored.fresh.iter().filter_map(|index| new.get(*index));
        let metrics = &self.discover.metrics;
        count_found(metrics, fresh.clone());
        count_lag(metrics, fresh, (self.discover.now_ms)());
        // What is left to the next proof walk is not looked at again, either.
        lock(&self.seen).add(ids.iter());
        // Groups change, and what was below the old group's page is no arrival.
        let since = poll.since.map_or(i64::MIN, |since| since - ARRIVAL_SLACK);
        let arrived = new
            .iter()
            .filter(|item| item.submission.created_utc >= since);
        answer.new = by_subreddit(arrived);
        Ok(answer)
    }

    /// Whether the page shows what was known before, or there is nothing below it that may be new.
    fn joins(&self, poll: &Poll, page: &ListingPage) -> bool {
        // Of what was never polled and never found, all that lies below is its past, which proof walks list.
        if page.items.is_empty() || (poll.first && self.known_until.is_none()) {
            return true;
        }
        // What is older than the poll before arrived before it, whatever else the listing then was of.
        let known_until = self.known_until.max(poll.since).unwrap_or(i64::MIN);
        let known_until = known_until.saturating_sub(ORDER_SLACK);
        let seen = lock(&self.seen);
        let tail = page.items.iter().rev().take(TAIL);
        let known = tail.filter(|item| {
            let submission = &item.submission;
            let seen = !poll.unfollowed && seen.contains(&submission.id);
            submission.created_utc < known_until || seen
        });
        known.count() >= KNOWN.min(page.items.len())
    }

    /// What is not known to be stored, but for what contradicts proofs. The others are held no longer.
    fn new_items(&self, mut items: Vec<Observation>) -> Vec<Observation> {
        let seen = lock(&self.seen);
        items.retain(|item| !seen.contains(&item.submission.id));
        let settled = items.iter().filter(|item| self.is_settled(item)).count();
        if settled >= CONTRADICTING {
            items.retain(|item| !self.is_settled(item));
        }
        items
    }

    fn is_settled(&self, item: &Observation) -> bool {
        let Some(subreddit) = item.submission.subreddit.as_deref() else {
            return false;
        };
        let settled = self.settled_until.get(&subreddit.to_ascii_lowercase());
        settled.is_some_and(|until| item.submission.created_utc < until - ORDER_SLACK)
    }
}

/// Seconds in which as many came as a page lists, by their creation times and now. Old ones that reappear on
/// top say nothing of it, so the oldest tenth does not count.
#[expect(clippy::cast_precision_loss, reason = "spans of days")]
fn span(times: impl Iterator<Item = i64>, now: i64) -> f64 {
    let mut times: Vec<i64> = times.collect();
    times.sort_unstable_by(|left, right| right.cmp(left));
    let counted = times.len() - times.len() / 10;
    let Some(oldest) = counted.checked_sub(1).and_then(|last| times.get(last)) else {
        return 0.0;
    };
    let seconds = now.saturating_sub(*oldest).max(1) as f64;
    seconds * times.len() as f64 / counted as f64
}

fn failed(poll: &Poll, error: &SourceError) -> Failed {
    let names = poll.names.iter().map(SubredditName::as_str);
    let listing = names.take(5).collect::<Vec<_>>().join("+");
    tracing::debug!(%error, listing, names = poll.names.len(), "A poll failed");
    match error {
        SourceError::Wait { .. } => Failed::Unanswered,
        SourceError::Refused {
            status: Some(414), ..
        } => Failed::TooLong,
        SourceError::Unavailable { .. } | SourceError::Refused { .. } => Failed::Refused,
    }
}

fn by_subreddit<'a>(items: impl Iterator<Item = &'a Observation>) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for item in items {
        if let Some(name) = item.submission.subreddit.as_deref() {
            *counts.entry(name.to_ascii_lowercase()).or_insert(0) += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_posts_on_top_do_not_make_a_busy_listing_look_quiet() {
        let now = 1_790_000_000;
        let busy: Vec<i64> = (0..98).map(|at| now - 2 * at).collect();
        let usual = span(busy.iter().copied(), now);
        let old = [now - 86_400, now - 30 * 86_400];
        let with_old = span(busy.iter().copied().chain(old), now);
        assert!((190.0..200.0).contains(&usual), "{usual}");
        assert!((with_old / usual - 1.0).abs() < 0.1, "{with_old}");
        assert!((span([now - 50].into_iter(), now) - 50.0).abs() < 0.1);
        assert!(span(std::iter::empty(), now).abs() < 0.1);
    }
}
