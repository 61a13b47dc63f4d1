//! Pages with spoilt submissions, through the whole pipeline into either store: what is good is
//! stored, and what is not stops nothing.

use crate::support::canned::{self, Asked, Server};
use crate::support::mutate::{Spoiler, listing};
use crate::support::pipeline::{Engines, Ground, Pipeline};
use freshet::simulator::{Simulator, SimulatorOptions};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

const CHILDREN: usize = 300;

/// Every other one is good.
fn is_good(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn id(number: usize) -> String {
    format!(
        "{}{number:03}",
        if is_good(number) { "good" } else { "odd" }
    )
}

fn child(number: usize, now: i64) -> Value {
    let id = id(number);
    let created = now - 60 - i64::try_from(number).unwrap() * 5;
    json!({"kind": "t3", "data": {
        "id": id, "name": format!("t3_{id}"), "created_utc": created, "subreddit": "rust",
        "author": "someone", "title": format!("Number {number}"), "selftext": "Text", "url": "https://example.org/",
        "permalink": format!("/r/rust/comments/{id}/number/"), "domain": "example.org", "score": 1,
        "num_comments": 0, "upvote_ratio": 1.0, "over_18": false, "spoiler": false, "stickied": false,
        "locked": false, "is_self": false, "link_flair_text": null, "edited": false,
        "removed_by_category": null, "media": {"oembed": {"html": "a"}},
    }})
}

fn answer(asked: &Asked, spoiler: &Mutex<Spoiler>, now: i64) -> canned::Answer {
    let parameter = |name: &str| {
        let found = asked
            .query
            .split('&')
            .find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    let number = |name: &str| (0..CHILDREN).find(|number| format!("t3_{}", id(*number)) == name);
    let (numbers, after) = if asked.path == "/api/info" {
        let ids = parameter("id").unwrap();
        (ids.split(',').filter_map(number).collect::<Vec<_>>(), None)
    } else {
        let from = match parameter("after") {
            None => 0,
            Some(anchor) => number(&anchor).map_or(CHILDREN, |it| it + 1),
        };
        let limit: usize = parameter("limit").unwrap().parse().unwrap();
        let until = CHILDREN.min(from + limit);
        let last = (from..until).last().filter(|_| until < CHILDREN);
        (
            (from..until).collect(),
            last.map(|it| format!("t3_{}", id(it))),
        )
    };
    let children: Vec<Vec<u8>> = numbers
        .into_iter()
        .map(|number| {
            let child = child(number, now);
            if is_good(number) {
                child.to_string().into_bytes()
            } else {
                spoiler.lock().unwrap().child(&child)
            }
        })
        .collect();
    let body = listing(&children);
    let after = format!(r#""after":{}"#, json!(after));
    let place = body
        .windows(12)
        .position(|it| it == br#""after":null"#)
        .unwrap();
    let mut whole = body;
    whole.splice(place..place + 12, after.into_bytes());
    canned::Answer {
        body: whole.into(),
        ..canned::Answer::json(200, "")
    }
}

async fn through(engines: Engines) {
    let now = chrono::Utc::now().timestamp();
    let spoiler = Mutex::new(Spoiler::new(5));
    let server = Server::start(move |asked| answer(asked, &spoiler, now)).await;
    let ground = Ground::new(engines).await;
    // Only for its usual settings.
    let simulator = Simulator::start(SimulatorOptions::default()).await.unwrap();
    let url = server.url.to_string();
    let settings = [
        ("reddit.api_url", url.as_str()),
        ("reddit.auth_url", url.as_str()),
        ("discover.interval", "500ms"),
    ];
    let config = ground.config(&simulator, &settings);
    let pipeline = Pipeline::start(config, vec!["rust".parse().unwrap()]).await;
    let good: BTreeSet<String> = (0..CHILDREN).filter(|it| is_good(*it)).map(id).collect();
    let fetched = async || {
        let ids = ground
            .texts("SELECT id FROM submissions WHERE status = 'fetched'")
            .await;
        BTreeSet::from_iter(ids)
    };
    pipeline
        .until(
            "every good one is fetched",
            Duration::from_secs(60),
            async |_| good.is_subset(&fetched().await),
        )
        .await;
    pipeline
        .until(
            "a window is complete",
            Duration::from_secs(60),
            async |_| {
                let sql = "SELECT outcome FROM poll_windows WHERE outcome = 'complete'";
                !ground.texts(sql).await.is_empty()
            },
        )
        .await;
    let odd = fetched().await.difference(&good).count();
    let kept = ground.texts("SELECT raw FROM undecodable").await.len();
    println!(
        "{engines:?}: {} good and {odd} odd ones fetched, {kept} kept raw",
        good.len()
    );
    assert!(odd > 10 && kept > 10, "{odd}, {kept}");
    pipeline.stop().await;
}

#[tokio::test]
async fn good_submissions_beside_spoilt_ones_are_stored_in_sqlite() {
    through(Engines::Sqlite).await;
}

#[tokio::test]
async fn good_submissions_beside_spoilt_ones_are_stored_in_postgres() {
    through(Engines::Servers).await;
}
