//! The queue when the clock is set back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::support::jobs::{Deed, On, Place, Recorder, Worker, ids, now_ms, on_both, slots};
use freshet::queue::Depth;
use std::time::{Duration, Instant};

on_both! {
    jobs_pushed_by_a_clock_that_was_set_back_run_all_the_same => set_back;
    a_worker_that_died_under_such_a_clock_is_noticed => died_ahead;
    a_worker_whose_clock_is_ahead_keeps_its_jobs => lives_ahead;
}

/// Five jobs that run, and whose worker is no more.
async fn abandoned(on: On) -> Place {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..5), now_ms()).await.unwrap();
    let dead = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &dead, slots(5));
    dead.until("all run", |all| all.started() == 5).await;
    worker.abort();
    place
}

const RUNNING: Depth = Depth {
    waiting: 0,
    running: 5,
};

#[tokio::test]
async fn a_dead_worker_is_noticed_by_who_only_watches_though_no_clock_says_so() {
    let place = abandoned(On::Redis).await;
    // There is no worker whose clock would tell it, as where all of them are behind.
    let deadline = Instant::now() + Duration::from_secs(120);
    while place.queue.depth().await.unwrap() == RUNNING {
        assert!(Instant::now() < deadline, "its jobs wait for ever");
        place.queue.reap(10).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waiting = Depth {
        waiting: 5,
        running: 0,
    };
    assert_eq!(place.queue.depth().await.unwrap(), waiting);
}

#[tokio::test]
async fn who_was_frozen_does_not_take_workers_for_dead_that_were_frozen_with_it() {
    let place = abandoned(On::Redis).await;
    place.queue.reap(10).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    for _ in 0..3 {
        place.queue.reap(10).await.unwrap();
        assert_eq!(place.queue.depth().await.unwrap(), RUNNING);
    }
}

async fn set_back(on: On) {
    let place = Place::new(on).await;
    let jobs = ids(0..10);
    place.queue.push(&jobs, now_ms() + 3_600_000).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(50));
    place.queue.reap(10).await.unwrap();
    recorder.until("all ran", |all| all.started() == 10).await;
    worker.end().await;
}

async fn died_ahead(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..5), now_ms()).await.unwrap();
    let dead = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &dead, slots(5));
    dead.until("all run", |all| all.started() == 5).await;
    worker.abort();
    // Its last beat came before the clock was set back by an hour.
    beat_an_hour_ahead(on, &place).await;
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(5));
    let reaping = async {
        loop {
            place.queue.reap(10).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = reaping => {}
        () = recorder.until("its jobs run", |all| all.started() == 5) => {}
    }
    assert_eq!(place.queue.workers().await.unwrap(), 1);
    worker.end().await;
}

async fn lives_ahead(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..5), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(50));
    recorder.until("all run", |all| all.started() == 5).await;
    // Twice as long as a silent worker is waited for.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        beat_an_hour_ahead(on, &place).await;
        place.queue.reap(10).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(recorder.runs(), 5, "none ran twice");
    assert_eq!(place.queue.workers().await.unwrap(), 1);
    recorder.gate.add_permits(5);
    worker.end().await;
}

/// Of every worker that there is.
async fn beat_an_hour_ahead(on: On, place: &Place) {
    let ahead = now_ms() / 1000 + 3_600;
    match on {
        On::Redis => {
            let client = ::redis::Client::open(place.url.as_str()).unwrap();
            let mut plain = client.get_multiplexed_async_connection().await.unwrap();
            let key = format!("{}:workers", place.name);
            let workers: Vec<String> = ::redis::cmd("ZRANGE")
                .arg(&key)
                .arg(0)
                .arg(-1)
                .query_async(&mut plain)
                .await
                .unwrap();
            assert_eq!(workers.len(), 1);
            let mut beat = ::redis::cmd("ZADD");
            beat.arg(&key).arg(ahead).arg(&workers[0]);
            beat.query_async::<()>(&mut plain).await.unwrap();
        }
        On::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&place.url).await.unwrap();
            let beaten = sqlx::query("UPDATE Workers SET last_seen = ?1")
                .bind(ahead)
                .execute(&pool)
                .await
                .unwrap();
            assert_eq!(beaten.rows_affected(), 1);
        }
        On::Memory => unreachable!("it knows no clock of the machine"),
    }
}
