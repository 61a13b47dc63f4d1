//! The least that each user needs: the roles and the ACL of docs/operations.md, and readers that may
//! not write.

use crate::support::binary::{Finished, Home, finish};
use crate::support::postgres::{PostgresServer, fresh_database};
use crate::support::redis::RedisServer;
use crate::support::world::World;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The commands that only look.
const LOOKING: [&[&str]; 8] = [
    &["status"],
    &["status", "--json"],
    &["coverage"],
    &["export"],
    &["gaps", "list"],
    &["jobs", "dead"],
    &["subreddits", "list"],
    &["backfill", "list"],
];

/// The fenced block of docs/operations.md after these words.
fn documented(after: &str) -> String {
    let (_, rest) = OPERATIONS.split_once(after).unwrap();
    let (_, block) = rest.split_once("```").unwrap();
    let (_, block) = block.split_once('\n').unwrap();
    block.split("```").next().unwrap().to_owned()
}

async fn looks(home: &Home, url: &str) {
    for words in LOOKING {
        let at = ["--database-url", url];
        home.run(&[words, &at].concat()).await.ended_with(0);
    }
}

#[tokio::test]
async fn the_documented_roles_of_postgres_are_enough_and_readers_need_no_more_than_reading() {
    let world = World::with(5).await;
    let home = world.home();
    let admin = fresh_database().await;
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let database = admin.split('?').next().unwrap().rsplit('/').next().unwrap();
    // Roles belong to the whole server, which other tests share.
    let named = |text: &str| {
        text.replace("freshet_owner", "o_rights")
            .replace("freshet_reader", "r_rights")
            .replace("freshet_app", "a_rights")
            .replace("DATABASE freshet", &format!("DATABASE {database}"))
    };
    let sql = named(&documented("<!-- postgres roles -->"));
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    let url = |role: &str| admin.replace("postgres@", &format!("{role}@"));
    let (owner, app, reader) = (url("o_rights"), url("a_rights"), url("r_rights"));
    let at = |url: &str| ["--database-url".to_owned(), url.to_owned()];
    let run = async |words: &[&str], url: &str| -> Finished {
        let at = at(url);
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain(at.iter().map(String::as_str))
            .collect();
        home.run(&words).await
    };
    // Nobody but the owner makes tables, and readers say what is missing.
    run(&["status"], &reader)
        .await
        .ended_with(1)
        .says(&["freshet migrate"]);
    run(&["migrate"], &owner).await.ended_with(0);
    run(&["migrate"], &app).await.ended_with(0);
    let mut running = home.start(&["run", "rust", "--database-url", &app]);
    running
        .until_status("it works", |it| it["fetched"] == 5)
        .await;
    looks(&home, &reader).await;
    let refused = run(&["subreddits", "add", "windows"], &reader).await;
    refused.ended_with(1).says(&["permission denied"]);
    running.signal("TERM");
    running.end(crate::support::binary::PATIENCE).await;
    // Older tables are named, not changed.
    let older =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    connection.execute(older).await.unwrap();
    run(&["export"], &reader)
        .await
        .ended_with(1)
        .says(&["an older freshet", "freshet migrate"]);
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_read() {
    let server = tokio::task::spawn_blocking(PostgresServer::start)
        .await
        .unwrap();
    let url = server.url("postgres");
    let home = Home::new();
    home.run(&["subreddits", "add", "rust", "--database-url", &url])
        .await
        .ended_with(0);
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let read_only = "ALTER DATABASE postgres SET default_transaction_read_only = on";
    admin.execute(read_only).await.unwrap();
    looks(&home, &url).await;
    let checks = home
        .run(&["doctor", "--json", "--database-url", &url])
        .await;
    let checks: serde_json::Value = serde_json::from_str(&checks.stdout).unwrap();
    let mode = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == "database.mode");
    assert_eq!(mode.unwrap()["state"], "fail", "{checks:#}");
}

/// Runs the program as somebody who may write nowhere.
async fn as_nobody(home: &Home, words: &[&str]) -> Finished {
    let mut command = home.command(words);
    let id = std::process::Command::new("id").arg("-u").output().unwrap();
    if id.stdout.starts_with(b"0") {
        command.uid(65_534).gid(65_534);
    }
    finish(&mut command).await
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_in_a_folder_that_is_not_to_be_written_to_is_read() {
    let home = Home::new();
    home.run(&["subreddits", "add", "rust"]).await.ended_with(0);
    mode(&home.path().join("freshet.db"), 0o444);
    mode(home.path(), 0o555);
    for words in LOOKING {
        as_nobody(&home, words).await.ended_with(0);
    }
    let list = as_nobody(&home, &["subreddits", "list"]).await;
    assert!(list.stdout.contains("rust"), "{list:?}");
    let files: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    as_nobody(&home, &["subreddits", "add", "windows"])
        .await
        .ended_with(1)
        .says(&["database.url"]);
    // What was written last is in a log that cannot be opened: then it is said, not left out.
    mode(home.path(), 0o755);
    home.write("freshet.db-wal", "something");
    mode(&home.path().join("freshet.db-wal"), 0o400);
    mode(home.path(), 0o555);
    let ended = as_nobody(&home, &["export"]).await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    mode(home.path(), 0o755);
}

#[tokio::test]
async fn the_documented_user_of_redis_is_enough() {
    let server = tokio::task::spawn_blocking(RedisServer::start)
        .await
        .unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let rule = documented("<!-- redis user -->")
        .replace("\\\n", " ")
        .replace("PASSWORD", "sesame");
    let words: Vec<&str> = rule.split_whitespace().collect();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.exec_async(&mut admin).await.unwrap();
    let url = server.url().replace("redis://", "redis://freshet:sesame@");
    let world = World::with(20).await;
    let home = world.home();
    let at = ["--queue-url", &url];
    let checks = home.run(&[&["doctor", "--json"], &at[..]].concat()).await;
    let told: serde_json::Value = serde_json::from_str(&checks.stdout).unwrap();
    let rights = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == "queue.rights");
    assert_eq!(rights.unwrap()["state"], "ok", "{told:#}");
    let mut running = home.start(&[&["run", "rust"], &at[..]].concat());
    running
        .until_status("it works", |it| it["fetched"] == 20)
        .await;
    running.signal("TERM");
    running.end(crate::support::binary::PATIENCE).await;
    let refused: Vec<redis::Value> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut admin)
        .await
        .unwrap();
    // Its client says who it is where Redis is new enough, and goes on where it may not.
    let heeded = |it: &&redis::Value| !format!("{it:?}").contains("setinfo");
    let refused: Vec<_> = refused.iter().filter(heeded).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
