//! The watched list and the status, beside a pipeline that runs.

use super::support::binary::{Finished, Home, PATIENCE};
use super::support::postgres::fresh_database;
use super::support::redis::RedisServer;
use super::support::world::World;
use freshet::simulator::SubredditState;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

fn fetched(status: &Value) -> u64 {
    status["fetched"].as_u64().unwrap()
}

fn subreddit<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let listed = status["subreddits"].as_array().unwrap();
    listed.iter().find(|it| it["name"] == name)
}

async fn a_running_scheduler_follows(flags: &[&str]) {
    let world = World::with(10).await;
    world.publish("science", None);
    let home = world.home();
    let run = home.start(&[&["run", "rust"], flags].concat());
    run.until_status("rust is fetched", |it| fetched(it) == 10)
        .await;
    let act = async |action: &str, name: &str| -> Finished {
        let line = [&["subreddits", action, name], flags].concat();
        home.run(&line).await.ended_with(0)
    };

    act("add", "r/Science")
        .await
        .says(&["r/science is watched now"]);
    act("add", "science")
        .await
        .says(&["watched already (active)"]);
    run.until_status("science is fetched", |it| fetched(it) == 11)
        .await;

    act("pause", "science").await.says(&["r/science is paused"]);
    run.until_status("it is paused", |it| {
        subreddit(it, "science").unwrap()["state"] == "paused"
    })
    .await;
    // A poll that was under way may still have seen the next one: this one stands for those after.
    world.publish("rust", None);
    run.until_status("rust goes on", |it| fetched(it) == 12)
        .await;
    world.publish("science", None);
    world.publish("rust", None);
    let status = run
        .until_status("rust goes on", |it| fetched(it) >= 13)
        .await;
    assert_eq!(fetched(&status), 13, "the paused one is not looked at");

    act("resume", "science").await.says(&["polled again"]);
    run.until_status("what came meanwhile is fetched", |it| fetched(it) == 14)
        .await;

    act("remove", "science")
        .await
        .says(&["no longer watched", "stays"]);
    let status = run
        .until_status("it is gone", |it| subreddit(it, "science").is_none())
        .await;
    assert_eq!(fetched(&status), 14);
    let metrics = run.metrics().await;
    assert!(metrics.total("freshet_submissions_discovered_total") >= 14.0);
}

#[tokio::test]
async fn a_running_scheduler_follows_the_list_on_sqlite() {
    a_running_scheduler_follows(&[]).await;
}

#[tokio::test]
async fn a_running_scheduler_follows_the_list_on_postgres() {
    let (database, redis) = (fresh_database().await, RedisServer::start());
    let queue = redis.url();
    a_running_scheduler_follows(&["--database-url", &database, "--queue-url", &queue]).await;
}

#[tokio::test]
async fn one_that_goes_away_says_why_and_comes_back_by_itself() {
    let world = World::with(3).await;
    world.publish("science", None);
    let home = world.home();
    let run = home.start(&["run", "rust", "science", "nosuchplace"]);
    let status = run
        .until_status("one does not exist", |it| {
            fetched(it) == 4 && subreddit(it, "nosuchplace").unwrap()["state"] == "unavailable"
        })
        .await;
    let reason = &subreddit(&status, "nosuchplace").unwrap()["reason"];
    assert_eq!(reason, "nonexistent");
    let science = "science".parse().unwrap();
    let control = world.control();
    control
        .set_subreddit_state(&science, SubredditState::Private)
        .unwrap();
    run.until_status("it is private", |it| {
        subreddit(it, "science").unwrap()["reason"] == "private"
    })
    .await;
    control
        .set_subreddit_state(&science, SubredditState::Public)
        .unwrap();
    world.publish("science", None);
    // It is looked at again after minutes; resuming looks at once.
    home.run(&["subreddits", "resume", "science"])
        .await
        .ended_with(0);
    run.until_status("it is back", |it| {
        fetched(it) == 5 && subreddit(it, "science").unwrap()["state"] == "active"
    })
    .await;
}

#[tokio::test]
async fn a_bad_name_is_named_and_nothing_is_done_by_halves() {
    let home = Home::new();
    for bad in [
        "no such",
        "a",
        "r/",
        "über",
        "-x",
        "https://example.org/r/rust",
        "",
    ] {
        for action in ["add", "remove", "pause", "resume"] {
            let line = ["subreddits", action, "rust", bad];
            home.run(&line).await.ended_with(2).says(&[bad]);
        }
    }
    home.run(&["migrate"]).await.ended_with(0);
    let listed = home.run(&["subreddits", "list", "--json"]).await;
    assert_eq!(listed.ended_with(0).stdout.trim(), "[]");

    home.run(&["subreddits", "add", "rust", "R/rust", "/r/Science/"])
        .await
        .ended_with(0);
    // What is not on the list is an error, after the others were done.
    home.run(&["subreddits", "pause", "nothere", "rust", "nowhere"])
        .await
        .ended_with(1)
        .says(&[
            "r/rust is paused",
            "r/nothere, r/nowhere are not on the watched list",
        ]);
    let listed = home.run(&["subreddits", "list", "--json"]).await.stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let states: Vec<(&Value, &Value)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["name"], &it["state"]))
        .collect();
    let expected = ["rust", "paused", "science", "active"].map(Value::from);
    let [a, b, c, d] = &expected;
    assert_eq!(states, [(a, b), (c, d)]);
}

#[tokio::test]
async fn status_reads_alone_and_beside_a_running_process() {
    let world = World::with(20).await;
    let home = world.home();
    let mut run = home.start(&["run", "rust"]);
    run.until_status("all is fetched", |it| fetched(it) == 20)
        .await;
    let listen = run.address().await.to_string();
    let planned = |it: &Value| it["freshness"]["proof_period_seconds"].as_f64() > Some(0.0);
    let status = run.until_status("polls are planned", planned).await;
    let freshness = &status["freshness"];
    assert_eq!(freshness["objective_met"], true, "{status}");
    assert_eq!(freshness["id_scan"], false, "{status}");
    for number in ["longest_interval_seconds", "needed_per_minute"] {
        assert!(freshness[number].as_f64() > Some(0.0), "{status}");
    }

    assert!(
        freshness["requests_per_minute"]["poll"].as_f64() > Some(0.0),
        "{status}"
    );

    // What the process that polls tells is read from the database where it cannot be asked.
    let apart = ["status", "--http-listen", "127.0.0.1:1"];
    let apart = home.run(&apart).await.stdout;
    for line in ["Objective    met", "Requests     a minute: "] {
        assert!(apart.lines().any(|it| it.starts_with(line)), "{apart}");
    }

    let beside = home.run(&["status", "--http-listen", &listen]).await;
    assert!(beside.stdout.starts_with("SIMULATED"), "{beside:?}");
    assert!(beside.stdout.contains("20 stored, 20 fetched"));
    assert!(
        beside.stdout.contains("100000 requests a minute"),
        "{beside:?}"
    );
    for line in [
        "Objective    met",
        "Polls        at most",
        "Proofs       every",
    ] {
        let line = beside.stdout.lines().find(|it| it.starts_with(line));
        assert!(line.is_some_and(|it| it.len() <= 80), "{beside:?}");
    }
    assert_eq!(beside.ended_with(0).stderr, "");

    let json = home
        .run(&["status", "--json", "--http-listen", &listen])
        .await
        .ended_with(0);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let served = run.status().await;
    assert_eq!(keys_of(&json), keys_of(&served));
    assert_eq!(
        (&json["simulated"], &json["fetched"]),
        (&true.into(), &20.into())
    );

    // Somebody else's process tells nothing about this database.
    let other = Home::new();
    other.run(&["migrate"]).await.ended_with(0);
    let other = other.run(&["status", "--http-listen", &listen]).await;
    assert!(other.stdout.contains("0 stored"), "{other:?}");
    assert!(!other.stdout.contains("Budget"), "{other:?}");
    assert!(!other.stdout.contains("Objective"), "{other:?}");
    other.ended_with(0).says(&[&listen]);

    run.signal("TERM");
    assert!(run.end(PATIENCE).await.success());
    let alone = home.run(&["status", "--http-listen", &listen]).await;
    assert!(alone.stdout.contains("20 stored, 20 fetched"));
    // The database remembers it.
    assert!(alone.stdout.starts_with("SIMULATED"), "{alone:?}");
    alone.ended_with(0).says(&["No process", &listen]);

    // Most worth reading when something is away.
    let away = ["--queue-url", "redis://127.0.0.1:1/"];
    let away = home.run(&[&["status"], &away[..]].concat()).await;
    assert!(away.stdout.contains("20 stored, 20 fetched"));
    assert!(away.stdout.contains("? waiting") && away.stdout.contains("it does not answer"));
    away.ended_with(0);
}

fn keys_of(status: &Value) -> Vec<&String> {
    status.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn tables_fit_eighty_columns() {
    let home = Home::new();
    let long = "a_name_of_21_letters_";
    home.run(&["subreddits", "add", long, "rust", "science"])
        .await
        .ended_with(0);
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let statement = "UPDATE subreddits SET submissions = 123456, posts_per_hour = 1234.5,
        covered_until = unixepoch() - 5900, last_submission_at = unixepoch() - 5900;
        UPDATE subreddits SET state = 'unavailable', reason = 'quarantined' WHERE name LIKE 'a%';
        UPDATE counters SET discovered = 12345678, fetched = 12345678, undecodable = 12345678";
    sqlx::raw_sql(statement)
        .execute(&mut database)
        .await
        .unwrap();
    for line in [&["status"][..], &["subreddits", "list"]] {
        let shown = home.run(line).await.ended_with(0).stdout;
        assert!(shown.contains(long) && shown.contains("quarantined"));
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[tokio::test]
async fn migrate_may_be_repeated() {
    let home = Home::new();
    let database = fresh_database().await;
    for flags in [&[][..], &["--database-url", &database]] {
        for _ in 0..2 {
            let done = home.run(&[&["migrate"], flags].concat()).await;
            done.ended_with(0).says(&["up to date"]);
        }
    }
}

#[tokio::test]
async fn one_whose_listing_fails_while_others_are_given_out_is_shown_as_suspect() {
    let home = Home::new();
    home.run(&["subreddits", "add", "rust", "kettles"])
        .await
        .ended_with(0);
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let store = freshet::store::Store::connect(&url, 1).await.unwrap();
    for suspect in [true, false] {
        let rust = "rust".parse().unwrap();
        store.suspect_subreddit(&rust, suspect).await.unwrap();
        let listed = home.run(&["subreddits", "list"]).await.ended_with(0);
        let row = |name: &str| {
            let row = listed.stdout.lines().find(|it| it.contains(name));
            row.unwrap().contains("active (suspect)")
        };
        assert_eq!(
            (row("rust"), row("kettles")),
            (suspect, false),
            "{listed:?}"
        );
        let json = home
            .run(&["subreddits", "list", "--json"])
            .await
            .ended_with(0);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        let flags: Vec<bool> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["suspect"].as_bool().unwrap())
            .collect();
        assert_eq!(flags, [false, suspect]);
        let status = home.run(&["status"]).await.ended_with(0);
        assert_eq!(status.stdout.contains("suspect"), suspect, "{status:?}");
    }
    store.close().await;
}
