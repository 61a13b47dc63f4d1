//! What shows that the queue is alive: heartbeats that come through, and the worker's progress.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::support::jobs::{
    Deed, EMPTY, On, PATIENCE, Place, Recorder, Worker, depth_becomes, ids, now_ms, on_each, slots,
};
use crate::support::redis::RedisServer;
use freshet::queue::Depth;
use std::time::Duration;
use tokio::time::timeout;

on_each! {
    of_heartbeats_one_waits_at_most_and_each_comes_through => heartbeats;
    a_worker_makes_progress_by_its_jobs_and_by_finding_none => progress;
}

async fn heartbeats(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..2), now_ms()).await.unwrap();
    for sent_ms in [7, 8, 9] {
        place.queue.push_heartbeat(sent_ms).await.unwrap();
    }
    let waiting = Depth {
        waiting: 3,
        running: 0,
    };
    assert_eq!(place.queue.depth().await.unwrap(), waiting);
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(1));
    let came = |all: &Recorder| all.heartbeats.lock().unwrap().clone();
    recorder
        .until("the first comes", |all| came(all) == [7])
        .await;
    // Before and after the reaper came by.
    for (sent_ms, expected) in [(10, vec![7, 10]), (11, vec![7, 10, 11])] {
        depth_becomes(&place.queue, EMPTY).await;
        place.queue.push_heartbeat(sent_ms).await.unwrap();
        recorder
            .until("the next comes", |all| came(all) == expected)
            .await;
        depth_becomes(&place.queue, EMPTY).await;
        place.queue.reap(100).await.unwrap();
    }
    assert_eq!(recorder.runs(), 2);
    assert_eq!(worker.count("stored"), 2, "they are no jobs of the metrics");
    worker.end().await;
}

async fn progress(on: On) {
    let place = Place::new(on).await;
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let options = slots(2);
    let progress = options.progress.clone();
    let worker = Worker::start(&place.queue, &recorder, options);
    let becomes = async |what: &str, wanted: &dyn Fn(Duration) -> bool| {
        let reached = timeout(PATIENCE, async {
            while !wanted(progress.still()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(reached.await.is_ok(), "{what}: {:?}", progress.still());
    };
    let long = Duration::from_secs(2);
    tokio::time::sleep(long).await;
    becomes("there is none", &|still| still < long / 4).await;
    place.queue.push(&ids(0..2), now_ms()).await.unwrap();
    recorder.until("both run", |all| all.started() == 2).await;
    becomes("none ends", &|still| still > long).await;
    recorder.gate.add_permits(1);
    becomes("one ends", &|still| still < long / 4).await;
    becomes("the other does not", &|still| still > long).await;
    recorder.gate.add_permits(1);
    becomes("there is none again", &|still| still < long / 4).await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_redis_lost_in_part_or_whole_is_sent_again() {
    let server = tokio::task::spawn_blocking(RedisServer::start)
        .await
        .unwrap();
    let place = Place::at(server.url(), "fetch".to_owned(), None).await;
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    place.queue.push_heartbeat(1).await.unwrap();
    let list = format!("{}:active", place.name);
    let lost: usize = ::redis::cmd("DEL")
        .arg(list)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(lost, 1);
    place.queue.push_heartbeat(2).await.unwrap();
    let worker = Worker::start(&place.queue, &recorder, slots(1));
    let came = |all: &Recorder| all.heartbeats.lock().unwrap().clone();
    recorder.until("it comes", |all| came(all) == [2]).await;
    let _: () = ::redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    place.queue.push_heartbeat(3).await.unwrap();
    recorder.until("the next", |all| came(all) == [2, 3]).await;
    worker.end().await;
}
