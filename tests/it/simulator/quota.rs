//! The rate limit.

use super::client::{Reddit, still};
use freshet::simulator::{Endpoint, SimulatorOptions};
use reqwest::Response;
use std::time::Duration;

fn header(response: &Response, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_quota_is_counted_over_aligned_windows_and_enforced() {
    let reddit = Reddit::start(SimulatorOptions {
        requests_per_minute: Some(1),
        // Ninety seconds into a window.
        starts_at_ms: Some(1_780_500_090_000),
        ..still()
    })
    .await;
    for used in 1..=10 {
        let answer = reddit.response("/r/all/new").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-ratelimit-used"), used.to_string());
        assert_eq!(
            header(&answer, "x-ratelimit-remaining"),
            format!("{}.0", 10 - used)
        );
        assert_eq!(header(&answer, "x-ratelimit-reset"), "510");
    }
    let refused = reddit.response("/r/all/new").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after"), "510");
    assert!(header(&refused, "content-type").starts_with("text/html"));
    assert!(!refused.headers().contains_key("x-ratelimit-remaining"));
    reddit.simulator.control().advance(Duration::from_secs(510));
    let answer = reddit.response("/r/all/new").await;
    assert_eq!(header(&answer, "x-ratelimit-used"), "1");
    assert_eq!(header(&answer, "x-ratelimit-reset"), "600");
}

#[tokio::test]
async fn a_second_token_of_the_same_client_gives_no_second_quota() {
    let mut reddit = Reddit::start(SimulatorOptions {
        requests_per_minute: Some(1),
        ..still()
    })
    .await;
    for _ in 0..10 {
        assert_eq!(reddit.status("/api/info?id=t3_a").await, 200);
    }
    reddit.token = super::client::token(&reddit.http, &reddit.simulator.url()).await;
    assert_eq!(reddit.status("/api/info?id=t3_a").await, 429);
}

#[tokio::test]
async fn without_a_quota_nothing_is_refused_and_requests_are_counted() {
    let reddit = Reddit::start(still()).await;
    for _ in 0..150 {
        assert_eq!(reddit.status("/r/all/new").await, 200);
    }
    let stats = reddit.simulator.control().stats();
    assert_eq!(stats.with_status(Endpoint::Listing, 200), 150);
    assert_eq!(stats.biggest_minute, 150);
    assert_eq!(stats.tokens, 1);
    assert_eq!(reddit.simulator.control().requests().len(), 151);
}
