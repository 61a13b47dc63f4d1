//! Walks of whole listings beside the polls: what was approved late, and gaps that can still be
//! closed.

use crate::support::discovery::{START_MS, World};
use crate::support::pipeline::until;
use freshet::simulator::{Endpoint, Fault, Oddities, Publication, Removal, SimulatorOptions};
use freshet::store::{Gap, GapReason, GapState, Interval};
use freshet::submission::SubredditName;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The first window holds all there is.
const HOUR_LONG: &[(&str, &str)] = &[("discover.first_window", "1h")];

fn kettles() -> SubredditName {
    "kettles".parse().unwrap()
}

/// r/kettles, watched, polled and swept, with nothing in it but what a test publishes.
async fn still(settings: &[(&'static str, &str)]) -> World {
    let options = SimulatorOptions {
        subreddits: vec![(kettles(), 0.0)],
        oddities: Oddities::none(),
        ..SimulatorOptions::default()
    };
    let mut world = World::new(options, settings, 0).await;
    publish(&world, 300, START_MS / 1000 - 3600);
    world.watch(&[kettles()]).await;
    world.start_scheduler();
    world.start_sweeper();
    world.settle(|| {}).await;
    world
}

/// Polled once: a subreddit with more in its first window than a listing shows.
async fn busy(name: &SubredditName) -> World {
    let options = SimulatorOptions {
        subreddits: vec![(kettles(), 0.0)],
        oddities: Oddities::none(),
        ..SimulatorOptions::default()
    };
    let mut world = World::new(options, &[], 0).await;
    publish(&world, 1_500, START_MS / 1000 - 3600);
    world.watch(std::slice::from_ref(name)).await;
    world.start_scheduler();
    world.settle(|| {}).await;
    world
}

/// So many submissions, one a second from this one on.
fn publish(world: &World, count: i64, from: i64) {
    for created_utc in from..from + count {
        let publication = Publication {
            created_utc: Some(created_utc),
            ..Publication::to(&kettles())
        };
        world.simulator.control().publish(publication).unwrap();
    }
}

async fn poll_on(world: &World, time: Duration) {
    let step = 10 * MINUTE;
    for _ in 0..time.as_secs() / step.as_secs() {
        world.advance(step);
        world.settle(|| {}).await;
    }
}

async fn gaps(world: &World) -> Vec<Gap> {
    world.store.gaps(Some(&kettles()), None).await.unwrap()
}

/// So many sweeps are counted, and no more; they are counted just after they were recorded.
async fn swept(world: &World, kind: &str, outcome: &str, times: u64) {
    let sweeps = &world.metrics.discover.sweeps;
    let count = sweeps.with_label_values(&[kind, outcome]);
    let what = format!("{times} {kind} {outcome}");
    until(&what, MINUTE, async || count.get() >= times).await;
    assert_eq!(count.get(), times, "{what}");
}

fn late(world: &World) -> u64 {
    // The scheduler names what it polls.
    let late = &world.metrics.discover.late;
    late.with_label_values(&["kettles"]).get()
}

fn pages(world: &World) -> usize {
    world.simulator.control().requests().len()
}

/// A gap as a poll leaves it whose way further back was gone, and without what lay in it.
async fn lose(world: &World) {
    world
        .execute(
            "INSERT INTO gaps (subreddit, gap_start, gap_end, cause, state, opened_at,
                 next_try_at)
             SELECT name, covered_until - 3600, covered_until - 3000, 'anchor_vanished', 'open',
                    polled_at, polled_at + 60 FROM subreddits",
        )
        .await;
    world
        .execute("UPDATE coverage SET covered_start = covered_end - 3000")
        .await;
    world
        .execute("DELETE FROM submissions WHERE created_utc < 1789996800")
        .await;
}

#[tokio::test]
async fn what_was_approved_below_every_window_is_found_by_the_next_sweep_and_counted_apart() {
    let world = still(HOUR_LONG).await;
    let control = world.simulator.control();
    let held = control
        .publish(Publication {
            held: true,
            ..Publication::to(&kettles())
        })
        .unwrap();
    for _ in 0..30 {
        world.advance(MINUTE);
        publish(&world, 10, world.now_ms() / 1000 - 30);
        world.settle(|| {}).await;
    }
    control.approve_late(&held).unwrap();
    world.advance(MINUTE);
    world.settle(|| {}).await;
    assert!(!world.stored().await.contains(held.as_str()));
    assert_eq!(late(&world), 0);

    // Polled all the while: after a pause the next poll would reach far down.
    poll_on(&world, 5 * HOUR).await;
    assert!(!world.stored().await.contains(held.as_str()));
    poll_on(&world, HOUR).await;
    assert!(world.stored().await.contains(held.as_str()));
    swept(&world, "sweep", "complete", 1).await;
    assert_eq!(late(&world), 1);
    // And again six hours later, not before.
    poll_on(&world, 5 * HOUR).await;
    swept(&world, "sweep", "complete", 1).await;
    poll_on(&world, HOUR).await;
    swept(&world, "sweep", "complete", 2).await;
    assert_eq!(late(&world), 1);
}

#[tokio::test]
async fn a_gap_that_the_listing_still_shows_is_closed_without_being_asked() {
    let world = still(HOUR_LONG).await;
    lose(&world).await;
    world.advance(2 * MINUTE);
    world.settle(|| {}).await;
    let gaps = gaps(&world).await;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].state, GapState::Repaired);
    assert_eq!(gaps[0].repaired_by.as_deref(), Some("sweep"));
    swept(&world, "repair", "complete", 1).await;
    assert_eq!(world.stored().await.len(), 300);
    assert_eq!(late(&world), 0, "what lay in a gap is not late");
    let repaired = &world.metrics.discover.gaps_repaired;
    assert_eq!(repaired.with_label_values(&["sweep"]).get(), 1);
}

#[tokio::test]
async fn a_gap_that_the_cap_left_is_not_walked_for_and_one_that_scrolled_out_only_once() {
    let mut world = busy(&kettles()).await;
    let capped = gaps(&world).await;
    assert_eq!(capped.len(), 1, "{capped:?}");
    assert_eq!(capped[0].state, GapState::Open);
    assert_eq!(capped[0].reason, Some(GapReason::BeyondListing));
    world
        .execute(
            "UPDATE gaps SET cause = 'anchor_vanished', reason = NULL, next_try_at = opened_at + 60",
        )
        .await;
    world.start_sweeper();
    world.advance(2 * MINUTE);
    world.settle(|| {}).await;
    let tried = gaps(&world).await;
    assert_eq!(tried[0].state, GapState::Open);
    assert_eq!(tried[0].reason, Some(GapReason::BeyondListing));
    assert_eq!(tried[0].tried_at, Some(world.now_ms() / 1000));
    swept(&world, "repair", "truncated", 1).await;
    poll_on(&world, HOUR).await;
    swept(&world, "repair", "truncated", 1).await;
}

#[tokio::test]
async fn what_is_removed_keeps_its_place_so_an_end_proves_nothing_below_it() {
    let mut world = busy(&kettles()).await;
    let control = world.simulator.control();
    let mut truth = control.truth();
    truth.sort_by_key(|truth| -truth.created_utc);
    for truth in truth
        .iter()
        .take(1_000)
        .filter(|truth| truth.created_utc % 5 < 3)
    {
        control
            .remove(&truth.id.parse().unwrap(), Removal::Moderator)
            .unwrap();
    }
    world.start_sweeper();
    poll_on(&world, 7 * HOUR).await;
    swept(&world, "sweep", "complete", 1).await;
    assert_eq!(gaps(&world).await[0].state, GapState::Open);
    let missing = truth.iter().skip(1_000).map(|truth| truth.created_utc);
    let coverage = world.store.coverage(&kettles()).await.unwrap();
    for created in missing {
        assert!(
            !coverage
                .iter()
                .any(|(start, end)| (start..end).contains(&&created))
        );
    }
}

#[tokio::test]
async fn an_empty_listing_proves_nothing_even_where_no_submission_was_ever_counted() {
    let mut world = busy(&"all".parse().unwrap()).await;
    let capped = world.store.gaps(None, None).await.unwrap();
    assert_eq!(capped.len(), 1, "{capped:?}");
    let control = world.simulator.control().clone();
    for truth in control.truth() {
        control
            .remove(&truth.id.parse().unwrap(), Removal::Moderator)
            .unwrap();
    }
    world.start_sweeper();
    poll_on(&world, 6 * HOUR).await;
    swept(&world, "sweep", "failed", 1).await;
    assert_eq!(
        world.store.gaps(None, None).await.unwrap()[0].state,
        GapState::Open
    );
}

#[tokio::test]
async fn two_processes_sweep_once() {
    let mut world = still(HOUR_LONG).await;
    world.start_sweeper();
    lose(&world).await;
    poll_on(&world, HOUR).await;
    swept(&world, "repair", "complete", 1).await;
    poll_on(&world, 5 * HOUR).await;
    swept(&world, "sweep", "complete", 1).await;
}

#[tokio::test]
async fn a_repair_that_gets_no_answer_is_tried_again_five_minutes_later() {
    let world = still(HOUR_LONG).await;
    lose(&world).await;
    // The poll before it takes one page.
    world.advance(2 * MINUTE);
    let control = world.simulator.control();
    let refusal = Fault::ErrorEmpty { status: 400 };
    control
        .fail_next(2, refusal, Some(Endpoint::Listing))
        .unwrap();
    world.settle(|| {}).await;
    let tried = gaps(&world).await;
    let gap = |gaps: &[Gap]| {
        let lost = gaps.iter().find(|gap| gap.cause.as_str() != "error");
        lost.unwrap().clone()
    };
    assert_eq!(gap(&tried).state, GapState::Open, "{tried:?}");
    assert_eq!(gap(&tried).reason, Some(GapReason::Unanswered));
    let before = pages(&world);
    world.advance(4 * MINUTE);
    world.settle(|| {}).await;
    assert_eq!(pages(&world) - before, 1, "a poll and nothing else");
    world.advance(2 * MINUTE);
    world.settle(|| {}).await;
    let repaired = gaps(&world).await;
    assert_eq!(gap(&repaired).state, GapState::Repaired, "{repaired:?}");
}

#[tokio::test]
async fn a_sweep_of_a_listing_that_ends_proves_all_that_there_ever_was_and_moves_no_watermark() {
    let world = still(&[
        ("discover.first_window", "10m"),
        ("discover.sweep_interval", "30m"),
    ])
    .await;
    let start = START_MS / 1000 - 3600;
    let proven = |coverage: Vec<(i64, i64)>| -> Vec<Interval> {
        let interval = |(start, end)| Interval { start, end };
        coverage.into_iter().map(interval).collect()
    };
    let before = proven(world.store.coverage(&kettles()).await.unwrap());
    assert!(
        before.iter().all(|interval| interval.start > start),
        "{before:?}"
    );
    world.advance(30 * MINUTE);
    world.settle(|| {}).await;
    let after = proven(world.store.coverage(&kettles()).await.unwrap());
    let now = world.now_ms() / 1000;
    assert_eq!(after, [Interval { start, end: now }]);
    assert_eq!(world.stored().await.len(), 300);
    assert_eq!(late(&world), 0, "older than the first window is not late");
}

#[tokio::test]
async fn no_sweeps_are_made_where_the_interval_is_zero_and_gaps_are_still_closed() {
    let world = still(&[HOUR_LONG[0], ("discover.sweep_interval", "0s")]).await;
    world.advance(48 * HOUR);
    world.settle(|| {}).await;
    swept(&world, "sweep", "complete", 0).await;
    lose(&world).await;
    world.advance(2 * MINUTE);
    world.settle(|| {}).await;
    assert_eq!(gaps(&world).await[0].state, GapState::Repaired);
}
