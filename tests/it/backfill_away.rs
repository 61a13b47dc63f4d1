//! Backfills beside a database that is full, and from an archive that lags or has stopped to follow.

use super::support::binary::{PATIENCE, Process};
use super::support::past::{DAY, HOUR, NAME, On, Past, options, time};
use super::support::postgres::PostgresServer;
use freshet::simulator::SimulatorOptions;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use tokio::task::block_in_place;

/// As a server does whose disk is full, after some of it was stored.
const FULL: &str = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT count(*) FROM submissions) >= 400 THEN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON submissions FOR EACH ROW EXECUTE FUNCTION full_disk();";

/// A range that ends a day ago.
fn forty_hours(past: &Past) -> (i64, i64) {
    let end = past.now() - DAY;
    (end - 40 * HOUR, end)
}

async fn fails_saying(process: &mut Process, words: &[&str]) {
    let ended = process.end(2 * PATIENCE).await;
    let said = process.stderr();
    assert_eq!(ended.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

async fn it_is_whole(past: &Past, start: i64, end: i64) {
    assert_eq!(past.stored().await, past.truth(start, end));
    assert_eq!(past.proven(start, end).await, end - start);
}

#[tokio::test]
async fn a_full_disk_ends_the_command_with_advice_and_it_goes_on_once_there_is_room() {
    let past = Past::start(options(7, 30.0), On::Postgres).await;
    drop(past.store().await);
    let mut connection = PgConnection::connect(&past.database).await.unwrap();
    connection.execute(FULL).await.unwrap();
    let (start, end) = forty_hours(&past);
    let (since, until) = (time(start), time(end));
    let line = ["backfill", NAME, "--since", &since, "--until", &until];
    let mut process = past.begin(&line);
    let words = [
        "Waiting: the database cannot serve at the moment",
        "for 30 s the database takes nothing",
        "No space left on device",
        "The server's disk is full.",
        "the same command goes on",
    ];
    fails_saying(&mut process, &words).await;
    let before = past.stored().await.len();
    assert!((1..=400).contains(&before), "{before}");
    let status = past.status(1).await;
    assert_eq!(status["state"], "running", "{status:#}");

    let room = "DROP TRIGGER full_disk ON submissions";
    connection.execute(room).await.unwrap();
    let again = [&line[..], &["--order", "oldest", "--max-active", "2"]].concat();
    past.run(&again).await.says(&["Resuming backfill 1"]);
    it_is_whole(&past, start, end).await;
    let status = past.status(1).await;
    assert_eq!(
        (&status["newest_first"], &status["max_active"]),
        (&json!(false), &json!(2)),
        "as it was asked for the last time"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_ends_the_command_with_advice_and_it_goes_on_once_it_is_back() {
    let mut options = options(7, 30.0);
    options.latency = Duration::from_millis(30);
    let mut past = Past::start(options, On::Sqlite).await;
    let mut server = block_in_place(|| PostgresServer::start_with(""));
    past.database = server.url("postgres");
    let (start, end) = forty_hours(&past);
    let (since, until) = (time(start), time(end));
    let line = ["backfill", NAME, "--since", &since, "--until", &until];
    let mut process = past.begin(&line);
    process.said("Backfill 1 begins").await;
    let asked = past.asked();
    past.until_asked(asked + 3, &mut process).await;
    block_in_place(|| server.kill());
    let words = [
        "for 30 s the database",
        "Is the server running",
        "the same command goes on",
    ];
    fails_saying(&mut process, &words).await;
    block_in_place(|| server.restart());
    past.run(&line).await.says(&["Resuming backfill 1"]);
    it_is_whole(&past, start, end).await;
}

/// A past in which hours pass between two submissions, beside one in which somebody always posts.
fn quiet() -> SimulatorOptions {
    let mut options = options(3, 0.4);
    options
        .subreddits
        .push(("askreddit".parse().unwrap(), 600.0));
    options
}

/// Seconds that are proven of two days that end a little before the archive does; and those between
/// the newest submission of them and their end.
async fn proven_of_two_days(past: &Past) -> (i64, i64) {
    let end = past.now() - 1_800;
    let start = end - 2 * DAY;
    let (since, until) = (time(start), time(end));
    past.run(&["backfill", NAME, "--since", &since, "--until", &until])
        .await;
    let rows = past.rows("id,created_utc").await;
    let archived = rows.iter().filter(|row| row["id"] != "late");
    let newest = archived.map(|row| row["created_utc"].as_i64().unwrap());
    (past.proven(start, end).await, end - newest.max().unwrap())
}

#[tokio::test]
async fn a_quiet_subreddit_is_proven_as_far_as_a_busy_one_has_come() {
    let past = Past::start(quiet(), On::Sqlite).await;
    let (proven, silent) = proven_of_two_days(&past).await;
    assert!(silent > 900, "{silent}: it is quiet");
    assert_eq!(proven, 2 * DAY);
}

#[tokio::test]
async fn an_archive_that_lacks_what_is_stored_is_believed_up_to_its_own_newest_alone() {
    let past = Past::start(quiet(), On::Sqlite).await;
    let late = past.now() - 1_860;
    let line = json!({ "id": "late", "subreddit": NAME, "created_utc": late });
    let line = serde_json::value::to_raw_value(&line).unwrap();
    let late = freshet::submission::decode_archived(line, past.control().now_ms()).unwrap();
    let record = freshet::store::ArchiveRecord {
        observations: &[late],
        undecodable: &[],
        refresh: false,
        now_ms: past.control().now_ms(),
    };
    past.store().await.record_archived(&record).await.unwrap();
    let (proven, silent) = proven_of_two_days(&past).await;
    assert!(silent > 900, "{silent}: it is quiet");
    assert_eq!(proven, 2 * DAY - silent - 900);
    let told = past.run(&["backfill", "status"]).await.stdout;
    assert!(told.contains("has not come so far yet"), "{told}");
    assert!(told.contains("all but"), "{told}");
}
