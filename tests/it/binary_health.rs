//! What is told to whoever starts the program and watches over it: `freshet health`, the space left on
//! disks, and where the dashboards are.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::faketime::faketime;
use super::support::pipeline::until;
use super::support::postgres::fresh_database;
use super::support::redis::{RedisServer, free_port};
use super::support::world::World;

/// One that listens where another command with the same flag looks for it.
fn start(home: &Home, flags: &[&str]) -> (Process, String) {
    let port = free_port();
    // As in a container: on every address, and asked on one.
    let listen = format!("0.0.0.0:{port}");
    let run = home.start(&[&["run", "rust", "--http-listen", &listen], flags].concat());
    (run, listen)
}

async fn health(home: &Home, listen: &str) -> (Option<i32>, String) {
    let ended = home.run(&["health", "--http-listen", listen]).await;
    assert_eq!(ended.stdout, "");
    (ended.status, ended.stderr)
}

#[tokio::test]
async fn it_is_healthy_as_long_as_it_is_ready() {
    let world = World::with(1).await;
    let home = world.home();
    let redis = free_port();
    let queue = format!("redis://127.0.0.1:{redis}/");
    let (mut run, listen) = start(&home, &["--queue-url", &queue]);
    until("it says what it waits for", PATIENCE, async || {
        let (status, said) = health(&home, &listen).await;
        assert_eq!(status, Some(1), "{said}");
        said.contains("starting: waits for the queue")
    })
    .await;
    let server = tokio::task::spawn_blocking(move || RedisServer::start_on(redis));
    let server = server.await.unwrap();
    until("it is healthy", PATIENCE, async || {
        health(&home, &listen).await == (Some(0), String::new())
    })
    .await;
    drop(server);
    until("it is no more", PATIENCE, async || {
        let (status, said) = health(&home, &listen).await;
        status == Some(1) && said.contains("503") && said.contains("queue")
    })
    .await;
    run.signal("TERM");
    run.end(PATIENCE).await;
    let (status, said) = health(&home, &listen).await;
    assert_eq!(status, Some(1));
    assert!(
        said.contains("nothing answers at http://127.0.0.1:"),
        "{said}"
    );
}

#[tokio::test]
async fn the_simulated_reddit_can_be_asked_too_and_what_is_no_address_is_refused() {
    let home = Home::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut simulator = home.start(&["simulate", "--listen", &listen]);
    let url = format!("http://{listen}/simulator/health");
    until("it answers", PATIENCE, async || {
        home.run(&["health", &url]).await.status == Some(0)
    })
    .await;
    simulator.signal("TERM");
    assert!(simulator.end(PATIENCE).await.success());
    home.run(&["health", "no address"]).await.ended_with(2);
}

#[tokio::test]
async fn it_measures_the_space_left_for_its_files_and_for_what_it_is_told_to() {
    let world = World::with(1).await;
    let home = world.home();
    let more = tempfile::tempdir().unwrap();
    let more = more.path().to_str().unwrap();
    let flags = [
        "--monitoring-folders",
        more,
        "--monitoring-dashboards-url",
        "http://127.0.0.1:3000",
    ];
    let (mut run, listen) = start(&home, &flags);
    let line = run.logged("freshet is running").await;
    assert_eq!(line["dashboards"], "http://127.0.0.1:3000/");
    let own = home.path().canonicalize().unwrap();
    let port = listen.rsplit(':').next().unwrap();
    for folder in [own.to_str().unwrap(), more] {
        until(folder, PATIENCE, async || {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await;
            let text = answer.unwrap().text().await.unwrap();
            let bytes = |metric: &str| -> Option<f64> {
                let series = format!("freshet_disk_{metric}_bytes{{folder=\"{folder}\"}} ");
                let line = text.lines().find_map(|line| line.strip_prefix(&series))?;
                line.parse().ok()
            };
            let (available, size) = (bytes("available"), bytes("size"));
            size.is_some() && available > Some(0.0) && available < size
        })
        .await;
    }
    let told = [&["status", "--http-listen", &listen], &flags[..]].concat();
    let status = home.run(&told).await.ended_with(0);
    let last = status.stdout.lines().last();
    assert_eq!(last, Some("Dashboards: http://127.0.0.1:3000/"));
    run.signal("TERM");
    run.end(PATIENCE).await;

    home.run(&["migrate", "--monitoring-folders", "/nowhere"])
        .await
        .ended_with(2)
        .says(&["monitoring.folders", "/nowhere"]);
}

#[tokio::test]
async fn a_clock_that_differs_from_the_database_servers_is_told() {
    let home = Home::new();
    let database = fresh_database().await;
    let flags = ["--database-url", &database, "--http-listen", "127.0.0.1:0"];
    for (shift, told) in [("+0s", false), ("-40s", true)] {
        let mut command = home.command(
            &[
                &["run", "--role", "http", "--queue-url", "sqlite://queue.db"],
                &flags[..],
            ]
            .concat(),
        );
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME", shift)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut run = Process::start(&mut command);
        until("the clocks are compared", PATIENCE, async || {
            let Some((200, text)) = run.get("/metrics").await else {
                return false;
            };
            let ahead = text.lines().find_map(|line| {
                let value = line.strip_prefix("freshet_clock_ahead_seconds ")?;
                value.parse::<f64>().ok()
            });
            let expected = if told { -42.0..-38.0 } else { -2.0..2.0 };
            ahead.is_some_and(|ahead| ahead != 0.0 && expected.contains(&ahead))
        })
        .await;
        let log = run.stderr();
        assert_eq!(log.contains("the database server's differ"), told, "{log}");
        run.signal("TERM");
        run.end(PATIENCE).await;
    }
}
