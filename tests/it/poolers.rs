//! Behind a pooler that hands out a session for each transaction, nothing outlives one.

use crate::support::binary::Home;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::fresh_database;
use freshet::store::Store;
use futures::future::join_all;
use sqlx::{Connection, Executor, PgConnection, Row};

const NOW: i64 = 1_700_000_000;

#[tokio::test]
async fn behind_a_pooler_everything_works_and_nothing_leaks_to_others() {
    // It refuses what it does not know, or drops it silently; both are common.
    for ignored in ["", "extra_float_digits, options"] {
        let direct = fresh_database().await;
        let pooler = PgBouncer::start(&direct, ignored).await;
        let url = pooler.url("postgres");
        let stores: Vec<Store> = join_all((0..3).map(|_| async {
            let store = Store::connect(&url, 4).await.unwrap();
            store.migrate().await.unwrap();
            store
        }))
        .await;
        let names: Vec<String> = (0..60).map(|number| format!("subreddit{number}")).collect();
        let added = join_all(names.iter().enumerate().map(|(number, name)| {
            let store = &stores[number % stores.len()];
            async move { store.add_subreddit(&name.parse().unwrap(), NOW).await }
        }));
        for added in added.await {
            added.unwrap();
        }
        let listed = join_all(stores.iter().cycle().take(30).map(Store::subreddits)).await;
        for subreddits in listed {
            assert_eq!(subreddits.unwrap().len(), names.len());
        }
        let schema = stores[0].schema().await.unwrap();
        let written = stores[0].try_writing(schema, NOW * 1000).await;
        written.unwrap();
        assert!(stores[0].inspect().await.unwrap().pooled);
        // Another client gets the same sessions.
        let pooled = url.replace("?", "?statement-cache-capacity=0&");
        let options: sqlx::postgres::PgConnectOptions = pooled.parse().unwrap();
        let mut other = PgConnection::connect_with(&options.extra_float_digits(None))
            .await
            .unwrap();
        let row = other
            .fetch_one(
                "SELECT current_setting('enable_seqscan'), current_setting('statement_timeout')",
            )
            .await
            .unwrap();
        assert_eq!((row.get(0), row.get(1)), ("on", "0"), "{ignored:?}");
        for store in &stores {
            store.close().await;
        }

        let home = Home::new();
        let at = ["--database-url", &url];
        for words in [
            &["migrate"][..],
            &["subreddits", "add", "rust"],
            &["subreddits", "list"],
            &["status"],
            &["coverage"],
            &["export"],
        ] {
            home.run(&[words, &at].concat()).await.ended_with(0);
        }
        // And directly none of it is looked for.
        let direct = Store::connect(&direct, 1).await.unwrap();
        assert!(!direct.inspect().await.unwrap().pooled);
    }
}
