//! The submission that appears regularly.

use super::client::Reddit;
use freshet::simulator::SimulatorOptions;
use std::time::Duration;

#[tokio::test]
async fn a_heartbeat_is_posted_from_the_start_on_and_regularly() {
    let reddit = Reddit::start(SimulatorOptions {
        speed: 0.0,
        starts_at_ms: Some(1_790_000_000_000),
        heartbeat: Some(("beats".parse().unwrap(), Duration::from_secs(20))),
        ..SimulatorOptions::default()
    })
    .await;
    let control = reddit.simulator.control();
    control.advance(Duration::from_secs(65));
    let page = reddit.response("/r/beats/new?limit=100").await;
    let page: serde_json::Value = page.json().await.unwrap();
    let children = page["data"]["children"].as_array().unwrap().iter();
    let posted: Vec<(f64, &str)> = children
        .map(|child| {
            let data = &child["data"];
            let created = data["created_utc"].as_f64().unwrap();
            (created - 1_790_000_000.0, data["title"].as_str().unwrap())
        })
        .collect();
    let expected = [
        (60.0, "Heartbeat of 2026-09-21T14:14:20Z"),
        (40.0, "Heartbeat of 2026-09-21T14:14:00Z"),
        (20.0, "Heartbeat of 2026-09-21T14:13:40Z"),
        (0.0, "Heartbeat of 2026-09-21T14:13:20Z"),
    ];
    assert_eq!(posted, expected);
}
