//! `freshet doctor` in environments that are each broken in one way: it names what is broken, says how to
//! mend it, and prints no secret.

use crate::support::binary::{Home, finish};
use crate::support::postgres::fresh_database;
use crate::support::redis::{RedisServer, free_port};
use crate::support::world::World;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::TcpListener;

/// A world to run against, and the folder that points there.
async fn healthy() -> (World, Home) {
    let world = World::with(3).await;
    let home = Home::new();
    let archive = format!("[arctic_shift]\nurl = \"{}\"\n", world.url());
    home.write(
        "freshet.toml",
        &format!("{}{archive}", world.configuration()),
    );
    (world, home)
}

/// The checks, as they are with these flags, and the exit status.
async fn examined(home: &Home, flags: &[&str]) -> (Vec<Value>, i32) {
    let ended = home.run(&[&["doctor", "--json"], flags].concat()).await;
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.contains("hush"), "{ended:#?}");
    }
    let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:#?}"));
    let status = ended.status.unwrap();
    assert_eq!(told["ok"], status == 0, "{told:#}");
    (told["checks"].as_array().unwrap().clone(), status)
}

/// With these flags this check is so, and its remedy holds these words; and nothing else failed.
async fn is(home: &Home, flags: &[&str], check: &str, state: &str, words: &str) {
    let (checks, status) = examined(home, flags).await;
    let named = checks.iter().find(|it| it["check"] == check);
    let named = named.unwrap_or_else(|| panic!("{check} {flags:?}: {checks:#?}"));
    assert_eq!(named["state"], state, "{flags:?}: {checks:#?}");
    let remedy = named["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains(words), "{words}: {named:#}");
    assert_eq!(status, i32::from(state == "fail"), "{checks:#?}");
    let area = check.split('.').next().unwrap();
    for other in checks.iter().filter(|it| it["state"] == "fail") {
        let same = other["check"].as_str().unwrap().starts_with(area);
        assert!(same, "{flags:?}: {other:#}");
    }
}

#[tokio::test]
async fn where_all_is_well_it_says_so_also_while_a_service_runs_and_changes_nothing() {
    let (_world, home) = healthy().await;
    let (checks, status) = examined(&home, &[]).await;
    assert_eq!(status, 0, "{checks:#?}");
    assert!(
        !home.path().join("freshet.db").exists(),
        "it made a database"
    );
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let mut run = home.start(&["run", "rust", "--http-listen", &listen]);
    run.until_status("it works", |it| it["fetched"] == 3).await;
    let (checks, status) = examined(&home, &["--http-listen", &listen]).await;
    assert_eq!(status, 0, "{checks:#?}");
    for check in [
        "database",
        "database.schema",
        "database.rights",
        "reddit.credentials",
        "archive",
        "disk",
    ] {
        let named = checks.iter().find(|it| it["check"] == check);
        assert_ne!(named.unwrap()["state"], "fail", "{checks:#?}");
    }
    let marks = home.run(&["status", "--json"]).await.ended_with(0);
    assert!(marks.stdout.contains("\"simulated\": true"));
    run.signal("TERM");
    run.end(crate::support::binary::PATIENCE).await;
    let plain = home.run(&["doctor"]).await.ended_with(0);
    for line in plain.stdout.lines() {
        let words = line.split_whitespace().count();
        assert!(line.chars().count() <= 80 || words < 4, "{line}");
    }
    assert!(plain.stdout.contains("SIMULATED"), "{plain:#?}");
}

#[tokio::test]
async fn what_is_wrong_with_reddit_the_port_or_the_configuration_is_named() {
    let (world, home) = healthy().await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    for (flags, check, state, words) in [
        (
            ["--reddit-client-secret", "hush"],
            "reddit.credentials",
            "fail",
            "reddit.client_secret",
        ),
        (
            ["--reddit-client-id", "hush"],
            "reddit.credentials",
            "fail",
            "reddit.client_id",
        ),
        (["--reddit-api-url", &nobody], "reddit", "fail", "proxy.url"),
        (
            ["--arctic-shift-url", &nobody],
            "archive",
            "warn",
            "proxy.url",
        ),
        (
            ["--http-listen", &listen],
            "http.listen",
            "fail",
            "--http-listen 127.0.0.1:8081",
        ),
        (
            ["--http-listen", "192.0.2.1:8080"],
            "http.listen",
            "fail",
            "127.0.0.1",
        ),
        (
            ["--database-url", "sqlite:///no/such/folder/x.db"],
            "disk",
            "fail",
            "Make the folder",
        ),
    ] {
        is(&home, &flags, check, state, words).await;
    }
    home.write(
        "freshet.toml",
        &format!("[arctic_shift]\nurl = \"{}\"\n", world.url()),
    );
    is(&home, &[], "reddit.credentials", "fail", "freshet demo").await;
    let mut command = home.command(&["doctor", "--json"]);
    command.env("FRESHET_DATABASE__URL", "mysql://me:hush@host/db");
    let ended = finish(&mut command)
        .await
        .ended_with(2)
        .says(&["database.url"]);
    assert!(!ended.stderr.contains("hush"), "{ended:#?}");
    home.write("garbage.db", &"no database at all".repeat(100));
    let words = "something other than an SQLite database";
    let (checks, _) = examined(&home, &["--database-url", "sqlite://garbage.db"]).await;
    let named = checks.iter().find(|it| it["check"] == "database").unwrap();
    assert!(
        named["remedy"].as_str().unwrap().contains(words),
        "{named:#}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_database_is_named() {
    let (_world, home) = healthy().await;
    let url = fresh_database().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let at = |url: &str| ["--database-url".to_owned(), url.to_owned()];
    let check = async |url: &str, check: &str, state: &str, words: &str| {
        let at = at(url);
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        is(&home, &at, check, state, words).await;
    };
    check(&url, "database.schema", "warn", "freshet migrate").await;
    let missing = url.replace("/test_", "/missing_");
    check(&missing, "database", "fail", "Make the database first").await;
    let nobody = format!("postgres://me:hush@127.0.0.1:{}/db", free_port());
    check(&nobody, "database", "fail", "running").await;
    admin
        .execute("CREATE ROLE doctor_nobody LOGIN")
        .await
        .unwrap();
    let stranger = url.replace("postgres@", "doctor_nobody@");
    check(&stranger, "database.rights", "fail", "GRANT CREATE").await;
    home.run(&["migrate", "--database-url", &url])
        .await
        .ended_with(0);
    let grants = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO doctor_nobody";
    admin.execute(grants).await.unwrap();
    check(&stranger, "database.rights", "fail", "").await;
    let grants =
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO doctor_nobody;
        REVOKE DELETE ON fetches FROM doctor_nobody";
    admin.execute(grants).await.unwrap();
    check(&stranger, "database.rights", "fail", "DELETE").await;
    admin
        .execute("GRANT DELETE ON fetches TO doctor_nobody")
        .await
        .unwrap();
    check(&stranger, "database.rights", "ok", "").await;
    let made_up = "SELECT count(*) FROM submissions";
    let made_up: i64 = sqlx::query_scalar(made_up)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(made_up, 0, "it changes nothing");
    for (named, break_it, mend, words) in [
        (
            "database.schema",
            "ALTER TABLE gaps RENAME TO lost",
            "ALTER TABLE lost RENAME TO gaps",
            "Restore a backup",
        ),
        (
            "database.rights",
            "ALTER TABLE submissions RENAME score TO points",
            "ALTER TABLE submissions RENAME points TO score",
            "",
        ),
        (
            "database.rights",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON submissions EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON submissions",
            "a trigger",
        ),
    ] {
        admin.execute(break_it).await.unwrap();
        check(&url, named, "fail", words).await;
        admin.execute(mend).await.unwrap();
    }
    let read_only = "ALTER ROLE doctor_nobody SET default_transaction_read_only = on";
    admin.execute(read_only).await.unwrap();
    check(
        &stranger,
        "database.mode",
        "fail",
        "default_transaction_read_only",
    )
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_redis_is_named() {
    let (_world, home) = healthy().await;
    let start = || tokio::task::spawn_blocking(RedisServer::start);
    let server = start().await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let url = server.url();
    let at = ["--queue-url", url.as_str()];
    let mut set = async |name: &str, value: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(name).arg(value);
        command.exec_async(&mut admin).await.unwrap();
    };
    is(&home, &at, "queue.rights", "ok", "").await;
    set("appendonly", "no").await;
    is(&home, &at, "queue.persistence", "warn", "appendonly yes").await;
    set("maxmemory-policy", "allkeys-lru").await;
    is(&home, &at, "queue.policy", "warn", "noeviction").await;
    set("maxmemory", "100mb").await;
    is(&home, &at, "queue.policy", "fail", "noeviction").await;
    // Whoever does not ask is told once, at the start.
    let run = home.start(&["run", "--queue-url", &url, "--http-listen", "127.0.0.1:0"]);
    run.address().await;
    let told = run.log();
    let told = told.iter().filter(|it| it["policy"] == "allkeys-lru");
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{}", run.stderr());
    assert_eq!(told[0]["level"], "WARN");
    assert!(told[0]["remedy"].as_str().unwrap().contains("noeviction"));
    set("maxmemory-policy", "noeviction").await;
    // Beside what a running process keeps there.
    run.until_code("/readyz", 200).await;
    is(&home, &at, "queue.rights", "ok", "").await;
    drop(run);
    set("maxmemory", "1").await;
    is(&home, &at, "queue.memory", "fail", "maxmemory").await;
    set("maxmemory", "0").await;
    let mut replica = redis::cmd("REPLICAOF");
    replica.arg("127.0.0.1").arg(1);
    let mut second = client.get_multiplexed_async_connection().await.unwrap();
    replica.exec_async(&mut second).await.unwrap();
    is(&home, &at, "queue.role", "fail", "REPLICAOF NO ONE").await;
    let mut primary = redis::cmd("REPLICAOF");
    primary
        .arg("NO")
        .arg("ONE")
        .exec_async(&mut second)
        .await
        .unwrap();
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER")
        .arg("narrow")
        .arg("on")
        .arg(">hush")
        .arg("~other:*")
        .arg("+@all");
    user.exec_async(&mut second).await.unwrap();
    let narrow = url.replace("redis://", "redis://narrow:hush@");
    is(&home, &["--queue-url", &narrow], "queue.rights", "fail", "").await;
    for lacking in [
        "resetkeys ~freshet:doctor:* ~freshet-backfill:* ~core:*",
        "resetkeys ~freshet:* ~core:*",
        "resetkeys ~freshet:* ~freshet-backfill:*",
        "~* -scan",
        "~* -evalsha",
    ] {
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("narrow").arg("+@all");
        lacking.split(' ').for_each(|word| {
            user.arg(word);
        });
        user.exec_async(&mut second).await.unwrap();
        is(&home, &["--queue-url", &narrow], "queue.rights", "fail", "").await;
    }
    let wrong = url.replace("redis://", "redis://narrow:hush-hush@");
    is(&home, &["--queue-url", &wrong], "queue", "fail", "password").await;
    let nobody = format!("redis://:hush@127.0.0.1:{}", free_port());
    is(&home, &["--queue-url", &nobody], "queue", "fail", "running").await;
}
