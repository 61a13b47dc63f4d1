//! What a process says of files that are gone or damaged, of a database for reading, and of credentials
//! that are rejected.

use super::dependencies::{fails, recovers, server, start, told};
use super::support::binary::{Home, PATIENCE};
use super::support::canned::{Answer, Server};
use super::support::pipeline::until;
use super::support::postgres::PostgresServer;
use super::support::world::World;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_is_gone_replaced_or_damaged_shows_and_is_opened_again() {
    let world = World::with(5).await;
    let home = world.home();
    let file = home.path().join("store.db");
    let url = format!("sqlite://{}", file.display());
    let queue = format!("sqlite://{}", home.path().join("queue.db").display());
    let run = start(&home, &url, &queue).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    let away = |name: &str| home.path().join(format!("{name}.away"));
    let names = ["store.db", "store.db-wal", "store.db-shm"];
    for case in [
        "deleted",
        "replaced by an empty one",
        "replaced by another thing",
    ] {
        let before = told(&run, "database");
        for name in names {
            // The log may be gone with its last connection.
            let _ = std::fs::rename(home.path().join(name), away(name));
        }
        let class = match case {
            "deleted" => "missing_file",
            "replaced by an empty one" => {
                std::fs::write(&file, "").unwrap();
                "missing_schema"
            }
            _ => {
                std::fs::write(&file, "no database ".repeat(1_000)).unwrap();
                "corrupt"
            }
        };
        fails(&run, "database", class, before).await;
        if case == "deleted" {
            assert!(!file.exists(), "no empty one is made in its place");
        }
        for name in names {
            let _ = std::fs::remove_file(home.path().join(name));
            let _ = std::fs::rename(away(name), home.path().join(name));
        }
        recovers(&run, "database", before).await;
        world.publish("rust", None);
    }
    run.until_status("everything is stored", |it| it["fetched"] == 8)
        .await;

    let before = told(&run, "database");
    let good = checkpointed(&file).await;
    std::fs::write(&file, vec![0x5a; good.len()]).unwrap();
    fails(&run, "database", "corrupt", before).await;
}

/// What is in the file once everything is.
async fn checkpointed(file: &Path) -> Vec<u8> {
    let url = format!("sqlite://{}", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    connection
        .execute("PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .unwrap();
    std::fs::read(file).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_refuses_every_submission_is_an_outage_until_it_takes_them() {
    let world = World::with(5).await;
    let home = world.home();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let queue = format!("sqlite://{}", home.path().join("queue.db").display());
    let run = start(&home, &database, &queue).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    let mut operator = SqliteConnection::connect(&database).await.unwrap();
    for event in ["INSERT", "UPDATE"] {
        let before = told(&run, "database");
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE {event} ON submissions BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        operator.execute(sqlx::AssertSqlSafe(refuse)).await.unwrap();
        world.publish("rust", None);
        fails(&run, "database", "refuses", before).await;
        operator.execute("DROP TRIGGER refuse").await.unwrap();
        recovers(&run, "database", before).await;
    }
    run.until_status("everything is stored", |it| {
        it["discovered"] == 7 && it["undecodable"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_queue_file_is_made_again_and_its_jobs_come_from_the_database() {
    let world = World::with(5).await;
    let home = world.home();
    let file = home.path().join("queue.db");
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let run = start(&home, &database, &format!("sqlite://{}", file.display())).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let _ = std::fs::remove_file(home.path().join(name));
    }
    until("it is logged", PATIENCE, async || {
        told(&run, "queue").0 == 1
    })
    .await;
    world.publish("rust", None);
    recovers(&run, "queue", (0, 0)).await;
    run.until_status("it goes on", |it| it["fetched"] == 6)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_write_nothing_of_their_own_stay_ready_on_a_database_for_reading() {
    let postgres = server(PostgresServer::start).await;
    let home = Home::new();
    let url = postgres.url("postgres");
    let flags = ["--database-url", &url, "--http-listen", "127.0.0.1:0"];
    let run = home.start(
        &[
            &["run", "--role", "http", "--log-format", "json"][..],
            &["--queue-url", "sqlite://queue.db"][..],
            &flags[..],
        ]
        .concat(),
    );
    run.until_code("/readyz", 200).await;
    let mut operator = PgConnection::connect(&url).await.unwrap();
    for sql in [
        "ALTER DATABASE postgres SET default_transaction_read_only = on",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = 'postgres' AND pid <> pg_backend_pid()",
    ] {
        operator.execute(sql).await.unwrap();
    }
    until("it reads", PATIENCE, async || {
        let answer = run.get("/api/v1/status").await;
        answer.is_some_and(|(code, _)| code == 200)
    })
    .await;
    run.until_code("/readyz", 200).await;
    let page = run.get("/").await.unwrap().1;
    assert!(!page.contains("read_only"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_credentials_show_wherever_dependencies_are_shown_and_the_process_stays_ready() {
    let refusal = Answer::json(200, r#"{"error": "invalid_grant"}"#);
    let reddit = Server::raw(move |_| refusal.clone()).await;
    let home = Home::new();
    let url = reddit.url.as_str();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let run = home.start(&[
        "run",
        "rust",
        "--log-format=json",
        "--reddit-client-id=the-id",
        "--reddit-client-secret=hush-hush",
        "--http-listen=127.0.0.1:0",
        "--database-url",
        &database,
        "--reddit-api-url",
        url,
        "--reddit-auth-url",
        url,
    ]);
    run.until_gauge("freshet_dependency_up", ("dependency", "reddit"), |it| {
        it == 0.0
    })
    .await;
    let (code, body) = run.get("/readyz").await.unwrap();
    assert_eq!(code, 200, "no restart would help: {body}");
    assert!(body.contains("credentials_rejected since 20"), "{body}");
    assert!(body.contains("reddit.client_id"), "what to do: {body}");
    let status = run.status().await;
    let states = status["dependencies"].as_array().unwrap();
    let reddit = states.iter().find(|it| it["name"] == "reddit").unwrap();
    assert_eq!(reddit["class"], "credentials_rejected");
    assert!(
        run.get("/")
            .await
            .unwrap()
            .1
            .contains("credentials_rejected")
    );
    // Another process finds it in the database.
    until("the status has it", PATIENCE, async || {
        let told = [
            "status",
            "--database-url",
            &database,
            "--http-listen",
            "127.0.0.1:1",
        ];
        let status = home.run(&told).await.ended_with(0);
        status.stdout.contains("reddit    credentials_rejected")
            && status.stdout.contains("invalid_grant")
    })
    .await;
    let listen = run.address().await.to_string();
    let told = [
        "status",
        "--database-url",
        &database,
        "--http-listen",
        &listen,
    ];
    let status = home.run(&told).await.ended_with(0);
    assert!(
        status.stdout.contains("reddit    credentials_rejected for"),
        "{}",
        status.stdout
    );
    assert!(
        status.stdout.contains("Depends on   database  ok for"),
        "{}",
        status.stdout
    );
    assert!(!run.stderr().contains("hush-hush"));
}
