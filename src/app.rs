//! Puts the stages together, watches over them, and stops them in order.
//!
//! The only module that sees everything. One token stops all: discovery and feeding end first,
//! workers finish what runs, requests in flight are answered, the listener goes last. A stage that
//! ends before it was told to is an error that stops the rest.

mod backfills;
mod doctor;
mod open;
mod probes;
mod secrets;
mod signals;
mod stages;
mod unmixed;

pub use backfills::{connect_archive, ids_are_dense, read_backfill, run_backfill};
pub use doctor::{Check, State, examine};
pub use open::{
    DEMO_DATABASE, open_existing_store, open_queue, open_store, open_store_to_read, reach_queue,
    try_queue,
};
pub use stages::Role;
pub use unmixed::{Unmixed, warn_of_simulation};

use crate::config::Config;
use crate::liveness::{Ending, Limits, Liveness, Stuck, Watch};
use crate::metrics::Metrics;
use crate::observe::{Health, Live, Opening};
use crate::source::{Budget, Login, Reddit, RedditOptions};
use crate::store::{Added, Store};
use crate::submission::SubredditName;
use anyhow::{Context, anyhow, bail};
use futures::FutureExt;
pub use signals::{Stop, survive_file_size_limit};
use stages::Stages;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

/// What a process that ends by itself needs after the grace period, to say so and close its files.
const LEAVING: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// Everything that can be set.
    pub config: Config,
    /// The parts that run in this process.
    pub roles: Vec<Role>,
    /// To be added to the watched list first.
    pub subreddits: Vec<SubredditName>,
}

/// What runs, for whoever shows it.
#[derive(Debug)]
pub struct Running {
    /// Its database, queue and metrics.
    pub health: Arc<Health>,
    /// Where its HTTP server listens.
    pub listen: SocketAddr,
    /// Stops it.
    pub stop: CancellationToken,
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Where this machine finds what listens on an address: one that stands for all of them is none.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(loopback, listen.port())
}

/// Refuses to run a part of the roles where the others could not see its queue.
fn check_roles(config: &Config, roles: &[Role]) -> anyhow::Result<()> {
    let works_alone = roles.contains(&Role::Scheduler) && roles.contains(&Role::Worker);
    if works_alone || !config.queue_in_memory() {
        return Ok(());
    }
    let problem = "memory is seen by one process alone, which has to be both scheduler and worker: leave \
                   --role out, or let the processes share a queue (redis://…, or sqlite://FILE on one machine)";
    Err(open::unusable("queue.url", problem.to_owned()))
}

/// Runs until a signal, `stop`, or the failure of a stage.
///
/// `started` is handed what runs, once it runs.
///
/// # Errors
/// What kept it from starting, or the stage that failed.
pub async fn run(plan: Plan, started: Option<oneshot::Sender<Running>>) -> anyhow::Result<()> {
    let Plan {
        config,
        roles,
        subreddits,
    } = plan;
    check_roles(&config, &roles)?;
    let shares_budget = config.shares_queue();
    let asking = roles.iter().filter(|role| role.asks_reddit()).count();
    if !shares_budget && asking == 1 {
        tracing::warn!(
            "Each process has a rate budget of its own: only a Redis queue (queue.url) lets them share one"
        );
    }
    let mut signals = Stop::listen().context("signals cannot be listened for")?;
    let metrics = Arc::new(Metrics::new());
    crate::observe::stderr().count_lost(metrics.log_lines_lost.clone());
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: {} cannot be listened on. Each process of one machine needs an address of its own: \
             --http-listen 127.0.0.1:8081 takes another, port 0 a free one", config.http.listen))?;
    let listen = listener
        .local_addr()
        .context("the listener has no address")?;
    if !listen.ip().is_loopback() {
        tracing::warn!(
            %listen,
            "http.listen is reachable from other machines, and asks nobody who they are: let only those \
             reach it who may read everything there, or put a proxy before it that asks"
        );
    }
    let opening = Arc::new(Opening::new(Arc::clone(&metrics)));
    let served = CancellationToken::new();
    // However this ends, so does that.
    let _closing = served.clone().drop_guard();
    let hosts = config.http.allowed_hosts.clone();
    let serve = crate::observe::serve(Arc::clone(&opening), listener, hosts, served.clone());
    let mut serve = tokio::spawn(serve).fuse();
    let open = async {
        opening.waits_for("database");
        let store = open::await_store(&config).await?;
        // The archive is asked for backfills alone, and admitted by its answers.
        let sources: &[_] = match asking {
            0 => &[],
            _ => &[
                ("reddit.api_url", &config.reddit.api_url),
                ("reddit.auth_url", &config.reddit.auth_url),
            ],
        };
        // Before anything is written.
        let unmixed = Unmixed::check(&config, &store, sources).await?;
        watch(&store, &subreddits, &roles).await?;
        opening.waits_for("queue");
        let queue = open_queue(&config).await?;
        open::warn_of_eviction(&config).await;
        anyhow::Ok((store, unmixed, queue))
    };
    // A server that is not there yet is waited for, which a signal ends.
    let (store, unmixed, queue) = tokio::select! {
        opened = open => opened?,
        () = signals.next() => {
            tracing::info!("Stopped before anything ran");
            return Ok(());
        }
    };
    let reddit = if asking > 0 {
        Some(connect_reddit(&config, &metrics).await?)
    } else {
        None
    };
    let simulated = reddit.as_ref().map(Reddit::simulated);
    let archive = match &reddit {
        Some(_) => Some(connect_archive(&config, &metrics)?),
        None => None,
    };
    unmixed.guard(reddit.as_ref(), archive.as_ref());
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let probes = probes::Probes::new(
        &store,
        &queue,
        reddit.as_ref(),
        archive.as_ref(),
        &names.join("+"),
        asking > 0,
    );
    let liveness = Liveness::new(Limits {
        unready_after: config.liveness.unready_after,
        exit_after: config.liveness.exit_after,
    });
    let health = Arc::new(Health {
        store: store.clone(),
        queue: queue.clone(),
        metrics: Arc::clone(&metrics),
        live: Arc::new(
            Live::new(Arc::clone(&metrics), simulated)
                .depending(Arc::clone(&probes.dependencies))
                .linking(
                    config
                        .monitoring
                        .dashboards_url
                        .as_ref()
                        .map(Url::to_string),
                ),
        ),
        stopping: AtomicBool::new(false),
        liveness: liveness.clone(),
        now_ms,
    });
    let stop = CancellationToken::new();
    let mut stages = Stages::default();
    stages.add(
        "dependencies",
        probes::run(probes, Arc::clone(&metrics), now_ms, stop.clone()),
    );
    if let (Some(reddit), Some(archive)) = (&reddit, archive) {
        let past = backfills::Parts {
            store: store.clone(),
            queue: backfills::open_slice_queue(&config, Some(queue.dependency())).await?,
            metrics: Arc::clone(&metrics),
            holder: format!("backfill-{}", uuid::Uuid::new_v4()),
            work: Arc::default(),
            stop: stop.clone(),
            archive: Some(archive.clone()),
            horizon: Arc::default(),
        };
        stages.start_past(&config, &roles, &past, archive, reddit, &liveness);
    }
    stages.start(&config, &roles, &health, reddit, &stop);
    let database = config.database_address();
    if database.may_change() {
        let follow = secrets::follow(database, store.clone(), stop.clone());
        stages.add("secrets", follow);
    }
    let (hangs, mut hung) = oneshot::channel();
    let _watch = watch_over(&config, &liveness, &metrics, hangs)?;
    opening.opened(Arc::clone(&health));
    tracing::info!(
        roles = names.join(","),
        database = store.engine(),
        queue = queue.engine(),
        reddit = %config.reddit.api_url,
        metrics = %format!("http://{}/metrics", reachable(listen)),
        dashboards = config.monitoring.dashboards_url.as_ref().map(Url::as_str),
        "freshet is running"
    );
    if let Some(started) = started {
        let _ = started.send(Running {
            health: Arc::clone(&health),
            listen,
            stop: stop.clone(),
        });
    }

    let failure = tokio::select! {
        // A stage that ends because it was told to is no failure.
        biased;
        () = signals.next() => None,
        () = stop.cancelled() => None,
        failure = stages.first_failure() => Some(failure),
        refused = unmixed.clone().refused() => Some(refused),
        // The watchdog outlives this.
        Ok(stuck) = &mut hung => Some(anyhow!("{stuck}")),
        ended = &mut serve => Some(anyhow!("the HTTP server ended by itself: {ended:?}")),
    };
    let drained = drain(&config, &health, &stop, &mut stages, &mut signals).await;
    if matches!(drained, Ok(Drained::Whole)) {
        served.cancel();
        // The last scrape may still be on its way; nobody else is waited for.
        let _ = tokio::time::timeout(Duration::from_secs(2), &mut serve).await;
        store.close().await;
    }
    match failure {
        Some(failure) => Err(failure),
        None => drained.map(drop),
    }
}

/// Ends the process when a part of it makes no progress: in order if it still can.
fn watch_over(
    config: &Config,
    liveness: &Liveness,
    metrics: &Arc<Metrics>,
    hangs: oneshot::Sender<Stuck>,
) -> anyhow::Result<Watch> {
    let ending = Ending {
        ask: Box::new(move |stuck| {
            // Nobody listens where it stops already.
            let _ = hangs.send(stuck.clone());
        }),
        grace: config.shutdown.grace.saturating_add(LEAVING),
        insist: Box::new(|| {
            crate::observe::flush_log();
            std::process::exit(1)
        }),
    };
    let watching = liveness.watch(Arc::clone(metrics), ending);
    watching.context("the watchdog cannot be started")
}

async fn watch(store: &Store, subreddits: &[SubredditName], roles: &[Role]) -> anyhow::Result<()> {
    let mut new = Vec::new();
    for name in subreddits {
        let added = store.add_subreddit(name, now_ms() / 1000).await;
        match added.with_context(|| format!("r/{name} cannot be added to the watched list"))? {
            Added::New => new.push(name.as_str()),
            Added::Already(_) => {}
        }
    }
    if !new.is_empty() {
        tracing::info!(subreddits = new.join(","), "Added to the watched list");
    }
    let finds = roles.contains(&Role::Scheduler);
    if finds
        && store
            .subreddits()
            .await
            .context("the watched list cannot be read")?
            .is_empty()
    {
        tracing::warn!("No subreddit is watched yet; add some with: freshet subreddits add NAME…");
    }
    Ok(())
}

async fn connect_reddit(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Reddit> {
    let Some(client) = &config.reddit.client else {
        bail!("reddit.client_id is not set");
    };
    let settings = &config.reddit;
    let per_minute = settings.requests_per_minute;
    // All processes that share a queue share the budget too.
    let budget = if config.shares_queue() {
        Budget::shared(config.queue_address(), &client.id, per_minute)
            .context("the rate budget cannot be shared through Redis (queue.url)")?
    } else {
        Budget::local(per_minute)
    };
    let login = settings.login.as_ref();
    let options = RedditOptions {
        login: login.map(|login| Login {
            username: login.username.clone(),
            password: login.password.clone(),
        }),
        network: config.network.clone(),
        ..RedditOptions::new(
            settings.api_url.clone(),
            settings.auth_url.clone(),
            client.id.clone(),
            client.secret.clone(),
            settings.user_agent.clone(),
        )
    };
    Reddit::new(options, budget, Arc::clone(metrics))
        .context("the section reddit of the configuration")
}

/// How far running work came.
enum Drained {
    /// All of it ended.
    Whole,
    /// The grace period cut it off.
    CutOff,
}

/// Lets running work end, within the grace period; says whether it did.
async fn drain(
    config: &Config,
    health: &Health,
    stop: &CancellationToken,
    stages: &mut Stages,
    signals: &mut Stop,
) -> anyhow::Result<Drained> {
    let grace = config.shutdown.grace;
    health.stopping.store(true, Ordering::Relaxed);
    health.liveness.rest();
    stop.cancel();
    tracing::info!(
        grace_seconds = grace.as_secs(),
        "Stopping: no new work is taken, running work may end; a second signal stops at once"
    );
    let begun = Instant::now();
    tokio::select! {
        failed = stages.all_ended() => {
            let seconds = format!("{:.1}", begun.elapsed().as_secs_f64());
            tracing::info!(seconds, "Stopped: everything that ran has ended");
            failed.map(|()| Drained::Whole)
        }
        () = tokio::time::sleep(grace) => {
            tracing::warn!(
                grace_seconds = grace.as_secs(),
                "Stopped: the grace period ended before all work did; what was cut off is done again at the next start"
            );
            Ok(Drained::CutOff)
        }
        () = signals.next() => {
            tracing::warn!("Stopped at once; what was cut off is done again at the next start");
            bail!("stopped by a second signal")
        }
    }
}
