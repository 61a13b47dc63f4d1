//! Times that may miss submissions, listed, and closed out of the archive.

use super::store::fixtures::{gap, name, record_gap};
use super::support::binary::{PATIENCE, Process};
use super::support::past::{HOUR, NAME, On, Past, options};
use super::support::pipeline::until;
use freshet::store::{GapCause, GapState, Store};
use serde_json::{Value, json};
use std::time::Duration;

/// When the gaps are, in hours before now, and why.
const GAPS: [(i64, i64, GapCause); 3] = [
    (46, 42, GapCause::Cap),
    (44, 40, GapCause::Error),
    (32, 30, GapCause::Cap),
];

/// A watched subreddit with gaps, which its polls left.
async fn with_gaps(on: On, latency: Duration) -> (Past, Store) {
    let mut options = options(31, 6.0);
    options.latency = latency;
    let past = Past::start(options, on).await;
    let store = past.store().await;
    store.add_subreddit(&name(NAME), past.now()).await.unwrap();
    for (from, to, cause) in GAPS {
        let now_ms = past.control().now_ms();
        let gap = gap(past.now() - from * HOUR, past.now() - to * HOUR, cause);
        record_gap(&store, gap, now_ms).await;
    }
    (past, store)
}

/// All that was posted within the gaps, sorted.
fn missed(past: &Past) -> Vec<String> {
    let truth = |from, to| past.truth(past.now() - from * HOUR, past.now() - to * HOUR);
    let mut missed = [truth(46, 40), truth(32, 30)].concat();
    missed.sort_unstable();
    missed
}

async fn open(past: &Past) -> Value {
    past.json(&["gaps", "list"]).await
}

async fn they_are_closed(past: &Past, store: &Store) {
    assert_eq!(open(past).await, json!([]));
    let gaps = store.gaps(None, None).await.unwrap();
    assert_eq!(gaps.len(), GAPS.len());
    for gap in gaps {
        let by = (gap.state, gap.repaired_by.as_deref());
        assert_eq!(by, (GapState::Repaired, Some("backfill")), "{gap:?}");
    }
    for (from, to, _) in GAPS {
        let (start, end) = (past.now() - from * HOUR, past.now() - to * HOUR);
        assert_eq!(past.proven(start, end).await, end - start);
    }
}

async fn open_gaps_are_listed_and_repaired(on: On) {
    let (past, store) = with_gaps(on, Duration::ZERO).await;
    let expected: Vec<Value> = GAPS
        .iter()
        .map(|(from, to, cause)| {
            json!({
                "subreddit": NAME,
                "start": past.now() - from * HOUR,
                "end": past.now() - to * HOUR,
                "cause": cause.as_str(),
                "reason": (*cause == GapCause::Cap).then_some("beyond_listing"),
            })
        })
        .collect();
    let mut listed = open(&past).await;
    for gap in listed.as_array_mut().unwrap() {
        let opened = gap.as_object_mut().unwrap().remove("opened_at").unwrap();
        assert!(opened.is_i64());
    }
    assert_eq!(listed, json!(expected));
    let told = past.run(&["gaps", "list", "r/Past"]).await;
    for words in ["cap, beyond_listing", "error", "4 h"] {
        assert!(told.stdout.contains(words), "{words}: {}", told.stdout);
    }
    told.says(&["freshet gaps repair"]);
    let elsewhere = past.run(&["gaps", "list", "elsewhere"]).await;
    elsewhere.says(&["No gap is open"]);

    let repaired = past.run(&["gaps", "repair"]).await;
    repaired.says(&["Backfill 1 closes 3 gaps of r/past"]);
    they_are_closed(&past, &store).await;
    let missed = missed(&past);
    assert!(missed.len() > 40, "{}", missed.len());
    assert_eq!(past.stored().await, missed);
    let waiting = store.fetch_counts(i64::MAX / 2).await.unwrap();
    assert_eq!(waiting.backlog, missed.len() as i64, "as they are by now");
    let again = past.run(&["gaps", "repair"]).await;
    again.says(&["No gap is open"]);
    assert_eq!(past.json(&["gaps", "repair"]).await, json!([]));
}

#[tokio::test]
async fn open_gaps_are_listed_and_repaired_on_sqlite() {
    open_gaps_are_listed_and_repaired(On::Sqlite).await;
}

#[tokio::test]
async fn open_gaps_are_listed_and_repaired_on_postgres() {
    open_gaps_are_listed_and_repaired(On::Postgres).await;
}

#[tokio::test]
async fn a_repair_is_done_once_whoever_asks_and_may_be_left_to_others() {
    let (past, store) = with_gaps(On::Sqlite, Duration::ZERO).await;
    let begun = past.json(&["gaps", "repair", "--detach"]).await;
    assert_eq!(begun, json!({ "backfills": [1] }));
    let again = past.json(&["gaps", "repair", "--detach"]).await;
    assert_eq!(again, json!([]), "it is under way");
    assert_eq!(open(&past).await.as_array().unwrap().len(), GAPS.len());
    let service = past.service("other");
    past.until_done(1, &service).await;
    they_are_closed(&past, &store).await;
}

#[tokio::test]
async fn a_repair_that_was_interrupted_is_gone_on_with() {
    let (past, store) = with_gaps(On::Sqlite, Duration::from_millis(150)).await;
    let mut process = past.begin(&["gaps", "repair"]);
    past.until_asked(2, &mut process).await;
    process.signal("INT");
    assert_eq!(process.end(PATIENCE).await.code(), Some(1));
    let said = process.stderr();
    assert!(said.contains("freshet gaps repair goes on"), "{said}");
    assert_ne!(open(&past).await, json!([]));
    let again = past.run(&["gaps", "repair"]).await;
    again.says(&["Resuming backfill 1"]);
    they_are_closed(&past, &store).await;
    assert_eq!(past.backfills().await.len(), 1);
}

#[tokio::test]
async fn a_process_that_runs_repairs_them_by_itself_where_that_is_wished_for() {
    let (past, store) = with_gaps(On::Sqlite, Duration::ZERO).await;
    let run = |repair: &str| {
        let mut command = past.with_key(&["run"]);
        Process::start(command.env("FRESHET_DISCOVER__REPAIR", repair))
    };
    let listing = run("listing");
    let polled = async || store.totals().await.unwrap().fetched > 10;
    until("it has polled", PATIENCE, polled).await;
    drop(listing);
    assert_eq!(past.json(&["backfill", "list"]).await, json!([]));

    let repairing = run("arctic-shift");
    let status = past.until_done(1, &repairing).await;
    let bounds: Vec<(i64, i64)> = status["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            (
                part["start"].as_i64().unwrap(),
                part["end"].as_i64().unwrap(),
            )
        })
        .collect();
    // What the listing may still show is left to the listing.
    let beyond = GAPS.iter().filter(|gap| gap.2 == GapCause::Cap);
    let expected: Vec<(i64, i64)> = beyond
        .map(|(from, to, _)| (past.now() - from * HOUR, past.now() - to * HOUR))
        .collect();
    assert_eq!(bounds, expected);
    let stored = past.stored().await;
    for id in bounds
        .iter()
        .flat_map(|(start, end)| past.truth(*start, *end))
    {
        assert!(stored.contains(&id), "{id}");
    }
    let caps = store.gaps(None, Some(GapState::Open)).await.unwrap();
    assert!(
        caps.iter().all(|gap| gap.cause != GapCause::Cap),
        "{caps:?}"
    );
    until("their present state is fetched", PATIENCE, async || {
        past.priorities().await.is_empty()
    })
    .await;
}

/// A gap that no listing reaches, so many minutes before now; longer than any look takes.
async fn with_gap(past: &Past, store: &Store, minutes: (i64, i64)) {
    store.add_subreddit(&name(NAME), past.now()).await.unwrap();
    let now_ms = past.control().now_ms();
    let (start, end) = (past.now() - minutes.0 * 60, past.now() - minutes.1 * 60);
    record_gap(store, gap(start, end, GapCause::Cap), now_ms).await;
    // Its listing shows all that it may still show.
    store.pause_subreddit(&name(NAME)).await.unwrap();
}

fn repairing(past: &Past) -> Process {
    let mut command = past.with_key(&["run"]);
    Process::start(command.env("FRESHET_DISCOVER__REPAIR", "arctic-shift"))
}

/// Whatever its age: what is young is not left waiting, and what the archive lacks costs no backfill.
async fn a_gap_is_sent_to_the_archive_once_that_has_come_as_far(on: On) {
    let mut options = options(33, 60.0);
    options.archive.lag = Duration::from_secs(7_200);
    let past = Past::start(options, on).await;
    let store = past.store().await;
    with_gap(&past, &store, (90, 20)).await;
    let (start, end) = (past.now() - 90 * 60, past.now() - 20 * 60);

    let mut waits = repairing(&past);
    until(
        "it has asked how far the archive is",
        PATIENCE,
        async || past.asked() > 0,
    )
    .await;
    until("its other parts run", PATIENCE, async || {
        waits.stderr().contains("freshet is running")
    })
    .await;
    assert_eq!(past.json(&["backfill", "list"]).await, json!([]));
    assert!(past.asked() <= 2, "{}", past.asked());
    waits.signal("INT");
    assert!(waits.end(PATIENCE).await.success());

    // The archive catches up; our clock stands where it was.
    past.control().advance(Duration::from_secs(7_200));
    let repairs = repairing(&past);
    let status = past.until_done(1, &repairs).await;
    let part = &status["parts"].as_array().unwrap()[0];
    assert_eq!(
        (part["start"].as_i64(), part["end"].as_i64()),
        (Some(start), Some(end))
    );
    assert_eq!(past.proven(start, end).await, end - start, "{status:#}");
    assert_eq!(past.stored().await, past.truth(start, end));
}

#[tokio::test]
async fn a_gap_is_sent_to_the_archive_once_that_has_come_as_far_on_sqlite() {
    a_gap_is_sent_to_the_archive_once_that_has_come_as_far(On::Sqlite).await;
}

#[tokio::test]
async fn a_gap_is_sent_to_the_archive_once_that_has_come_as_far_on_postgres() {
    a_gap_is_sent_to_the_archive_once_that_has_come_as_far(On::Postgres).await;
}

/// An archive that shows next to nothing of a gap around which much was posted.
async fn a_repair_that_shows_far_less_than_what_was_posted_around_proves_nothing(on: On) {
    let past = Past::start(options(32, 60.0), on).await;
    let store = past.store().await;
    let start = past.now() - 30 * HOUR;
    let (gap_start, gap_end) = (start + 10 * HOUR, start + 12 * HOUR);
    let known = past.truth(start, start + 20 * HOUR);
    let range = [
        super::support::past::time(start),
        super::support::past::time(start + 20 * HOUR),
    ];
    let line = ["backfill", NAME, "--since", &range[0], "--until", &range[1]];
    past.run(&line).await;
    assert_eq!(past.stored().await, known);
    // Of the two hours nothing is known, nor shown: the archive has lost its part of them.
    let name = name(NAME);
    store.add_subreddit(&name, past.now()).await.unwrap();
    let archive = super::support::canned::Server::raw(move |asked| {
        let body = r#"{"data":[]}"#;
        assert!(asked.path.contains("posts"), "{}", asked.path);
        super::support::canned::Answer::json(200, body).with("x-simulated", "true")
    })
    .await;
    super::support::past::execute(
        &past.database,
        &[
            "DELETE FROM coverage".to_owned(),
            format!("DELETE FROM submissions WHERE created_utc >= {gap_start} AND created_utc < {gap_end}"),
            format!("INSERT INTO coverage (subreddit, covered_start, covered_end) VALUES ('{NAME}', {start}, {gap_start})"),
            format!("INSERT INTO coverage (subreddit, covered_start, covered_end) VALUES ('{NAME}', {gap_end}, {})", start + 20 * HOUR),
            format!("INSERT INTO gaps (subreddit, gap_start, gap_end, cause, state, opened_at) VALUES ('{NAME}', {gap_start}, {gap_end}, 'cap', 'open', {start})"),
        ],
    )
    .await;
    let mut repair = past.command(&["gaps", "repair"]);
    repair.env("FRESHET_ARCTIC_SHIFT__URL", archive.url.as_str());
    let done = super::support::binary::finish(&mut repair).await;
    assert_eq!(past.proven(gap_start, gap_end).await, 0, "{done:#?}");
    assert_eq!(open(&past).await.as_array().unwrap().len(), 1);
    let told = past.run(&["backfill", "status"]).await.stdout;
    assert!(told.contains("far fewer"), "{told}");
    // The whole archive closes it.
    past.run(&["gaps", "repair"]).await;
    assert_eq!(past.proven(gap_start, gap_end).await, gap_end - gap_start);
    assert_eq!(past.stored().await, known);
}

#[tokio::test]
async fn a_repair_that_shows_far_less_than_what_was_posted_around_proves_nothing_on_sqlite() {
    a_repair_that_shows_far_less_than_what_was_posted_around_proves_nothing(On::Sqlite).await;
}

#[tokio::test]
async fn a_repair_that_shows_far_less_than_what_was_posted_around_proves_nothing_on_postgres() {
    a_repair_that_shows_far_less_than_what_was_posted_around_proves_nothing(On::Postgres).await;
}
