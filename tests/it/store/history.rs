//! The attempts that failed.

use super::conformance;
use super::fixtures::{NOW, World, id, ids, nothing, seen};
use freshet::store::{Failure, FailureKind, FetchRecord, PastAttempt};

conformance!(
    every_failed_attempt_is_told_with_who_when_and_why,
    the_newest_twenty_are_kept_and_long_reasons_cut,
    what_goes_well_or_is_given_back_leaves_no_history,
    an_attempt_of_an_older_build_is_told_as_far_as_it_is_known,
    what_a_worker_begins_again_unended_is_the_same_attempt,
    who_was_overtaken_ends_no_attempt_but_its_own,
    who_was_overtaken_gives_back_no_attempt_but_its_own,
    what_was_given_back_and_ended_by_others_stays_as_they_left_it,
    one_odd_entry_hides_no_other,
);

fn failure<'a>(by: &'a str, reason: &'a str, now_ms: i64) -> Failure<'a> {
    Failure {
        by,
        kind: FailureKind::NotStored,
        reason,
        now_ms,
    }
}

async fn history(world: &World) -> Vec<PastAttempt> {
    let job = world.store.fetch_job(&id("a1")).await.unwrap();
    job.unwrap().history
}

async fn begin(world: &World, by: &str, now_ms: i64) -> Option<FailureKind> {
    let begun = world.store.start_attempts(&ids(&["a1"]), by, now_ms).await;
    begun.unwrap()[0].failed_before
}

async fn every_failed_attempt_is_told_with_who_when_and_why(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW), seen("b2", NOW)]).await;
    assert_eq!(begin(&world, "one", NOW).await, None);
    // Its process is killed.
    let killed = begin(&world, "two", NOW + 10).await;
    assert_eq!(killed, Some(FailureKind::NeverEnded));
    let a1 = id("a1");
    for _ in 0..2 {
        // Again, as after a lost answer: it is told once.
        let failed = store.fail_fetch(&a1, failure("two", "bad\0 luck", NOW + 15), NOW);
        failed.await.unwrap();
    }
    let failed = begin(&world, "three", NOW + 20).await;
    assert_eq!(failed, Some(FailureKind::NotStored));
    let told =
        |by: &str, started_ms, ended_ms, kind: FailureKind, reason: Option<&str>| PastAttempt {
            started_ms: Some(started_ms),
            by: Some(by.to_owned()),
            ended_ms,
            kind: kind.to_string(),
            reason: reason.map(str::to_owned),
        };
    let two = told(
        "two",
        NOW + 10,
        Some(NOW + 15),
        FailureKind::NotStored,
        Some("bad luck"),
    );
    let one = told("one", NOW, None, FailureKind::NeverEnded, None);
    assert_eq!(history(&world).await, [one, two]);
    // The one that only found out that enough is enough counts for nothing.
    store
        .set_aside(&id("a1"), "enough", NOW / 1000)
        .await
        .unwrap();
    let job = store.fetch_job(&id("a1")).await.unwrap().unwrap();
    assert_eq!((job.attempts, job.history.len()), (2, 2));
    store.retry_dead(&ids(&["a1"]), NOW).await.unwrap();
    assert_eq!(history(&world).await.len(), 2, "it is kept");
    let other = store.fetch_job(&id("b2")).await.unwrap().unwrap();
    assert!(other.history.is_empty());
    assert!(store.fetch_job(&id("zz")).await.unwrap().is_none());
}

async fn the_newest_twenty_are_kept_and_long_reasons_cut(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    let long = "é".repeat(600);
    for place in 0..25 {
        // A worker that was killed has another name when it comes back.
        let by = format!("w{place}");
        begin(&world, &by, NOW + place).await;
        if place % 2 == 0 {
            let (a1, failed) = (id("a1"), failure(&by, &long, NOW + place));
            let failed = world.store.fail_fetch(&a1, failed, NOW);
            failed.await.unwrap();
        }
    }
    let history = history(&world).await;
    let started: Vec<i64> = history
        .iter()
        .map(|it| it.started_ms.unwrap() - NOW)
        .collect();
    assert_eq!(started, (5..25).collect::<Vec<i64>>());
    let reason = history[19].reason.as_deref().unwrap();
    assert_eq!(reason.chars().count(), 501);
    assert!(reason.ends_with("é…"));
}

async fn what_goes_well_or_is_given_back_leaves_no_history(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW)]).await;
    begin(&world, "w", NOW).await;
    store.return_fetches(&ids(&["a1"]), "w", NOW).await.unwrap();
    assert_eq!(begin(&world, "w", NOW).await, None);
    let deferred = FetchRecord {
        deferred: &[(id("a1"), NOW)],
        ..nothing()
    };
    store.record_fetches(&deferred).await.unwrap();
    assert_eq!(begin(&world, "w", NOW).await, None);
    let sql = "SELECT count(*) FROM fetches WHERE history IS NOT NULL";
    assert_eq!(world.number(sql).await, 0);
    world.fetch(&[seen("a1", NOW)]).await;
    assert!(store.fetch_job(&id("a1")).await.unwrap().is_none());
}

async fn an_attempt_of_an_older_build_is_told_as_far_as_it_is_known(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    // As it counts attempts.
    let sql = "UPDATE fetches SET attempts = attempts + 1, started = true";
    world.run(sql).await;
    let killed = begin(&world, "w", NOW).await;
    assert_eq!(killed, Some(FailureKind::NeverEnded));
    let history = history(&world).await;
    assert_eq!((history[0].started_ms, history[0].by.clone()), (None, None));
}

async fn what_a_worker_begins_again_unended_is_the_same_attempt(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW)]).await;
    let a1 = ids(&["a1"]);
    // The database was away for longer than the end of an attempt waits for it.
    for later in 0..3 {
        let begun = store.start_attempts(&a1, "w", NOW + later).await.unwrap();
        assert_eq!((begun[0].attempts, begun[0].failed_before), (1, None));
    }
    assert!(history(&world).await.is_empty());
    store.return_fetches(&a1, "w", NOW).await.unwrap();
    let begun = store.start_attempts(&a1, "w", NOW + 5).await.unwrap();
    assert_eq!(begun[0].attempts, 1);
    // Another's is another.
    let begun = store.start_attempts(&a1, "x", NOW + 6).await.unwrap();
    assert_eq!(begun[0].attempts, 2);
    let history = history(&world).await;
    assert_eq!(history.len(), 1);
    let first = (history[0].by.as_deref(), history[0].started_ms);
    assert_eq!(first, (Some("w"), Some(NOW + 5)));
}

async fn who_was_overtaken_ends_no_attempt_but_its_own(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW)]).await;
    let a1 = id("a1");
    begin(&world, "slow", NOW).await;
    begin(&world, "other", NOW + 1).await;
    for (by, reason, now_ms) in [("slow", "mine", NOW + 2), ("other", "its own", NOW + 3)] {
        let failed = store.fail_fetch(&a1, failure(by, reason, now_ms), NOW);
        failed.await.unwrap();
    }
    let told: Vec<_> = history(&world)
        .await
        .into_iter()
        .map(|it| (it.by.unwrap(), it.started_ms.unwrap(), it.reason))
        .collect();
    let expected = [
        ("slow".to_owned(), NOW, None),
        ("other".to_owned(), NOW + 1, Some("its own".to_owned())),
    ];
    assert_eq!(told, expected);
}

/// As where Reddit was out, or the answer left it out; and again, as after a lost answer.
async fn gives_back(world: &World, by: &str, due_ms: i64, left_out: bool) {
    for _ in 0..2 {
        if left_out {
            let record = FetchRecord {
                deferred: &[(id("a1"), due_ms)],
                by,
                ..nothing()
            };
            world.store.record_fetches(&record).await.unwrap();
        } else {
            let a1 = ids(&["a1"]);
            let returned = world.store.return_fetches(&a1, by, due_ms).await;
            returned.unwrap();
        }
    }
}

/// Attempts, omissions, and whether one is under way.
async fn counts(world: &World) -> (i64, i64, bool) {
    let attempts = "SELECT CAST(attempts AS bigint) FROM fetches";
    let omissions = "SELECT CAST(omissions AS bigint) FROM fetches";
    let started = "SELECT count(*) FROM fetches WHERE started";
    (
        world.number(attempts).await,
        world.number(omissions).await,
        world.number(started).await == 1,
    )
}

async fn who_was_overtaken_gives_back_no_attempt_but_its_own(world: World) {
    let store = &world.store;
    for left_out in [false, true] {
        world.list(&[seen("a1", NOW)]).await;
        store.claim_fetches(NOW + 7, 9).await.unwrap();
        begin(&world, "slow", NOW).await;
        begin(&world, "other", NOW + 1).await;
        assert_eq!(counts(&world).await, (2, 0, true));
        gives_back(&world, "slow", NOW + 500, left_out).await;
        assert_eq!(counts(&world).await, (1, 0, true), "left out: {left_out}");
        assert!(history(&world).await.is_empty());
        let (due, fed) = ("SELECT due_ms FROM fetches", "SELECT fed_ms FROM fetches");
        assert_eq!(world.number(due).await, NOW);
        assert_eq!(world.number(fed).await, NOW + 7);
        // Of two that were overtaken it is the later one that can still take its own back.
        begin(&world, "third", NOW + 2).await;
        begin(&world, "fourth", NOW + 3).await;
        gives_back(&world, "other", NOW + 500, left_out).await;
        assert_eq!(
            (counts(&world).await.0, history(&world).await.len()),
            (3, 2)
        );
        gives_back(&world, "third", NOW + 500, left_out).await;
        assert_eq!(
            (counts(&world).await.0, history(&world).await.len()),
            (2, 1)
        );
        // Whose attempt it is ends it.
        gives_back(&world, "fourth", NOW + 9, left_out).await;
        let omissions = i64::from(left_out);
        assert_eq!(counts(&world).await, (1, omissions, false));
        assert_eq!(world.number(due).await, NOW + 9);
        assert_eq!(store.claim_fetches(NOW + 9, 9).await.unwrap().len(), 1);
        world.fetch(&[seen("a1", NOW + 9)]).await;
        world.run("DELETE FROM submissions").await;
    }
}

async fn what_was_given_back_and_ended_by_others_stays_as_they_left_it(world: World) {
    let store = &world.store;
    world.list(&[seen("a1", NOW)]).await;
    begin(&world, "slow", NOW).await;
    begin(&world, "other", NOW + 1).await;
    let a1 = id("a1");
    let failed = store.fail_fetch(&a1, failure("other", "bad luck", NOW + 2), NOW + 60);
    failed.await.unwrap();
    store.claim_fetches(NOW + 60, 9).await.unwrap();
    for left_out in [false, true] {
        gives_back(&world, "slow", NOW + 500, left_out).await;
        assert_eq!(counts(&world).await, (2, 0, false));
        assert_eq!(world.number("SELECT due_ms FROM fetches").await, NOW + 60);
        assert_eq!(world.number("SELECT fed_ms FROM fetches").await, NOW + 60);
    }
}

async fn one_odd_entry_hides_no_other(world: World) {
    world.list(&[seen("a1", NOW)]).await;
    begin(&world, "w", NOW).await;
    let odd = r#"UPDATE fetches SET history =
        '["a word", {"kind": 7}, {"kind": "not_stored", "reason": "kept"}]'"#;
    world.run(odd).await;
    let history = history(&world).await;
    assert_eq!(history.len(), 3);
    assert_eq!(history[0], PastAttempt::default());
    assert_eq!(history[2].reason.as_deref(), Some("kept"));
    let odd = r#"UPDATE fetches SET history = '{"no": "list"}'"#;
    world.run(odd).await;
    assert!(self::history(&world).await.is_empty());
}
