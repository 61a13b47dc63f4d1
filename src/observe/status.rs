//! The service at a glance: for `freshet status`, `/api/v1/status` and the demo's view alike.

use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::{Store, Subreddit, SubredditState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What only a running process knows.
#[derive(Debug)]
pub struct Live {
    metrics: Arc<Metrics>,
    simulated: Option<Arc<AtomicBool>>,
}

impl Live {
    /// `simulated` is set by whoever talks to the source, as soon as it says so of itself; there is
    /// none in a process that asks the source nothing.
    pub fn new(metrics: Arc<Metrics>, simulated: Option<Arc<AtomicBool>>) -> Live {
        Live { metrics, simulated }
    }

    /// Whether the source is the simulated Reddit, as far as this process knows.
    pub fn simulated(&self) -> bool {
        let simulated = self.simulated.as_ref();
        simulated.is_some_and(|simulated| simulated.load(Ordering::Relaxed))
    }

    fn budget(&self) -> Option<RateBudget> {
        self.simulated.as_ref()?;
        let gauge = |gauge: &prometheus::GaugeVec| gauge.with_label_values(&["reddit"]).get();
        Some(RateBudget {
            per_minute: gauge(&self.metrics.api.budget_limit),
            remaining: gauge(&self.metrics.api.budget_remaining),
        })
    }
}

/// Everything at a glance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Whether what is stored comes from the simulated Reddit.
    pub simulated: bool,
    /// Which engine holds the submissions.
    pub database: String,
    /// Submissions ever discovered.
    pub discovered: i64,
    /// Of those, stored as fetched.
    pub fetched: i64,
    /// Of those, no longer given out by Reddit.
    pub unavailable: i64,
    /// Items kept raw because they could not be decoded.
    pub undecodable: i64,
    /// Jobs.
    pub queue: QueueStatus,
    /// The budget of requests, as the running process sees it; none without one.
    pub budget: Option<RateBudget>,
    /// The watched list.
    pub subreddits: Vec<SubredditStatus>,
}

/// Jobs by where they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Which engine carries them; none where it is away.
    pub engine: Option<String>,
    /// In the database, due, not yet queued.
    pub backlog: i64,
    /// In the database, due later.
    pub deferred: i64,
    /// In the queue; none where it does not answer.
    pub waiting: Option<u64>,
    /// At work; none where the queue does not answer.
    pub running: Option<u64>,
    /// Live workers; none where the queue does not answer.
    pub workers: Option<u64>,
    /// Set aside.
    pub dead: i64,
}

/// Requests that may still be made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RateBudget {
    /// All processes together.
    pub per_minute: f64,
    /// Left in the source's window, by its own count.
    pub remaining: f64,
}

/// One watched subreddit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubredditStatus {
    /// Lower case.
    pub name: String,
    /// `active`, `paused` or `unavailable`.
    pub state: String,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// When it was added, seconds since the epoch.
    pub added_at: i64,
    /// Everything up to then is proven complete or lies in a recorded gap, seconds since the epoch.
    pub covered_until: Option<i64>,
    /// Where its newest window ends that was proven complete, seconds since the epoch.
    pub last_complete_at: Option<i64>,
    /// Its newest listing, shared ones included, seconds since the epoch.
    pub seen_until: Option<i64>,
    /// Creation time of its newest submission, seconds since the epoch.
    pub last_submission_at: Option<i64>,
    /// Submissions discovered.
    pub submissions: i64,
    /// As its last listings showed.
    pub posts_per_hour: f64,
    /// Recorded gaps that are still open.
    pub open_gaps: i64,
}

/// Reads it all. The queue may be away; the database may not.
///
/// # Errors
/// Where the database does not answer.
pub async fn read(
    store: &Store,
    queue: Option<&Queue>,
    live: Option<&Live>,
    now_ms: i64,
) -> Result<Status, crate::store::StoreError> {
    let (totals, counts, subreddits) = (
        store.totals().await?,
        store.fetch_counts(now_ms).await?,
        store.subreddits().await?,
    );
    let (mut depth, mut workers) = (None, None);
    if let Some(queue) = queue {
        depth = queue.depth().await.ok();
        workers = queue.workers().await.ok();
    }
    Ok(Status {
        simulated: store.is_simulated().await? || live.is_some_and(Live::simulated),
        database: store.engine().to_owned(),
        discovered: totals.discovered + totals.fetched + totals.unavailable,
        fetched: totals.fetched,
        unavailable: totals.unavailable,
        undecodable: totals.undecodable,
        queue: QueueStatus {
            engine: queue.map(|queue| queue.engine().to_owned()),
            backlog: counts.backlog,
            deferred: counts.deferred,
            waiting: depth.map(|depth| depth.waiting as u64),
            running: depth.map(|depth| depth.running as u64),
            workers: workers.map(|workers| workers as u64),
            dead: counts.dead,
        },
        budget: live.and_then(Live::budget),
        subreddits: subreddits.into_iter().map(SubredditStatus::from).collect(),
    })
}

impl From<Subreddit> for SubredditStatus {
    fn from(row: Subreddit) -> SubredditStatus {
        SubredditStatus {
            name: row.name.to_string(),
            state: row.state.as_str().to_owned(),
            reason: row.reason,
            added_at: row.added_at,
            covered_until: row.covered_until,
            last_complete_at: row.last_complete_at,
            seen_until: row.seen_until,
            last_submission_at: row.last_submission_at,
            submissions: row.submissions,
            posts_per_hour: row.posts_per_hour,
            open_gaps: row.open_gaps,
        }
    }
}

impl SubredditStatus {
    /// Whether it is polled at all.
    pub fn is_active(&self) -> bool {
        self.state == SubredditState::Active.as_str()
    }
}
