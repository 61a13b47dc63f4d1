//! The stages of the roles that run here, and their ends.

use super::backfills::Parts;
use crate::config::{Config, IdScan};
use crate::discover::{self, Discover, IdScanOptions};
use crate::feed::{self, Feed, Fetches};
use crate::ingest::{Company, FetchHandler, Ingest};
use crate::liveness::Liveness;
use crate::observe::{Gauges, Health, sample};
use crate::queue::{Queue, WorkOptions};
use crate::source::{ArcticShift, Reddit};
use crate::store::Store;
use anyhow::{Context, anyhow};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Finished windows older than this are pruned; what they proved stays in the coverage.
const WINDOWS_KEPT: Duration = Duration::from_secs(30 * 86_400);
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// A net below the limits that each step of a job has of its own: waiting for a turn, the request and
/// a token for it, each of a few transactions. One after another they may take two minutes, and as
/// long again while all requests are taken.
const JOB_LIMIT: Duration = Duration::from_secs(300);

/// A part of the pipeline that can run in a process of its own. Each process serves HTTP too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Finds submissions and feeds the queue.
    Scheduler,
    /// Fetches and stores submissions.
    Worker,
    /// Serves status and service-wide metrics.
    Http,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Scheduler, Role::Worker, Role::Http];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Scheduler => "scheduler",
            Role::Worker => "worker",
            Role::Http => "http",
        }
    }

    /// Whether it asks Reddit anything, and so needs a key.
    pub fn asks_reddit(self) -> bool {
        matches!(self, Role::Scheduler | Role::Worker)
    }
}

/// What runs.
#[derive(Debug, Default)]
pub(super) struct Stages(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Stages {
    /// Starts the stages of these roles; those that ask Reddit need it.
    pub(super) fn start(
        &mut self,
        config: &Config,
        roles: &[Role],
        health: &Arc<Health>,
        reddit: Option<Reddit>,
        stop: &CancellationToken,
    ) {
        let (store, queue, metrics) = (&health.store, &health.queue, &health.metrics);
        let (now_ms, liveness) = (health.now_ms, &health.liveness);
        let gauges = Gauges {
            store: store.clone(),
            queue: queue.clone(),
            live: Arc::clone(&health.live),
            folders: folders(config, store, queue),
            summary_every: config.monitoring.summary_every,
            metrics: Arc::clone(metrics),
            now_ms,
            progress: liveness.part(Role::Http.as_str(), "gauges"),
        };
        self.add("gauges", gauges_stage(gauges, stop.clone()));
        let Some(reddit) = reddit else { return };
        if roles.contains(&Role::Scheduler) {
            let holder = format!("scheduler-{}", uuid::Uuid::new_v4());
            let work = Arc::new(Notify::new());
            let discover = Discover {
                reddit: reddit.clone(),
                store: store.clone(),
                metrics: Arc::clone(metrics),
                config: config.discover.clone(),
                holder: holder.clone(),
                work: Arc::clone(&work),
                failing_ids: Arc::default(),
                now_ms,
                progress: liveness.part(Role::Scheduler.as_str(), "discover"),
            };
            let feed = Feed {
                backlog: Fetches(store.clone()),
                store: store.clone(),
                queue: queue.clone(),
                max_waiting: config.queue.max_waiting,
                holder,
                yields_to: None,
                work,
                progress: liveness.part(Role::Scheduler.as_str(), "feed"),
            };
            let watched = |part| Discover {
                progress: liveness.part(Role::Scheduler.as_str(), part),
                ..discover.clone()
            };
            let (sweeper, stopping) = (watched("sweep"), stop.clone());
            self.add("sweep", async move {
                discover::sweep(sweeper, stopping).await;
                Ok(())
            });
            let (repairer, stopping) = (watched("repair"), stop.clone());
            self.add("repair", async move {
                discover::repair(repairer, stopping).await;
                Ok(())
            });
            let (live, stopping) = (watched("live"), stop.clone());
            self.add("live", async move {
                discover::live(live, stopping).await;
                Ok(())
            });
            if config.discover.id_scan != IdScan::Off {
                let (scanner, stopping) = (watched("id_scan"), stop.clone());
                self.add("id_scan", async move {
                    discover::id_scan(scanner, IdScanOptions::default(), stopping).await;
                    Ok(())
                });
            }
            let stopping = stop.clone();
            self.add("discover", async move {
                discover::run(discover, stopping).await;
                Ok(())
            });
            let stopping = stop.clone();
            self.add("feed", async move {
                feed::run(feed, now_ms, stopping).await;
                Ok(())
            });
            self.add("prune", prune(store.clone(), now_ms, stop.clone()));
        }
        if roles.contains(&Role::Worker) {
            let progress = liveness.part(Role::Worker.as_str(), "jobs");
            let unique = uuid::Uuid::new_v4().simple().to_string();
            let holder = format!("worker-{}-{unique:.8}", std::process::id());
            tracing::info!(holder, "This worker's name in the history of jobs");
            let (company, gathering) = Company::new(config.fetch.concurrency);
            let ingest = Ingest {
                reddit,
                store: store.clone(),
                metrics: Arc::clone(metrics),
                now_ms,
                progress: progress.clone(),
                holder,
            };
            let handler = Arc::new(FetchHandler::new(ingest.clone(), company));
            let options = WorkOptions {
                concurrency: config.fetch.concurrency,
                job_timeout: JOB_LIMIT,
                progress,
                ..WorkOptions::default()
            };
            let metrics = Arc::clone(metrics);
            let (queue, stopping) = (queue.clone(), stop.clone());
            self.add("work", async move {
                let worked = queue.work(options, handler, metrics, stopping).await;
                worked.context("the workers ended")
            });
            // Ends once the workers have dropped their handles to the company.
            let draining = stop.clone();
            self.add("fetch", async move {
                gathering.run(ingest, draining).await;
                Ok(())
            });
        }
    }

    /// Starts the parts that bring in the past.
    pub(super) fn start_past(
        &mut self,
        config: &Config,
        roles: &[Role],
        past: &Parts,
        archive: ArcticShift,
        reddit: &Reddit,
        liveness: &Liveness,
    ) {
        if roles.contains(&Role::Scheduler) {
            let progress = |part| liveness.part(Role::Scheduler.as_str(), part);
            past.start_feeding(self, config.discover.repair_from_archive, None, progress);
            if config.discover.id_scan != IdScan::Off {
                let discover = past.discover(config, reddit.clone(), progress("repair_by_ids"));
                past.start_id_repairs(self, discover);
            }
        }
        if roles.contains(&Role::Worker) {
            let progress = liveness.part(Role::Worker.as_str(), "slices");
            let discover = past.discover(config, reddit.clone(), progress.clone());
            past.start_working(self, archive, Some(discover), progress, &Arc::default());
        }
    }

    pub(super) fn add(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0.spawn(async move { (name, stage.await) });
    }

    /// A stage that ended though nobody told it to.
    pub(super) async fn first_failure(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok((name, Err(error)))) => error.context(format!("the stage {name} failed")),
            Some(Ok((name, Ok(())))) => anyhow!("the stage {name} ended by itself"),
            Some(Err(error)) => anyhow!(error).context("a stage panicked"),
            None => anyhow!("no stage is running"),
        }
    }

    /// Waits for all; the first failure among them.
    pub(super) async fn all_ended(&mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let ended = match ended {
                Ok((name, ended)) => {
                    ended.with_context(|| format!("the stage {name} failed while stopping"))
                }
                Err(error) => Err(anyhow!(error).context("a stage panicked while stopping")),
            };
            result = result.and(ended);
        }
        result
    }
}

/// Those whose file systems this service fills, as far as this machine has them.
fn folders(config: &Config, store: &Store, queue: &Queue) -> Vec<PathBuf> {
    let files = [store.folder(), queue.folder()].into_iter().flatten();
    files.chain(config.monitoring.folders.clone()).collect()
}

async fn gauges_stage(gauges: Gauges, stop: CancellationToken) -> anyhow::Result<()> {
    sample(gauges, stop).await;
    Ok(())
}

/// Keeps the journal of polls from growing for ever.
async fn prune(
    store: crate::store::Store,
    now_ms: fn() -> i64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let kept = i64::try_from(WINDOWS_KEPT.as_secs()).unwrap_or(i64::MAX);
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! { () = stop.cancelled() => return Ok(()), _ = tick.tick() => {} }
        match store.prune(now_ms() / 1000 - kept).await {
            Ok(0) => {}
            Ok(windows) => tracing::info!(
                windows,
                "Old poll windows were pruned; their coverage stays"
            ),
            Err(error) => tracing::debug!(%error, "Old poll windows could not be pruned"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JOB_LIMIT;
    use crate::metrics::Metrics;

    #[test]
    fn jobs_are_counted_up_to_as_long_as_they_may_run() {
        let metrics = Metrics::new();
        let run_seconds = &metrics.queue.run_seconds;
        run_seconds.with_label_values(&["fetch"]).observe(0.0);
        let families = metrics.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "freshet_job_run_seconds");
        let buckets = family.unwrap().get_metric()[0].get_histogram().get_bucket();
        let bounds = buckets.iter().map(prometheus::proto::Bucket::upper_bound);
        let widest = bounds.filter(|bound| bound.is_finite()).fold(0.0, f64::max);
        assert!(widest >= JOB_LIMIT.as_secs_f64(), "{widest}");
    }
}
