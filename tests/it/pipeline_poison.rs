//! One id for which `/api/info` fails whenever it is asked for, or one row that the database refuses: it
//! alone is charged and set aside, however many share its request. Each round is a process of its own, so
//! what one has learnt is there for the next.

use crate::support::discovery::{World, our_clock};
use freshet::ingest::{Company, FetchHandler, Ingest, MOST_ATTEMPTS};
use freshet::liveness::Progress;
use freshet::queue::{Handler, Outcome};
use freshet::simulator::{Endpoint, Fault};
use freshet::store::{FailureKind, Status};
use freshet::submission::SubmissionId;
use futures::future::join_all;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const USUAL: Duration = Duration::from_secs(30);

/// Takes what is due and runs it, as one process.
async fn run(world: &World, request_timeout: Duration) -> HashMap<String, Outcome> {
    let due = world.store.claim_fetches(our_clock(), 1000).await.unwrap();
    let ingest = Ingest {
        reddit: world.client(request_timeout),
        store: world.store.clone(),
        metrics: Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: Progress::unwatched(),
        holder: format!("worker-{}", uuid::Uuid::new_v4()),
    };
    let (company, gathering) = Company::new(400);
    let gathering = gathering.run(ingest.clone(), CancellationToken::new());
    let handler = FetchHandler::new(ingest, company);
    let jobs = async {
        let outcomes = join_all(due.iter().map(|id| handler.run(id.clone()))).await;
        drop(handler);
        let ids = due.iter().map(ToString::to_string);
        ids.zip(outcomes).collect()
    };
    let (outcomes, ()) = tokio::join!(jobs, gathering);
    world.store.unfeed(&due).await.unwrap();
    outcomes
}

fn ids(count: usize) -> Vec<String> {
    (100..100 + count)
        .map(|number| format!("a{number}"))
        .collect()
}

async fn listed(count: usize) -> World {
    let ids = ids(count);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    World::listed(&ids).await
}

async fn fetched(world: &World) -> HashSet<String> {
    let rows = world
        .rows("SELECT id, 0 FROM submissions WHERE status = 'fetched'")
        .await;
    rows.into_iter().map(|(id, _)| id).collect()
}

/// Attempts of what is neither fetched nor set aside.
async fn open(world: &World) -> HashMap<String, i64> {
    let rows = world
        .rows("SELECT id, attempts FROM fetches WHERE dead_at IS NULL")
        .await;
    rows.into_iter().collect()
}

fn requests(world: &World) -> u64 {
    world.simulator.control().stats().of(Endpoint::Info)
}

/// Runs processes until nothing is open any more; what is set aside then.
async fn to_the_end(world: &World, request_timeout: Duration) -> HashSet<String> {
    for _ in 0..40 {
        run(world, request_timeout).await;
        let left = open(world).await;
        if left.is_empty() {
            break;
        }
        world.advance(Duration::from_secs(31));
    }
    assert_eq!(open(world).await, HashMap::new());
    let dead = world
        .rows("SELECT id, 0 FROM fetches WHERE dead_at IS NOT NULL")
        .await;
    dead.into_iter().map(|(id, _)| id).collect()
}

/// One poisoned id among a hundred, and what it costs.
async fn one_among_a_hundred(fault: Fault, request_timeout: Duration) {
    let world = listed(100).await;
    let control = world.simulator.control();
    let bad = "a137";
    control.poison(bad, Some(fault)).unwrap();
    run(&world, request_timeout).await;
    let first = requests(&world);
    assert!(first <= 30, "{fault:?}: {first} requests to isolate it");
    assert_eq!(fetched(&world).await.len(), 99, "{fault:?}");

    let dead = to_the_end(&world, request_timeout).await;
    assert_eq!(dead, HashSet::from([bad.to_owned()]), "{fault:?}");
    let all = requests(&world);
    assert!(all <= first + 40, "{fault:?}: {all} requests");
    let id: SubmissionId = bad.parse().unwrap();
    let job = world.store.fetch_job(&id).await.unwrap().unwrap();
    assert_eq!(job.attempts, MOST_ATTEMPTS, "{fault:?}");
    let reason = job.reason.unwrap();
    assert!(reason.contains("while others succeed"), "{reason}");
    let kind = FailureKind::RequestFailed.as_str();
    let kinds: Vec<&str> = job.history.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, [kind; MOST_ATTEMPTS as usize], "{fault:?}");
    let counted = world.metrics.ingest.dead.with_label_values(&[kind]).get();
    assert_eq!(counted, 1);

    // On request it is tried again, and alone as long as it fails.
    control.poison(bad, None).unwrap();
    world
        .store
        .retry_dead(std::slice::from_ref(&id), our_clock())
        .await
        .unwrap();
    assert!(to_the_end(&world, request_timeout).await.is_empty());
    let row = world.store.submission(&id).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Fetched);
}

#[tokio::test]
async fn an_id_for_which_the_server_fails_is_isolated_and_alone_set_aside() {
    one_among_a_hundred(Fault::ErrorEmpty { status: 500 }, USUAL).await;
}

#[tokio::test]
async fn an_id_for_which_the_connection_is_reset_is_isolated_and_alone_set_aside() {
    one_among_a_hundred(Fault::Reset, USUAL).await;
}

#[tokio::test]
async fn an_id_for_which_the_answer_is_broken_is_isolated_and_alone_set_aside() {
    one_among_a_hundred(Fault::CutBody, USUAL).await;
    one_among_a_hundred(Fault::PageInstead, USUAL).await;
}

#[tokio::test]
async fn an_id_for_which_the_request_is_refused_is_isolated_and_alone_set_aside() {
    one_among_a_hundred(Fault::ErrorEmpty { status: 414 }, USUAL).await;
    one_among_a_hundred(Fault::ErrorEmpty { status: 400 }, USUAL).await;
    one_among_a_hundred(Fault::ErrorEmpty { status: 403 }, USUAL).await;
}

#[tokio::test]
async fn an_id_for_which_the_answer_never_comes_is_isolated_and_alone_set_aside() {
    let world = listed(100).await;
    let slow = Fault::Slow { delay_ms: 600_000 };
    let control = world.simulator.control();
    control.poison("a137", Some(slow)).unwrap();
    // Its request ends a process's turn: each goes on where the last one was.
    let dead = to_the_end(&world, Duration::from_secs(2)).await;
    assert_eq!(dead, HashSet::from(["a137".to_owned()]));
    assert_eq!(fetched(&world).await.len(), 99);
    let asked = requests(&world);
    assert!(asked <= 80, "{asked} requests");
}

#[tokio::test]
async fn an_id_for_which_the_server_says_too_many_requests_is_isolated_and_alone_set_aside() {
    let world = listed(8).await;
    let control = world.simulator.control();
    let refusal = Fault::TooManyRequests { retry_after: 1 };
    control.poison("a103", Some(refusal)).unwrap();
    let begun = Instant::now();
    let dead = to_the_end(&world, USUAL).await;
    assert_eq!(dead, HashSet::from(["a103".to_owned()]));
    assert_eq!(fetched(&world).await.len(), 7);
    let refused = world
        .metrics
        .api
        .requests
        .with_label_values(&["reddit", "info", "429"])
        .get();
    // Twice together, in halves, and alone as often as it is tried.
    assert!((6..=16).contains(&refused), "{refused} were turned away");
    let pauses = Duration::from_secs(refused - 1);
    assert!(begun.elapsed() >= pauses, "each is followed by a pause");
    let id: SubmissionId = "a103".parse().unwrap();
    let job = world.store.fetch_job(&id).await.unwrap().unwrap();
    assert_eq!(job.attempts, MOST_ATTEMPTS);
    let reason = job.reason.unwrap();
    assert!(reason.contains("rate limited"), "{reason}");
}

#[tokio::test]
async fn a_limit_that_turns_all_away_charges_no_job_and_makes_none_a_suspect() {
    an_outage(Fault::TooManyRequests { retry_after: 1 }, false).await;
}

#[tokio::test]
async fn an_id_for_which_the_answer_leaves_out_all_is_isolated_and_alone_set_aside() {
    one_among_a_hundred(Fault::Nothing, USUAL).await;
}

#[tokio::test]
async fn many_bad_ids_spread_over_batches_cost_themselves_alone() {
    let world = listed(300).await;
    let control = world.simulator.control();
    let bad = ["a100", "a199", "a201", "a202", "a303", "a399"];
    let faults = [
        Fault::ErrorPage { status: 503 },
        Fault::BrokenJson,
        Fault::ErrorEmpty { status: 400 },
    ];
    for (id, fault) in bad.iter().zip(faults.iter().cycle()) {
        control.poison(id, Some(*fault)).unwrap();
    }
    let dead = to_the_end(&world, USUAL).await;
    assert_eq!(dead, bad.map(ToOwned::to_owned).into());
    assert_eq!(fetched(&world).await.len(), 294);
    let asked = requests(&world);
    assert!(asked <= 3 + 6 * (2 * 8 + 8 + 12), "{asked} requests");
}

#[tokio::test]
async fn an_id_that_is_given_out_after_a_while_is_stored() {
    let world = listed(20).await;
    let control = world.simulator.control();
    let fault = Fault::ErrorEmpty { status: 500 };
    control.poison("a107", Some(fault)).unwrap();
    for _ in 0..3 {
        run(&world, USUAL).await;
        world.advance(Duration::from_secs(31));
    }
    assert_eq!(open(&world).await, HashMap::from([("a107".to_owned(), 3)]));
    control.poison("a107", None).unwrap();
    assert!(to_the_end(&world, USUAL).await.is_empty());
    assert_eq!(fetched(&world).await.len(), 20);
}

#[tokio::test]
async fn an_id_that_is_bad_and_the_only_one_is_set_aside_as_well() {
    let world = listed(2).await;
    let control = world.simulator.control();
    control
        .hide_from_info(&"a101".parse().unwrap(), None)
        .unwrap();
    run(&world, USUAL).await;
    assert_eq!(fetched(&world).await.len(), 1);
    let fault = Fault::ErrorEmpty { status: 500 };
    control.poison("a101", Some(fault)).unwrap();
    world.advance(Duration::from_secs(31));
    let dead = to_the_end(&world, USUAL).await;
    assert_eq!(dead, HashSet::from(["a101".to_owned()]));
}

/// All of Reddit, or this endpoint of it, fails whatever is asked for.
async fn an_outage(fault: Fault, everywhere: bool) {
    let world = listed(150).await;
    // One has been fetched before, and could be asked for.
    for sql in [
        "DELETE FROM fetches WHERE id = 'a100'",
        "UPDATE submissions SET status = 'fetched' WHERE id = 'a100'",
    ] {
        world.execute(sql).await;
    }
    let control = world.simulator.control();
    if everywhere {
        control.outage_as(Some(fault)).unwrap();
    } else {
        let info = Some(Endpoint::Info);
        control.fail_next(u32::MAX, fault, info).unwrap();
    }
    for _ in 0..2 {
        let before = requests(&world);
        let outcomes = run(&world, USUAL).await;
        let returned = |outcome: &Outcome| *outcome == Outcome::Returned;
        assert!(outcomes.values().all(returned), "{fault:?}: {outcomes:?}");
        assert_eq!(outcomes.len(), 149);
        let asked = requests(&world) - before;
        assert!(asked <= 24, "{fault:?}: {asked} requests");
        assert!(open(&world).await.values().all(|attempts| *attempts == 0));
        let suspects = world
            .rows("SELECT id, suspicion FROM fetches WHERE suspicion > 0")
            .await;
        assert_eq!(suspects, []);
        world.advance(Duration::from_secs(301));
    }
}

#[tokio::test]
async fn an_outage_of_reddit_charges_no_job_and_makes_none_a_suspect() {
    an_outage(Fault::Reset, true).await;
}

#[tokio::test]
async fn an_outage_of_one_endpoint_charges_no_job_and_makes_none_a_suspect() {
    an_outage(Fault::ErrorEmpty { status: 500 }, false).await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_whatever_is_asked_for_charges_no_job_and_makes_none_a_suspect() {
    an_outage(Fault::ErrorEmpty { status: 400 }, false).await;
}

#[tokio::test]
async fn what_the_database_refuses_is_found_in_few_writes() {
    let world = listed(100).await;
    world
        .execute(
            "CREATE TRIGGER refuses BEFORE UPDATE ON submissions WHEN NEW.id = 'a161'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .await;
    run(&world, USUAL).await;
    assert_eq!(fetched(&world).await.len(), 99);
    assert_eq!(open(&world).await, HashMap::from([("a161".to_owned(), 1)]));
    let writes = world.metrics.ingest.write_seconds.get_sample_count();
    // Of the listing, and of what was fetched.
    assert!(writes <= 16, "{writes} writes");
    let dead = to_the_end(&world, USUAL).await;
    assert_eq!(dead, HashSet::from(["a161".to_owned()]));
}
