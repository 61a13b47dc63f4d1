//! What is made up and what is real stay apart, whoever writes: no command fills a database that holds one
//! with the other, wherever the source runs.

use super::store::fixtures::{gap, record_gap};
use super::support::binary::{Finished, finish};
use super::support::canned::{Answer, Server, listing};
use super::support::past::{NAME, On, Past, options};
use freshet::store::GapCause;
use std::time::Duration;
use tokio::process::Command;

/// A Reddit and an archive that say nothing of themselves, as the real ones do, with one submission.
async fn real() -> Server {
    Server::start(|asked| {
        let at = chrono::Utc::now().timestamp() - 600;
        let item = format!(
            r#"{{"id":"r1","name":"t3_r1","subreddit":"{NAME}","title":"a","created_utc":{at}}}"#
        );
        if asked.path.contains("/api/posts") {
            return Answer::json(200, &format!(r#"{{"data":[{item}]}}"#));
        }
        listing(&[format!(r#"{{"kind":"t3","data":{item}}}"#)], None)
    })
    .await
}

/// The program, which asks these sources.
fn asking(past: &Past, url: &str, words: &[&str]) -> Command {
    let mut command = past.with_key(words);
    for name in ["REDDIT__API_URL", "REDDIT__AUTH_URL", "ARCTIC_SHIFT__URL"] {
        command.env(format!("FRESHET_{name}"), url);
    }
    command
}

/// It ends with an error that names both kinds and what to do.
#[track_caller]
fn is_refused(done: Finished, case: &str) {
    assert!(done.stderr.contains("database.url"), "{case}: {done:#?}");
    done.ended_with(1)
        .says(&["simulated Reddit", "real", "not mixed"]);
}

const WORKER: [&str; 3] = ["run", "--role", "worker"];
/// Processes of several roles share it.
const QUEUE: [&str; 2] = ["--queue-url", "sqlite://queue.db"];

/// Every command that fills a database.
fn writers() -> Vec<Vec<&'static str>> {
    vec![
        vec!["run", "elsewhere"],
        [&["run", NAME, "--role", "scheduler"], &QUEUE[..]].concat(),
        [&WORKER[..], &QUEUE].concat(),
        vec![
            "backfill",
            NAME,
            "--since",
            "2d",
            "--source",
            "arctic-shift",
        ],
        vec!["backfill", NAME, "--since", "2d", "--source", "reddit"],
    ]
}

async fn stored(past: &Past) -> u64 {
    let store = past.store().await;
    store.count_submissions(NAME, 0, i64::MAX).await.unwrap()
}

async fn a_simulated_reddit_fills_no_real_database(on: On) {
    let past = Past::start(options(7, 40.0), on).await;
    let server = real().await;
    // Whoever writes marks it, without being asked.
    let mut filling = asking(&past, server.url.as_str(), &["run", NAME]);
    let filling = super::support::binary::Process::start(&mut filling);
    let store = past.store().await;
    filling
        .until_status("it is stored", |it| {
            it["discovered"] == 1 || it["fetched"] == 1
        })
        .await;
    assert!(store.is_real().await.unwrap());
    drop(filling);
    // A worker asks once there is something to fetch.
    let item = freshet::submission::decode_archived(
        serde_json::value::RawValue::from_string(format!(
            r#"{{"id":"r2","subreddit":"{NAME}","created_utc":1700000000}}"#
        ))
        .unwrap(),
        i64::MAX,
    )
    .unwrap();
    let record = freshet::store::ArchiveRecord {
        observations: &[item],
        undecodable: &[],
        refresh: true,
        now_ms: chrono::Utc::now().timestamp_millis(),
    };
    store.record_archived(&record).await.unwrap();
    let before = stored(&past).await;
    for line in writers() {
        if line.starts_with(&WORKER) {
            continue;
        }
        let done = finish(&mut past.with_key(&line)).await;
        is_refused(done, &line.join(" "));
    }
    let mut demo = past.with_key(&["demo", "--plain", "--database-url", &past.database]);
    is_refused(finish(&mut demo).await, "demo");
    assert_eq!(stored(&past).await, before);
    assert!(!store.is_simulated().await.unwrap());
    past.run(&["status"]).await;
    past.run(&["coverage", NAME]).await;
}

#[tokio::test]
async fn a_simulated_reddit_fills_no_real_database_on_sqlite() {
    a_simulated_reddit_fills_no_real_database(On::Sqlite).await;
}

#[tokio::test]
async fn a_simulated_reddit_fills_no_real_database_on_postgres() {
    a_simulated_reddit_fills_no_real_database(On::Postgres).await;
}

#[tokio::test]
async fn what_is_real_fills_no_simulated_database() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    past.run(&["backfill", NAME, "--since", "2d"]).await;
    let store = past.store().await;
    assert!(store.is_simulated().await.unwrap());
    let before = stored(&past).await;
    assert!(before > 0);
    let server = real().await;
    let here = server.url.to_string();
    // On this machine, out in the world, and Reddit itself, of which nothing is asked.
    for url in [
        here.as_str(),
        "https://archive.invalid/",
        "https://oauth.reddit.com/",
    ] {
        for line in writers() {
            if url == here && line.starts_with(&WORKER) {
                continue;
            }
            let line = [&line[..], &["--shutdown-grace", "1s"]].concat();
            let again = ["--reprocess", "all"];
            let line = match line[0] {
                "backfill" => [&line[..], &again].concat(),
                _ => line,
            };
            let done = finish(&mut asking(&past, url, &line)).await;
            is_refused(done, &format!("{url}: {}", line.join(" ")));
        }
    }
    let file = past.home.write(
        "RS.ndjson",
        &format!("{{\"id\":\"f1\",\"subreddit\":\"{NAME}\",\"created_utc\":1700000000}}\n"),
    );
    let line = ["backfill", NAME, "--source", file.to_str().unwrap()];
    is_refused(past.try_run(&line).await, "a file");
    assert_eq!(stored(&past).await, before);
    assert!(!store.is_real().await.unwrap());
    let words = [&["run", "--role", "http"], &QUEUE[..]].concat();
    let http = super::support::binary::Process::start(&mut asking(&past, &here, &words));
    assert_eq!(http.status().await["simulated"], true, "it fills nothing");
}

#[tokio::test]
async fn files_hold_what_is_real() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let file = past.home.write(
        "RS.ndjson",
        &format!("{{\"id\":\"f1\",\"subreddit\":\"{NAME}\",\"created_utc\":1700000000}}\n"),
    );
    past.run(&["backfill", NAME, "--source", file.to_str().unwrap()])
        .await;
    let done = past.try_run(&["backfill", NAME, "--since", "2d"]).await;
    is_refused(done, "the simulated archive");
    assert_eq!(stored(&past).await, 1);
}

/// A gap is repaired from the archive by a command, too.
#[tokio::test]
async fn a_repair_fills_nothing_with_what_is_of_the_other_kind() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let store = past.store().await;
    store.mark_real().await.unwrap();
    let name = NAME.parse().unwrap();
    store.add_subreddit(&name, past.now()).await.unwrap();
    let now_ms = past.control().now_ms();
    let (start, end) = (past.now() - 7_200, past.now() - 3_600);
    record_gap(&store, gap(start, end, GapCause::Cap), now_ms).await;
    is_refused(past.try_run(&["gaps", "repair"]).await, "gaps repair");
    assert_eq!(stored(&past).await, 0);
}

/// The source changes its kind while a process runs.
#[tokio::test]
async fn a_source_that_turns_out_to_be_of_the_other_kind_ends_a_process_that_runs() {
    let simulated = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let turning = std::sync::Arc::clone(&simulated);
    let server = Server::start(move |_| {
        let at = chrono::Utc::now().timestamp() - 600;
        let item = format!(
            r#"{{"kind":"t3","data":{{"id":"r1","subreddit":"{NAME}","created_utc":{at}}}}}"#
        );
        let answer = listing(&[item], None);
        match turning.load(std::sync::atomic::Ordering::SeqCst) {
            true => answer.with("x-simulated", "true"),
            false => answer,
        }
    })
    .await;
    let past = Past::start(options(7, 0.0), On::Sqlite).await;
    let line = [
        "run",
        NAME,
        "--discover-interval",
        "1s",
        "--shutdown-grace",
        "1s",
    ];
    let mut process =
        super::support::binary::Process::start(&mut asking(&past, server.url.as_str(), &line));
    process
        .until_status("it has polled", |_| server.asked_api().len() > 2)
        .await;
    simulated.store(true, std::sync::atomic::Ordering::SeqCst);
    let ended = process.end(Duration::from_secs(120)).await;
    assert_eq!(ended.code(), Some(1));
    assert!(
        process.stderr().contains("not mixed"),
        "{}",
        process.stderr()
    );
}
