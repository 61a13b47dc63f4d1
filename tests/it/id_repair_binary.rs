//! `freshet gaps repair --source ids`, and a process that runs and does the same by itself.

use crate::store::fixtures::{gap, name, record_gap};
use crate::support::binary::{Finished, Process, finish};
use crate::support::past::{HOUR, NAME, On, Past, options};
use freshet::simulator::{Ids, SimulatorOptions};
use freshet::store::{GapCause, GapState, Store};
use serde_json::json;

/// When the gaps are, in hours before now: the last is younger than what may appear late.
const GAPS: [(i64, i64); 3] = [(46, 44), (45, 42), (3, 2)];

async fn with_gaps(on: On, ids: Ids) -> (Past, Store) {
    let options = SimulatorOptions {
        ids,
        ..options(31, 6.0)
    };
    let past = Past::start(options, on).await;
    let store = past.store().await;
    store.add_subreddit(&name(NAME), past.now()).await.unwrap();
    for (from, to) in GAPS {
        let now_ms = past.control().now_ms();
        let gap = gap(
            past.now() - from * HOUR,
            past.now() - to * HOUR,
            GapCause::Cap,
        );
        record_gap(&store, gap, now_ms).await;
    }
    (past, store)
}

fn counter(unused: f64) -> Ids {
    Ids {
        counter: true,
        unused,
        rest_per_second: 0.03,
    }
}

async fn repair(past: &Past, more: &[&str]) -> Finished {
    let words = [&["gaps", "repair", "--source", "ids"], more].concat();
    finish(&mut past.with_key(&words)).await
}

async fn all_that_was_posted_is_stored(past: &Past) {
    let stored = past.stored().await;
    for (from, to) in GAPS {
        let missed = past.truth(past.now() - from * HOUR, past.now() - to * HOUR);
        assert!(missed.len() > 3, "{missed:?}");
        for id in missed {
            assert!(stored.contains(&id), "{id}");
        }
    }
}

async fn gaps_are_closed_by_ids_and_those_that_may_get_more_stay(on: On) {
    // Every id is there: all are closed at once.
    let (past, store) = with_gaps(on, counter(0.0)).await;
    let repaired = repair(&past, &[]).await.ended_with(0);
    repaired.says(&["closes 2 gaps by the ids of 5 h", "requests at most"]);
    assert_eq!(past.json(&["gaps", "list"]).await, json!([]));
    let gaps = store.gaps(None, None).await.unwrap();
    for gap in &gaps {
        let by = (gap.state, gap.repaired_by.as_deref());
        assert_eq!(by, (GapState::Repaired, Some("ids")), "{gap:?}");
    }
    all_that_was_posted_is_stored(&past).await;
    repair(&past, &[]).await.ended_with(0).says(&["No gap"]);

    // Some are not: those of long ago are believed to be absent.
    let (past, store) = with_gaps(on, counter(0.1)).await;
    let repaired = repair(&past, &[]).await.ended_with(0);
    repaired.says(&["is not over", "may appear late"]);
    all_that_was_posted_is_stored(&past).await;
    let open = store.gaps(None, Some(GapState::Open)).await.unwrap();
    let open: Vec<i64> = open.iter().map(|gap| gap.interval.end).collect();
    assert_eq!(open, [past.now() - 2 * HOUR]);
    let again = repair(&past, &["--json"]).await.ended_with(0);
    assert!(again.stdout.contains("\"running\""), "{}", again.stdout);
    assert_eq!(past.backfills().await.len(), 1);
}

#[tokio::test]
async fn gaps_are_closed_by_ids_and_those_that_may_get_more_stay_on_sqlite() {
    gaps_are_closed_by_ids_and_those_that_may_get_more_stay(On::Sqlite).await;
}

#[tokio::test]
async fn gaps_are_closed_by_ids_and_those_that_may_get_more_stay_on_postgres() {
    gaps_are_closed_by_ids_and_those_that_may_get_more_stay(On::Postgres).await;
}

#[tokio::test]
async fn where_ids_are_not_dense_or_there_is_no_key_it_says_so_and_begins_nothing() {
    let (past, _store) = with_gaps(On::Sqlite, Ids::default()).await;
    let refused = repair(&past, &[]).await.ended_with(1);
    refused.says(&["too few of Reddit's ids exist"]);
    let without_key = past.try_run(&["gaps", "repair", "--source", "ids"]).await;
    without_key.ended_with(1).says(&["reddit.client_id"]);
    assert_eq!(past.backfills().await.len(), 0);
}

#[tokio::test]
async fn a_process_that_runs_closes_by_itself_what_no_listing_reaches() {
    let (past, store) = with_gaps(On::Sqlite, counter(0.0)).await;
    let running = Process::start(&mut past.with_key(&["run"]));
    let status = past.until_done(1, &running).await;
    assert_eq!(status["source"], "ids");
    let gaps = store.gaps(None, None).await.unwrap();
    assert!(
        gaps.iter().all(|gap| gap.state == GapState::Repaired),
        "{gaps:?}"
    );
    all_that_was_posted_is_stored(&past).await;
}
