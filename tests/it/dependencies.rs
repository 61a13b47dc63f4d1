//! What a process says while something that it depends on cannot do its work, and how it recovers.
//!
//! Each case is a fault of a real server or a real file: the process is not ready while it lasts, says
//! why and what to do everywhere, logs one line at its start and one at its end, and works again
//! afterwards without a restart.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::pipeline::until;
use super::support::postgres::{PostgresServer, fresh_database};
use super::support::proxy::Proxy;
use super::support::redis::RedisServer;
use super::support::world::World;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use std::net::SocketAddr;

/// A process with JSON logs, which writes all the time.
pub async fn start(home: &Home, database: &str, queue: &str) -> Process {
    let run = home.start(&[
        "run",
        "rust",
        "--log-format",
        "json",
        "--database-url",
        database,
        "--queue-url",
        queue,
    ]);
    run.until_code("/readyz", 200).await;
    run
}

/// The lines of this message about a dependency.
fn lines(run: &Process, message: &str, dependency: &str) -> Vec<Value> {
    let mut log = run.log();
    log.retain(|line| {
        line["dependency"] == dependency && line["message"].as_str().unwrap().starts_with(message)
    });
    log
}

/// How often a fault of this dependency was logged and how often its end.
pub fn told(run: &Process, dependency: &str) -> (usize, usize) {
    let starts = lines(run, "Dependency is failing", dependency).len();
    (starts, lines(run, "Dependency recovered", dependency).len())
}

/// It is not ready for this reason, and says so wherever it says anything.
pub async fn fails(run: &Process, dependency: &str, class: &str, before: (usize, usize)) {
    until(&format!("{dependency}: {class}"), PATIENCE, async || {
        let answer = run.get("/readyz").await;
        answer.is_some_and(|(code, body)| {
            let body: Value = serde_json::from_str(&body).unwrap();
            let why = body[dependency].as_str().unwrap_or_default().to_owned();
            code == 503 && why.starts_with(class) && why.contains(" since 20")
        })
    })
    .await;
    // The log is written beside the work.
    until("its start is logged", PATIENCE, async || {
        told(run, dependency).0 > before.0
    })
    .await;
    let lines = lines(run, "Dependency is failing", dependency);
    assert_eq!(lines.len(), before.0 + 1, "{lines:#?}");
    let line = lines.last().unwrap();
    assert_eq!(line["level"], "WARN");
    for field in ["class", "error", "remedy"] {
        assert!(
            line[field].as_str().is_some_and(|it| !it.is_empty()),
            "{line}"
        );
    }
    // A slow machine may see a time-out between two answers.
    let mut body = Value::Null;
    until("the status shows it", PATIENCE, async || {
        let (_, status) = run.get("/api/v1/status").await.unwrap_or_default();
        body = serde_json::from_str(&status).unwrap_or_default();
        let mut shown = body["dependencies"].as_array().into_iter().flatten();
        shown.any(|it| it["name"] == dependency && it["class"] == class)
    })
    .await;
    let shown = body["dependencies"].as_array().unwrap().iter();
    let shown = shown.clone().find(|it| it["name"] == dependency).unwrap();
    assert_eq!(
        (&shown["works"], &shown["class"]),
        (&false.into(), &class.into())
    );
    assert!(shown["since"].as_i64().is_some() && shown["remedy"].is_string());
    let (_, page) = run.get("/").await.unwrap();
    assert!(page.contains(class), "{page}");
    run.until_gauge("freshet_dependency_up", ("dependency", dependency), |it| {
        it == 0.0
    })
    .await;
}

/// It recovers without help.
pub async fn recovers(run: &Process, dependency: &str, before: (usize, usize)) {
    run.until_code("/readyz", 200).await;
    until("its end is logged", PATIENCE, async || {
        told(run, dependency) == (before.0 + 1, before.1 + 1)
    })
    .await;
    run.until_gauge("freshet_dependency_up", ("dependency", dependency), |it| {
        it == 1.0
    })
    .await;
}

pub async fn server<T: Send + 'static>(start: fn() -> T) -> T {
    tokio::task::spawn_blocking(start).await.unwrap()
}

const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = 'app' AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_postgres_takes_no_writes_shows_and_is_recovered_from() {
    let postgres = server(PostgresServer::start).await;
    let mut root = PgConnection::connect(&postgres.url("postgres"))
        .await
        .unwrap();
    root.execute("CREATE ROLE app LOGIN").await.unwrap();
    root.execute("CREATE DATABASE app OWNER app").await.unwrap();
    let mut operator = PgConnection::connect(&postgres.url("app")).await.unwrap();
    operator
        .execute("GRANT ALL ON SCHEMA public TO app")
        .await
        .unwrap();
    let world = World::with(5).await;
    let home = world.home();
    let queue = format!("sqlite://{}", home.path().join("queue.db").display());
    let url = postgres.url("app").replace("postgres@", "app@");
    let run = start(&home, &url, &queue).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    for (class, fault, mend) in [
        (
            "read_only",
            vec![
                "ALTER DATABASE app SET default_transaction_read_only = on",
                END_SESSIONS,
            ],
            // The sessions that began meanwhile stay as they are.
            vec!["ALTER DATABASE app RESET default_transaction_read_only"],
        ),
        (
            "missing_schema",
            vec!["ALTER SCHEMA public RENAME TO gone", "CREATE SCHEMA public"],
            vec!["DROP SCHEMA public", "ALTER SCHEMA gone RENAME TO public"],
        ),
        (
            "no_permission",
            vec!["REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app"],
            vec!["GRANT ALL ON ALL TABLES IN SCHEMA public TO app"],
        ),
        (
            "credentials_rejected",
            vec!["ALTER ROLE app NOLOGIN", END_SESSIONS],
            vec!["ALTER ROLE app LOGIN"],
        ),
        // Of a provider that tells of its quota by a code of its own.
        (
            "full",
            vec![
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = TG_ARGV[0]; END $$",
                "CREATE TRIGGER refuse BEFORE INSERT ON submissions
                    FOR EACH ROW EXECUTE FUNCTION refuse('53400')",
            ],
            vec!["DROP TRIGGER refuse ON submissions"],
        ),
        // Whatever refuses every submission, while all other tables take their rows.
        (
            "refuses",
            vec![
                "CREATE TRIGGER refuse BEFORE INSERT ON submissions
                    FOR EACH ROW EXECUTE FUNCTION refuse('P0001')",
            ],
            vec!["DROP TRIGGER refuse ON submissions"],
        ),
    ] {
        let before = told(&run, "database");
        for sql in fault {
            root.execute("SELECT 1").await.unwrap();
            operator
                .execute("SET default_transaction_read_only = off")
                .await
                .unwrap();
            operator.execute(sql).await.unwrap();
        }
        world.publish("rust", None);
        fails(&run, "database", class, before).await;
        for sql in mend {
            operator.execute(sql).await.unwrap();
        }
        recovers(&run, "database", before).await;
    }
    run.until_status("everything is stored", |it| {
        it["fetched"] == 11 && it["discovered"] == 11
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_redis_takes_no_jobs_shows_and_is_recovered_from() {
    let redis = server(RedisServer::start).await;
    let mut operator = operator(&redis).await;
    ask(&mut operator, "ACL SETUSER app on >pass ~* &* +@all").await;
    let world = World::with(5).await;
    let home = world.home();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let url = redis.url().replace("redis://", "redis://app:pass@");
    let run = start(&home, &database, &url).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    let workers = "freshet:workers";
    let lacking_a_key = format!("ACL SETUSER app resetkeys ~freshet:budget:* %R~{workers}");
    for (class, fault, mend) in [
        ("full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("no_permission", &lacking_a_key, "ACL SETUSER app ~*"),
        (
            "no_permission",
            "ACL SETUSER app -hset",
            "ACL SETUSER app +@all",
        ),
        (
            "credentials_rejected",
            "ACL DELUSER app",
            "ACL SETUSER app on >pass ~* &* +@all",
        ),
        (
            "not_serving",
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
        // Another program writes where the queue is.
        ("corrupt", "SET freshet:active theirs", "DEL freshet:active"),
    ] {
        let before = told(&run, "queue");
        ask(&mut operator, fault).await;
        fails(&run, "queue", class, before).await;
        ask(&mut operator, mend).await;
        recovers(&run, "queue", before).await;
        world.publish("rust", None);
    }
    run.until_status("everything is stored", |it| it["fetched"] == 12)
        .await;
    for line in run.stderr().lines() {
        assert!(!line.contains("pass@") && !line.contains(">pass"), "{line}");
    }
}

async fn operator(redis: &RedisServer) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn ask(connection: &mut redis::aio::MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut asked = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        asked.arg(word);
    });
    let _: redis::Value = asked.query_async(connection).await.unwrap();
}

fn address(url: &str) -> SocketAddr {
    let url: reqwest::Url = url.parse().unwrap();
    let port = url.port().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_fails_over_behind_its_address_is_followed() {
    let old = server(PostgresServer::start).await;
    let mut operator = PgConnection::connect(&old.url("postgres")).await.unwrap();
    let way = Proxy::start(address(&old.url("postgres")));
    let world = World::with(5).await;
    let home = world.home();
    let queue = format!("sqlite://{}", home.path().join("queue.db").display());
    let to = way.address();
    let url = format!("postgres://postgres@{to}/postgres?sslmode=disable");
    let run = start(&home, &url, &queue).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    let (old, new) = tokio::task::spawn_blocking(move || {
        let new = PostgresServer::standby_of(&old);
        (old, new)
    })
    .await
    .unwrap();
    // The old one takes no writes any more, and keeps its connections.
    for sql in [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ] {
        operator.execute(sql).await.unwrap();
    }
    fails(&run, "database", "read_only", (0, 0)).await;
    let written: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    let mut standby = PgConnection::connect(&new.url("postgres")).await.unwrap();
    let caught_up = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AND pg_promote()";
    let promoted = async {
        loop {
            let query = sqlx::query_scalar(caught_up).bind(&written);
            let done: bool = query.fetch_one(&mut standby).await.unwrap();
            if done {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, promoted).await.unwrap();
    way.lead_to(address(&new.url("postgres")));
    recovers(&run, "database", (0, 0)).await;
    world.publish("rust", None);
    run.until_status("it goes on", |it| it["fetched"] == 6)
        .await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM submissions")
        .fetch_one(&mut standby)
        .await
        .unwrap();
    assert_eq!(stored, 6, "in the new one");
    drop(old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_fails_over_behind_its_address_is_followed() {
    let old = server(RedisServer::start).await;
    let new = server(RedisServer::start).await;
    let way = Proxy::start(address(&old.url()));
    let world = World::with(5).await;
    let home = world.home();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let run = start(&home, &database, &format!("redis://{}/", way.address())).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    // New connections lead to the new primary; those that are open stay with the old one.
    way.lead_to(address(&new.url()));
    let new_url: reqwest::Url = new.url().parse().unwrap();
    let replicate = format!("REPLICAOF 127.0.0.1 {}", new_url.port().unwrap());
    ask(&mut operator(&old).await, &replicate).await;
    until("it is logged", PATIENCE, async || {
        told(&run, "queue").0 == 1
    })
    .await;
    world.publish("rust", None);
    recovers(&run, "queue", (0, 0)).await;
    run.until_status("it goes on", |it| it["fetched"] == 6)
        .await;
}

/// Whatever is asked of one table waits; all else of the server works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_another_session_holds_for_long_is_an_outage_that_says_which_session() {
    let database = fresh_database().await;
    let world = World::with(3).await;
    let home = world.home();
    let queue = format!("sqlite://{}", home.path().join("queue.db").display());
    let run = start(&home, &database, &queue).await;
    run.until_status("it works", |it| it["fetched"] == 3).await;
    let mut other = PgConnection::connect(&database).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut other)
        .await
        .unwrap();
    let lock = "BEGIN; LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE";
    other.execute(lock).await.unwrap();
    world.publish("rust", None);
    fails(&run, "database", "locked", (0, 0)).await;
    let line = &lines(&run, "Dependency is failing", "database")[0];
    let said = |field: &str| line[field].as_str().unwrap().to_owned();
    assert!(said("error").contains(&format!("({pid})")), "{line}");
    assert!(said("remedy").contains("pg_blocking_pids"), "{line}");
    other.execute("COMMIT").await.unwrap();
    recovers(&run, "database", (0, 0)).await;
    run.until_status("it goes on", |it| it["fetched"] == 4)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_redis_that_holds_queue_and_budget_is_logged_once() {
    let mut redis = server(RedisServer::start).await;
    let world = World::with(5).await;
    let home = world.home();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let run = start(&home, &database, &redis.url()).await;
    run.until_status("it works", |it| it["fetched"] == 5).await;
    let cases = [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET requirepass new", "CONFIG SET requirepass \"\""),
        (
            "ACL SETUSER default -evalsha -eval",
            "ACL SETUSER default +@all",
        ),
        ("killed", "restarted"),
        ("frozen", "thawed"),
    ];
    for (number, (fault, mend)) in cases.into_iter().enumerate() {
        let mut operator = operator(&redis).await;
        match fault {
            "killed" => redis.kill(),
            "frozen" => redis.freeze(),
            // Those that are connected stay so.
            "CONFIG SET requirepass new" => {
                ask(&mut operator, fault).await;
                ask(&mut operator, "CLIENT KILL TYPE normal SKIPME yes").await;
            }
            fault => ask(&mut operator, fault).await,
        }
        let shown = run
            .until_status("both fail", |status| {
                let mut both = both(status);
                both.all(|it| it["works"] == false)
            })
            .await;
        let remedies: Vec<&Value> = both(&shown).map(|it| &it["remedy"]).collect();
        assert_eq!(remedies.len(), 2);
        assert_eq!(remedies[0], remedies[1], "{fault}: {shown:#}");
        match mend {
            "restarted" => redis.restart(),
            "thawed" => redis.thaw(),
            "CONFIG SET requirepass \"\"" => {
                let mut clear = redis::cmd("CONFIG");
                clear.arg("SET").arg("requirepass").arg("");
                let _: redis::Value = clear.query_async(&mut operator).await.unwrap();
            }
            mend => ask(&mut operator, mend).await,
        }
        run.until_code("/readyz", 200).await;
        until("its end is logged", PATIENCE, async || {
            count(&run, "Dependency recovered") == number + 1
        })
        .await;
        assert_eq!(count(&run, "Dependency is failing"), number + 1, "{fault}");
        world.publish("rust", None);
    }
    run.until_status("everything is stored", |it| it["fetched"] == 11)
        .await;
    assert_eq!(count(&run, "Dependency is failing"), cases.len());
    assert_eq!(count(&run, "Dependency recovered"), cases.len());
    let mut warned = run.log();
    let simulated = |it: &Value| it["message"].as_str().unwrap().starts_with("SIMULATED");
    let bad = |it: &Value| it["level"] == "WARN" || it["level"] == "ERROR";
    warned.retain(|it| bad(it) && it["remedy"].is_null() && !simulated(it));
    assert_eq!(warned, Vec::<Value>::new());
}

/// Lines of this message, whatever they are about.
fn count(run: &Process, message: &str) -> usize {
    let log = run.log();
    let told = |it: &&Value| it["message"].as_str().unwrap().starts_with(message);
    log.iter().filter(told).count()
}

/// What the process itself shows of the two dependencies that are one Redis.
fn both(status: &Value) -> impl Iterator<Item = &Value> {
    let shown = status["dependencies"].as_array().unwrap();
    shown
        .iter()
        .filter(|it| it["process"].is_null())
        .filter(|it| it["name"] == "queue" || it["name"] == "budget")
}
