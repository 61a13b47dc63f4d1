//! Wrong turns: each ends with a message that says what to do, and with the right status.

use super::support::binary::{Finished, Home, PATIENCE, finish};
use super::support::canned::{Answer, Server};
use super::support::postgres::fresh_database;
use super::support::redis::free_port;
use super::support::world::World;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpListener;

/// Commands that open the database.
const OPENING: [&[&str]; 4] = [
    &["migrate"],
    &["status"],
    &["subreddits", "list"],
    &[
        "run",
        "--reddit-client-id",
        "x",
        "--http-listen",
        "127.0.0.1:0",
    ],
];

async fn each_says(home: &Home, flags: &[&str], words: &[&str]) {
    for command in OPENING {
        let ended = home.run(&[command, flags].concat()).await.ended_with(1);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        once(&ended);
        ended.says(words);
    }
}

/// No sentence is there twice.
fn once(ended: &Finished) {
    let last = ended.stderr.lines().filter(|line| !line.starts_with('{'));
    for line in last {
        let parts: Vec<&str> = line.split(": ").filter(|it| it.len() > 12).collect();
        for (index, part) in parts.iter().enumerate() {
            assert!(!parts[index + 1..].contains(part), "{line}");
        }
    }
}

#[tokio::test]
async fn whoever_only_looks_makes_no_database_at_a_mistyped_path() {
    let home = Home::new();
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["coverage"],
        &["export"],
        &["jobs", "dead"],
        &["jobs", "retry", "--all"],
        &["subreddits", "list"],
        &["subreddits", "pause", "rust"],
        &["subreddits", "resume", "rust"],
        &["subreddits", "remove", "rust"],
    ] {
        let line = [command, &["--database-url", "sqlite://freshte.db"]].concat();
        let ended = home.run(&line).await.ended_with(1);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        ended.says(&[
            "no database at sqlite://freshte.db",
            "database.url",
            "freshet migrate",
        ]);
    }
    let made = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(made, 0, "nothing was made");

    // A queue is made by whoever needs one.
    home.run(&["subreddits", "add", "rust"]).await.ended_with(0);
    let status = home.run(&["status"]).await.ended_with(0);
    assert!(
        status.stdout.contains("no job has come through yet"),
        "{status:?}"
    );
    let names = std::fs::read_dir(home.path()).unwrap();
    let names: Vec<String> = names
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("queue"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    for command in [&["run", "--reddit-client-id", "x"][..], &["demo"]] {
        let line = [command, &["--http-listen", &listen]].concat();
        let ended = home.run(&line).await.ended_with(1);
        ended.says(&["http.listen", &listen, "in use", "--http-listen"]);
    }
    assert!(!home.path().join("freshet.db").exists(), "nothing was made");
}

#[tokio::test]
async fn a_database_file_that_cannot_be_is_named_with_what_to_look_at() {
    let home = Home::new();
    home.write("letter.db", &"Dear database, ".repeat(100));
    std::fs::create_dir(home.path().join("folder.db")).unwrap();
    for (url, advice) in [
        ("sqlite://nowhere/freshet.db", "Does its folder exist"),
        ("sqlite://folder.db", "Does its folder exist"),
        ("sqlite://letter.db", "other than an SQLite database"),
    ] {
        let flags = ["--database-url", url];
        each_says(&home, &flags, &["database.url", url, advice]).await;
        let run = [OPENING[3], &["--queue-url", url]].concat();
        let ended = home.run(&run).await.ended_with(1);
        once(&ended);
        ended.says(&["queue.url", url, advice]);
    }
}

#[tokio::test]
async fn a_database_file_that_may_not_be_written_is_named() {
    let home = Home::new();
    home.run(&["migrate"]).await.ended_with(0);
    let file = home.path().join("freshet.db");
    for name in ["freshet.db", "."] {
        let path = home.path().join(name);
        let mode = if name == "." { 0o555 } else { 0o444 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    if std::fs::OpenOptions::new().append(true).open(file).is_ok() {
        println!("left out: this user may write anywhere");
    } else {
        let ended = home.run(&["subreddits", "add", "rust"]).await.ended_with(1);
        ended.says(&["database.url", "allowed to write"]);
    }
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn servers_that_are_not_there_are_waited_for_and_then_named() {
    let home = Home::new();
    let port = free_port();
    let database = format!("postgres://me:hush-hush@127.0.0.1:{port}/freshet");
    let queue = format!("redis://me:hush-hush@127.0.0.1:{port}/");
    let mut no_database = home.command(&[OPENING[3], &["--database-url", &database]].concat());
    let mut no_queue = home.command(&[OPENING[3], &["--queue-url", &queue]].concat());
    let (no_database, no_queue) = tokio::join!(finish(&mut no_database), finish(&mut no_queue));
    for (ended, key) in [(no_database, "database.url"), (no_queue, "queue.url")] {
        assert!(!ended.stderr.contains("hush-hush"), "{ended:?}");
        once(&ended);
        let port = port.to_string();
        ended.ended_with(1).says(&[
            "does not answer yet; waiting up to 30 s",
            key,
            &port,
            "running, and can this machine reach it?",
        ]);
    }
}

/// A command that somebody waits for says within seconds which server does not answer, also where that
/// accepts connections and is silent; only a process that is to run waits for one that comes up.
#[tokio::test]
async fn a_command_says_soon_which_server_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().port();
    let home = Home::new();
    let commands: [&[&str]; 12] = [
        &["migrate"],
        &["status", "--http-listen=127.0.0.1:1"],
        &["coverage"],
        &["export"],
        &["subreddits", "list"],
        &["subreddits", "add", "rust"],
        &["jobs", "dead"],
        &["jobs", "retry", "--all"],
        &["gaps", "list"],
        &["backfill", "list"],
        &["backfill", "rust", "--since", "2d", "--dry-run"],
        &["backfill", "pause", "1"],
    ];
    for port in [free_port(), silent] {
        let database = format!("postgres://me:hush-hush@127.0.0.1:{port}/freshet");
        let ends = commands.map(|command| {
            let line = [command, &["--database-url", &database]].concat();
            let mut command = home.command(&line);
            async move { finish(&mut command).await }
        });
        for ended in futures::future::join_all(ends).await {
            assert!(!ended.stderr.contains("hush-hush"), "{ended:?}");
            let soon = ["waiting up to 4 s", "no answer within 4 s"];
            let soon = soon.iter().any(|it| ended.stderr.contains(it));
            assert!(soon && !ended.stderr.contains("30 s"), "{ended:?}");
            once(&ended);
            let port = port.to_string();
            let reach = "running, and can this machine reach it?";
            ended
                .ended_with(1)
                .says(&["database.url", "cannot be opened", &port, reach]);
        }
        // A backfill asks the archive from the budget that is shared there.
        let queue = format!("redis://127.0.0.1:{port}/");
        let line = ["backfill", "rust", "--since", "2d", "--queue-url", &queue];
        let ended = home.run(&line).await.ended_with(1);
        ended.says(&["queue.url", &port.to_string(), "cannot be opened"]);
    }
}

/// Whoever has only seen the demo finds what it stored.
#[tokio::test]
async fn where_only_the_demo_was_here_its_database_is_named() {
    let home = Home::new();
    let option = "--database-url sqlite://freshet-demo.db";
    let ended = home.run(&["status"]).await.ended_with(1);
    assert!(!ended.stderr.contains(option), "{ended:?}");
    let file = ["--database-url", "sqlite://freshet-demo.db"];
    home.run(&[&["migrate"][..], &file].concat())
        .await
        .ended_with(0);
    for command in ["status", "coverage", "export"] {
        let ended = home.run(&[command]).await.ended_with(1);
        ended.says(&["no database at sqlite://freshet.db", option]);
        home.run(&[&[command][..], &file].concat())
            .await
            .ended_with(0);
    }
    // Who names one of their own means that one.
    let other = ["status", "--database-url", "sqlite://mine.db"];
    let ended = home.run(&other).await.ended_with(1);
    assert!(!ended.stderr.contains(option), "{ended:?}");
}

#[tokio::test]
async fn a_postgres_that_refuses_is_named_with_what_to_do() {
    let home = Home::new();
    let url = fresh_database().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    admin
        .execute("CREATE ROLE without_rights LOGIN")
        .await
        .unwrap();
    let as_user = url.replace("postgres@", "without_rights@");
    each_says(
        &home,
        &["--database-url", &as_user],
        &["database.url", "allowed to create tables"],
    )
    .await;
    let missing = url.replace("/test_", "/missing_");
    each_says(
        &home,
        &["--database-url", &missing],
        &["database.url", "does not exist", "Make the database first"],
    )
    .await;
    let stranger = url.replace("postgres@", "stranger:hush-hush@");
    each_says(
        &home,
        &["--database-url", &stranger],
        &["database.url", "user and the password"],
    )
    .await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_used_and_of_another_build_refused() {
    let home = Home::new();
    home.run(&["migrate"]).await.ended_with(0);
    let file = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&file).await.unwrap();
    // As an upgrade leaves it that was taken back: steps only ever add.
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', TRUE, x'00', 1)";
    database.execute(newer).await.unwrap();
    let world = World::with(5).await;
    home.write("freshet.toml", &world.configuration());
    let mut run = home.start(&["run", "rust"]);
    run.until_status("it works", |it| it["fetched"] == 5).await;
    run.signal("TERM");
    assert!(run.end(PATIENCE).await.success());

    let other = "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1";
    database.execute(other).await.unwrap();
    for command in OPENING {
        let ended = home.run(command).await.ended_with(1);
        once(&ended);
        ended.says(&["database.url", "this build of freshet", "another database"]);
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_and_tried_again() {
    let refusals = [
        (
            Answer::json(200, r#"{"error": "invalid_grant"}"#),
            "invalid_grant: wrong username or password",
        ),
        (
            Answer::json(401, r#"{"message": "Unauthorized", "error": 401}"#),
            "HTTP 401",
        ),
    ];
    for (refusal, words) in refusals {
        let server = Server::raw(move |_| refusal.clone()).await;
        let home = Home::new();
        let url = server.url.as_str();
        let mut run = home.start(&[
            "run",
            "rust",
            "--reddit-client-id=the-id",
            "--reddit-client-secret=hush-hush",
            "--reddit-username=someone",
            "--reddit-password=hush-hush",
            "--http-listen=127.0.0.1:0",
            "--reddit-api-url",
            url,
            "--reddit-auth-url",
            url,
        ]);
        let line = run
            .logged("Reddit gives no access; check reddit.client_id")
            .await;
        assert_eq!(line["level"], "ERROR");
        assert!(line["error"].as_str().unwrap().contains(words), "{line}");
        // Ready all the same: nothing that restarts it would help.
        run.until_code("/readyz", 200).await;
        let told = run.stderr().matches("gives no access").count();
        assert_eq!(told, 1, "once, not at each try");
        run.signal("TERM");
        assert!(run.end(Duration::from_secs(60)).await.success());
        assert!(!run.stderr().contains("hush-hush"));
    }
}

#[tokio::test]
async fn an_outage_of_reddit_is_told_once_and_so_is_its_end() {
    let world = World::with(5).await;
    let home = world.home();
    world.outage(freshet::simulator::Fault::ErrorPage { status: 503 });
    let run = home.start(&["run", "rust"]);
    let line = run.logged("Reddit is out").await;
    assert_eq!(line["level"], "WARN");
    assert!(line["error"].as_str().unwrap().contains("503"), "{line}");
    world.quick();
    run.logged("Reddit answers again").await;
    run.until_status("it goes on", |it| it["fetched"] == 5)
        .await;
    assert_eq!(run.stderr().matches("Reddit is out").count(), 1);
}

#[tokio::test]
async fn a_reader_that_has_enough_is_no_mistake_and_a_full_disk_behind_the_output_is_one() {
    let home = Home::new();
    home.run(&["subreddits", "add", "rust"]).await.ended_with(0);
    for line in [
        &["status"][..],
        &["status", "--json"],
        &["subreddits", "list"],
        &["coverage", "rust"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        for (output, status, said) in [
            (Stdio::from(writer), 0, ""),
            (full.into(), 1, "standard output cannot be written: "),
        ] {
            let child = home.command(line).stdout(output).spawn().unwrap();
            let ended = child.wait_with_output().await.unwrap();
            let stderr = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(status), "{line:?}: {stderr}");
            assert!(stderr.contains(said), "{line:?}: {stderr}");
            assert!(!stderr.contains("panicked"), "{line:?}: {stderr}");
        }
    }
}
