//! What is told of backfills that are not settled.

use super::conformance;
use super::fixtures::{NOW, World, name};
use freshet::store::{
    Backfill, BackfillCounts, BackfillState, Interval, NewBackfill, NewSlice, SliceDue,
};

conformance!(
    slices_of_open_backfills_are_counted_by_state,
    what_was_set_aside_is_told_of_until_it_is_tried_again_or_given_up,
);

/// Begins one in so many slices of an hour.
async fn begin(world: &World, slices: i64) -> i64 {
    let slices = (0..slices).map(|hour| NewSlice {
        name: None,
        start: hour * 3_600,
        end: (hour + 1) * 3_600,
        expected: None,
    });
    let slices: Vec<NewSlice> = slices.collect();
    let new = NewBackfill {
        subreddit: name("rust"),
        source: "arctic-shift".to_owned(),
        request: "a test".to_owned(),
        range: Interval {
            start: 0,
            end: slices.last().unwrap().end,
        },
        newest_first: false,
        max_active: 4,
        refresh: false,
        expected: None,
        slices,
    };
    world.store.create_backfill(&new, NOW).await.unwrap()
}

/// Sets a slice aside, by its place.
async fn set_aside(world: &World, backfill: i64, place: usize) {
    let slice = world.store.slices(backfill).await.unwrap()[place].id;
    let claim = world.store.begin_slice(slice, "test", NOW, 1_000).await;
    let claim = claim.unwrap().unwrap();
    let given_back = world
        .store
        .give_slice_back(&claim, Some("refused"), SliceDue::Never, NOW);
    given_back.await.unwrap();
}

async fn set(world: &World, backfill: i64, state: BackfillState) {
    let set = world.store.set_backfill_state(backfill, state, NOW).await;
    assert!(set.unwrap());
}

async fn counts(world: &World) -> BackfillCounts {
    world.store.count_backfills(NOW).await.unwrap()
}

async fn unsettled(world: &World) -> Vec<Backfill> {
    world.store.unsettled_backfills(10, NOW).await.unwrap()
}

async fn slices_of_open_backfills_are_counted_by_state(world: World) {
    assert_eq!(counts(&world).await, BackfillCounts::default());
    let (running, paused) = (begin(&world, 5).await, begin(&world, 3).await);
    let slice = world.store.slices(running).await.unwrap()[0].id;
    let begun = world.store.begin_slice(slice, "test", NOW, 1_000).await;
    begun.unwrap().unwrap();
    set_aside(&world, running, 1).await;
    set(&world, paused, BackfillState::Paused).await;
    let expected = BackfillCounts {
        running: 1,
        paused: 1,
        waiting: 6,
        later: 0,
        active: 1,
        failed: 1,
    };
    assert_eq!(counts(&world).await, expected);
    let later = world.store.count_backfills(NOW + 1_000).await.unwrap();
    assert_eq!((later.waiting, later.active), (7, 0), "its lease is over");
    let told: Vec<i64> = unsettled(&world).await.iter().map(|it| it.id).collect();
    assert_eq!(told, [paused, running], "the newest first");
    for backfill in [running, paused] {
        set(&world, backfill, BackfillState::Cancelled).await;
    }
    assert_eq!(counts(&world).await, BackfillCounts::default());
    assert!(unsettled(&world).await.is_empty());
}

async fn what_was_set_aside_is_told_of_until_it_is_tried_again_or_given_up(world: World) {
    let backfill = begin(&world, 1).await;
    set_aside(&world, backfill, 0).await;
    let told = unsettled(&world).await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].state.as_str(), told[0].slices_failed),
        ("done", 1),
        "nothing else is left of it"
    );
    assert_eq!(told[0].trouble.as_deref(), Some("refused"));
    let only_failed = BackfillCounts {
        failed: 1,
        ..BackfillCounts::default()
    };
    assert_eq!(counts(&world).await, only_failed);
    set(&world, backfill, BackfillState::Running).await;
    let again = counts(&world).await;
    assert_eq!((again.running, again.waiting, again.failed), (1, 1, 0));

    set_aside(&world, backfill, 0).await;
    assert_eq!(counts(&world).await, only_failed);
    set(&world, backfill, BackfillState::Cancelled).await;
    assert_eq!(counts(&world).await, BackfillCounts::default());
    assert!(unsettled(&world).await.is_empty());
}
