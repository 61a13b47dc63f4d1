//! The ledger of ids.

use super::conformance;
use super::fixtures::{NOW, World, id, interval, name, seen, seen_with};
use freshet::store::{IdLedger, IdRecord, IdRetry, Interval, Status};
use freshet::submission::{Observation, SubmissionId};

conformance!(
    there_is_no_ledger_before_a_scan_begins_and_one_for_good_from_then_on,
    what_was_seen_is_stored_as_fetched_and_no_fetch_is_left,
    of_what_is_not_watched_or_paused_nothing_is_stored,
    everything_is_stored_where_everything_is_asked_for,
    runs_merge_whatever_order_they_come_in,
    an_absent_id_waits_until_it_is_seen_or_absent_for_good,
    an_id_that_is_settled_never_becomes_pending_again,
    the_size_of_the_ledger_does_not_depend_on_how_much_was_scanned,
    a_record_repeated_after_a_lost_answer_changes_nothing,
    processes_that_record_at_the_same_time_leave_a_whole_ledger,
);

fn text(number: i64) -> String {
    SubmissionId::from_number(number).to_string()
}

fn retry(id: i64, tries: u32) -> IdRetry {
    IdRetry {
        id,
        tries,
        missing_ms: NOW,
        due_ms: NOW + 10_000 * i64::from(tries + 1),
    }
}

/// Asked for from `start` up to `end`; `absent` of them are, all others were seen and are nowhere stored.
fn answer(start: i64, end: i64, absent: &[i64]) -> IdRecord<'static> {
    IdRecord {
        asked: vec![interval(start, end)],
        seen: (start..end).filter(|id| !absent.contains(id)).collect(),
        absent: absent.iter().map(|id| retry(*id, 0)).collect(),
        head: end - 1,
        now_ms: NOW,
        ..IdRecord::default()
    }
}

async fn begun(world: &World) {
    world.store.begin_ids(99).await.unwrap();
}

async fn record(world: &World, record: &IdRecord<'_>) {
    world.store.record_ids(record).await.unwrap();
}

async fn ledger(world: &World) -> IdLedger {
    world.store.id_ledger().await.unwrap().unwrap()
}

async fn pending(world: &World) -> Vec<i64> {
    let ledger = ledger(world).await;
    let count = world.store.pending_ids().await.unwrap();
    assert_eq!(usize::try_from(count).unwrap(), ledger.retries.len());
    ledger.retries.iter().map(|retry| retry.id).collect()
}

async fn there_is_no_ledger_before_a_scan_begins_and_one_for_good_from_then_on(world: World) {
    assert_eq!(world.store.id_ledger().await.unwrap(), None);
    // Nobody answers for ids that are recorded before.
    record(&world, &answer(100, 105, &[])).await;
    assert_eq!(world.store.id_ledger().await.unwrap(), None);
    begun(&world).await;
    world.store.begin_ids(5_000).await.unwrap();
    let expected = IdLedger {
        first: 100,
        head: 99,
        ..IdLedger::default()
    };
    assert_eq!(ledger(&world).await, expected);
}

async fn what_was_seen_is_stored_as_fetched_and_no_fetch_is_left(world: World) {
    begun(&world).await;
    world.claimed("rust").await;
    let (known, new) = (text(100), text(101));
    world.list(&[seen(&known, NOW - 5)]).await;
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 1);
    let observations = [seen(&known, NOW), seen(&new, NOW)];
    let stored = world
        .store
        .record_ids(&IdRecord {
            observations: &observations,
            ..answer(100, 102, &[])
        })
        .await
        .unwrap();
    assert_eq!(stored.fresh, [1]);
    for text in [&known, &new] {
        let row = world.store.submission(&id(text)).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.observed_ms, row.fetched_at),
            (Status::Fetched, NOW, Some(NOW / 1000))
        );
    }
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    let totals = world.store.totals().await.unwrap();
    assert_eq!((totals.discovered, totals.fetched), (0, 2));
    let subreddits = world.store.subreddits().await.unwrap();
    assert_eq!(subreddits[0].submissions, 2, "one listed, one scanned");
    // A listing that shows them later makes no work of them.
    world.list(&[seen(&new, NOW + 5)]).await;
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
}

async fn of_what_is_not_watched_or_paused_nothing_is_stored(world: World) {
    begun(&world).await;
    world.claimed("rust").await;
    world.claimed("idle").await;
    world.store.pause_subreddit(&name("idle")).await.unwrap();
    let observations = mixed();
    let stored = world
        .store
        .record_ids(&IdRecord {
            observations: &observations,
            ..answer(100, 104, &[])
        })
        .await
        .unwrap();
    assert_eq!(stored.fresh, [0]);
    assert_eq!(world.number("SELECT count(*) FROM submissions").await, 1);
    assert_eq!(ledger(&world).await.seen, 4);
}

fn mixed() -> Vec<Observation> {
    let of = |number, fields| seen_with(&text(number), NOW, fields);
    vec![
        of(100, r#","subreddit":"Rust""#),
        of(101, r#","subreddit":"elsewhere""#),
        of(102, r#","subreddit":"Idle""#),
        of(103, ""),
    ]
}

async fn everything_is_stored_where_everything_is_asked_for(world: World) {
    begun(&world).await;
    let observations = mixed();
    let stored = world
        .store
        .record_ids(&IdRecord {
            observations: &observations,
            store_all: true,
            ..answer(100, 104, &[])
        })
        .await
        .unwrap();
    assert_eq!(stored.fresh, [0, 1, 2, 3]);
    assert_eq!(world.number("SELECT count(*) FROM submissions").await, 4);
}

async fn runs_merge_whatever_order_they_come_in(world: World) {
    begun(&world).await;
    let parts = [
        (300, 400),
        (100, 150),
        (500, 600),
        (150, 200),
        (350, 520),
        (200, 300),
    ];
    let expected: [&[Interval]; 6] = [
        &[interval(300, 400)],
        &[interval(100, 150), interval(300, 400)],
        &[interval(100, 150), interval(300, 400), interval(500, 600)],
        &[interval(100, 200), interval(300, 400), interval(500, 600)],
        &[interval(100, 200), interval(300, 600)],
        &[interval(100, 600)],
    ];
    for ((start, end), expected) in parts.into_iter().zip(expected) {
        record(&world, &answer(start, end, &[])).await;
        assert_eq!(ledger(&world).await.runs, expected);
    }
    let ledger = ledger(&world).await;
    assert_eq!((ledger.head, ledger.seen), (599, 500));
    // Several at once, some of which touch.
    let several = IdRecord {
        asked: vec![interval(700, 710), interval(710, 720), interval(730, 740)],
        absent: vec![retry(705, 0), retry(715, 0), retry(735, 0)],
        head: 739,
        ..IdRecord::default()
    };
    record(&world, &several).await;
    assert_eq!(pending(&world).await, [705, 715, 735]);
}

async fn an_absent_id_waits_until_it_is_seen_or_absent_for_good(world: World) {
    begun(&world).await;
    record(&world, &answer(100, 110, &[102, 105, 107])).await;
    assert_eq!(pending(&world).await, [102, 105, 107]);
    let later = IdRecord {
        seen: vec![102],
        absent: vec![retry(105, 1)],
        gone: vec![107],
        head: 109,
        ..IdRecord::default()
    };
    record(&world, &later).await;
    let ledger = ledger(&world).await;
    assert_eq!(ledger.retries, [retry(105, 1)]);
    assert_eq!((ledger.seen, ledger.absent), (8, 1));
    assert_eq!(ledger.runs, [interval(100, 110)]);
}

async fn an_id_that_is_settled_never_becomes_pending_again(world: World) {
    begun(&world).await;
    record(&world, &answer(100, 110, &[105])).await;
    // Another process asked at the same time: what it missed has been seen, and it saw what was missed.
    record(&world, &answer(95, 112, &[102, 103, 111])).await;
    assert_eq!(pending(&world).await, [111]);
    // A try that another process counted is not counted back.
    let try_of = |tries| IdRecord {
        absent: vec![retry(111, tries)],
        head: 111,
        ..IdRecord::default()
    };
    record(&world, &try_of(3)).await;
    record(&world, &try_of(2)).await;
    assert_eq!(ledger(&world).await.retries, [retry(111, 3)]);
    record(&world, &answer(111, 112, &[])).await;
    record(&world, &try_of(4)).await;
    assert_eq!(pending(&world).await, [0; 0]);
    assert_eq!(ledger(&world).await.head, 111, "it never moves back");
}

async fn the_size_of_the_ledger_does_not_depend_on_how_much_was_scanned(world: World) {
    begun(&world).await;
    for start in (100..3_100).step_by(100) {
        record(&world, &answer(start, start + 100, &[start + 50])).await;
        let later = IdRecord {
            gone: vec![start + 50],
            head: start + 99,
            ..IdRecord::default()
        };
        record(&world, &later).await;
    }
    let rows = "SELECT (SELECT count(*) FROM id_runs) + (SELECT count(*) FROM id_retries)";
    assert_eq!(world.number(rows).await, 1);
    let ledger = ledger(&world).await;
    assert_eq!((ledger.seen, ledger.absent), (2_970, 30));
}

async fn a_record_repeated_after_a_lost_answer_changes_nothing(world: World) {
    begun(&world).await;
    world.claimed("rust").await;
    let observations = [seen(&text(100), NOW)];
    let first = IdRecord {
        observations: &observations,
        ..answer(100, 110, &[105])
    };
    record(&world, &first).await;
    let before = (ledger(&world).await, world.store.totals().await.unwrap());
    record(&world, &first).await;
    let after = (ledger(&world).await, world.store.totals().await.unwrap());
    assert_eq!(before, after);
}

async fn processes_that_record_at_the_same_time_leave_a_whole_ledger(world: World) {
    begun(&world).await;
    world.claimed("rust").await;
    let processes = (0..4_i64).map(|process| {
        let store = world.store.clone();
        tokio::spawn(async move {
            for step in 0..10_i64 {
                // They overlap, and each misses other ids.
                let (start, end) = (100 + step * 50, 100 + step * 50 + 80);
                let missed: Vec<i64> = (start..end).filter(|id| id % 4 == process).collect();
                let observations: Vec<_> = (start..end)
                    .filter(|id| !missed.contains(id) && id % 9 == 0)
                    .map(|number| seen(&text(number), NOW))
                    .collect();
                let record = IdRecord {
                    observations: &observations,
                    ..answer(start, end, &missed)
                };
                store.record_ids(&record).await.unwrap();
            }
        })
    });
    for process in processes.collect::<Vec<_>>() {
        process.await.unwrap();
    }
    let ledger = ledger(&world).await;
    assert_eq!(ledger.runs, [interval(100, 630)]);
    assert_eq!(ledger.head, 629);
    // Each id was seen by three of the four.
    assert_eq!(ledger.retries, []);
    assert_eq!(ledger.seen, 530);
    let stored = (100..630).filter(|id| id % 9 == 0).count();
    let rows = world.number("SELECT count(*) FROM submissions").await;
    assert_eq!(usize::try_from(rows).unwrap(), stored);
}
