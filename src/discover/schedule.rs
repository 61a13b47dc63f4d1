//! Claims what is due, forms listing requests, and runs a few walks at a time.

use super::Discover;
use super::ahead::Ahead;
use super::claims::{Claims, LEASE_MS};
use super::group::plan;
use super::member::longest_wait_ms;
use super::overlaps::Overlaps;
use super::period::proof_period;
use super::poll::poll;
use super::prove::alone_every;
use super::suspects::Answered;
use crate::liveness::{CALL, HOWEVER_LONG};
use crate::store::{Claimed, SubredditState};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Subreddits claimed at once: enough that quiet ones find company, few enough that another
/// scheduler finds some left.
const CLAIM_MOST: u32 = 1_000;
/// How often the proof period is computed.
const PERIOD_EVERY: Duration = Duration::from_secs(15);
/// How often the database is asked for what is due.
const LOOK: Duration = Duration::from_millis(250);

/// Discovers until told to stop. A walk that is under way then is dropped: its window stays open.
pub async fn run(discover: Discover, stop: CancellationToken) {
    let claims = Arc::new(Claims::default());
    // Claims outlive the walks by a moment, so that none is given back while it is recorded.
    let walks_ended = CancellationToken::new();
    let keep = claims.keep(&discover.store, discover.now_ms, &walks_ended);
    let schedule = async {
        schedule(&discover, &claims, &stop).await;
        walks_ended.cancel();
    };
    tokio::join!(keep, schedule);
}

async fn schedule(discover: &Discover, claims: &Arc<Claims>, stop: &CancellationToken) {
    let overlaps = Arc::new(Overlaps::default());
    let answered = Arc::new(Answered::default());
    let mut ahead = Ahead::default();
    let mut period = Period::default();
    let mut discover = discover.clone();
    let mut planned: VecDeque<Vec<Claimed>> = VecDeque::new();
    let mut walks = JoinSet::new();
    let mut failing = false;
    let mut clock_told = false;
    while !stop.is_cancelled() {
        if planned.is_empty() {
            if !clock_told {
                clock_told = tell_clock(&discover).await;
            }
            period.update(&mut discover).await;
            let discover = &discover;
            let claimed = discover
                .progress
                .during(CALL, claim(discover, &mut ahead))
                .await;
            discover.progress.made();
            match claimed {
                Ok(due) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("Due subreddits are claimed again");
                    }
                    claims.add(due.iter().map(|claimed| &claimed.claim));
                    planned.extend(requests(discover, due));
                }
                // Its dependency tells of an outage, once for all who meet it.
                Err(error) if error.is_outage() => {
                    tracing::debug!(%error, "Due subreddits cannot be claimed: the database is failing");
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "What is due cannot be claimed; trying again until it can");
                    }
                }
            }
        }
        while walks.len() < discover.config.concurrency
            && let Some(group) = planned.pop_front()
        {
            let (discover, claims) = (discover.for_a_walk(), Arc::clone(claims));
            let (overlaps, stop) = (Arc::clone(&overlaps), stop.clone());
            let answered = Arc::clone(&answered);
            walks.spawn(async move {
                poll(&discover, &claims, &overlaps, &answered, group, &stop).await;
            });
        }
        // Each walk shows its own progress.
        let next = async {
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = walks.join_next(), if !walks.is_empty() => told(ended),
                () = tokio::time::sleep(LOOK), if planned.is_empty() => {}
            }
        };
        discover.progress.during(HOWEVER_LONG, next).await;
    }
    while let Some(ended) = walks.join_next().await {
        told(ended);
    }
}

/// Tells Reddit's clock up to when everything is proven: our own may have been set back since. Whether the
/// database could say.
async fn tell_clock(discover: &Discover) -> bool {
    let watermark = discover.store.latest_watermark();
    let Ok(watermark) = discover.progress.during(CALL, watermark).await else {
        return false;
    };
    if let Some(watermark) = watermark {
        discover.reddit.has_passed(watermark);
    }
    true
}

/// The panic itself is told by the panic hook.
fn told(ended: Result<(), JoinError>) {
    if ended.is_err() {
        tracing::error!("A poll broke off; its subreddits are polled again when their claims end");
    }
}

/// The proof period, and when it was computed.
#[derive(Debug, Default)]
struct Period(Option<Instant>);

impl Period {
    /// Recomputes it now and then; the last one stands where the watched list cannot be read.
    async fn update(&mut self, discover: &mut Discover) {
        if self.0.is_some_and(|at| at.elapsed() < PERIOD_EVERY) {
            return;
        }
        let rates = discover.store.active_rates();
        let Ok(mut rates) = discover.progress.during(CALL, rates).await else {
            return;
        };
        self.0 = Some(Instant::now());
        for rate in &mut rates {
            *rate /= 3_600.0;
        }
        let per_minute = discover.reddit.budget().requests_per_minute();
        let budget = f64::from(per_minute.get()) / 60.0;
        let period = proof_period(&rates, budget, &discover.config);
        discover.config.proof_period = period;
        let metrics = &discover.metrics.discover;
        metrics.proof_period.set(period.as_secs_f64());
    }
}

async fn claim(
    discover: &Discover,
    ahead: &mut Ahead,
) -> Result<Vec<Claimed>, crate::store::StoreError> {
    let now_ms = (discover.now_ms)();
    let Discover { store, holder, .. } = discover;
    let longest_wait_ms = longest_wait_ms(&discover.config);
    ahead.look(store, now_ms, longest_wait_ms).await?;
    store.claim_due(holder, now_ms, LEASE_MS, CLAIM_MOST).await
}

/// Listing requests for what is due.
fn requests(discover: &Discover, due: Vec<Claimed>) -> Vec<Vec<Claimed>> {
    plan(due, &discover.config, |claimed| {
        // Both by Reddit's clock: how long it has only been seen in company.
        // One that nothing is known of yet was not shown in company.
        let unproven = match (claimed.covered_until, claimed.seen_until) {
            (Some(covered), seen) => seen.unwrap_or(covered) - covered,
            (None, Some(_)) => i64::MAX,
            (None, None) => 0,
        };
        claimed.suspect
            || claimed.state != SubredditState::Active
            || unproven >= alone_every(&claimed.claim.subreddit)
    })
}
