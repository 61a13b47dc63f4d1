//! The service at a glance: for `freshet status`, `/api/v1/status` and the demo's view alike.

use super::dependencies::DependencyStatus;
use crate::dependency::Dependencies;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::{
    Backfill, BackfillCounts, PollPlan, Store, StoreError, Subreddit, SubredditState,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What only a running process knows.
#[derive(Debug)]
pub struct Live {
    metrics: Arc<Metrics>,
    simulated: Option<Arc<AtomicBool>>,
    dependencies: Arc<Dependencies>,
    dashboards: Option<String>,
}

impl Live {
    /// `simulated` is set by whoever talks to the source, as soon as it says so of itself; there is
    /// none in a process that asks the source nothing.
    pub fn new(metrics: Arc<Metrics>, simulated: Option<Arc<AtomicBool>>) -> Live {
        Live {
            metrics,
            simulated,
            dependencies: Arc::default(),
            dashboards: None,
        }
    }

    /// The same, where dashboards are shown there.
    pub fn linking(self, dashboards: Option<String>) -> Live {
        Live { dashboards, ..self }
    }

    /// Where dashboards are shown.
    pub fn dashboards(&self) -> Option<&str> {
        self.dashboards.as_deref()
    }

    /// The same, of a process that watches these.
    pub fn depending(self, dependencies: Arc<Dependencies>) -> Live {
        Live {
            dependencies,
            ..self
        }
    }

    /// What is watched here.
    pub fn dependencies(&self) -> &Dependencies {
        &self.dependencies
    }

    /// The same, to be shown.
    pub fn dependency_states(&self) -> Vec<DependencyStatus> {
        let states = self.dependencies.states().into_iter();
        states.map(DependencyStatus::from).collect()
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
    /// Submissions stored, whatever their status.
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
    /// How well that serves the freshness objective; none where no process polls.
    #[serde(default)]
    pub freshness: Option<FreshnessStatus>,
    /// The watched list.
    pub subreddits: Vec<SubredditStatus>,
    /// What is being brought in of the past.
    #[serde(default)]
    pub backfills: BackfillsStatus,
    /// What the process that was asked depends on, and what other processes say of theirs that fails.
    #[serde(default)]
    pub dependencies: Vec<DependencyStatus>,
}

/// Backfills that are neither done nor cancelled, or done but for what was set aside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BackfillsStatus {
    /// Those that go on.
    pub running: i64,
    /// Those that were paused.
    pub paused: i64,
    /// Their slices that nobody works on.
    pub slices_waiting: i64,
    /// Their slices that are being brought in.
    pub slices_active: i64,
    /// Slices that were set aside, until they are tried again or given up.
    pub slices_failed: i64,
    /// The newest of them, [`MOST_BACKFILLS`] at most.
    pub newest: Vec<BackfillStatus>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackfillStatus {
    /// Its number.
    pub id: i64,
    /// Whose past; `all` for everything that files hold.
    pub subreddit: String,
    /// `reddit`, `arctic-shift` or `files`.
    pub source: String,
    /// `running`, `paused`, or `done` where slices were set aside.
    pub state: String,
    /// From then on, seconds since the epoch.
    pub range_start: i64,
    /// Until then, seconds since the epoch.
    pub range_end: i64,
    /// When it was begun, seconds since the epoch.
    pub created_at: i64,
    /// How much of its time is stored, from 0 to 1; of files, how many of them.
    pub share_done: f64,
    /// Its slices.
    pub slices: i64,
    /// Of those, done.
    pub slices_done: i64,
    /// Of those, being brought in.
    pub slices_active: i64,
    /// Of those, set aside.
    pub slices_failed: i64,
    /// Submissions found.
    pub listed: i64,
    /// How many it is expected to find.
    pub expected: Option<i64>,
    /// What went wrong last with a slice that waits or was set aside.
    pub trouble: Option<String>,
}

/// Backfills that a status tells of one by one.
pub const MOST_BACKFILLS: u32 = 100;

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
    /// When the newest job was sent that came all the way through, seconds since the epoch.
    #[serde(default)]
    pub heartbeat_at: Option<i64>,
}

/// Requests that may still be made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RateBudget {
    /// All processes together.
    pub per_minute: f64,
    /// Left in the source's window, by its own count.
    pub remaining: f64,
}

/// How well the budget serves the freshness objective, as the processes that poll and scan ids tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FreshnessStatus {
    /// What the plan of polls comes to.
    #[serde(flatten)]
    pub plan: PollPlan,
    /// Whether submissions are found by their ids.
    pub id_scan: bool,
    /// How far that is behind the newest id.
    pub id_scan_lag_seconds: f64,
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
    /// Submissions stored, whatever their status.
    pub submissions: i64,
    /// As its last listings showed.
    pub posts_per_hour: f64,
    /// Recorded gaps that are still open.
    pub open_gaps: i64,
    /// Whether its listing fails while others are given out. It is listed alone until it is given out.
    #[serde(default)]
    pub suspect: bool,
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
) -> Result<Status, StoreError> {
    let mut status = read_counts(store, queue, live, now_ms).await?;
    let subreddits = store.subreddits().await?;
    status.subreddits = subreddits.into_iter().map(SubredditStatus::from).collect();
    Ok(status)
}

/// The same with as many subreddits as are asked for.
///
/// # Errors
/// Where the database does not answer.
pub(super) async fn read_part(
    store: &Store,
    queue: &Queue,
    live: &Live,
    most: u32,
    now_ms: i64,
) -> Result<Status, StoreError> {
    let mut status = read_counts(store, Some(queue), Some(live), now_ms).await?;
    let subreddits = store.subreddits_after("", most).await?;
    status.subreddits = subreddits.into_iter().map(SubredditStatus::from).collect();
    Ok(status)
}

/// The same as JSON, in pieces: of many subreddits only some are held at once beside it.
///
/// # Errors
/// Where the database does not answer.
pub(super) async fn render(
    store: &Store,
    queue: Option<&Queue>,
    live: Option<&Live>,
    now_ms: i64,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let status = read_counts(store, queue, live, now_ms).await?;
    // Nothing in it can fail to be written.
    let text = serde_json::to_vec(&status).unwrap_or_default();
    // In texts quotes are escaped, so this stands nowhere else.
    let list = memchr::memmem::find(&text, LIST).map_or(text.len(), |at| at + LIST.len());
    let (before, after) = text.split_at(list);
    let mut pieces = vec![before.to_vec()];
    let mut last = String::new();
    let mut piece = Vec::new();
    loop {
        let part = store.subreddits_after(&last, PART).await?;
        let is_last = part.len() < PART as usize;
        piece.clear();
        for subreddit in part {
            if !last.is_empty() {
                piece.push(b',');
            }
            last = subreddit.name.to_string();
            let _ = serde_json::to_writer(&mut piece, &SubredditStatus::from(subreddit));
        }
        // As long as it is, and no longer.
        pieces.push(piece.clone());
        if is_last {
            pieces.push(after.to_vec());
            return Ok(pieces);
        }
    }
}

const LIST: &[u8] = b"\"subreddits\":[";
const PART: u32 = 1_000;

/// All but the subreddits.
async fn read_counts(
    store: &Store,
    queue: Option<&Queue>,
    live: Option<&Live>,
    now_ms: i64,
) -> Result<Status, StoreError> {
    let (totals, counts) = (store.totals().await?, store.fetch_counts(now_ms).await?);
    let open = store.count_backfills(now_ms).await?;
    // Most have none, which is found out at once.
    let newest = if open == BackfillCounts::default() {
        Vec::new()
    } else {
        store.unsettled_backfills(MOST_BACKFILLS, now_ms).await?
    };
    let heartbeats = store.heartbeats().await?;
    let heartbeat = heartbeats.iter().find(|beat| beat.path == "job");
    let heartbeat_at = heartbeat.map(|beat| beat.sent_ms.div_euclid(1000));
    let mut dependencies = live.map(Live::dependency_states).unwrap_or_default();
    if dependencies.is_empty() {
        dependencies.push(DependencyStatus::asked("database", true));
    }
    // A database that is only read may not have this table yet.
    for failing in store.failing(now_ms).await.unwrap_or_default() {
        let failing = DependencyStatus::from(failing);
        let known = |it: &DependencyStatus| it.name == failing.name && it.class == failing.class;
        if !dependencies.iter().any(known) {
            dependencies.push(failing);
        }
    }
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
            heartbeat_at,
        },
        budget: live.and_then(Live::budget),
        freshness: read_freshness(store, now_ms).await,
        dependencies,
        subreddits: Vec::new(),
        backfills: BackfillsStatus {
            running: open.running,
            paused: open.paused,
            slices_waiting: open.waiting,
            slices_active: open.active,
            slices_failed: open.failed,
            newest: newest.into_iter().map(BackfillStatus::from).collect(),
        },
    })
}

/// A database that is only read may not have the column yet.
async fn read_freshness(store: &Store, now_ms: i64) -> Option<FreshnessStatus> {
    let plan = store.poll_plan(now_ms).await.ok().flatten()?;
    let scan = store.id_scan_state(now_ms).await.ok().flatten();
    Some(FreshnessStatus {
        plan,
        id_scan: scan.is_some(),
        id_scan_lag_seconds: scan.unwrap_or_default().lag_seconds,
    })
}

impl From<Backfill> for BackfillStatus {
    fn from(row: Backfill) -> BackfillStatus {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share_done = row.seconds_done as f64 / row.seconds.max(1) as f64;
        BackfillStatus {
            id: row.id,
            subreddit: row.subreddit,
            source: row.source,
            state: row.state,
            range_start: row.range_start,
            range_end: row.range_end,
            created_at: row.created_at,
            share_done: share_done.clamp(0.0, 1.0),
            slices: row.slices,
            slices_done: row.slices_done,
            slices_active: row.slices_active,
            slices_failed: row.slices_failed,
            listed: row.listed,
            expected: row.expected,
            trouble: row.trouble,
        }
    }
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
            suspect: row.suspect,
        }
    }
}

/// What a subreddit's rate is judged by at least, seconds.
const RATE_BASIS: i64 = 3_600;

impl SubredditStatus {
    /// Submissions per hour; none where nothing was seen and it is not watched for long enough to say so.
    pub fn hourly(&self, now: i64) -> Option<f64> {
        let is_seen = self.posts_per_hour >= 0.05;
        (is_seen || now - self.added_at >= RATE_BASIS).then_some(self.posts_per_hour)
    }

    /// Its state, and why.
    pub fn state_and_reason(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{} ({reason})", self.state),
            None if self.suspect && self.is_active() => format!("{} (suspect)", self.state),
            None => self.state.clone(),
        }
    }

    /// Whether it is polled at all.
    pub fn is_active(&self) -> bool {
        self.state == SubredditState::Active.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shown_once_something_was_seen_or_nothing_was_for_an_hour() {
        let of = |posts_per_hour: f64, watched_for: i64| {
            let row = serde_json::json!({
                "name": "rust", "state": "active", "reason": null, "added_at": 1_000,
                "covered_until": null, "last_complete_at": null, "seen_until": null,
                "last_submission_at": null, "submissions": 0, "posts_per_hour": posts_per_hour,
                "open_gaps": 0,
            });
            let row: SubredditStatus = serde_json::from_value(row).unwrap();
            row.hourly(1_000 + watched_for)
        };
        assert_eq!(of(0.0, 20), None);
        assert_eq!(of(7.5, 20), Some(7.5));
        assert_eq!(of(0.0, 3_600), Some(0.0));
    }
}
