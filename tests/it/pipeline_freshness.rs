//! How soon a live submission is fetched under a small budget: counted in requests, not in seconds.

use crate::store::fixtures::raw;
use crate::support::discovery::{START_MS, World, our_clock};
use crate::support::jobs::{FetchingWorker, On, PATIENCE, Place};
use crate::support::pipeline::until;
use freshet::feed::{self, Feed, Fetches};
use freshet::ingest::{Company, FetchHandler, Ingest, max_batch_delay};
use freshet::liveness::Progress;
use freshet::queue::{Handler, Outcome};
use freshet::simulator::{Endpoint, Publication, SimulatorOptions};
use freshet::store::{PollRecord, Status};
use freshet::submission::decode;
use futures::future::join_all;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Publishes submissions of this age and stores them as listed.
async fn list(world: &World, ids: &[String], age_s: i64) {
    let mut listed = Vec::new();
    for id in ids {
        let created = START_MS / 1000 - age_s;
        let publication = Publication {
            id: Some(id.clone()),
            created_utc: Some(created),
            subreddit: "kettles".to_owned(),
            ..Publication::default()
        };
        world.simulator.control().publish(publication).unwrap();
        let json = format!(r#"{{"id":"{id}","created_utc":{created}.0,"subreddit":"kettles"}}"#);
        listed.push(decode(raw(&json), START_MS).unwrap());
    }
    let poll = PollRecord {
        listed: &listed,
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: our_clock(),
    };
    world.store.record_poll(&poll).await.unwrap();
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

fn requests(world: &World) -> u64 {
    world.simulator.control().stats().of(Endpoint::Info)
}

fn ingest(world: &World, requests_per_minute: u32) -> Ingest {
    Ingest {
        reddit: world.client_within(PATIENCE, requests_per_minute),
        store: world.store.clone(),
        metrics: Arc::clone(&world.metrics),
        now_ms: our_clock,
        progress: Progress::unwatched(),
        holder: "worker-test".to_owned(),
    }
}

#[tokio::test]
async fn a_live_submission_is_fetched_within_a_few_requests_of_a_backlog_on_sqlite() {
    overtakes_the_backlog(On::Sqlite).await;
}

#[tokio::test]
async fn a_live_submission_is_fetched_within_a_few_requests_of_a_backlog_on_redis() {
    overtakes_the_backlog(On::Redis).await;
}

/// A past of thirty requests, as the first windows discover it.
async fn overtakes_the_backlog(on: On) {
    let world = World::new(SimulatorOptions::default(), &[], 0).await;
    list(&world, &ids("old", 3_000), 7_200).await;
    let place = Place::new(on).await;
    let ingest = ingest(&world, 120);
    let worker = FetchingWorker::start(&place.queue, ingest);
    let stop = CancellationToken::new();
    let feed = Feed {
        backlog: Fetches(world.store.clone()),
        store: world.store.clone(),
        queue: place.queue.clone(),
        max_waiting: 2_000,
        holder: "test".to_owned(),
        yields_to: None,
        work: Arc::default(),
        progress: Progress::unwatched(),
    };
    let feeding = tokio::spawn(feed::run(feed, our_clock, stop.clone()));
    until("the backlog is being fetched", PATIENCE, async || {
        requests(&world) >= 2
    })
    .await;

    let before = requests(&world);
    list(&world, &ids("new", 1), 10).await;
    let new = "new0".parse().unwrap();
    until("the live one is fetched", PATIENCE, async || {
        let row = world.store.submission(&new).await.unwrap();
        row.is_some_and(|row| row.status == Status::Fetched)
    })
    .await;
    let taken = requests(&world) - before;
    let left = world.store.fetch_counts(our_clock()).await.unwrap();
    assert!(taken <= 8, "it took {taken} requests");
    assert!(left.backlog + left.fed > 1_000, "{left:?}");
    stop.cancel();
    worker.stop().await;
    feeding.await.unwrap();
}

#[tokio::test]
async fn requests_that_are_not_full_are_spaced_by_the_budget_and_full_ones_go_at_once() {
    let world = World::new(SimulatorOptions::default(), &[], 0).await;
    let (first, full, few) = (ids("a", 1), ids("b", 100), ids("c", 4));
    for ids in [&first, &full, &few] {
        list(&world, ids, 10).await;
    }
    let due = world.store.claim_fetches(our_clock(), 1000).await.unwrap();
    assert_eq!(due.len(), 105);
    let per_minute = NonZeroU32::new(30).unwrap();
    let ingest = ingest(&world, per_minute.get());
    let (company, gathering) = Company::new(200);
    let handler = FetchHandler::new(ingest.clone(), company);
    let stop = CancellationToken::new();
    let gathering = tokio::spawn(gathering.run(ingest, stop.clone()));
    let run = |ids: &[String]| {
        let jobs = ids.iter().map(|id| handler.run(id.parse().unwrap()));
        join_all(jobs.collect::<Vec<_>>())
    };
    let done = |outcomes: &[Outcome]| {
        let all = outcomes.iter();
        all.filter(|it| matches!(it, Outcome::Stored | Outcome::Unchanged))
            .count()
    };
    assert_eq!(done(&run(&first).await), 1);
    assert_eq!(done(&run(&full).await), 100);
    assert_eq!(requests(&world), 2, "a full one waits for nothing");

    // They come one by one, and share one request, since the budget has none to spare.
    assert!(max_batch_delay(per_minute) > Duration::from_secs(5));
    let arrive = async {
        let jobs = few.iter().enumerate().map(|(place, id)| {
            let ids = [id.clone()];
            async move {
                let pause = Duration::from_millis(300) * u32::try_from(place).unwrap();
                tokio::time::sleep(pause).await;
                ids
            }
        });
        join_all(jobs.map(async |ids| done(&run(&ids.await).await))).await
    };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(requests(&world), 2, "they wait for one another");
        // Whoever stops waits for no others.
        stop.cancel();
    };
    let (outcomes, ()) = tokio::join!(arrive, stopping);
    assert_eq!(outcomes, [1; 4]);
    assert_eq!(requests(&world), 3);
    drop(handler);
    gathering.await.unwrap();
}
