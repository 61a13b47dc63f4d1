//! The parts that bring in the past: in every process that runs, and by themselves for one command.

use super::open::unusable;
use super::probes::{self, Probes};
use super::signals::Stop;
use super::stages::Stages;
use super::unmixed::Unmixed;
use super::{connect_reddit, now_ms};
use crate::backfill::{
    self, Backfiller, Horizon, IdRepairs, PATIENCE, Repair, SliceHandler, Unstored,
};
use crate::config::{Config, display_url};
use crate::dependency::{Dependency, Fault, Service};
use crate::discover::{self, Discover};
use crate::feed::{self, Backlog, Feed, Fetches, Slices};
use crate::liveness::Progress;
use crate::metrics::Metrics;
use crate::queue::{Queue, WorkOptions};
use crate::source::{ArcticShift, ArcticShiftOptions, Budget, Reddit};
use crate::store::{Backfill, BackfillFilter, BackfillState, Store, StoreError};
use anyhow::{Context, anyhow, bail};
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The name of the queue that carries slices: the prefix of its keys.
pub(super) const QUEUE_NAME: &str = "freshet-backfill";
/// A slice that another process hands out may wait as long: it takes minutes.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Slices that one process brings in at once: far more than one archive should be asked for.
const CONCURRENCY: usize = 16;
/// Slices that wait in the queue at most.
const MAX_WAITING: u32 = 64;
/// A net below the slice's own turn, and the longest wait for one answer.
const SLICE_LIMIT: Duration = Duration::from_secs(300);
/// What the archive's budget is called where processes share it.
const BUDGET: &str = "arctic-shift";
/// How often somebody who waits for a backfill looks at it.
const LOOK: Duration = Duration::from_millis(200);
/// Nobody waits for longer for what can only be asked for again then, milliseconds.
const LONG_MS: i64 = 15_000;
/// What lasts shorter is not worth a word.
const NO_MOMENT: Duration = Duration::from_secs(2);

/// The archive, with the budget that all processes share which share a Redis.
///
/// # Errors
/// A configuration that cannot work.
pub fn connect_archive(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<ArcticShift> {
    let settings = &config.arctic_shift;
    let budget = if config.shares_queue() {
        Budget::shared(config.queue_address(), BUDGET, settings.requests_per_minute)
            .context("the archive's rate budget cannot be shared through Redis (queue.url)")?
    } else {
        Budget::local(settings.requests_per_minute)
    };
    let mut options =
        ArcticShiftOptions::new(settings.url.clone(), config.reddit.user_agent.clone());
    options.network = config.network.clone();
    ArcticShift::new(options, budget, Arc::clone(metrics))
        .context("the section arctic_shift of the configuration")
}

/// Connects to the queue that carries slices.
///
/// # Errors
/// Where it does not answer.
pub(super) async fn open_slice_queue(
    config: &Config,
    dependency: Option<&Dependency>,
) -> anyhow::Result<Queue> {
    let url = config.queue.url.expose_secret();
    let dependency = dependency.cloned();
    let dependency = dependency.unwrap_or_else(|| Dependency::new(Service::Queue));
    let connected = Queue::connect_as(&config.queue_address(), QUEUE_NAME, dependency).await;
    connected.map_err(|error| match error {
        crate::queue::QueueError::Url(problem) => unusable("queue.url", problem),
        error => anyhow!(error).context(format!(
            "the queue at {} (queue.url) cannot be opened",
            display_url(url)
        )),
    })
}

/// What the parts share.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) metrics: Arc<Metrics>,
    pub(super) holder: String,
    /// Rung when slices may be fed.
    pub(super) work: Arc<Notify>,
    pub(super) stop: CancellationToken,
    /// Who is asked how far it has come, before gaps are sent to it.
    pub(super) archive: Option<ArcticShift>,
    /// How far it has come.
    pub(super) horizon: Arc<Horizon>,
}

impl Parts {
    /// Hands slices out, and sends gaps to the archive where that is wished for.
    pub(super) fn start_feeding(
        &self,
        stages: &mut Stages,
        repairs: bool,
        yields_to: Option<&'static str>,
        progress: impl Fn(&'static str) -> Progress,
    ) {
        let feed = Feed {
            backlog: Slices(self.store.clone()),
            store: self.store.clone(),
            queue: self.queue.clone(),
            max_waiting: MAX_WAITING,
            holder: self.holder.clone(),
            yields_to,
            work: Arc::clone(&self.work),
            progress: progress("feed_slices"),
        };
        let stop = self.stop.clone();
        stages.add("feed slices", async move {
            feed::run(feed, now_ms, stop).await;
            Ok(())
        });
        if let Some(archive) = self.archive.clone().filter(|_| repairs) {
            let repair = Repair {
                store: self.store.clone(),
                archive,
                horizon: Arc::clone(&self.horizon),
                holder: self.holder.clone(),
                work: Arc::clone(&self.work),
                now_ms,
                progress: progress("repair_from_archive"),
            };
            let stop = self.stop.clone();
            stages.add("repair from the archive", async move {
                backfill::repair(repair, stop).await;
                Ok(())
            });
        }
    }

    /// Repairs gaps by ids, where those are dense.
    pub(super) fn start_id_repairs(&self, stages: &mut Stages, discover: Discover) {
        let repairs = IdRepairs {
            discover,
            work: Arc::clone(&self.work),
        };
        let stop = self.stop.clone();
        stages.add("repair by ids", async move {
            backfill::repair_by_ids(repairs, stop).await;
            Ok(())
        });
    }

    /// Brings slices in.
    pub(super) fn start_working(
        &self,
        stages: &mut Stages,
        archive: ArcticShift,
        discover: Option<Discover>,
        progress: Progress,
        unstored: &Arc<Unstored>,
    ) {
        let handler = Arc::new(SliceHandler::new(Backfiller {
            archive,
            discover,
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            holder: self.holder.clone(),
            work: Arc::clone(&self.work),
            now_ms,
            progress: progress.clone(),
            stop: self.stop.clone(),
            horizon: Arc::clone(&self.horizon),
            unstored: Arc::clone(unstored),
        }));
        let options = WorkOptions {
            concurrency: CONCURRENCY,
            job_timeout: SLICE_LIMIT,
            idle_interval: IDLE_LOOK,
            progress,
            ..WorkOptions::default()
        };
        let (queue, metrics, stop) = (
            self.queue.clone(),
            Arc::clone(&self.metrics),
            self.stop.clone(),
        );
        stages.add("bring slices in", async move {
            let worked = queue.work(options, handler, metrics, stop).await;
            worked.context("the workers of slices ended")
        });
    }

    /// Walks listings for backfills.
    pub(super) fn discover(&self, config: &Config, reddit: Reddit, progress: Progress) -> Discover {
        Discover {
            reddit,
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            config: config.discover.clone(),
            holder: self.holder.clone(),
            work: Arc::default(),
            failing_ids: Arc::default(),
            now_ms,
            progress,
        }
    }
}

/// Does a backfill in this process, beside others that run, and shows it to `told` now and then; as it
/// is once nothing of it is left to do, or none where a signal came first.
///
/// # Errors
/// Where database or queue cannot be had, a part of it fails, or nothing could be stored for
/// [`PATIENCE`].
pub async fn run_backfill(
    config: &Config,
    store: &Store,
    archive: ArcticShift,
    unmixed: &Unmixed,
    metrics: &Arc<Metrics>,
    id: i64,
    mut told: impl FnMut(&Backfill),
) -> anyhow::Result<Option<Backfill>> {
    let mut signals = Stop::listen().context("signals cannot be listened for")?;
    let stop = CancellationToken::new();
    let parts = Parts {
        store: store.clone(),
        queue: open_slice_queue(config, None).await?,
        metrics: Arc::clone(metrics),
        holder: format!("backfill-{}", uuid::Uuid::new_v4()),
        work: Arc::default(),
        stop: stop.clone(),
        archive: None,
        horizon: Arc::default(),
    };
    let reddit = match &config.reddit.client {
        Some(_) => Some(connect_reddit(config, metrics).await?),
        None => None,
    };
    unmixed.guard(reddit.as_ref(), Some(&archive));
    let queue = &parts.queue;
    let probes = Probes::new(
        store,
        queue,
        reddit.as_ref(),
        Some(&archive),
        "backfill",
        true,
    );
    let discover = reddit.map(|it| parts.discover(config, it, Progress::unwatched()));
    let mut stages = Stages::default();
    let metrics = Arc::clone(metrics);
    stages.add(
        "dependencies",
        probes::run(probes, metrics, now_ms, stop.clone()),
    );
    // A service that runs does this backfill with all others.
    let service = Some(Fetches::LEASE);
    parts.start_feeding(&mut stages, false, service, |_| Progress::unwatched());
    let unstored = Arc::default();
    parts.start_working(
        &mut stages,
        archive,
        discover,
        Progress::unwatched(),
        &unstored,
    );
    let end = tokio::select! {
        over = until_over(store, id, &unstored, &mut told) => over.map(Some),
        () = signals.next() => Ok(None),
        failure = stages.first_failure() => Err(failure),
        refused = unmixed.clone().refused() => Err(refused),
    };
    stop.cancel();
    tokio::select! {
        _ = stages.all_ended() => {}
        () = tokio::time::sleep(config.shutdown.grace) => {}
        () = signals.next() => {}
    }
    end
}

/// Whether Reddit's ids are dense, so that all of a time can be asked for.
///
/// # Errors
/// Where Reddit or the database does not answer.
pub async fn ids_are_dense(
    config: &Config,
    store: &Store,
    unmixed: &Unmixed,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<bool> {
    let reddit = connect_reddit(config, metrics).await?;
    unmixed.guard(Some(&reddit), None);
    let discover = Discover {
        reddit,
        store: store.clone(),
        metrics: Arc::clone(metrics),
        config: config.discover.clone(),
        holder: String::new(),
        work: Arc::default(),
        failing_ids: Arc::default(),
        now_ms,
        progress: Progress::unwatched(),
    };
    let dense = discover::ids_are_dense(&discover);
    let dense = async { dense.await.context("whether Reddit's ids are dense") };
    unmixed.unless_refused(dense).await
}

async fn until_over(
    store: &Store,
    id: i64,
    unstored: &Unstored,
    told: &mut impl FnMut(&Backfill),
) -> anyhow::Result<Backfill> {
    let mut look = tokio::time::interval(LOOK);
    // Not since the last answer: this process may have been stopped in between.
    let mut asked: Option<Instant> = None;
    let mut away = format!("no answer. {}", Fault::PostgresUnreachable.steps());
    loop {
        look.tick().await;
        let trouble = unstored.trouble();
        if let Some(trouble) = trouble.as_ref().filter(|it| it.lasts() >= PATIENCE) {
            return Err(given_up("takes nothing", &trouble.text));
        }
        let waited = asked.get_or_insert_with(Instant::now).elapsed();
        let patience = PATIENCE.saturating_sub(waited);
        let mut backfill = match timeout(patience, read_backfill(store, id)).await {
            Ok(Ok(backfill)) => backfill,
            Ok(Err(error)) => match error.downcast_ref::<StoreError>() {
                // The parts wait for it too.
                Some(told) if told.is_unavailable() => {
                    away = told.advised();
                    continue;
                }
                _ => return Err(error),
            },
            Err(_) => return Err(given_up("does not answer", &away)),
        };
        asked = None;
        if backfill.state()? != BackfillState::Running || waits_for_long(store, &backfill).await {
            return Ok(backfill);
        }
        if let Some(trouble) = trouble.filter(|it| it.lasts() >= NO_MOMENT) {
            backfill.trouble = Some(trouble.text);
        }
        told(&backfill);
    }
}

/// Whether all that is left of it waits for ids that may appear late, which takes hours.
async fn waits_for_long(store: &Store, backfill: &Backfill) -> bool {
    if backfill.source != backfill::IDS || backfill.slices_active > 0 {
        return false;
    }
    match store.waits_until(backfill.id).await {
        Ok(until_ms) => until_ms.is_some_and(|until_ms| until_ms > now_ms() + LONG_MS),
        // The next look tells.
        Err(_) => false,
    }
}

fn given_up(what: &str, why: &str) -> anyhow::Error {
    anyhow!(
        "for {} s the database {what}: {why}\n  What was stored before stays, and the same command goes \
         on from there.",
        PATIENCE.as_secs()
    )
}

/// A backfill by its number.
///
/// # Errors
/// Where there is none, or the database does not answer.
pub async fn read_backfill(store: &Store, id: i64) -> anyhow::Result<Backfill> {
    let filter = BackfillFilter {
        id: Some(id),
        ..BackfillFilter::default()
    };
    match store.backfills(filter, 1, now_ms()).await?.pop() {
        Some(backfill) => Ok(backfill),
        None => bail!("there is no backfill {id}; see: freshet backfill list"),
    }
}
