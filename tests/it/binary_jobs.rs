//! `freshet jobs`: looking at what was set aside, and deciding.

use super::support::binary::Home;
use freshet::store::{Failure, FailureKind, FetchRecord, PollRecord, Store};
use freshet::submission::{Observation, SubmissionId, decode};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{Connection, SqliteConnection};

fn seen(id: &str) -> Observation {
    let raw = format!(
        r#"{{"id":"{id}","name":"t3_{id}","created_utc":1700000000,"subreddit":"rust","title":"A title"}}"#
    );
    decode(RawValue::from_string(raw).unwrap(), 1).unwrap()
}

/// A database with two jobs set aside and one that waits.
async fn home() -> (Home, Store) {
    let home = Home::new();
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let store = Store::connect(&url, 2).await.unwrap();
    store.migrate().await.unwrap();
    let listed = [seen("a1"), seen("b2"), seen("c3")];
    let poll = PollRecord {
        listed: &listed,
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: 1,
    };
    store.record_poll(&poll).await.unwrap();
    for (text, reason) in [("a1", "panicked: boom"), ("b2", "ran out of time")] {
        let id: SubmissionId = text.parse().unwrap();
        let ids = std::slice::from_ref(&id);
        // The first never ended.
        for (by, started_ms) in [
            ("worker-4710-7d11e2f3", 1_000),
            ("worker-4711-9f2c01ab", 5_000),
        ] {
            let begun = store.start_attempts(ids, by, started_ms);
            begun.await.unwrap();
        }
        let failure = Failure {
            by: "worker-4711-9f2c01ab",
            kind: FailureKind::Panicked,
            reason,
            now_ms: 6_250,
        };
        store.fail_fetch(&id, failure, 7_000).await.unwrap();
        store.set_aside(&id, reason, 8).await.unwrap();
    }
    (home, store)
}

async fn listed(home: &Home, more: &[&str]) -> Vec<String> {
    let line = [&["jobs", "dead", "--json"], more].concat();
    let json: Value = serde_json::from_str(&home.run(&line).await.ended_with(0).stdout).unwrap();
    let ids = json.as_array().unwrap().iter();
    ids.map(|dead| dead["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn what_was_set_aside_is_listed_shown_and_decided_on() {
    let (home, _store) = home().await;
    assert_eq!(listed(&home, &[]).await, ["a1", "b2"]);
    assert_eq!(listed(&home, &["--reason", "boom"]).await, ["a1"]);
    assert!(
        listed(&home, &["--subreddit", "elsewhere"])
            .await
            .is_empty()
    );

    let table = home.run(&["jobs", "dead"]).await.ended_with(0).stdout;
    assert!(
        table.contains("panicked: boom") && table.contains("rust"),
        "{table}"
    );
    assert!(
        table.lines().all(|line| line.chars().count() <= 80),
        "{table}"
    );

    let shown = home.run(&["jobs", "show", "t3_a1"]).await.ended_with(0);
    for words in ["a1", "panicked: boom", "A title", "2, left out of 0"] {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }
    let json = home
        .run(&["jobs", "show", "a1", "--json"])
        .await
        .ended_with(0);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&json["attempts"], &json["status"]),
        (&2.into(), &"discovered".into())
    );
    let history = serde_json::json!([
        {"started_ms": 1_000, "by": "worker-4710-7d11e2f3", "ended_ms": null,
         "kind": "never_ended", "reason": null},
        {"started_ms": 5_000, "by": "worker-4711-9f2c01ab", "ended_ms": 6_250,
         "kind": "panicked", "reason": "panicked: boom"},
    ]);
    assert_eq!(json["history"], history);
    let told = shown.stdout.as_str();
    for words in [
        "STARTED",
        "worker-4710-7d11e2f3       –  did not end: its process was",
        "worker-4711-9f2c01ab   1.2 s  panicked: boom",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );

    home.run(&["jobs", "retry", "a1"])
        .await
        .ended_with(0)
        .says(&["1 will be tried again"]);
    // What happened before is not forgotten.
    let retried = home.run(&["jobs", "show", "a1", "--json"]).await;
    let retried: Value = serde_json::from_str(&retried.ended_with(0).stdout).unwrap();
    assert_eq!(
        (&retried["history"], &retried["dead_at"]),
        (&history, &Value::Null)
    );
    let waits = home.run(&["jobs", "show", "a1"]).await.ended_with(0);
    assert!(waits.stdout.contains("it waits for its turn"), "{waits:?}");
    home.run(&["jobs", "discard", "--all"])
        .await
        .ended_with(0)
        .says(&["1 discarded"]);
    assert!(listed(&home, &[]).await.is_empty());
    home.run(&["jobs", "dead"])
        .await
        .ended_with(0)
        .says(&["No job is set aside"]);
}

#[tokio::test]
async fn nothing_is_decided_without_saying_for_which() {
    let (home, store) = home().await;
    for verb in ["retry", "discard"] {
        home.run(&["jobs", verb])
            .await
            .ended_with(2)
            .says(&["--all"]);
        home.run(&["jobs", verb, "--all", "a1"]).await.ended_with(2);
        home.run(&["jobs", verb, "c3"])
            .await
            .ended_with(1)
            .says(&["freshet jobs dead"]);
    }
    home.run(&["jobs", "show", "zz"])
        .await
        .ended_with(1)
        .says(&["zz has no job"]);
    assert_eq!(listed(&home, &[]).await.len(), 2);
    let fetched = [seen("a1")];
    let record = FetchRecord {
        observations: &fetched,
        undecodable: &[],
        deferred: &[],
        unavailable: &[],
        by: "w",
        now_ms: 9,
    };
    // One that came after all is no job any more.
    store.record_fetches(&record).await.unwrap();
    assert_eq!(listed(&home, &[]).await, ["b2"]);
}

#[tokio::test]
async fn no_control_character_of_a_stored_text_reaches_the_terminal() {
    let (home, store) = home().await;
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    // A title that clears the screen, sets another, rings, and turns round what follows; and one
    // of the second set, that JSON lets through.
    let rust = "rust".parse().unwrap();
    store.add_subreddit(&rust, 1).await.unwrap();
    let odd = "scarlet\u{1b}[2J\u{1b}]0;x\u{7}\r\nnew\u{9b}31m \u{202e}thgir\u{7f}";
    for sql in [
        "UPDATE submissions SET title = $1, permalink = $1",
        "UPDATE fetches SET reason = $1, subreddit = $1, history =
             json_array(json_object('kind', 'panicked', 'reason', $1, 'by', $1), 'odd')",
        "UPDATE subreddits SET state = 'unavailable', reason = $1",
    ] {
        let query = sqlx::query(sql).bind(odd);
        query.execute(&mut database).await.unwrap();
    }
    for line in [
        &["jobs", "dead"][..],
        &["jobs", "show", "a1"],
        &["subreddits", "list"],
        &["status"],
    ] {
        for json in [&[][..], &["--json"]] {
            let ended = home.run(&[line, json].concat()).await.ended_with(0);
            for text in [&ended.stdout, &ended.stderr] {
                let obeyed = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}');
                assert_eq!(text.find(obeyed), None, "{line:?} {json:?}: {text:?}");
            }
            assert!(
                ended.stdout.contains("scarlet"),
                "{line:?}: {}",
                ended.stdout
            );
            if !json.is_empty() {
                let value: Value = serde_json::from_str(&ended.stdout).unwrap();
                assert!(value.to_string().contains(&json_text(odd)), "{value}");
            }
        }
    }
}

fn json_text(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.trim_matches('"').to_owned()
}
