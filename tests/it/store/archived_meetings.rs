//! What an archive kept, recorded while others write the same.

use super::archived::{record, stored};
use super::conformance;
use super::faults::again;
use super::fixtures::{NOW, World, id, member, nothing, seen, seen_with};
use freshet::store::{ArchiveRecord, ArchiveStored, FetchRecord, PollRecord};
use freshet::submission::Observation;
use sqlx::{Connection, Executor, PgConnection};
use std::pin::pin;
use std::time::Duration;

conformance!(archives_polls_and_fetches_of_the_same_at_once_store_each_once,);

/// What the counters say is what is there.
pub async fn counters_are_true(world: &World) {
    let totals = world.store.totals().await.unwrap();
    let mut real = Vec::new();
    for sql in [
        "SELECT count(*) FROM submissions WHERE status = 'discovered'",
        "SELECT count(*) FROM submissions WHERE status = 'fetched'",
        "SELECT count(*) FROM submissions WHERE status = 'unavailable'",
        "SELECT count(*) FROM undecodable",
        "SELECT count(*) FROM fetches",
    ] {
        real.push(world.number(sql).await);
    }
    let fetches = world.number("SELECT CAST(sum(fetches) AS bigint) FROM counters");
    assert_eq!(
        real,
        [
            totals.discovered,
            totals.fetched,
            totals.unavailable,
            totals.undecodable,
            fetches.await
        ]
    );
}

fn seen_at(number: i64, at: i64) -> Observation {
    let fields = format!(r#","subreddit":"Rust","title":"seen at {at}""#);
    seen_with(&format!("m{number}"), NOW + at, &fields)
}

async fn archives_polls_and_fetches_of_the_same_at_once_store_each_once(world: World) {
    let claim = world.claimed("rust").await;
    let other = world.another().await;
    let members = [member(&claim)];
    let writers = (0..5_i64).map(|writer| {
        let store = if writer % 2 == 0 {
            &world.store
        } else {
            &other
        };
        let members = &members;
        async move {
            for round in 0..12_i64 {
                // Each has an order of its own, and each round brings new ids and known ones.
                let numbers = (0..60).map(|place| (place * 7 + writer * 11) % 60 + round * 20);
                let batch: Vec<_> = numbers
                    .map(|number| seen_at(number, (writer * 31 + number * 17 + round) % 50))
                    .collect();
                match writer {
                    0 | 1 => {
                        let record = ArchiveRecord {
                            refresh: writer == 0,
                            ..record(&batch)
                        };
                        store.record_archived(&record).await.unwrap();
                    }
                    2 | 3 => {
                        let poll = PollRecord {
                            listed: &batch,
                            undecodable: &[],
                            members,
                            sweep: None,
                            now_ms: NOW,
                        };
                        store.record_poll(&poll).await.unwrap();
                    }
                    _ => {
                        // What is fetched is there already.
                        let mut known = Vec::new();
                        for observation in batch {
                            let row = store.submission(&observation.submission.id).await;
                            if row.unwrap().is_some() {
                                known.push(observation);
                            }
                        }
                        let record = FetchRecord {
                            observations: &known,
                            ..nothing()
                        };
                        again(async || store.record_fetches(&record).await.map(drop)).await;
                    }
                }
            }
        }
    });
    futures::future::join_all(writers).await;
    let stored = world.number("SELECT count(*) FROM submissions").await;
    assert_eq!(stored, 280);
    counters_are_true(&world).await;
    let list = world.store.subreddits().await.unwrap();
    assert_eq!(list[0].submissions, stored, "each counted once");
    for number in 0..280 {
        let row = world.store.submission(&id(&format!("m{number}"))).await;
        let row = row.unwrap().unwrap();
        let at = row.observed_ms - NOW;
        assert_eq!(
            row.title,
            Some(format!("seen at {at}")),
            "of one observation"
        );
    }
    if world.is_postgres() {
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(world.number(deadlocks).await, 0);
    }
}

/// Inserts one submission, as a transaction that goes on does.
async fn insert_and_wait(world: &World) -> PgConnection {
    let mut other = PgConnection::connect(&world.url).await.unwrap();
    other
        .execute(
            "BEGIN; INSERT INTO submissions
                 (id, created_utc, kind, discovered_at, status, observed_ms, raw_hash, raw)
             VALUES ('a50', 1, 'self', 1, 'discovered', 1, '', '{}')",
        )
        .await
        .unwrap();
    other
}

fn hundred() -> Vec<Observation> {
    (0..100).map(|n| seen(&format!("a{n}"), NOW)).collect()
}

/// Whether somebody waits for a lock, looked at until it is so.
async fn until_it_waits(world: &World) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while world.number(waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_inserts_meanwhile_is_known_and_renewed() {
    for (end, result) in [
        ("COMMIT", stored(99, 1, 0)),
        ("ROLLBACK", stored(100, 0, 0)),
    ] {
        let world = World::postgres().await;
        world.claimed("rust").await;
        let mut other = insert_and_wait(&world).await;
        let kept = hundred();
        let record = record(&kept);
        let writing = world.store.record_archived(&record);
        let ending = async {
            until_it_waits(&world).await;
            other.execute(end).await.unwrap();
        };
        let (written, ()) = tokio::join!(writing, ending);
        assert_eq!(written.unwrap(), result);
        let fresh = i64::try_from(result.fresh).unwrap();
        assert_eq!(world.store.totals().await.unwrap().discovered, fresh);
        let list = world.store.subreddits().await.unwrap();
        assert_eq!(list[0].submissions, fresh);
        let again: ArchiveStored = world.store.record_archived(&record).await.unwrap();
        assert_eq!(again, stored(0, 0, 100));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_given_up_while_it_waits_leaves_nothing() {
    let world = World::postgres().await;
    let mut other = insert_and_wait(&world).await;
    let kept = hundred();
    let record = record(&kept);
    {
        let mut writing = pin!(world.store.record_archived(&record));
        tokio::select! {
            _ = &mut writing => panic!("it waits for the other"),
            () = until_it_waits(&world) => {}
        }
    }
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM submissions").await, 0);
    for result in [stored(100, 0, 0), stored(0, 0, 100)] {
        let done = world.store.record_archived(&record).await.unwrap();
        assert_eq!(done, result);
    }
    counters_are_true(&world).await;
}
