//! What is proven and what is not, as the program tells it.

use super::support::binary::Home;
use super::support::postgres::fresh_database;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

const HOUR: i64 = 3_600;
/// 2026-01-31T00:00:00Z.
const DAY: i64 = 1_769_817_600;

/// A database in which r/rust is proven but for an hour, and r/science has just been added.
async fn known(home: &Home, database: &str) {
    let flags = ["--database-url", database];
    let line = [&["subreddits", "add", "rust", "science"], &flags[..]].concat();
    home.run(&line).await.ended_with(0);
    let rows = format!(
        "INSERT INTO coverage (subreddit, covered_start, covered_end)
             VALUES ('rust', {DAY}, {five}), ('rust', {six}, {twenty});
         INSERT INTO gaps (subreddit, gap_start, gap_end, cause, state, opened_at, reason)
             VALUES ('rust', {five}, {six}, 'cap', 'open', {six}, 'beyond_listing')",
        five = DAY + 5 * HOUR,
        six = DAY + 6 * HOUR,
        twenty = DAY + 20 * HOUR,
    );
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(rows));
    if database.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(database).await.unwrap();
        rows.execute(&mut connection).await.unwrap();
    } else {
        let mut connection = PgConnection::connect(database).await.unwrap();
        rows.execute(&mut connection).await.unwrap();
    }
}

async fn tells_which_times_are_proven(database: &str, home: &Home) {
    known(home, database).await;
    let ask = async |line: &[&str]| {
        let flags = ["--database-url", database];
        let finished = home.run(&[&["coverage"], line, &flags].concat()).await;
        finished.ended_with(0).stdout
    };
    let day = ["--since", "2026-01-31", "--until", "2026-02-01"];

    let told = ask(&[&["r/Rust"], &day[..]].concat()).await;
    for line in [
        "r/rust: 79.1 % of 24 h proven, 1 gap",
        "2026-01-31T00:00:00Z  2026-01-31T05:00:00Z     5 h  proven",
        "gap: cap, beyond_listing",
        "2026-01-31T20:00:00Z  2026-02-01T00:00:00Z     4 h  not proven",
    ] {
        assert!(told.contains(line), "{line} in\n{told}");
    }
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );

    let all: Value = serde_json::from_str(&ask(&[&["--json"], &day[..]].concat()).await).unwrap();
    let names: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["subreddit"])
        .collect();
    assert_eq!(names, ["rust", "science"]);
    let rust = &all[0];
    assert_eq!(rust["proven_seconds"], 19 * HOUR);
    assert_eq!(rust["gap_seconds"], HOUR);
    assert_eq!(rust["unproven_seconds"], 4 * HOUR);
    let gap = json!({
        "start": DAY + 5 * HOUR, "end": DAY + 6 * HOUR,
        "state": "gap", "cause": "cap", "reason": "beyond_listing"
    });
    assert_eq!(rust["intervals"][1], gap);
    assert_eq!(all[1]["unproven_seconds"], 24 * HOUR);

    // From the first that is known until now, unless it is asked otherwise.
    let told = ask(&["rust", "--json"]).await;
    let whole: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(whole[0]["since"], DAY);
    assert!(whole[0]["until"].as_i64().unwrap() > DAY + 86_400);
}

#[tokio::test]
async fn coverage_tells_which_times_are_proven_on_sqlite() {
    let home = Home::new();
    let database = format!("sqlite://{}/freshet.db", home.path().display());
    tells_which_times_are_proven(&database, &home).await;
}

#[tokio::test]
async fn coverage_tells_which_times_are_proven_on_postgres() {
    tells_which_times_are_proven(&fresh_database().await, &Home::new()).await;
}

#[tokio::test]
async fn coverage_of_what_is_not_watched_or_of_no_time_is_refused() {
    let home = Home::new();
    home.run(&["coverage"]).await;
    home.run(&["subreddits", "add", "rust"]).await.ended_with(0);
    home.run(&["coverage", "nosuchplace"])
        .await
        .ended_with(1)
        .says(&["r/nosuchplace is not on the watched list"]);
    home.run(&["coverage", "--since", "2026-02-01", "--until", "2026-01-31"])
        .await
        .ended_with(2)
        .says(&["2026-02-01T00:00:00Z", "is not before"]);
    home.run(&["coverage", "--since", "soon"])
        .await
        .ended_with(2)
        .says(&["soon", "how long ago"]);
    // What was just added and never polled is no fault.
    let fresh = home.run(&["coverage", "rust"]).await.ended_with(0);
    assert!(fresh.stdout.contains("r/rust: 0.0 %"), "{}", fresh.stdout);
}
