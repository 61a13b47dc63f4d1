//! A process whose database or queue is not there yet.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::pipeline::until;
use super::support::postgres::{PostgresServer, fresh_database};
use super::support::redis::{RedisServer, free_port};
use super::support::world::World;
use freshet::store::Store;
use sqlx::migrate::Migrate;
use sqlx::{Connection, PgConnection};

/// A path's status and body; nothing where nobody answers.
async fn get(port: u16, path: &str) -> (u16, String) {
    match reqwest::get(format!("http://127.0.0.1:{port}{path}")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
        Err(_) => (0, String::new()),
    }
}

#[tokio::test]
async fn a_command_that_has_ended_promises_nothing() {
    let home = Home::new();
    for file in ["nowhere/a.db", "damaged.db"] {
        home.write("damaged.db", &"no database ".repeat(1_000));
        let url = format!("sqlite://{}", home.path().join(file).display());
        for command in ["migrate", "doctor"] {
            let line = [command, "--database-url", &url];
            let ended = home.run(&line).await.ended_with(1);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!said.contains("freshet opens it"), "{said}");
            if command == "migrate" {
                assert!(said.contains("Then run the same command again."), "{said}");
            }
        }
    }
}

/// Starts one that lacks a server, and sees what it answers meanwhile.
async fn waits(home: &Home, flags: [&str; 2], what: &str) -> (Process, u16) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let run = home.start(&[&["run", "rust", "--http-listen", &listen], &flags[..]].concat());
    let said = format!("starting: waits for the {what}");
    until(&said, PATIENCE, async || {
        let (status, text) = get(port, "/readyz").await;
        assert!([0, 503].contains(&status), "{status} {text}");
        text.contains(&said)
    })
    .await;
    assert_eq!(get(port, "/healthz").await, (200, "alive\n".to_owned()));
    let (status, metrics) = get(port, "/metrics").await;
    assert!(status == 200 && metrics.contains("freshet_build_info"));
    for path in ["/", "/api/v1/status"] {
        assert_eq!(get(port, path).await.0, 503, "{path}");
    }
    (run, port)
}

#[tokio::test]
async fn while_a_server_is_missing_it_answers_and_says_which() {
    let world = World::with(1).await;
    let home = world.home();
    let missing = free_port();
    let database = format!("postgres://me@127.0.0.1:{missing}/db");
    let (mut run, _) = waits(&home, ["--database-url", &database], "database").await;
    run.signal("TERM");
    assert_eq!(run.end(PATIENCE).await.code(), Some(0));

    let queue = format!("redis://127.0.0.1:{missing}/");
    let (mut run, port) = waits(&home, ["--queue-url", &queue], "queue").await;
    let redis = tokio::task::spawn_blocking(move || RedisServer::start_on(missing));
    let _redis = redis.await.unwrap();
    until("it is ready", PATIENCE, async || {
        get(port, "/readyz").await.0 == 200
    })
    .await;
    run.signal("TERM");
    assert_eq!(run.end(PATIENCE).await.code(), Some(0));
}

#[tokio::test]
async fn another_program_that_migrates_is_waited_for_and_then_named() {
    let home = Home::new();
    let url = fresh_database().await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    other.lock().await.unwrap();
    let ended = home.run(&["migrate", "--database-url", &url]).await;
    ended
        .ended_with(1)
        .says(&["database.url", "Another program holds the tables locked"]);
    other.unlock().await.unwrap();
    home.run(&["migrate", "--database-url", &url])
        .await
        .ended_with(0);
}

#[tokio::test]
async fn a_server_that_goes_silent_during_the_migration_is_not_waited_for_for_ever() {
    let server = tokio::task::spawn_blocking(|| PostgresServer::start_with("")).await;
    let server = server.unwrap();
    let url = server.url("postgres");
    let store = Store::connect(&url, 2).await.unwrap();
    // Another program's lock keeps it waiting, so that it surely is under way.
    let mut other = PgConnection::connect(&url).await.unwrap();
    other.lock().await.unwrap();
    let migrates = tokio::spawn(async move { store.migrate().await });
    let watcher = sqlx::PgPool::connect(&url).await.unwrap();
    until("it waits for the lock", PATIENCE, async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let count: i64 = sqlx::query_scalar(waits).fetch_one(&watcher).await.unwrap();
        count > 0
    })
    .await;
    server.freeze();
    let ended = tokio::time::timeout(PATIENCE, migrates).await;
    server.thaw();
    let error = ended.expect("it ends").unwrap().unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}
