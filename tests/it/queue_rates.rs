//! How fast the queue is: printed, not judged.
//! `cargo test --release --test it rates -- --ignored --nocapture --test-threads 1`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use freshet::metrics::Metrics;
use freshet::queue::{Fault, Handler, Outcome, WorkOptions};
use freshet::submission::SubmissionId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::jobs::{EMPTY, On, Place, depth_becomes, ids, now_ms};

struct Counter {
    count: AtomicUsize,
    starts: mpsc::UnboundedSender<Instant>,
}

impl Handler for Counter {
    type Work = SubmissionId;

    async fn run(&self, _: SubmissionId) -> Outcome {
        self.count.fetch_add(1, Ordering::Relaxed);
        let _ = self.starts.send(Instant::now());
        Outcome::Unchanged
    }

    async fn heartbeat(&self, _: i64) {}

    async fn fault(&self, _: SubmissionId, _: Fault) {}
}

async fn measure(on: On) {
    const JOBS: usize = 60_000;
    let place = Place::new(on).await;
    let jobs = ids(0..JOBS);
    let begun = Instant::now();
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let pushed = JOBS as f64 / begun.elapsed().as_secs_f64();
    let (starts, mut started) = mpsc::unbounded_channel();
    let handler = Arc::new(Counter {
        count: AtomicUsize::new(0),
        starts,
    });
    let stop = CancellationToken::new();
    let worker = {
        let (queue, handler, stop) = (place.queue.clone(), handler.clone(), stop.clone());
        let metrics = Arc::new(Metrics::new());
        tokio::spawn(async move {
            queue
                .work(WorkOptions::default(), handler, metrics, stop)
                .await
        })
    };
    let begun = Instant::now();
    for _ in 0..JOBS {
        started.recv().await.unwrap();
    }
    depth_becomes(&place.queue, EMPTY).await;
    let ran = JOBS as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let reaped = place.queue.reap(JOBS).await.unwrap() as f64 / begun.elapsed().as_secs_f64();
    let mut waits = Vec::new();
    for number in 0..300 {
        // Between ticks, at a different phase each time.
        tokio::time::sleep(Duration::from_millis(7 + number as u64 % 23)).await;
        let pushed = Instant::now();
        place
            .queue
            .push(&ids(JOBS + number..JOBS + number + 1), now_ms())
            .await
            .unwrap();
        let start = started.recv().await.unwrap();
        waits.push(start.saturating_duration_since(pushed));
    }
    waits.sort();
    println!(
        "{}: push {pushed:.0}/s, run {ran:.0}/s, reap {reaped:.0}/s, push to start p50 {:?}, p99 {:?}",
        place.queue.engine(),
        waits[150],
        waits[297]
    );
    stop.cancel();
    worker.await.unwrap().unwrap();
    assert_eq!(handler.count.load(Ordering::Relaxed), JOBS + 300);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_on_redis() {
    measure(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn rates_on_sqlite() {
    measure(On::Sqlite).await;
}
