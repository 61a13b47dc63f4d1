//! What `/healthz` says of the worker.

use crate::support::jobs::{Deed, On, Place, Recorder, Worker, now_ms, slots};
use crate::support::pipeline::until;
use freshet::metrics::Metrics;
use freshet::observe::{Health, Live, serve};
use freshet::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// As if half a minute had gone by.
fn later_ms() -> i64 {
    now_ms() + 30_000
}

#[tokio::test]
async fn a_worker_that_no_longer_looks_for_jobs_is_not_healthy() {
    let place = Place::new(On::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.db").display());
    let store = Store::connect(&url, 1).await.unwrap();
    let stop = CancellationToken::new();
    let served = async |works: bool, now_ms: fn() -> i64| {
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health {
            store: store.clone(),
            queue: place.queue.clone(),
            metrics: Arc::clone(&metrics),
            live: Arc::new(Live::new(metrics, None)),
            stopping: AtomicBool::new(false),
            works,
            now_ms,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        tokio::spawn(serve(Arc::clone(&health), listener, stop.clone()));
        (health, url)
    };
    let get = async |url: &str| {
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let healthy = (200, "alive\n".to_owned());
    let (_, now) = served(true, now_ms).await;
    let (worker_health, later) = served(true, later_ms).await;
    let (_, without_worker) = served(false, later_ms).await;

    assert_eq!(get(&later).await, healthy, "it starts");
    let worker = Worker::start(&place.queue, &Recorder::new(|_| Deed::End), slots(1));
    let queue = &place.queue;
    until("the worker turns", Duration::from_secs(10), async || {
        queue.last_poll_ms() > 0
    })
    .await;
    assert_eq!(get(&now).await, healthy);
    worker.abort();
    let (status, text) = get(&later).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("the worker is stuck"), "{text}");
    assert_eq!(get(&without_worker).await, healthy, "there is none");
    worker_health.stopping.store(true, Ordering::Relaxed);
    assert_eq!(get(&later).await, healthy, "it stops");
    stop.cancel();
}
