//! Who feeds the queue, and with what, when something is out of order.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::store::fixtures::{NOW, World, ids, seen};
use crate::support::jobs::{Deed, On, PATIENCE, Place, Recorder, Worker, slots};
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
        Feeder::beside(None, store, queue, name, moment_ms, begun)
    }

    fn beside(
        yields_to: Option<&'static str>,
        store: Store,
        queue: Queue,
        name: &str,
        moment_ms: i64,
        begun: Instant,
    ) -> Feeder {
        let feed = Feed {
            backlog: Fetches(store.clone()),
            store,
            queue,
            max_waiting: 2_000,
            holder: name.to_owned(),
            yields_to,
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
async fn a_process_that_stops_keeps_its_lease_until_the_jobs_in_its_memory_end() {
    let world = World::sqlite().await;
    let (stopping, next) = (Place::new(On::Memory).await, Place::new(On::Memory).await);
    let begun = Instant::now();
    world.list(&[seen("a1", NOW)]).await;
    let store = world.store.clone();
    let first = Feeder::start(store, stopping.queue.clone(), "first", NOW, begun);
    let recorder = Recorder::new(|_| Deed::WaitAtTheGate);
    let worker = Worker::start(&stopping.queue, &recorder, slots(1));
    recorder.until("it runs", |all| all.started() == 1).await;
    world.list(&[seen("a2", NOW)]).await;
    queued(&stopping.queue, "another waits", "a2").await;

    first.stop.cancel();
    let store = world.another().await;
    let second = Feeder::start(store, next.queue.clone(), "second", NOW, begun);
    // What only waited there is not run there any more.
    until("it is forgotten", PATIENCE, async || {
        let absent = stopping.queue.absent(&ids(&["a1", "a2"])).await;
        absent.is_ok_and(|absent| absent == ids(&["a2"]))
    })
    .await;
    // Longer than the lease lasts.
    sleep(Duration::from_secs(7)).await;
    let absent = next.queue.absent(&ids(&["a1", "a2"])).await.unwrap();
    assert_eq!(absent, ids(&["a1", "a2"]), "the first still has the lease");
    recorder.gate.add_permits(1);
    first.end().await;
    queued(&next.queue, "the next has what only waited", "a2").await;
    worker.end().await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_with_a_queue_in_memory_leaves_feeding_to_a_service() {
    let world = World::sqlite().await;
    let (command, service) = (Place::new(On::Memory).await, Place::new(On::Memory).await);
    let begun = Instant::now();
    let lease = Some("service");
    let queue = command.queue.clone();
    let yielding = Feeder::beside(lease, world.another().await, queue, "command", NOW, begun);
    world.list(&[seen("a1", NOW)]).await;
    queued(&command.queue, "alone it feeds", "a1").await;

    let (store, far) = (world.another().await, 3_600_000);
    assert!(
        store
            .acquire_lease("service", "it", NOW, far)
            .await
            .unwrap()
    );
    let feeder = Feeder::start(store, service.queue.clone(), "service", NOW, begun);
    queued(&service.queue, "the service has all", "a1").await;
    let absent = command.queue.absent(&ids(&["a1"])).await.unwrap();
    assert_eq!(absent, ids(&["a1"]), "and nobody else");
    yielding.end().await;
    feeder.end().await;
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
