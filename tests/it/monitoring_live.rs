//! What a real Prometheus finds for the dashboards and the rules in the running program.

use super::support::binary::{Home, PATIENCE};
use super::support::boards::{Query, files, queries, query, rule_files, rules, text};
use super::support::exporters::Exporter;
use super::support::past::execute;
use super::support::postgres::fresh_database;
use super::support::prometheus::Prometheus;
use super::support::redis::RedisServer;
use super::support::world::World;
use freshet::simulator::{Endpoint, Fault, Publication};
use freshet::store::{PollRecord, Store};
use freshet::submission::decode;
use futures::future::join_all;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const LOOK: Duration = Duration::from_secs(1);

/// What begins so is told by exporters of servers that the demo does without; see below.
const NOT_HERE: [(&str, &str); 2] = [
    ("redis_", "the demo's queue is a file"),
    ("pg_", "the demo's database is a file"),
];

/// Beginnings of the names of what other programs than freshet measure.
const OF_OTHERS: [&str; 5] = ["alertmanager_", "pg_", "process_", "prometheus_", "redis_"];

/// What begins so in the rules or the runbooks and has no series beside a test, and why.
const NO_SERIES: [(&str, &str); 8] = [
    ("pg_blocking_pids", "a function of Postgres"),
    ("pg_locks", "a view of Postgres"),
    ("pg_terminate_backend", "a function of Postgres"),
    (
        "alertmanager_notifications_failed_total",
        "no Alertmanager runs in a test",
    ),
    ("pg_class", "SQL"),
    ("pg_size_pretty", "SQL"),
    ("pg_stat_activity", "SQL"),
    ("pg_total_relation_size", "SQL"),
];

/// Every name of others' metrics in the rules and the runbooks, as a query.
fn names_of_others() -> Vec<Query> {
    let mut found = BTreeMap::new();
    let mut texts = files("prometheus/rules", ".yml");
    texts.push("docs/runbooks.md".to_owned());
    for file in texts {
        let text = text(&file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        for word in words.map(|word| word.trim_matches(':')) {
            if OF_OTHERS.iter().any(|prefix| word.starts_with(prefix)) {
                found.insert(word.to_owned(), file.clone());
            }
        }
    }
    for (name, why) in NO_SERIES {
        assert!(found.remove(name).is_some(), "nothing names {name}: {why}");
    }
    let names = found.into_iter();
    names.map(|(expr, place)| Query { place, expr }).collect()
}

/// Queries by place that find nothing as long as all goes well.
const ALL_IS_WELL: [(&str, &str); 0] = [];

/// Those of the queries that find nothing.
async fn empty(prometheus: &Prometheus, queries: Vec<Query>) -> Vec<Query> {
    let mut empty = Vec::new();
    for query in queries {
        match prometheus.query(&query.expr).await {
            Ok(values) if values.is_empty() => empty.push(query),
            Ok(_) => {}
            Err(error) => panic!("{}: {error}: {}", query.place, query.expr),
        }
    }
    empty
}

fn excepted(query: &Query) -> bool {
    NOT_HERE.iter().any(|(prefix, _)| query.reads(prefix))
        || ALL_IS_WELL.iter().any(|(place, _)| query.place == *place)
}

#[tokio::test]
async fn every_panel_and_every_rule_finds_something_in_the_demo() {
    let home = Home::new();
    let demo = home.start(&["demo", "--http-listen", "127.0.0.1:0"]);
    let prometheus = Prometheus::start(&rule_files()).await;
    prometheus.watch(&[demo.address().await]);
    prometheus.until_well(&["freshet", "prometheus"]).await;

    let mut all = queries();
    for (name, rule) in rules("record") {
        let expr = rule["expr"].as_str().unwrap().to_owned();
        let place = format!("rule {name}");
        all.push(Query { place, expr });
    }
    for (prefix, why) in NOT_HERE {
        assert!(all.iter().any(|it| it.reads(prefix)), "{prefix}: {why}");
    }
    for (place, why) in ALL_IS_WELL {
        assert!(all.iter().any(|it| it.place == place), "{place}: {why}");
    }
    let (exceptions, mut waits): (Vec<_>, Vec<_>) = all.into_iter().partition(excepted);
    let begun = Instant::now();
    loop {
        waits = empty(&prometheus, waits).await;
        if waits.is_empty() {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "these find nothing: {waits:#?}\n{}",
            demo.stderr()
        );
        sleep(LOOK).await;
    }
    let listed = exceptions.len();
    let still = empty(&prometheus, exceptions.clone()).await;
    let found = exceptions
        .iter()
        .filter(|it| !still.iter().any(|other| other.place == it.place));
    let found: Vec<&Query> = found.collect();
    assert_eq!(still.len(), listed, "these are no exceptions: {found:#?}");
    // Counted before the first scrape, and shown all the same.
    let panel = |title: &str| query(&format!("freshet-submissions: {title}, A")).expr;
    let stored = prometheus.query("sum(freshet_submissions_stored_total)");
    let (stored, shown) = (
        stored.await.unwrap()[0],
        prometheus.query(&panel("Stored")).await.unwrap()[0],
    );
    assert!(shown >= stored, "{shown} are shown of {stored}");
    let held = prometheus.query(&panel("In the database")).await.unwrap()[0];
    assert!(held > 0.0, "{held}");
    // The busiest of the demo's subreddits has more of a past than its listing shows.
    prometheus
        .until_shown("freshet-overview: Open gaps, A", 0.0)
        .await;
}

#[tokio::test]
async fn every_panel_of_redis_and_postgres_and_every_name_of_theirs_finds_something() {
    let world = World::with(20).await;
    let (home, database, redis) = (world.home(), fresh_database().await, RedisServer::start());
    let queue = redis.url();
    let on = ["--database-url", &database, "--queue-url", &queue];
    let process = home.start(&[&["run", "rust"], &on[..]].concat());
    let exporters = [
        ("redis", Exporter::of_redis(&queue).await),
        ("postgres", Exporter::of_postgres(&database).await),
    ];
    let prometheus = Prometheus::start(&rule_files()).await;
    prometheus.watch(&[process.address().await]);
    for (job, exporter) in &exporters {
        prometheus.watch_as(job, &[exporter.address]);
    }
    let jobs = ["freshet", "postgres", "prometheus", "redis"];
    prometheus.until_well(&jobs).await;
    let servers = |it: &Query| NOT_HERE.iter().any(|(prefix, _)| it.reads(prefix));
    let mut waits: Vec<Query> = queries().into_iter().filter(servers).collect();
    assert!(waits.len() > 12, "{}", waits.len());
    let named = names_of_others();
    assert!(named.len() > 15, "{}", named.len());
    waits.extend(named);
    let begun = Instant::now();
    while !waits.is_empty() {
        waits = empty(&prometheus, waits).await;
        assert!(begun.elapsed() < PATIENCE, "these find nothing: {waits:#?}");
        sleep(LOOK).await;
    }
}

/// What panels show of trouble, which the demo has none of.
const TROUBLE: [&str; 9] = [
    "freshet-reddit-api: Too many (429), A",
    "freshet-reddit-api: What is refused or fails?, A",
    "freshet-reddit-api: What is refused or fails?, B",
    "freshet-reddit-api: What is refused or fails?, C",
    "freshet-reddit-api: What is refused or fails?, D",
    "freshet-queue: Dead, A",
    "freshet-queue: Which jobs do not get done?, A",
    "freshet-queue: Why were jobs set aside?, A",
    "freshet-submissions: Undecodable, A",
];

/// A submission whose job has ended as many processes as may be: it is set aside before it ends another.
async fn ends_its_processes(home: &Home) {
    let object = r#"{"id":"deep","name":"t3_deep","created_utc":1700000000,"subreddit":"elsewhere","title":"A title"}"#;
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let store = Store::connect(&url, 1).await.unwrap();
    let listed = [decode(RawValue::from_string(object.to_owned()).unwrap(), 1).unwrap()];
    let poll = PollRecord {
        listed: &listed,
        undecodable: &[],
        members: &[],
        sweep: None,
        now_ms: 1,
    };
    store.record_poll(&poll).await.unwrap();
    // One that was begun before that is left out, and comes again in 20 s.
    let ended = "UPDATE fetches SET attempts = 6 WHERE id = 'deep'";
    execute(&url, &[ended.to_owned()]).await;
}

#[tokio::test]
async fn what_goes_wrong_is_seen() {
    let world = World::with(20).await;
    let home = world.home();
    let process = home.start(&["run", "rust"]);
    let prometheus = Prometheus::start(&rule_files()).await;
    prometheus.watch(&[process.address().await]);
    prometheus.until_well(&["freshet", "prometheus"]).await;
    process
        .until_status("all is fetched", |it| it["fetched"] == 20)
        .await;

    ends_its_processes(&home).await;
    let no_submission = Publication {
        id: Some("nothing".to_owned()),
        created_utc: Some(world.control().now_ms() / 1_000),
        object: Some(r#"{"title":"without a name"}"#.to_owned()),
        ..Publication::to(&"rust".parse().unwrap())
    };
    world.control().publish(no_submission).unwrap();
    let faults = [
        Fault::TooManyRequests { retry_after: 1 },
        Fault::ErrorPage { status: 503 },
        Fault::Blocked,
        Fault::Reset,
    ];
    // Each twice, since a series begins with the first; and a good answer after each, so that the
    // next is not waited for ever longer.
    for fault in faults.into_iter().chain(faults) {
        for fault in [fault, Fault::NoRateHeaders] {
            let listing = Some(Endpoint::Listing);
            world.control().fail_next(1, fault, listing).unwrap();
        }
    }
    // At the same time: what happened once is shown for half a minute.
    join_all(TROUBLE.map(|place| prometheus.until_shown(place, 0.0))).await;
}
