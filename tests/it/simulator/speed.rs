//! Measurements; to be run alone: `cargo test --release --test it speed -- --ignored --nocapture`.

use super::client::{Reddit, oddities, still};
use freshet::simulator::SimulatorOptions;
use std::time::{Duration, Instant};

/// What one core must serve, listing pages and info pages together.
const LEAST_PER_SECOND: f64 = 15_000.0;

#[tokio::test]
#[ignore = "a measurement"]
async fn listings_and_info_are_served_at_the_rate_of_a_load_generator() {
    let reddit = Reddit::start(SimulatorOptions {
        subreddits: SimulatorOptions::world(1, 50, 120.0).subreddits,
        oddities: oddities("growing,removed,late"),
        ..still()
    })
    .await;
    let (mut served, mut bytes) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let mut after = String::new();
        for _ in 0..9 {
            let path = format!("/r/all/new?limit=100&raw_json=1{after}");
            let listing = reddit.response(&path).await.bytes().await.unwrap();
            let text = std::str::from_utf8(&listing).unwrap();
            let (_, rest) = text.split_once("\"after\": \"").unwrap();
            after = format!("&after={}", rest.split_once('"').unwrap().0);
            let ids: Vec<&str> = text
                .split("\"name\": \"")
                .skip(1)
                .map(|rest| rest.split_once('"').unwrap().0)
                .collect();
            let path = format!("/api/info?raw_json=1&id={}", ids.join(","));
            let info = reddit.response(&path).await.bytes().await.unwrap();
            served += 2 * ids.len();
            bytes += listing.len() + info.len();
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let rate = served as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} submissions/s, {} MB in all", bytes / 1_000_000);
    assert!(rate > LEAST_PER_SECOND);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn a_history_of_three_hundred_thousand_is_there_in_seconds() {
    let began = Instant::now();
    let reddit = Reddit::start(SimulatorOptions {
        subreddits: SimulatorOptions::world(1, 100, 125.0).subreddits,
        oddities: oddities("realistic,faults=0"),
        ..still()
    })
    .await;
    let took = began.elapsed();
    let count = reddit.simulator.control().truth().len();
    println!("{count} submissions of history in {took:?}");
    assert!(count > 280_000 && took < Duration::from_secs(10));
}
