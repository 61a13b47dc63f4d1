//! Slices of backfills: handed out, claimed, recorded, let go.

use super::archived::record;
use super::conformance;
use super::fixtures::{NOW, World, id, interval, name, raw, seen};
use freshet::store::{
    ArchiveRecord, BackfillFilter, BackfillState, NewBackfill, NewSlice, SliceClaim, SliceDue,
    SliceEnd, SliceStep, SliceStored, Split,
};
use freshet::submission::{Refusal, Undecodable, decode};

conformance!(
    no_more_slices_are_handed_out_than_may_be_done_at_once,
    a_claim_that_was_lost_records_nothing,
    a_claim_is_kept_as_long_as_it_is_renewed,
    what_is_paused_or_cancelled_records_nothing,
    what_is_given_back_is_tried_again_and_what_is_set_aside_is_not,
    the_end_of_the_last_slice_is_the_end_and_what_it_proved_is_covered,
    resuming_while_slices_are_recorded_hinders_neither,
    what_fails_as_a_whole_is_split_until_it_is_one_second,
    the_seconds_of_what_is_not_stored_are_not_proven,
    what_one_attempt_was_not_shown_no_later_one_proves,
);

const LEASE: i64 = 20_000;

/// A backfill of r/rust with so many slices of ten seconds.
async fn begun(world: &World, slices: i64, max_active: u32) -> i64 {
    let new = NewBackfill {
        subreddit: name("rust"),
        source: "arctic-shift".to_owned(),
        request: "some".to_owned(),
        range: interval(0, slices * 10),
        newest_first: true,
        max_active,
        refresh: false,
        expected: None,
        slices: (0..slices)
            .map(|part| NewSlice {
                name: None,
                start: part * 10,
                end: part * 10 + 10,
                expected: None,
            })
            .collect(),
    };
    world.store.create_backfill(&new, NOW).await.unwrap()
}

async fn claim(world: &World, slice: i64, now_ms: i64) -> Option<SliceClaim> {
    let claimed = world.store.begin_slice(slice, "w", now_ms, LEASE);
    claimed.await.unwrap()
}

/// Records one submission, and the slice's end where that is asked for.
async fn step(world: &World, claim: &SliceClaim, found: &str, ends: bool) -> Option<SliceStored> {
    let proven = [interval(claim.slice_start, claim.slice_end)];
    let step = SliceStep {
        unseen: &[],
        claim,
        reached: if ends {
            claim.slice_end
        } else {
            claim.slice_start + 5
        },
        listed: 1,
        refused: 0,
        requests: 1,
        claimed_until_ms: NOW + LEASE,
        end: ends.then_some(SliceEnd {
            proven: &proven,
            reason: None,
            ends_backfill: true,
        }),
    };
    let kept = [seen(found, NOW)];
    world
        .store
        .record_slice(&step, &record(&kept))
        .await
        .unwrap()
}

async fn state(world: &World, backfill: i64) -> freshet::store::Backfill {
    let filter = BackfillFilter {
        id: Some(backfill),
        ..BackfillFilter::default()
    };
    world
        .store
        .backfills(filter, 1, NOW)
        .await
        .unwrap()
        .remove(0)
}

async fn is_stored(world: &World, which: &str) -> bool {
    world.store.submission(&id(which)).await.unwrap().is_some()
}

async fn no_more_slices_are_handed_out_than_may_be_done_at_once(world: World) {
    let store = &world.store;
    let backfill = begun(&world, 5, 2).await;
    let parts: Vec<i64> = store
        .slices(backfill)
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(
        store.claim_slices(NOW, 9).await.unwrap(),
        parts[3..],
        "the newest"
    );
    assert!(store.claim_slices(NOW, 9).await.unwrap().is_empty());
    let held = claim(&world, parts[4], NOW).await.unwrap();
    assert!(
        store.claim_slices(NOW, 9).await.unwrap().is_empty(),
        "one works, one waits"
    );
    step(&world, &held, "a1", true).await.unwrap();
    assert_eq!(store.claim_slices(NOW, 9).await.unwrap(), [parts[2]]);
    // The queue has lost one.
    assert_eq!(store.slices_fed_before(NOW + 1, 9).await.unwrap().len(), 2);
    assert_eq!(store.unfeed_slices(&[parts[3]]).await.unwrap(), 1);
    assert_eq!(store.claim_slices(NOW, 9).await.unwrap(), [parts[3]]);
    let other = begun(&world, 3, 1).await;
    let of_other = store.slices(other).await.unwrap()[2].id;
    assert_eq!(store.claim_slices(NOW, 9).await.unwrap(), [of_other]);
}

async fn a_claim_that_was_lost_records_nothing(world: World) {
    let backfill = begun(&world, 1, 1).await;
    let slice = world.store.claim_slices(NOW, 9).await.unwrap()[0];
    let first = claim(&world, slice, NOW).await.unwrap();
    assert_eq!(
        claim(&world, slice, NOW + LEASE - 1).await,
        None,
        "it is held"
    );
    let second = claim(&world, slice, NOW + LEASE).await.unwrap();
    assert!(second.token > first.token);
    assert_eq!((first.attempts, second.attempts), (1, 2));
    assert_eq!(step(&world, &first, "late", true).await, None);
    assert!(!is_stored(&world, "late").await);
    assert!(
        !world
            .store
            .renew_slice(&first, NOW + 9 * LEASE)
            .await
            .unwrap()
    );
    let never = SliceDue::Never;
    world
        .store
        .give_slice_back(&first, None, never, NOW)
        .await
        .unwrap();
    let stored = step(&world, &second, "a1", false).await.unwrap();
    assert_eq!(stored.archived.fresh, 1);
    let now = state(&world, backfill).await;
    assert_eq!(
        (now.fresh, now.listed, now.requests, now.slices_failed),
        (1, 1, 1, 0)
    );
    let reached = world.store.slices(backfill).await.unwrap()[0].reached;
    assert_eq!(reached, 5);
    let third = claim(&world, slice, NOW + LEASE).await.unwrap();
    assert_eq!((third.reached, third.attempts), (5, 1), "it got on since");
}

async fn a_claim_is_kept_as_long_as_it_is_renewed(world: World) {
    begun(&world, 1, 1).await;
    let slice = world.store.claim_slices(NOW, 9).await.unwrap()[0];
    let held = claim(&world, slice, NOW).await.unwrap();
    assert!(
        world
            .store
            .renew_slice(&held, NOW + 2 * LEASE)
            .await
            .unwrap()
    );
    assert_eq!(claim(&world, slice, NOW + LEASE).await, None);
    assert!(claim(&world, slice, NOW + 2 * LEASE).await.is_some());
}

async fn what_is_paused_or_cancelled_records_nothing(world: World) {
    let store = &world.store;
    let backfill = begun(&world, 2, 2).await;
    let slice = store.claim_slices(NOW, 9).await.unwrap()[0];
    let held = claim(&world, slice, NOW).await.unwrap();
    let set = async |state| {
        store
            .set_backfill_state(backfill, state, NOW)
            .await
            .unwrap()
    };
    assert!(set(BackfillState::Paused).await);
    assert_eq!(step(&world, &held, "a1", false).await, None);
    assert!(!store.renew_slice(&held, NOW + LEASE).await.unwrap());
    assert!(!is_stored(&world, "a1").await);
    assert!(store.claim_slices(NOW, 9).await.unwrap().is_empty());
    assert_eq!(claim(&world, slice, NOW + LEASE).await, None);

    assert!(set(BackfillState::Running).await);
    assert!(
        step(&world, &held, "a1", false).await.is_some(),
        "its claim held"
    );
    assert!(set(BackfillState::Cancelled).await);
    assert_eq!(step(&world, &held, "a2", true).await, None);
    assert!(!is_stored(&world, "a2").await);
    for again in [
        BackfillState::Running,
        BackfillState::Paused,
        BackfillState::Cancelled,
    ] {
        assert!(!set(again).await);
    }
    let now = state(&world, backfill).await;
    assert_eq!((now.state.as_str(), now.fresh), ("cancelled", 1));
    assert!(
        !store
            .set_backfill_state(99, BackfillState::Paused, NOW)
            .await
            .unwrap()
    );
}

async fn what_is_given_back_is_tried_again_and_what_is_set_aside_is_not(world: World) {
    let store = &world.store;
    let backfill = begun(&world, 1, 1).await;
    let slice = store.claim_slices(NOW, 9).await.unwrap()[0];
    for (spent, attempts) in [(false, 0), (true, 1), (true, 2)] {
        let held = claim(&world, slice, NOW).await.unwrap();
        let due_ms = NOW + 500;
        let due = SliceDue::Again { due_ms, spent };
        store
            .give_slice_back(&held, Some("no answer"), due, NOW)
            .await
            .unwrap();
        let row = store.slices(backfill).await.unwrap().remove(0);
        assert_eq!(
            (row.attempts, row.reason.as_deref()),
            (attempts, Some("no answer"))
        );
        assert!(store.claim_slices(due_ms - 1, 9).await.unwrap().is_empty());
        assert_eq!(store.claim_slices(due_ms, 9).await.unwrap(), [slice]);
        assert_eq!(
            step(&world, &held, "a1", false).await,
            None,
            "it was let go"
        );
    }
    let held = claim(&world, slice, NOW).await.unwrap();
    store
        .give_slice_back(&held, Some("no"), SliceDue::Never, NOW)
        .await
        .unwrap();
    let ended = state(&world, backfill).await;
    assert_eq!((ended.state.as_str(), ended.slices_failed), ("done", 1));
    assert_eq!(claim(&world, slice, NOW + LEASE).await, None);
    let running = BackfillState::Running;
    assert!(
        store
            .set_backfill_state(backfill, running, NOW)
            .await
            .unwrap()
    );
    assert_eq!(store.claim_slices(NOW, 9).await.unwrap(), [slice]);
}

async fn the_end_of_the_last_slice_is_the_end_and_what_it_proved_is_covered(world: World) {
    let store = &world.store;
    let backfill = begun(&world, 3, 3).await;
    for (number, slice) in store
        .claim_slices(NOW, 9)
        .await
        .unwrap()
        .into_iter()
        .enumerate()
    {
        assert_eq!(state(&world, backfill).await.state, "running");
        let held = claim(&world, slice, NOW).await.unwrap();
        step(&world, &held, &format!("a{number}"), true)
            .await
            .unwrap();
        assert_eq!(step(&world, &held, "b", true).await, None, "it is done");
    }
    let ended = state(&world, backfill).await;
    assert_eq!(
        (ended.state.as_str(), ended.finished_at),
        ("done", Some(NOW / 1000))
    );
    assert_eq!(
        (ended.seconds_proven, ended.fresh, ended.slices_done),
        (30, 3, 3)
    );
    assert_eq!(store.coverage(&name("rust")).await.unwrap(), [(0, 30)]);
    let running = BackfillState::Running;
    assert!(
        !store
            .set_backfill_state(backfill, running, NOW)
            .await
            .unwrap()
    );
}

async fn resuming_while_slices_are_recorded_hinders_neither(world: World) {
    let backfill = begun(&world, 4, 4).await;
    let slices = world.store.claim_slices(NOW, 9).await.unwrap();
    let working = futures::future::join_all(slices.into_iter().map(|slice| {
        let world = &world;
        async move {
            let held = claim(world, slice, NOW).await.unwrap();
            for page in 0..20 {
                let found = format!("s{slice}p{page}");
                step(world, &held, &found, page == 19).await.unwrap();
            }
        }
    }));
    let resuming = async {
        let other = world.another().await;
        for _ in 0..40 {
            let resumed = other.set_backfill_state(backfill, BackfillState::Running, NOW);
            resumed.await.unwrap();
        }
    };
    tokio::join!(working, resuming);
    let ended = state(&world, backfill).await;
    assert_eq!((ended.state.as_str(), ended.fresh), ("done", 80));
}

async fn what_fails_as_a_whole_is_split_until_it_is_one_second(world: World) {
    let backfill = begun(&world, 2, 4).await;
    let store = &world.store;
    // Half of the first is stored.
    let first = claim(&world, 1, NOW).await.unwrap();
    step(&world, &first, "a1", false).await.unwrap();
    let mut bad = first.clone();
    let mut rounds = 0;
    while store.split_slice(&bad, NOW).await.unwrap() == Split::Halved {
        rounds += 1;
        assert_eq!(store.split_slice(&bad, NOW).await.unwrap(), Split::Lost);
        // The second 8 is the bad one.
        let slices = store.slices(backfill).await.unwrap();
        let of = slices
            .iter()
            .find(|it| it.interval.start <= 8 && 8 < it.interval.end)
            .unwrap();
        bad = claim(&world, of.id, NOW).await.unwrap();
        assert_eq!(bad.attempts, 1, "none was spent");
    }
    assert!((2..=4).contains(&rounds), "{rounds} rounds");
    assert_eq!((bad.slice_start, bad.slice_end), (8, 9));
    let slices = store.slices(backfill).await.unwrap();
    let mut parts: Vec<(i64, i64)> = slices
        .iter()
        .map(|it| (it.interval.start, it.interval.end))
        .collect();
    parts.sort_unstable();
    assert_eq!((parts[0].0, parts[parts.len() - 1].1), (0, 20));
    for pair in parts.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{parts:?}");
    }
    let due = SliceDue::Never;
    store
        .give_slice_back(&bad, Some("bad"), due, NOW)
        .await
        .unwrap();
    // The others are done without it.
    for slice in store.slices(backfill).await.unwrap() {
        if slice.id != bad.id {
            let claimed = claim(&world, slice.id, NOW).await.unwrap();
            step(&world, &claimed, "b2", true).await.unwrap();
        }
    }
    let ended = state(&world, backfill).await;
    assert_eq!(ended.state().unwrap(), BackfillState::Done);
    let covered =
        world.number("SELECT CAST(sum(covered_end - covered_start) AS bigint) FROM coverage");
    assert_eq!(covered.await, 19);
}

async fn the_seconds_of_what_is_not_stored_are_not_proven(world: World) {
    let backfill = begun(&world, 1, 1).await;
    let slices = world.store.claim_slices(NOW, 10).await.unwrap();
    let claim = claim(&world, slices[0], NOW).await.unwrap();
    let at = |id: &str, second: i64, more: &str| {
        let json = format!(r#"{{"id":"{id}","created_utc":{second},"subreddit":"rust"{more}}}"#);
        decode(raw(&json), NOW).unwrap()
    };
    let deep = format!(r#","x":{}{}"#, "[".repeat(600), "]".repeat(600));
    // Of any depth, and stored.
    let kept = [at("a1", 2, ""), at("a2", 4, &deep)];
    let rejected = at("a3", 7, "");
    let rejected = Undecodable::new(rejected.raw, Refusal::NotStored, "refused", NOW);
    let comment = raw(r#"{"id":"c1","name":"t1_c1","created_utc":8}"#);
    let comment = decode(comment, NOW).unwrap_err();
    let proven = [interval(claim.slice_start, claim.slice_end)];
    // The end comes with another step than they did.
    for ends in [false, true] {
        let step = SliceStep {
            unseen: &[],
            claim: &claim,
            reached: if ends { claim.slice_end } else { 9 },
            listed: 2,
            refused: 1,
            requests: 1,
            claimed_until_ms: NOW + LEASE,
            end: ends.then_some(SliceEnd {
                proven: &proven,
                reason: None,
                ends_backfill: true,
            }),
        };
        let apart = [rejected.clone(), comment.clone()];
        let kept = ArchiveRecord {
            undecodable: if ends { &[] } else { &apart },
            ..record(if ends { &[] } else { &kept })
        };
        let stored = world
            .store
            .record_slice(&step, &kept)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(stored.archived.fresh, if ends { 0 } else { 2 });
    }
    let covered = world.store.coverage(&name("rust")).await.unwrap();
    assert_eq!(covered, [(0, 7), (8, 10)]);
    assert_eq!(state(&world, backfill).await.state, "done");
}

async fn what_one_attempt_was_not_shown_no_later_one_proves(world: World) {
    let store = &world.store;
    let backfill = begun(&world, 1, 1).await;
    let slice = store.claim_slices(NOW, 9).await.unwrap()[0];
    let first = claim(&world, slice, NOW).await.unwrap();
    let unseen = [interval(1, 2), interval(3, 4)];
    let went_on = SliceStep {
        claim: &first,
        reached: 6,
        unseen: &unseen,
        listed: 1,
        refused: 0,
        requests: 1,
        claimed_until_ms: NOW + LEASE,
        end: None,
    };
    let kept = [seen("a1", NOW)];
    let stored = store.record_slice(&went_on, &record(&kept)).await;
    stored.unwrap().unwrap();
    // As a page that is repeated after a lost answer.
    let stored = store.record_slice(&went_on, &record(&kept)).await;
    stored.unwrap().unwrap();
    let due = SliceDue::Again {
        due_ms: NOW,
        spent: false,
    };
    let back = store.give_slice_back(&first, None, due, NOW).await;
    back.unwrap();
    assert_eq!(store.claim_slices(NOW, 9).await.unwrap(), [slice]);
    let second = claim(&world, slice, NOW).await.unwrap();
    step(&world, &second, "a2", true).await.unwrap();
    let covered = store.coverage(&name("rust")).await.unwrap();
    assert_eq!(covered, [(0, 1), (2, 3), (4, 10)]);
    assert_eq!(state(&world, backfill).await.state, "done");
}
