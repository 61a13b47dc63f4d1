//! Keeps a queue topped up from the database, and rebuilds it when it lost jobs: the fetches, and the
//! slices of backfills.
//!
//! The database is the truth, the queue a small buffer. One process at a time feeds (a lease in the
//! database says which), so the bound on waiting jobs holds however many schedulers run: but for one
//! that stands still, while it tops up, for longer than its lease lasts. What it had found room for
//! then comes on top, once. What was handed to the queue and is neither waiting nor running there
//! after a while has been lost — the queue was wiped, or restored from an older state — and is fed
//! again.

mod background;

use crate::liveness::{CALL, Progress};
use crate::queue::{Depth, Queue, QueueError, SliceId, Work};
use crate::store::{Store, StoreError};
use crate::submission::SubmissionId;
use background::Background;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const LEASE_MS: i64 = 6_000;
const LEASE: Duration = Duration::from_millis(LEASE_MS.unsigned_abs());
/// After a fault of the queue: long enough that another, who may reach it, takes the lease.
const STANDS_BACK: Duration = Duration::from_secs(6);
const LEASE_RENEWAL: Duration = Duration::from_secs(2);
/// A look at the database and the queue when nothing hints at new work.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// While work is waiting, the queue is topped up this often.
const BUSY_LOOK: Duration = Duration::from_millis(25);
/// While only work of lower priority is waiting, for jobs that wait or run to end.
const FULL_LOOK: Duration = Duration::from_millis(50);
/// How often jobs are looked for that the queue lost or the clock delays, and how long one must have
/// been handed over.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);
const RECONCILE_AFTER_MS: i64 = 10_000;
const RECONCILE_MOST: u32 = 10_000;
/// How often a job is sent through the queue that only shows that jobs come through.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
const REAP_EVERY: Duration = Duration::from_secs(1);
/// While the queue is empty: no worker holds a job that would have to be put back.
const REAP_IDLE: Duration = Duration::from_secs(10);
const REAP_MOST: usize = 20_000;

/// What waits in the database for a queue.
pub trait Backlog: Send + Sync {
    /// What its jobs are about.
    type Work: Work;
    /// The lease of the one process that feeds.
    const LEASE: &'static str;
    /// Whether heartbeats are sent through the queue: its workers note them.
    const HEARTBEATS: bool;

    /// Whether any is due; cheaper than to take it out.
    fn is_due(&self, now_ms: i64) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes up to `most` out that are due, those of the first priority before others, of which up to
    /// `background`.
    fn claim(
        &self,
        now_ms: i64,
        most: u32,
        background: u32,
    ) -> impl Future<Output = Result<Vec<Self::Work>, StoreError>> + Send;

    /// Puts back what the queue has lost; how many were fed.
    fn unfeed(&self, works: &[Self::Work]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// What was handed over before a moment (milliseconds) and is not finished.
    fn fed_before(
        &self,
        before_ms: i64,
        most: u32,
    ) -> impl Future<Output = Result<Vec<Self::Work>, StoreError>> + Send;

    /// Times anew what waits by a clock that is ahead of this one; how many.
    fn retime(
        &self,
        now_ms: i64,
        most: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// Submissions to fetch.
#[derive(Debug, Clone)]
pub struct Fetches(pub Store);

impl Backlog for Fetches {
    type Work = SubmissionId;
    const LEASE: &'static str = "feed";
    const HEARTBEATS: bool = true;

    async fn is_due(&self, now_ms: i64) -> Result<bool, StoreError> {
        Ok(self.0.oldest_due(now_ms).await?.is_some())
    }

    async fn claim(
        &self,
        now_ms: i64,
        most: u32,
        background: u32,
    ) -> Result<Vec<SubmissionId>, StoreError> {
        self.0.claim_live_first(now_ms, most, background).await
    }

    async fn unfeed(&self, ids: &[SubmissionId]) -> Result<u64, StoreError> {
        self.0.unfeed(ids).await
    }

    async fn fed_before(&self, before_ms: i64, most: u32) -> Result<Vec<SubmissionId>, StoreError> {
        self.0.fed_before(before_ms, most).await
    }

    async fn retime(&self, now_ms: i64, most: u32) -> Result<u64, StoreError> {
        self.0.retime_fetches(now_ms, most).await
    }
}

/// Slices of the backfills that run.
#[derive(Debug, Clone)]
pub struct Slices(pub Store);

impl Backlog for Slices {
    type Work = SliceId;
    const LEASE: &'static str = "feed_slices";
    const HEARTBEATS: bool = false;

    async fn is_due(&self, now_ms: i64) -> Result<bool, StoreError> {
        self.0.has_due_slice(now_ms).await
    }

    /// There are no others to wait behind them.
    async fn claim(&self, now_ms: i64, most: u32, _: u32) -> Result<Vec<SliceId>, StoreError> {
        let slices = self.0.claim_slices(now_ms, most).await?;
        Ok(slices.into_iter().map(SliceId).collect())
    }

    async fn unfeed(&self, slices: &[SliceId]) -> Result<u64, StoreError> {
        let slices: Vec<i64> = slices.iter().map(|slice| slice.0).collect();
        self.0.unfeed_slices(&slices).await
    }

    async fn fed_before(&self, before_ms: i64, most: u32) -> Result<Vec<SliceId>, StoreError> {
        let slices = self.0.slices_fed_before(before_ms, most).await?;
        Ok(slices.into_iter().map(SliceId).collect())
    }

    async fn retime(&self, now_ms: i64, _: u32) -> Result<u64, StoreError> {
        self.0.retime_slices(now_ms).await
    }
}

/// What the feeder needs.
#[derive(Debug, Clone)]
pub struct Feed<B> {
    /// The backlog.
    pub backlog: B,
    /// Where the leases are.
    pub store: Store,
    /// The buffer.
    pub queue: Queue,
    /// Jobs waiting in the queue at most.
    pub max_waiting: u32,
    /// Who feeds, unique to this process.
    pub holder: String,
    /// Where the queue is in memory: the lease of those before whom it stands back, who do everything that is due.
    pub yields_to: Option<&'static str>,
    /// Rung when new work was stored in this process.
    pub work: Arc<Notify>,
    /// Where it says that it gets on: its turns end.
    pub progress: Progress,
}

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    #[error("the queue: {0}")]
    Queue(#[from] QueueError),
}

/// Feeds until told to stop.
pub async fn run<B: Backlog>(feed: Feed<B>, now_ms: impl Fn() -> i64, stop: CancellationToken) {
    let mut lease_renewed: Option<Instant> = None;
    let mut stands_back_until: Option<Instant> = None;
    let mut reconciled = Instant::now();
    let mut reaped = Instant::now();
    let mut beaten: Option<Instant> = None;
    let mut failing = false;
    let mut look = tokio::time::interval(IDLE_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backlog = Backlogged::Nothing;
    let mut background = Background::new(Instant::now());
    loop {
        let wait = async {
            match backlog {
                Backlogged::Work => tokio::time::sleep(BUSY_LOOK).await,
                Backlogged::Background => {
                    let full = tokio::time::sleep(FULL_LOOK);
                    tokio::select! { () = full => {} () = feed.work.notified() => {} }
                }
                Backlogged::Nothing | Backlogged::Idle => {
                    tokio::select! { _ = look.tick() => {} () = feed.work.notified() => {} }
                }
            }
        };
        tokio::select! { biased; () = stop.cancelled() => break, () = wait => {} }
        if stands_back_until.is_some_and(|until| Instant::now() < until) {
            feed.progress.made();
            continue;
        }
        let step = || feed.progress.made();
        let turn = async {
            let fed_before = lease_renewed.is_some();
            if yields(&feed, now_ms()).await? {
                feed.queue.fed_here(false);
                if lease_renewed.take().is_some() {
                    release(&feed).await;
                }
                step();
                return Ok(Backlogged::Nothing);
            }
            lease_renewed = renewed(&feed, lease_renewed, &now_ms).await?;
            if !fed_before && lease_renewed.is_some() && feed.queue.dies_with_process() {
                take_over(&feed, now_ms()).await?;
            }
            feed.queue.fed_here(lease_renewed.is_some());
            step();
            if lease_renewed.is_none() {
                return Ok(Backlogged::Nothing);
            }
            if reconciled.elapsed() >= RECONCILE_EVERY {
                // Also where it fails: what hinders it is not to hinder what comes after it for ever.
                reconciled = Instant::now();
                reconcile(&feed, now_ms()).await?;
                step();
            }
            let reap_every = match backlog {
                Backlogged::Idle => REAP_IDLE,
                _ => REAP_EVERY,
            };
            if reaped.elapsed() >= reap_every {
                feed.queue.reap(REAP_MOST).await?;
                reaped = Instant::now();
                step();
            }
            if B::HEARTBEATS && beaten.is_none_or(|at| at.elapsed() >= HEARTBEAT_EVERY) {
                feed.queue.push_heartbeat(now_ms()).await?;
                beaten = Some(Instant::now());
            }
            // What came before may have taken its time.
            lease_renewed = renewed(&feed, lease_renewed, &now_ms).await?;
            if lease_renewed.is_none() {
                return Ok(Backlogged::Nothing);
            }
            let now_ms = now_ms();
            let unexpected = matches!(backlog, Backlogged::Idle | Backlogged::Nothing);
            if unexpected && !feed.backlog.is_due(now_ms).await? {
                return Ok(match backlog {
                    Backlogged::Idle => Backlogged::Idle,
                    _ => Backlogged::nothing(feed.queue.depth().await?),
                });
            }
            top_up(&feed, &mut background, now_ms).await
        };
        let turned = feed.progress.during(CALL, turn).await;
        // Also where it failed: what it needs is away.
        feed.progress.made();
        match turned {
            Ok(left) => {
                // Whoever only sees another feed has learnt nothing.
                if lease_renewed.is_some() && std::mem::take(&mut failing) {
                    tracing::info!("Feeding the queue works again");
                }
                backlog = left;
            }
            Err(error) => {
                let error: FeedError = error;
                let outage = match &error {
                    FeedError::Store(error) => error.is_outage(),
                    FeedError::Queue(error) => error.is_outage(),
                };
                if outage {
                    // Its dependency tells of it, once for all who meet it.
                    tracing::debug!(%error, "The queue cannot be fed: a dependency is failing");
                } else if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "The queue cannot be fed; trying again until it can");
                }
                // Somebody else may feed meanwhile, if only this process is cut off.
                if matches!(error, FeedError::Queue(_)) {
                    stands_back_until = Some(Instant::now() + STANDS_BACK);
                    release(&feed).await;
                }
                lease_renewed = None;
                feed.queue.fed_here(false);
                backlog = Backlogged::Nothing;
            }
        }
    }
    feed.queue.fed_here(false);
    if lease_renewed.is_some() {
        drained(&feed, lease_renewed, &now_ms).await;
        release(&feed).await;
    }
}

/// Whether another has to feed.
async fn yields<B: Backlog>(feed: &Feed<B>, now_ms: i64) -> Result<bool, StoreError> {
    match feed.yields_to {
        Some(lease) if feed.queue.dies_with_process() => feed.store.is_leased(lease, now_ms).await,
        _ => Ok(false),
    }
}

/// Keeps the lease while workers end what was in memory: whoever has it next sees nothing of that.
async fn drained<B: Backlog>(
    feed: &Feed<B>,
    mut lease_renewed: Option<Instant>,
    now_ms: impl Fn() -> i64,
) {
    while feed.queue.dies_with_process()
        && lease_renewed.is_some()
        && feed
            .queue
            .depth()
            .await
            .is_ok_and(|depth| depth.running > 0)
    {
        tokio::time::sleep(FULL_LOOK).await;
        let renewed = renewed(feed, lease_renewed, &now_ms).await;
        lease_renewed = renewed.unwrap_or_default();
        feed.progress.made();
    }
}

/// Since when the lease runs, renewed where that is due; none where another has it, or may have it by
/// the time that the answer comes.
async fn renewed<B: Backlog>(
    feed: &Feed<B>,
    since: Option<Instant>,
    now_ms: impl Fn() -> i64,
) -> Result<Option<Instant>, StoreError> {
    if since.is_some_and(|at| at.elapsed() < LEASE_RENEWAL) {
        return Ok(since);
    }
    // The call may be slow, and the lease runs meanwhile.
    let asked = Instant::now();
    let held = feed
        .store
        .acquire_lease(B::LEASE, &feed.holder, now_ms(), LEASE_MS)
        .await?;
    Ok((held && asked.elapsed() < LEASE).then_some(asked))
}

/// Lets another feed.
async fn release<B: Backlog>(feed: &Feed<B>) {
    let released = feed.store.release_lease(B::LEASE, &feed.holder);
    if let Err(error) = feed.progress.during(CALL, released).await {
        tracing::debug!(%error, "The feeder's lease was left to run out");
    }
}

/// What may wait in the database after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlogged {
    /// Nothing that is due, and nothing in the queue: what comes next is seen in the database.
    Idle,
    /// Nothing that is due.
    Nothing,
    /// Only what has lower priority.
    Background,
    /// Of any priority.
    Work,
}

impl Backlogged {
    /// Where nothing is due and the queue holds so much.
    fn nothing(depth: Depth) -> Backlogged {
        if depth == Depth::default() {
            Backlogged::Idle
        } else {
            Backlogged::Nothing
        }
    }
}

/// Fills the queue up to its bound, and up to what it may hold of lower priority.
async fn top_up<B: Backlog>(
    feed: &Feed<B>,
    background: &mut Background,
    now_ms: i64,
) -> Result<Backlogged, FeedError> {
    let jobs = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let depth = feed.queue.depth().await?;
    let (waiting, running) = (jobs(depth.waiting), jobs(depth.running));
    let below = background.room(waiting, running, Instant::now());
    let room = feed.max_waiting.saturating_sub(waiting);
    if room == 0 {
        return Ok(Backlogged::Work);
    }
    let works = feed.backlog.claim(now_ms, room, below).await?;
    if works.is_empty() {
        return Ok(match below {
            0 => Backlogged::Background,
            _ => Backlogged::nothing(depth),
        });
    }
    if let Err(error) = feed.queue.push(&works, now_ms).await {
        // Whatever part arrived runs all the same; a second copy of it finds its work done.
        feed.backlog.unfeed(&works).await?;
        return Err(error.into());
    }
    background.pushed(works.len());
    let fed = jobs(works.len());
    Ok(if fed >= room.min(below) {
        Backlogged::Work
    } else {
        Backlogged::Nothing
    })
}

/// Feeds again what was handed to the queue of a process that fed before this one.
async fn take_over<B: Backlog>(feed: &Feed<B>, now_ms: i64) -> Result<(), FeedError> {
    let again = feed_lost(feed, now_ms.saturating_add(1)).await?;
    if again > 0 {
        tracing::info!(
            jobs = again,
            "Jobs that another process had in its memory are queued again from the database"
        );
    }
    Ok(())
}

/// Finds what was handed over and is no longer in the queue, and what a clock keeps waiting.
async fn reconcile<B: Backlog>(feed: &Feed<B>, now_ms: i64) -> Result<(), FeedError> {
    let retimed = feed.backlog.retime(now_ms, RECONCILE_MOST).await?;
    if retimed > 0 {
        tracing::warn!(
            jobs = retimed,
            "A clock that was ahead of this one had timed them, this one before it was set back or \
             another machine's; they wait as long as they were to, by this one"
        );
    }
    let again = feed_lost(feed, now_ms - RECONCILE_AFTER_MS).await?;
    if again > 0 {
        tracing::warn!(
            jobs = again,
            "The queue lost jobs; they are queued again from the database"
        );
    }
    Ok(())
}

/// Puts back what was handed over before a moment (milliseconds) and is no longer in the queue; how much.
async fn feed_lost<B: Backlog>(feed: &Feed<B>, before_ms: i64) -> Result<u64, FeedError> {
    let handed_over = feed.backlog.fed_before(before_ms, RECONCILE_MOST).await?;
    if handed_over.is_empty() {
        return Ok(0);
    }
    let lost = feed.queue.absent(&handed_over).await?;
    if lost.is_empty() {
        return Ok(0);
    }
    Ok(feed.backlog.unfeed(&lost).await?)
}
