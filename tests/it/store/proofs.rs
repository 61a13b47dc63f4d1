//! Coverage and gaps.

use super::conformance;
use super::fixtures::{NOW, World, gap, interval, member, name};
use freshet::store::{Claim, GapCause, GapState, Interval};

conformance!(
    proven_intervals_merge_where_they_overlap_or_touch,
    a_gap_that_touches_an_open_one_of_its_cause_extends_it,
    a_proof_repairs_gaps_inside_it_and_shrinks_those_that_stick_out,
    gaps_are_listed_by_subreddit_and_state,
    gaps_of_other_subreddits_are_left_alone,
);

async fn prove(world: &World, claim: &Claim, proven: Option<Interval>) {
    let mut record = member(claim);
    record.proven = proven;
    assert!(world.record(record).await.lost.is_empty());
}

/// Whether the gap was opened.
async fn leave(world: &World, claim: &Claim, start: i64, end: i64, cause: GapCause) -> bool {
    let mut record = member(claim);
    record.gap = gap(start, end, cause);
    !world.record(record).await.gaps_opened.is_empty()
}

async fn open(world: &World) -> Vec<(i64, i64, GapCause)> {
    let gaps = world.store.gaps(None, Some(GapState::Open)).await.unwrap();
    let bounds = gaps
        .iter()
        .map(|gap| (gap.interval.start, gap.interval.end, gap.cause));
    bounds.collect()
}

async fn proven_intervals_merge_where_they_overlap_or_touch(world: World) {
    let claim = world.claimed("rust").await;
    for (proven, expected) in [
        (interval(10, 20), vec![(10, 20)]),
        (interval(15, 30), vec![(10, 30)]),
        (interval(30, 35), vec![(10, 35)]),
        (interval(50, 60), vec![(10, 35), (50, 60)]),
        (interval(70, 80), vec![(10, 35), (50, 60), (70, 80)]),
        (interval(9, 9), vec![(10, 35), (50, 60), (70, 80)]),
        (interval(5, 12), vec![(5, 35), (50, 60), (70, 80)]),
        (interval(34, 70), vec![(5, 80)]),
        (interval(0, 100), vec![(0, 100)]),
    ] {
        prove(&world, &claim, Some(proven)).await;
        let coverage = world.store.coverage(&name("rust")).await.unwrap();
        assert_eq!(coverage, expected);
    }
    prove(&world, &claim, None).await;
    assert!(
        world
            .store
            .coverage(&name("other"))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_gap_that_touches_an_open_one_of_its_cause_extends_it(world: World) {
    let claim = world.claimed("rust").await;
    assert!(leave(&world, &claim, 10, 20, GapCause::Cap).await);
    assert!(!leave(&world, &claim, 20, 30, GapCause::Cap).await);
    assert_eq!(open(&world).await, [(10, 30, GapCause::Cap)]);
    assert!(leave(&world, &claim, 15, 25, GapCause::Error).await);
    assert!(leave(&world, &claim, 40, 50, GapCause::Cap).await);
    assert!(!leave(&world, &claim, 25, 45, GapCause::Cap).await);
    assert_eq!(
        open(&world).await,
        [(10, 50, GapCause::Cap), (15, 25, GapCause::Error)]
    );
    assert!(
        !leave(&world, &claim, 7, 7, GapCause::AnchorVanished).await,
        "empty"
    );
    assert_eq!(open(&world).await.len(), 2);
}

async fn a_proof_repairs_gaps_inside_it_and_shrinks_those_that_stick_out(world: World) {
    let claim = world.claimed("rust").await;
    for (start, end, cause) in [
        (0, 15, GapCause::Cap),
        (20, 30, GapCause::Cap),
        (35, 60, GapCause::Cap),
        (5, 55, GapCause::Error),
    ] {
        assert!(leave(&world, &claim, start, end, cause).await);
    }
    prove(&world, &claim, Some(interval(10, 40))).await;
    assert_eq!(
        open(&world).await,
        [
            (0, 10, GapCause::Cap),
            (5, 10, GapCause::Error),
            (40, 55, GapCause::Error),
            (40, 60, GapCause::Cap),
        ]
    );
    let repaired = world
        .store
        .gaps(Some(&name("rust")), Some(GapState::Repaired))
        .await
        .unwrap();
    assert_eq!(repaired.len(), 1);
    assert_eq!(repaired[0].interval, interval(20, 30));
    assert_eq!(repaired[0].repaired_by.as_deref(), Some("poll"));
    assert_eq!(repaired[0].repaired_at, Some(NOW / 1000));
    assert_eq!(world.store.subreddits().await.unwrap()[0].open_gaps, 4);
}

async fn gaps_are_listed_by_subreddit_and_state(world: World) {
    let rust = world.claimed("rust").await;
    let python = world.claimed("python").await;
    leave(&world, &rust, 0, 10, GapCause::Cap).await;
    leave(&world, &python, 5, 9, GapCause::Error).await;
    prove(&world, &rust, Some(interval(0, 10))).await;
    let count = |subreddit: Option<&'static str>, state| {
        let store = &world.store;
        async move {
            let subreddit = subreddit.map(name);
            store.gaps(subreddit.as_ref(), state).await.unwrap().len()
        }
    };
    assert_eq!(count(None, None).await, 2);
    assert_eq!(count(Some("rust"), None).await, 1);
    assert_eq!(count(Some("rust"), Some(GapState::Open)).await, 0);
    assert_eq!(count(None, Some(GapState::Open)).await, 1);
    assert_eq!(count(None, Some(GapState::Unrepairable)).await, 0);
}

async fn gaps_of_other_subreddits_are_left_alone(world: World) {
    let rust = world.claimed("rust").await;
    let python = world.claimed("python").await;
    leave(&world, &python, 0, 100, GapCause::Cap).await;
    prove(&world, &rust, Some(interval(0, 100))).await;
    assert!(leave(&world, &rust, 100, 110, GapCause::Cap).await);
    assert_eq!(open(&world).await[0], (0, 100, GapCause::Cap));
}
