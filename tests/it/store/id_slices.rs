//! Slices of backfills from ids.

use super::conformance;
use super::fixtures::{NOW, World, gap, interval, member, name, seen_with};
use freshet::store::{
    Claim, GapCause, GapState, IdSliceEnd, IdSliceStep, NewBackfill, NewSlice, Recent, SliceClaim,
    SliceDue,
};
use freshet::submission::{Observation, SubmissionId};
use std::collections::BTreeSet;

conformance!(
    a_slice_goes_on_where_it_was_whoever_has_it_now,
    a_step_that_is_repeated_after_a_lost_answer_counts_no_try,
    a_claim_that_was_lost_records_and_proves_nothing,
    a_slice_that_waits_for_absent_ids_is_not_one_that_nobody_works_on,
    the_gaps_of_members_close_within_the_slice_and_those_of_others_stay,
    a_member_whose_submission_could_not_be_kept_is_none_any_more,
    what_is_stored_and_left_out_keeps_its_subreddits_gap_open,
    without_proof_no_gap_closes,
);

const NAMES: [&str; 3] = ["birds", "cats", "rust"];

/// Three subreddits with gaps from 10 to 30, and a slice from 0 to 20.
async fn begun(world: &World) -> SliceClaim {
    for subreddit in NAMES {
        let claim: Claim = world.claimed(subreddit).await;
        let mut left = member(&claim);
        left.gap = gap(10, 30, GapCause::Cap);
        world.record(left).await;
    }
    let new = NewBackfill {
        subreddit: name("all"),
        source: "ids".to_owned(),
        request: "some".to_owned(),
        range: interval(0, 20),
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: vec![NewSlice {
            name: None,
            start: 0,
            end: 20,
            expected: None,
        }],
    };
    let backfill = world.store.create_backfill(&new, NOW).await.unwrap();
    let slice = world.store.slices(backfill).await.unwrap()[0].id;
    let claim = claim(world, slice).await;
    let ids = interval(1_000, 1_200);
    assert!(world.store.begin_id_slice(&claim, ids, true).await.unwrap());
    claim
}

async fn claim(world: &World, slice: i64) -> SliceClaim {
    let claimed = world.store.begin_slice(slice, "w", NOW, 20_000).await;
    claimed.unwrap().unwrap()
}

fn item(id: i64, subreddit: &str) -> Observation {
    let id = SubmissionId::from_number(id).to_string();
    seen_with(&id, NOW, &format!(r#","subreddit":"{subreddit}""#))
}

fn step<'a>(
    claim: &'a SliceClaim,
    observations: &'a [Observation],
    absent: &[i64],
) -> IdSliceStep<'a> {
    IdSliceStep {
        failing: Vec::new(),
        claim,
        observations,
        undecodable: &[],
        store_all: false,
        next: 1_100,
        reached: 9,
        absent: absent.to_vec(),
        appeared: Vec::new(),
        asked_ms: NOW,
        given_out: observations.len() as i64,
        strays: 0,
        claimed_until_ms: NOW + 20_000,
        now_ms: NOW,
    }
}

async fn end(world: &World, claim: &SliceClaim, shown: &[&str], unproven: Option<&str>) -> u64 {
    let shown: Vec<String> = shown.iter().map(|name| (*name).to_owned()).collect();
    let end = IdSliceEnd {
        failing: &BTreeSet::new(),
        unknown: &[],
        claim,
        shown: &shown,
        unproven,
        now_ms: NOW,
    };
    let ended = world.store.end_id_slice(&end).await.unwrap().unwrap();
    assert_eq!(ended.proven + ended.left, NAMES.len());
    ended.proven as u64
}

/// Whose gaps begin where.
async fn open(world: &World) -> Vec<(String, i64)> {
    let gaps = world.store.gaps(None, Some(GapState::Open)).await.unwrap();
    let open = gaps
        .iter()
        .map(|gap| (gap.subreddit.to_string(), gap.interval.start));
    open.collect()
}

fn starts(starts: [i64; 3]) -> Vec<(String, i64)> {
    NAMES
        .iter()
        .map(|it| (*it).to_owned())
        .zip(starts)
        .collect()
}

async fn a_slice_goes_on_where_it_was_whoever_has_it_now(world: World) {
    let first = begun(&world).await;
    let items = [item(1_001, "rust"), item(1_002, "elsewhere")];
    let stored = world
        .store
        .record_id_slice(
            &step(&first, &items, &[1_003, 1_004]),
            &mut Recent::default(),
        )
        .await;
    assert_eq!(stored.unwrap().unwrap().0.fresh, [0]);
    let again = IdSliceStep {
        appeared: vec![1_003],
        asked_ms: NOW + 1,
        ..step(&first, &[], &[1_004])
    };
    world
        .store
        .record_id_slice(&again, &mut Recent::default())
        .await
        .unwrap()
        .unwrap();
    let slice = world.store.id_slice(first.id).await.unwrap().unwrap();
    assert_eq!((slice.first, slice.next, slice.end), (1_000, 1_100, 1_200));
    assert_eq!((slice.given_out, slice.strays, slice.whole), (2, 0, true));
    assert_eq!(slice.members, NAMES);
    let absent: Vec<_> = slice
        .absent
        .iter()
        .map(|it| (it.id, it.tries, it.asked_ms))
        .collect();
    assert_eq!(absent, [(1_004, 1, NOW + 1)]);
    // Beginning it again changes nothing.
    let ids = interval(5, 6);
    assert!(
        world
            .store
            .begin_id_slice(&first, ids, false)
            .await
            .unwrap()
    );
    assert_eq!(
        world.store.id_slice(first.id).await.unwrap().unwrap(),
        slice
    );
}

async fn a_slice_that_waits_for_absent_ids_is_not_one_that_nobody_works_on(world: World) {
    let claim = begun(&world).await;
    let due = SliceDue::Again {
        due_ms: NOW + 1,
        spent: false,
    };
    for (next, waiting, later) in [(1_199, 1, 0), (1_200, 0, 1)] {
        let step = IdSliceStep {
            next,
            ..step(&claim, &[], &[1_003])
        };
        world
            .store
            .record_id_slice(&step, &mut Recent::default())
            .await
            .unwrap()
            .unwrap();
        let counts = world.store.count_backfills(NOW).await.unwrap();
        assert_eq!((counts.waiting, counts.later, counts.active), (0, 0, 1));
        let after = world.store.count_backfills(NOW + 30_000).await.unwrap();
        assert_eq!(
            (after.waiting, after.later, after.active),
            (waiting, later, 0)
        );
    }
    let given_back = world.store.give_slice_back(&claim, None, due, NOW);
    given_back.await.unwrap();
    let until = world.store.waits_until(claim.backfill).await.unwrap();
    assert_eq!(until, Some(NOW + 1));
}

async fn a_step_that_is_repeated_after_a_lost_answer_counts_no_try(world: World) {
    let claim = begun(&world).await;
    for _ in 0..3 {
        let step = step(&claim, &[], &[1_003]);
        world
            .store
            .record_id_slice(&step, &mut Recent::default())
            .await
            .unwrap()
            .unwrap();
    }
    let slice = world.store.id_slice(claim.id).await.unwrap().unwrap();
    assert_eq!(slice.absent[0].tries, 0);
}

async fn a_claim_that_was_lost_records_and_proves_nothing(world: World) {
    let lost = begun(&world).await;
    let taken = world
        .store
        .begin_slice(lost.id, "other", NOW + 30_000, 20_000);
    let taken = taken.await.unwrap().unwrap();
    let items = [item(1_001, "rust")];
    let stored = world
        .store
        .record_id_slice(&step(&lost, &items, &[]), &mut Recent::default())
        .await;
    assert_eq!(stored.unwrap(), None);
    let shown = NAMES.map(str::to_owned);
    let none = BTreeSet::new();
    let ends = |claim| IdSliceEnd {
        failing: &none,
        unknown: &[],
        claim,
        shown: &shown,
        unproven: None,
        now_ms: NOW,
    };
    assert_eq!(world.store.end_id_slice(&ends(&lost)).await.unwrap(), None);
    assert!(
        !world
            .store
            .begin_id_slice(&lost, interval(1, 2), true)
            .await
            .unwrap()
    );
    assert_eq!(open(&world).await, starts([10, 10, 10]));
    let ended = world
        .store
        .end_id_slice(&ends(&taken))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ended.proven, ended.left), (3, 0));
}

async fn the_gaps_of_members_close_within_the_slice_and_those_of_others_stay(world: World) {
    let claim = begun(&world).await;
    let items = [item(1_001, "rust")];
    world
        .store
        .record_id_slice(&step(&claim, &items, &[1_003]), &mut Recent::default())
        .await
        .unwrap();
    assert_eq!(
        end(&world, &claim, &["cats", "rust", "elsewhere"], None).await,
        2
    );
    assert_eq!(open(&world).await, starts([10, 20, 20]));
    let covered = world.store.coverage(&name("rust")).await.unwrap();
    assert_eq!(covered, [(10, 20)], "and no more than the gap");
    // Nothing of it is left, and the backfill is done.
    assert_eq!(world.store.id_slice(claim.id).await.unwrap(), None);
    let left = world.number("SELECT count(*) FROM id_slice_absent").await
        + world.number("SELECT count(*) FROM id_slice_members").await;
    assert_eq!(left, 0);
    let done = world
        .number("SELECT count(*) FROM backfills WHERE state = 'done'")
        .await;
    assert_eq!(done, 1);
}

async fn a_member_whose_submission_could_not_be_kept_is_none_any_more(world: World) {
    let claim = begun(&world).await;
    world.store.pause_subreddit(&name("rust")).await.unwrap();
    let items = [item(1_001, "rust"), item(1_002, "cats")];
    world
        .store
        .record_id_slice(&step(&claim, &items, &[]), &mut Recent::default())
        .await
        .unwrap();
    world
        .store
        .resume_subreddit(&name("rust"), NOW / 1000)
        .await
        .unwrap();
    let slice = world.store.id_slice(claim.id).await.unwrap().unwrap();
    assert_eq!(slice.members, ["birds", "cats"]);
    world.store.pause_subreddit(&name("birds")).await.unwrap();
    let shown = NAMES.map(str::to_owned);
    let end = IdSliceEnd {
        failing: &BTreeSet::new(),
        unknown: &[],
        claim: &claim,
        shown: &shown,
        unproven: None,
        now_ms: NOW,
    };
    let ended = world.store.end_id_slice(&end).await.unwrap().unwrap();
    assert_eq!((ended.proven, ended.left), (1, 1));
    assert_eq!(open(&world).await, starts([10, 20, 10]));
}

async fn what_is_stored_and_left_out_keeps_its_subreddits_gap_open(world: World) {
    let claim = begun(&world).await;
    world.list(&[item(1_003, "Rust")]).await;
    world
        .store
        .record_id_slice(&step(&claim, &[], &[1_003, 1_004]), &mut Recent::default())
        .await
        .unwrap();
    assert_eq!(end(&world, &claim, &NAMES, None).await, 2);
    assert_eq!(open(&world).await, starts([20, 20, 10]));
}

async fn without_proof_no_gap_closes(world: World) {
    let claim = begun(&world).await;
    assert_eq!(end(&world, &claim, &NAMES, Some("why")).await, 0);
    assert_eq!(open(&world).await, starts([10, 10, 10]));
    let reason = world.store.slices(claim.backfill).await.unwrap();
    assert_eq!(reason[0].reason.as_deref(), Some("why"));
}
