//! What single polls record when something is wrong with them: with the listing, an item, the
//! database.

use crate::support::discovery::{START_MS, World, clock_readings};
use crate::support::pipeline::until;
use freshet::liveness::Ending;
use freshet::simulator::{Endpoint, Fault, Oddities, Publication, Removal, SimulatorOptions};
use freshet::store::{Gap, GapState, Interval, PollWindow, Subreddit, WindowOutcome};
use freshet::submission::{SubmissionId, SubredditName};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Only a hang takes longer.
const LONG: Duration = Duration::from_secs(120);

fn names(count: usize) -> Vec<SubredditName> {
    let name = |number| format!("kettles_{number}").parse().unwrap();
    (0..count).map(name).collect()
}

/// So many watched subreddits with nothing in them yet.
async fn still(count: usize) -> World {
    still_with(count, &[]).await
}

async fn still_with(count: usize, settings: &[(&'static str, &str)]) -> World {
    let options = SimulatorOptions {
        subreddits: names(count).into_iter().map(|name| (name, 0.0)).collect(),
        oddities: Oddities::none(),
        ..SimulatorOptions::default()
    };
    let world = World::new(options, settings, 0).await;
    world.watch(&names(count)).await;
    world
}

fn publish(world: &World, name: &SubredditName) -> SubmissionId {
    let control = world.simulator.control();
    control.publish(Publication::to(name)).unwrap()
}

async fn poll_again(world: &World) {
    world.advance(MINUTE);
    world.settle(|| {}).await;
}

async fn row(world: &World, name: &SubredditName) -> Subreddit {
    let rows = world.store.subreddits().await.unwrap();
    rows.into_iter().find(|row| row.name == *name).unwrap()
}

async fn last_window(world: &World, name: &SubredditName) -> PollWindow {
    let windows = world.store.poll_windows(name, 1).await.unwrap();
    windows.into_iter().next().unwrap()
}

async fn open_gaps(world: &World, name: &SubredditName) -> Vec<Gap> {
    let gaps = world.store.gaps(Some(name), Some(GapState::Open)).await;
    gaps.unwrap()
}

fn refuse(world: &World, times: u32) {
    let refusal = Fault::ErrorEmpty { status: 400 };
    let control = world.simulator.control();
    control
        .fail_next(times, refusal, Some(Endpoint::Listing))
        .unwrap();
}

#[tokio::test]
async fn a_first_poll_that_fails_leaves_no_gap_and_a_later_one_leaves_what_is_not_proven() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    refuse(&world, 1);
    world.start_scheduler();
    world.settle(|| {}).await;
    let failed = last_window(&world, name).await.window;
    assert_eq!(failed.outcome, WindowOutcome::Failed);
    assert_eq!(open_gaps(&world, name).await, []);

    publish(&world, name);
    poll_again(&world).await;
    let covered = row(&world, name).await.covered_until.unwrap();
    assert_eq!(covered, world.now_ms() / 1000);

    refuse(&world, 1);
    poll_again(&world).await;
    let gaps = open_gaps(&world, name).await;
    let unproven = Interval {
        start: covered,
        end: world.now_ms() / 1000,
    };
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].interval, unproven);

    poll_again(&world).await;
    assert_eq!(open_gaps(&world, name).await, []);
    world.stop().await;
}

#[tokio::test]
async fn a_window_of_a_shared_listing_counts_the_members_own() {
    let mut world = still(3).await;
    let names = names(3);
    for name in &names {
        publish(&world, name);
    }
    world.start_scheduler();
    world.settle(|| {}).await;
    publish(&world, &names[1]);
    poll_again(&world).await;
    let requests = world.simulator.control().requests();
    assert!(requests.last().unwrap().uri.contains('+'), "it was shared");
    for (name, own) in names.iter().zip([1, 2, 1]) {
        let poll = last_window(&world, name).await;
        assert_eq!(poll.window.outcome, WindowOutcome::Complete, "{poll:?}");
        assert_eq!(poll.window.listed, own, "{poll:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_empty_listing_of_a_subreddit_that_has_posted_is_believed_only_when_it_lasts() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    let ids: Vec<SubmissionId> = (0..3).map(|_| publish(&world, name)).collect();
    world.start_scheduler();
    world.settle(|| {}).await;
    let before = row(&world, name).await;
    assert!(before.posts_per_hour > 0.0, "{before:?}");

    let control = world.simulator.control().clone();
    let hide = || {
        for id in &ids {
            control.remove(id, Removal::Moderator).unwrap();
        }
    };
    hide();
    for _ in 0..5 {
        poll_again(&world).await;
        let now = row(&world, name).await;
        assert_eq!(now.covered_until, before.covered_until);
        assert_eq!(now.posts_per_hour, before.posts_per_hour);
        let poll = last_window(&world, name).await;
        assert_eq!(poll.window.outcome, WindowOutcome::Failed, "{poll:?}");
        assert_eq!(open_gaps(&world, name).await.len(), 1);
    }

    for id in &ids {
        control.restore(id, false).unwrap();
    }
    poll_again(&world).await;
    let shown = row(&world, name).await;
    assert_eq!(shown.covered_until, Some(world.now_ms() / 1000));
    assert_eq!(shown.failures, 0);
    assert_eq!(open_gaps(&world, name).await, []);

    hide();
    for _ in 0..29 {
        poll_again(&world).await;
        assert_eq!(row(&world, name).await.covered_until, shown.covered_until);
    }
    poll_again(&world).await;
    let emptied = row(&world, name).await;
    assert_eq!(emptied.covered_until, Some(world.now_ms() / 1000));
    assert_eq!(open_gaps(&world, name).await, []);
    world.stop().await;
}

/// Lets the database refuse the submission of this id.
async fn refuse_bad(world: &World) {
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON submissions WHEN NEW.id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
        )
        .await;
}

#[tokio::test]
async fn an_item_that_cannot_be_stored_costs_itself_and_the_others_count_with_their_poll() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    refuse_bad(&world).await;
    publish(&world, name);
    let bad = Publication {
        id: Some("bad".to_owned()),
        created_utc: Some(START_MS / 1000 - 5),
        ..Publication::to(name)
    };
    world.simulator.control().publish(bad).unwrap();
    publish(&world, name);
    world.start_scheduler();
    world.settle(|| {}).await;
    assert_eq!(world.stored().await.len(), 2);
    let poll = last_window(&world, name).await;
    assert_eq!(poll.fresh, 2, "{poll:?}");
    assert_eq!(poll.window.outcome, WindowOutcome::Complete);
    assert_eq!(row(&world, name).await.submissions, 2);
    let kept = world.rows("SELECT reason, times FROM undecodable").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    world.stop().await;
}

/// Waits until so many transactions with what was listed have come to an end, well or not.
async fn writes(world: &World, count: u64) {
    let seconds = &world.metrics.ingest.write_seconds;
    until("they have ended", LONG, async || {
        seconds.get_sample_count() >= count
    })
    .await;
}

#[tokio::test]
async fn a_fault_of_the_database_that_passes_meanwhile_is_charged_to_no_item() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    for _ in 0..100 {
        publish(&world, name);
    }
    // It passes with the twentieth row that the program has written since its claim, taken back or not:
    // in the midst of trying the items, however long that takes.
    world
        .execute("CREATE TABLE fault (passes_at INTEGER NOT NULL)")
        .await;
    world
        .execute(
            "CREATE TRIGGER begins AFTER UPDATE OF claim_token ON subreddits
             WHEN NOT EXISTS (SELECT 1 FROM fault)
             BEGIN INSERT INTO fault SELECT total_changes() + 20; END",
        )
        .await;
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON submissions
             WHEN total_changes() < (SELECT passes_at FROM fault)
                AND unicode(substr(NEW.id, -1)) % 4 = 0
             BEGIN SELECT RAISE(ABORT, 'for a while'); END",
        )
        .await;
    world.start_scheduler();
    world.settle(|| {}).await;
    assert_eq!(world.stored().await.len(), 100);
    let poll = last_window(&world, name).await;
    assert_eq!(
        (poll.fresh, poll.window.outcome),
        (100, WindowOutcome::Complete)
    );
    let kept = world.rows("SELECT reason, times FROM undecodable").await;
    assert_eq!(kept, []);
    world.stop().await;
}

/// Publishes so many, and one that is known before them, where whatever is new is refused: the claim
/// is left to run out, and the window stays open until the database writes again.
async fn nobody_may_write(new: u64) {
    let mut world = still(1).await;
    let name = &names(1)[0];
    publish(&world, name);
    world.start_scheduler();
    world.settle(|| {}).await;
    let before = row(&world, name).await;
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON submissions
             BEGIN SELECT RAISE(ABORT, 'nobody may write'); END",
        )
        .await;
    for _ in 0..new {
        publish(&world, name);
    }
    let first = world.metrics.ingest.write_seconds.get_sample_count();
    world.advance(MINUTE);
    writes(&world, first + 1).await;
    world.stop().await;
    assert_eq!(row(&world, name).await.covered_until, before.covered_until);
    world.execute("DROP TRIGGER refuses").await;
    world.start_scheduler();
    world.advance(Duration::from_secs(21));
    world.settle(|| {}).await;
    assert_eq!(world.stored().await.len() as u64, 1 + new);
    let poll = last_window(&world, name).await;
    assert_eq!(poll.window.outcome, WindowOutcome::Complete);
    assert_eq!(u64::from(poll.fresh), new);
    let kept = world.rows("SELECT reason, times FROM undecodable").await;
    assert_eq!(kept, []);
    world.stop().await;
}

#[tokio::test]
async fn where_whatever_is_new_is_refused_alike_no_item_is_to_blame() {
    nobody_may_write(2).await;
}

#[tokio::test]
async fn one_new_item_is_not_to_blame_where_any_other_would_be_refused() {
    nobody_may_write(1).await;
}

#[tokio::test]
async fn one_new_item_that_alone_is_refused_costs_itself() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    refuse_bad(&world).await;
    let bad = Publication {
        id: Some("bad".to_owned()),
        ..Publication::to(name)
    };
    world.simulator.control().publish(bad).unwrap();
    world.start_scheduler();
    world.settle(|| {}).await;
    let poll = last_window(&world, name).await;
    assert_eq!(poll.window.outcome, WindowOutcome::Complete, "{poll:?}");
    let kept = world.rows("SELECT reason, times FROM undecodable").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        world.stored().await.is_empty(),
        "what was tried is not kept"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_poll_that_cannot_be_recorded_is_repeated_when_its_claim_has_run_out() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON poll_windows
             BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
        )
        .await;
    let id = publish(&world, name).to_string();
    world.start_scheduler();
    until("it is stored", LONG, async || {
        world.stored().await.contains(&id)
    })
    .await;
    let control = world.simulator.control();
    let asked = control.stats().of(Endpoint::Listing);
    let before = clock_readings();
    until("it looks again", LONG, async || {
        clock_readings() >= before + 4
    })
    .await;
    assert_eq!(control.stats().of(Endpoint::Listing), asked);
    world.execute("DROP TRIGGER refuses").await;
    world.advance(Duration::from_secs(21));
    world.settle(|| {}).await;
    let poll = last_window(&world, name).await;
    assert_eq!(poll.window.outcome, WindowOutcome::Complete, "{poll:?}");
    world.stop().await;
}

#[tokio::test]
async fn an_interval_of_a_day_is_kept() {
    let mut world = still_with(1, &[("discover.interval", "24h")]).await;
    publish(&world, &names(1)[0]);
    world.start_scheduler();
    world.settle(|| {}).await;
    let asked = || world.simulator.control().stats().of(Endpoint::Listing);
    let once = asked();
    for _ in 0..12 {
        world.advance(Duration::from_secs(11));
        let readings = clock_readings();
        until("it looks again", LONG, async || {
            clock_readings() >= readings + 2
        })
        .await;
        world.settle(|| {}).await;
    }
    assert_eq!(asked(), once);
    world.advance(Duration::from_secs(36 * 3600));
    world.settle(|| {}).await;
    assert!(asked() > once);
    world.stop().await;
}

#[tokio::test]
async fn a_watermark_in_the_future_does_not_keep_polls_from_the_ground_below_the_first_page() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    publish(&world, name);
    world.start_scheduler();
    world.settle(|| {}).await;
    world
        .execute("UPDATE subreddits SET covered_until = covered_until + 2592000")
        .await;
    world.advance(Duration::from_secs(30));
    for _ in 0..150 {
        publish(&world, name);
    }
    poll_again(&world).await;
    assert_eq!(world.stored().await.len(), 151);
    let window = last_window(&world, name).await.window;
    assert_eq!(window.outcome, WindowOutcome::Complete);
    assert!(window.window_start < window.window_end, "{window:?}");
    world.stop().await;
}

#[tokio::test]
async fn an_end_above_which_much_was_removed_is_taken_for_the_cap() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    let control = world.simulator.control().clone();
    // A second each, and 60 % of the listing's thousand are removed: 400 are shown, and no more.
    for back in 0..1_500 {
        let publication = Publication {
            created_utc: Some(START_MS / 1000 - 1 - back),
            ..Publication::to(name)
        };
        let id = control.publish(publication).unwrap();
        if back % 5 < 3 && back < 1_000 {
            control.remove(&id, Removal::Moderator).unwrap();
        }
    }
    world.start_scheduler();
    world.settle(|| {}).await;
    let window = last_window(&world, name).await.window;
    assert_eq!(window.outcome, WindowOutcome::Truncated, "{window:?}");
    assert_eq!(window.listed, 400);
    let gaps = open_gaps(&world, name).await;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].interval.start, window.window_start);
    assert!(gaps[0].interval.end >= START_MS / 1000 - 1_000, "{gaps:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_long_walk_and_its_recording_item_by_item_are_no_standstill() {
    let mut world = still(1).await;
    let name = &names(1)[0];
    for _ in 0..150 {
        publish(&world, name);
    }
    let control = world.simulator.control();
    let bad = Publication {
        id: Some("bad".to_owned()),
        ..Publication::to(name)
    };
    control.publish(bad).unwrap();
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE INSERT ON submissions WHEN NEW.id = 'bad'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .await;
    // Each takes a while, and all together much longer than a part may be without progress.
    world
        .execute(
            "CREATE TRIGGER slows BEFORE INSERT ON submissions
             BEGIN SELECT length(hex(randomblob(1500000))); END",
        )
        .await;
    control
        .outage_as(Some(Fault::Slow { delay_ms: 1_500 }))
        .unwrap();
    let nothing = Ending {
        ask: Box::new(|_| {}),
        grace: Duration::ZERO,
        insist: Box::new(|| {}),
    };
    let _watch = world
        .liveness
        .watch(Arc::clone(&world.metrics), nothing)
        .unwrap();
    let begun = Instant::now();
    world.start_scheduler();
    world
        .settle(|| assert_eq!(world.liveness.stuck(), None, "{:?}", begun.elapsed()))
        .await;
    // However fast the machine, the answers take their time.
    assert!(begun.elapsed() > Duration::from_secs(2), "it was long");
    assert_eq!(world.stored().await.len(), 150);
}
