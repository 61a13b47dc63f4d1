//! How servers are reached: through a proxy, over a socket, and by secrets that are rotated.

use crate::support::binary::{Home, Process};
use crate::support::postgres::fresh_database;
use crate::support::redis::RedisServer;
use crate::support::world::{CLIENT, World};
use freshet::queue::Queue;
use freshet::source::{Budget, RequestClass};
use sqlx::{Connection, Executor, PgConnection};
use std::num::NonZeroU32;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

/// A proxy that takes one request after the other and gives none on; what it was sent.
async fn proxy() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = vec![0; 4096];
            let length = stream.read(&mut said).await.unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&said[..length]).into_owned());
            let refusal =
                b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        }
    });
    (port, told)
}

#[tokio::test]
async fn reddit_is_asked_through_the_proxy_that_is_named_and_through_no_other() {
    let (port, mut told) = proxy().await;
    let home = Home::new();
    let start = |environment: &[(&str, &str)]| {
        let mut command = home.command(&["run", "rust", "--http-listen", "127.0.0.1:0"]);
        command.env("FRESHET_REDDIT__CLIENT_ID", "id");
        for url in ["API_URL", "AUTH_URL"] {
            command.env(format!("FRESHET_REDDIT__{url}"), "https://reddit.example");
        }
        command.envs(environment.iter().copied());
        Process::start(&mut command)
    };
    let address = format!("http://me:hush@127.0.0.1:{port}");
    let run = start(&[("FRESHET_PROXY__URL", &address)]);
    let first = told.recv().await.unwrap();
    assert!(first.starts_with("CONNECT reddit.example:443"), "{first}");
    assert!(
        first
            .to_ascii_lowercase()
            .contains("proxy-authorization: basic"),
        "{first}"
    );
    run.said("no connection").await;
    assert!(!run.stderr().contains("hush"), "{}", run.stderr());
    drop(run);
    let words = [
        ("FRESHET_PROXY__URL", "environment"),
        ("HTTPS_PROXY", &address),
    ];
    let run = start(&words);
    assert!(
        told.recv()
            .await
            .unwrap()
            .starts_with("CONNECT reddit.example")
    );
    drop(run);
    while told.try_recv().is_ok() {}
    // Unasked, the environment's is not used; nor for a name that it excepts.
    for environment in [
        vec![("HTTPS_PROXY", address.as_str()), ("HTTP_PROXY", &address)],
        [&words[..], &[("NO_PROXY", ".example")]].concat(),
    ] {
        let run = start(&environment);
        run.said("no connection").await;
        assert!(told.try_recv().is_err());
    }
    // And never for this machine.
    let world = World::with(2).await;
    let home = world.home();
    let run = home.start(&["run", "rust", "--proxy-url", &address]);
    run.until_status("it works", |it| it["fetched"] == 2).await;
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_redis_is_reached_over_a_socket_by_queue_and_budget() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let _server = Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--requirepass",
            "sesame",
            "--unixsocket",
        ])
        .arg(&socket)
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let begun = tokio::time::Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < crate::support::binary::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for scheme in ["redis+unix", "unix"] {
        let url = format!("{scheme}://{}?pass=sesame&db=1", socket.display());
        let queue = Queue::connect(&url, "freshet").await.unwrap();
        queue.push_heartbeat(1).await.unwrap();
        assert_eq!(queue.depth().await.unwrap().waiting, 1);
        let budget = Budget::shared(&url, "id", NonZeroU32::new(600).unwrap()).unwrap();
        let _ = budget.acquire(RequestClass::Poll).await.unwrap();
        redis::Client::open(url.as_str())
            .unwrap()
            .get_connection()
            .and_then(|mut it| redis::cmd("FLUSHALL").exec(&mut it))
            .unwrap();
    }
    let world = World::with(3).await;
    let home = world.home();
    let url = format!("redis+unix://{}?pass=sesame", socket.display());
    let run = home.start(&["run", "rust", "--queue-url", &url]);
    run.until_status("it works", |it| {
        it["fetched"] == 3 && it["queue"]["engine"] == "redis"
    })
    .await;
    assert!(!run.stderr().contains("sesame"));
}

#[tokio::test]
async fn secrets_in_files_are_read_again() {
    let world = World::with(2).await;
    let home = Home::new();
    let url = fresh_database().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    for role in ["rotated_one", "rotated_two"] {
        let make = format!("CREATE ROLE {role} LOGIN SUPERUSER");
        admin.execute(sqlx::AssertSqlSafe(make)).await.unwrap();
    }
    let as_role = |role: &str| url.replace("postgres@", &format!("{role}@"));
    let (address, secret) = (
        home.write("url", &as_role("rotated_one")),
        home.write("secret", "wrong"),
    );
    let configuration = world.configuration();
    let without = configuration
        .lines()
        .filter(|line| !line.starts_with("client_secret"));
    home.write("freshet.toml", &without.collect::<Vec<_>>().join("\n"));
    let run = home.start(&[
        "run",
        "rust",
        "--database-url-file",
        address.to_str().unwrap(),
        "--reddit-client-secret-file",
        secret.to_str().unwrap(),
    ]);
    run.said("HTTP 401").await;
    home.write("secret", &format!("{}\n", CLIENT.1));
    run.until_status("it works", |it| it["fetched"] == 2).await;
    // The role goes; whoever connects from now on is the other.
    home.write("url", &as_role("rotated_two"));
    let end = "ALTER ROLE rotated_one NOLOGIN;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated_one'";
    admin.execute(end).await.unwrap();
    world.publish("rust", None);
    let counted = "SELECT count(*) FROM submissions WHERE status = 'fetched'";
    let begun = tokio::time::Instant::now();
    loop {
        let count: i64 = sqlx::query_scalar(counted)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if count == 3 {
            break;
        }
        let patient = begun.elapsed() < crate::support::binary::PATIENCE;
        assert!(patient, "{}", run.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_redis_whose_password_is_rotated_is_reached_with_the_new_one() {
    let world = World::with(2).await;
    let home = world.home();
    let redis = tokio::task::spawn_blocking(RedisServer::start);
    let redis = redis.await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let mut set_password = async |password: &str| {
        let mut user = redis::cmd("ACL");
        user.arg(&["SETUSER", "app", "on", "resetpass", "~*", "&*", "+@all"]);
        user.arg(format!(">{password}"));
        user.exec_async(&mut operator).await.unwrap();
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "USER", "app"]);
        let _: i64 = kill.query_async(&mut operator).await.unwrap();
    };
    let url = |password: &str| {
        let app = format!("redis://app:{password}@");
        redis.url().replace("redis://", &app)
    };
    set_password("hush-one").await;
    let file = home.write("queue-url", &url("hush-one"));
    let run = home.start(&["run", "rust", "--queue-url-file", file.to_str().unwrap()]);
    run.until_status("it works", |it| it["fetched"] == 2).await;
    // The old one is refused before the file has the new one.
    set_password("hush-two").await;
    run.logged("Dependency is failing").await;
    home.write("queue-url", &format!("{}\n", url("hush-two")));
    for dependency in ["queue", "budget"] {
        let label = ("dependency", dependency);
        run.until_gauge("freshet_dependency_up", label, |it| it == 1.0)
            .await;
    }
    world.publish("rust", None);
    run.until_status("it works again", |it| it["fetched"] == 3)
        .await;
    assert!(!run.stderr().contains("hush"), "{}", run.stderr());
}
