//! `freshet run` with a key, in one process and in several, and what it says of its health.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::postgres::fresh_database;
use super::support::redis::RedisServer;
use super::support::wire::{Wire, port};
use super::support::world::World;
use freshet::simulator::Endpoint;
use serde_json::Value;
use std::time::Duration;

fn fetched(status: &Value) -> u64 {
    status["fetched"].as_u64().unwrap()
}

/// `--database-url … --queue-url …`
fn on<'a>(database: &'a str, queue: &'a str) -> [&'a str; 4] {
    ["--database-url", database, "--queue-url", queue]
}

#[tokio::test]
async fn without_a_key_it_says_how_to_get_one_and_what_works_without() {
    let home = Home::new();
    for line in [&["run"][..], &["run", "rust"]] {
        home.run(line).await.ended_with(2).says(&[
            "reddit.client_id",
            "freshet demo",
            "https://www.reddit.com/prefs/apps",
            "FRESHET_REDDIT__CLIENT_ID",
        ]);
    }
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 0, "nothing was made");
}

/// What was there and what comes later, of two subreddits, one added on the command line and one by
/// its listing's name.
async fn stores_what_is_there_and_what_comes(flags: &[&str]) {
    let world = World::with(250).await;
    world.publish("science", None);
    let home = world.home();
    let line = [&["run", "r/Rust", "/r/science/"], flags].concat();
    let mut process = home.start(&line);
    process
        .until_status("the past is fetched", |it| fetched(it) == 251)
        .await;
    for _ in 0..30 {
        world.publish("rust", None);
        world.publish("science", None);
    }
    let status = process
        .until_status("what came is fetched", |it| fetched(it) == 311)
        .await;
    assert_eq!(status["simulated"], true);
    assert_eq!(status["discovered"], 311);
    let names: Vec<&Value> = status["subreddits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["rust", "science"]);
    process.signal("TERM");
    assert!(process.end(PATIENCE).await.success());
    // The list is in the database: nothing need be named again.
    let again = home.start(&[&["run"], flags].concat());
    world.publish("science", None);
    again
        .until_status("it goes on", |it| fetched(it) == 312)
        .await;
}

#[tokio::test]
async fn it_stores_on_sqlite_alone() {
    stores_what_is_there_and_what_comes(&[]).await;
}

#[tokio::test]
async fn it_stores_on_postgres_and_redis() {
    let (database, redis) = (fresh_database().await, RedisServer::start());
    stores_what_is_there_and_what_comes(&on(&database, &redis.url())).await;
}

#[tokio::test]
async fn a_part_of_the_roles_is_refused_where_the_queue_is_in_memory() {
    let home = Home::new();
    let key = ["--reddit-client-id", "me", "--reddit-client-secret", "hush"];
    for role in ["scheduler", "worker", "http"] {
        let line = ["run", "rust", "--role", role];
        let ended = home.run(&[&line[..], &key].concat()).await.ended_with(2);
        ended.says(&["queue.url", "memory", "leave --role out", "redis://"]);
    }
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 0, "nothing was made");
}

#[tokio::test]
async fn what_asks_reddit_nothing_runs_without_a_key() {
    let home = Home::new();
    let line = ["run", "--role", "http", "--http-listen", "127.0.0.1:0"];
    let queue = ["--queue-url", "sqlite://queue.db"];
    let process = home.start(&[&line[..], &queue].concat());
    process.until_code("/readyz", 200).await;
    assert_eq!(process.status().await["fetched"], 0);
    let metrics = process.metrics().await;
    let simulated = metrics.gauge("freshet_source_simulated", ("source", "reddit"));
    assert_eq!(simulated, Some(0.0));
    assert!(!metrics.0.contains_key("freshet_api_requests_total"));
}

#[tokio::test]
async fn the_roles_run_in_processes_of_their_own() {
    let world = World::with(250).await;
    let home = world.home();
    let (database, redis) = (fresh_database().await, RedisServer::start());
    let (queue, service) = (redis.url(), |line: &[&str]| {
        home.start(&[line, &on(&database, &redis.url())].concat())
    });
    assert!(queue.starts_with("redis://"));
    let scheduler = service(&["run", "rust", "--role", "scheduler"]);
    let second = service(&["run", "--role", "scheduler"]);
    let http = service(&["run", "--role", "http"]);
    http.until_status("the backlog waits", |it| it["discovered"] == 250)
        .await;
    let oldest = "freshet_queue_oldest_job_timestamp_seconds";
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let lately = |at: f64| (now - 60.0..now + 60.0).contains(&at);
    http.until_gauge(oldest, ("state", "waiting"), lately).await;
    let worker = service(&["run", "--role", "worker"]);
    let status = http
        .until_status("all is fetched", |it| fetched(it) == 250)
        .await;
    assert_eq!(status["queue"]["workers"], 1);

    let processes = [
        ("scheduler", &scheduler),
        ("second", &second),
        ("http", &http),
        ("worker", &worker),
    ];
    for (role, process) in processes {
        assert_eq!(process.until_code("/healthz", 200).await, "alive\n");
        process.until_code("/readyz", 200).await;
        let metrics = process.metrics().await;
        let fetches = metrics.total("submission_fetch_time_seconds");
        let polls = metrics.total("freshet_polls_total");
        match role {
            "worker" => assert!((fetches, polls) == (250.0, 0.0), "{fetches} {polls}"),
            "http" => assert!((fetches, polls) == (0.0, 0.0), "{fetches} {polls}"),
            _ => assert!(fetches == 0.0, "{role}: {fetches}"),
        }
        assert!(metrics.0.contains_key("freshet_build_info"), "{role}");
        let label = ("source", "reddit");
        process
            .until_gauge("freshet_source_simulated", label, |it| it == 1.0)
            .await;
    }
    for state in ["backlog", "waiting"] {
        http.until_gauge(oldest, ("state", state), |at| at == 0.0)
            .await;
    }
    // One of them may end; the others go on.
    let mut scheduler = scheduler;
    scheduler.signal("TERM");
    assert!(scheduler.end(PATIENCE).await.success());
    world.publish("rust", None);
    http.until_status("the other scheduler goes on", |it| fetched(it) == 251)
        .await;
}

#[tokio::test]
async fn readiness_tells_which_server_is_away_and_that_it_is_back() {
    let world = World::with(50).await;
    let home = world.home();
    let mut redis = RedisServer::start();
    let database = fresh_database().await;
    let wire = Wire::to(port(&database)).await;
    let (database, queue) = (wire.lead(&database), redis.url());
    let flags = on(&database, &queue);
    let process = home.start(&[&["run", "rust"], &flags[..]].concat());
    process
        .until_status("all is fetched", |it| fetched(it) == 50)
        .await;

    redis.kill();
    let body = process.until_code("/readyz", 503).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["database"], "ok");
    assert_ne!(body["queue"], "ok");
    // It lives, and shows what it knows.
    process.until_code("/healthz", 200).await;
    process.until_code("/metrics", 200).await;
    assert_eq!(process.status().await["queue"]["waiting"], Value::Null);
    redis.restart();
    process.until_code("/readyz", 200).await;

    wire.cut();
    let body = process.until_code("/readyz", 503).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_ne!(body["database"], "ok");
    assert_eq!(body["queue"], "ok");
    process.until_code("/healthz", 200).await;
    process.until_code("/metrics", 200).await;
    process.until_code("/api/v1/status", 503).await;
    wire.mend();
    process.until_code("/readyz", 200).await;
    world.publish("rust", None);
    process
        .until_status("it goes on", |it| fetched(it) == 51)
        .await;
}

#[tokio::test]
async fn a_stop_while_a_server_is_away_ends_in_time_and_loses_nothing() {
    for away in ["redis", "postgres"] {
        let world = World::with(1_500).await;
        world.slow(200);
        let home = world.home();
        let mut redis = RedisServer::start();
        let database = fresh_database().await;
        let wire = Wire::to(port(&database)).await;
        let (database, queue) = (wire.lead(&database), redis.url());
        let flags = on(&database, &queue);
        let line = [&["run", "rust", "--shutdown-grace", "5s"], &flags[..]].concat();
        let mut process = home.start(&line);
        process
            .until_status("something is fetched", |it| fetched(it) > 0)
            .await;
        if away == "redis" {
            redis.kill();
        } else {
            wire.cut();
        }
        process.until_code("/readyz", 503).await;
        process.signal("TERM");
        let begun = std::time::Instant::now();
        assert_eq!(process.end(PATIENCE).await.code(), Some(0), "{away}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?} {away}");
        if away == "redis" {
            redis.restart();
        }
        wire.mend();
        world.quick();
        let again = home.start(&line);
        again
            .until_status("all is fetched", |it| fetched(it) == 1_500)
            .await;
        let queue = &again.status().await["queue"];
        assert_eq!(queue["dead"], 0);
    }
}

#[tokio::test]
async fn the_budget_of_several_processes_is_one() {
    let world = World::with(400).await;
    let home = world.home();
    let (database, redis) = (fresh_database().await, RedisServer::start());
    let queue = redis.url();
    let tight = ["--reddit-requests-per-minute", "120"];
    let start = |role: &str| -> Process {
        let flags = [&on(&database, &queue)[..], &tight].concat();
        home.start(&[&["run", "rust", "--role", role], &flags[..]].concat())
    };
    let processes = [start("scheduler"), start("worker"), start("worker")];
    processes[0]
        .until_status("all is fetched", |it| fetched(it) == 400)
        .await;
    let asked = world.answered(Endpoint::Listing) + world.answered(Endpoint::Info);
    let biggest = world.control().stats().biggest_minute;
    assert!(asked >= 9, "{asked}");
    assert!(biggest <= 120, "{biggest}");
    for process in &processes {
        let metrics = process.metrics().await;
        let limit = &metrics.0["freshet_rate_budget_limit"].samples[0];
        assert_eq!(limit.value, 120.0);
    }
}
