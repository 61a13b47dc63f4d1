//! Each oddity of traffic, on and off.

use super::client::{Page, Reddit, busy, oddities};
use freshet::simulator::{Oddities, SimulatorOptions, Truth};
use freshet::submission::decode;
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::Duration;

/// A world with these oddities, an hour on; everything it lists, and the truth about it.
struct Seen {
    reddit: Reddit,
    truth: Vec<Truth>,
    listed: Vec<Value>,
}

async fn start(list: &str) -> Reddit {
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 0,
        ..busy(21, oddities(list))
    })
    .await;
    let hour = Duration::from_secs(3600);
    reddit.simulator.control().advance(hour);
    reddit
}

async fn see(list: &str) -> Seen {
    let reddit = start(list).await;
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = reddit
            .listing(&format!("/r/all/new?limit=100&raw_json=1{after}"))
            .await;
        listed.extend(page.children().iter().cloned());
        match page.after() {
            Some(name) => after = format!("&after={name}"),
            None => break,
        }
    }
    Seen {
        truth: reddit.simulator.control().truth(),
        reddit,
        listed,
    }
}

fn created(child: &Value) -> i64 {
    let seen = decode(RawValue::from_string(child["data"].to_string()).unwrap(), 0);
    seen.unwrap().submission.created_utc
}

/// How many of the truths satisfy a condition, with an oddity and without any.
async fn compare(list: &str, odd: impl Fn(&Truth) -> bool) {
    let count = async |list: &str| {
        let truth = start(list).await.simulator.control().truth();
        truth.iter().filter(|truth| odd(truth)).count()
    };
    let (with, without) = (count(list).await, count("none").await);
    assert!(with > 0, "{list} shows nothing");
    assert_eq!(without, 0, "{list} shows without being on");
}

fn delay_ms(truth: &Truth) -> i64 {
    truth
        .listed_ms
        .first()
        .map_or(i64::MAX, |(from, _)| from - truth.created_utc * 1000)
}

#[tokio::test]
async fn late_ones_are_listed_minutes_after_their_creation() {
    compare("late", |truth| delay_ms(truth) > 60_000).await;
}

#[tokio::test]
async fn removed_and_deleted_and_restored_ones_leave_and_return() {
    compare("removed", |truth| truth.state == "removed").await;
    compare("deleted", |truth| {
        truth.removed_by.as_deref() == Some("deleted")
    })
    .await;
    compare("removed,restored=1", |truth| truth.listed_ms.len() > 1).await;
}

#[tokio::test]
async fn edits_and_gone_authors_happen() {
    compare("edited", |truth| truth.edited_at.is_some()).await;
    compare("authors_gone", |truth| truth.author_gone).await;
}

#[tokio::test]
async fn info_leaves_out_some_for_ever_and_some_for_a_while() {
    compare("info_omits", |truth| truth.info_from_ms == Some(i64::MAX)).await;
    compare("info_delays", |truth| {
        truth.info_from_ms.is_some_and(|until| until < i64::MAX)
    })
    .await;
}

#[tokio::test]
async fn order_is_by_time_unless_neighbours_or_old_ones_move() {
    for (list, ordered) in [("none", true), ("reordered", false), ("resurfaced", false)] {
        let seen = see(list).await;
        assert!(seen.listed.len() > 1_000, "{list}");
        let found = seen
            .listed
            .is_sorted_by(|one, next| created(one) >= created(next));
        assert_eq!(found, ordered, "{list}");
    }
}

#[tokio::test]
async fn scheduled_ones_have_far_older_ids() {
    for (list, expected) in [("none", false), ("scheduled", true)] {
        let seen = see(list).await;
        let numbers: Vec<u64> = seen
            .truth
            .iter()
            .map(|truth| u64::from_str_radix(&truth.id, 36).unwrap())
            .collect();
        let found = numbers.windows(2).any(|pair| pair[0] > pair[1] + 1_000_000);
        assert_eq!(found, expected, "{list}");
    }
}

#[tokio::test]
async fn counts_grow_with_age_or_stand() {
    for (list, grows) in [("growing", true), ("none", false)] {
        let reddit = Reddit::start(busy(5, oddities(list))).await;
        let scores = async || -> i64 {
            let page = reddit.listing("/r/all/new?limit=100&before=").await;
            page.children()
                .iter()
                .map(|child| child["data"]["score"].as_i64().unwrap())
                .sum()
        };
        let page = reddit.listing("/r/all/new?limit=100").await;
        let ids: Vec<String> = page.ids().iter().map(|id| format!("t3_{id}")).collect();
        let info = format!("/api/info?id={}", ids.join(","));
        let sum = async || -> i64 {
            let page = reddit.listing(&info).await;
            page.children()
                .iter()
                .map(|child| child["data"]["score"].as_i64().unwrap())
                .sum()
        };
        assert_eq!(scores().await, sum().await);
        let before = sum().await;
        reddit
            .simulator
            .control()
            .advance(Duration::from_secs(7_200));
        assert_eq!(sum().await > before, grows, "{list}");
    }
}

/// Thirty pages of ten.
async fn pages(list: &str) -> Vec<Page> {
    let reddit = Reddit::start(busy(4, oddities(list))).await;
    let mut pages = Vec::new();
    for _ in 0..30 {
        pages.push(reddit.listing("/r/all/new?limit=10").await);
    }
    pages
}

#[tokio::test]
async fn pages_may_be_empty_or_cut_without_a_reason() {
    let whole = |page: &Page| page.children().len() == 10 && page.after().is_some();
    assert!(pages("none").await.iter().all(whole));
    let glitched = pages("glitch_pages=0.5").await;
    assert!(glitched.iter().any(whole));
    assert!(
        glitched
            .iter()
            .any(|page| page.children().is_empty() && page.after().is_none())
    );
    let cut = pages("cut_pages=0.5").await;
    let is_cut = |page: &Page| (1..10).contains(&page.children().len()) && page.after().is_none();
    assert!(cut.iter().any(whole) && cut.iter().any(is_cut));
}

#[tokio::test]
async fn pages_may_hold_other_things_than_submissions() {
    let kinds = |page: &Page| -> Vec<String> {
        let children = page.children().iter();
        children
            .map(|child| child["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let plain = |page: &Page| kinds(page).iter().all(|kind| kind == "t3");
    assert!(pages("none").await.iter().all(plain));
    let foreign: Vec<String> = pages("foreign_children=0.5")
        .await
        .iter()
        .flat_map(kinds)
        .collect();
    assert!(foreign.contains(&"t1".to_owned()) && foreign.contains(&"t5".to_owned()));

    let advertised = |page: &Page| {
        page.children().iter().any(|child| {
            child["data"]["promoted"] == true && child["data"].get("subreddit").is_none()
        })
    };
    assert!(pages("promoted=0.5").await.iter().any(advertised));
    assert!(!pages("none").await.iter().any(advertised));

    let undecodable = |page: &Page| {
        page.children().iter().any(|child| {
            let raw = RawValue::from_string(child["data"].to_string()).unwrap();
            decode(raw, 0).is_err()
        })
    };
    assert!(pages("undecodable=0.5").await.iter().any(undecodable));
    assert!(!pages("none").await.iter().any(undecodable));
}

#[tokio::test]
async fn what_is_mixed_in_takes_no_submission_away() {
    let odd = see("foreign_children=1,promoted=1").await;
    let listed: Vec<&str> = odd
        .listed
        .iter()
        .filter(|child| child["kind"] == "t3" && child["data"]["promoted"] != true)
        .map(|child| child["data"]["id"].as_str().unwrap())
        .collect();
    let mut expected: Vec<&str> = odd.truth.iter().map(|truth| truth.id.as_str()).collect();
    expected.reverse();
    assert_eq!(listed, expected);
    drop(odd.reddit);
}

#[tokio::test]
async fn odd_types_and_texts_occur_in_objects() {
    let with = see("odd_types=0.5").await;
    let any = |odd: &dyn Fn(&Value) -> bool| with.listed.iter().any(|child| odd(&child["data"]));
    assert!(any(&|object| object["created_utc"].is_string()));
    assert!(any(&|object| object["created_utc"].is_i64()));
    assert!(any(&|object| object["edited"] == true));
    assert!(any(&|object| object["num_reports"] == -1));
    assert!(any(&|object| object["poll_data"] == false));
    assert!(any(&|object| object["author"].is_null()));
    assert!(any(&|object| object["url"].is_null()));
    // Client libraries stop at what Reddit never sends.
    for list in ["realistic", "odd_types=0.05"] {
        let answered =
            "undecodable=0,foreign_children=0,faults=0,slow=0,glitch_pages=0,cut_pages=0";
        let real = see(&format!("{list},{answered}")).await;
        let mut objects = real.listed.iter().map(|child| &child["data"]);
        assert!(objects.all(|object| object["author"].is_string()), "{list}");
    }
    let without = see("none").await;
    assert!(
        without
            .listed
            .iter()
            .all(|child| child["data"]["created_utc"].is_f64()
                && child["data"]["author"].is_string()
                && child["data"]["edited"] == false)
    );

    let text = async |list: &str| {
        let reddit = Reddit::start(busy(21, oddities(list))).await;
        reddit
            .response("/r/all/new?limit=100")
            .await
            .text()
            .await
            .unwrap()
    };
    let odd = text("odd_text=0.5").await;
    assert!(odd.contains(r"\u0000") && odd.contains(r#"\ud83d""#));
    let plain = text("none").await;
    assert!(!plain.contains(r"\u0000") && !plain.contains(r#"\ud83d""#));
}

#[tokio::test]
async fn crossposts_may_have_a_path_for_a_url() {
    for (list, relative) in [("relative_urls", true), ("none", false)] {
        let seen = see(list).await;
        let urls: Vec<&str> = seen
            .listed
            .iter()
            .filter(|child| child["data"].get("crosspost_parent").is_some())
            .map(|child| child["data"]["url"].as_str().unwrap())
            .collect();
        assert!(urls.len() > 10);
        assert!(
            urls.iter().all(|url| url.starts_with('/') == relative),
            "{list}"
        );
    }
}

#[tokio::test]
async fn good_answers_may_lack_rate_headers_by_chance() {
    for (list, all) in [("none", true), ("missing_rate_headers=0.5", false)] {
        let reddit = Reddit::start(busy(1, oddities(list))).await;
        let mut with = 0;
        for _ in 0..40 {
            let answer = reddit.response("/r/all/new?limit=1").await;
            with += usize::from(answer.headers().contains_key("x-ratelimit-remaining"));
        }
        assert!(with > 0);
        assert_eq!(with == 40, all, "{list}");
    }
}

#[tokio::test]
async fn good_answers_may_have_a_wrong_date_by_chance() {
    for (list, all) in [("none", true), ("wrong_dates=0.5", false)] {
        let reddit = Reddit::start(busy(1, oddities(list))).await;
        let mut right = 0;
        for _ in 0..40 {
            let answer = reddit.response("/r/all/new?limit=1").await;
            assert_eq!(answer.status(), 200);
            right += usize::from(answer.headers()["date"] == "Wed, 03 Jun 2026 15:11:07 GMT");
        }
        assert!(right > 0);
        assert_eq!(right == 40, all, "{list}");
    }
}

#[tokio::test]
async fn every_kind_of_submission_is_made() {
    let reddit = Reddit::start(busy(9, Oddities::realistic())).await;
    let truth = reddit.simulator.control().truth();
    for kind in freshet::submission::Kind::ALL {
        assert!(
            truth.iter().any(|truth| truth.kind == kind.as_str()),
            "{kind:?}"
        );
    }
}
