//! A Reddit that lies, against the truth that the test keeps: whatever it says, nothing that stood in it
//! for two polls is missing from time that is reported as complete.

use crate::store::fixtures;
use crate::support::canned::{Server, plenty};
use crate::support::liar::{Liar, Lie, NAMES, Post, START};
use freshet::config::{Config, DiscoverConfig, Inputs};
use freshet::discover::{Discover, repair, run, sweep};
use freshet::liveness::{Limits, Liveness};
use freshet::metrics::Metrics;
use freshet::source::{Reddit, RedditOptions};
use freshet::store::{Store, SubredditState};
use freshet::submission::SubredditName;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Set to a seed, this variable has that world alone built again.
const ONE_WORLD: &str = "FRESHET_TEST_HOSTILE";
const WORLDS: u64 = 16;
/// Every fourth world is on Postgres.
const ON_POSTGRES: u64 = 4;
const INTERVAL: i64 = 60;
const ROUNDS: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(START) };
    /// By how much our own clock is ahead, seconds.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

fn our_clock() -> i64 {
    (NOW.get() + AHEAD.get()) * 1_000
}

struct World {
    liar: Arc<Mutex<Liar>>,
    now: Arc<std::sync::atomic::AtomicI64>,
    store: Store,
    config: DiscoverConfig,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl World {
    async fn start(seed: u64, store: Store, ahead: i64) -> World {
        let liar = Arc::new(Mutex::new(Liar {
            posts: Vec::new(),
            lie: Lie::Nothing,
            rng: ChaCha8Rng::seed_from_u64(seed),
            last_page: None,
            answers: 0,
        }));
        let now = Arc::new(std::sync::atomic::AtomicI64::new(START));
        NOW.set(START);
        AHEAD.set(ahead);
        let (answering, its_now) = (Arc::clone(&liar), Arc::clone(&now));
        let server = Server::start(move |asked| {
            let now = its_now.load(std::sync::atomic::Ordering::SeqCst);
            answering.lock().unwrap().answer(asked, now)
        })
        .await;
        let flags = [
            ("discover.interval", "60s"),
            ("discover.overlap", "15m"),
            ("discover.first_window", "1h"),
            ("discover.sweep_interval", "1h"),
        ];
        let inputs = Inputs {
            flags: flags
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
            ..Inputs::default()
        };
        let config = Config::load(inputs).unwrap().discover;
        let metrics = Arc::new(Metrics::new());
        let options = RedditOptions {
            now_ms: our_clock,
            ..server.options()
        };
        let liveness = Liveness::new(Limits {
            unready_after: Duration::from_secs(60),
            exit_after: Duration::from_secs(3_600),
        });
        let discover = Discover {
            reddit: Reddit::new(options, plenty(), Arc::clone(&metrics)).unwrap(),
            store: store.clone(),
            metrics,
            config: config.clone(),
            holder: "hostile".to_owned(),
            work: Arc::default(),
            failing_ids: Arc::default(),
            now_ms: our_clock,
            progress: liveness.part("scheduler", "discover"),
        };
        for name in NAMES {
            store
                .add_subreddit(&name.parse().unwrap(), our_clock() / 1000)
                .await
                .unwrap();
        }
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(run(discover.clone(), stop.clone())),
            tokio::spawn(repair(discover.clone(), stop.clone())),
            tokio::spawn(sweep(discover, stop.clone())),
        ];
        World {
            liar,
            now,
            store,
            config,
            stop,
            tasks,
        }
    }

    fn advance(&self, seconds: i64) {
        NOW.set(NOW.get() + seconds);
        self.now
            .store(NOW.get(), std::sync::atomic::Ordering::SeqCst);
    }

    /// Waits until all that is due is done.
    async fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let sweeps = i64::try_from(self.config.sweep_interval.as_millis()).unwrap();
        loop {
            let rows = self.store.subreddits().await.unwrap();
            let due = rows
                .iter()
                .any(|row| row.state != SubredditState::Paused && row.next_poll_ms <= our_clock());
            let now_ms = our_clock();
            if !due
                && self.store.due_repair(now_ms).await.unwrap().is_none()
                && self
                    .store
                    .due_sweep(sweeps, now_ms)
                    .await
                    .unwrap()
                    .is_none()
            {
                return;
            }
            assert!(Instant::now() < deadline, "not walked in time: {rows:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> Arc<Mutex<Liar>> {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        self.liar
    }
}

/// What is posted, approved and removed while so much time passes.
fn live_on(liar: &mut Liar, seconds: i64, rates: [f64; 2], rng: &mut ChaCha8Rng) {
    let now = NOW.get();
    for (name, rate) in rates.into_iter().enumerate() {
        for second in 0..seconds {
            if rng.random_bool((rate / 3_600.0).min(1.0)) {
                let created = now + second;
                let late = if rng.random_bool(0.02) {
                    rng.random_range(1..500)
                } else {
                    0
                };
                liar.post(name, created, created + late);
            }
        }
    }
    if rng.random_bool(0.3) && !liar.posts.is_empty() {
        let recent = liar.posts.len().saturating_sub(100);
        let place = rng.random_range(recent..liar.posts.len());
        liar.posts[place].removed = true;
    }
}

async fn live(seed: u64, store: Store) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ahead = [0, 0, 0, 3 * 86_400, 240][rng.random_range(0..5)];
    let world = World::start(seed, store.clone(), ahead).await;
    let rates = [rng.random_range(30.0..200.0), rng.random_range(1.0..30.0)];
    world.advance(-3_600);
    live_on(&mut world.liar.lock().unwrap(), 3_600, rates, &mut rng);
    world.advance(3_600);
    world.settle().await;
    let mut lies_for = 0;
    let mut lies = Vec::new();
    for round in 0..ROUNDS {
        if lies_for == 0 && round > 3 && rng.random_bool(0.3) {
            lies_for = rng.random_range(1..12);
            let lie = match Lie::random(&mut rng, NOW.get()) {
                // One of the two clocks is right.
                Lie::Date(ahead) if ahead > 0 && AHEAD.get() > 0 => Lie::NoDate,
                Lie::JumpingDates | Lie::EveryThird(_) if AHEAD.get() > 0 => Lie::NoDate,
                lie => lie,
            };
            lies.push((NOW.get(), lie, lies_for));
            world.liar.lock().unwrap().lie = lie;
        } else if lies_for == 1 {
            lies_for = 0;
            world.liar.lock().unwrap().lie = Lie::Nothing;
        } else {
            lies_for = i64::max(lies_for - 1, 0);
        }
        // Nobody polls for a while, and now and then more is posted than a listing shows.
        let (seconds, rates) = match rng.random_range(0..30) {
            0 => (rng.random_range(600..4_000), rates),
            1 => (2_000, [2_500.0, rates[1]]),
            _ => (INTERVAL + 1, rates),
        };
        live_on(&mut world.liar.lock().unwrap(), seconds, rates, &mut rng);
        world.advance(seconds);
        world.settle().await;
    }
    world.liar.lock().unwrap().lie = Lie::Nothing;
    // All that can be seen is, and all that waits for another try has had it.
    for seconds in [61, 61, 61, 1_900, 61, 3_700, 310, 3_700, 61] {
        live_on(
            &mut world.liar.lock().unwrap(),
            seconds.min(120),
            rates,
            &mut rng,
        );
        world.advance(seconds);
        world.settle().await;
    }
    let liar = world.end().await;
    let posts = std::mem::take(&mut liar.lock().unwrap().posts);
    check(&posts, &store, &lies).await;
}

async fn check(posts: &[Post], store: &Store, lies: &[(i64, Lie, i64)]) {
    let stored = stored(store).await;
    for (number, name) in NAMES.iter().enumerate() {
        let name: SubredditName = name.parse().unwrap();
        let proven = store.coverage(&name).await.unwrap();
        let end = proven.last().map_or(0, |(_, end)| *end);
        assert!(
            end <= NOW.get(),
            "r/{name}: the future is proven: {proven:?} at {}",
            NOW.get()
        );
        assert!(
            end >= NOW.get() - 7_200,
            "r/{name} is proven: {proven:?} at {}",
            NOW.get()
        );
        let is_proven = |at: i64| {
            proven
                .iter()
                .any(|(start, end)| (*start..*end).contains(&at))
        };
        let own = posts
            .iter()
            .filter(|post| post.name == number && !post.removed);
        let missing = own.filter(|post| {
            let seen_twice =
                post.shown_from == post.created && post.created < NOW.get() - 2 * INTERVAL;
            seen_twice && !stored.contains(&post.id) && is_proven(post.created)
        });
        let missing: Vec<(&str, i64)> = missing
            .map(|post| (post.id.as_str(), post.created - START))
            .collect();
        let gaps = store.gaps(Some(&name), None).await.unwrap();
        let gaps = gaps.iter().map(|gap| {
            (
                gap.interval.start - START,
                gap.interval.end - START,
                gap.cause,
                gap.state,
            )
        });
        assert!(
            missing.is_empty(),
            "r/{name}: {} are missing from proven time: {:?}; lies: {lies:?}; gaps: {:?}",
            missing.len(),
            &missing[..missing.len().min(20)],
            gaps.collect::<Vec<_>>()
        );
    }
}

async fn stored(store: &Store) -> HashSet<String> {
    let names: Vec<SubredditName> = NAMES.iter().map(|name| name.parse().unwrap()).collect();
    let visible = store.visible(&names, 0, i64::MAX, 1_000_000).await.unwrap();
    visible.into_iter().map(|it| it.id).collect()
}

/// How many that stood in it for two polls are missing from proven time.
async fn missing(posts: &[(String, i64)], store: &Store) -> usize {
    let stored = stored(store).await;
    let proven = store.coverage(&NAMES[0].parse().unwrap()).await.unwrap();
    let missing = posts.iter().filter(|(id, created)| {
        let proven = proven
            .iter()
            .any(|(start, end)| (*start..*end).contains(created));
        proven && *created < NOW.get() - 2 * INTERVAL && !stored.contains(id)
    });
    missing.count()
}

#[tokio::test]
async fn a_listing_that_stands_still_proves_no_more_than_a_usual_silence() {
    let database = fixtures::World::sqlite().await;
    let store = database.store.clone();
    let world = World::start(1, store.clone(), 0).await;
    let live_on = |seconds: i64| {
        for second in (0..seconds).filter(|second| (NOW.get() + second) % 30 == 0) {
            let created = NOW.get() + second;
            let mut liar = world.liar.lock().unwrap();
            liar.post(0, created, created);
            liar.posts.last_mut().unwrap().undated = false;
        }
        world.advance(seconds);
    };
    world.advance(-3_600);
    live_on(3_600);
    world.settle().await;
    let frozen = NOW.get();
    world.liar.lock().unwrap().lie = Lie::Stale(frozen);
    let posts = || -> Vec<(String, i64)> {
        let liar = world.liar.lock().unwrap();
        let posts = liar.posts.iter();
        posts.map(|post| (post.id.clone(), post.created)).collect()
    };
    for _ in 0..18 {
        live_on(INTERVAL + 1);
        world.settle().await;
        let missing = missing(&posts(), &store).await;
        assert!(missing <= 8, "{missing} of two a minute are missing");
    }
    world.liar.lock().unwrap().lie = Lie::Nothing;
    // Quiet subreddits meet at every second minute.
    for _ in 0..2 {
        live_on(INTERVAL + 1);
        world.settle().await;
    }
    assert_eq!(missing(&posts(), &store).await, 0);
    let proven = store.coverage(&NAMES[0].parse().unwrap()).await.unwrap();
    assert!(
        proven
            .iter()
            .any(|(start, end)| *start <= frozen && *end > NOW.get() - 2 * INTERVAL),
        "{proven:?}, frozen at {frozen}"
    );

    // A silence that lasts is one.
    world.advance(1_000);
    world.settle().await;
    let proven = store.coverage(&NAMES[0].parse().unwrap()).await.unwrap();
    assert!(
        proven.iter().all(|(_, end)| *end < NOW.get() - 600),
        "{proven:?}"
    );
    world.advance(400);
    world.settle().await;
    let proven = store.coverage(&NAMES[0].parse().unwrap()).await.unwrap();
    assert!(
        proven.last().unwrap().1 > NOW.get() - 2 * INTERVAL,
        "{proven:?}"
    );
    world.end().await;
}

/// A wrong clock for some polls, then nobody polls for a while in which more is posted than a listing
/// shows.
async fn wrong_clock_then_overflow(store: Store, lie: Lie, answers: u32, ahead: i64) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let world = World::start(1, store.clone(), ahead).await;
    let rates = [60.0, 30.0];
    world.advance(-3_600);
    live_on(&mut world.liar.lock().unwrap(), 3_600, rates, &mut rng);
    world.advance(3_600);
    if ahead == 0 {
        world.settle().await;
    }
    for lying in [true, false] {
        // Without a date there never is one.
        let lie = if lying || ahead > 0 {
            lie
        } else {
            Lie::Nothing
        };
        world.liar.lock().unwrap().lie = lie;
        for _ in 0..answers {
            live_on(
                &mut world.liar.lock().unwrap(),
                INTERVAL + 1,
                rates,
                &mut rng,
            );
            world.advance(INTERVAL + 1);
            world.settle().await;
        }
    }
    live_on(
        &mut world.liar.lock().unwrap(),
        3_600,
        [3_000.0, 30.0],
        &mut rng,
    );
    world.advance(3_600);
    for seconds in [1, 61, 61, 1_900, 61] {
        live_on(&mut world.liar.lock().unwrap(), seconds, rates, &mut rng);
        world.advance(seconds);
        world.settle().await;
    }
    let liar = world.end().await;
    let posts = std::mem::take(&mut liar.lock().unwrap().posts);
    check(&posts, &store, &[]).await;
    let gaps = store
        .gaps(Some(&NAMES[0].parse().unwrap()), None)
        .await
        .unwrap();
    assert!(!gaps.is_empty(), "what no listing showed is a gap");
}

#[tokio::test]
async fn a_wrong_clock_before_an_overflow_proves_nothing_of_what_nobody_could_list() {
    for (lie, answers, ahead) in [
        (Lie::Date(20 * 3_600), 1, 0),
        (Lie::EveryThird(300), 9, 0),
        (Lie::JumpingDates, 5, 0),
        (Lie::NoDate, 3, 3 * 86_400),
    ] {
        for world in [
            fixtures::World::sqlite().await,
            fixtures::World::postgres().await,
        ] {
            wrong_clock_then_overflow(world.store.clone(), lie, answers, ahead).await;
        }
    }
}

#[test]
fn nothing_that_was_shown_for_two_polls_is_missing_from_proven_time_whatever_reddit_says() {
    #[expect(clippy::disallowed_methods, reason = "says which world to build again")]
    let seeds = match std::env::var(ONE_WORLD) {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=WORLDS).collect::<Vec<u64>>(),
    };
    let worlds = seeds.into_iter().map(|seed| {
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let world = if seed.is_multiple_of(ON_POSTGRES) {
                    fixtures::World::postgres().await
                } else {
                    fixtures::World::sqlite().await
                };
                live(seed, world.store.clone()).await;
            });
        });
        (seed, thread)
    });
    let worlds: Vec<_> = worlds.collect();
    let failed: Vec<u64> = worlds
        .into_iter()
        .filter_map(|(seed, thread)| thread.join().is_err().then_some(seed))
        .collect();
    assert!(
        failed.is_empty(),
        "failed, to be run again with {ONE_WORLD}=SEED: {failed:?}"
    );
}
