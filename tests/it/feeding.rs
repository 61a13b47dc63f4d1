//! Who feeds the queue, and with what, when something is out of order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::store::fixtures::{NOW, World, ids, seen};
use crate::support::jobs::{On, PATIENCE, Place};
use crate::support::pipeline::until;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use freshet::feed::{self, Feed, Fetches};
use freshet::liveness::Progress;
use freshet::queue::Queue;
use freshet::store::Store;
use sqlx::{Connection, PgConnection};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// One scheduler's feeder.
struct Feeder {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Feeder {
    /// Under a clock that goes on from this moment (milliseconds) since `begun`.
    fn start(store: Store, queue: Queue, name: &str, moment_ms: i64, begun: Instant) -> Feeder {
        let feed = Feed {
            backlog: Fetches(store.clone()),
            store,
            queue,
            max_waiting: 2_000,
            holder: name.to_owned(),
            work: std::sync::Arc::default(),
            progress: Progress::unwatched(),
        };
        let now_ms = move || moment_ms + i64::try_from(begun.elapsed().as_millis()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(feed::run(feed, now_ms, stop.clone()));
        Feeder { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

/// Waits until the submission has a job.
async fn queued(queue: &Queue, what: &str, id: &str) {
    until(what, PATIENCE, async || {
        queue
            .absent(&ids(&[id]))
            .await
            .is_ok_and(|absent| absent.is_empty())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_alone_is_cut_off_from_the_queue_lets_another_feed() {
    let server = tokio::task::spawn_blocking(RedisServer::start);
    let server = server.await.unwrap();
    let address = server.url().replace("redis://", "").replace('/', "");
    let address: SocketAddr = address.parse().unwrap();
    let mut proxy = Proxy::start(address);
    let world = World::postgres().await;
    let direct = Queue::connect(&server.url(), "fetch").await.unwrap();
    let through = format!("redis://{}/", proxy.address());
    let through = Queue::connect(&through, "fetch").await.unwrap();
    let begun = Instant::now();

    let first = Feeder::start(world.store.clone(), through, "first", NOW, begun);
    world.list(&[seen("a1", NOW)]).await;
    queued(&direct, "the first feeds", "a1").await;
    let second = Feeder::start(world.another().await, direct.clone(), "second", NOW, begun);
    proxy.close();
    world.list(&[seen("a2", NOW)]).await;
    queued(&direct, "the second takes over", "a2").await;

    proxy.open();
    second.end().await;
    world.list(&[seen("a3", NOW)]).await;
    queued(&direct, "the first feeds again", "a3").await;
    first.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_held_in_memory_is_queued_at_once_by_the_next() {
    let world = World::sqlite().await;
    let (dead, next) = (Place::new(On::Memory).await, Place::new(On::Memory).await);
    let begun = Instant::now();
    world.list(&[seen("a1", NOW)]).await;
    let first = Feeder::start(world.store.clone(), dead.queue.clone(), "first", NOW, begun);
    queued(&dead.queue, "the first feeds", "a1").await;
    first.end().await;
    // No queue loses jobs so soon after they were handed over that they are looked for yet.
    let restarted = Instant::now();
    let store = world.another().await;
    let second = Feeder::start(store, next.queue.clone(), "second", NOW, begun);
    queued(&next.queue, "the second has the job of the first", "a1").await;
    let waited = restarted.elapsed();
    assert!(waited < Duration::from_secs(9), "{waited:?}");
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ran_out_before_its_answer_came_feeds_nothing() {
    let world = World::postgres().await;
    let place = Place::new(On::Sqlite).await;
    world.list(&[seen("a1", NOW)]).await;
    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    let mut locks = connection.begin().await.unwrap();
    let lock = "LOCK TABLE leases IN EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *locks).await.unwrap();
    let (store, queue) = (world.another().await, place.queue.clone());
    let feeder = Feeder::start(store, queue, "only", NOW, Instant::now());
    until("it asks for its lease", PATIENCE, async || {
        let waiting = "SELECT count(*) FROM pg_locks
            WHERE relation = 'leases'::regclass AND NOT granted";
        world.number(waiting).await > 0
    })
    .await;
    // It ends with the turn that is under way.
    feeder.stop.cancel();
    // Longer than the lease lasts.
    sleep(Duration::from_millis(6_100)).await;
    locks.rollback().await.unwrap();
    feeder.end().await;
    let absent = place.queue.absent(&ids(&["a1"])).await.unwrap();
    assert_eq!(absent, ids(&["a1"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_back_by_minutes_delays_no_feeding() {
    let world = World::sqlite().await;
    let place = Place::new(On::Sqlite).await;
    world.list(&[seen("a1", NOW)]).await;
    let back = NOW - 600_000;
    let (store, queue) = (world.store.clone(), place.queue.clone());
    let feeder = Feeder::start(store, queue, "only", back, Instant::now());
    queued(&place.queue, "it is fed all the same", "a1").await;
    feeder.end().await;
}
