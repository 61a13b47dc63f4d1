//! What failing answers look like on the wire.

use super::client::{Reddit, oddities, still};
use freshet::simulator::{Endpoint, Fault, SimulatorOptions};
use serde_json::Value;
use std::time::{Duration, Instant};

async fn failing(fault: Fault) -> Reddit {
    let reddit = Reddit::start(still()).await;
    reddit.fill(5);
    reddit
        .simulator
        .control()
        .fail_next(1, fault, None)
        .unwrap();
    reddit
}

const PATH: &str = "/r/kettles/new";

#[tokio::test]
async fn a_429_is_a_page_with_retry_after_and_no_rate_headers() {
    let reddit = failing(Fault::TooManyRequests { retry_after: 3 }).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "3");
    assert!(!answer.headers().contains_key("x-ratelimit-used"));
    assert!(answer.text().await.unwrap().starts_with("<!doctype html>"));
    assert_eq!(reddit.status(PATH).await, 200);
}

#[tokio::test]
async fn server_errors_are_pages_or_empty() {
    let reddit = failing(Fault::ErrorPage { status: 503 }).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("Ow! -- reddit.com"));
    let reddit = failing(Fault::ErrorEmpty { status: 522 }).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 522);
    assert_eq!(answer.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_200_may_hold_a_page_or_half_an_object() {
    for (fault, start) in [
        (Fault::PageInstead, "<!doctype html>"),
        (Fault::BrokenJson, "{"),
        (Fault::CutBody, r#"{"kind": "Listing""#),
    ] {
        let reddit = failing(fault).await;
        let answer = reddit.response(PATH).await;
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(start), "{fault:?}");
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{fault:?}");
        assert!(reddit.response(PATH).await.json::<Value>().await.is_ok());
    }
}

#[tokio::test]
async fn a_wrong_length_ends_the_connection_inside_the_body() {
    let reddit = failing(Fault::WrongLength).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.content_length().unwrap() > 1_000);
    assert!(answer.bytes().await.is_err());
    assert_eq!(reddit.status(PATH).await, 200);
}

#[tokio::test]
async fn a_reset_ends_the_connection_before_any_answer() {
    let reddit = failing(Fault::Reset).await;
    let error = reddit.get(PATH).send().await.unwrap_err();
    assert!(error.status().is_none() && !error.is_timeout(), "{error:?}");
    assert!(
        format!("{error:?}").contains("ConnectionReset"),
        "{error:?}"
    );
    assert_eq!(reddit.status(PATH).await, 200);
    let stats = reddit.simulator.control().stats();
    assert_eq!(stats.with_status(Endpoint::Listing, 0), 1);
}

#[tokio::test]
async fn a_lost_token_stays_lost() {
    let reddit = failing(Fault::LostToken).await;
    for page in [true, false] {
        let answer = reddit.response(PATH).await;
        assert_eq!(answer.status(), 401);
        assert!(answer.headers().contains_key("www-authenticate"));
        assert_eq!(answer.text().await.unwrap().starts_with('<'), page);
    }
}

#[tokio::test]
async fn a_block_is_a_403_page() {
    let reddit = failing(Fault::Blocked).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 403);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("whoa there, pardner!")
    );
}

#[tokio::test]
async fn slow_answers_are_good_ones() {
    let reddit = failing(Fault::Slow { delay_ms: 120 }).await;
    let began = Instant::now();
    assert_eq!(reddit.listing(PATH).await.ids().len(), 5);
    assert!(began.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn rate_headers_may_be_missing_from_good_answers() {
    let reddit = failing(Fault::NoRateHeaders).await;
    let answer = reddit.response(PATH).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-ratelimit-used"));
    let answer = reddit.response(PATH).await;
    assert!(answer.headers().contains_key("x-ratelimit-used"));
}

#[tokio::test]
async fn planned_faults_meet_their_endpoint_alone() {
    let reddit = Reddit::start(still()).await;
    reddit.fill(1);
    let control = reddit.simulator.control();
    let fault = Fault::ErrorEmpty { status: 500 };
    control.fail_next(2, fault, Some(Endpoint::Info)).unwrap();
    assert_eq!(reddit.status(PATH).await, 200);
    for status in [500, 500, 200] {
        assert_eq!(reddit.status("/api/info?id=t3_a").await, status);
    }
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_ended_and_takes_the_token_endpoint_along() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control();
    control.outage(true);
    for _ in 0..3 {
        assert_eq!(reddit.status(PATH).await, 503);
    }
    let token = format!("{}/api/v1/access_token", reddit.simulator.url());
    assert_eq!(reddit.http.post(token).send().await.unwrap().status(), 503);
    assert_eq!(reddit.status("/simulator/health").await, 200);
    control.outage_as(Some(Fault::Reset)).unwrap();
    assert!(reddit.get(PATH).send().await.is_err());
    control.outage(false);
    assert_eq!(reddit.status("/r/all/new").await, 200);
}

#[tokio::test]
async fn the_chance_of_faults_is_about_kept() {
    let mut reddit = Reddit::start(SimulatorOptions {
        oddities: oddities("faults=0.25"),
        ..still()
    })
    .await;
    let mut failed = 0;
    for _ in 0..400 {
        let good = match reddit.get("/r/all/new").send().await {
            Ok(answer) => answer.status() == 200 && answer.json::<Value>().await.is_ok(),
            Err(_) => false,
        };
        failed += i32::from(!good);
        // A lost token must not make every later request fail.
        reddit.simulator.control().fault_chance(0.0).unwrap();
        if reddit.status("/r/all/new").await == 401 {
            reddit.token = super::client::token(&reddit.http, &reddit.simulator.url()).await;
        }
        reddit.simulator.control().fault_chance(0.25).unwrap();
    }
    assert!((60..140).contains(&failed), "{failed} of 400");
}

#[tokio::test]
async fn stopping_does_not_wait_for_slow_answers() {
    let reddit = Reddit::start(still()).await;
    let control = reddit.simulator.control().clone();
    control
        .fail_next(1, Fault::Slow { delay_ms: 600_000 }, None)
        .unwrap();
    let request = tokio::spawn(
        reddit
            .get("/r/all/new")
            .timeout(Duration::from_secs(60))
            .send(),
    );
    while control.stats().under_way == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(120), reddit.simulator.stop())
        .await
        .expect("it stops at once")
        .unwrap();
    drop(request);
}
