//! What becomes of a job whose submission is left out, that meets an outage, or that kills its
//! process. The queue is left out: jobs are taken from the backlog as the feeder takes them.

use crate::support::discovery::{World, our_clock};
use crate::support::pipeline::until;
use freshet::ingest::{Company, FetchHandler, Ingest, MOST_ATTEMPTS, OMITTED_RETRY_MS, PATIENCE};
use freshet::liveness::Progress;
use freshet::queue::{self, Handler, Outcome};
use freshet::simulator::{Endpoint, Fault};
use freshet::store::Status;
use freshet::submission::SubmissionId;
use futures::future::join_all;
use std::collections::HashMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const USUAL: Duration = Duration::from_secs(30);

/// Takes what is due and runs it, as one process; `dies` tells whether the process dies once its
/// request is under way. Outcomes by id; none where it died.
async fn run_due(
    world: &World,
    request_timeout: Duration,
    draining: bool,
    dies: impl AsyncFn() -> bool,
) -> HashMap<String, Outcome> {
    let due = world.store.claim_fetches(our_clock(), 1000).await.unwrap();
    let ingest = Ingest {
        reddit: world.client(request_timeout),
        store: world.store.clone(),
        metrics: std::sync::Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: Progress::unwatched(),
        // As unique as that of each process.
        holder: format!("worker-{}", uuid::Uuid::new_v4()),
    };
    let (company, gathering) = Company::new(200);
    let stop = CancellationToken::new();
    if draining {
        stop.cancel();
    }
    let gathering = gathering.run(ingest.clone(), stop);
    let handler = FetchHandler::new(ingest, company);
    let jobs = async {
        let runs = due.iter().map(|id| handler.run(id.clone()));
        let outcomes = join_all(runs).await;
        let ids = due.iter().map(ToString::to_string);
        drop(handler);
        ids.zip(outcomes).collect()
    };
    let process = async { tokio::join!(jobs, gathering).0 };
    let death = async {
        if dies().await {
            HashMap::new()
        } else {
            std::future::pending().await
        }
    };
    let outcomes = tokio::select! { outcomes = process => outcomes, nothing = death => nothing };
    // What the queue no longer holds is handed over again.
    world.store.unfeed(&due).await.unwrap();
    outcomes
}

async fn run(world: &World) -> HashMap<String, Outcome> {
    run_due(world, USUAL, false, async || false).await
}

async fn status(world: &World, id: &str) -> Status {
    let row = world.store.submission(&id.parse().unwrap()).await.unwrap();
    row.unwrap().status
}

/// An object that is as it was listed is not written again.
fn is_done(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Stored | Outcome::Unchanged)
}

/// Attempts of the jobs that are neither done nor set aside, by id.
async fn attempts(world: &World) -> HashMap<String, i64> {
    let rows = world
        .rows("SELECT id, attempts FROM fetches WHERE dead_at IS NULL")
        .await;
    rows.into_iter().collect()
}

/// Jobs that were set aside for this.
fn set_aside(world: &World, reason: &str) -> u64 {
    let dead = &world.metrics.ingest.dead;
    dead.with_label_values(&[reason]).get()
}

#[tokio::test]
async fn what_is_left_out_is_asked_for_again_on_schedule_and_then_unavailable_with_its_copy() {
    let world = World::listed(&["a1", "gone", "slow"]).await;
    let control = world.simulator.control();
    let gone: SubmissionId = "gone".parse().unwrap();
    control.hide_from_info(&gone, None).unwrap();
    let slow = "slow".parse().unwrap();
    control
        .hide_from_info(&slow, Some(Duration::from_secs(70)))
        .unwrap();
    let listed = world.store.submission(&gone).await.unwrap().unwrap();

    let outcomes = run(&world).await;
    assert!(is_done(outcomes["a1"]), "{outcomes:?}");
    assert_eq!(outcomes["gone"], Outcome::Deferred);
    assert_eq!(outcomes["slow"], Outcome::Deferred);
    for (retry, wait_ms) in OMITTED_RETRY_MS.into_iter().enumerate() {
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap());
        world.advance(wait - Duration::from_millis(1));
        assert!(run(&world).await.is_empty(), "too early: try {retry}");
        assert_eq!(status(&world, "gone").await, Status::Discovered);
        world.advance(Duration::from_millis(1));
        let outcomes = run(&world).await;
        let last = retry + 1 == OMITTED_RETRY_MS.len();
        let expected = if last {
            Outcome::Unavailable
        } else {
            Outcome::Deferred
        };
        assert_eq!(outcomes["gone"], expected, "try {retry}");
    }
    assert_eq!(control.stats().of(Endpoint::Info), 5);
    assert_eq!(status(&world, "slow").await, Status::Fetched);
    let kept = world.store.submission(&gone).await.unwrap().unwrap();
    assert_eq!(kept.status, Status::Unavailable);
    assert_eq!((kept.title, kept.raw), (listed.title, listed.raw));
    assert!(attempts(&world).await.is_empty());
}

#[tokio::test]
async fn what_a_listing_still_shows_stays_discovered_and_is_asked_for_again_though_it_is_left_out()
{
    let mut world = World::listed(&["a1", "shadow"]).await;
    let control = world.simulator.control().clone();
    let shadow: SubmissionId = "shadow".parse().unwrap();
    control.hide_from_info(&shadow, None).unwrap();
    let listed = world.store.submission(&shadow).await.unwrap().unwrap();
    for round in 0..2 {
        run(&world).await;
        for wait_ms in OMITTED_RETRY_MS {
            assert_eq!(status(&world, "shadow").await, Status::Discovered);
            world.advance(Duration::from_millis(wait_ms.unsigned_abs()));
            run(&world).await;
        }
        assert_eq!(status(&world, "shadow").await, Status::Unavailable);
        // The listing shows it: it is there, and wanted.
        world.advance(Duration::from_secs(60));
        world.start_scheduler();
        world.settle(|| {}).await;
        world.stop().await;
        assert_eq!(
            status(&world, "shadow").await,
            Status::Discovered,
            "{round}"
        );
        assert_eq!(attempts(&world).await.get("shadow"), Some(&0), "{round}");
    }
    for reason in ["never_ended", "request_failed", "unreadable", "panicked"] {
        assert_eq!(set_aside(&world, reason), 0, "{reason}");
    }
    let kept = world.store.submission(&shadow).await.unwrap().unwrap();
    assert_eq!((kept.title, kept.raw), (listed.title, listed.raw));
    assert_eq!((kept.removed_by, kept.removed_ms), (None, None));
    control
        .hide_from_info(&shadow, Some(Duration::ZERO))
        .unwrap();
    world.advance(Duration::from_secs(1));
    assert!(is_done(run(&world).await["shadow"]));
    assert_eq!(status(&world, "shadow").await, Status::Fetched);
}

#[tokio::test]
async fn no_outage_spends_an_attempt_and_everything_is_stored_afterwards() {
    let world = World::listed(&["a1", "a2", "a3"]).await;
    let control = world.simulator.control();
    let outages = [
        Fault::TooManyRequests { retry_after: 30 },
        Fault::ErrorPage { status: 503 },
        Fault::ErrorEmpty { status: 500 },
        Fault::PageInstead,
        Fault::BrokenJson,
        Fault::CutBody,
        Fault::WrongLength,
        Fault::Reset,
        Fault::Blocked,
        Fault::LostToken,
        Fault::Slow { delay_ms: 60_000 },
    ];
    assert!(outages.len() > MOST_ATTEMPTS as usize);
    for outage in outages {
        control.outage_as(Some(outage)).unwrap();
        // A process that is stopping does not wait for the end of an outage.
        let outcomes = run_due(&world, Duration::from_millis(500), true, async || false).await;
        let returned = |id: &str| outcomes[id] == Outcome::Returned;
        assert!(
            ["a1", "a2", "a3"].into_iter().all(returned),
            "{outage:?}: {outcomes:?}"
        );
        let left = attempts(&world).await;
        assert_eq!(left.len(), 3, "{outage:?}");
        assert!(
            left.values().all(|count| *count == 0),
            "{outage:?}: {left:?}"
        );
        world.advance(Duration::from_secs(11));
    }
    control.outage_as(None).unwrap();
    let outcomes = run(&world).await;
    assert!(
        outcomes.values().all(|outcome| is_done(*outcome)),
        "{outcomes:?}"
    );
    assert_eq!(outcomes.len(), 3);
    assert!(attempts(&world).await.is_empty());
}

#[tokio::test]
async fn a_job_that_kills_its_process_is_set_aside_after_six_attempts_and_the_others_are_done() {
    let ids = ["a1", "a2", "poison", "a4", "a5"];
    let world = World::listed(&ids).await;
    let control = world.simulator.control();
    let slow = Fault::Slow { delay_ms: 1_500 };
    let mut deaths = 0;
    for _ in 0..40 {
        if status(&world, "poison").await != Status::Discovered || deaths > MOST_ATTEMPTS {
            break;
        }
        let before = attempts(&world).await;
        let begun = before.get("poison").copied();
        control.outage_as(Some(slow)).unwrap();
        let dies = async || {
            until("the poison is under way", USUAL, async || {
                control.stats().under_way > 0
                    && attempts(&world).await.get("poison").copied() > begun
            })
            .await;
            true
        };
        let outcomes = run_due(&world, USUAL, false, dies).await;
        deaths += u32::from(outcomes.is_empty());
        if outcomes.get("poison") == Some(&Outcome::Failed) {
            break;
        }
        world.advance(Duration::from_secs(11));
    }
    control.outage_as(None).unwrap();
    for _ in 0..ids.len() {
        world.advance(Duration::from_secs(11));
        run(&world).await;
    }
    assert_eq!(deaths, MOST_ATTEMPTS);
    for id in ids.into_iter().filter(|id| *id != "poison") {
        assert_eq!(status(&world, id).await, Status::Fetched, "{id}");
    }
    assert_eq!(status(&world, "poison").await, Status::Discovered);
    let dead = world
        .rows("SELECT id, attempts FROM fetches WHERE dead_at IS NOT NULL")
        .await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0, "poison");
    let poison: SubmissionId = "poison".parse().unwrap();
    let job = world.store.fetch_job(&poison).await.unwrap().unwrap();
    assert_eq!(job.history.len(), MOST_ATTEMPTS as usize);
    for attempt in &job.history {
        assert_eq!(
            (attempt.kind.as_str(), attempt.ended_ms),
            ("never_ended", None)
        );
        assert!(attempt.started_ms.is_some());
        assert!(
            attempt
                .by
                .as_ref()
                .is_some_and(|by| by.starts_with("worker-"))
        );
    }
    assert_eq!(set_aside(&world, "never_ended"), 1);
    world.advance(Duration::from_secs(86_400));
    assert!(run(&world).await.is_empty(), "it is not run again");
}

#[tokio::test]
async fn a_job_that_panics_is_tried_again_after_a_pause_and_set_aside_after_six_attempts() {
    let world = World::listed(&["a1"]).await;
    let id: SubmissionId = "a1".parse().unwrap();
    let ingest = Ingest {
        reddit: world.client(USUAL),
        store: world.store.clone(),
        metrics: std::sync::Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: Progress::unwatched(),
        holder: "worker-test".to_owned(),
    };
    let (company, _gathering) = Company::new(1);
    let handler = FetchHandler::new(ingest, company);
    for attempt in 1..=MOST_ATTEMPTS {
        let due = world.store.claim_fetches(our_clock(), 9).await.unwrap();
        assert_eq!(due, std::slice::from_ref(&id), "attempt {attempt}");
        world
            .store
            .start_attempts(&due, "worker-test", our_clock())
            .await
            .unwrap();
        let panic = queue::Fault::Panicked("bad luck".to_owned());
        handler.fault(id.clone(), panic).await;
        let at_once = world.store.claim_fetches(our_clock(), 9).await.unwrap();
        assert!(at_once.is_empty(), "attempt {attempt}");
        world.advance(Duration::from_secs(30));
    }
    assert_eq!(run(&world).await["a1"], Outcome::Failed);
    let sql = "SELECT reason, attempts FROM fetches WHERE dead_at IS NOT NULL";
    let dead = world.rows(sql).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0, "panicked: bad luck", "the true reason is kept");
    assert_eq!(dead[0].1, i64::from(MOST_ATTEMPTS));
    let job = world.store.fetch_job(&id).await.unwrap().unwrap();
    assert_eq!(job.history.len(), MOST_ATTEMPTS as usize);
    for attempt in &job.history {
        assert_eq!(attempt.by.as_deref(), Some("worker-test"));
        assert_eq!(attempt.reason.as_deref(), Some("panicked: bad luck"));
    }
    assert_eq!(set_aside(&world, "panicked"), 1);
    assert_eq!(status(&world, "a1").await, Status::Discovered);
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_a_job_waits_for_its_turn_is_used_all_the_same() {
    let world = World::listed(&["a1"]).await;
    let slow = Fault::Slow { delay_ms: 16_000 };
    assert!(PATIENCE < Duration::from_millis(16_000));
    world.simulator.control().outage_as(Some(slow)).unwrap();
    let outcomes = run(&world).await;
    assert!(is_done(outcomes["a1"]), "{outcomes:?}");
    // The token's is under way as long.
    assert_eq!(world.simulator.control().stats().of(Endpoint::Info), 1);
}

#[tokio::test]
async fn jobs_that_were_in_flight_when_processes_died_run_one_after_another_in_one_go() {
    let ids: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let world = World::listed(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.rows("UPDATE fetches SET attempts = 2").await;
    let outcomes = run(&world).await;
    assert_eq!(outcomes.len(), 20);
    assert!(
        outcomes.values().all(|outcome| is_done(*outcome)),
        "{outcomes:?}"
    );
    let requests = world.simulator.control().stats().of(Endpoint::Info);
    assert_eq!(requests, 20, "each of them alone");
    assert!(attempts(&world).await.is_empty());
}

#[tokio::test]
async fn a_database_that_refuses_every_write_spends_no_attempt_and_one_that_refuses_one_names_it() {
    let world = World::listed(&["a1", "a2", "a3"]).await;
    world
        .rows(
            "CREATE TRIGGER refuse BEFORE UPDATE ON submissions
             BEGIN SELECT RAISE(ABORT, 'nobody may write'); END",
        )
        .await;
    for _ in 0..=MOST_ATTEMPTS {
        let outcomes = run(&world).await;
        assert_eq!(outcomes.len(), 3);
        assert!(
            outcomes.values().all(|it| *it == Outcome::Returned),
            "{outcomes:?}"
        );
        assert!(attempts(&world).await.values().all(|count| *count == 0));
        world.advance(Duration::from_secs(301));
    }
    world.rows("DROP TRIGGER refuse").await;
    world
        .rows(
            "CREATE TRIGGER refuse BEFORE UPDATE ON submissions WHEN new.id = 'a2'
             BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
        .await;
    let outcomes = run(&world).await;
    assert!(is_done(outcomes["a1"]) && is_done(outcomes["a3"]));
    assert_eq!(outcomes["a2"], Outcome::Failed);
    let left = world.rows("SELECT reason, attempts FROM fetches").await;
    assert_eq!(left.len(), 1);
    assert!(left[0].0.contains("not this one"), "{left:?}");
    assert_eq!(left[0].1, 1, "charged");
}

#[tokio::test]
async fn a_job_that_runs_out_of_time_is_left_to_its_request_and_to_the_feeder() {
    let world = World::listed(&["a1"]).await;
    let due = world.store.claim_fetches(our_clock(), 9).await.unwrap();
    world
        .store
        .start_attempts(&due, "w", our_clock())
        .await
        .unwrap();
    let state =
        "SELECT coalesce(reason, 'none') || ' ' || fed_ms || ' ' || due_ms || ' ' || started,
                 attempts FROM fetches";
    let before = world.rows(state).await;
    let ingest = Ingest {
        reddit: world.client(USUAL),
        store: world.store.clone(),
        metrics: std::sync::Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: Progress::unwatched(),
        holder: "worker-test".to_owned(),
    };
    let (company, _gathering) = Company::new(1);
    let handler = FetchHandler::new(ingest, company);
    handler.fault(due[0].clone(), queue::Fault::TimedOut).await;
    assert_eq!(world.rows(state).await, before);
    // As its request does where it meets an outage: the attempt is given back.
    let later = our_clock() + 1;
    world.store.return_fetches(&due, "w", later).await.unwrap();
    assert_eq!(attempts(&world).await["a1"], 0);
}
