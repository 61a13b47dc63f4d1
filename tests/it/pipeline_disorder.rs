//! Listings in which submissions stand below their place: nothing that is shown is missing from proven time.

use crate::support::discovery::World;
use freshet::simulator::{Oddities, SimulatorOptions};
use freshet::store::Interval;
use freshet::submission::SubredditName;
use std::time::Duration;

/// One in seven stands up to two minutes below its place.
async fn disordered(per_hour: f64, seed: u64, settings: &[(&'static str, &str)]) -> World {
    let options = SimulatorOptions {
        seed,
        subreddits: vec![(kettles(), per_hour)],
        history: Duration::from_secs(3 * 3_600),
        oddities: Oddities {
            reordered: 0.15,
            ..Oddities::none()
        },
        ..SimulatorOptions::default()
    };
    let mut world = World::new(options, settings, 0).await;
    world.watch(&[kettles()]).await;
    world.start_scheduler();
    world.settle(|| {}).await;
    world
}

fn kettles() -> SubredditName {
    "kettles".parse().unwrap()
}

/// Checks that what was shown in proven time is stored; returns the proven time.
async fn check(world: &World) -> Vec<Interval> {
    let proven = world.store.coverage(&kettles()).await.unwrap();
    let proven: Vec<Interval> = proven
        .into_iter()
        .map(|(start, end)| Interval { start, end })
        .collect();
    let stored = world.stored().await;
    let now_ms = world.now_ms();
    let missing: Vec<_> = world
        .simulator
        .control()
        .truth()
        .into_iter()
        .filter(|truth| truth.listed_ms.iter().any(|(from, _)| *from < now_ms))
        .filter(|truth| {
            let holds = |it: &Interval| (it.start..it.end).contains(&truth.created_utc);
            proven.iter().any(holds) && !stored.contains(&truth.id)
        })
        .collect();
    assert!(missing.is_empty(), "{proven:?} lack {missing:?}");
    proven
}

#[tokio::test]
async fn a_first_window_holds_what_stands_below_its_start() {
    for seed in 1..=6 {
        let world = disordered(800.0, seed, &[("discover.first_window", "30m")]).await;
        let proven = check(&world).await;
        let now = world.now_ms() / 1000;
        let start = now - 1_800;
        assert_eq!(proven, [Interval { start, end: now }]);
    }
}

#[tokio::test]
async fn a_listing_that_is_cut_short_proves_nothing_of_what_may_stand_below_the_cut() {
    for seed in 1..=6 {
        let world = disordered(1_500.0, seed, &[("discover.first_window", "2h")]).await;
        let proven = check(&world).await;
        assert_eq!(proven.len(), 1, "{proven:?}");
    }
}
