//! Which queues can be opened, and what the others are refused with.

use freshet::queue::Queue;
use tempfile::TempDir;

#[tokio::test]
async fn what_names_no_queue_is_refused_before_anything_is_opened() {
    for (url, name) in [
        ("redis://127.0.0.1:1/", "a:b"),
        ("redis://127.0.0.1:1/", ""),
        ("redis://127.0.0.1:1/", "a*"),
        ("sqlite://:memory:", "fetch"),
        ("sqlite::memory:", "fetch"),
        ("sqlite://", "fetch"),
        ("postgres://u:secret@localhost/x", "fetch"),
        ("redis://127.0.0.1:notaport/", "fetch"),
        ("redis://u:secret@127.0.0.1:notaport/", "fetch"),
        ("redis://u:secret@127.0.0.1:1/notanumber", "fetch"),
        ("rediss://u:secret@", "fetch"),
        ("", "fetch"),
    ] {
        let error = Queue::connect(url, name).await.unwrap_err();
        assert!(
            matches!(error, freshet::queue::QueueError::Url(_)),
            "{url} {name}: {error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    let nobody = Queue::connect("redis://127.0.0.1:1/", "fetch").await;
    assert!(nobody.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_file_that_holds_another_database_is_refused() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("x.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
            installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
            checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
         INSERT INTO _sqlx_migrations VALUES (1, 'x', '2026-01-01', TRUE, x'00', 1);",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let error = Queue::connect(&url, "fetch").await.unwrap_err();
    assert!(error.to_string().contains("file of its own"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_open_a_new_file_at_once_all_succeed() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("queue.db").display());
    let opened = futures::future::join_all((0..8).map(|_| Queue::connect(&url, "fetch"))).await;
    for queue in opened {
        queue.unwrap().ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_no_tls_is_an_error_and_no_panic() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeted = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0; 1];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first)
            .await
            .unwrap();
        first[0]
    });
    let connected = Queue::connect(&format!("rediss://127.0.0.1:{port}/"), "fetch").await;
    assert!(connected.is_err());
    assert_eq!(greeted.await.unwrap(), 22, "a TLS handshake was begun");
}
