//! The program when it hangs, and when it only seems to.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::postgres::fresh_database;
use super::support::redis::RedisServer;
use super::support::wire::{Wire, port};
use super::support::world::World;
use freshet::simulator::Fault;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// As short as can be set.
const SHORT: [&str; 4] = [
    "--liveness-unready-after",
    "2s",
    "--liveness-exit-after",
    "4s",
];
/// Longer than that.
const LONG: Duration = Duration::from_secs(7);

/// Longer than a busy machine keeps a process from running.
const PATIENT: [&str; 4] = [
    "--liveness-unready-after",
    "5s",
    "--liveness-exit-after",
    "10s",
];
/// Longer than that.
const LONGER: Duration = Duration::from_secs(13);

/// It does not think of itself that it hangs, for as long.
async fn lives(process: &Process, meanwhile: &str) {
    lives_for(process, meanwhile, LONG).await;
}

async fn lives_for(process: &Process, meanwhile: &str, long: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < long {
        let answer = process.get("/healthz").await;
        assert_eq!(answer, Some((200, "alive\n".to_owned())), "{meanwhile}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn goes_on(process: &Process, world: &World, after: &str) {
    process.until_code("/readyz", 200).await;
    let id = world.publish("rust", None);
    let visible = world.visible().len() as u64;
    process
        .until_status(&format!("{id} is fetched after {after}"), |it| {
            it["fetched"].as_u64() == Some(visible)
        })
        .await;
    let said = process.stderr();
    assert!(!said.contains("progress"), "{after}: {said}");
}

#[tokio::test]
async fn outages_of_the_servers_longer_than_the_limits_are_no_standstill() {
    let world = World::with(30).await;
    let home = world.home();
    let mut redis = RedisServer::start();
    let database = fresh_database().await;
    let wire = Wire::to(port(&database)).await;
    let (database, queue) = (wire.lead(&database), redis.url());
    let on = ["--database-url", &database, "--queue-url", &queue];
    let process = home.start(&[&["run", "rust"], &on[..], &PATIENT].concat());
    goes_on(&process, &world, "the start").await;
    redis.kill();
    lives_for(&process, "Redis is gone", LONGER).await;
    redis.restart();
    goes_on(&process, &world, "that").await;
    redis.freeze();
    lives_for(&process, "Redis is silent", LONGER).await;
    redis.thaw();
    goes_on(&process, &world, "that").await;
    wire.cut();
    lives_for(&process, "Postgres is gone", LONGER).await;
    wire.mend();
    goes_on(&process, &world, "that").await;
    wire.mute();
    lives_for(&process, "Postgres is silent", LONGER).await;
    wire.mend();
    goes_on(&process, &world, "that").await;
    lives_for(&process, "nothing is to do", LONGER).await;
}

#[tokio::test]
async fn outages_of_reddit_and_a_spent_budget_are_no_standstill() {
    let world = World::with(30).await;
    let home = world.home();
    let process = home.start(&[&["run", "rust"], &SHORT[..]].concat());
    goes_on(&process, &world, "the start").await;
    for fault in [
        Fault::ErrorPage { status: 503 },
        Fault::Slow { delay_ms: 9_000 },
        Fault::TooManyRequests { retry_after: 8 },
    ] {
        world.outage(fault);
        world.publish("rust", None);
        lives(&process, &format!("{fault:?}")).await;
        world.quick();
        goes_on(&process, &world, "that").await;
    }
    drop(process);
    // One request in ten seconds.
    let home = world.home();
    let tight = ["--reddit-requests-per-minute", "6"];
    let process = home.start(&[&["run", "rust"], &SHORT[..], &tight].concat());
    lives(&process, "the budget is spent").await;
    lives(&process, "the budget is spent again").await;
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_the_limits_goes_on() {
    let world = World::with(3).await;
    let home = world.home();
    let process = home.start(&[&["run", "rust"], &SHORT[..]].concat());
    goes_on(&process, &world, "the start").await;
    for _ in 0..2 {
        process.signal("STOP");
        sleep(LONG).await;
        process.signal("CONT");
        lives(&process, "it was woken").await;
        goes_on(&process, &world, "that").await;
    }
}

async fn until_later(process: &Process, than: f64) -> f64 {
    let begun = Instant::now();
    loop {
        let metrics = process.metrics().await;
        let sent = metrics.gauge("freshet_heartbeat_timestamp_seconds", ("path", "job"));
        if let Some(sent) = sent.filter(|sent| *sent > than) {
            let took = metrics.gauge("freshet_heartbeat_seconds", ("path", "job"));
            assert!(took.is_some_and(|it| it < 60.0), "{took:?}");
            return sent;
        }
        assert!(begun.elapsed() < PATIENCE, "{sent:?} {than}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Every role shows that it gets on.
async fn shows_progress(process: &Process, roles: &[&str]) {
    let metrics = process.metrics().await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let family = &metrics.0["freshet_last_progress_timestamp_seconds"];
    let shown: Vec<&str> = family
        .samples
        .iter()
        .map(|it| it.labels["role"].as_str())
        .collect();
    assert_eq!(shown, roles);
    for sample in &family.samples {
        assert!((now - sample.value).abs() < 60.0, "{sample:?} at {now}");
    }
}

#[tokio::test]
async fn heartbeats_come_through_on_sqlite() {
    let world = World::with(3).await;
    let home = world.home();
    let process = home.start(&["run", "rust"]);
    let first = until_later(&process, 0.0).await;
    until_later(&process, first).await;
    shows_progress(&process, &["http", "scheduler", "worker"]).await;
}

#[tokio::test]
async fn heartbeats_come_through_servers_and_go_on_after_a_wipe_and_without_a_worker() {
    let world = World::with(3).await;
    let home: Home = world.home();
    let (database, redis) = (fresh_database().await, RedisServer::start());
    let queue = redis.url();
    let on = ["--database-url", &database, "--queue-url", &queue];
    let start = |role: &str| home.start(&[&["run", "rust", "--role", role], &on[..]].concat());
    let (scheduler, http) = (start("scheduler"), start("http"));
    let worker = start("worker");
    let first = until_later(&http, 0.0).await;
    shows_progress(&http, &["http"]).await;
    shows_progress(&worker, &["http", "worker"]).await;
    shows_progress(&scheduler, &["http", "scheduler"]).await;
    let client = redis::Client::open(queue.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    let second = until_later(&http, first).await;
    drop(worker);
    http.until_status("one waits", |it| it["queue"]["waiting"] == 1)
        .await;
    // The next would be due by now.
    sleep(Duration::from_secs(17)).await;
    assert_eq!(http.status().await["queue"]["waiting"], 1);
    let _worker = start("worker");
    let begun = Instant::now();
    while http
        .metrics()
        .await
        .gauge("freshet_heartbeat_timestamp_seconds", ("path", "job"))
        <= Some(second)
    {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(200)).await;
    }
    http.until_status("none waits", |it| it["queue"]["waiting"] == 0)
        .await;
}
