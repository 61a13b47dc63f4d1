//! What happens when something breaks in the midst of it.

use super::conformance;
use super::fixtures::{NOW, World, id, member, nothing, seen, seen_with};
use freshet::store::{FetchRecord, PollRecord, Store, StoreError};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::pin::pin;
use std::time::Duration;

conformance!(
    a_transaction_that_fails_leaves_nothing,
    a_transaction_that_the_database_ends_by_itself_is_the_only_one_that_fails,
    a_call_that_is_dropped_half_way_leaves_nothing_or_all,
    writers_that_meet_agree_in_the_end,
);

async fn a_transaction_that_fails_leaves_nothing(world: World) {
    let claim = world.claimed("rust").await;
    // The last statement of every recording transaction needs it.
    if world.is_postgres() {
        let mut connection = PgConnection::connect(&world.url).await.unwrap();
        connection.execute("DROP TABLE counters").await.unwrap();
    } else {
        let mut connection = SqliteConnection::connect(&world.url).await.unwrap();
        connection.execute("DROP TABLE counters").await.unwrap();
    }
    let mut record = member(&claim);
    record.proven = Some(super::fixtures::interval(1, 9));
    let poll = PollRecord {
        listed: &[seen("a1", NOW)],
        undecodable: &[],
        members: &[record],
        sweep: None,
        now_ms: NOW,
    };
    let error = world.store.record_poll(&poll).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    let record = FetchRecord {
        observations: &[seen("a1", NOW)],
        ..nothing()
    };
    world.store.record_fetches(&record).await.unwrap_err();
    assert_eq!(world.store.submission(&id("a1")).await.unwrap(), None);
    assert_eq!(world.number("SELECT count(*) FROM fetches").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM coverage").await, 0);
    let row = &world.store.subreddits().await.unwrap()[0];
    assert!(row.claimed_by.is_some() && row.polled_at.is_none());
}

async fn a_transaction_that_the_database_ends_by_itself_is_the_only_one_that_fails(world: World) {
    if world.is_postgres() {
        // There a transaction is only ever ended by whoever began it, or with its connection.
        return;
    }
    let mut connection = SqliteConnection::connect(&world.url).await.unwrap();
    // As a full disk does.
    let trigger = "CREATE TRIGGER ends BEFORE INSERT ON submissions
        BEGIN SELECT RAISE(ROLLBACK, 'nothing is left'); END";
    connection.execute(trigger).await.unwrap();
    let poll = PollRecord {
        listed: &[seen("a1", NOW)],
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: NOW,
    };
    for _ in 0..3 {
        let error = world.store.record_poll(&poll).await.unwrap_err();
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(said.contains("nothing is left"), "{said}");
    }
    connection.execute("DROP TRIGGER ends").await.unwrap();
    world.store.record_poll(&poll).await.unwrap();
    assert!(world.store.submission(&id("a1")).await.unwrap().is_some());
}

async fn a_call_that_is_dropped_half_way_leaves_nothing_or_all(world: World) {
    let mut ended = 0;
    for polls in 1.. {
        let listed: Vec<_> = (0..20)
            .map(|number| seen(&format!("p{polls}x{number}"), NOW))
            .collect();
        let poll = PollRecord {
            listed: &listed,
            undecodable: &[],
            members: &[],
            sweep: None,
            now_ms: NOW,
        };
        {
            let mut call = pin!(world.store.record_poll(&poll));
            let mut left = polls;
            // Ready when the call is, or when it has been polled so many times.
            let outcome = std::future::poll_fn(|context| {
                left -= 1;
                match call.as_mut().poll(context) {
                    std::task::Poll::Ready(result) => std::task::Poll::Ready(Some(result)),
                    std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                    std::task::Poll::Pending => std::task::Poll::Pending,
                }
            })
            .await;
            if let Some(result) = outcome {
                result.unwrap();
                ended += 1;
            }
        }
        let stored = world.number("SELECT count(*) FROM submissions").await;
        assert_eq!(stored % 20, 0, "after {polls} polls");
        assert_eq!(world.number("SELECT count(*) FROM fetches").await, stored);
        // A call on a busy machine waits less often than it is polled.
        if ended >= 3 && polls > 5 {
            break;
        }
    }
    let totals = world.store.totals().await.unwrap();
    let stored = world.number("SELECT count(*) FROM submissions").await;
    assert_eq!(totals.discovered, stored);
}

async fn writers_that_meet_agree_in_the_end(world: World) {
    let other = world.another().await;
    let writers = (0..6_i64).map(|writer| {
        let store = if writer % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        async move {
            for round in 0..10_i64 {
                // Overlapping ids, seen in an order of each writer's own.
                let batch: Vec<_> = (0..40)
                    .map(|number| {
                        let number = (number * 7 + writer * 11 + round * 13) % 60;
                        let at = NOW + (writer * 31 + round * 17) % 50;
                        let fields = format!(r#","title":"seen at {at}""#);
                        seen_with(&format!("m{number}"), at, &fields)
                    })
                    .collect();
                let gone = [id(&format!("m{}", (writer + round) % 60))];
                if writer < 3 {
                    let poll = PollRecord {
                        listed: &batch,
                        undecodable: &[],
                        members: &[],
                        sweep: None,
                        now_ms: NOW,
                    };
                    again(async || store.record_poll(&poll).await.map(drop)).await;
                } else {
                    // Only who has begun it can end it so.
                    again(async || store.start_attempts(&gone, "w", NOW).await.map(drop)).await;
                    let record = FetchRecord {
                        observations: &batch,
                        unavailable: &gone,
                        ..nothing()
                    };
                    again(async || store.record_fetches(&record).await.map(drop)).await;
                }
            }
        }
    });
    futures::future::join_all(writers).await;
    let totals = world.store.totals().await.unwrap();
    let stored = world.number("SELECT count(*) FROM submissions").await;
    let fetched = "SELECT count(*) FROM submissions WHERE status = 'fetched'";
    assert_eq!((totals.submissions(), stored), (60, 60));
    assert_eq!(world.number(fetched).await, totals.fetched);
    let waiting = world.number("SELECT count(*) FROM fetches").await;
    let counts = world.store.fetch_counts(NOW).await.unwrap();
    assert_eq!(counts.backlog, waiting);
    for number in 0..60 {
        let row = world.store.submission(&id(&format!("m{number}"))).await;
        let row = row.unwrap().unwrap();
        let at = row.observed_ms;
        assert_eq!(
            row.title,
            Some(format!("seen at {at}")),
            "of one observation"
        );
    }
}

/// Does as callers do: what is unavailable is done again, anything else is a fault.
pub async fn again(call: impl AsyncFn() -> Result<(), StoreError>) {
    for _ in 0..100 {
        match call().await {
            Ok(()) => return,
            Err(error) => assert!(error.is_unavailable(), "{error:?}"),
        }
    }
    panic!("unavailable a hundred times over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_by_the_server_are_an_outage_that_passes() {
    let world = World::postgres().await;
    world.list(&[seen("a1", NOW)]).await;
    // Some connections to lose.
    futures::future::join_all((0..8).map(|_| world.store.totals())).await;
    let ended = world
        .number(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    assert!(ended > 0);
    let poll = PollRecord {
        listed: &[seen("a2", NOW)],
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: NOW,
    };
    again(async || world.store.record_poll(&poll).await.map(drop)).await;
    assert_eq!(world.store.totals().await.unwrap().discovered, 2);
}

#[tokio::test]
async fn an_unreachable_server_is_an_outage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://user:secret@127.0.0.1:{port}/x?sslmode=disable");
    let error = Store::connect(&url, 1).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_writer_waits_for_another_process_that_writes() {
    let world = World::sqlite().await;
    let mut other = SqliteConnection::connect(&world.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let listed = [seen("a1", NOW)];
    let mut writing = pin!(world.list(&listed));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut writing).await;
    assert!(early.is_err(), "the lock is held by another");
    assert_eq!(
        world.store.totals().await.unwrap().discovered,
        0,
        "reading goes on"
    );
    other.execute("COMMIT").await.unwrap();
    assert_eq!(writing.await.fresh, [0]);
}
