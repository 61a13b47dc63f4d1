//! What becomes of jobs whose shared request panics or hangs: through a queue, a worker and its company,
//! or the company alone.

use crate::support::discovery::{World, our_clock};
use crate::support::jobs::{EMPTY, FetchingWorker, On, Place, depth_becomes};
use crate::support::pipeline::until;
use freshet::ingest::{Company, FetchHandler, Ingest, MOST_ATTEMPTS};
use freshet::liveness::Progress;
use freshet::queue::{Handler, Outcome};
use freshet::simulator::{Control, Endpoint, Fault};
use freshet::store::{FailureKind, Status};
use freshet::submission::SubmissionId;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(120);
const IDS: [&str; 5] = ["a1", "a2", "poison", "a4", "a5"];

thread_local! {
    /// The simulated Reddit, and how often it had been asked for the poison when that last panicked.
    static ASKED: RefCell<Option<(Control, usize)>> = const { RefCell::new(None) };
}

/// A clock that panics once whenever the poison was in an answer: it is read as soon as one came.
fn clock() -> i64 {
    let poisoned = ASKED.with_borrow_mut(|asked| {
        let (control, seen) = asked.as_mut()?;
        let requests = control.requests();
        let of_it = requests
            .iter()
            .filter(|it| it.endpoint == Endpoint::Info && it.uri.contains("t3_poison"));
        let count = of_it.count();
        (std::mem::replace(seen, count) < count).then_some(())
    });
    if poisoned.is_some() {
        panic!("the poison\nand what somebody wrote");
    }
    our_clock()
}

#[tokio::test]
async fn a_panic_in_a_shared_request_is_that_of_its_jobs_and_one_alone_is_set_aside_on_sqlite() {
    panics(On::Sqlite).await;
}

#[tokio::test]
async fn a_panic_in_a_shared_request_is_that_of_its_jobs_and_one_alone_is_set_aside_on_redis() {
    panics(On::Redis).await;
}

async fn panics(on: On) {
    let world = World::listed(&IDS).await;
    ASKED.set(Some((world.simulator.control().clone(), 0)));
    let place = Place::new(on).await;
    let ingest = Ingest {
        reddit: world.client(PATIENCE),
        store: world.store.clone(),
        metrics: Arc::clone(&world.metrics),
        now_ms: clock,
        progress: Progress::unwatched(),
        holder: "worker-test".to_owned(),
    };
    let worker = FetchingWorker::start(&place.queue, ingest);

    let poison: SubmissionId = "poison".parse().unwrap();
    let is_dead = async || {
        let job = world.store.fetch_job(&poison).await.unwrap();
        job.is_some_and(|job| job.dead_at.is_some())
    };
    // The last round only finds out that enough is enough.
    for round in 0..=MOST_ATTEMPTS {
        let due = world.store.claim_fetches(our_clock(), 9).await.unwrap();
        assert!(due.contains(&poison), "round {round}: {due:?}");
        place.queue.push(&due, our_clock()).await.unwrap();
        depth_becomes(&place.queue, EMPTY).await;
        // As the job's row is noted before the queue hears of its end, this is no wait.
        until("none is under way", PATIENCE, async || {
            let counts = world.store.fetch_counts(our_clock()).await.unwrap();
            counts.fed == 0
        })
        .await;
        world.advance(Duration::from_secs(31));
    }
    assert!(is_dead().await);
    worker.stop().await;

    for id in IDS.into_iter().filter(|id| *id != "poison") {
        let row = world.store.submission(&id.parse().unwrap()).await.unwrap();
        assert_eq!(row.unwrap().status, Status::Fetched, "{id}");
    }
    let job = world.store.fetch_job(&poison).await.unwrap().unwrap();
    assert_eq!(job.reason.as_deref(), Some("panicked: the poison"));
    assert_eq!(job.attempts, MOST_ATTEMPTS);
    assert_eq!(job.history.len(), MOST_ATTEMPTS as usize);
    for attempt in &job.history {
        assert_eq!(attempt.kind, FailureKind::Panicked.as_str());
        assert_eq!(attempt.reason.as_deref(), Some("panicked: the poison"));
        assert_eq!(attempt.by.as_deref(), Some("worker-test"));
        assert!(attempt.ended_ms.is_some());
    }
    let count = |outcome: &str| {
        let finished = &world.metrics.queue.finished;
        finished.with_label_values(&["fetch", outcome]).get()
    };
    // In company twice, then alone.
    let company = 2 * IDS.len() as u64;
    assert_eq!(count("panicked"), company + u64::from(MOST_ATTEMPTS - 2));
    assert_eq!((count("returned"), count("failed")), (0, 1));
    let dead = &world.metrics.ingest.dead;
    assert_eq!(dead.with_label_values(&["panicked"]).get(), 1);
}

/// No limit of its own ends this request, as none ends what hangs in our own code.
#[tokio::test]
async fn a_job_whose_request_always_hangs_is_set_aside_and_takes_no_place_for_ever() {
    let world = World::listed(&["stuck"]).await;
    let control = world.simulator.control();
    let never = Fault::Slow { delay_ms: u32::MAX };
    let ingest = Ingest {
        reddit: world.client(Duration::from_millis(u32::MAX.into())),
        store: world.store.clone(),
        metrics: Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: world.liveness.part("worker", "jobs"),
        holder: "worker-test".to_owned(),
    };
    let (company, gathering) = Company::new(200);
    let handler = FetchHandler::new(ingest.clone(), company);
    let gathering = gathering.hanging_after(Duration::from_secs(2));
    let gathering = tokio::spawn(gathering.run(ingest, CancellationToken::new()));
    let stuck: SubmissionId = "stuck".parse().unwrap();
    // There are fewer places than rounds; the last only finds out that enough is enough.
    for round in 0..=MOST_ATTEMPTS {
        let due = world.store.claim_fetches(our_clock(), 9).await.unwrap();
        assert_eq!(due, std::slice::from_ref(&stuck), "round {round}");
        control.fail_next(1, never, Some(Endpoint::Info)).unwrap();
        let job = handler.run(stuck.clone());
        let ended = tokio::time::timeout(PATIENCE, job).await;
        assert_eq!(ended, Ok(Outcome::Failed), "round {round}");
        world.advance(Duration::from_secs(31));
    }
    drop(handler);
    gathering.await.unwrap();
    let job = world.store.fetch_job(&stuck).await.unwrap().unwrap();
    let reason = "its request hung, and was given up";
    assert_eq!(job.reason.as_deref(), Some(reason));
    assert!(job.dead_at.is_some());
    let kinds = job.history.iter().map(|attempt| attempt.kind.as_str());
    assert!(kinds.eq([FailureKind::NeverEnded.as_str(); MOST_ATTEMPTS as usize]));
}
