//! Connecting, migrating, and that both engines have the same tables.

use super::conformance;
use super::fixtures::World;
use crate::support::postgres::fresh_database;
use freshet::store::{Store, StoreError};
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::time::Duration;

conformance!(a_migrated_database_is_migrated_again_without_effect,);

async fn a_migrated_database_is_migrated_again_without_effect(world: World) {
    world.list(&[super::fixtures::seen("a1", 5)]).await;
    world.another().await.migrate().await.unwrap();
    assert_eq!(world.store.totals().await.unwrap().discovered, 1);
    world.store.ping().await.unwrap();
    world.store.close().await;
    assert!(world.store.ping().await.unwrap_err().is_unavailable());
}

async fn migrate_at_once(url: String) {
    let starts = (0..6).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            // Whoever makes a file holds it for a moment, which is waited for as any outage is.
            let store = loop {
                match Store::connect(&url, 2).await {
                    Err(error) if error.is_unavailable() => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    connected => break connected.unwrap(),
                }
            };
            store.migrate().await.unwrap();
            store.totals().await.unwrap();
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_migrate_one_database_at_once() {
    migrate_at_once(fresh_database().await).await;
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        migrate_at_once(format!("sqlite://{}", path.display())).await;
    }
}

#[tokio::test]
async fn a_url_of_no_database_is_refused_without_being_repeated() {
    for url in [
        "mysql://user:secret@host/db",
        "store.db",
        "",
        "sqlite::memory:",
        "postgres://user:secret@host:port/db",
        "sqlite://x?mode=secret",
    ] {
        let error = Store::connect(url, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Url(_)), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{url}");
    }
}

#[tokio::test]
async fn a_database_without_tables_is_a_failure_and_not_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("x.db").display());
    for url in [url, fresh_database().await] {
        let store = Store::connect(&url, 1).await.unwrap();
        let error = store.subreddits().await.unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let sqlite = World::sqlite().await;
    let postgres = World::postgres().await;
    let mut connection = SqliteConnection::connect(&sqlite.url).await.unwrap();
    let ours: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c
         WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'
         ORDER BY m.name, c.cid",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut connection = PgConnection::connect(&postgres.url).await.unwrap();
    let theirs: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'
         ORDER BY table_name, ordinal_position",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(ours.len() > 80);
    assert_eq!(ours, theirs);
}
