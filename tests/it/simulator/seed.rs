//! The same options give the same world, however it is looked at.

use super::client::{Reddit, busy, oddities};
use freshet::simulator::{Oddities, Truth};
use std::time::Duration;

/// Without what depends on the number of requests made.
fn lives() -> Oddities {
    oddities(
        "realistic,faults=0,slow=0,missing_rate_headers=0,glitch_pages=0,cut_pages=0,\
         undecodable=0,foreign_children=0,promoted=0",
    )
}

async fn world(seed: u64, steps: u32) -> (Vec<Truth>, String) {
    let reddit = Reddit::start(busy(seed, lives())).await;
    for _ in 0..steps {
        reddit
            .simulator
            .control()
            .advance(Duration::from_secs(36_000) / steps);
        assert_eq!(reddit.status("/r/all/new?limit=3").await, 200);
    }
    let listing = reddit.response("/r/all/new?limit=100").await;
    let truth = reddit.simulator.control().truth();
    (truth, listing.text().await.unwrap())
}

#[tokio::test]
async fn a_seed_decides_every_byte_however_often_one_looks() {
    let (truth, listing) = world(7, 1).await;
    assert!(truth.len() > 1_000);
    let (again_truth, again_listing) = world(7, 30).await;
    assert_eq!(truth, again_truth);
    assert_eq!(listing, again_listing);
}

#[tokio::test]
async fn another_seed_gives_another_world() {
    let (truth, listing) = world(7, 1).await;
    let (other_truth, other_listing) = world(8, 1).await;
    assert_ne!(truth, other_truth);
    assert_ne!(listing, other_listing);
}

#[tokio::test]
async fn what_is_asked_by_chance_is_the_same_for_the_same_requests() {
    let pages = async || {
        let odd =
            "glitch_pages=0.3,cut_pages=0.3,promoted=0.5,undecodable=0.3,foreign_children=0.3";
        let reddit = Reddit::start(busy(3, oddities(odd))).await;
        let mut pages = Vec::new();
        for _ in 0..20 {
            let page = reddit.response("/r/all/new?limit=10").await;
            pages.push(page.text().await.unwrap());
        }
        pages
    };
    assert_eq!(pages().await, pages().await);
}

#[tokio::test]
async fn ids_are_of_2026_and_grow_with_time() {
    let reddit = Reddit::start(busy(1, Oddities::none())).await;
    let truth = reddit.simulator.control().truth();
    let numbers: Vec<u64> = truth
        .iter()
        .map(|truth| u64::from_str_radix(&truth.id, 36).unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one < next));
    let shown = &truth.last().unwrap().id;
    assert!(shown.len() == 7 && shown.starts_with("1tv"), "{shown}");
    assert!(truth.is_sorted_by_key(|truth| truth.created_utc));
}

#[tokio::test]
async fn subreddits_get_about_their_rate_and_days_have_a_curve() {
    let mut options = busy(1, Oddities::none());
    options.history = Duration::from_secs(86_400 * 10);
    let rates = options.subreddits.clone();
    let reddit = Reddit::start(options).await;
    let truth = reddit.simulator.control().truth();
    for (name, per_hour) in rates {
        let mut by_hour = [0.0_f64; 24];
        for truth in truth
            .iter()
            .filter(|truth| truth.subreddit == name.as_str())
        {
            let hour = truth.created_utc.rem_euclid(86_400) / 3600;
            by_hour[usize::try_from(hour).unwrap()] += 1.0;
        }
        let found = by_hour.iter().sum::<f64>() / 240.0;
        assert!(
            (found / per_hour - 1.0).abs() < 0.1,
            "{name}: {found} of {per_hour}"
        );
        let busiest = by_hour.iter().copied().fold(0.0, f64::max);
        let quietest = by_hour.iter().copied().fold(f64::MAX, f64::min);
        assert!(busiest > 1.8 * quietest, "{name}: {busiest} and {quietest}");
    }
}
