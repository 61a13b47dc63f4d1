//! Stopping: what was asked to end ends in time, says so, and loses nothing.

use super::support::binary::{Home, PATIENCE, Process, finish};
use super::support::world::World;
use freshet::simulator::{Endpoint, Fault};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

const DRAINED: &str = "Stopped: everything that ran has ended";

/// What is left to do: rows, and attempts that were counted for them.
async fn left(home: &Home) -> (i64, i64) {
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let row = sqlx::query("SELECT count(*), coalesce(sum(attempts), 0) FROM fetches")
        .fetch_one(&mut database)
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

async fn statuses(home: &Home) -> Vec<(String, String)> {
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_as("SELECT id, status FROM submissions ORDER BY id")
        .fetch_all(&mut database)
        .await
        .unwrap()
}

/// Polls find the newest first; whether a walk has found the past too.
fn all_found(status: &Value) -> bool {
    status["discovered"].as_i64() >= Some(1_500)
}

fn last_message(process: &Process) -> String {
    let log = process.log();
    let message = &log.last().unwrap()["message"];
    message.as_str().unwrap().to_owned()
}

/// Runs until everything of the world is fetched.
async fn finish_the_rest(home: &Home, world: &World) {
    let mut process = home.start(&["run", "rust"]);
    let visible = world.visible();
    let wanted = |status: &Value| status["fetched"].as_u64() == Some(visible.len() as u64);
    process.until_status("all is fetched", wanted).await;
    process.signal("TERM");
    assert!(process.end(PATIENCE).await.success());
    assert_eq!(left(home).await, (0, 0));
    let stored = statuses(home).await;
    let expected: Vec<(String, String)> = visible
        .into_iter()
        .map(|id| (id, "fetched".to_owned()))
        .collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn either_signal_drains_and_what_was_left_is_done_after_a_restart() {
    for signal in ["TERM", "INT"] {
        let world = World::with(1_500).await;
        // Each answer takes a while, so that something is always in flight.
        world.slow(150);
        let home = world.home();
        let mut process = home.start(&["run", "rust"]);
        process
            .until_status("all is found and something fetched", |it| {
                all_found(it) && it["fetched"].as_i64() > Some(0)
            })
            .await;
        process.signal(signal);
        assert_eq!(process.end(PATIENCE).await.code(), Some(0), "{signal}");
        process.logged("Stopping: ").await;
        assert_eq!(last_message(&process), DRAINED);
        let (rows, attempts) = left(&home).await;
        assert!(rows > 0, "it was stopped half-way");
        assert_eq!(attempts, 0, "no attempt is wasted");
        world.quick();
        finish_the_rest(&home, &world).await;
    }
}

/// Runs until jobs are in flight, and Reddit has answered one more request so.
async fn into_an_outage(world: &World, home: &Home, fault: Fault, flags: &[&str]) -> Process {
    let mut delay_ms = 100;
    world.slow(delay_ms);
    let process = home.start(&[&["run", "rust"], flags].concat());
    loop {
        process
            .until_status("jobs are in flight", |it| {
                // One may be a heartbeat.
                all_found(it) && it["queue"]["running"].as_i64() > Some(1)
            })
            .await;
        if fault == SILENCE {
            world
                .until("a fetch is answered", |_| {
                    world.answered(Endpoint::Info) > 0
                })
                .await;
        }
        world.outage(fault);
        if befalls(world, &process, fault).await {
            return process;
        }
        // All were answered before: more of them, and each slower.
        delay_ms *= 4;
        world.slow(delay_ms);
        let now = world.control().now_ms() / 1_000;
        for number in 0..1_500 {
            world.publish("rust", Some(now - number / 60));
        }
    }
}

/// Waits until any request fares so while there is something to fetch; false where nothing is left.
async fn befalls(world: &World, process: &Process, fault: Fault) -> bool {
    if fault == SILENCE {
        world.until_quiet(Endpoint::Info).await;
        return process.status().await["discovered"].as_i64() > Some(0);
    }
    loop {
        let mut requests = world.control().requests().into_iter();
        let befell = requests.any(|it| it.fault == Some(fault));
        if process.status().await["discovered"] == 0 {
            return false;
        }
        if befell {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn while_reddit_is_out_it_stops_at_once_and_wastes_no_attempt() {
    let outages = [
        Fault::ErrorPage { status: 503 },
        Fault::TooManyRequests { retry_after: 300 },
        Fault::Reset,
        Fault::LostToken,
    ];
    for fault in outages {
        let world = World::with(1_500).await;
        let home = world.home();
        let mut process = into_an_outage(&world, &home, fault, &[]).await;
        process.signal("TERM");
        let begun = Instant::now();
        assert_eq!(process.end(PATIENCE).await.code(), Some(0), "{fault:?}");
        let took = begun.elapsed();
        // A process that goes on waits for fifteen.
        assert!(took < Duration::from_secs(12), "{took:?} {fault:?}");
        assert_eq!(last_message(&process), DRAINED);
        let (rows, attempts) = left(&home).await;
        assert!(rows > 0 && attempts == 0, "{rows} {attempts} {fault:?}");
        world.quick();
        finish_the_rest(&home, &world).await;
    }
}

/// Reddit takes the requests and never answers.
const SILENCE: Fault = Fault::Slow {
    delay_ms: 3_600_000,
};

#[tokio::test]
async fn the_grace_period_ends_what_does_not_end_by_itself() {
    let world = World::with(1_500).await;
    let home = world.home();
    let mut process = into_an_outage(&world, &home, SILENCE, &["--shutdown-grace", "1s"]).await;
    let begun = Instant::now();
    process.signal("TERM");
    assert_eq!(process.end(PATIENCE).await.code(), Some(0));
    let took = begun.elapsed();
    // A silent request alone takes thirty.
    assert!(
        (1..20).contains(&took.as_secs()),
        "{took:?}: {}",
        process.stderr()
    );
    let last = last_message(&process);
    assert!(last.contains("grace period ended"), "{last}");
    world.quick();
    finish_the_rest(&home, &world).await;
}

#[tokio::test]
async fn what_a_silent_reddit_keeps_waiting_ends_by_the_limit_of_a_request() {
    let world = World::with(1_500).await;
    let home = world.home();
    // However slow the machine.
    let grace = ["--shutdown-grace", "10m"];
    let mut process = into_an_outage(&world, &home, SILENCE, &grace).await;
    process.signal("TERM");
    assert_eq!(process.end(PATIENCE).await.code(), Some(0));
    assert_eq!(last_message(&process), DRAINED);
    let (rows, attempts) = left(&home).await;
    assert!(rows > 0 && attempts == 0, "{rows} {attempts}");
    world.quick();
    finish_the_rest(&home, &world).await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for signals in [["TERM", "TERM"], ["INT", "INT"]] {
        let world = World::with(1_500).await;
        let home = world.home();
        let mut process = into_an_outage(&world, &home, SILENCE, &[]).await;
        // A scraper that is slow to ask keeps nobody.
        let _open = TcpStream::connect(process.address().await).await.unwrap();
        process.signal(signals[0]);
        process.logged("Stopping: ").await;
        process.signal(signals[1]);
        let begun = Instant::now();
        assert_eq!(process.end(PATIENCE).await.code(), Some(1));
        let took = begun.elapsed();
        // The first alone waits for twenty.
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(process.stderr().contains("second signal"));
        world.quick();
        finish_the_rest(&home, &world).await;
    }
}

#[tokio::test]
async fn while_the_database_is_locked_it_stops_within_the_grace_period() {
    let world = World::with(300).await;
    let home = world.home();
    world.slow(300);
    let mut process = home.start(&["run", "rust", "--shutdown-grace", "3s"]);
    world
        .until("a walk is under way", |_| {
            world.answered(Endpoint::Listing) > 0
        })
        .await;
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    world.quick();
    world.until_quiet(Endpoint::Listing).await;
    process.signal("TERM");
    let begun = Instant::now();
    assert_eq!(process.end(PATIENCE).await.code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    finish_the_rest(&home, &world).await;
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    let world = World::with(1_500).await;
    world.slow(100);
    let home = world.home();
    for _ in 0..3 {
        let mut process = home.start(&["run", "rust"]);
        process
            .until_status("jobs are in flight", |it| {
                it["queue"]["running"].as_i64() > Some(1)
            })
            .await;
        process.signal("KILL");
        assert_eq!(process.end(PATIENCE).await.code(), None);
    }
    world.quick();
    finish_the_rest(&home, &world).await;
}

#[tokio::test]
async fn while_it_waits_for_a_server_a_signal_ends_it() {
    let home = Home::new();
    let mut command = home.command(&[
        "run",
        "--reddit-client-id",
        "x",
        "--http-listen",
        "127.0.0.1:0",
    ]);
    // A port that nobody listens on.
    command.args(["--database-url", "postgres://me:hush-hush@127.0.0.1:1/db"]);
    let mut process = Process::start(&mut command);
    process
        .logged("The database at postgres://127.0.0.1:1/db does not answer yet")
        .await;
    process.signal("TERM");
    assert_eq!(process.end(PATIENCE).await.code(), Some(0));
    assert!(!process.stderr().contains("hush-hush"));
}

#[tokio::test]
async fn the_simulated_reddit_stops_by_a_signal_too() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut process = home.start(&["simulate", "--listen", "127.0.0.1:0"]);
        let line = process.logged("SIMULATED").await;
        assert!(
            line["url"]
                .as_str()
                .unwrap()
                .starts_with("http://127.0.0.1:")
        );
        process.signal(signal);
        assert_eq!(process.end(PATIENCE).await.code(), Some(0));
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let mut command = home.command(&["simulate", "--listen", &address]);
    finish(&mut command)
        .await
        .ended_with(1)
        .says(&["--listen", &address]);
}
