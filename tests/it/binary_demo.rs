//! `freshet demo`, as somebody sees it who has nothing but the program.

use super::support::binary::{Finished, Home, PATIENCE, Process};
use super::support::exposition::Exposition;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const ANY_PORT: [&str; 2] = ["--http-listen", "127.0.0.1:0"];

fn demo(home: &Home, more: &[&str]) -> Process {
    home.start(&[&["demo"], &ANY_PORT[..], more].concat())
}

/// The public names: kind and labels.
const CONTRACT: &[(&str, &str, &[&str])] = &[
    ("submission_fetch_time_seconds", "histogram", &["source"]),
    (
        "freshet_submissions_discovered_total",
        "counter",
        &["subreddit"],
    ),
    (
        "freshet_submissions_stored_total",
        "counter",
        &["kind", "subreddit"],
    ),
    (
        "freshet_submissions_unavailable_total",
        "counter",
        &["subreddit"],
    ),
    ("freshet_jobs_total", "counter", &["outcome", "queue"]),
    (
        "freshet_api_requests_total",
        "counter",
        &["endpoint", "source", "status"],
    ),
    ("freshet_polls_total", "counter", &["outcome"]),
    ("freshet_gaps_total", "counter", &["cause"]),
    ("freshet_submission_title_chars", "histogram", &[]),
    ("freshet_submission_selftext_chars", "histogram", &[]),
    ("freshet_submission_score", "histogram", &[]),
    ("freshet_submission_comments", "histogram", &[]),
    ("freshet_discovery_lag_seconds", "histogram", &[]),
    ("freshet_ingest_lag_seconds", "histogram", &[]),
    ("freshet_job_wait_seconds", "histogram", &["queue"]),
    ("freshet_job_run_seconds", "histogram", &["queue"]),
    ("freshet_store_write_seconds", "histogram", &[]),
    ("freshet_fetch_batch_size", "histogram", &[]),
    ("freshet_queue_jobs", "gauge", &["queue", "state"]),
    ("freshet_rate_budget_remaining", "gauge", &["source"]),
    ("freshet_rate_budget_limit", "gauge", &["source"]),
    (
        "freshet_rate_budget_reset_timestamp_seconds",
        "gauge",
        &["source"],
    ),
    (
        "freshet_token_issued_timestamp_seconds",
        "gauge",
        &["source"],
    ),
    ("freshet_source_simulated", "gauge", &["source"]),
    (
        "freshet_queue_oldest_job_timestamp_seconds",
        "gauge",
        &["queue", "state"],
    ),
    ("freshet_open_gaps", "gauge", &["subreddit"]),
    (
        "freshet_last_complete_poll_timestamp_seconds",
        "gauge",
        &["subreddit"],
    ),
    ("freshet_workers", "gauge", &[]),
    (
        "freshet_last_progress_timestamp_seconds",
        "gauge",
        &["role"],
    ),
    ("freshet_heartbeat_timestamp_seconds", "gauge", &["path"]),
    ("freshet_heartbeat_seconds", "gauge", &["path"]),
    ("freshet_jobs_dead_total", "counter", &["reason"]),
    ("freshet_build_info", "gauge", &["revision", "version"]),
];

/// A submission is given up only after ten minutes of being left out of the answers.
const SLOW: &str = "freshet_submissions_unavailable_total";
/// All goes well.
const NEVER: &str = "freshet_jobs_dead_total";

fn resting(metrics: &Exposition) -> Vec<&'static str> {
    let moving = |name: &str, kind: &str| match kind {
        "gauge" => metrics.0.contains_key(name),
        _ => {
            metrics.total(name) > 0.0
                || ([SLOW, NEVER].contains(&name) && metrics.0.contains_key(name))
        }
    };
    let names = CONTRACT
        .iter()
        .filter(|(name, kind, _)| !moving(name, kind));
    names.map(|(name, ..)| *name).collect()
}

fn promtool_check(exposition: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: apt-get install prometheus");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(exposition.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test]
async fn every_metric_of_the_contract_moves_and_is_valid() {
    let home = Home::new();
    let demo = demo(&home, &[]);
    let begun = Instant::now();
    let metrics = loop {
        let metrics = demo.metrics().await;
        let resting = resting(&metrics);
        if resting.is_empty() {
            break metrics;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "these rest: {resting:?}");
        sleep(Duration::from_millis(500)).await;
    };
    for (name, kind, labels) in CONTRACT {
        let family = &metrics.0[*name];
        assert_eq!(
            (family.kind.as_str(), family.labels()),
            (*kind, labels.to_vec()),
            "{name}"
        );
    }
    let (_, text) = demo.get("/metrics").await.unwrap();
    promtool_check(&text);
}

#[tokio::test]
async fn within_ten_seconds_it_stores_and_marks_everything_as_simulated() {
    let home = Home::new();
    let begun = Instant::now();
    let mut demo = demo(&home, &[]);
    demo.until_status("something is stored", |it| {
        it["discovered"].as_i64() > Some(0)
    })
    .await;
    // Ten on a machine that has time.
    assert!(begun.elapsed() < Duration::from_secs(60));
    let status = demo
        .until_status("something is fetched", |it| {
            it["fetched"].as_i64() > Some(0)
        })
        .await;
    assert_eq!(status["simulated"], true);
    let source = ("source", "reddit");
    demo.until_gauge("freshet_source_simulated", source, |it| it == 1.0)
        .await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let window = |ends: f64| (now..now + 605.0).contains(&ends);
    demo.until_gauge(
        "freshet_rate_budget_reset_timestamp_seconds",
        source,
        window,
    )
    .await;
    assert!(home.path().join("freshet-demo.db").exists());
    let (_, front) = demo.get("/").await.unwrap();
    for shown in [
        "SIMULATED",
        " fetched",
        "<td>kettles",
        "name=viewport",
        " ago",
    ] {
        assert!(front.contains(shown), "{shown}: {front}");
    }
    for command in ["coverage", "export"] {
        let line = [command, "--database-url", "sqlite://freshet-demo.db"];
        let finished = home.run(&line).await.ended_with(0);
        assert!(!finished.stdout.contains("SIMULATED"), "data stays data");
        finished.says(&["SIMULATED"]);
    }

    // Not on a terminal: logs as objects on standard error, nothing on standard output.
    demo.signal("TERM");
    assert!(demo.end(PATIENCE).await.success());
    assert_eq!(demo.stdout(), "");
    let log = demo.log();
    let first = log[0]["message"].as_str().unwrap();
    assert!(first.contains("SIMULATED"), "{first}");
    let said = |it: &&Value| it["message"].as_str().unwrap().starts_with("SIMULATED");
    assert_eq!(log.iter().filter(said).count(), 1, "once is enough");
    for line in &log {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let status = ["status", "--database-url", "sqlite://freshet-demo.db"];
    let status = home.run(&status).await.ended_with(0);
    assert!(status.stdout.contains("in memory;"), "{status:#?}");
    assert!(!status.stdout.contains("see queue.url"), "{status:#?}");
    let last: Vec<&Value> = log.iter().rev().take(2).map(|it| &it["message"]).collect();
    assert_eq!(last[0], "The demo ended; what it stored is simulated");
    assert_eq!(last[1], "Stopped: everything that ran has ended");
}

#[tokio::test]
async fn plain_text_can_be_asked_for() {
    let home = Home::new();
    let mut demo = home.start(
        &[
            &["demo", "--plain", "--log-format", "text"],
            &ANY_PORT[..],
            &["--database-url", "sqlite://chosen.db"],
        ]
        .concat(),
    );
    demo.said("freshet is running").await;
    demo.signal("INT");
    assert!(demo.end(PATIENCE).await.success());
    assert!(demo.stderr().contains("SIMULATED"), "{}", demo.stderr());
    assert!(!demo.stderr().contains('\u{1b}'), "no colours in a pipe");
    assert!(home.path().join("chosen.db").exists());
    assert!(!home.path().join("freshet-demo.db").exists());
}

#[tokio::test]
async fn it_sums_up_while_it_runs_and_at_its_end() {
    let home = Home::new();
    let mut demo = demo(&home, &["--plain", "--monitoring-summary-every", "2s"]);
    demo.said("Summary since the last one").await;
    let told = demo.stderr();
    let summary = told.lines().find(|it| it.contains("Summary since"));
    let summary = summary.unwrap();
    for number in [
        "discovered",
        "fetched",
        "requests",
        "in_database",
        "subreddits",
    ] {
        assert!(summary.contains(number), "{number}: {summary}");
    }
    // After the time, whose seconds have a fraction.
    let (_, counts) = summary.split_once("Summary").unwrap();
    assert!(!counts.contains(".0"), "counts are whole: {summary}");
    let port = demo.address().await.to_string();
    let database = ["--database-url", "sqlite://freshet-demo.db"];
    let elsewhere = [&["status", "--http-listen", "127.0.0.1:9"], &database[..]].concat();
    // Another terminal that names the database only: jobs get through, whatever the queue is.
    let begun = Instant::now();
    let status = loop {
        let status = home.run(&elsewhere).await;
        if status.stdout.contains("the newest job came through") || begun.elapsed() > PATIENCE {
            break status;
        }
        sleep(Duration::from_millis(200)).await;
    };
    assert!(
        status.stdout.contains("the newest job came through"),
        "{status:?}"
    );
    assert!(!status.stdout.contains("does not answer"), "{status:?}");
    status.ended_with(0);
    // The running process knows its queue.
    let live = [&["status", "--http-listen", &port], &database[..]].concat();
    let begun = Instant::now();
    loop {
        let live = home.run(&live).await;
        if live.stdout.contains("1 worker at work") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{live:?}");
    }

    demo.signal("TERM");
    assert!(demo.end(PATIENCE).await.success());
    let ended = demo
        .logged("The demo ended; what it stored is simulated")
        .await;
    assert!(ended["submissions"].as_i64() > Some(0), "{ended}");
    assert_eq!(ended["database"], "freshet-demo.db");
}

#[tokio::test]
async fn heartbeats_come_through_as_jobs_and_as_submissions() {
    let home = Home::new();
    let demo = demo(&home, &["--subreddits", "1", "--per-hour", "1"]);
    let begun = Instant::now();
    let sent = async |path: &str| {
        let metrics = demo.metrics().await;
        metrics.gauge("freshet_heartbeat_timestamp_seconds", ("path", path))
    };
    for path in ["job", "submission"] {
        let mut first = None;
        loop {
            let at = sent(path).await.filter(|at| *at > 0.0);
            first = first.or(at);
            if at > first {
                break;
            }
            assert!(begun.elapsed() < 2 * PATIENCE, "{path}: {first:?}");
            sleep(Duration::from_millis(500)).await;
        }
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - sent(path).await.unwrap();
        assert!((0.0..60.0).contains(&age), "{path}: {age}");
        let took = demo.metrics().await;
        let took = took.gauge("freshet_heartbeat_seconds", ("path", path));
        assert!(took.is_some_and(|it| it < 60.0), "{path}: {took:?}");
    }
    let stored = home
        .run(&[
            "status",
            "--json",
            "--database-url",
            "sqlite://freshet-demo.db",
        ])
        .await
        .ended_with(0);
    assert!(stored.stdout.contains("freshet_heartbeat"), "{stored:?}");
}

async fn demo_ended(home: &Home, listen: &str) -> Finished {
    let ended = home.run(&["demo", "--http-listen", listen]).await;
    ended.ended_with(1)
}

#[tokio::test]
async fn a_second_demo_leaves_the_first_alone() {
    let home = Home::new();
    let first = demo(&home, &[]);
    let address = first.address().await.to_string();
    first
        .until_status("something is fetched", |it| {
            it["fetched"].as_i64() > Some(0)
        })
        .await;

    let refused = demo_ended(&home, "127.0.0.1:0").await;
    refused.says(&["freshet-demo.db", "another demo"]);
    let elsewhere = Home::new();
    let refused = demo_ended(&elsewhere, &address).await;
    refused.says(&["http.listen", &address]);

    let before = first.status().await["discovered"].as_i64();
    first
        .until_status("the first goes on", |it| it["discovered"].as_i64() > before)
        .await;
    let listed = home
        .run(&[
            "subreddits",
            "list",
            "--database-url",
            "sqlite://freshet-demo.db",
        ])
        .await
        .ended_with(0);
    assert!(listed.stdout.contains("kettles"), "{listed:?}");
}

#[tokio::test]
async fn each_demo_starts_afresh() {
    let home = Home::new();
    for _ in 0..2 {
        let mut demo = demo(&home, &["--subreddits", "2", "--per-hour", "30"]);
        let status = demo
            .until_status("something is fetched", |it| {
                it["fetched"].as_i64() > Some(0)
            })
            .await;
        // And that of the heartbeat.
        assert_eq!(status["subreddits"].as_array().unwrap().len(), 3);
        demo.signal("KILL");
        assert!(!demo.end(PATIENCE).await.success());
    }
}

#[tokio::test]
async fn the_queue_of_the_environment_is_left_alone() {
    let home = Home::new();
    let line = ["demo", "--subreddits", "1", "--http-listen", "127.0.0.1:0"];
    let mut command = home.command(&line);
    // Nothing listens there, and nobody is to find that out.
    command.env("FRESHET_QUEUE__URL", "redis://127.0.0.1:1/");
    let mut demo = Process::start(&mut command);
    let works = |it: &Value| it["queue"]["engine"] == "memory" && it["fetched"].as_i64() > Some(0);
    demo.until_status("it works", works).await;
    demo.signal("KILL");
    assert!(!demo.end(PATIENCE).await.success());
}

#[tokio::test]
async fn a_rate_that_is_none_is_refused() {
    let home = Home::new();
    for rate in ["nan", "-1", "inf"] {
        let flag = format!("--per-hour={rate}");
        let refused = home
            .run(&["demo", &flag, "--http-listen", "127.0.0.1:0"])
            .await;
        refused.ended_with(2).says(&["--per-hour"]);
    }
}
