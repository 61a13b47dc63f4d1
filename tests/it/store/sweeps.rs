//! Which listing is swept next, and what a sweep leaves.

use super::conformance;
use super::fixtures::{NOW, World, gap, interval, member, name, seen};
use freshet::store::{
    Gap, GapCause, GapReason, GapState, PollRecord, PollStored, SweepDue, SweepKind, SweepRecord,
    SweepTimes,
};

conformance!(
    a_subreddit_is_swept_an_interval_after_it_was_added_and_then_after_each_sweep,
    open_gaps_come_first_and_not_before_the_polls_had_their_turn,
    what_is_paused_unavailable_or_never_proven_is_not_swept,
    a_sweep_stores_proves_repairs_and_moves_no_watermark,
    what_it_could_not_reach_stays_open_with_the_reason,
    a_gap_that_grows_is_tried_again,
    a_sweep_of_a_removed_subreddit_keeps_what_was_listed_and_nothing_else,
    a_clock_set_back_delays_no_sweep,
);

const HOUR_MS: i64 = 3_600_000;
const TIMES: SweepTimes = SweepTimes {
    interval_ms: Some(HOUR_MS),
    repair_after: 60,
    repair_again_after: 300,
};

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
    world.store.due_sweep(TIMES, now_ms).await.unwrap()
}

async fn due_kind(world: &World, now_ms: i64) -> Option<SweepKind> {
    due(world, now_ms).await.map(|due| due.kind)
}

fn swept(reason: GapReason) -> SweepRecord {
    SweepRecord {
        subreddit: name("rust"),
        proven: None,
        reach: i64::MIN,
        covered_until: NOW / 1000,
        reason,
        next_sweep_ms: None,
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
    assert_eq!(sweep.subreddit, name("rust"));
    assert_eq!((sweep.kind, sweep.reach), (SweepKind::Sweep, i64::MIN));
    assert_eq!(sweep.covered_until, NOW / 1000);

    let done = SweepRecord {
        next_sweep_ms: Some(NOW + 2 * HOUR_MS),
        ..swept(GapReason::Unanswered)
    };
    record(&world, &done, NOW + HOUR_MS).await;
    assert_eq!(due(&world, NOW + 2 * HOUR_MS - 1).await, None);
    assert!(due(&world, NOW + 2 * HOUR_MS).await.is_some());
    let never = SweepTimes {
        interval_ms: None,
        ..TIMES
    };
    let due = world.store.due_sweep(never, NOW + 9 * HOUR_MS).await;
    assert_eq!(due.unwrap(), None);
}

async fn open_gaps_come_first_and_not_before_the_polls_had_their_turn(world: World) {
    covered(&world, "askreddit").await;
    gap_in_rust(&world, GapCause::AnchorVanished).await;
    assert_eq!(due(&world, NOW + 60_000).await, None);
    let repair = due(&world, NOW + 61_000).await.unwrap();
    assert_eq!(repair.subreddit, name("rust"));
    assert_eq!((repair.kind, repair.reach), (SweepKind::Repair, 100));
    assert_eq!(repair.oldest_gap, Some(100));
    assert_eq!(
        due_kind(&world, NOW + 2 * HOUR_MS).await,
        Some(SweepKind::Repair)
    );
    // Above the watermark it is for the polls.
    let claim = world.claim_later("rust").await;
    let mut record = member(&claim);
    record.gap = gap(NOW / 1000, NOW / 1000 + 50, GapCause::Error);
    world.record(record).await;
    let repair = due(&world, NOW + 61_000).await.unwrap();
    assert_eq!(repair.reach, 100);
}

async fn what_is_paused_unavailable_or_never_proven_is_not_swept(world: World) {
    world.claimed("askreddit").await;
    assert_eq!(due(&world, NOW + HOUR_MS).await, None);
    gap_in_rust(&world, GapCause::Cap).await;
    world.store.pause_subreddit(&name("rust")).await.unwrap();
    assert_eq!(due(&world, NOW + HOUR_MS).await, None);
    let resumed = world.store.resume_subreddit(&name("rust"), NOW).await;
    assert!(resumed.unwrap());
    assert!(due(&world, NOW + HOUR_MS).await.is_some());
}

async fn a_sweep_stores_proves_repairs_and_moves_no_watermark(world: World) {
    gap_in_rust(&world, GapCause::AnchorVanished).await;
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
    // Recorded again after a lost answer.
    let again = record(&world, &done, NOW + 1000).await;
    assert_eq!((again.fresh, again.gaps_repaired), (vec![], 0));
}

async fn what_it_could_not_reach_stays_open_with_the_reason(world: World) {
    gap_in_rust(&world, GapCause::Cap).await;
    record(&world, &swept(GapReason::Unanswered), NOW + 61_000).await;
    assert_eq!(gaps(&world).await[0].reason, Some(GapReason::Unanswered));
    assert_eq!(due(&world, NOW + 361_000).await, None);
    assert_eq!(
        due_kind(&world, NOW + 362_000).await,
        Some(SweepKind::Repair)
    );

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
    assert_eq!(due(&world, NOW + HOUR_MS - 1000).await, None, "never again");
}

async fn a_gap_that_grows_is_tried_again(world: World) {
    gap_in_rust(&world, GapCause::Cap).await;
    record(&world, &swept(GapReason::BeyondListing), NOW + 61_000).await;
    assert_eq!(due(&world, NOW + 400_000).await, None);
    let claim = world.claim_later("rust").await;
    let mut more = member(&claim);
    more.gap = gap(200, 250, GapCause::Cap);
    world.record(more).await;
    let grown = gaps(&world).await.remove(0);
    assert_eq!((grown.interval, grown.reason), (interval(100, 250), None));
    assert!(due(&world, NOW + 400_000).await.is_some());
}

async fn a_sweep_of_a_removed_subreddit_keeps_what_was_listed_and_nothing_else(world: World) {
    gap_in_rust(&world, GapCause::Cap).await;
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
    gap_in_rust(&world, GapCause::Cap).await;
    let later = NOW + 100 * HOUR_MS;
    let done = SweepRecord {
        next_sweep_ms: Some(later + HOUR_MS),
        ..swept(GapReason::Unanswered)
    };
    record(&world, &done, later).await;
    // Tried, and due, at what is now far ahead.
    let now_ms = NOW + 2 * HOUR_MS;
    assert_eq!(due_kind(&world, now_ms).await, Some(SweepKind::Repair));
    let closed = SweepRecord {
        proven: Some(interval(50, 500)),
        ..swept(GapReason::Unanswered)
    };
    record(&world, &closed, now_ms).await;
    assert_eq!(due_kind(&world, now_ms).await, Some(SweepKind::Sweep));
}
