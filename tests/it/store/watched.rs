//! The watched list, claims and leases.

use super::conformance;
use super::fixtures::{NOW, World, member, name};
use freshet::store::{Added, Claim, POLLS, PollPlan, SubredditState, TimedAhead};
use std::collections::HashSet;

conformance!(
    a_subreddit_is_added_once,
    removing_takes_the_row_and_leaves_what_was_found,
    a_paused_subreddit_is_not_claimed_until_it_is_resumed,
    those_due_longest_come_first_and_those_due_later_not_at_all,
    two_callers_never_get_the_same_subreddit,
    a_claim_that_has_run_out_is_taken_over_and_its_late_work_is_refused,
    claims_are_renewed_while_they_are_held,
    a_released_subreddit_is_due_as_before,
    a_claim_of_a_removed_row_does_not_fit_the_row_that_follows,
    a_clock_set_back_delays_nobody,
    what_waits_for_no_longer_than_it_may_was_timed_by_no_clock_ahead,
    a_lease_has_one_holder,
    what_a_holder_publishes_is_read_while_it_holds_its_lease,
);

async fn a_subreddit_is_added_once(world: World) {
    let store = &world.store;
    assert_eq!(
        store.add_subreddit(&name("rust"), 100).await.unwrap(),
        Added::New
    );
    store.pause_subreddit(&name("rust")).await.unwrap();
    assert_eq!(
        store.add_subreddit(&name("r/Rust"), 200).await.unwrap(),
        Added::Already(SubredditState::Paused)
    );
    store.add_subreddit(&name("askreddit"), 300).await.unwrap();
    let list = store.subreddits().await.unwrap();
    let names: Vec<&str> = list.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["askreddit", "rust"]);
    assert_eq!((list[1].added_at, list[1].next_poll_ms), (100, 100_000));
    assert_eq!((list[1].open_gaps, list[1].claimed_by.clone()), (0, None));
}

async fn removing_takes_the_row_and_leaves_what_was_found(world: World) {
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.proven = Some(super::fixtures::interval(10, 20));
    world.record(record).await;
    assert!(world.store.remove_subreddit(&name("rust")).await.unwrap());
    assert!(!world.store.remove_subreddit(&name("rust")).await.unwrap());
    assert!(world.store.subreddits().await.unwrap().is_empty());
    let coverage = world.store.coverage(&name("rust")).await.unwrap();
    assert_eq!(coverage, [(10, 20)]);
}

async fn a_paused_subreddit_is_not_claimed_until_it_is_resumed(world: World) {
    let store = &world.store;
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.update.state = SubredditState::Unavailable;
    record.update.reason = Some("private".to_owned());
    record.update.failures = 3;
    world.record(record.clone()).await;
    let row = &store.subreddits().await.unwrap()[0];
    assert_eq!(row.state, SubredditState::Unavailable);
    assert_eq!((row.reason.as_deref(), row.failures), (Some("private"), 3));

    assert!(store.pause_subreddit(&name("rust")).await.unwrap());
    let late = NOW + 7_200_000;
    assert!(
        store
            .claim_due("a", late, 1000, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.resume_subreddit(&name("rust"), NOW).await.unwrap());
    assert!(!store.resume_subreddit(&name("other"), NOW).await.unwrap());
    let row = &store.subreddits().await.unwrap()[0];
    assert_eq!((row.state, row.next_poll_ms), (SubredditState::Active, NOW));
    assert_eq!((row.reason.clone(), row.failures), (None, 0));
    assert_eq!(store.claim_due("a", NOW, 1000, 9).await.unwrap().len(), 1);

    // Paused while a poll is under way: recording it does not bring it back.
    store.pause_subreddit(&name("rust")).await.unwrap();
    let held = store.subreddits().await.unwrap()[0].claim_token;
    record.claim.token = held;
    record.update.state = SubredditState::Active;
    assert!(world.record(record).await.lost.is_empty());
    assert_eq!(
        store.subreddits().await.unwrap()[0].state,
        SubredditState::Paused
    );
}

async fn those_due_longest_come_first_and_those_due_later_not_at_all(world: World) {
    let store = &world.store;
    for (subreddit, added_at) in [("bb", 300), ("cc", 100), ("aa", 200), ("dd", 900)] {
        store
            .add_subreddit(&name(subreddit), added_at)
            .await
            .unwrap();
    }
    let claimed = store.claim_due("a", 500_000, 1000, 2).await.unwrap();
    let names: Vec<&str> = claimed
        .iter()
        .map(|claimed| claimed.claim.subreddit.as_str())
        .collect();
    assert_eq!(names, ["cc", "aa"]);
    let claimed = store.claim_due("a", 500_000, 1000, 9).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].claim.subreddit, name("bb"));
    assert_eq!(claimed[0].added_at, 300);
}

async fn two_callers_never_get_the_same_subreddit(world: World) {
    for number in 0..120 {
        let name = name(&format!("sub{number}"));
        world.store.add_subreddit(&name, NOW / 1000).await.unwrap();
    }
    let other = world.another().await;
    let callers = (0..6).map(|caller| {
        let store = if caller % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let got = store
                    .claim_due(&format!("c{caller}"), NOW, 60_000, 7)
                    .await
                    .unwrap();
                if got.is_empty() {
                    return mine;
                }
                mine.extend(got.into_iter().map(|claimed| claimed.claim.subreddit));
            }
        })
    });
    let mut all = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        all.extend(caller.await.unwrap());
    }
    assert_eq!(all.len(), 120);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 120);
}

async fn a_claim_that_has_run_out_is_taken_over_and_its_late_work_is_refused(world: World) {
    let store = &world.store;
    let first = world.claimed("rust").await;
    let later = NOW + 60_000;
    assert!(
        store
            .claim_due("b", later - 1, 60_000, 9)
            .await
            .unwrap()
            .is_empty()
    );
    let second = store.claim_due("b", later, 60_000, 9).await.unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].claim.token, first.token + 1);

    let mut late = member(&first);
    late.proven = Some(super::fixtures::interval(10, 20));
    late.gap = super::fixtures::gap(5, 10, freshet::store::GapCause::Cap);
    late.update.covered_until = Some(20);
    let stored = world.record(late).await;
    assert_eq!(stored.lost, [name("rust")]);
    assert!(stored.gaps_opened.is_empty());
    assert!(store.coverage(&name("rust")).await.unwrap().is_empty());
    assert!(store.gaps(None, None).await.unwrap().is_empty());
    let row = &store.subreddits().await.unwrap()[0];
    assert_eq!(row.covered_until, None);
    assert_eq!(row.claimed_by.as_deref(), Some("b"));
}

async fn claims_are_renewed_while_they_are_held(world: World) {
    let store = &world.store;
    let claim = world.claimed("rust").await;
    let held = store
        .renew_claims(std::slice::from_ref(&claim), NOW + 90_000)
        .await
        .unwrap();
    assert_eq!(held, std::slice::from_ref(&claim));
    let early = store.claim_due("b", NOW + 80_000, 60_000, 9).await.unwrap();
    assert!(early.is_empty());
    let taken = store.claim_due("b", NOW + 95_000, 60_000, 9).await.unwrap();
    let both = [claim, taken[0].claim.clone()];
    let held = store.renew_claims(&both, NOW + 200_000).await.unwrap();
    assert_eq!(held, [taken[0].claim.clone()]);
}

async fn a_released_subreddit_is_due_as_before(world: World) {
    let store = &world.store;
    let claim = world.claimed("rust").await;
    let stranger = Claim {
        token: claim.token - 1,
        ..claim.clone()
    };
    store.release_claims(&[stranger]).await.unwrap();
    assert!(
        store
            .claim_due("b", NOW, 60_000, 9)
            .await
            .unwrap()
            .is_empty()
    );
    store
        .release_claims(std::slice::from_ref(&claim))
        .await
        .unwrap();
    let held = store
        .renew_claims(std::slice::from_ref(&claim), NOW + 1)
        .await
        .unwrap();
    assert!(held.is_empty(), "what was released is not held");
    let again = store.claim_due("b", NOW, 60_000, 9).await.unwrap();
    assert_eq!(again[0].next_poll_ms, NOW / 1000 * 1000);
}

async fn a_claim_of_a_removed_row_does_not_fit_the_row_that_follows(world: World) {
    let store = &world.store;
    let old = world.claimed("rust").await;
    store.remove_subreddit(&name("rust")).await.unwrap();
    assert_eq!(world.record(member(&old)).await.lost, [name("rust")]);
    let new = world.claimed("rust").await;
    assert_ne!(new.token, old.token);
    assert_eq!(world.record(member(&old)).await.lost, [name("rust")]);
    assert!(world.record(member(&new)).await.lost.is_empty());
}

/// How long a subreddit waits at most, in these tests.
const LONGEST_WAIT_MS: i64 = 12 * 3_600_000;

async fn what_waits_for_no_longer_than_it_may_was_timed_by_no_clock_ahead(world: World) {
    let store = &world.store;
    let claim = world.claimed("rust").await;
    let mut record = member(&claim);
    record.update.next_poll_ms = NOW + 36 * 3_600_000;
    world.record(record).await;
    let longest = async |wait_ms: i64| store.timed_ahead(NOW, wait_ms).await.unwrap();
    assert_eq!(longest(48 * 3_600_000).await, []);
    let ahead = longest(LONGEST_WAIT_MS).await;
    assert_eq!(ahead.len(), 1);
    assert_eq!(ahead[0].subreddit, name("rust"));
    // Polled by a clock that is a day ahead, it is left to it for as long as it was to wait.
    let back = NOW - 24 * 3_600_000;
    let ahead = store.timed_ahead(back, 48 * 3_600_000).await.unwrap();
    assert_eq!(ahead[0].wait_ms, 36 * 3_600_000);
}

async fn a_clock_set_back_delays_nobody(world: World) {
    let store = &world.store;
    let claim = world.claimed("rust").await;
    // The claim was made by a clock an hour ahead of ours.
    let back = NOW - 3_600_000;
    store.resume_subreddit(&name("rust"), back).await.unwrap();
    let taken = store.claim_due("b", back, 60_000, 9).await.unwrap();
    assert_eq!(taken.len(), 1, "a claim that ends far ahead has run out");
    assert!(world.record(member(&claim)).await.lost.len() == 1);
    // The next poll was timed by it, too.
    let mut record = member(&taken[0].claim);
    record.update.next_poll_ms = NOW + 20_000;
    world.record(record).await;
    let due = async |now_ms: i64| store.claim_due("b", now_ms, 60_000, 9).await.unwrap();
    let little = NOW - 30_000;
    assert!(
        store
            .timed_ahead(little, LONGEST_WAIT_MS)
            .await
            .unwrap()
            .is_empty()
    );
    let ahead = store.timed_ahead(back, LONGEST_WAIT_MS).await.unwrap();
    let expected = TimedAhead {
        subreddit: name("rust"),
        token: taken[0].claim.token,
        next_poll_ms: ahead[0].next_poll_ms,
        claimed_until_ms: None,
        wait_ms: 20_000,
    };
    assert_eq!(ahead, [expected]);
    assert!(ahead[0].next_poll_ms > back + 60_000);
    assert!(
        due(back).await.is_empty(),
        "it is left to whom that clock is"
    );
    store.make_due(&ahead, back).await.unwrap();
    assert_eq!(due(back).await.len(), 1);
    // Whoever claims it meanwhile polls it.
    store.make_due(&ahead, back - 90_000).await.unwrap();
    let row = &store.subreddits().await.unwrap()[0];
    assert_eq!(row.next_poll_ms, back);
    // A clock that is a little behind takes nothing from anybody.
    assert!(due(back - 500).await.is_empty());
    // Watched since then, and never polled.
    store
        .add_subreddit(&name("kettles"), NOW / 1000)
        .await
        .unwrap();
    let ahead = store.timed_ahead(back, LONGEST_WAIT_MS).await.unwrap();
    let waits: Vec<i64> = ahead.iter().map(|row| row.wait_ms).collect();
    assert!(waits.contains(&0), "{ahead:?}");
}

async fn a_lease_has_one_holder(world: World) {
    let store = &world.store;
    let acquire = |holder: &'static str, now: i64| async move {
        store
            .acquire_lease("feeder", holder, now, 10_000)
            .await
            .unwrap()
    };
    assert!(acquire("a", NOW).await);
    assert!(!acquire("b", NOW + 9_999).await);
    assert!(acquire("a", NOW + 5_000).await, "renewed");
    assert!(!acquire("b", NOW + 14_999).await);
    assert!(acquire("b", NOW + 15_000).await, "expired");
    assert!(!acquire("a", NOW + 16_000).await);
    store.release_lease("feeder", "a").await.unwrap();
    assert!(
        !acquire("a", NOW + 16_000).await,
        "not one's own to release"
    );
    assert!(!acquire("a", NOW + 14_000).await, "clocks differ a little");
    assert!(
        acquire("a", NOW - 3_600_000).await,
        "the clock was set back"
    );
    store.release_lease("feeder", "a").await.unwrap();
    assert!(acquire("b", NOW - 3_600_000).await);
}

async fn what_a_holder_publishes_is_read_while_it_holds_its_lease(world: World) {
    let store = &world.store;
    let lease = |holder: &'static str, now: i64| store.acquire_lease(POLLS, holder, now, 10_000);
    let plan = PollPlan {
        objective_met: true,
        longest_interval_seconds: 7.5,
        ..PollPlan::default()
    };
    let published = serde_json::to_string(&plan).unwrap();
    assert!(lease("a", NOW).await.unwrap());
    assert_eq!(store.poll_plan(NOW).await.unwrap(), None);
    store
        .publish_lease_state(POLLS, "b", Some("{}"))
        .await
        .unwrap();
    assert_eq!(store.poll_plan(NOW).await.unwrap(), None, "not its lease");
    store
        .publish_lease_state(POLLS, "a", Some(&published))
        .await
        .unwrap();
    assert_eq!(store.poll_plan(NOW).await.unwrap(), Some(plan.clone()));
    assert!(lease("a", NOW + 5_000).await.unwrap());
    let renewed = store.poll_plan(NOW + 14_999).await.unwrap();
    assert_eq!(renewed, Some(plan), "renewals leave it");
    assert_eq!(store.poll_plan(NOW + 15_000).await.unwrap(), None, "over");
    assert!(lease("b", NOW + 15_000).await.unwrap());
    let taken = store.poll_plan(NOW + 15_000).await.unwrap();
    assert_eq!(taken, None, "another's");
    for other in ["no JSON", "7"] {
        store
            .publish_lease_state(POLLS, "b", Some(other))
            .await
            .unwrap();
        assert_eq!(store.poll_plan(NOW + 15_000).await.unwrap(), None);
    }
    let newer = r#"{"objective_met": true, "of_another_version": [1]}"#;
    store
        .publish_lease_state(POLLS, "b", Some(newer))
        .await
        .unwrap();
    assert!(store.poll_plan(NOW + 15_000).await.unwrap().is_some());
}
