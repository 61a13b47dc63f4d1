//! Asks for the pages of one walk: polls and sweeps alike.

use super::Discover;
use super::absent;
use super::suspects::Answered;
use super::walk::{Ended, Page, Walk};
use crate::liveness::CALL;
use crate::network::Large;
use crate::source::{ListingPage, Moment, RequestClass, SourceError, UnavailableReason};
use crate::store::{Doubts, Interval};
use crate::submission::SubredditName;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a walk stays with one outage; then it is recorded as failed, and its window stays open.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);

/// Bytes that each walk may hold; beyond that only one walk at a time may.
const SHALLOW: usize = 4 << 20;
/// How long a walk waits to be that one; then it fails.
const DEEP_PATIENCE: Duration = Duration::from_secs(120);

/// How long an outage has kept a walk from its answer. A wait for the budget is none.
struct Patience {
    length: Duration,
    since: Option<Instant>,
}

impl Patience {
    fn new(length: Duration) -> Patience {
        let since = None;
        Patience { length, since }
    }

    /// A request failed: whether the walk is to be given up.
    fn failed(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= self.length
    }

    /// Returns when the outage has lasted too long and still holds requests back, as the caller is
    /// told by a future that ends while they are.
    async fn ends<F: Future<Output = ()>>(&mut self, held_back: impl Fn() -> F) {
        held_back().await;
        let since = *self.since.get_or_insert_with(Instant::now);
        tokio::time::sleep_until(since + self.length).await;
        held_back().await;
    }
}

/// How a walk came out.
#[derive(Debug)]
pub(super) enum WalkEnd {
    /// It came to an end of its own.
    Ended(Ended),
    /// What was asked for is not to be had.
    Unavailable(UnavailableReason),
    /// Refused for what was asked.
    Refused(String),
    /// An outage outlasted the poll's patience.
    OutOfPatience,
    /// Told to stop.
    Stopped,
}

/// A walk that is over.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) walk: Walk,
    pub(super) end: WalkEnd,
    /// Our clock, seconds.
    pub(super) started_at: i64,
    /// Our clock, seconds.
    pub(super) finished_at: i64,
    /// When the first page was made, as far as clocks agree, seconds: the window's end.
    pub(super) served_at: i64,
    /// Whether it failed for what was asked for, perhaps: nothing says that Reddit is out.
    pub(super) doubtful: bool,
    /// Held as long as what was listed is.
    _deep: Option<OwnedSemaphorePermit>,
    /// What the clocks say of the first page, if one came.
    pub(super) moment: Option<Moment>,
    /// Whether it lacks what was listed before and should be listed still.
    pub(super) contradicted: bool,
}

impl Walked {
    /// Whether the clocks let it prove anything.
    pub(super) fn is_dated(&self) -> bool {
        self.moment.is_some_and(|moment| moment.proves.is_some())
    }

    /// The time by which paces are measured, seconds.
    pub(super) fn shown_at(&self) -> i64 {
        self.moment.map_or(self.served_at, |moment| moment.shown)
    }

    /// What it tells of a subreddit's earlier proofs, where its windows are settled before then (seconds).
    pub(super) fn doubts(&self, subreddit: &SubredditName, settled_before: Option<i64>) -> Doubts {
        let mut doubts = Doubts {
            now: self.moment.map(|moment| moment.latest),
            settled_before,
            ..Doubts::default()
        };
        // What was listed existed by then.
        let end = doubts.now.map_or(i64::MAX, |now| now.saturating_add(1));
        for (unread, interval) in self.walk.unread() {
            let end = end.min(interval.end);
            doubts.unread(&unread, Interval { end, ..interval }, subreddit);
        }
        doubts
    }
}

/// How often a walk goes on after a failure that may be due to what it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tries<'a> {
    /// As long as an outage is waited for.
    Patient,
    /// This often, unless the failure took long.
    Few(u32),
    /// As long as an outage is waited for, or until other listings are given out meanwhile.
    UntilOthers(&'a Answered),
}

/// Failures in a row after which it matters whether others are given out.
const FAILURES: u32 = 3;

/// The same where it was asked for too often.
const TURNED_AWAY: u32 = 2;

/// Submissions that a shared listing may be expected to show: it holds 1,000.
const SHARED_MOST: f64 = 700.0;

/// How long a listing that is halved may take to be answered.
const GROUP_LIMIT: Duration = Duration::from_secs(10);
/// A failure that took so long is not waited for again.
const SLOW: Duration = Duration::from_secs(5);

/// Walks a listing down to where `reach` says, which is told Reddit's time (seconds) when the first
/// page has come.
pub(super) async fn walk(
    discover: &Discover,
    names: &[SubredditName],
    class: RequestClass,
    reach: impl Fn(i64) -> i64,
    stop: &CancellationToken,
) -> Walked {
    let tries = Tries::Patient;
    walk_with(discover, names, class, tries, false, reach, stop).await
}

/// The same, for a walk that may fail for what it asks for; where that is known (`doubtful`), its failures
/// hold no other request back.
pub(super) async fn walk_with(
    discover: &Discover,
    names: &[SubredditName],
    class: RequestClass,
    tries: Tries<'_>,
    mut doubtful: bool,
    reach: impl Fn(i64) -> i64,
    stop: &CancellationToken,
) -> Walked {
    let mut failures = 0;
    let mut in_doubt = false;
    let mut others_before = 0;
    let mut turned_away = 0;
    let started_at = (discover.now_ms)() / 1000;
    // How far down to go is known with the first answer, which tells Reddit's time.
    let mut walk = Walk::new(i64::MIN).of(names);
    let mut moment: Option<Moment> = None;
    let mut deep = None;
    let mut patience = Patience::new(PATIENCE);
    let progress = &discover.progress;
    let waiting = progress.clone();
    let reddit = discover.reddit.telling(move || waiting.made());
    let end = loop {
        let request = match walk.next() {
            Ok(request) => request,
            Err(ended) => break WalkEnd::Ended(ended),
        };
        let begun = Instant::now();
        let reddit = match (doubtful, names) {
            (false, _) => reddit.clone(),
            (true, [_]) => reddit.doubtful(),
            // The others of a group wait for the one that is never answered.
            (true, _) => reddit.doubtful().within(GROUP_LIMIT),
        };
        let ask = reddit.new_page(names, request.after.as_deref(), request.limit, class);
        let answer = tokio::select! {
            () = stop.cancelled() => break WalkEnd::Stopped,
            answer = progress.during(CALL, ask) => answer,
            () = patience.ends(|| reddit.held_back()) => {
                break WalkEnd::OutOfPatience;
            }
        };
        progress.made();
        match answer {
            Ok(page) => {
                // Later pages may show less of what was posted meanwhile: the first one counts.
                if moment.is_none() {
                    moment = Some(page.moment);
                    walk.aim(reach(page.moment.proves.unwrap_or(page.moment.latest)));
                }
                patience = Patience::new(PATIENCE);
                (failures, turned_away, in_doubt) = (0, 0, false);
                let (page, large) = into_page(page);
                if deep.is_none() && walk.held_with(&page) > SHALLOW {
                    deep = reddit.try_hold_much();
                }
                if deep.is_some() || walk.held_with(&page) <= SHALLOW {
                    walk.take(page);
                    let shown_at = moment.map_or(0, |moment| moment.shown);
                    if names.len() > 1
                        && walk.pages() == 1
                        && walk.next().is_ok()
                        && walk.expected(shown_at) > SHARED_MOST
                    {
                        // The listing would be cut short: smaller groups, by the rates that it showed.
                        break WalkEnd::Ended(Ended::PageLimit);
                    }
                    continue;
                }
                // What is held while it waits is bounded, so the page is asked for again.
                drop((page, large));
                let place = timeout(DEEP_PATIENCE, reddit.hold_much());
                let place = progress.during(DEEP_PATIENCE + CALL, place);
                deep = tokio::select! {
                    () = stop.cancelled() => break WalkEnd::Stopped,
                    place = place => place.ok().flatten(),
                };
                // Its window stays open, and the next poll comes back to it.
                if deep.is_none() {
                    break WalkEnd::OutOfPatience;
                }
            }
            Err(error)
                if let Tries::Few(tries) = tries
                    && error.may_be_the_request() =>
            {
                in_doubt = true;
                doubtful = true;
                failures += 1;
                if let SourceError::Refused { detail, .. } = error {
                    break WalkEnd::Refused(detail);
                }
                if failures > tries || begun.elapsed() >= SLOW || patience.failed() {
                    break WalkEnd::OutOfPatience;
                }
            }
            Err(SourceError::Wait { cause, .. })
                if let Tries::UntilOthers(answered) = tries
                    && cause.may_be_the_request() =>
            {
                if failures == 0 {
                    others_before = answered.count();
                }
                failures += 1;
                let others = answered.count() > others_before;
                if patience.failed() || (failures >= FAILURES && others) {
                    in_doubt = others;
                    break WalkEnd::OutOfPatience;
                }
            }
            // Said twice in a row of one request, it may be said of what that asks for.
            Err(error)
                if matches!(tries, Tries::Few(_)) && error.is_rate_limited() && {
                    turned_away += 1;
                    doubtful || turned_away >= TURNED_AWAY
                } =>
            {
                in_doubt = true;
                break WalkEnd::OutOfPatience;
            }
            // The source holds the next request back for as long as the answer calls for.
            Err(SourceError::Wait { .. }) if patience.failed() => break WalkEnd::OutOfPatience,
            Err(SourceError::Wait { .. }) => {}
            Err(SourceError::Unavailable { reason, .. }) => break WalkEnd::Unavailable(reason),
            Err(SourceError::Refused { detail, .. }) => break WalkEnd::Refused(detail),
        }
    };
    let served_at = moment
        .and_then(|moment| moment.proves)
        .unwrap_or_else(|| discover.reddit.now());
    let contradicted = match &end {
        WalkEnd::Ended(_) => {
            // Only walks of the schedule are made again within a proof period.
            let repeated = !matches!(tries, Tries::Patient);
            absent::contradicts(discover, names, &walk, repeated, served_at, stop).await
        }
        _ => false,
    };
    Walked {
        walk,
        end,
        started_at,
        finished_at: (discover.now_ms)() / 1000,
        served_at,
        moment,
        contradicted,
        doubtful: in_doubt,
        _deep: deep,
    }
}

/// The page, and what keeps other large ones waiting until it is taken.
fn into_page(mut page: ListingPage) -> (Page, Option<Large>) {
    let large = page.take_large();
    let page = Page {
        order: page.order,
        items: page.items,
        undecodable: page.undecodable,
        unread: page.unread,
        after: page.after,
    };
    (page, large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_wait_while_requests_go_out_is_no_outage_however_long() {
        let mut patience = Patience::new(SHORT);
        assert!(timeout(LONG, patience.ends(pending)).await.is_err());
        assert!(
            !patience.failed(),
            "the clock starts with the first failure"
        );
        // One failure, and then a long wait for the next grant.
        assert!(timeout(LONG, patience.ends(pending)).await.is_err());
        assert!(patience.failed(), "a failure that late ends it");
    }

    #[tokio::test]
    async fn requests_that_are_held_back_for_too_long_end_the_walk() {
        let mut patience = Patience::new(SHORT);
        let begun = Instant::now();
        patience.ends(|| async {}).await;
        assert!(begun.elapsed() >= SHORT);
        assert!(patience.failed());
    }
}
