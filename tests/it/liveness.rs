//! The watchdog, and what `/healthz` and `/readyz` say of it.

use crate::support::jobs::{On, Place, now_ms};
use crate::support::pipeline::until;
use freshet::liveness::{Ending, HOWEVER_LONG, Limits, Liveness, Progress, Stuck, Watch};
use freshet::metrics::Metrics;
use freshet::observe::{Health, Live, Opening, serve};
use freshet::store::Store;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(120);
const LIMITS: Limits = Limits {
    unready_after: Duration::from_secs(2),
    exit_after: Duration::from_secs(6),
};

/// What a watchdog did.
#[derive(Default)]
struct Told {
    asked: Mutex<Option<Stuck>>,
    insisted: AtomicBool,
}

fn watch(liveness: &Liveness, metrics: &Arc<Metrics>) -> (Arc<Told>, Watch) {
    let told = Arc::new(Told::default());
    let (ask, insist) = (Arc::clone(&told), Arc::clone(&told));
    let ending = Ending {
        ask: Box::new(move |stuck| *ask.asked.lock().unwrap() = Some(stuck.clone())),
        grace: Duration::from_millis(200),
        insist: Box::new(move || insist.insisted.store(true, Ordering::SeqCst)),
    };
    let watch = liveness.watch(Arc::clone(metrics), ending).unwrap();
    (told, watch)
}

/// A part that gets on until told to hang.
fn working(progress: Progress) -> Arc<AtomicBool> {
    let hangs = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hangs);
    tokio::spawn(async move {
        loop {
            if !seen.load(Ordering::SeqCst) {
                progress.made();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    hangs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_hangs_makes_the_process_unready_and_then_ends_it() {
    let place = Place::new(On::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    let metrics = Arc::new(Metrics::new());
    let liveness = Liveness::new(LIMITS);
    let _one = working(liveness.part("worker", "jobs"));
    let hangs = working(liveness.part("scheduler", "feed"));
    let health = Arc::new(Health {
        store: Store::connect(&url, 1).await.unwrap(),
        queue: place.queue.clone(),
        metrics: Arc::clone(&metrics),
        live: Arc::new(Live::new(Arc::clone(&metrics), None)),
        stopping: AtomicBool::new(false),
        liveness: liveness.clone(),
        now_ms,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let opening = Arc::new(Opening::new(Arc::clone(&metrics)));
    opening.opened(health);
    tokio::spawn(serve(opening, listener, Vec::new(), stop.clone()));
    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (told, _watch) = watch(&liveness, &metrics);
    tokio::time::sleep(2 * LIMITS.unready_after).await;
    until("it is ready", PATIENCE, async || {
        get("/readyz").await.0 == 200
    })
    .await;
    assert_eq!(get("/healthz").await, (200, "alive\n".to_owned()));
    let shown = |role: &str| metrics.last_progress.with_label_values(&[role]).get();
    let now = now_ms() as f64 / 1000.0;
    for role in ["scheduler", "worker"] {
        let age = now - shown(role);
        assert!(
            (-2.0..LIMITS.exit_after.as_secs_f64()).contains(&age),
            "{role}: {age}"
        );
    }

    hangs.store(true, Ordering::SeqCst);
    until("it is unready", PATIENCE, async || {
        get("/readyz").await.0 == 503
    })
    .await;
    for path in ["/readyz", "/healthz"] {
        let (code, text) = get(path).await;
        assert_eq!(code, 503, "{text}");
        let said = "the scheduler (feed) has made no progress for ";
        assert!(text.contains(said) && text.contains(", since 20"), "{text}");
    }
    assert_eq!(*told.asked.lock().unwrap(), None);
    // It may get on after all.
    hangs.store(false, Ordering::SeqCst);
    until("it is ready", PATIENCE, async || {
        get("/readyz").await.0 == 200
    })
    .await;
    hangs.store(true, Ordering::SeqCst);
    until("it ends", PATIENCE, async || {
        told.insisted.load(Ordering::SeqCst)
    })
    .await;
    let stuck = told.asked.lock().unwrap().clone().unwrap();
    assert_eq!((stuck.role, stuck.part), ("scheduler", "feed"));
    assert!(stuck.still >= LIMITS.exit_after, "{stuck}");
    assert!(shown("scheduler") < shown("worker") - 2.0);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_wait_is_no_standstill_as_long_as_the_waiting_task_lives() {
    let waiting = Progress::unwatched();
    let shown = waiting.clone();
    let wait = tokio::spawn(async move {
        let never = std::future::pending::<()>();
        waiting.during(HOWEVER_LONG, never).await
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(shown.still() < Duration::from_secs(2));
    wait.abort();

    let blocked = Progress::unwatched();
    let shown = blocked.clone();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let block = tokio::spawn(async move {
        // A task that holds its thread.
        let hold = async move { held.recv().unwrap() };
        blocked.during(HOWEVER_LONG, hold).await;
    });
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(shown.still() > Duration::from_secs(2));
    release.send(()).unwrap();
    block.await.unwrap();

    let quick = Progress::unwatched();
    for _ in 0..30 {
        quick
            .during(HOWEVER_LONG, tokio::time::sleep(Duration::from_millis(50)))
            .await;
    }
    assert!(
        quick.still() > Duration::from_secs(1),
        "calls alone are none"
    );
}

/// The longest that it was without progress, as seen from outside, until told to end.
async fn stillest(watched: &Progress, work: impl Future<Output = ()>) -> Duration {
    let mut longest = Duration::ZERO;
    let look = async {
        loop {
            longest = longest.max(watched.still());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! { () = work => {} () = look => {} }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_within_a_wait_is_a_standstill_and_a_long_row_of_steps_is_none() {
    let at_most = Duration::from_secs(2);
    let (wedged, steps) = (Progress::unwatched(), Progress::unwatched());
    let hang = wedged.during(at_most, std::future::pending::<()>());
    let hang = tokio::time::timeout(3 * at_most, hang);
    // Together longer than any wait may take.
    let row = steps.during(at_most, async {
        for _ in 0..6 {
            tokio::time::sleep(at_most / 2).await;
            steps.made();
        }
    });
    let work = async {
        let (hung, ()) = tokio::join!(hang, stillest_below(&steps, row));
        assert!(hung.is_err());
    };
    work.await;
    assert!(wedged.still() > at_most, "{:?}", wedged.still());
}

async fn stillest_below(progress: &Progress, work: impl Future<Output = ()>) {
    let longest = stillest(progress, work).await;
    // Without its steps, it would be all six seconds.
    assert!(longest < Duration::from_secs(4), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_piece_of_work_that_hangs_is_not_hidden_by_others_and_one_that_is_over_is_forgotten() {
    let metrics = Arc::new(Metrics::new());
    let liveness = Liveness::new(Limits {
        exit_after: Duration::from_secs(3_600),
        ..LIMITS
    });
    let (_told, _watch) = watch(&liveness, &metrics);
    let part = liveness.part("scheduler", "discover");
    let walk = part.another();
    let _gets_on = working(part);
    let hang = tokio::spawn(async move {
        walk.during(LIMITS.unready_after, std::future::pending::<()>())
            .await;
    });
    until("it is seen", PATIENCE, async || liveness.stuck().is_some()).await;
    let stuck = liveness.stuck().unwrap();
    assert_eq!((stuck.role, stuck.part), ("scheduler", "discover"));
    hang.abort();
    until("it is over", PATIENCE, async || liveness.stuck().is_none()).await;
}

#[tokio::test]
async fn a_process_that_hangs_while_it_stops_is_ended_after_its_grace_and_one_that_ended_is_not() {
    let metrics = Arc::new(Metrics::new());
    let (resting, ended) = (Liveness::new(LIMITS), Liveness::new(LIMITS));
    let _hang = (resting.part("worker", "jobs"), ended.part("worker", "jobs"));
    let (resting_told, _watch) = watch(&resting, &metrics);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!resting_told.insisted.load(Ordering::SeqCst));
    resting.rest();
    ended.rest();
    let (ended_told, watch) = watch(&ended, &metrics);
    drop(watch);
    until("it insists", PATIENCE, async || {
        resting_told.insisted.load(Ordering::SeqCst)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!ended_told.insisted.load(Ordering::SeqCst));
    for told in [resting_told, ended_told] {
        assert_eq!(*told.asked.lock().unwrap(), None, "it stops already");
    }
    assert_eq!((resting.stuck(), ended.stuck()), (None, None));
}
