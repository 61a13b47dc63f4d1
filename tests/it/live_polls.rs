//! Polls of the tops of listings: what is new is stored at once, and nothing is proven by that.

use crate::support::discovery::{START_MS, World};
use crate::support::pipeline::until;
use freshet::metrics::Metrics;
use freshet::simulator::{Oddities, Publication, SimulatorOptions};
use freshet::submission::SubredditName;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(180);
const START: i64 = START_MS / 1000;

fn names() -> Vec<SubredditName> {
    ["kettles", "teapots", "harbours"]
        .map(|name| name.parse().unwrap())
        .to_vec()
}

/// Three subreddits, watched, with nothing in them but what a test publishes.
async fn still() -> World {
    let options = SimulatorOptions {
        subreddits: names().into_iter().map(|name| (name, 0.0)).collect(),
        oddities: Oddities::none(),
        ..SimulatorOptions::default()
    };
    let world = World::new(options, &[("discover.fastest", "50ms")], 0).await;
    world.watch(&names()).await;
    world
}

/// So many submissions of all three in turn, one a second from this one on.
fn publish(world: &World, count: usize, from: i64) {
    for (created_utc, name) in (from..).zip(names().iter().cycle()).take(count) {
        let publication = Publication {
            created_utc: Some(created_utc),
            ..Publication::to(name)
        };
        world.simulator.control().publish(publication).unwrap();
    }
}

async fn until_stored(world: &World, count: usize) {
    until("everything is stored", PATIENCE, async || {
        world.stored().await.len() == count
    })
    .await;
}

/// Listings that a client of its own was given.
fn listings(metrics: &Metrics) -> u64 {
    metrics
        .api
        .requests
        .with_label_values(&["reddit", "new", "200"])
        .get()
}

#[tokio::test]
async fn what_appears_is_stored_at_once_and_proves_nothing() {
    let mut world = still().await;
    publish(&world, 1, START - 1_000);
    let metrics = world.start_live();
    until_stored(&world, 1).await;
    publish(&world, 6, START - 900);
    until_stored(&world, 7).await;
    world.stop().await;
    for row in world.store.subreddits().await.unwrap() {
        assert_eq!((row.covered_until, row.seen_until), (None, None), "{row:?}");
        assert!(row.last_submission_at.is_some(), "{row:?}");
    }
    let windows = world.rows("SELECT outcome, 1 FROM poll_windows").await;
    assert!(windows.is_empty(), "{windows:?}");
    assert_eq!(metrics.discover.objective_met.get(), 1);
    // The proof that comes later finds nothing new, and proves it all.
    world.start_scheduler();
    world.settle(|| {}).await;
    world.stop().await;
    for row in world.store.subreddits().await.unwrap() {
        assert!(row.covered_until.is_some(), "{row:?}");
    }
    assert_eq!(world.stored().await.len(), 7);
}

#[tokio::test]
async fn a_burst_of_more_than_a_page_is_followed_down_to_what_is_known() {
    let mut world = still().await;
    publish(&world, 20, START - 5_000);
    world.start_live();
    until_stored(&world, 20).await;
    world.advance(Duration::from_secs(450));
    publish(&world, 450, START);
    until_stored(&world, 470).await;
    world.stop().await;
}

#[tokio::test]
async fn a_restart_finds_what_was_missed_meanwhile() {
    let mut world = still().await;
    publish(&world, 20, START - 5_000);
    world.start_live();
    until_stored(&world, 20).await;
    world.stop().await;
    publish(&world, 350, START - 4_000);
    world.start_live();
    until_stored(&world, 370).await;
    world.stop().await;
}

#[tokio::test]
async fn the_past_of_what_was_never_polled_is_left_to_proof_walks() {
    let mut world = still().await;
    publish(&world, 300, START - 5_000);
    let metrics = world.start_live();
    until("it is polled again and again", PATIENCE, async || {
        listings(&metrics) >= 5
    })
    .await;
    world.stop().await;
    assert_eq!(world.stored().await.len(), 100);
}

#[tokio::test]
async fn of_two_processes_one_polls_and_the_other_takes_over() {
    let mut world = still().await;
    publish(&world, 3, START - 5_000);
    let first = world.start_live();
    until_stored(&world, 3).await;
    let second = world.start_live();
    let before = listings(&first);
    until("the first goes on", PATIENCE, async || {
        listings(&first) >= before + 10
    })
    .await;
    assert_eq!(listings(&second), 0);
    // It is killed, and releases nothing.
    world.kill_id_scan();
    world.advance(Duration::from_secs(10));
    publish(&world, 3, START - 4_000);
    until_stored(&world, 6).await;
    assert!(listings(&second) > 0);
    world.stop().await;
}

#[tokio::test]
async fn all_is_found_in_time_however_long_a_request_the_server_takes() {
    for longest_url in [900, 8_192] {
        let watched: Vec<SubredditName> = (0..260)
            .map(|number| format!("quite_a_long_{number}").parse().unwrap())
            .collect();
        let options = SimulatorOptions {
            subreddits: watched.iter().map(|name| (name.clone(), 0.0)).collect(),
            oddities: Oddities::none(),
            longest_url,
            ..SimulatorOptions::default()
        };
        let mut world = World::new(options, &[("discover.fastest", "50ms")], 0).await;
        world.watch(&watched).await;
        let metrics = world.start_live();
        // A page of a new listing shows them all.
        let posting: Vec<&SubredditName> = watched.iter().step_by(3).collect();
        for (created_utc, name) in (START - 300..).zip(&posting) {
            let publication = Publication {
                created_utc: Some(created_utc),
                ..Publication::to(name)
            };
            world.simulator.control().publish(publication).unwrap();
        }
        until_stored(&world, posting.len()).await;
        world.stop().await;
        let refused = metrics
            .api
            .requests
            .with_label_values(&["reddit", "new", "414"])
            .get();
        // Each time they become shorter by three tenths.
        let most = if longest_url < 4_000 { 1..=30 } else { 0..=0 };
        assert!(most.contains(&refused), "{longest_url}: {refused}");
    }
}
