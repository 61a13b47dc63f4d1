//! The program when it hangs, and when it only seems to.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::pipeline::until;
use super::support::postgres::fresh_database;
use super::support::redis::RedisServer;
use super::support::wire::{Wire, port};
use super::support::world::World;
use freshet::simulator::Fault;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longer than any machine keeps a process from running: nothing here may be taken for a standstill.
const FOREVER: [&str; 4] = [
    "--liveness-unready-after",
    "30m",
    "--liveness-exit-after",
    "60m",
];
/// Those of whoever is to be found out.
const SHORT: [&str; 4] = [
    "--liveness-unready-after",
    "6s",
    "--liveness-exit-after",
    "12s",
];
/// Longer than they are.
const LONGER: Duration = Duration::from_secs(18);
/// What a wait is seen to last without being a standstill.
const WAIT: f64 = 5.0;

fn now() -> f64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

/// While this goes on, each part of the process still shows that it waits and does not stand still: one
/// that stands still shows the time at which it stopped, for ever.
async fn waits(process: &Process, meanwhile: &str) {
    let since = now() + WAIT;
    let what = format!("progress while {meanwhile}");
    until(&what, PATIENCE, async || {
        let answer = process.get("/healthz").await;
        assert_eq!(answer, Some((200, "alive\n".to_owned())), "{meanwhile}");
        let metrics = process.metrics().await;
        let family = metrics.0.get("freshet_last_progress_timestamp_seconds");
        family.is_some_and(|family| {
            family.samples.len() == 3 && family.samples.iter().all(|it| it.value > since)
        })
    })
    .await;
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
async fn outages_of_the_servers_are_no_standstill() {
    let world = World::with(30).await;
    let home = world.home();
    let mut redis = RedisServer::start();
    let database = fresh_database().await;
    let wire = Wire::to(port(&database)).await;
    let (database, queue) = (wire.lead(&database), redis.url());
    let on = ["--database-url", &database, "--queue-url", &queue];
    let process = home.start(&[&["run", "rust"], &on[..], &FOREVER].concat());
    goes_on(&process, &world, "the start").await;
    redis.kill();
    waits(&process, "Redis is gone").await;
    redis.restart();
    goes_on(&process, &world, "that").await;
    redis.freeze();
    waits(&process, "Redis is silent").await;
    redis.thaw();
    goes_on(&process, &world, "that").await;
    wire.cut();
    waits(&process, "Postgres is gone").await;
    wire.mend();
    goes_on(&process, &world, "that").await;
    wire.mute();
    waits(&process, "Postgres is silent").await;
    wire.mend();
    goes_on(&process, &world, "that").await;
    waits(&process, "nothing is to do").await;
}

#[tokio::test]
async fn outages_of_reddit_and_a_spent_budget_are_no_standstill() {
    let world = World::with(30).await;
    let home = world.home();
    let process = home.start(&[&["run", "rust"], &FOREVER[..]].concat());
    goes_on(&process, &world, "the start").await;
    for fault in [
        Fault::ErrorPage { status: 503 },
        // Longer than it is watched.
        Fault::Slow { delay_ms: 20_000 },
        Fault::TooManyRequests { retry_after: 8 },
    ] {
        world.outage(fault);
        world.publish("rust", None);
        waits(&process, &format!("{fault:?}")).await;
        let (code, body) = process.get("/api/v1/status").await.expect("an answer");
        assert_eq!(code, 200, "{fault:?}: {body}");
        world.quick();
        goes_on(&process, &world, "that").await;
    }
    drop(process);
    // One request in ten seconds.
    let home = world.home();
    let tight = ["--reddit-requests-per-minute", "6"];
    let process = home.start(&[&["run", "rust"], &FOREVER[..], &tight].concat());
    process.address().await;
    waits(&process, "the budget is spent").await;
    waits(&process, "the budget is spent again").await;
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_the_limits_goes_on() {
    let world = World::with(3).await;
    let home = world.home();
    let process = home.start(&[&["run", "rust"], &SHORT[..]].concat());
    goes_on(&process, &world, "the start").await;
    process.signal("STOP");
    sleep(LONGER).await;
    process.signal("CONT");
    waits(&process, "it was woken").await;
    goes_on(&process, &world, "that").await;
}

/// A file that keeps whoever opens it, for ever, as one does on a file system that hangs.
fn make_hanging_file(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[tokio::test]
async fn a_process_whose_runtime_stands_still_is_ended_to_be_started_anew() {
    let world = World::with(3).await;
    let home = world.home();
    let redis = RedisServer::start();
    let url = redis.url().replace("redis://", "redis://app:first@");
    let client = redis::Client::open(redis.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let mut set_password = async |password: &str| {
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("app").arg("on").arg("resetpass");
        user.arg(format!(">{password}"))
            .arg("~*")
            .arg("&*")
            .arg("+@all");
        user.exec_async(&mut operator).await.unwrap();
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("USER").arg("app");
        let _: i64 = kill.query_async(&mut operator).await.unwrap();
    };
    set_password("first").await;
    let secret = home.write("queue-url", &url);
    let mut command =
        home.command(&[&["run", "rust", "--shutdown-grace", "1s"], &SHORT[..]].concat());
    command.env("FRESHET_QUEUE__URL_FILE", &secret);
    let mut process = Process::start(&mut command);
    goes_on(&process, &world, "the start").await;
    // The password is another one, and to be read again; but the file keeps whoever reads it.
    std::fs::remove_file(&secret).unwrap();
    make_hanging_file(&secret);
    set_password("second").await;
    let ended = process.end(PATIENCE).await;
    assert_eq!(ended.code(), Some(1), "{}", process.stderr());
    let line = process.logged("The process ends, to be started anew").await;
    assert_eq!(line["level"], "ERROR");
    process.logged("Not ready: the ").await;
    // Started anew, where the file can be read, it works.
    std::fs::remove_file(&secret).unwrap();
    std::fs::write(&secret, url.replace("first", "second")).unwrap();
    let process = Process::start(&mut command);
    goes_on(&process, &world, "that").await;
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
