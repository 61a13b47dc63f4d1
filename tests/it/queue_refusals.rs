//! A Redis that answers and refuses: for want of memory, of room for clients, of replicas, of a
//! disk, or because it is a replica itself. That passes, and is waited through like an outage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::support::jobs::{
    Deed, EMPTY, Place, Recorder, Worker, depth_becomes, ids, now_ms, slots,
};
use crate::support::redis::RedisServer;
use freshet::queue::{Queue, QueueError};
use std::time::{Duration, Instant};

async fn server() -> RedisServer {
    let server = tokio::task::spawn_blocking(RedisServer::start);
    server.await.unwrap()
}

async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn ask(connection: &mut redis::aio::MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut asked = redis::cmd(words.next().unwrap());
    for word in words {
        asked.arg(word);
    }
    let _: redis::Value = asked.query_async(connection).await.unwrap();
}

/// What the queue makes of each of its calls.
async fn calls(queue: &Queue) -> Vec<(&'static str, QueueError)> {
    let jobs = ids(0..3);
    let mut failed = Vec::new();
    let mut note = |call, result: Result<(), QueueError>| {
        failed.extend(result.err().map(|error| (call, error)));
    };
    note("ping", queue.ping().await);
    note("push", queue.push(&jobs, now_ms()).await);
    note("heartbeat", queue.push_heartbeat(now_ms()).await);
    note("depth", queue.depth().await.map(drop));
    note("absent", queue.absent(&jobs).await.map(drop));
    note("workers", queue.workers().await.map(drop));
    note("reap", queue.reap(10).await.map(drop));
    failed
}

/// Under the fault every call works or says that waiting may help; a worker waits, and goes on after.
async fn waited_through(fault: &[&str], mend: &[&str]) {
    let server = server().await;
    let place = Place::at(server.url(), "fetch".to_owned(), None).await;
    let mut operator = connection(&server.url()).await;
    place.queue.push(&ids(0..40), now_ms()).await.unwrap();
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let options = slots(10);
    let progress = options.progress.clone();
    let worker = Worker::start(&place.queue, &recorder, options);
    recorder.until("all slots", |all| all.started() == 10).await;
    for command in fault {
        ask(&mut operator, command).await;
    }
    // What ends now cannot be acknowledged.
    recorder.gate.add_permits(5);
    for (call, error) in calls(&place.queue).await {
        assert!(error.is_unavailable(), "{call}: {error:?}");
    }
    // Longer than a worker that takes it for a refusal shows progress.
    let begun = Instant::now();
    let mut stillest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(12) {
        stillest = stillest.max(progress.still());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        stillest < Duration::from_secs(9),
        "still for {stillest:?} under {fault:?}"
    );
    assert_eq!(recorder.started(), 10, "{fault:?} refuses nothing");
    for command in mend {
        ask(&mut operator, command).await;
    }
    recorder.gate.add_permits(1_000);
    recorder.until("all ran", |all| all.started() == 40).await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_memory_is_waited_through() {
    waited_through(
        &[
            "CONFIG SET maxmemory-policy noeviction",
            "CONFIG SET maxmemory 1",
        ],
        &["CONFIG SET maxmemory 0"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_became_a_replica_is_waited_through() {
    waited_through(&["REPLICAOF 127.0.0.1 1"], &["REPLICAOF NO ONE"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_answers_nothing_without_its_master_is_waited_through() {
    waited_through(
        &[
            "CONFIG SET replica-serve-stale-data no",
            "REPLICAOF 127.0.0.1 1",
        ],
        &["REPLICAOF NO ONE"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_are_waited_for() {
    waited_through(
        &["CONFIG SET min-replicas-to-write 1"],
        &["CONFIG SET min-replicas-to-write 0"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_no_room_for_clients_is_waited_through() {
    waited_through(
        // The operator stays; everybody else is put out and finds no place.
        &[
            "CONFIG SET maxclients 1",
            "CLIENT KILL TYPE normal SKIPME yes",
        ],
        &["CONFIG SET maxclients 10000"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_finds_no_room_at_its_start_waits() {
    let server = server().await;
    let mut operator = connection(&server.url()).await;
    ask(&mut operator, "CONFIG SET maxclients 1").await;
    let error = Queue::connect(&server.url(), "fetch").await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}
