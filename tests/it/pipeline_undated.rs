//! Submissions that are listed and cannot be dated or named: no time that may hold them is complete.

use crate::support::canned::{self, Asked, Server};
use crate::support::pipeline::{Engines, Ground, Pipeline};
use freshet::simulator::{Simulator, SimulatorOptions};
use freshet::store::{GapCause, GapState};
use serde_json::{Value, json};
use std::time::Duration;

const COUNT: i64 = 60;
const APART: i64 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// How one of the listed is odd.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Odd {
    /// It comes with this for its time.
    Time(&'static str),
    WithoutTime,
    WithoutId,
    WithoutAnything,
    WithoutKind,
    WithoutData,
    /// No submission at all.
    Comment,
}

/// By their number, from the newest: what is not in it is as it should be.
const ODD: [(i64, Odd); 10] = [
    (8, Odd::WithoutTime),
    (14, Odd::Time("null")),
    (15, Odd::Time("\"soon\"")),
    (22, Odd::Time("-5")),
    (28, Odd::Time("\"NaN\"")),
    (34, Odd::WithoutId),
    (37, Odd::WithoutAnything),
    (43, Odd::WithoutKind),
    (48, Odd::WithoutData),
    (53, Odd::Comment),
];

fn created(number: i64, now: i64) -> i64 {
    now - 300 - number * APART
}

fn child(number: i64, now: i64) -> String {
    let id = format!("u{number:02}");
    let created = created(number, now);
    let mut child = json!({"kind": "t3", "data": {
        "id": id, "name": format!("t3_{id}"), "created_utc": created, "subreddit": "rust", "title": "a",
    }});
    let odd = ODD.iter().find(|(it, _)| *it == number).map(|(_, odd)| odd);
    let data = child["data"].as_object_mut().unwrap();
    match odd {
        None => {}
        Some(Odd::Time(time)) => {
            data["created_utc"] = serde_json::from_str(time).unwrap();
        }
        Some(Odd::WithoutTime) => drop(data.remove("created_utc")),
        Some(Odd::WithoutId) => {
            data["id"] = json!(7);
            data.remove("name");
        }
        Some(Odd::WithoutAnything) => data.retain(|key, _| key == "title"),
        Some(Odd::WithoutKind) => {
            child["kind"] = Value::Null;
        }
        Some(Odd::WithoutData) => {
            child["data"] = Value::Null;
        }
        Some(Odd::Comment) => {
            child["kind"] = json!("t1");
        }
    }
    child.to_string()
}

fn answer(asked: &Asked, now: i64) -> canned::Answer {
    let parameter = |name: &str| {
        let mut pairs = asked.query.split('&').filter_map(|it| it.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let number = |name: &str| name.strip_prefix("t3_u")?.parse::<i64>().ok();
    let numbers: Vec<i64> = if asked.path == "/api/info" {
        let ids = parameter("id").unwrap_or_default();
        ids.split(',').filter_map(number).collect()
    } else {
        let first = parameter("after").map_or(Some(0), |it| Some(number(it)? + 1));
        (first.unwrap_or(COUNT)..COUNT).collect()
    };
    let children: Vec<String> = numbers.into_iter().map(|it| child(it, now)).collect();
    canned::listing(&children, None)
}

async fn nothing_is_proven_of_them(engines: Engines) {
    let now = chrono::Utc::now().timestamp();
    let server = Server::start(move |asked| answer(asked, now)).await;
    let ground = Ground::new(engines).await;
    let simulator = Simulator::start(SimulatorOptions::default()).await.unwrap();
    let url = server.url.to_string();
    let settings = [
        ("reddit.api_url", url.as_str()),
        ("reddit.auth_url", url.as_str()),
        ("discover.interval", "500ms"),
        ("discover.first_window", "1h"),
    ];
    let config = ground.config(&simulator, &settings);
    let name = "rust".parse().unwrap();
    let pipeline = Pipeline::start(config, vec![name]).await;
    let name = "rust".parse().unwrap();
    let store = pipeline.store().clone();
    // Two walks: what the first leaves is the same for the second.
    pipeline
        .until("two windows are complete", PATIENCE, async |_| {
            let windows = store.poll_windows(&name, 100).await.unwrap();
            windows.len() >= 2
        })
        .await;
    let proven = store.coverage(&name).await.unwrap();
    let gaps = store.gaps(Some(&name), Some(GapState::Open)).await.unwrap();
    pipeline.stop().await;
    for number in 0..COUNT {
        let at = created(number, now);
        let odd = ODD.iter().find(|(it, _)| *it == number);
        let is_proven = proven
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at));
        let is_gap = gaps.iter().any(|gap| {
            gap.cause == GapCause::NotStored && (gap.interval.start..gap.interval.end).contains(&at)
        });
        match odd {
            Some((_, Odd::Comment)) => assert!(is_proven, "{number}: {proven:?}"),
            Some((_, odd)) => {
                assert!(!is_proven, "{number}, {odd:?}: {proven:?}");
                assert!(is_gap, "{number}, {odd:?}: {gaps:?}");
            }
            // No more than its neighbours are in doubt.
            None if ODD.iter().all(|(it, _)| (it - number).abs() > 3) => {
                assert!(is_proven, "{number}: {proven:?}");
            }
            None => {}
        }
    }
}

#[tokio::test]
async fn what_is_listed_without_a_time_costs_the_time_that_it_may_lie_in_on_sqlite() {
    nothing_is_proven_of_them(Engines::Sqlite).await;
}

#[tokio::test]
async fn what_is_listed_without_a_time_costs_the_time_that_it_may_lie_in_on_postgres() {
    nothing_is_proven_of_them(Engines::Servers).await;
}
