//! A simulated Reddit and the discovery of its submissions, under a clock that only the test moves.
//!
//! A world lives on one thread: its clock is the thread's.

use freshet::backfill::{Backfiller, SliceHandler};
use freshet::config::{Config, DiscoverConfig, Inputs};
use freshet::discover::{Discover, FailingIds, IdScanOptions, id_scan, live, repair, run, sweep};
use freshet::liveness::{Limits, Liveness};
use freshet::metrics::Metrics;
use freshet::simulator::{Publication, Simulator, SimulatorOptions};
use freshet::source::{ArcticShift, ArcticShiftOptions, Budget, Reddit, RedditOptions};
use freshet::store::{Store, Subreddit, SubredditState, SweepDue};
use freshet::submission::SubredditName;
use sqlx::{Connection, SqliteConnection};
use std::cell::Cell;
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// World time at the start, milliseconds since the epoch.
pub const START_MS: i64 = 1_790_000_000_000;

/// By how much another machine's clock is behind ours.
const BEHIND_MS: i64 = 90_000;

/// How long discovery may take, in real time, to do what is due.
const PATIENCE: Duration = Duration::from_secs(180);

thread_local! {
    static OUR_CLOCK_MS: Cell<i64> = const { Cell::new(START_MS) };
    static READINGS: Cell<u64> = const { Cell::new(0) };
}

/// Our clock, milliseconds since the epoch.
pub fn our_clock() -> i64 {
    READINGS.with(|count| count.set(count.get() + 1));
    OUR_CLOCK_MS.with(Cell::get)
}

/// The clock of another machine, behind ours.
fn clock_behind() -> i64 {
    our_clock() - BEHIND_MS
}

/// How often our clock was read: a scheduler does whenever it looks for what is due.
pub fn clock_readings() -> u64 {
    READINGS.with(Cell::get)
}

/// One world.
pub struct World {
    pub simulator: Simulator,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub liveness: Liveness,
    url: String,
    config: DiscoverConfig,
    failing_ids: Arc<FailingIds>,
    schedulers: Vec<(CancellationToken, JoinHandle<()>)>,
    sweepers: Vec<(CancellationToken, JoinHandle<()>)>,
    scanners: Vec<(CancellationToken, JoinHandle<()>)>,
    _folder: TempDir,
}

impl World {
    /// A world at rest; `skew` is by how much our clock is ahead of Reddit's, seconds.
    pub async fn new(
        options: SimulatorOptions,
        settings: &[(&'static str, &str)],
        skew: i64,
    ) -> World {
        let simulator = Simulator::start(SimulatorOptions {
            starts_at_ms: Some(START_MS),
            speed: 0.0,
            requests_per_minute: None,
            token_lifetime: Duration::from_secs(30 * 86_400),
            gzip: false,
            ..options
        })
        .await
        .unwrap();
        OUR_CLOCK_MS.with(|clock| clock.set(START_MS + skew * 1000));
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let store = Store::connect(&url, 2).await.unwrap();
        store.migrate().await.unwrap();
        let inputs = Inputs {
            flags: settings
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
            ..Inputs::default()
        };
        World {
            simulator,
            store,
            metrics: Arc::new(Metrics::new()),
            liveness: Liveness::new(Limits {
                unready_after: Duration::from_secs(2),
                exit_after: Duration::from_secs(3_600),
            }),
            url,
            config: Config::load(inputs).unwrap().discover,
            failing_ids: Arc::default(),
            schedulers: Vec::new(),
            sweepers: Vec::new(),
            scanners: Vec::new(),
            _folder: folder,
        }
    }

    /// A world with these submissions, all listed and none fetched.
    pub async fn listed(ids: &[&str]) -> World {
        let mut world = World::new(SimulatorOptions::default(), &[], 0).await;
        for id in ids {
            let publication = Publication {
                id: Some((*id).to_owned()),
                title: Some(format!("the title of {id}")),
                created_utc: Some(START_MS / 1000 - 60),
                subreddit: "kettles".to_owned(),
                ..Publication::default()
            };
            world.simulator.control().publish(publication).unwrap();
        }
        world.watch(&["kettles".parse().unwrap()]).await;
        world.start_scheduler();
        world.settle(|| {}).await;
        world.stop().await;
        world
    }

    pub async fn watch(&self, names: &[SubredditName]) {
        for name in names {
            let added = self.store.add_subreddit(name, our_clock() / 1000).await;
            added.unwrap();
        }
    }

    /// A client of its own, with a token and a back-off of its own.
    pub fn client(&self, request_timeout: Duration) -> Reddit {
        self.client_within(request_timeout, 10_000_000)
    }

    /// The same with a budget of so many requests a minute.
    pub fn client_within(&self, request_timeout: Duration, requests_per_minute: u32) -> Reddit {
        self.client_of(request_timeout, requests_per_minute, &self.metrics)
    }

    fn client_of(
        &self,
        request_timeout: Duration,
        requests_per_minute: u32,
        metrics: &Arc<Metrics>,
    ) -> Reddit {
        let url = || self.simulator.url().parse().unwrap();
        let agent = "linux:freshet:test (by /u/test)".to_owned();
        let options = RedditOptions {
            request_timeout,
            now_ms: our_clock,
            ..RedditOptions::new(url(), url(), "world".to_owned(), "secret".into(), agent)
        };
        let budget = Budget::local(NonZeroU32::new(requests_per_minute).unwrap());
        Reddit::new(options, budget, Arc::clone(metrics)).unwrap()
    }

    /// Starts one more scheduler, with a client and a memory of its own.
    pub fn start_scheduler(&mut self) {
        self.schedule(our_clock);
    }

    /// The same on a machine whose clock is a minute and a half behind.
    pub fn start_scheduler_behind(&mut self) {
        self.schedule(clock_behind);
    }

    fn schedule(&mut self, now_ms: fn() -> i64) {
        let stop = CancellationToken::new();
        let discover = Discover {
            now_ms,
            ..self.discover()
        };
        let task = tokio::spawn(run(discover, stop.clone()));
        self.schedulers.push((stop, task));
    }

    /// Starts one that walks whole listings; [`World::settle`] waits for that too then.
    pub fn start_sweeper(&mut self) {
        let (discover, stop) = (self.discover(), CancellationToken::new());
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            tokio::join!(
                repair(discover.clone(), stopping.clone()),
                sweep(discover, stopping)
            );
        });
        self.sweepers.push((stop, task));
    }

    /// Starts one that finds submissions by their ids, as fast as it goes.
    pub fn start_id_scan(&mut self) {
        let (discover, stop) = (self.discover(), CancellationToken::new());
        let options = IdScanOptions {
            requests_per_minute: Some(6_000.0),
            judge_every: Duration::from_millis(100),
            ..IdScanOptions::default()
        };
        let task = tokio::spawn(id_scan(discover, options, stop.clone()));
        self.scanners.push((stop, task));
    }

    /// Kills the oldest of those, whatever it holds.
    pub fn kill_id_scan(&mut self) {
        let (_, task) = self.scanners.remove(0);
        task.abort();
    }

    /// Starts one that polls the tops of listings, with metrics and a client of its own; [`World::stop`] ends it.
    pub fn start_live(&mut self) -> Arc<Metrics> {
        let metrics = Arc::new(Metrics::new());
        let discover = Discover {
            metrics: Arc::clone(&metrics),
            reddit: self.client_of(Duration::from_secs(30), 10_000_000, &metrics),
            ..self.discover()
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(live(discover, stop.clone()));
        self.scanners.push((stop, task));
        metrics
    }

    /// What brings slices of backfills in, with a client of its own.
    pub fn slices(&self) -> SliceHandler {
        let (url, agent) = (self.simulator.url(), "linux:freshet:test (by /u/test)");
        let archive = ArcticShiftOptions::new(url.parse().unwrap(), agent.to_owned());
        let budget = Budget::local(NonZeroU32::new(60_000).unwrap());
        let metrics = Arc::clone(&self.metrics);
        SliceHandler::new(Backfiller {
            archive: ArcticShift::new(archive, budget, metrics).unwrap(),
            discover: Some(self.discover()),
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            holder: format!("worker-{}", uuid::Uuid::new_v4()),
            work: Arc::default(),
            now_ms: our_clock,
            progress: self.liveness.part("worker", "slices"),
            stop: CancellationToken::new(),
            horizon: Arc::default(),
            unstored: Arc::default(),
        })
    }

    fn discover(&self) -> Discover {
        Discover {
            reddit: self.client(Duration::from_secs(30)),
            store: self.store.clone(),
            metrics: Arc::clone(&self.metrics),
            config: self.config.clone(),
            holder: format!("scheduler-{}", uuid::Uuid::new_v4()),
            work: Arc::default(),
            failing_ids: Arc::clone(&self.failing_ids),
            now_ms: our_clock,
            progress: self.liveness.part("scheduler", "discover"),
        }
    }

    /// Kills the oldest scheduler, whatever it holds.
    pub fn kill_scheduler(&mut self) {
        let (_, task) = self.schedulers.remove(0);
        task.abort();
    }

    /// World time and ours go on.
    pub fn advance(&self, by: Duration) {
        self.simulator.control().advance(by);
        let by_ms = i64::try_from(by.as_millis()).unwrap();
        OUR_CLOCK_MS.with(|clock| clock.set(clock.get() + by_ms));
    }

    /// World time, milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.simulator.control().now_ms()
    }

    /// Waits until everything that is due has been polled; `meanwhile` is called now and then.
    pub async fn settle(&self, mut meanwhile: impl FnMut()) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let watched = self.store.subreddits().await.unwrap();
            let due = |row: &&Subreddit| {
                row.state != SubredditState::Paused && row.next_poll_ms <= our_clock()
            };
            let row = watched.iter().find(due);
            let sweep = match row {
                None if !self.sweepers.is_empty() => self.due_sweep().await,
                _ => None,
            };
            if row.is_none() && sweep.is_none() {
                return;
            }
            let late = Instant::now() >= deadline;
            assert!(!late, "not walked in time: {row:?} {sweep:?}");
            for _ in 0..5 {
                meanwhile();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The listing that is to be swept now.
    pub async fn due_sweep(&self) -> Option<SweepDue> {
        let repair = self.store.due_repair(our_clock()).await.unwrap();
        let interval = self.config.sweep_interval;
        if repair.is_some() || interval.is_zero() {
            return repair;
        }
        let interval_ms = i64::try_from(interval.as_millis()).unwrap();
        let sweep = self.store.due_sweep(interval_ms, our_clock()).await;
        sweep.unwrap()
    }

    /// The ids of all stored submissions.
    pub async fn stored(&self) -> HashSet<String> {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        let ids = sqlx::query_scalar("SELECT id FROM submissions");
        let ids: Vec<String> = ids.fetch_all(&mut connection).await.unwrap();
        ids.into_iter().collect()
    }

    /// A text and a number from each of a query's rows, read past the store.
    pub async fn rows(&self, sql: &'static str) -> Vec<(String, i64)> {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        let rows = sqlx::query_as(sql).fetch_all(&mut connection).await;
        rows.unwrap()
    }

    /// Changes the database past the store.
    pub async fn execute(&self, sql: &'static str) {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }

    /// Stops every scheduler.
    pub async fn stop(&mut self) {
        let others = self.sweepers.drain(..).chain(self.scanners.drain(..));
        for (stop, task) in self.schedulers.drain(..).chain(others) {
            stop.cancel();
            task.await.unwrap();
        }
    }
}
