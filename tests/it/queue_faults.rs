//! The queue while something breaks: servers and processes are killed, frozen, wiped and locked.
//! Where a guard is there against a fault of a library, the fault is shown first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use apalis::prelude::{Task, WorkerContext};
use freshet::queue::{Depth, Queue, WorkOptions};
use freshet::submission::SubmissionId;
use tokio::time::timeout;

use crate::support::jobs::{
    Deed, EMPTY, On, PATIENCE, Place, Recorder, Worker, depth_becomes, id, ids, now_ms, slots,
};
use crate::support::redis::RedisServer;

/// What the feeder does: asks which jobs are gone, pushes those, until all have started.
async fn feed_until_all_ran(queue: &Queue, jobs: &[SubmissionId], recorder: &Recorder) {
    let fed = timeout(PATIENCE * 2, async {
        while recorder.started() < jobs.len() {
            let left: Vec<SubmissionId> = jobs
                .iter()
                .filter(|job| recorder.runs_of(job) == 0)
                .cloned()
                .collect();
            if let Ok(absent) = queue.absent(&left).await {
                let _ = queue.push(&absent, now_ms()).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let fed = fed.await;
    assert!(fed.is_ok(), "only {} of them ran", recorder.started());
}

async fn own_place() -> (RedisServer, Place) {
    let server = tokio::task::spawn_blocking(RedisServer::start)
        .await
        .unwrap();
    let place = Place::at(server.url(), "fetch".to_owned(), None).await;
    (server, place)
}

async fn connection(place: &Place) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(place.url.as_str()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Keys of the place that match.
async fn keys(place: &Place, pattern: &str) -> Vec<String> {
    redis::cmd("KEYS")
        .arg(format!("{}:{pattern}", place.name))
        .query_async(&mut connection(place).await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_and_restarted_redis_costs_delay_and_no_job() {
    let (mut server, place) = own_place().await;
    let jobs = ids(0..1_000);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(50));
    recorder.gate.add_permits(300);
    recorder.until("some ran", |all| all.started() >= 300).await;
    server.kill();
    let error = place.queue.push(&jobs[..1], now_ms()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(place.queue.ping().await.unwrap_err().is_unavailable());
    recorder.gate.add_permits(2_000);
    server.restart();
    feed_until_all_ran(&place.queue, &jobs, &recorder).await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert!(recorder.runs() < 1_000 + 200, "{} runs", recorder.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_frozen_for_twenty_seconds_cancels_no_job() {
    let (server, place) = own_place().await;
    place.queue.push(&ids(0..20), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let options = slots(40);
    let progress = options.progress.clone();
    let worker = Worker::start(&place.queue, &recorder, options);
    recorder.until("all run", |all| all.started() == 20).await;
    server.freeze();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(
        progress.still() < Duration::from_secs(12),
        "that is no standstill of the worker"
    );
    assert_eq!(
        recorder.running.load(Ordering::SeqCst),
        20,
        "what ran runs on"
    );
    server.thaw();
    // The jobs went back with the old life of the worker; its new life takes them and joins them
    // to their runs, for which it needs no slot but a free one.
    let alive = timeout(PATIENCE, async {
        while place.queue.workers().await.is_ok_and(|live| live == 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    alive.await.expect("the worker comes back");
    place.queue.push(&ids(20..40), now_ms()).await.unwrap();
    recorder.until("all ran", |all| all.started() == 40).await;
    assert_eq!(recorder.runs(), 40, "each was started once");
    recorder.gate.add_permits(1_000);
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.runs(), 40, "each ran once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_redis_is_rebuilt_from_what_is_absent_while_workers_go_on() {
    let (_server, place) = own_place().await;
    let jobs = ids(0..20);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    // Twice the slots that the jobs need: a doubled run would find room.
    let worker = Worker::start(&place.queue, &recorder, slots(40));
    recorder.until("all run", |all| all.started() == 20).await;
    redis::cmd("FLUSHALL")
        .query_async::<()>(&mut connection(&place).await)
        .await
        .unwrap();
    assert_eq!(place.queue.absent(&jobs).await.unwrap(), jobs);
    // What still runs is pushed again and taken again: it joins its run.
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let taken = Depth {
        waiting: 0,
        running: 20,
    };
    depth_becomes(&place.queue, taken).await;
    // They are taken in order: once a later one runs, each of them has joined its run, which goes on.
    place.queue.push(&ids(20..21), now_ms()).await.unwrap();
    recorder
        .until("a later one runs", |all| all.started() == 21)
        .await;
    assert_eq!(recorder.runs(), 21);
    recorder.gate.add_permits(1_000);
    depth_becomes(&place.queue, EMPTY).await;
    assert_eq!(recorder.runs(), 21, "none ran twice");
    let more = ids(0..500);
    place.queue.push(&more, now_ms()).await.unwrap();
    feed_until_all_ran(&place.queue, &more, &recorder).await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_arrive_while_a_worker_stops_go_back_before_it_has_drained() {
    let place = Place::new(On::Sqlite).await;
    place.queue.push(&ids(0..1), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    recorder.until("it runs", |all| all.started() == 1).await;
    // A request for jobs waits for this lock; when it gets it, the jobs below are there, and the
    // worker has been told to stop.
    let pool = sqlx::SqlitePool::connect(&place.url).await.unwrap();
    let mut lock = pool.acquire().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *lock)
        .await
        .unwrap();
    for task in ["01ARZ3NDEKTSV4RRFFQ69G5FA1", "01ARZ3NDEKTSV4RRFFQ69G5FA2"] {
        sqlx::query("INSERT INTO Jobs (job, id, job_type) VALUES (?1, ?2, ?3)")
            .bind(br#"{"v":1,"fetch":{"id":"late"}}"#.as_slice())
            .bind(task)
            .bind(&place.name)
            .execute(&mut *lock)
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.stop.cancel();
    sqlx::query("COMMIT").execute(&mut *lock).await.unwrap();
    let returned = Depth {
        waiting: 2,
        running: 1,
    };
    depth_becomes(&place.queue, returned).await;
    // Not a glimpse from before they were taken: it stays so while the one job runs.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(place.queue.depth().await.unwrap(), returned);
    recorder.gate.add_permits(1);
    worker.end().await;
    assert_eq!(recorder.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_lock_longer_than_any_wait_stops_sqlite_workers_for_its_time_only() {
    let place = Place::new(On::Sqlite).await;
    place.queue.push(&ids(0..50), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    recorder.until("all slots", |all| all.started() == 10).await;
    let pool = sqlx::SqlitePool::connect(&place.url).await.unwrap();
    let mut lock = pool.acquire().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut *lock)
        .await
        .unwrap();
    recorder.gate.add_permits(1_000);
    tokio::time::sleep(Duration::from_secs(15)).await;
    sqlx::query("COMMIT").execute(&mut *lock).await.unwrap();
    recorder.until("all ran", |all| all.started() == 50).await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert!(recorder.runs() <= 60, "{} runs", recorder.runs());
}

async fn jobs_of_a_killed_process_run_again(on: On) {
    let place = Place::new(on).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "queue_faults::a_worker_process_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}\n{}", place.url, place.name).unwrap();
    place.queue.push(&ids(0..30), now_ms()).await.unwrap();
    let taken = Depth {
        waiting: 20,
        running: 10,
    };
    depth_becomes(&place.queue, taken).await;
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    recorder
        .until("what the other left", |all| all.started() == 20)
        .await;
    assert_eq!(place.queue.workers().await.unwrap(), 2);
    child.kill().unwrap();
    let killed = Instant::now();
    recorder
        .until("its jobs too", |all| all.started() == 30)
        .await;
    let took = killed.elapsed();
    println!("jobs of a killed process ran again after {took:?}");
    // Ten seconds on a machine that has time.
    assert!(took < Duration::from_secs(60), "{took:?}");
    child.wait().unwrap();
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
    assert_eq!(recorder.runs(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_killed_process_run_elsewhere_within_ten_seconds_on_redis() {
    jobs_of_a_killed_process_run_again(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_killed_process_run_elsewhere_within_ten_seconds_on_sqlite() {
    jobs_of_a_killed_process_run_again(On::Sqlite).await;
}

/// Not a test: the process that the two above start and kill. They write URL and name to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests of killed processes"]
async fn a_worker_process_to_be_killed() {
    if std::io::stdin().is_terminal() {
        return;
    }
    let mut lines = std::io::stdin().lock().lines();
    let (Some(Ok(url)), Some(Ok(name))) = (lines.next(), lines.next()) else {
        return;
    };
    drop(lines);
    let queue = Queue::connect(&url, &name).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let _worker = Worker::start(&queue, &recorder, slots(10));
    std::future::pending::<()>().await;
}

async fn jobs_of_a_dropped_worker_run_again(on: On) {
    let place = Place::new(on).await;
    place.queue.push(&ids(0..10), now_ms()).await.unwrap();
    let dropped = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&place.queue, &dropped, slots(10));
    dropped.until("all run", |all| all.started() == 10).await;
    worker.abort();
    let recorder = Recorder::new(|_| Deed::End);
    let other = Worker::start(&place.queue, &recorder, slots(10));
    recorder.until("all ran", |all| all.started() == 10).await;
    depth_becomes(&place.queue, EMPTY).await;
    other.end().await;
    dropped.gate.add_permits(10);
    tokio::task::yield_now().await;
    assert_eq!(
        dropped.gate.available_permits(),
        10,
        "dropped runs are cancelled"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cut_short_cancels_its_jobs_and_others_run_them_on_redis() {
    jobs_of_a_dropped_worker_run_again(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cut_short_cancels_its_jobs_and_others_run_them_on_sqlite() {
    jobs_of_a_dropped_worker_run_again(On::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cut_short_cancels_its_jobs_and_others_run_them_in_memory() {
    jobs_of_a_dropped_worker_run_again(On::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_thousand_scheduled_jobs_wedge_apalis_and_not_this_worker() {
    let (_server, place) = own_place().await;
    let mut plain = connection(&place).await;
    let config = apalis_redis::Config::default().queue(&place.name);
    let jobs = ids(0..8_200);
    for chunk in jobs.chunks(500) {
        let tasks: Vec<Task<Vec<u8>>> = chunk
            .iter()
            .map(|id| {
                let payload = format!(r#"{{"v":1,"fetch":{{"id":"{id}"}}}}"#);
                apalis::prelude::TaskBuilder::new(payload.into_bytes()).build()
            })
            .collect();
        apalis_redis::queries::push_tasks(&mut plain, &config, &tasks)
            .await
            .unwrap();
    }
    // The fault: apalis' own fetch, by a registered worker.
    let _: () = redis::cmd("ZADD")
        .arg(format!("{}:workers", place.name))
        .arg(now_ms() / 1000)
        .arg("stock")
        .query_async(&mut plain)
        .await
        .unwrap();
    let stock = WorkerContext::new("stock");
    let wedged = apalis_redis::queries::fetch_next(&mut plain, &stock, &config).await;
    let error = wedged.expect_err("apalis promotes all due jobs with one unpack");
    assert!(error.to_string().contains("too many results"), "{error}");

    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(200));
    recorder
        .until("all ran", |all| all.started() == 8_200)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_payload_is_lost_is_dropped_and_the_others_run() {
    let (_server, place) = own_place().await;
    let jobs = ids(0..40);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    let mut plain = connection(&place).await;
    let tasks: Vec<String> = redis::cmd("LRANGE")
        .arg(format!("{}:active", place.name))
        .arg(0)
        .arg(-1)
        .query_async(&mut plain)
        .await
        .unwrap();
    redis::cmd("HDEL")
        .arg(format!("{}:data", place.name))
        .arg(&tasks[3])
        .query_async::<()>(&mut plain)
        .await
        .unwrap();
    redis::cmd("DEL")
        .arg(format!("{}:meta:{}", place.name, tasks[7]))
        .query_async::<()>(&mut plain)
        .await
        .unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    recorder
        .until("the others ran", |all| all.started() == 38)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    let lost = [id("x3"), id("x7")];
    place.queue.push(&lost, now_ms()).await.unwrap();
    recorder
        .until("pushed again, they run", |all| all.started() == 40)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_lost_from_every_list_is_absent_and_can_be_pushed() {
    let (_server, place) = own_place().await;
    let jobs = ids(0..3);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    redis::cmd("DEL")
        .arg(format!("{}:active", place.name))
        .query_async::<()>(&mut connection(&place).await)
        .await
        .unwrap();
    assert_eq!(place.queue.absent(&jobs).await.unwrap(), jobs);
    place.queue.push(&jobs, now_ms()).await.unwrap();
    assert_eq!(place.queue.depth().await.unwrap().waiting, 3);
    assert!(place.queue.absent(&jobs).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_slower_than_the_poll_interval_loses_no_wake_up() {
    let (_server, place) = own_place().await;
    let recorder = Recorder::new(|_| Deed::End);
    let options = WorkOptions {
        poll_interval: Duration::from_millis(1),
        ..slots(5)
    };
    let worker = Worker::start(&place.queue, &recorder, options);
    let mut plain = connection(&place).await;
    for round in 0..5 {
        // Every answer takes a hundred times the interval; then the worker must be awake.
        redis::cmd("CLIENT")
            .arg("PAUSE")
            .arg(100)
            .query_async::<()>(&mut plain)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        place
            .queue
            .push(&ids(round..round + 1), now_ms())
            .await
            .unwrap();
        recorder
            .until("it ran", |all| all.started() == round + 1)
            .await;
    }
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_costs_a_scan_of_the_backlog_and_reaping_leaves_nothing() {
    let (_server, place) = own_place().await;
    place.queue.push(&ids(0..1_000), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::End);
    let worker = Worker::start(&place.queue, &recorder, slots(50));
    recorder
        .until("all ran", |all| all.started() == 1_000)
        .await;
    depth_becomes(&place.queue, EMPTY).await;
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut connection(&place).await)
        .await
        .unwrap();
    assert!(stats.contains("cmdstat_ltrim"), "{stats}");
    assert!(!stats.contains("cmdstat_lrem"), "locks are off: {stats}");
    worker.abort();
    assert_eq!(place.queue.reap(5_000).await.unwrap(), 1_000);
    assert!(keys(&place, "meta:*").await.is_empty());
    assert!(keys(&place, "data").await.is_empty());
    // The aborted worker's registration grows old; another's heartbeat ends it, the sweep the rest.
    let aborted = keys(&place, "workers:metadata:*").await;
    let other = Worker::start(&place.queue, &recorder, slots(1));
    let swept = timeout(PATIENCE, async {
        loop {
            let left = keys(&place, "workers:metadata:*").await;
            // The other registers in its own time: until then the one left is the aborted one.
            if left.len() == 1 && left != aborted {
                break;
            }
            place.queue.reap(10).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    swept.await.expect("one worker is left");
    other.end().await;
    let swept = timeout(PATIENCE, async {
        while !keys(&place, "workers*").await.is_empty() {
            place.queue.reap(10).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    swept.await.expect("nothing is left of it");
}
