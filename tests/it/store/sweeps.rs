//! Which listing is swept next, and what a sweep leaves.

use super::conformance;
use super::fixtures::{NOW, World, gap, interval, member, name, seen};
use freshet::store::{
    Doubts, Gap, GapCause, GapReason, GapState, PollRecord, PollStored, SweepDue, SweepRecord,
};

conformance!(
    a_subreddit_is_swept_an_interval_after_it_was_added_and_then_after_each_sweep,
    a_gap_is_walked_for_after_the_polls_had_their_turn,
    gaps_that_were_never_tried_come_first,
    what_is_paused_or_never_proven_is_not_swept,
    a_sweep_stores_proves_repairs_and_moves_no_watermark,
    what_is_tried_in_vain_is_tried_again_ever_more_seldom,
    what_the_listing_no_longer_shows_stays_open_and_is_left_alone,
    a_gap_that_the_cap_left_is_never_walked_for,
    a_gap_that_grows_is_walked_for_again,
    what_cannot_be_recorded_is_postponed,
    a_sweep_of_a_removed_subreddit_keeps_what_was_listed_and_nothing_else,
    a_clock_set_back_delays_no_sweep,
);

const HOUR_MS: i64 = 3_600_000;

/// Watched since NOW, and proven up to then.
async fn covered(world: &World, subreddit: &str) {
    let claim = world.claimed(subreddit).await;
    let mut record = member(&claim);
    record.update.covered_until = Some(NOW / 1000);
    world.record(record).await;
}

/// A gap of r/rust from second 100 to 200, opened at NOW, beneath a watermark at NOW.
async fn gap_in_rust(world: &World, cause: GapCause) {
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.update.covered_until = Some(NOW / 1000);
    record.gap = gap(100, 200, cause);
    world.record(record).await;
}

async fn due(world: &World, now_ms: i64) -> Option<SweepDue> {
    world.store.due_sweep(HOUR_MS, now_ms).await.unwrap()
}

async fn due_repair(world: &World, now_ms: i64) -> Option<SweepDue> {
    world.store.due_repair(now_ms).await.unwrap()
}

/// A walk for the gaps of r/rust that came to nothing.
fn swept(reason: GapReason) -> SweepRecord {
    SweepRecord {
        due: SweepDue {
            subreddit: name("rust"),
            reach: i64::MIN,
            covered_until: NOW / 1000,
        },
        proven: None,
        reason,
        next_sweep_ms: None,
        doubts: Doubts::default(),
    }
}

async fn record(world: &World, sweep: &SweepRecord, now_ms: i64) -> PollStored {
    let poll = PollRecord {
        listed: &[seen("a1", now_ms)],
        undecodable: &[],
        members: &[],
        sweep: Some(sweep),
        now_ms,
    };
    world.store.record_poll(&poll).await.unwrap()
}

async fn gaps(world: &World) -> Vec<Gap> {
    world.store.gaps(Some(&name("rust")), None).await.unwrap()
}

async fn a_subreddit_is_swept_an_interval_after_it_was_added_and_then_after_each_sweep(
    world: World,
) {
    covered(&world, "rust").await;
    assert_eq!(due(&world, NOW + HOUR_MS - 1000).await, None);
    let sweep = due(&world, NOW + HOUR_MS).await.unwrap();
    assert_eq!(sweep, swept(GapReason::Unanswered).due);

    let done = SweepRecord {
        next_sweep_ms: Some(NOW + 2 * HOUR_MS),
        ..swept(GapReason::Unanswered)
    };
    record(&world, &done, NOW + HOUR_MS).await;
    assert_eq!(due(&world, NOW + 2 * HOUR_MS - 1).await, None);
    assert!(due(&world, NOW + 2 * HOUR_MS).await.is_some());
}

async fn a_gap_is_walked_for_after_the_polls_had_their_turn(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    assert_eq!(due_repair(&world, NOW + 59_000).await, None);
    let repair = due_repair(&world, NOW + 60_000).await.unwrap();
    assert_eq!((repair.subreddit, repair.reach), (name("rust"), 100));
    assert_eq!(repair.covered_until, NOW / 1000);
    // Above the watermark it is for the polls.
    let claim = world.claim_later("rust").await;
    let mut failed = member(&claim);
    failed.gap = gap(50, NOW / 1000 + 50, GapCause::Error);
    world.record(failed).await;
    let repair = due_repair(&world, NOW + 2 * HOUR_MS).await.unwrap();
    assert_eq!(repair.reach, 100);
}

async fn gaps_that_were_never_tried_come_first(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    record(&world, &swept(GapReason::Unanswered), NOW + 60_000).await;
    let claim = world.claimed("askreddit").await;
    let mut newer = member(&claim);
    newer.update.covered_until = Some(NOW / 1000);
    newer.gap = gap(300, 400, GapCause::PageLimit);
    world.record(newer).await;
    let first = due_repair(&world, NOW + HOUR_MS).await.unwrap();
    assert_eq!(first.subreddit, name("askreddit"));
}

async fn what_is_paused_or_never_proven_is_not_swept(world: World) {
    world.claimed("askreddit").await;
    assert_eq!(due(&world, NOW + HOUR_MS).await, None);
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    world.store.pause_subreddit(&name("rust")).await.unwrap();
    assert_eq!(due(&world, NOW + HOUR_MS).await, None);
    assert_eq!(due_repair(&world, NOW + HOUR_MS).await, None);
    let resumed = world.store.resume_subreddit(&name("rust"), NOW).await;
    assert!(resumed.unwrap());
    assert!(due(&world, NOW + HOUR_MS).await.is_some());
    assert!(due_repair(&world, NOW + HOUR_MS).await.is_some());
}

async fn a_sweep_stores_proves_repairs_and_moves_no_watermark(world: World) {
    gap_in_rust(&world, GapCause::Cap).await;
    let before = world.store.subreddits().await.unwrap().remove(0);
    let done = SweepRecord {
        proven: Some(interval(50, 500)),
        ..swept(GapReason::Unanswered)
    };
    let stored = record(&world, &done, NOW + 1000).await;
    assert_eq!((stored.fresh, stored.gaps_repaired), (vec![0], 1));
    let repaired = gaps(&world).await.remove(0);
    assert_eq!(repaired.state, GapState::Repaired);
    assert_eq!(repaired.repaired_by.as_deref(), Some("sweep"));
    assert_eq!(repaired.repaired_at, Some(NOW / 1000 + 1));
    let coverage = world.store.coverage(&name("rust")).await.unwrap();
    assert_eq!(coverage, [(50, 500)]);
    let after = world.store.subreddits().await.unwrap().remove(0);
    assert_eq!(after.submissions, before.submissions + 1);
    assert_eq!(after.covered_until, before.covered_until);
    assert_eq!(after.next_poll_ms, before.next_poll_ms);
    assert_eq!(after.claim_token, before.claim_token);
    // What it finds waits behind what polls find.
    let priority = "SELECT CAST(max(priority) AS bigint) FROM fetches";
    assert_eq!(world.number(priority).await, 1);
    // Recorded again after a lost answer.
    let again = record(&world, &done, NOW + 1000).await;
    assert_eq!((again.fresh, again.gaps_repaired), (vec![], 0));
}

async fn what_is_tried_in_vain_is_tried_again_ever_more_seldom(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    let mut now_ms = NOW + 60_000;
    for wait in [300, 600, 1200, 2400, 4800, 9600, 19_200, 21_600, 21_600] {
        assert!(due_repair(&world, now_ms).await.is_some());
        record(&world, &swept(GapReason::Unanswered), now_ms).await;
        let tried = gaps(&world).await.remove(0);
        assert_eq!(tried.reason, Some(GapReason::Unanswered));
        assert_eq!(tried.tried_at, Some(now_ms / 1000));
        assert_eq!(due_repair(&world, now_ms + wait * 1000 - 1000).await, None);
        now_ms += wait * 1000;
    }
}

async fn what_the_listing_no_longer_shows_stays_open_and_is_left_alone(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    // The upper half was reached.
    let half = SweepRecord {
        proven: Some(interval(150, 500)),
        ..swept(GapReason::BeyondListing)
    };
    record(&world, &half, NOW + 400_000).await;
    let left = gaps(&world).await.remove(0);
    assert_eq!(
        (left.state, left.interval),
        (GapState::Open, interval(100, 150))
    );
    assert_eq!(left.reason, Some(GapReason::BeyondListing));
    assert_eq!(left.tried_at, Some(NOW / 1000 + 400));
    assert_eq!(due_repair(&world, NOW + 99 * HOUR_MS).await, None);
    // An outage later changes nothing of it.
    record(&world, &swept(GapReason::Unanswered), NOW + HOUR_MS).await;
    assert_eq!(gaps(&world).await, [left]);
}

async fn a_gap_that_the_cap_left_is_never_walked_for(world: World) {
    gap_in_rust(&world, GapCause::Cap).await;
    assert_eq!(gaps(&world).await[0].reason, Some(GapReason::BeyondListing));
    assert_eq!(due_repair(&world, NOW + 99 * HOUR_MS).await, None);
}

async fn a_gap_that_grows_is_walked_for_again(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    record(&world, &swept(GapReason::BeyondListing), NOW + 61_000).await;
    assert_eq!(due_repair(&world, NOW + 400_000).await, None);
    let claim = world.claim_later("rust").await;
    let mut more = member(&claim);
    more.gap = gap(200, 250, GapCause::AnchorVanished);
    world.record(more).await;
    let grown = gaps(&world).await.remove(0);
    assert_eq!((grown.interval, grown.reason), (interval(100, 250), None));
    assert!(due_repair(&world, NOW + 400_000).await.is_some());
}

async fn what_cannot_be_recorded_is_postponed(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    let mut walked = swept(GapReason::Unanswered);
    walked.next_sweep_ms = Some(NOW + 3 * HOUR_MS);
    let now_ms = NOW + 2 * HOUR_MS;
    world.store.postpone_sweep(&walked, now_ms).await.unwrap();
    assert_eq!(due_repair(&world, now_ms).await, None);
    assert_eq!(due(&world, now_ms).await, None);
    assert!(due_repair(&world, now_ms + 300_000).await.is_some());
}

async fn a_sweep_of_a_removed_subreddit_keeps_what_was_listed_and_nothing_else(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    world.store.remove_subreddit(&name("rust")).await.unwrap();
    let done = SweepRecord {
        proven: Some(interval(50, 500)),
        ..swept(GapReason::Unanswered)
    };
    let stored = record(&world, &done, NOW + 1000).await;
    assert_eq!((stored.fresh, stored.gaps_repaired), (vec![0], 0));
    assert_eq!(gaps(&world).await[0].state, GapState::Open);
    assert_eq!(world.store.coverage(&name("rust")).await.unwrap(), []);
}

async fn a_clock_set_back_delays_no_sweep(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    let later = NOW + 100 * HOUR_MS;
    let done = SweepRecord {
        next_sweep_ms: Some(later + HOUR_MS),
        ..swept(GapReason::Unanswered)
    };
    record(&world, &done, later).await;
    // Tried, and due, at what is now far ahead.
    let now_ms = NOW + 2 * HOUR_MS;
    assert!(due_repair(&world, now_ms).await.is_some());
    assert!(due(&world, now_ms).await.is_some());
}
