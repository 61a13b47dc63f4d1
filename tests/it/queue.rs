//! The queue while all is well: one suite, held by every engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use freshet::queue::{Depth, Fault, Queue, WorkOptions};
use tokio::time::timeout;

use crate::support::jobs::{
    Deed, EMPTY, On, PATIENCE, Place, Recorder, Worker, depth_becomes, id, ids, now_ms, on_each,
    slots,
};

on_each! {
    every_pushed_job_runs_once_and_leaves_nothing_behind => every_job_once;
    a_job_pushed_again_while_it_waits_or_runs_stays_one_job => pushed_again;
    a_finished_job_can_be_pushed_again_before_and_after_the_reaper => finished_again;
    ids_that_look_like_numbers_run_and_are_acknowledged => numeric_ids;
    a_panicking_or_endless_job_is_a_failed_job_not_a_dead_worker => faults;
    no_more_jobs_run_or_are_taken_than_there_are_slots => bounded;
    a_stopped_worker_leaves_the_rest_to_another_at_once => stop_returns;
    a_stop_waits_for_running_jobs_and_keeps_them_from_others => stop_drains;
    long_jobs_in_all_slots_never_run_twice => long_jobs;
    what_is_absent_is_told_exactly => absent;
    the_reaper_takes_finished_jobs_alone_and_no_more_than_asked => reaped;
    workers_are_counted_while_they_live => workers;
    queues_of_other_names_stay_untouched => names;
    ten_thousand_due_jobs_wedge_nothing => many_due;
    an_empty_queue_answers_everything => empty;
    the_oldest_waiting_job_is_the_one_pushed_first => oldest;
}

async fn every_job_once(on: On) {
    let place = Place::new(on).await;
    let jobs = ids(0..2_000);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let one = Worker::start(&place.queue, &recorder, slots(50));
    let other = Worker::start(&place.queue, &recorder, slots(50));
    recorder
        .until("all jobs ran", |all| all.started() == 2_000)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    assert_eq!(one.count("stored") + other.count("stored"), 2_000);
    let waits = &one.metrics.queue.wait_seconds;
    assert_eq!(
        waits.with_label_values(&["fetch"]).get_sample_count(),
        one.count("stored")
    );
    one.end().await;
    other.end().await;
    assert_eq!(recorder.runs(), 2_000, "each ran once");
    assert_eq!(place.queue.reap(10_000).await.unwrap(), on.kept(2_000));
}

async fn pushed_again(on: On) {
    let place = Place::new(on).await;
    let job = ids(0..1);
    for _ in 0..3 {
        place.queue.push(&job, now_ms()).await.unwrap();
    }
    let waiting = Depth {
        waiting: 1,
        running: 0,
    };
    assert_eq!(place.queue.depth().await.unwrap(), waiting);
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(4));
    recorder.until("it runs", |all| all.started() == 1).await;
    place.queue.push(&job, now_ms()).await.unwrap();
    let running = Depth {
        waiting: 0,
        running: 1,
    };
    assert_eq!(place.queue.depth().await.unwrap(), running);
    recorder.gate.add_permits(10);
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.runs(), 1);
}

async fn finished_again(on: On) {
    let place = Place::new(on).await;
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(4));
    let job = ids(0..1);
    for run in 1..=6 {
        place.queue.push(&job, now_ms()).await.unwrap();
        recorder
            .until("it ran again", |all| all.runs() == run)
            .await;
        depth_becomes(&place.queue, EMPTY).await;
        if run % 2 == 0 {
            assert_eq!(place.queue.reap(10).await.unwrap(), on.kept(1));
        }
    }
    worker.end().await;
    assert_eq!(place.queue.reap(10).await.unwrap(), 0);
}

async fn numeric_ids(on: On) {
    let place = Place::new(on).await;
    let jobs = ["007", "7", "0", "42", "zzzzzzzzzzzzz", "1234567890123"].map(id);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(4));
    recorder
        .until("all ran", |all| all.started() == jobs.len())
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.runs(), jobs.len());
}

async fn faults(on: On) {
    let place = Place::new(on).await;
    let recorder = Recorder::new(|id| match id.as_str() {
        "bad" => Deed::Panic,
        "slow" => Deed::Hang,
        _ => Deed::End,
    });
    let options = WorkOptions {
        job_timeout: Duration::from_millis(300),
        ..slots(2)
    };
    let worker = Worker::start(&place.queue, &recorder, options);
    let jobs = [id("bad"), id("slow")];
    place.queue.push(&jobs, now_ms()).await.unwrap();
    recorder
        .until("both faults", |all| all.faults.lock().unwrap().len() == 2)
        .await;
    place.queue.push(&[id("good")], now_ms()).await.unwrap();
    recorder
        .until("the good one", |all| all.runs_of(&id("good")) == 1)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    let faults = recorder.faults.lock().unwrap().clone();
    let panicked = Fault::Panicked("bad is a bad one".to_owned());
    assert!(faults.contains(&(id("bad"), panicked)), "{faults:?}");
    assert!(
        faults.contains(&(id("slow"), Fault::TimedOut)),
        "{faults:?}"
    );
    assert_eq!(worker.count("panicked"), 1);
    assert_eq!(worker.count("timed_out"), 1);
    worker.end().await;
    assert_eq!(recorder.runs(), 3, "no fault ran again by itself");
}

/// Writes a payload as another build of freshet would have.
async fn insert_raw(place: &Place, on: On, task: &str, payload: &str) {
    match on {
        On::Redis => {
            let client = ::redis::Client::open(place.url.as_str()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let name = &place.name;
            ::redis::pipe()
                .hset(format!("{name}:data"), task, payload)
                .hset_multiple(
                    format!("{name}:meta:{task}"),
                    &[
                        ("attempts", "0"),
                        ("max_attempts", "1"),
                        ("status", "Pending"),
                    ],
                )
                .rpush(format!("{name}:active"), task)
                .query_async::<()>(&mut connection)
                .await
                .unwrap();
        }
        On::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&place.url).await.unwrap();
            sqlx::query("INSERT INTO Jobs (job, id, job_type) VALUES (?1, ?2, ?3)")
                .bind(payload.as_bytes())
                .bind(task)
                .bind(&place.name)
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
        On::Memory => unreachable!("nobody else writes there"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_no_job_is_counted_and_taken_off_redis() {
    malformed(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_no_job_is_counted_and_taken_off_sqlite() {
    malformed(On::Sqlite).await;
}

async fn malformed(on: On) {
    let place = Place::new(on).await;
    for (number, payload) in ["", "[]", r#"{"v":9}"#, "\u{1}"].iter().enumerate() {
        let task = format!("0123456789ABCDEFGHJKMNPQR{number}");
        insert_raw(&place, on, &task, payload).await;
    }
    place.queue.push(&ids(0..1), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(4));
    recorder
        .until("the real job", |all| all.started() == 1)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    assert_eq!(worker.count("malformed"), 4);
    worker.end().await;
    assert_eq!(place.queue.reap(10).await.unwrap(), on.kept(5));
}

async fn bounded(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..100), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(7));
    recorder
        .until("all slots", |all| all.running.load(Ordering::SeqCst) == 7)
        .await;
    let depth = place.queue.depth().await.unwrap();
    let full = Depth {
        waiting: 93,
        running: 7,
    };
    assert_eq!(depth, full, "nothing is taken that cannot start");
    recorder.gate.add_permits(100);
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.most_running.load(Ordering::SeqCst), 7);
    assert_eq!(recorder.runs(), 100);
}

async fn stop_returns(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..300), now_ms()).await.unwrap();
    let first = Recorder::new(|_| Deed::WaitAtTheGate);
    let stopping = Worker::start(&place.queue, &first, slots(10));
    first.until("all slots", |all| all.started() == 10).await;
    stopping.stop.cancel();
    let second = Recorder::new(|_| Deed::End);
    let other = Worker::start(&place.queue, &second, slots(10));
    // However long it is waited for, since the first goes on living.
    second
        .until("the rest ran", |all| all.started() == 290)
        .await;
    first.gate.add_permits(10);
    stopping.end().await;
    depth_becomes(&place.queue, EMPTY).await;
    other.end().await;
    assert_eq!(first.runs() + second.runs(), 300, "none ran twice");
}

async fn stop_drains(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..5), now_ms()).await.unwrap();
    let first = Recorder::new(|_| Deed::WaitAtTheGate);
    let stopping = Worker::start(&place.queue, &first, slots(5));
    first.until("all run", |all| all.started() == 5).await;
    let second = Recorder::new(|_| Deed::End);
    let other = Worker::start(&place.queue, &second, slots(5));
    stopping.stop.cancel();
    // Longer than a silent worker counts as alive, and than it takes others to look.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(second.runs(), 0, "a draining worker is not a dead one");
    first.gate.add_permits(5);
    stopping.end().await;
    assert_eq!(place.queue.depth().await.unwrap(), EMPTY);
    other.end().await;
}

async fn long_jobs(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..60), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    // The longest a job may take is here also longer than a silent worker counts as alive.
    let busy = Worker::start(&place.queue, &recorder, slots(20));
    recorder.until("all slots", |all| all.started() == 20).await;
    let witness_sees = Recorder::new(|_| Deed::WaitAtTheGate);
    let witness = Worker::start(&place.queue, &witness_sees, slots(20));
    witness_sees
        .until("its slots", |all| all.started() == 20)
        .await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(place.queue.workers().await.unwrap(), 2, "both are alive");
    let still = Depth {
        waiting: 20,
        running: 40,
    };
    assert_eq!(place.queue.depth().await.unwrap(), still);
    recorder.gate.add_permits(60);
    witness_sees.gate.add_permits(60);
    depth_becomes(&place.queue, EMPTY).await;
    busy.end().await;
    witness.end().await;
    assert_eq!(recorder.runs() + witness_sees.runs(), 60, "none ran twice");
}

async fn absent(on: On) {
    let place = Place::new(on).await;
    let jobs = ids(0..1_200);
    place.queue.push(&jobs[..800], now_ms()).await.unwrap();
    assert_eq!(place.queue.absent(&jobs).await.unwrap(), jobs[800..]);
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(3));
    recorder.until("three run", |all| all.started() == 3).await;
    assert_eq!(
        place.queue.absent(&jobs).await.unwrap(),
        jobs[800..],
        "a running job is not absent"
    );
    recorder.gate.add_permits(800);
    depth_becomes(&place.queue, EMPTY).await;
    assert_eq!(
        place.queue.absent(&jobs).await.unwrap(),
        jobs,
        "finished jobs are"
    );
    worker.end().await;
}

async fn reaped(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..1_300), now_ms()).await.unwrap();
    let recorder = Recorder::new(|id| {
        let waits = id.as_str().trim_start_matches('x').parse::<u32>().unwrap() >= 1_290;
        if waits {
            Deed::WaitAtTheGate
        } else {
            Deed::End
        }
    });
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    let left = Depth {
        waiting: 0,
        running: 10,
    };
    recorder
        .until("all began", |all| all.started() == 1_300)
        .await;
    depth_becomes(&place.queue, left).await;
    place
        .queue
        .push(&ids(2_000..2_005), now_ms())
        .await
        .unwrap();
    assert_eq!(place.queue.reap(700).await.unwrap(), on.kept(700));
    assert_eq!(place.queue.reap(10_000).await.unwrap(), on.kept(590));
    assert_eq!(place.queue.reap(10_000).await.unwrap(), 0);
    let kept = Depth {
        waiting: 5,
        running: 10,
    };
    assert_eq!(place.queue.depth().await.unwrap(), kept);
    recorder.gate.add_permits(100);
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.started(), 1_305);
}

async fn oldest(on: On) {
    let place = Place::new(on).await;
    let oldest = async || {
        let since = place.queue.oldest_waiting().await.unwrap();
        // SQLite has whole seconds.
        since.map(|it| it / 1000)
    };
    assert_eq!(oldest().await, None);
    let now_s = now_ms() / 1000;
    for (job, ago) in [(0, 30), (1, 20), (2, 10)] {
        let (job, pushed_ms) = (ids(job..job + 1), (now_s - ago) * 1000);
        place.queue.push(&job, pushed_ms).await.unwrap();
        assert_eq!(oldest().await, Some(now_s - 30));
    }
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(2));
    recorder.until("two run", |all| all.started() == 2).await;
    assert_eq!(oldest().await, Some(now_s - 10), "what runs waits no more");
    recorder.gate.add_permits(10);
    depth_becomes(&place.queue, EMPTY).await;
    assert_eq!(oldest().await, None);
    worker.end().await;
    place.queue.push_heartbeat(now_s * 1000).await.unwrap();
    assert_eq!(oldest().await, Some(now_s));
}

async fn workers(on: On) {
    let place = Place::new(on).await;
    assert_eq!(place.queue.workers().await.unwrap(), 0);
    let recorder = Recorder::new(|_| Deed::End);
    let one = Worker::start(&place.queue, &recorder, slots(1));
    let other = Worker::start(&place.queue, &recorder, slots(1));
    place.queue.push(&ids(0..50), now_ms()).await.unwrap();
    recorder.until("they work", |all| all.started() == 50).await;
    let both = timeout(PATIENCE, async {
        while place.queue.workers().await.unwrap() != 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    both.await.expect("both workers register");
    one.end().await;
    assert_eq!(
        place.queue.workers().await.unwrap(),
        1,
        "a stopped worker is gone at once"
    );
    other.end().await;
    assert_eq!(place.queue.workers().await.unwrap(), 0);
}

async fn names(on: On) {
    let place = Place::new(on).await;
    let other = Queue::connect(&place.url, &format!("{}-2", place.name))
        .await
        .unwrap();
    let jobs = ids(0..20);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    assert_eq!(other.depth().await.unwrap(), EMPTY);
    assert_eq!(other.absent(&jobs).await.unwrap(), jobs);
    other.push(&jobs[..5], now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&other, &recorder, slots(5));
    recorder
        .until("its own ran", |all| all.started() == 5)
        .await;
    depth_becomes(&other, EMPTY).await;
    assert_eq!(place.queue.workers().await.unwrap(), 0);
    assert_eq!(place.queue.reap(100).await.unwrap(), 0);
    assert_eq!(other.reap(100).await.unwrap(), on.kept(5));
    worker.end().await;
    assert_eq!(place.queue.depth().await.unwrap().waiting, 20);
    assert_eq!(recorder.runs(), 5);
}

async fn many_due(on: On) {
    let place = Place::new(on).await;
    let jobs = ids(0..10_000);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    assert_eq!(place.queue.depth().await.unwrap().waiting, 10_000);
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(200));
    recorder
        .until("all ran", |all| all.started() == 10_000)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.runs(), 10_000);
}

async fn empty(on: On) {
    let place = Place::new(on).await;
    place.queue.ping().await.unwrap();
    assert_eq!(place.queue.depth().await.unwrap(), EMPTY);
    assert_eq!(place.queue.workers().await.unwrap(), 0);
    assert_eq!(place.queue.reap(100).await.unwrap(), 0);
    assert_eq!(place.queue.reap(0).await.unwrap(), 0);
    assert!(
        place
            .queue
            .absent::<freshet::submission::SubmissionId>(&[])
            .await
            .unwrap()
            .is_empty()
    );
    place
        .queue
        .push::<freshet::submission::SubmissionId>(&[], now_ms())
        .await
        .unwrap();
    let name = match on {
        On::Redis => "redis",
        On::Sqlite => "sqlite",
        On::Memory => "memory",
    };
    assert_eq!(place.queue.engine(), name);
}
