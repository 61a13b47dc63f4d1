//! Gauges that describe the service rather than this process: read from the database and the queue
//! now and then. A label that empties is set to zero or goes, so none reports the past for ever.

use super::clock::Clock;
use super::disks::Disks;
use super::status::Live;
use super::summary::Summary;
use crate::liveness::{CALL, HOWEVER_LONG, Progress};
use crate::metrics::{MOST_LABELS, Metrics};
use crate::queue::{Depth, Queue};
use crate::store::{Store, StoreError, Subreddit, SubredditState};
use prometheus::core::{Atomic, Collector, GenericGaugeVec};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);
/// What waits for later, what is set aside and slices are counted row by row, so less often.
const COUNT_EVERY: u32 = 5;
/// A queue that was empty is looked at less often, too.
const EMPTY_EVERY: u32 = 2;
/// A long watched list is read this many rows a turn, on the average, but every half minute.
const ROWS_A_TURN: usize = 200;
const LIST_EVERY: usize = 15;
const QUEUE: &str = "fetch";
/// Rows of the watched list that are read at once.
const PART: u32 = 1_000;

/// What sampling needs.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// The watched list, gaps, the backlog.
    pub store: Store,
    /// Waiting and running jobs.
    pub queue: Queue,
    /// Whether the source is the simulated Reddit.
    pub live: Arc<Live>,
    /// Whose free space is measured.
    pub folders: Vec<PathBuf>,
    /// How often the log sums up what this process did; zero for never.
    pub summary_every: Duration,
    /// Where the numbers go.
    pub metrics: Arc<Metrics>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Where it says that it gets on: its turns end.
    pub progress: Progress,
}

/// Samples until told to stop.
pub async fn sample(gauges: Gauges, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn: u32 = 0;
    let mut empty = false;
    let mut listed = Listed::default();
    let mut clock = Clock::default();
    let mut disks = Disks::new(gauges.folders.clone());
    let mut summary = Summary::new(gauges.summary_every);
    loop {
        let waits = async {
            tokio::select! { () = stop.cancelled() => true, _ = tick.tick() => false }
        };
        let stopping = gauges.progress.during(HOWEVER_LONG, waits).await;
        if stopping {
            return;
        }
        let count = turn.is_multiple_of(COUNT_EVERY);
        gauges.progress.made();
        disks.look(&gauges.metrics).await;
        if count {
            let look = clock.look(&gauges.store, gauges.now_ms, &gauges.metrics);
            if let Err(error) = gauges.progress.during(CALL, look).await {
                tracing::debug!(%error, "The clocks could not be compared");
            }
            gauges.progress.made();
        }
        let turning = gauges.turn(count, &mut listed);
        gauges.progress.during(CALL, turning).await;
        gauges.progress.made();
        if !empty || turn.is_multiple_of(EMPTY_EVERY) {
            match gauges.progress.during(CALL, gauges.queue()).await {
                Ok(depth) => empty = depth == Depth::default(),
                Err(error) => tracing::debug!(%error, "The queue could not be sampled"),
            }
        }
        gauges.progress.made();
        summary.log_if_due(&gauges.metrics);
        turn = turn.wrapping_add(1);
    }
}

/// When the watched list is read again.
#[derive(Default)]
struct Listed {
    turns_left: usize,
}

impl Listed {
    fn is_due(&mut self) -> bool {
        let due = self.turns_left == 0;
        self.turns_left = self.turns_left.saturating_sub(1);
        due
    }

    fn read(&mut self, rows: usize) {
        self.turns_left = (rows / ROWS_A_TURN).clamp(1, LIST_EVERY) - 1;
    }
}

impl Gauges {
    async fn turn(&self, count: bool, listed: &mut Listed) {
        if let Err(error) = self.simulated().await {
            tracing::debug!(%error, "The source could not be sampled");
        }
        self.progress.made();
        if listed.is_due() {
            match self.subreddits().await {
                Ok(rows) => listed.read(rows),
                Err(error) => tracing::debug!(%error, "The watched list could not be sampled"),
            }
        }
        // Also where it failed: what it reads is away, and each may take as long to find that out.
        self.progress.made();
        if let Err(error) = self.heartbeats().await {
            tracing::debug!(%error, "The heartbeats could not be sampled");
        }
        self.progress.made();
        if count && let Err(error) = self.backlog().await {
            tracing::debug!(%error, "The backlog could not be sampled");
        }
        self.progress.made();
        if count && let Err(error) = self.backfills().await {
            tracing::debug!(%error, "The backfills could not be sampled");
        }
    }

    /// What asks the source nothing has it from the database, where others note it.
    async fn simulated(&self) -> Result<(), StoreError> {
        let simulated = self.live.simulated() || self.store.is_simulated().await?;
        let gauge = &self.metrics.api.simulated;
        gauge
            .with_label_values(&["reddit"])
            .set(i64::from(simulated));
        Ok(())
    }

    /// The watched list: states, gaps, newest complete polls, and the bound on labels. How many rows it
    /// has.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn subreddits(&self) -> Result<usize, StoreError> {
        let (own, others, counts) = self.watched().await?;
        let discover = &self.metrics.discover;
        for (state, count) in &counts {
            let gauge = discover.subreddits.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(*count).unwrap_or(0));
        }
        let mut names: HashSet<&str> = own.iter().map(|it| it.name.as_str()).collect();
        names.extend(others.iter().map(|it| it.name.as_str()));
        remove_others(&discover.open_gaps, &names);
        remove_others(&discover.last_complete_poll, &names);
        for subreddit in own.iter().chain(&others) {
            let label = &[subreddit.name.as_str()];
            discover
                .open_gaps
                .with_label_values(label)
                .set(subreddit.open_gaps);
            // Series that exist from the start let a rate see their first step.
            discover.submissions.with_label_values(label).inc_by(0);
            discover.late.with_label_values(label).inc_by(0);
            let unavailable = &self.metrics.ingest.unavailable;
            unavailable.with_label_values(label).inc_by(0);
            if let Some(complete) = subreddit.last_complete_at {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "seconds of this era are exact in f64"
                )]
                discover
                    .last_complete_poll
                    .with_label_values(label)
                    .set(complete as f64);
            }
        }
        Ok(counts.iter().map(|(_, count)| count).sum())
    }

    /// What is shown of the list: those with labels of their own, the others together (none where each has
    /// one), and how many are in each state. A long list is never held whole.
    async fn watched(
        &self,
    ) -> Result<(Vec<Sample>, Option<Sample>, [(SubredditState, usize); 3]), StoreError> {
        let reading = self.metrics.watched.read();
        let mut own: BTreeMap<(i64, String), Sample> = BTreeMap::new();
        let mut others: Option<Sample> = None;
        let mut counts = [
            SubredditState::Active,
            SubredditState::Paused,
            SubredditState::Unavailable,
        ]
        .map(|state| (state, 0));
        let mut last = String::new();
        loop {
            let part = self.store.subreddits_after(&last, PART).await?;
            reading.take(part.iter().map(|row| (row.name.as_str(), row.added_at)));
            let is_last = part.len() < PART as usize;
            for row in part {
                for (state, count) in &mut counts {
                    *count += usize::from(*state == row.state);
                }
                last = row.name.to_string();
                own.insert((row.added_at, last.clone()), Sample::from(row));
                if own.len() > MOST_LABELS
                    && let Some((_, more)) = own.pop_last()
                {
                    others.get_or_insert_with(Sample::of_others).add(&more);
                }
            }
            if is_last {
                reading.end();
                return Ok((own.into_values().collect(), others, counts));
            }
        }
    }

    async fn heartbeats(&self) -> Result<(), StoreError> {
        for beat in self.store.heartbeats().await? {
            let label = &[beat.path.as_str()];
            let (sent, took) = (&self.metrics.heartbeat, &self.metrics.heartbeat_seconds);
            sent.with_label_values(label).set(seconds(beat.sent_ms));
            let way_ms = beat.done_ms.saturating_sub(beat.sent_ms);
            took.with_label_values(label).set(seconds(way_ms));
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<(), StoreError> {
        let now_ms = (self.now_ms)();
        let counts = self.store.fetch_counts(now_ms).await?;
        for (state, count) in [
            ("backlog", counts.backlog),
            ("deferred", counts.deferred),
            ("dead", counts.dead),
        ] {
            self.metrics
                .queue
                .jobs
                .with_label_values(&[QUEUE, state])
                .set(count);
        }
        self.oldest("backlog", self.store.oldest_due(now_ms).await?);
        let totals = self.store.totals().await?;
        for (status, count) in [
            ("discovered", totals.discovered),
            ("fetched", totals.fetched),
            ("unavailable", totals.unavailable),
        ] {
            let submissions = &self.metrics.ingest.submissions;
            submissions.with_label_values(&[status]).set(count);
        }
        Ok(())
    }

    async fn backfills(&self) -> Result<(), StoreError> {
        let counts = self.store.count_backfills((self.now_ms)()).await?;
        let backfill = &self.metrics.backfill;
        for (state, count) in [("running", counts.running), ("paused", counts.paused)] {
            backfill.open.with_label_values(&[state]).set(count);
        }
        for (state, count) in [
            ("waiting", counts.waiting),
            ("later", counts.later),
            ("active", counts.active),
            ("failed", counts.failed),
        ] {
            backfill.slices.with_label_values(&[state]).set(count);
        }
        Ok(())
    }

    fn oldest(&self, state: &str, since_ms: Option<i64>) {
        let gauge = &self.metrics.queue.oldest;
        gauge
            .with_label_values(&[QUEUE, state])
            .set(seconds(since_ms.unwrap_or(0)));
    }

    async fn queue(&self) -> Result<Depth, crate::queue::QueueError> {
        let depth = self.queue.depth().await?;
        for (state, count) in [("waiting", depth.waiting), ("running", depth.running)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics
                .queue
                .jobs
                .with_label_values(&[QUEUE, state])
                .set(count);
        }
        let oldest = match depth.waiting {
            0 => None,
            _ => self.queue.oldest_waiting().await?,
        };
        self.oldest("waiting", oldest);
        let workers = self.queue.workers().await?;
        self.metrics
            .queue
            .workers
            .set(i64::try_from(workers).unwrap_or(i64::MAX));
        Ok(depth)
    }
}

/// What is shown of one subreddit.
struct Sample {
    name: String,
    state: SubredditState,
    last_complete_at: Option<i64>,
    open_gaps: i64,
}

impl From<Subreddit> for Sample {
    fn from(row: Subreddit) -> Sample {
        Sample {
            name: row.name.to_string(),
            state: row.state,
            last_complete_at: row.last_complete_at,
            open_gaps: row.open_gaps,
        }
    }
}

impl Sample {
    /// What is shown of those without labels of their own: all their gaps, and the poll of the one that
    /// is behind the others.
    fn of_others() -> Sample {
        Sample {
            name: "other".to_owned(),
            state: SubredditState::Active,
            last_complete_at: None,
            open_gaps: 0,
        }
    }

    fn add(&mut self, more: &Sample) {
        self.open_gaps += more.open_gaps;
        if more.state == SubredditState::Active {
            let both = self
                .last_complete_at
                .into_iter()
                .chain(more.last_complete_at);
            self.last_complete_at = both.min();
        }
    }
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(ms.max(0).unsigned_abs()).as_secs_f64()
}

/// Removes the series of subreddits that are watched no longer, one by one: a scrape that comes at
/// the same time misses none of the others.
fn remove_others<P: Atomic>(gauge: &GenericGaugeVec<P>, names: &HashSet<&str>) {
    for family in gauge.collect() {
        for series in family.get_metric() {
            for label in series.get_label() {
                if !names.contains(label.value()) {
                    // It may have gone meanwhile.
                    let _ = gauge.remove_label_values(&[label.value()]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_watched_list_is_read_less_often() {
        for (rows, wanted) in [(0, 1), (10, 1), (399, 1), (1_000, 5), (40_000, 15)] {
            let mut listed = Listed::default();
            let mut reads = 0;
            for _ in 0..150 {
                if listed.is_due() {
                    listed.read(rows);
                    reads += 1;
                }
            }
            assert_eq!(150 / reads, wanted, "{rows}");
        }
    }
}
