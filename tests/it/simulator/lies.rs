//! Answers that look good and are not: wrong dates, and an archive that lies.

use super::client::{Reddit, START_MS, still};
use freshet::simulator::{Endpoint, Fault};
use serde_json::Value;
use std::time::Duration;

const PATH: &str = "/r/kettles/new";
const SEARCH: &str = "/api/posts/search?subreddit=kettles&sort=asc&limit=100";

/// What the `Date` of so many answers says, seconds from the time; none where it cannot be read.
async fn dates(reddit: &Reddit, count: usize) -> Vec<Option<i64>> {
    let mut dates = Vec::new();
    for _ in 0..count {
        let answer = reddit.response(PATH).await;
        assert_eq!(answer.status(), 200);
        let date = answer.headers()["date"].to_str().unwrap().to_owned();
        let all = answer.headers().get_all("date").iter().count();
        assert_eq!(all, 1);
        let date = chrono::DateTime::parse_from_rfc2822(&date).ok();
        dates.push(date.map(|date| date.timestamp() - START_MS / 1000));
        assert!(answer.json::<Value>().await.unwrap()["data"]["children"][0].is_object());
    }
    dates
}

#[tokio::test]
async fn a_date_may_be_wrong_once_or_in_every_third_answer_or_jump_or_be_missing() {
    let reddit = Reddit::start(still()).await;
    reddit.fill(5);
    let control = reddit.simulator.control();
    let behind = (control.now_ms() - START_MS) / 1000;
    let ahead = |seconds| Fault::Date {
        ahead_seconds: seconds,
    };
    let now = Some(behind);
    let off = |seconds: i64| Some(behind + seconds);
    control.fail_next(1, ahead(72_000), None).unwrap();
    assert_eq!(dates(&reddit, 2).await, [off(72_000), now]);
    control.fail_every(3, vec![ahead(300)], None).unwrap();
    let third = [now, now, off(300), now, now, off(300)];
    assert_eq!(dates(&reddit, 6).await, third);
    let jumps = vec![ahead(72_000), ahead(-90_000)];
    control
        .fail_every(1, jumps, Some(Endpoint::Listing))
        .unwrap();
    let jumps = [off(72_000), off(-90_000), off(72_000)];
    assert_eq!(dates(&reddit, 3).await, jumps);
    control.fail_every(1, vec![Fault::NoDate], None).unwrap();
    assert_eq!(dates(&reddit, 2).await, [None, None]);
    control.fail_every(1, Vec::new(), None).unwrap();
    assert_eq!(dates(&reddit, 2).await, [now, now]);
    let logged = control.requests();
    let wrong = logged.iter().filter(|it| it.fault.is_some()).count();
    assert_eq!(wrong, 1 + 2 + 3 + 2);
}

/// The ids that the archive shows, and its whole answer.
async fn rows(reddit: &Reddit) -> (Vec<String>, Value) {
    let answer = reddit.response(SEARCH).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    let rows = body["data"].as_array().unwrap().iter();
    let ids = rows.map(|row| row["id"].as_str().unwrap().to_owned());
    (ids.collect(), body)
}

#[tokio::test]
async fn the_archive_may_lie_in_an_answer_that_looks_good() {
    let reddit = Reddit::start(still()).await;
    let all: Vec<String> = reddit.fill(10).iter().map(ToString::to_string).collect();
    let control = reddit.simulator.control();
    control.advance(Duration::from_secs(120));
    let lie = async |fault| {
        let search = Some(Endpoint::ArchiveSearch);
        control.fail_every(1, vec![fault], search).unwrap();
        rows(&reddit).await
    };
    assert_eq!(lie(Fault::NoDate).await.0, all);
    let (ids, body) = lie(Fault::ErrorInside).await;
    assert_eq!(ids, all[..5]);
    assert!(body["error"].as_str().unwrap().starts_with("Timeout"));
    let (ids, body) = lie(Fault::HalfTheRows).await;
    assert_eq!(ids, all[..5]);
    assert!(body.get("error").is_none());
    assert!(lie(Fault::Nothing).await.0.is_empty());
    let (ids, body) = lie(Fault::FromTheFuture).await;
    assert_eq!(ids[1..], all);
    let future = body["data"][0]["created_utc"].as_i64().unwrap();
    assert!(future > START_MS / 1000 + 3 * 365 * 86_400);
    control.fail_every(1, Vec::new(), None).unwrap();
    assert_eq!(rows(&reddit).await.0, all);
}
