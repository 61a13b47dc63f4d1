//! Alerts of a real Prometheus that fire and resolve as the running program fares.

use super::support::binary::{PATIENCE, Process};
use super::support::boards::rule_files;
use super::support::postgres::fresh_database;
use super::support::prometheus::Prometheus;
use super::support::redis::RedisServer;
use super::support::world::World;
use freshet::simulator::{Fault, Publication};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// The rules, but where they say for how long, a minute is a second, an hour is twenty and a day is eight
/// minutes: in `for`, in ranges and in offsets.
fn quickened() -> BTreeMap<String, Value> {
    let mut files = rule_files();
    for file in files.values_mut() {
        for group in file["groups"].as_array_mut().unwrap() {
            for rule in group["rules"].as_array_mut().unwrap() {
                for key in ["expr", "for"] {
                    if let Some(text) = rule[key].as_str() {
                        rule[key] = quicker(text).into();
                    }
                }
            }
        }
    }
    files
}

fn quicker(text: &str) -> String {
    let of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let pieces = text.split_inclusive(|c| !of_a_word(c));
    let pieces = pieces.map(|piece| {
        let word = piece.trim_end_matches(|c| !of_a_word(c));
        let span = word
            .strip_suffix('m')
            .map(|count| (count, 1))
            .or_else(|| word.strip_suffix('h').map(|count| (count, 20)))
            .or_else(|| word.strip_suffix('d').map(|count| (count, 480)));
        match span.and_then(|(count, seconds)| Some(count.parse::<u32>().ok()? * seconds)) {
            Some(seconds) => format!("{seconds}s{}", &piece[word.len()..]),
            None => piece.to_owned(),
        }
    });
    pieces.collect()
}

#[test]
fn quicker_rules_ask_the_same_of_less_time() {
    assert_eq!(quicker("15m"), "15s");
    assert_eq!(
        quicker("a:b_rate10m < 0.9 and min_over_time(a:b5m[6h] offset 2h) > 3600"),
        "a:b_rate10m < 0.9 and min_over_time(a:b5m[120s] offset 40s) > 3600"
    );
    assert_eq!(
        quicker("last_over_time(a:b[7d])"),
        "last_over_time(a:b[3360s])"
    );
    assert_eq!(
        quicker("rate(x{status=~\"5..\"}[10m])"),
        "rate(x{status=~\"5..\"}[10s])"
    );
}

#[tokio::test]
async fn alerts_fire_and_resolve() {
    let (prometheus, world) = (Prometheus::start(&quickened()).await, World::with(20).await);
    let (home, database, redis) = (world.home(), fresh_database().await, RedisServer::start());
    let queue = redis.url();
    let start = |role: &str| -> Process {
        let on = ["--database-url", &database, "--queue-url", &queue];
        let line = ["run", "rust", "--role", role, "--queue-max-waiting", "50"];
        home.start(&[&line, &on[..]].concat())
    };
    let (fire, resolve) = (true, false);

    // Nothing is there yet.
    let dead_man = ["FreshetAbsent"];
    prometheus.until_alerts(&dead_man, fire).await;
    let mut worker = start("worker");
    let scheduler = start("scheduler");
    let addresses = [scheduler.address().await, worker.address().await];
    prometheus.watch(&addresses);
    prometheus
        .until_well(&["freshet", "freshet", "prometheus"])
        .await;
    prometheus.until_alerts(&dead_man, resolve).await;
    prometheus
        .until_shown("freshet-queue: Workers, A", 0.0)
        .await;
    prometheus
        .until_shown("freshet-reddit-api: Token valid for, A", 0.0)
        .await;

    // The worker stops, and Reddit takes neither the credentials nor the token any more.
    worker.signal("TERM");
    assert!(worker.end(PATIENCE).await.success());
    world.outage(Fault::ErrorPage { status: 401 });
    let gone = ["FreshetNoWorkers", "FreshetProcessDown"];
    let refused = ["FreshetAuthenticationFailing"];
    prometheus.until_alerts(&refused, fire).await;
    prometheus.until_alerts(&gone, fire).await;
    prometheus
        .until_shown("freshet-overview: Targets down, A", 0.0)
        .await;
    prometheus
        .until_shown("freshet-overview: Alerts firing, A", 0.0)
        .await;

    // Much appears that nobody fetches, and ever more.
    for _ in 0..2_200 {
        world.publish("rust", None);
    }
    world.quick();
    let control = world.control().clone();
    let growing = tokio::spawn(async move {
        loop {
            let rust = "rust".parse().unwrap();
            control.publish(Publication::to(&rust)).unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    });
    prometheus.until_alerts(&refused, resolve).await;
    prometheus
        .until_shown("freshet-reddit-api: Token valid for, A", 0.0)
        .await;
    let full = ["FreshetQueueNotDraining", "FreshetBacklogGrowing"];
    prometheus.until_alerts(&full, fire).await;
    prometheus
        .until_shown("freshet-overview: Left to fetch, A", 2_000.0)
        .await;
    growing.abort();

    let worker = start("worker");
    prometheus.watch(&[addresses[0], worker.address().await]);
    for alerts in [gone, full] {
        prometheus.until_alerts(&alerts, resolve).await;
    }
    prometheus
        .until_well(&["freshet", "freshet", "prometheus"])
        .await;
}
