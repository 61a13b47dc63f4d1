//! The backlog.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, seen};
use freshet::store::{Failure, FailureKind, FetchCounts};
use freshet::submission::SubmissionId;
use std::collections::HashSet;

conformance!(
    fetches_are_handed_out_by_priority_then_by_age,
    live_fetches_are_handed_out_though_there_is_no_room_for_others,
    several_feeders_never_get_the_same_fetch,
    what_the_queue_has_lost_is_fed_again,
    a_clock_set_back_delays_no_fetch,
    a_clock_set_back_by_minutes_shortens_no_wait,
    attempts_are_counted_before_the_work,
    an_outage_gives_the_attempt_back_once,
    a_failure_keeps_its_reason_and_is_tried_again_or_set_aside,
    counts_tell_the_sorts_apart,
    the_oldest_fetch_is_that_which_has_been_due_longest,
);

/// `n` discoveries, due a millisecond apart.
async fn discover(world: &World, texts: &[&str]) {
    for (place, text) in texts.iter().enumerate() {
        let listed = [seen(text, NOW)];
        let poll = freshet::store::PollRecord {
            listed: &listed,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms: NOW + place as i64,
        };
        world.store.record_poll(&poll).await.unwrap();
    }
}

async fn fetches_are_handed_out_by_priority_then_by_age(world: World) {
    discover(&world, &["e5", "d4", "c3", "b2", "a1"]).await;
    world
        .number("UPDATE fetches SET priority = 2 WHERE id = 'e5' RETURNING CAST(1 AS bigint)")
        .await;
    world
        .number("UPDATE fetches SET priority = 1 WHERE id = 'a1' RETURNING CAST(1 AS bigint)")
        .await;
    let claim = |limit| world.store.claim_fetches(NOW + 99, limit);
    assert_eq!(claim(2).await.unwrap(), ids(&["d4", "c3"]));
    assert_eq!(claim(9).await.unwrap(), ids(&["b2", "a1", "e5"]));
    assert!(claim(9).await.unwrap().is_empty());
}

async fn live_fetches_are_handed_out_though_there_is_no_room_for_others(world: World) {
    discover(&world, &["a1", "a2", "a3", "a4", "a5", "a6"]).await;
    world
        .run("UPDATE fetches SET priority = 1 WHERE id IN ('a1', 'a3')")
        .await;
    world
        .run("UPDATE fetches SET priority = 2 WHERE id IN ('a2', 'a4')")
        .await;
    let claim = |limit, background| world.store.claim_live_first(NOW + 99, limit, background);
    assert_eq!(claim(1, 0).await.unwrap(), ids(&["a5"]));
    assert_eq!(claim(9, 0).await.unwrap(), ids(&["a6"]));
    assert!(claim(9, 0).await.unwrap().is_empty());
    assert_eq!(claim(9, 3).await.unwrap(), ids(&["a1", "a3", "a2"]));
    assert_eq!(claim(9, 3).await.unwrap(), ids(&["a4"]));
}

async fn the_oldest_fetch_is_that_which_has_been_due_longest(world: World) {
    let store = &world.store;
    let oldest = async |now_ms| store.oldest_due(now_ms).await.unwrap();
    assert_eq!(oldest(NOW).await, None);
    discover(&world, &["a1", "a2", "a3", "a4"]).await;
    world
        .number("UPDATE fetches SET priority = 2 WHERE id = 'a1' RETURNING CAST(1 AS bigint)")
        .await;
    world
        .number("UPDATE fetches SET priority = 1 WHERE id = 'a2' RETURNING CAST(1 AS bigint)")
        .await;
    assert_eq!(oldest(NOW - 1).await, None, "all are due later");
    assert_eq!(oldest(NOW + 9).await, Some(NOW), "whatever its priority");
    store.set_aside(&id("a1"), "r", 1).await.unwrap();
    assert_eq!(oldest(NOW + 9).await, Some(NOW + 1));
    let due = store.claim_fetches(NOW + 2, 9).await.unwrap();
    assert_eq!(due, ids(&["a3", "a2"]), "they are in the queue now");
    assert_eq!(oldest(NOW + 9).await, Some(NOW + 3));
    let a3 = ids(&["a3"]);
    store.start_attempts(&a3, "w", NOW + 2).await.unwrap();
    store.return_fetches(&a3, "w", NOW + 2).await.unwrap();
    assert_eq!(oldest(NOW + 9).await, Some(NOW + 2));
}

async fn several_feeders_never_get_the_same_fetch(world: World) {
    let listed: Vec<_> = (0..600).map(|n| seen(&format!("x{n}"), NOW)).collect();
    world.list(&listed).await;
    let other = world.another().await;
    let feeders = (0..6).map(|feeder| {
        let store = if feeder % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut mine: Vec<SubmissionId> = Vec::new();
            loop {
                let got = store.claim_fetches(NOW, 17).await.unwrap();
                if got.is_empty() {
                    return mine;
                }
                mine.extend(got);
            }
        })
    });
    let mut all = Vec::new();
    for feeder in feeders.collect::<Vec<_>>() {
        all.extend(feeder.await.unwrap());
    }
    assert_eq!(all.len(), 600);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 600);
}

async fn what_the_queue_has_lost_is_fed_again(world: World) {
    let store = &world.store;
    discover(&world, &["a1", "a2", "a3"]).await;
    assert_eq!(store.claim_fetches(NOW + 10, 2).await.unwrap().len(), 2);
    store.claim_fetches(NOW + 20, 9).await.unwrap();
    assert!(store.fed_before(NOW + 10, 9).await.unwrap().is_empty());
    let fed = store.fed_before(NOW + 11, 9).await.unwrap();
    assert_eq!(fed.iter().collect::<HashSet<_>>().len(), 2);
    assert_eq!(store.fed_before(NOW + 99, 9).await.unwrap()[2], id("a3"));
    assert_eq!(store.fed_before(NOW + 99, 1).await.unwrap().len(), 1);

    assert_eq!(store.unfeed(&ids(&["a2", "a9"])).await.unwrap(), 1);
    assert_eq!(store.unfeed(&ids(&["a2"])).await.unwrap(), 0, "once");
    assert_eq!(
        store.claim_fetches(NOW + 60, 9).await.unwrap(),
        ids(&["a2"])
    );
}

fn failed(reason: &str) -> Failure<'_> {
    Failure {
        by: "w",
        kind: FailureKind::Unreadable,
        reason,
        now_ms: NOW,
    }
}

async fn a_clock_set_back_delays_no_fetch(world: World) {
    let store = &world.store;
    discover(&world, &["a1", "a2"]).await;
    let (back, little) = (NOW - 3_600_000, NOW - 30_000);
    assert_eq!(store.retime_fetches(little, 9).await.unwrap(), 0);
    assert!(store.claim_fetches(little, 9).await.unwrap().is_empty());
    assert_eq!(store.claim_fetches(NOW, 1).await.unwrap().len(), 1);
    assert_eq!(store.retime_fetches(back, 9).await.unwrap(), 1);
    assert_eq!(store.claim_fetches(back, 9).await.unwrap().len(), 1);
    // Handed over at NOW, an hour ahead; and just now.
    assert_eq!(store.fed_before(back - 10, 9).await.unwrap().len(), 1);
    assert_eq!(store.fed_before(back + 10, 9).await.unwrap().len(), 2);
}

async fn a_clock_set_back_by_minutes_shortens_no_wait(world: World) {
    let store = &world.store;
    let back = NOW - 300_000;
    discover(&world, &["a1", "a2", "a3", "a4"]).await;
    store.claim_fetches(NOW + 9, 3).await.unwrap();
    // Tried and put off: two before the clock was set back, one of them for longer than anything
    // waits, and one after.
    store.start_attempts(&ids(&["a1"]), "w", NOW).await.unwrap();
    let after = ids(&["a2", "a3"]);
    store.start_attempts(&after, "w", back).await.unwrap();
    for (text, due_ms) in [
        ("a1", NOW + 60_000),
        ("a2", back + 240_000),
        ("a3", back + 3_600_000),
    ] {
        store
            .return_fetches(&ids(&[text]), "w", due_ms)
            .await
            .unwrap();
    }
    assert_eq!(store.retime_fetches(back, 2).await.unwrap(), 2);
    assert_eq!(store.retime_fetches(back, 9).await.unwrap(), 1);
    assert_eq!(store.retime_fetches(back, 9).await.unwrap(), 0);
    // Each as long as it was to wait, and none longer than anything does.
    for (text, wait_ms) in [
        ("a4", 0),
        ("a1", 60_000),
        ("a2", 240_000),
        ("a3", 15 * 60_000),
    ] {
        if wait_ms > 0 {
            let early = store.claim_fetches(back + wait_ms - 1, 9).await.unwrap();
            assert!(early.is_empty(), "{early:?} before {text}");
        }
        let due = store.claim_fetches(back + wait_ms, 9).await.unwrap();
        assert_eq!(due, ids(&[text]));
    }
}

async fn attempts_are_counted_before_the_work(world: World) {
    let store = &world.store;
    discover(&world, &["a1"]).await;
    store.claim_fetches(NOW, 9).await.unwrap();
    for tries in 1..=3 {
        let attempts = store
            // Each worker died over it.
            .start_attempts(&ids(&["a1", "unknown"]), &format!("w{tries}"), NOW)
            .await
            .unwrap();
        assert_eq!(attempts.len(), 1);
        assert_eq!((attempts[0].attempts, attempts[0].omissions), (tries, 0));
    }
    world.fetch(&[seen("a1", NOW)]).await;
    assert!(
        store
            .start_attempts(&ids(&["a1"]), "w", NOW)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn an_outage_gives_the_attempt_back_once(world: World) {
    let store = &world.store;
    discover(&world, &["a1"]).await;
    store.claim_fetches(NOW, 9).await.unwrap();
    let begin = async |by| store.start_attempts(&ids(&["a1"]), by, NOW).await.unwrap();
    begin("killed").await;
    begin("w").await;
    let again = begin("w").await;
    assert_eq!(
        again[0].attempts, 2,
        "the same worker goes on with the same"
    );
    for _ in 0..2 {
        store
            .return_fetches(&ids(&["a1"]), "w", NOW + 700)
            .await
            .unwrap();
    }
    assert!(store.claim_fetches(NOW + 699, 9).await.unwrap().is_empty());
    assert_eq!(
        store.claim_fetches(NOW + 700, 9).await.unwrap(),
        ids(&["a1"])
    );
    assert_eq!(
        begin("w").await[0].attempts,
        2,
        "two begun, one given back, one begun"
    );
}

async fn a_failure_keeps_its_reason_and_is_tried_again_or_set_aside(world: World) {
    let store = &world.store;
    discover(&world, &["a1"]).await;
    store.claim_fetches(NOW, 9).await.unwrap();
    store
        .fail_fetch(&id("a1"), failed("bad\0 answer"), NOW + 5)
        .await
        .unwrap();
    assert_eq!(store.claim_fetches(NOW + 5, 9).await.unwrap(), ids(&["a1"]));
    let reasons = "SELECT count(*) FROM fetches WHERE reason = 'bad answer'";
    assert_eq!(world.number(reasons).await, 1);
    store
        .set_aside(&id("a1"), "gone for ever", NOW / 1000)
        .await
        .unwrap();
    assert!(store.claim_fetches(NOW + 99, 9).await.unwrap().is_empty());
    assert!(
        store
            .start_attempts(&ids(&["a1"]), "w", NOW)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.fed_before(NOW + 99, 9).await.unwrap().is_empty());
    assert_eq!(store.unfeed(&ids(&["a1"])).await.unwrap(), 0);
    store.return_fetches(&ids(&["a1"]), "w", NOW).await.unwrap();
    assert_eq!(store.fetch_counts(NOW + 99).await.unwrap().dead, 1);
    assert_eq!(
        world.number("SELECT dead_at FROM fetches").await,
        NOW / 1000
    );
}

async fn counts_tell_the_sorts_apart(world: World) {
    let store = &world.store;
    discover(&world, &["a1", "a2", "a3", "a4", "a5", "a6"]).await;
    let due = store.claim_fetches(NOW, 1).await.unwrap();
    assert_eq!(due, ids(&["a1"]));
    store.set_aside(&id("a2"), "r", 1).await.unwrap();
    assert_eq!(
        store.fetch_counts(NOW + 3).await.unwrap(),
        FetchCounts {
            backlog: 2,
            deferred: 2,
            fed: 1,
            dead: 1
        }
    );
    store.return_fetches(&[], "w", NOW).await.unwrap();
    assert!(
        store
            .start_attempts(&[], "w", NOW)
            .await
            .unwrap()
            .is_empty()
    );
}
