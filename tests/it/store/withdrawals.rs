//! What was reported as complete is taken back where later evidence contradicts it.

use super::conformance;
use super::fixtures::{NOW, World, interval, member, name, raw};
use freshet::store::{
    Claim, Doubts, Gap, GapCause, GapReason, GapRecord, GapState, Interval, MemberRecord,
    PollRecord, PollStored, SweepDue, SweepRecord, WindowOutcome, WindowRecord,
};
use freshet::submission::{Observation, decode};

/// Now, in seconds.
const T: i64 = NOW / 1000;
const HOUR: i64 = 3_600;

/// A poll that proves up to its end, or to `end` where its clock was wrong.
fn polled(claim: &Claim, start: i64, end: i64, finished: i64) -> MemberRecord {
    let mut member = member(claim);
    member.window = Some(WindowRecord {
        window_start: start,
        window_end: end,
        started_at: finished,
        finished_at: finished,
        pages: 1,
        listed: 0,
        outcome: WindowOutcome::Complete,
    });
    member.proven = Some(interval(start, end));
    member.update.covered_until = Some(end);
    member.update.next_poll_ms = NOW;
    member
}

fn doubts(now: i64) -> Doubts {
    Doubts {
        now: Some(now),
        settled_before: Some(now - 900),
        ..Doubts::default()
    }
}

fn item(id: &str, created: i64) -> Observation {
    let json = format!(r#"{{"id":"{id}","created_utc":{created},"subreddit":"Rust"}}"#);
    decode(raw(&json), NOW).unwrap()
}

/// One each second from the first to before the last, with ids that begin so.
fn items(prefix: &str, seconds: std::ops::Range<i64>) -> Vec<Observation> {
    seconds
        .map(|at| item(&format!("{prefix}{}", at % 1_000_000), at))
        .collect()
}

async fn list(world: &World, listed: &[Observation], members: &[MemberRecord]) -> PollStored {
    list_at(world, listed, members, T).await
}

async fn list_at(
    world: &World,
    listed: &[Observation],
    members: &[MemberRecord],
    now: i64,
) -> PollStored {
    let poll = PollRecord {
        listed,
        undecodable: &[],
        members,
        sweep: None,
        now_ms: now * 1_000,
    };
    world.store.record_poll(&poll).await.unwrap()
}

async fn coverage(world: &World) -> Vec<Interval> {
    let proven = world.store.coverage(&name("rust")).await.unwrap();
    proven
        .into_iter()
        .map(|(start, end)| interval(start, end))
        .collect()
}

async fn open(world: &World) -> Vec<Gap> {
    let gaps = world
        .store
        .gaps(Some(&name("rust")), Some(GapState::Open))
        .await;
    gaps.unwrap()
}

async fn contradicted(world: &World) -> Vec<Interval> {
    let gaps = open(world).await.into_iter();
    let gaps = gaps.filter(|gap| gap.cause == GapCause::Contradicted);
    gaps.map(|gap| gap.interval).collect()
}

async fn watermark(world: &World) -> Option<i64> {
    world.store.subreddits().await.unwrap()[0].covered_until
}

conformance! {
    coverage_of_the_future_is_withdrawn_down_to_the_last_window_that_can_be_trusted,
    where_no_window_can_be_trusted_all_is_withdrawn_that_no_older_coverage_holds,
    a_sweep_withdraws_the_future_too_and_a_clock_a_little_ahead_is_no_future,
    a_clock_behind_all_that_is_proven_leaves_no_second_unrecorded,
    many_that_nobody_knew_in_proven_time_withdraw_it_between_what_was_known,
    a_silence_that_a_cut_walk_does_not_meet_is_vouched_for_by_nothing_that_was_found_since,
    what_a_contradicting_walk_proves_itself_is_proven_at_once,
    what_is_approved_late_or_new_within_the_overlap_withdraws_nothing,
    the_second_of_a_submission_that_could_not_be_stored_is_a_gap_until_it_is,
}

async fn coverage_of_the_future_is_withdrawn_down_to_the_last_window_that_can_be_trusted(
    world: World,
) {
    let claim = world.claimed("rust").await;
    world
        .record(polled(&claim, T - 2 * HOUR, T - HOUR, T - HOUR))
        .await;
    let claim = world.claim_again("rust").await;
    world
        .record(polled(&claim, T - HOUR - 60, T + 20 * HOUR, T - HOUR + 60))
        .await;
    // What follows a wrong window began where that said.
    let claim = world.claim_again("rust").await;
    world
        .record(polled(&claim, T - 900, T - 600, T - 600))
        .await;

    let claim = world.claim_again("rust").await;
    let mut honest = polled(&claim, T - 300, T, T);
    honest.doubts = doubts(T);
    let stored = world.record(honest.clone()).await;
    assert_eq!(stored.gaps_opened, [GapCause::Contradicted]);
    let proven = [interval(T - 2 * HOUR, T - HOUR), interval(T - 300, T)];
    assert_eq!(coverage(&world).await, proven);
    assert_eq!(contradicted(&world).await, [interval(T - HOUR, T - 300)]);
    assert_eq!(watermark(&world).await, Some(T));

    // Once is enough.
    let claim = world.claim_again("rust").await;
    honest.claim = claim;
    assert_eq!(world.record(honest).await.gaps_opened, []);
    assert_eq!(coverage(&world).await, proven);
    // It is walked again.
    assert!(
        world
            .store
            .due_repair(NOW + 61_000)
            .await
            .unwrap()
            .is_some()
    );
}

async fn where_no_window_can_be_trusted_all_is_withdrawn_that_no_older_coverage_holds(
    world: World,
) {
    let claim = world.claimed("rust").await;
    let mut old = member(&claim);
    old.proven = Some(interval(100, 200));
    old.update.next_poll_ms = NOW;
    world.record(old).await;
    let claim = world.claim_again("rust").await;
    world
        .record(polled(&claim, T - HOUR, T + 72 * HOUR, T + 72 * HOUR))
        .await;
    let claim = world.claim_again("rust").await;
    let mut seen = member(&claim);
    seen.doubts = doubts(T);
    world.record(seen).await;
    assert_eq!(coverage(&world).await, [interval(100, 200)]);
    assert_eq!(contradicted(&world).await, [interval(T - HOUR, T)]);
    assert_eq!(watermark(&world).await, Some(T - HOUR));
}

async fn a_sweep_withdraws_the_future_too_and_a_clock_a_little_ahead_is_no_future(world: World) {
    let claim = world.claimed("rust").await;
    world.record(polled(&claim, T - HOUR, T + 100, T)).await;
    let sweep = |now| SweepRecord {
        due: SweepDue {
            subreddit: name("rust"),
            reach: i64::MIN,
            covered_until: T,
        },
        proven: None,
        reason: GapReason::Unanswered,
        next_sweep_ms: None,
        doubts: doubts(now),
    };
    for (now, end) in [(T, T + 100), (T - 1_800, T - HOUR)] {
        let record = sweep(now);
        let poll = PollRecord {
            listed: &[],
            undecodable: &[],
            members: &[],
            sweep: Some(&record),
            now_ms: NOW,
        };
        world.store.record_poll(&poll).await.unwrap();
        let covered = coverage(&world).await;
        assert_eq!(covered.last().map_or(T - HOUR, |it| it.end), end);
    }
    assert_eq!(contradicted(&world).await, [interval(T - HOUR, T - 1_800)]);
    assert_eq!(watermark(&world).await, Some(T - HOUR));
}

/// A clock that is behind sees what was proven as the future: what it lets go is walked again.
async fn a_clock_behind_all_that_is_proven_leaves_no_second_unrecorded(world: World) {
    let claim = world.claimed("rust").await;
    world.record(polled(&claim, T - 900, T, T)).await;
    let behind = |seconds| T - HOUR + seconds;
    for seconds in [0, 60] {
        let claim = world.claim_again("rust").await;
        let mut cut_short = member(&claim);
        cut_short.update.covered_until = Some(behind(seconds));
        cut_short.update.next_poll_ms = NOW;
        cut_short.doubts = doubts(behind(seconds));
        world.record(cut_short).await;
        assert_eq!(coverage(&world).await, []);
        assert_eq!(watermark(&world).await, Some(behind(seconds)));
    }
    // A second scheduler's clock is right; then it is seen as the future again.
    let claim = world.claim_again("rust").await;
    let mut right = polled(&claim, T - 300, T + 120, T + 120);
    right.gap = Some(GapRecord {
        interval: interval(behind(60), T - 300),
        cause: GapCause::Cap,
    });
    world.record(right).await;
    let claim = world.claim_again("rust").await;
    let mut seen = member(&claim);
    seen.doubts = doubts(behind(120));
    world.record(seen).await;
    assert_eq!(watermark(&world).await, Some(behind(120)));
    let gaps = open(&world).await;
    let gaps: Vec<Interval> = gaps.iter().map(|gap| gap.interval).collect();
    assert_eq!(gaps, [interval(behind(60), T - 300)]);
}

async fn many_that_nobody_knew_in_proven_time_withdraw_it_between_what_was_known(world: World) {
    let claim = world.claimed("rust").await;
    let known = [
        items("a", T - 9_000..T - 8_900),
        items("b", T - 4_000..T - 3_900),
    ];
    let first = polled(&claim, T - 10_000, T - 600, T - 600);
    list(&world, &known.concat(), &[first]).await;

    // All that was listed before, and what is listed of the time between: its newer half.
    let claim = world.claim_again("rust").await;
    let mut honest = polled(&claim, T - 1_500, T, T);
    honest.doubts = doubts(T);
    let listed = [
        items("c", T - 6_000..T - 5_000),
        items("b", T - 4_000..T - 3_900),
    ];
    let stored = list(&world, &listed.concat(), &[honest]).await;
    assert_eq!(stored.fresh.len(), 1_000);
    assert_eq!(stored.gaps_opened, [GapCause::Contradicted]);
    let missed = interval(T - 8_901, T - 3_999);
    assert_eq!(contradicted(&world).await, [missed]);
    let proven = [interval(T - 10_000, missed.start), interval(missed.end, T)];
    assert_eq!(coverage(&world).await, proven);
}

async fn a_silence_that_a_cut_walk_does_not_meet_is_vouched_for_by_nothing_that_was_found_since(
    world: World,
) {
    let first = world.claimed("rust").await;
    let known = items("a", T - 9_000..T - 8_900);
    let first = polled(&first, T - 10_000, T - 1_600, T - 1_600);
    list_at(&world, &known, &[first], T - 1_600).await;
    // A poll finds some before the watermark moves over them, and another some after it did.
    let before = items("b", T - 1_400..T - 1_300);
    list_at(&world, &before, &[], T - 1_200).await;
    let claim = world.claim_again("rust").await;
    let second = polled(&claim, T - 1_600, T - 600, T - 600);
    list_at(&world, &[], &[second], T - 600).await;
    let after = items("c", T - 650..T - 600);
    list_at(&world, &after, &[], T - 590).await;

    let claim = world.claim_again("rust").await;
    let mut cut = polled(&claim, T - 100, T, T);
    cut.gap = Some(GapRecord {
        interval: interval(T - 600, T - 100),
        cause: GapCause::Cap,
    });
    cut.doubts.uncorroborated = Some((T - 600, GapCause::Cap));
    list(&world, &items("d", T - 100..T), &[cut]).await;
    let proven = [interval(T - 10_000, T - 1_301), interval(T - 100, T)];
    assert_eq!(coverage(&world).await, proven);
}

async fn what_a_contradicting_walk_proves_itself_is_proven_at_once(world: World) {
    let claim = world.claimed("rust").await;
    let first = polled(&claim, T - 10_000, T - 600, T - 600);
    list(&world, &items("a", T - 9_000..T - 8_900), &[first]).await;
    let claim = world.claim_again("rust").await;
    let mut honest = polled(&claim, T - 5_500, T, T);
    honest.doubts = doubts(T);
    let stored = list(&world, &items("c", T - 6_000..T - 5_000), &[honest]).await;
    assert_eq!(stored.gaps_opened, [GapCause::Contradicted]);
    assert_eq!(contradicted(&world).await, [interval(T - 8_901, T - 5_500)]);
}

async fn what_is_approved_late_or_new_within_the_overlap_withdraws_nothing(world: World) {
    let claim = world.claimed("rust").await;
    let known = items("a", T - 9_000..T - 8_000);
    let first = polled(&claim, T - 10_000, T - 600, T - 600);
    list(&world, &known, &[first]).await;
    let claim = world.claim_again("rust").await;
    let mut honest = polled(&claim, T - 1_500, T, T);
    honest.doubts = doubts(T);
    let late = (0..20).map(|number| item(&format!("late{number}"), T - 8_990 + number * 50));
    let listed: Vec<Observation> = known
        .into_iter()
        .chain(late)
        .chain(items("n", T - 900..T - 700))
        .collect();
    let stored = list(&world, &listed, &[honest]).await;
    assert_eq!(stored.fresh.len(), 220);
    assert_eq!(stored.gaps_opened, []);
    assert_eq!(coverage(&world).await, [interval(T - 10_000, T)]);
}

async fn the_second_of_a_submission_that_could_not_be_stored_is_a_gap_until_it_is(world: World) {
    let claim = world.claimed("rust").await;
    world
        .record(polled(&claim, T - 2_000, T - 600, T - 600))
        .await;
    let refused = |claim: &Claim| {
        let mut member = polled(claim, T - 1_000, T, T);
        // One that was proven before, one of this window, one of which nothing is said.
        for created in [T - 1_500, T - 300, T - 9_000] {
            member
                .doubts
                .not_stored(&item("bad", created), &name("rust"));
        }
        member
    };
    for _ in 0..3 {
        let claim = world.claim_again("rust").await;
        let stored = world.record(refused(&claim)).await;
        let gaps = open(&world).await;
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.interval, gap.cause)).collect();
        let second = |at| (interval(at, at + 1), GapCause::NotStored);
        assert_eq!(gaps, [second(T - 1_500), second(T - 300)], "{stored:?}");
        assert_eq!(
            coverage(&world).await,
            [
                interval(T - 2_000, T - 1_500),
                interval(T - 1_499, T - 300),
                interval(T - 299, T)
            ]
        );
    }
    let all = world.store.gaps(Some(&name("rust")), None).await.unwrap();
    assert_eq!(all.len(), 2, "none was closed and opened again: {all:?}");

    let claim = world.claim_again("rust").await;
    list(
        &world,
        &[item("bad", T - 300)],
        &[polled(&claim, T - 2_000, T, T)],
    )
    .await;
    assert_eq!(open(&world).await, []);
    assert_eq!(coverage(&world).await, [interval(T - 2_000, T)]);
}
