//! Finds new submissions as they appear: requests the tops of shared listings, as the plan says, and stores what
//! is new at once. Proves nothing and moves no watermark: that is what proof walks do, in their own time.
//!
//! One process at a time polls (a lease in the database). Its memory of what it has seen tells which of a page's
//! submissions are new, and whether the page joins the last one; where it does not, the pages below are
//! requested too, newer submissions first.

mod page;
mod report;
mod seen;
mod share;

use super::Discover;
use super::lease::Lease;
use super::planner::{Answer, Limits, Member, Next, Planner, Poll};
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::store::{Active, POLLS, StoreError};
use crate::submission::SubredditName;
use page::{Failed, Page};
use report::Report;
use seen::Seen;
use share::Share;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// A killed process's polls are taken over after this long.
const LEASE: Duration = Duration::from_secs(8);
/// How often a process that does not poll looks whether it is to.
const STANDBY_INTERVAL: Duration = Duration::from_secs(1);
/// How often the watched list is read, and so much less often for each subreddit in it, up to ten times a minute; a
/// very long list takes its time by its length alone.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
const REFRESH_EACH: Duration = Duration::from_millis(5);
const REFRESH_LONG: Duration = Duration::from_secs(6);
const REFRESH_EACH_OF_MANY: Duration = Duration::from_millis(1);
/// How long a poll stays with an outage: then another is tried when the plan says.
const PATIENCE: Duration = Duration::from_secs(20);
/// Characters of all names of a request and the `+` between them at first: half of what servers usually take. Where
/// that is too long for Reddit, requests become shorter.
const MAX_CHARS: usize = 4_000;

/// A poll that has ended.
struct Ended {
    poll: Poll,
    answer: Result<Answer, Failed>,
    /// How many polls had been answered when it began.
    answers_before: u64,
    /// When it had its turn, where it did.
    granted: Option<Instant>,
}

/// Polls until told to stop. A request that is under way then is dropped.
pub async fn live(discover: Discover, stop: CancellationToken) {
    let mut lease = Lease::new(&discover, POLLS, LEASE);
    let mut failing = false;
    while !stop.is_cancelled() {
        let held = discover.progress.during(CALL, lease.held()).await;
        discover.progress.made();
        match held {
            Ok(true) => {
                failing = false;
                lead(&discover, &mut lease, &stop).await;
                continue;
            }
            Ok(false) => failing = false,
            Err(error) if error.is_outage() => {
                tracing::debug!(%error, "Cannot acquire the lease for polls: the database is unavailable");
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "Cannot acquire the lease for polls; retrying");
                }
            }
        }
        let wait = async {
            tokio::select! { () = stop.cancelled() => {} () = sleep(STANDBY_INTERVAL) => {} }
        };
        discover.progress.during(HOWEVER_LONG, wait).await;
    }
    discover.progress.during(CALL, lease.release()).await;
}

/// What the one process that polls knows.
struct Leader<'a> {
    discover: &'a Discover,
    planner: Planner,
    /// The zero of the plan's clock.
    start: Instant,
    seen: Arc<Mutex<Seen>>,
    share: Share,
    active: HashMap<SubredditName, Known>,
    refreshed: Option<Instant>,
    polls: JoinSet<Ended>,
    /// One permit, held by the poll that waits for its turn: the next is chosen when that is sent.
    choice: Arc<Semaphore>,
    report: Report,
    /// Whether a process finds submissions by their ids: then listings only confirm.
    ids_are_scanned: bool,
}

/// What is known of a subreddit. There may be a hundred thousand.
#[derive(Debug)]
struct Known {
    /// Creation time (seconds) of the newest submission that was known when its polls began.
    found_until: Option<i64>,
    /// Until when (seconds) time is proven.
    settled_until: Option<i64>,
    /// Whether it was in the list as it was read last.
    listed: bool,
}

/// Polls as long as the lease is held.
async fn lead(discover: &Discover, lease: &mut Lease<'_>, stop: &CancellationToken) {
    let config = &discover.config;
    let limits = Limits {
        max_names: config.names_per_listing,
        max_chars: MAX_CHARS,
        fastest: config.fastest,
        objective: config.interval,
    };
    let per_minute = discover.reddit.budget().requests_per_minute();
    let mut leader = Leader {
        discover,
        planner: Planner::new(limits),
        start: Instant::now(),
        seen: Arc::default(),
        share: Share::new(f64::from(per_minute.get()) / 60.0),
        active: HashMap::new(),
        refreshed: None,
        polls: JoinSet::new(),
        choice: Arc::new(Semaphore::new(1)),
        report: Report::default(),
        ids_are_scanned: false,
    };
    while !stop.is_cancelled() {
        let held = async {
            let held = lease.held().await?;
            if held && leader.refresh().await? {
                let (outlook, scanned) = (leader.planner.outlook(), leader.ids_are_scanned);
                let plan = leader.report.plan(discover, outlook, scanned);
                leader
                    .report
                    .log(&plan, &discover.config, leader.active.len());
                lease.publish(Some(&plan));
            }
            Ok::<_, StoreError>(held)
        };
        match discover.progress.during(CALL, held).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::debug!(%error, "Cannot read the watched list; polls go on with the last one");
            }
        }
        discover.progress.made();
        let wake = leader.start_polls();
        let next = async {
            tokio::select! {
                () = stop.cancelled() => None,
                Some(ended) = leader.polls.join_next(), if !leader.polls.is_empty() => Some(ended),
                _ = leader.choice.acquire(), if wake.is_none() => None,
                () = sleep_until(wake.unwrap_or_else(later)) => None,
            }
        };
        match discover.progress.during(HOWEVER_LONG, next).await {
            Some(Ok(ended)) => leader.ended(ended),
            Some(Err(error)) => {
                panicked(&error);
                // Its group would count as being polled for ever: the plan is made again.
                break;
            }
            None => {}
        }
    }
    leader.polls.abort_all();
    while leader.polls.join_next().await.is_some() {}
    let metrics = &discover.metrics.discover;
    metrics.objective_met.set(1);
    metrics.expected_wait.set(0.0);
    metrics.longest_interval.set(0.0);
    metrics.needed_budget.set(0.0);
}

/// The panic itself is logged by the panic hook.
fn panicked(error: &JoinError) {
    if error.is_panic() {
        tracing::error!("A poll panicked; its listing is polled again");
    }
}

impl Leader<'_> {
    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Reads the watched list where it is due; whether it was.
    async fn refresh(&mut self) -> Result<bool, StoreError> {
        let length = u32::try_from(self.active.len()).unwrap_or(u32::MAX);
        let every = REFRESH_EVERY + REFRESH_EACH.saturating_mul(length);
        let every = every
            .min(REFRESH_LONG)
            .max(REFRESH_EACH_OF_MANY.saturating_mul(length));
        if self.refreshed.is_some_and(|at| at.elapsed() < every) {
            return Ok(false);
        }
        let members = self.watched_list().await?;
        self.refreshed = Some(Instant::now());
        let now = self.now();
        self.planner.set_members(&members, now);
        let scan = self.discover.store.id_scan_state((self.discover.now_ms)());
        self.ids_are_scanned = scan.await?.is_some();
        Ok(true)
    }

    /// Reads the watched list.
    async fn watched_list(&mut self) -> Result<Vec<Member>, StoreError> {
        let mut members: Vec<Member> = Vec::with_capacity(self.active.len());
        let discover = self.discover;
        let read = discover
            .store
            .read_active(|row| members.push(self.member(row)));
        read.await?;
        self.active
            .retain(|_, known| std::mem::take(&mut known.listed));
        Ok(members)
    }

    /// Notes what a row of the list tells.
    fn member(&mut self, row: Active) -> Member {
        let known = self.active.entry(row.name.clone()).or_insert_with(|| {
            let watched = &self.discover.metrics.watched;
            watched.add(row.name.as_str(), row.added_at);
            Known {
                found_until: row.last_submission_at,
                settled_until: None,
                listed: true,
            }
        });
        known.settled_until = row.covered_until;
        known.listed = true;
        Member {
            name: row.name,
            rate: row.posts_per_hour / 3_600.0,
            alone: row.suspect,
        }
    }

    /// Starts what is due; returns when to look again, or none where a poll waits for its turn.
    fn start_polls(&mut self) -> Option<Instant> {
        self.planner
            .set_budget(self.share.per_second(self.ids_are_scanned));
        while self.polls.len() < self.discover.config.concurrency {
            let choice = Arc::clone(&self.choice).try_acquire_owned().ok()?;
            let now = self.now();
            match self.planner.next(now) {
                Next::Poll(poll) => self.start_poll(poll, choice),
                Next::WaitUntil(at) => {
                    let wait = Duration::try_from_secs_f64(at - now).unwrap_or_default();
                    let wait = wait.max(Duration::from_millis(1));
                    return Some(later().min(Instant::now() + wait));
                }
                Next::Idle => break,
            }
        }
        Some(later())
    }

    fn start_poll(&mut self, poll: Poll, choice: OwnedSemaphorePermit) {
        let turn = Arc::new(Mutex::new(Turn::Waits(choice)));
        let discover = self.discover.for_a_walk();
        let waiting = discover.progress.clone();
        let granted = Arc::clone(&turn);
        let reddit = discover
            .reddit
            .telling(move || waiting.made())
            .on_grant(move || lock(&granted).begin());
        let reddit = if poll.doubtful {
            reddit.doubtful()
        } else {
            reddit
        };
        let page = Page {
            discover: Discover { reddit, ..discover },
            seen: Arc::clone(&self.seen),
            known_until: self.known_until(&poll),
            settled_until: self.settled_until(&poll),
        };
        let answers_before = self.planner.answers();
        self.polls.spawn(async move {
            let answer = page.request(&poll).await;
            let granted = lock(&turn).begun();
            Ended {
                poll,
                answer,
                answers_before,
                granted,
            }
        });
    }

    /// Creation time (seconds) of the newest submission of these that was known when polls began.
    fn known_until(&self, poll: &Poll) -> Option<i64> {
        let known = poll.names.iter().filter_map(|name| self.active.get(name));
        known.filter_map(|known| known.found_until).max()
    }

    /// Until when (seconds) time is proven, by subreddit.
    fn settled_until(&self, poll: &Poll) -> HashMap<String, i64> {
        let known = |name: &SubredditName| self.active.get(name)?.settled_until;
        let settled = |name: &SubredditName| Some((name.to_string(), known(name)?));
        poll.names.iter().filter_map(settled).collect()
    }

    fn ended(&mut self, ended: Ended) {
        if let Some(granted) = ended.granted {
            self.share.granted(granted);
            let sent = granted.saturating_duration_since(self.start);
            self.planner.sent(&ended.poll, sent.as_secs_f64());
        }
        let now = self.now();
        match &ended.answer {
            Ok(answer) => self.planner.answered(&ended.poll, answer, now),
            Err(Failed::TooLong) => self.planner.too_long(&ended.poll, now),
            Err(failed) => {
                let others =
                    *failed == Failed::Refused || self.planner.answers() > ended.answers_before;
                self.planner.failed(&ended.poll, others, now);
            }
        }
    }
}

/// A poll's turn; where it is dropped, the next may be chosen.
enum Turn {
    /// The next poll is chosen when this one is sent.
    Waits(#[expect(dead_code, reason = "held until then")] OwnedSemaphorePermit),
    Begun(Instant),
}

impl Turn {
    fn begin(&mut self) {
        if let Turn::Waits(_) = self {
            *self = Turn::Begun(Instant::now());
        }
    }

    fn begun(&self) -> Option<Instant> {
        match self {
            Turn::Waits(_) => None,
            Turn::Begun(at) => Some(*at),
        }
    }
}

/// When to look again at the latest.
fn later() -> Instant {
    Instant::now() + REFRESH_EVERY
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
