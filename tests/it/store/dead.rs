//! Fetches that were set aside.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, seen};
use freshet::store::{DeadFilter, Failure, FailureKind, FetchCounts};

conformance!(
    what_was_set_aside_is_found_by_id_place_and_reason,
    a_list_goes_on_below_what_was_seen_of_it_whatever_dies_meanwhile,
    one_that_is_tried_again_has_all_its_attempts,
    one_that_is_discarded_leaves_its_listed_copy,
);

const SECONDS: i64 = NOW / 1000;

/// Four discoveries, of which three are set aside, a1 first and c3 last.
async fn world_with_dead(world: &World) {
    world
        .list(&[
            seen("a1", NOW),
            seen("b2", NOW),
            seen("c3", NOW),
            seen("d4", NOW),
        ])
        .await;
    for (place, (text, reason)) in [
        ("a1", "panicked: x"),
        ("b2", "panicked: y"),
        ("c3", "100% odd"),
    ]
    .into_iter()
    .enumerate()
    {
        world
            .store
            .start_attempts(&ids(&[text]), "w", NOW)
            .await
            .unwrap();
        let failure = Failure {
            by: "w",
            kind: FailureKind::Panicked,
            reason,
            now_ms: NOW + 7,
        };
        let id = id(text);
        let failed = world.store.fail_fetch(&id, failure, NOW);
        failed.await.unwrap();
        let now = SECONDS + place as i64;
        let aside = world.store.set_aside(&id, reason, now);
        aside.await.unwrap();
    }
}

async fn found(world: &World, filter: DeadFilter) -> Vec<String> {
    let dead = world.store.dead_fetches(&filter, 9).await.unwrap();
    dead.into_iter().map(|dead| dead.id.to_string()).collect()
}

async fn what_was_set_aside_is_found_by_id_place_and_reason(world: World) {
    world_with_dead(&world).await;
    let by = |filter| found(&world, filter);
    assert_eq!(by(DeadFilter::default()).await, ["c3", "b2", "a1"]);
    let reason = |text: &str| DeadFilter {
        reason: Some(text.to_owned()),
        ..DeadFilter::default()
    };
    assert_eq!(by(reason("panicked")).await, ["b2", "a1"]);
    // No pattern: a text.
    assert_eq!(by(reason("0% o")).await, ["c3"]);
    assert!(by(reason("%")).await == ["c3"] && by(reason("_")).await.is_empty());
    let named = DeadFilter {
        ids: Some(ids(&["a1", "d4", "zz"])),
        ..DeadFilter::default()
    };
    assert_eq!(by(named).await, ["a1"]);
    let elsewhere = DeadFilter {
        subreddit: Some("elsewhere".parse().unwrap()),
        ..DeadFilter::default()
    };
    assert!(by(elsewhere).await.is_empty());
    let all = world.store.dead_fetches(&DeadFilter::default(), 1).await;
    let latest = &all.unwrap()[0];
    assert_eq!((latest.attempts, latest.dead_at), (1, Some(SECONDS + 2)));
    assert_eq!(latest.reason.as_deref(), Some("100% odd"));
}

async fn a_list_goes_on_below_what_was_seen_of_it_whatever_dies_meanwhile(world: World) {
    world_with_dead(&world).await;
    world
        .run("UPDATE fetches SET dead_at = 1 WHERE dead_at IS NOT NULL")
        .await;
    let mut filter = DeadFilter::default();
    for expected in ["a1", "b2", "c3"] {
        let dead = world.store.dead_fetches(&filter, 1).await.unwrap();
        assert_eq!(dead[0].id, id(expected));
        filter.below = dead[0].dead_at.map(|at| (at, dead[0].id.clone()));
        // It fails again at once.
        let again = ids(&[expected]);
        world.store.retry_dead(&again, NOW).await.unwrap();
        let aside = world.store.set_aside(&again[0], "again", SECONDS);
        aside.await.unwrap();
    }
    assert!(found(&world, filter).await.is_empty());
    assert_eq!(found(&world, DeadFilter::default()).await.len(), 3);
}

async fn one_that_is_tried_again_has_all_its_attempts(world: World) {
    world_with_dead(&world).await;
    let named = ids(&["a1", "d4", "zz"]);
    let retried = world.store.retry_dead(&named, NOW + 9).await;
    assert_eq!(retried.unwrap(), 1, "only what was set aside");
    assert_eq!(found(&world, DeadFilter::default()).await, ["c3", "b2"]);
    let claimed = world.store.claim_fetches(NOW + 9, 9).await.unwrap();
    assert_eq!(claimed, ids(&["d4", "a1"]));
    let attempts = world
        .store
        .start_attempts(&ids(&["a1"]), "w", NOW)
        .await
        .unwrap();
    assert_eq!(attempts[0].attempts, 1);
}

async fn one_that_is_discarded_leaves_its_listed_copy(world: World) {
    world_with_dead(&world).await;
    let named = ids(&["a1", "b2", "d4"]);
    assert_eq!(world.store.discard_dead(&named).await.unwrap(), 2);
    assert_eq!(found(&world, DeadFilter::default()).await, ["c3"]);
    assert!(world.store.submission(&id("a1")).await.unwrap().is_some());
    let counts = world.store.fetch_counts(NOW).await.unwrap();
    let left = FetchCounts {
        backlog: 1,
        dead: 1,
        ..FetchCounts::default()
    };
    assert_eq!(counts, left);
}
