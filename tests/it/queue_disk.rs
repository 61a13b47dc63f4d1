//! The queue in a file when SQLite ends transactions by itself, as it does when the disk is full.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::support::jobs::{
    Deed, EMPTY, On, PATIENCE, Place, Recorder, Worker, depth_becomes, ids, now_ms, slots,
};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tokio::time::timeout;

/// Waits for two more lives of the worker; each leaves a row.
async fn lives_on(other: &mut sqlx::SqliteConnection) {
    let rows = async |other: &mut sqlx::SqliteConnection| -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM Workers");
        count.fetch_one(other).await.unwrap()
    };
    let before = rows(other).await;
    let lives = timeout(PATIENCE, async {
        while rows(other).await < before + 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    lives.await.expect("it starts anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_sqlite_ends_by_itself_lock_nobody_out() {
    let place = Place::new(On::Sqlite).await;
    let recorder = Recorder::new(|_| Deed::End);
    let mut other = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
    let worker = Worker::start(&place.queue, &recorder, slots(10));
    // The worker's heartbeats meet it: first as a full disk ends a transaction, then as anything else
    // does. What the second leaves to be rolled back must be, whatever sqlx thinks of the first.
    for (name, what) in [("ends", "ROLLBACK"), ("fails", "ABORT")] {
        let trigger = format!(
            "CREATE TRIGGER {name} BEFORE UPDATE ON Workers WHEN NEW.last_seen <> 0
             BEGIN SELECT RAISE({what}, 'nothing is left'); END"
        );
        other.execute(sqlx::AssertSqlSafe(trigger)).await.unwrap();
        lives_on(&mut other).await;
        let drop = format!("DROP TRIGGER {name}");
        other.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
    }
    place.queue.push(&ids(0..20), now_ms()).await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM Jobs")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(seen, 20, "others see what was pushed");
    recorder.until("all ran", |all| all.started() == 20).await;
    depth_becomes(&place.queue, EMPTY).await;
    worker.end().await;
}
