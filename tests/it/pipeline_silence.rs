//! When a listing that shows nothing at all is believed: Reddit serves such ones for minutes now and
//! then.

use crate::support::discovery::{START_MS, World};
use freshet::simulator::{
    Oddities, Publication, Removal, SimulatorOptions, SubredditState as Access,
};
use freshet::store::{Subreddit, SubredditState, WindowOutcome};
use freshet::submission::{SubmissionId, SubredditName};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn kettles() -> SubredditName {
    "kettles".parse().unwrap()
}

/// r/kettles with twenty submissions of the last ten minutes in it, and this one watched.
async fn posted(watched: &str, settings: &[(&'static str, &str)]) -> (World, Vec<SubmissionId>) {
    let options = SimulatorOptions {
        subreddits: vec![(kettles(), 0.0)],
        oddities: Oddities::none(),
        ..SimulatorOptions::default()
    };
    let world = World::new(options, settings, 0).await;
    let ids = (0..20).map(|number| {
        let publication = Publication {
            created_utc: Some(START_MS / 1000 - 600 + 30 * number),
            ..Publication::to(&kettles())
        };
        world.simulator.control().publish(publication).unwrap()
    });
    let ids = ids.collect();
    world.watch(&[watched.parse().unwrap()]).await;
    (world, ids)
}

fn hide(world: &World, ids: &[SubmissionId]) {
    for id in ids {
        let control = world.simulator.control();
        control.remove(id, Removal::Moderator).unwrap();
    }
}

fn show(world: &World, ids: &[SubmissionId]) {
    for id in ids {
        world.simulator.control().restore(id, false).unwrap();
    }
}

async fn poll_after(world: &World, time: Duration) {
    world.advance(time);
    world.settle(|| {}).await;
}

async fn row(world: &World) -> Subreddit {
    world.store.subreddits().await.unwrap().remove(0)
}

async fn last_outcome(world: &World, name: &SubredditName) -> WindowOutcome {
    let windows = world.store.poll_windows(name, 1).await.unwrap();
    windows[0].window.outcome
}

#[tokio::test]
async fn the_first_listing_of_a_subreddit_proves_nothing_where_it_is_empty() {
    let (mut world, ids) = posted("kettles", &[]).await;
    hide(&world, &ids);
    world.start_scheduler();
    world.settle(|| {}).await;
    assert_eq!(row(&world).await.covered_until, None);
    assert_eq!(
        last_outcome(&world, &kettles()).await,
        WindowOutcome::Failed
    );
    poll_after(&world, MINUTE).await;
    assert_eq!(row(&world).await.covered_until, None);

    show(&world, &ids);
    poll_after(&world, MINUTE).await;
    let shown = row(&world).await;
    assert_eq!(shown.covered_until, Some(world.now_ms() / 1000));
    assert_eq!(shown.failures, 0);
    assert_eq!(world.stored().await.len(), 20);
    world.stop().await;
}

#[tokio::test]
async fn a_new_subreddit_that_is_empty_indeed_is_believed_within_minutes_and_stays_so() {
    let (mut world, ids) = posted("kettles", &[]).await;
    hide(&world, &ids);
    world.start_scheduler();
    world.settle(|| {}).await;
    for _ in 0..2 {
        assert_eq!(row(&world).await.covered_until, None);
        poll_after(&world, MINUTE).await;
    }
    for _ in 0..5 {
        let now = row(&world).await;
        assert_eq!(now.covered_until, Some(world.now_ms() / 1000));
        let outcome = last_outcome(&world, &kettles()).await;
        assert_eq!(outcome, WindowOutcome::Complete);
        poll_after(&world, MINUTE).await;
    }
    assert_eq!(world.store.gaps(None, None).await.unwrap(), []);
    world.stop().await;
}

#[tokio::test]
async fn polls_that_follow_at_once_do_not_make_a_first_empty_listing_last() {
    let (mut world, ids) = posted("kettles", &[("discover.interval", "1s")]).await;
    hide(&world, &ids);
    world.start_scheduler();
    world.settle(|| {}).await;
    for _ in 0..20 {
        poll_after(&world, Duration::from_secs(2)).await;
        assert_eq!(row(&world).await.covered_until, None);
    }
    poll_after(&world, MINUTE).await;
    let now = row(&world).await;
    assert_eq!(now.covered_until, Some(world.now_ms() / 1000));
    world.stop().await;
}

#[tokio::test]
async fn an_empty_listing_of_all_is_doubted_though_nothing_is_ever_counted_as_its_own() {
    let all: SubredditName = "all".parse().unwrap();
    let (mut world, ids) = posted("all", &[]).await;
    world.start_scheduler();
    world.settle(|| {}).await;
    let before = row(&world).await;
    assert_eq!(before.covered_until, Some(world.now_ms() / 1000));
    assert_eq!(before.last_submission_at, None);
    hide(&world, &ids);
    for _ in 0..5 {
        poll_after(&world, MINUTE).await;
        assert_eq!(row(&world).await.covered_until, before.covered_until);
        assert_eq!(last_outcome(&world, &all).await, WindowOutcome::Failed);
    }
    poll_after(&world, 30 * MINUTE).await;
    let emptied = row(&world).await;
    assert_eq!(emptied.covered_until, Some(world.now_ms() / 1000));
    world.stop().await;
}

#[tokio::test]
async fn refusals_before_it_do_not_make_an_empty_listing_last() {
    let (mut world, ids) = posted("kettles", &[]).await;
    world.start_scheduler();
    world.settle(|| {}).await;
    let before = row(&world).await;
    let control = world.simulator.control().clone();
    control
        .set_subreddit_state(&kettles(), Access::Private)
        .unwrap();
    // Looked at after 1, 6, 16 and 36 minutes.
    for minutes in [1, 5, 10, 20] {
        poll_after(&world, minutes * MINUTE).await;
        let closed = row(&world).await;
        assert_eq!(closed.state, SubredditState::Unavailable, "{closed:?}");
    }
    control
        .set_subreddit_state(&kettles(), Access::Public)
        .unwrap();
    hide(&world, &ids);
    poll_after(&world, 40 * MINUTE).await;
    for silent in 1..=2 {
        let opened = row(&world).await;
        assert_eq!(opened.covered_until, before.covered_until, "{opened:?}");
        assert_eq!(opened.state, SubredditState::Active);
        assert_eq!((opened.reason, opened.failures), (None, silent));
        let outcome = last_outcome(&world, &kettles()).await;
        assert_eq!(outcome, WindowOutcome::Failed);
        poll_after(&world, MINUTE).await;
    }
    let believed = row(&world).await;
    assert_eq!(believed.covered_until, Some(world.now_ms() / 1000));
    world.stop().await;
}
