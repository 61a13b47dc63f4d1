//! One row that spoils whatever page of the archive it is in, or that the database refuses: it costs its
//! second, or itself, and the rest is stored and proven.

use super::support::binary::PATIENCE;
use super::support::past::{DAY, HOUR, NAME, On, Past, options, time};
use super::support::pipeline::until;
use freshet::simulator::{Endpoint, Fault, Oddities};
use sqlx::{Connection, Executor, SqliteConnection};
use std::time::Duration;

async fn connect(past: &Past) -> SqliteConnection {
    SqliteConnection::connect(&past.database).await.unwrap()
}

async fn spoils_its_page(fault: Fault) {
    let mut options = options(7, 30.0);
    options.latency = Duration::from_millis(30);
    options.oddities = Oddities::none();
    let past = Past::start(options, On::Sqlite).await;
    drop(past.store().await);
    let end = past.now() - DAY;
    let start = end - 40 * HOUR;
    let (since, until_time) = (time(start), time(end));
    let line = ["backfill", NAME, "--since", &since, "--until", &until_time];
    let name = NAME.parse().unwrap();
    let truth = past.control().archive_truth(&name, start, end);
    let bad = truth[truth.len() / 3].to_string();
    let process = past.begin(&line);
    process.said("Backfill 1 begins").await;
    // The newest come first, so it is not asked for yet.
    past.control().poison(&bad, Some(fault)).unwrap();
    let others = i64::try_from(truth.len() - 1).unwrap();
    until("all others are stored", 4 * PATIENCE, async || {
        let mut connection = connect(&past).await;
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM submissions")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        stored == others
    })
    .await;
    let bad_is_alone = "SELECT count(*) FROM slices WHERE state = 'waiting'";
    let failed = "SELECT count(*) FROM slices WHERE state = 'failed' AND attempts = 6
                  AND slice_end - slice_start = 1 AND reason LIKE '%while the archive gives out others%'";
    until("its second is set aside", 4 * PATIENCE, async || {
        let mut connection = connect(&past).await;
        // As if a minute had passed.
        let due = "UPDATE slices SET due_ms = 0 WHERE state = 'waiting' AND fed_ms IS NULL";
        connection.execute(due).await.unwrap();
        let waiting: i64 = sqlx::query_scalar(bad_is_alone)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        waiting == 0
    })
    .await;
    let mut connection = connect(&past).await;
    let count: i64 = sqlx::query_scalar(failed)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(past.proven(start, end).await, end - start - 1);
    let asked = past.control().stats().of(Endpoint::ArchiveSearch);
    assert!(asked <= 250, "{asked} requests");

    // On request it is asked for again.
    past.control().poison(&bad, None).unwrap();
    past.run(&line).await;
    assert_eq!(past.stored().await, past.truth(start, end));
    assert_eq!(past.proven(start, end).await, end - start);
}

#[tokio::test]
async fn a_row_for_which_the_archive_fails_costs_its_second() {
    spoils_its_page(Fault::ErrorEmpty { status: 500 }).await;
}

#[tokio::test]
async fn a_row_for_which_the_archive_refuses_costs_its_second() {
    spoils_its_page(Fault::ErrorEmpty { status: 400 }).await;
}

#[tokio::test]
async fn a_row_that_the_database_refuses_costs_itself() {
    let past = Past::start(options(7, 30.0), On::Sqlite).await;
    drop(past.store().await);
    let end = past.now() - DAY;
    let start = end - 40 * HOUR;
    let bad = past.truth(start, end)[300].clone();
    let trigger = format!(
        "CREATE TRIGGER refuses BEFORE INSERT ON submissions WHEN NEW.id = '{bad}'
         BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    );
    let mut connection = connect(&past).await;
    connection
        .execute(sqlx::AssertSqlSafe(trigger))
        .await
        .unwrap();
    let (since, until_time) = (time(start), time(end));
    past.try_run(&["backfill", NAME, "--since", &since, "--until", &until_time])
        .await
        .ended_with(1)
        .says(&["not proven complete"]);
    let mut expected = past.truth(start, end);
    expected.retain(|id| *id != bad);
    assert_eq!(past.stored().await, expected);
    let kept: (String, i64) = sqlx::query_as("SELECT reason, times FROM undecodable")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(kept.0.contains("not this one"), "{kept:?}");
    assert_eq!(kept.1, 1);
    assert_eq!(past.status(1).await["state"], "done");
}

#[tokio::test]
async fn a_line_of_a_file_that_the_database_refuses_costs_itself() {
    let past = Past::start(options(7, 30.0), On::Sqlite).await;
    drop(past.store().await);
    let trigger = "CREATE TRIGGER refuses BEFORE INSERT ON submissions WHEN NEW.id = 'a137'
                   BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    let mut connection = connect(&past).await;
    connection.execute(trigger).await.unwrap();
    let line = |number: i64| {
        let at = 1_700_000_000 + number;
        format!(
            r#"{{"id":"a{}","name":"t3_a{}","subreddit":"{NAME}","title":"t","author":"a","created_utc":{at}}}"#,
            100 + number,
            100 + number,
        )
    };
    let text: String = (0..200).map(|number| line(number) + "\n").collect();
    past.home.write("RS.ndjson", &text);
    let file = past.home.path().join("RS.ndjson");
    past.run(&["backfill", NAME, "--source", file.to_str().unwrap()])
        .await;
    assert_eq!(past.stored().await.len(), 199);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM undecodable")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}
