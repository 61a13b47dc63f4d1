//! The archive beside the simulated Reddit.

use super::client::{Reddit, START_MS, busy, oddities, still, subreddit};
use freshet::simulator::{
    ArchiveOptions, Command, Corpus, CorpusMode, Endpoint, Fault, Publication, Removal,
    SimulatorOptions,
};
use freshet::submission::{SubmissionId, SubredditName};
use reqwest::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const START_S: i64 = START_MS / 1000;
const HOUR_S: i64 = 3600;

fn archive() -> ArchiveOptions {
    ArchiveOptions {
        requests_per_minute: 0,
        ..ArchiveOptions::default()
    }
}

/// Asks without a token.
async fn ask(reddit: &Reddit, path: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", reddit.simulator.url());
    let answer = reddit.http.get(url).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn rows(reddit: &Reddit, path: &str) -> Vec<Value> {
    let (status, body) = ask(reddit, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["data"].as_array().unwrap().clone()
}

async fn ids(reddit: &Reddit, path: &str) -> Vec<String> {
    let rows = rows(reddit, path).await;
    rows.iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn refused(reddit: &Reddit, path: &str, status: u16) -> String {
    let (got, body) = ask(reddit, path).await;
    assert_eq!(got, status, "{path}: {body}");
    assert!(body["data"].is_null());
    body["error"].as_str().unwrap().to_owned()
}

fn texts(ids: &[SubmissionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Whole seconds; the oddities of Reddit's own fields are not looked for here.
fn created(row: &Value) -> i64 {
    let time = &row["created_utc"];
    time.as_f64()
        .or_else(|| time.as_str()?.parse().ok())
        .unwrap() as i64
}

/// Everything from `start` on and before `end`, page by page, as a client must ask that knows
/// neither bound to be inclusive: each page begins a second before the last row of the one before.
async fn walk(
    reddit: &Reddit,
    name: &SubredditName,
    (start, end): (i64, i64),
    limit: usize,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut after = start - 1;
    loop {
        let path =
            format!("/api/posts/search?subreddit={name}&sort=asc&after={after}&limit={limit}");
        let page = rows(reddit, &path).await;
        let times: Vec<i64> = page.iter().map(created).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(times.iter().all(|time| *time >= after));
        let inside = page
            .iter()
            .filter(|row| (start..end).contains(&created(row)));
        found.extend(inside.map(|row| row["id"].as_str().unwrap().to_owned()));
        match times.last() {
            Some(last) if page.len() == limit && *last < end => {
                assert!(last - 1 > after, "a second has more than a page");
                after = last - 1;
            }
            _ => return found,
        }
    }
}

#[tokio::test]
async fn paging_by_time_finds_what_the_truth_tells_however_the_bounds_are_meant() {
    for inclusive in [false, true] {
        let reddit = Reddit::start(SimulatorOptions {
            archive: ArchiveOptions {
                after_inclusive: inclusive,
                before_inclusive: inclusive,
                ..archive()
            },
            ..busy(
                7,
                oddities("realistic,faults=0,slow=0,odd_text=0,equal_timestamps=0.3"),
            )
        })
        .await;
        let control = reddit.simulator.control();
        let mut all = 0;
        for name in control.subreddits() {
            for span in [(0, START_S + 1), (START_S - 9 * HOUR_S, START_S - HOUR_S)] {
                let truth = control.archive_truth(&name, span.0, span.1);
                all += truth.len();
                let truth: BTreeSet<String> = texts(&truth).into_iter().collect();
                assert_eq!(walk(&reddit, &name, span, 20).await, truth, "{name}");
            }
        }
        assert!(all > 1000, "{all}");
        // The truth itself: all that was ever listed and is old enough.
        let listed = control
            .truth()
            .into_iter()
            .filter(|truth| {
                let listed_ms = truth.listed_ms.first().map(|(from_ms, _)| *from_ms);
                listed_ms.is_some() && truth.created_utc < START_S - 61
            })
            .count();
        let archived: usize = control
            .subreddits()
            .iter()
            .map(|name| control.archive_truth(name, 0, START_S - 61).len())
            .sum();
        assert_eq!(archived, listed);
    }
}

#[tokio::test]
async fn each_bound_lets_its_own_second_through_only_where_it_is_inclusive() {
    for (after_inclusive, before_inclusive, expected) in [
        (false, false, 1..2),
        (true, false, 0..2),
        (false, true, 1..3),
        (true, true, 0..3),
    ] {
        let reddit = Reddit::start(SimulatorOptions {
            archive: ArchiveOptions {
                lag: Duration::ZERO,
                after_inclusive,
                before_inclusive,
                ..archive()
            },
            ..still()
        })
        .await;
        let made = texts(&reddit.fill(3));
        let (from, until) = (START_S + 1, START_S + 3);
        for unit in ["", "000"] {
            let path = format!(
                "/api/posts/search?subreddit=Kettles&sort=asc&after={from}{unit}&before={until}{unit}"
            );
            assert_eq!(ids(&reddit, &path).await, made[expected.clone()], "{path}");
        }
        let at = "2026-06-03T15:11:09Z";
        let path = format!("/api/posts/search?subreddit=kettles&before={at}");
        let newest = ids(&reddit, &path).await;
        assert_eq!(newest[0], made[usize::from(before_inclusive)]);
    }
}

#[tokio::test]
async fn equal_timestamps_meet_the_borders_of_pages() {
    let world = |list: &str| SimulatorOptions {
        archive: archive(),
        ..busy(3, oddities(list))
    };
    let reddit = Reddit::start(world("equal_timestamps=0.5")).await;
    let control = reddit.simulator.control();
    let name = control.subreddits().remove(0);
    let mut border = 0;
    let mut last: Option<i64> = None;
    let all = control.archive_truth(&name, 0, START_S);
    for page in all.chunks(10) {
        let path = format!("/api/posts/ids?ids={}", texts(page).join(","));
        let times: Vec<i64> = rows(&reddit, &path).await.iter().map(created).collect();
        border += usize::from(last == times.first().copied());
        last = times.last().copied();
    }
    assert!(border * 4 > all.len() / 10, "{border} of {}", all.len());
    let without = Reddit::start(world("none")).await;
    assert!(without.simulator.control().truth().len() < control.truth().len());
    // Even where each follows the one before at once, time goes on.
    let reddit = Reddit::start(SimulatorOptions {
        history: Duration::from_secs(6 * 3600),
        ..world("equal_timestamps=1")
    })
    .await;
    let times: Vec<i64> = reddit
        .simulator
        .control()
        .truth()
        .iter()
        .map(|truth| truth.created_utc)
        .collect();
    let seconds: BTreeSet<i64> = times.iter().copied().collect();
    assert!(seconds.len() > 100 && times.len() > 200 * seconds.len());
}

#[tokio::test]
async fn a_submission_comes_in_after_the_lag_and_stays_as_it_was_first_seen() {
    let reddit = Reddit::start(SimulatorOptions {
        archive: archive(),
        ..still()
    })
    .await;
    let control = reddit.simulator.control();
    let publish = |held| {
        let publication = Publication {
            selftext: Some("the first text".to_owned()),
            author: Some("someone".to_owned()),
            held,
            ..Publication::to(&subreddit("kettles"))
        };
        control.publish(publication).unwrap()
    };
    let (kept, held) = (publish(false), publish(true));
    let by_id = format!("/api/posts/ids?ids=t3_{kept},{held}");
    let search = "/api/posts/search?subreddit=kettles";
    control.advance(Duration::from_secs(59));
    assert!(ids(&reddit, search).await.is_empty());
    assert!(ids(&reddit, &by_id).await.is_empty());
    assert!(
        control
            .archive_truth(&subreddit("kettles"), 0, i64::MAX)
            .is_empty()
    );
    control
        .edit(&kept, Some("another text".to_owned()))
        .unwrap();
    control.remove(&kept, Removal::Reddit).unwrap();
    control.advance(Duration::from_secs(1));
    let seen = rows(&reddit, search).await;
    assert_eq!(seen, rows(&reddit, &by_id).await);
    let [row] = &*seen else {
        panic!("the held one is not there: {seen:?}")
    };
    assert_eq!(row["id"], kept.as_str());
    assert_eq!(row["selftext"], "the first text");
    assert_eq!(row["author"], "someone");
    assert!(row["removed_by_category"].is_null());
    assert_eq!(
        (&row["score"], &row["num_comments"]),
        (&1.into(), &0.into())
    );
    let retrieved = row["retrieved_on"].as_i64().unwrap();
    assert!((START_S..START_S + 15).contains(&retrieved), "{retrieved}");
    assert!(row["_meta"]["retrieved_2nd_on"].is_null());

    control.approve_late(&held).unwrap();
    control.advance(Duration::from_secs(60));
    assert_eq!(ids(&reddit, search).await, [held.as_str(), kept.as_str()]);

    control.advance(Duration::from_secs(36 * 3600));
    let again = rows(&reddit, search).await.pop().unwrap();
    let second = retrieved + 36 * HOUR_S;
    let meta = &again["_meta"];
    assert!((second..=second + 1).contains(&meta["retrieved_2nd_on"].as_i64().unwrap()));
    assert_eq!(meta["removal_type"], "reddit");
    assert_eq!(meta["is_edited"], true);
    assert_eq!(again["selftext"], "the first text");
    assert_eq!(again["retrieved_on"], retrieved);
}

#[tokio::test]
async fn real_objects_are_served_as_they_are() {
    let line = r#"{"id":"a1","subreddit":"Kettles","created_utc":100,"title":"old & <b>","retrieved_on":4}"#;
    let later =
        r#"{"id":"a1","subreddit":"Kettles","created_utc":100,"title":"later","retrieved_on":9}"#;
    let mut corpus = Corpus::default();
    corpus.add(format!("{later}\n{line}\n").as_bytes()).unwrap();
    let reddit = Reddit::start(SimulatorOptions {
        corpus: Some((corpus, CorpusMode::Listed)),
        archive: archive(),
        ..still()
    })
    .await;
    for path in ["search?subreddit=kettles", "ids?ids=a1"] {
        let answer = reddit.response(&format!("/api/posts/{path}")).await;
        assert_eq!(
            answer.text().await.unwrap(),
            format!("{{\"data\":[{line}]}}")
        );
    }
}

#[tokio::test]
async fn limits_and_orders_are_kept_and_wrong_queries_are_refused() {
    let reddit = Reddit::start(SimulatorOptions {
        archive: ArchiveOptions {
            lag: Duration::ZERO,
            ..archive()
        },
        ..still()
    })
    .await;
    let made = texts(&reddit.fill(1200));
    let search = "/api/posts/search?subreddit=kettles";
    let newest: Vec<String> = made.iter().rev().take(25).cloned().collect();
    assert_eq!(ids(&reddit, search).await, newest);
    let path = format!("{search}&sort=asc&limit=100");
    assert_eq!(ids(&reddit, &path).await, made[..100]);
    let auto = ids(&reddit, &format!("{search}&sort=asc&limit=auto")).await;
    assert!((100..=1000).contains(&auto.len()), "{}", auto.len());
    assert_eq!(auto, made[..auto.len()]);
    let path = format!(
        "/api/posts/ids?ids={},t3_{},zzzz,{}",
        made[9], made[4], made[9]
    );
    assert_eq!(ids(&reddit, &path).await, [&*made[9], &*made[4]]);
    assert_eq!(
        ids(
            &reddit,
            &format!("/api/posts/ids?ids={}", made[..500].join(","))
        )
        .await,
        made[..500]
    );
    assert!(
        ids(&reddit, "/api/posts/search?subreddit=nowhere")
            .await
            .is_empty()
    );
    for (path, part) in [
        ("/api/posts/search?limit=5", "subreddit"),
        (&*format!("{search}&limit=101"), "limit"),
        (&*format!("{search}&limit=0"), "limit"),
        (&*format!("{search}&sort=up"), "sort"),
        (&*format!("{search}&after=soon"), "after"),
        (&*format!("{search}&author=x"), "author"),
        ("/api/posts/search?subreddit=a%20b", "a b"),
        ("/api/posts/ids", "ids"),
        ("/api/posts/ids?ids=a%20b", "a b"),
        (
            &*format!("/api/posts/ids?ids={}", made[..501].join(",")),
            "500",
        ),
    ] {
        let error = refused(&reddit, path, 400).await;
        assert!(error.contains(part), "{path}: {error}");
    }
    let closed = subreddit("kettles");
    let control = reddit.simulator.control();
    let state = freshet::simulator::SubredditState::Private;
    control.set_subreddit_state(&closed, state).unwrap();
    assert_eq!(ids(&reddit, search).await, newest, "what was seen stays");
}

#[tokio::test]
async fn an_overloaded_archive_answers_422() {
    let overloaded = |overload_above, overload| SimulatorOptions {
        archive: ArchiveOptions {
            overload_above,
            overload,
            ..archive()
        },
        ..still()
    };
    let search = "/api/posts/search?subreddit=kettles";
    let reddit = Reddit::start(overloaded(Some(40), 0.0)).await;
    reddit.fill(100);
    reddit.simulator.control().advance(Duration::from_secs(60));
    let error = refused(&reddit, &format!("{search}&limit=41"), 422).await;
    assert_eq!(error, "Timeout. Maybe slow down a bit");
    assert_eq!(ids(&reddit, &format!("{search}&limit=40")).await.len(), 40);
    assert_eq!(
        ids(&reddit, &format!("{search}&limit=auto")).await.len(),
        40
    );
    let reddit = Reddit::start(overloaded(None, 0.5)).await;
    for _ in 0..100 {
        ask(&reddit, search).await;
    }
    let refused = reddit
        .simulator
        .control()
        .stats()
        .with_status(Endpoint::ArchiveSearch, 422);
    assert!((25..75).contains(&refused), "{refused}");
}

#[tokio::test]
async fn its_quota_is_its_own_and_stands_in_the_headers() {
    let reddit = Reddit::start(SimulatorOptions {
        requests_per_minute: Some(1),
        archive: ArchiveOptions {
            requests_per_minute: 12,
            ..ArchiveOptions::default()
        },
        // A quarter into a minute.
        starts_at_ms: Some(1_780_500_015_000),
        ..still()
    })
    .await;
    let search = "/api/posts/search?subreddit=kettles";
    for left in (0..12).rev() {
        let answer = reddit.response(search).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-ratelimit-remaining"], left.to_string());
        assert_eq!(answer.headers()["x-ratelimit-reset"], "45");
    }
    let answer = reddit.response("/api/posts/ids?ids=a").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "0");
    refused(&reddit, search, 429).await;
    assert_eq!(
        reddit.response("/r/all/new").await.headers()["x-ratelimit-used"],
        "1"
    );
    let control = reddit.simulator.control();
    assert_eq!(control.stats().biggest_minute, 1, "of Reddit's own");
    control.advance(Duration::from_secs(45));
    assert_eq!(reddit.status(search).await, 200);
}

#[tokio::test]
async fn it_fails_apart_from_reddit() {
    let reddit = Reddit::start(SimulatorOptions {
        archive: archive(),
        ..still()
    })
    .await;
    reddit.fill(5);
    let control = reddit.simulator.control();
    let (search, listing) = ("/api/posts/search?subreddit=kettles", "/r/kettles/new");
    control.outage(true);
    assert_eq!(reddit.status(listing).await, 503);
    assert_eq!(reddit.status(search).await, 200);
    control.outage(false);
    control.archive_outage(true);
    assert_eq!(reddit.status(listing).await, 200);
    assert_eq!(reddit.status(search).await, 503);
    assert_eq!(reddit.status("/api/posts/ids?ids=a").await, 503);
    let command = r#"{"command": "archive_outage", "fault": null}"#;
    let command: Command = serde_json::from_str(command).unwrap();
    control.apply(command).unwrap();
    assert_eq!(reddit.status(search).await, 200);

    let at = Some(Endpoint::ArchiveSearch);
    control.advance(Duration::from_secs(60));
    for fault in [Fault::CutBody, Fault::BrokenJson, Fault::PageInstead] {
        control.fail_next(1, fault, at).unwrap();
        assert_eq!(reddit.status(listing).await, 200);
        let text = reddit.response(search).await.text().await.unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{fault:?}");
    }
    control.fail_next(1, Fault::Reset, at).unwrap();
    assert!(reddit.get(search).send().await.is_err());
    control.fail_next(1, Fault::NoRateHeaders, at).unwrap();
    let bare = reddit.response(search).await;
    assert!(!bare.headers().contains_key("x-ratelimit-remaining"));
    assert_eq!(ids(&reddit, search).await.len(), 5);

    control.fail_next(1, Fault::LostToken, at).unwrap_err();
    control
        .archive_outage_as(Some(Fault::LostToken))
        .unwrap_err();
    control.fail_next(1, Fault::LostToken, None).unwrap();
    assert_eq!(
        reddit.status(search).await,
        200,
        "there is no token to lose"
    );
    assert_eq!(reddit.status(listing).await, 401);
}

#[tokio::test]
async fn chance_strikes_it_too_but_loses_no_token() {
    let reddit = Reddit::start(SimulatorOptions {
        archive: archive(),
        ..still()
    })
    .await;
    let control = reddit.simulator.control();
    control.fault_chance(1.0).unwrap();
    let path = "/api/posts/ids?ids=a";
    futures::future::join_all((0..150).map(|_| reddit.get(path).send())).await;
    let faults: Vec<Fault> = control
        .requests()
        .into_iter()
        .filter(|record| record.endpoint == Endpoint::ArchiveIds)
        .filter_map(|record| record.fault)
        .collect();
    assert!(faults.len() > 100 && faults.contains(&Fault::CutBody));
    assert!(!faults.contains(&Fault::LostToken));
}
