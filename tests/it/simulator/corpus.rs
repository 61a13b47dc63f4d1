//! Real objects, replayed.

use super::client::{Reddit, START_MS, still, subreddit};
use crate::support::capture::{lines_of, recorded_submissions};
use freshet::simulator::{Corpus, CorpusMode, SimulatorOptions};
use std::collections::BTreeSet;
use std::time::Duration;

const LINES: &str = concat!(
    r#"{"id":"a1","subreddit":"Kettles","created_utc":100,"title":"old & <b>","retrieved_on":5}"#,
    "\n",
    r#"{"id":"a3","subreddit":"<PLACEHOLDER>","created_utc":"300","title":"three"}"#,
    "\n",
    r#"{"id":"a2","subreddit":"Kettles","created_utc":200.0 ,"title":"two"}"#,
    "\n",
    r#"{"id":"a1","subreddit":"Kettles","created_utc":100,"title":"older","retrieved_on":4}"#,
    "\n",
    r#"{"id":"a4","created_utc":400,"title":"an advertisement"}"#,
    "\n"
);

fn corpus() -> Corpus {
    let mut corpus = Corpus::default();
    corpus.add(LINES.as_bytes()).unwrap();
    corpus
}

#[tokio::test]
async fn objects_are_listed_by_creation_and_served_byte_for_byte() {
    let reddit = Reddit::start(SimulatorOptions {
        corpus: Some((corpus(), CorpusMode::Listed)),
        ..still()
    })
    .await;
    assert_eq!(reddit.walk("all").await, ["a4", "a3", "a2", "a1"]);
    assert_eq!(reddit.walk("kettles").await, ["a2", "a1"]);
    assert_eq!(reddit.walk("placeholder").await, ["a3"]);
    assert_eq!(reddit.walk("other").await, ["a4"]);
    let lines: Vec<&str> = LINES.lines().collect();
    let listing = reddit.response("/r/all/new").await.text().await.unwrap();
    let info = reddit
        .response("/api/info?id=t3_a1")
        .await
        .text()
        .await
        .unwrap();
    for line in &lines[1..] {
        assert!(listing.contains(line), "{line}");
    }
    assert!(info.contains(lines[0]), "the last observation: {info}");
    let truth = reddit.simulator.control().truth();
    assert_eq!(truth.len(), 4);
    assert_eq!(truth[0].listed_ms, [(START_MS, None)]);
}

#[tokio::test]
async fn objects_can_arrive_one_after_another() {
    let reddit = Reddit::start(SimulatorOptions {
        corpus: Some((corpus(), CorpusMode::Arriving { per_second: 0.5 })),
        ..still()
    })
    .await;
    let control = reddit.simulator.control();
    assert!(reddit.walk("kettles+placeholder+other").await.is_empty());
    for expected in [
        &["a1"][..],
        &["a2", "a1"],
        &["a3", "a2", "a1"],
        &["a4", "a3", "a2", "a1"],
    ] {
        control.advance(Duration::from_secs(2));
        assert_eq!(reddit.walk("all").await, expected);
    }
    control.advance(Duration::from_secs(60));
    assert_eq!(reddit.walk("all").await.len(), 4);
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let error = Corpus::open(["/nowhere/RS_2026-01.zst"]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/RS_2026-01.zst"));
}

#[tokio::test]
async fn every_recorded_object_is_listed_somewhere_and_archived() {
    let files = recorded_submissions();
    let mut expected = BTreeSet::new();
    for file in &files {
        let text = lines_of(file);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            expected.insert(object["id"].as_str().unwrap().to_ascii_lowercase());
        }
    }
    let corpus = Corpus::open(&files).unwrap();
    assert_eq!((corpus.len(), corpus.refused()), (expected.len(), 0));
    let routes: BTreeSet<String> = corpus.routes().values().map(ToString::to_string).collect();
    let reddit = Reddit::start(SimulatorOptions {
        listing_cap: 0,
        corpus: Some((corpus, CorpusMode::Listed)),
        ..still()
    })
    .await;
    let mut listed = BTreeSet::new();
    for route in &routes {
        listed.extend(reddit.walk(route).await);
    }
    assert_eq!(listed, expected);
    let mut archived = Vec::new();
    // Some were recorded after this world's start; the archive has nothing of the future.
    let half_a_year = Duration::from_secs(183 * 86_400);
    reddit.simulator.control().advance(half_a_year);
    for route in &routes {
        let control = reddit.simulator.control();
        archived.extend(control.archive_truth(&subreddit(route), i64::MIN, i64::MAX));
    }
    let archived: Vec<String> = archived.iter().map(ToString::to_string).collect();
    for ids in archived.chunks(500) {
        let path = format!("/api/posts/ids?ids={}", ids.join(","));
        let page: serde_json::Value = reddit.response(&path).await.json().await.unwrap();
        assert_eq!(page["data"].as_array().unwrap().len(), ids.len());
    }
    let archived: BTreeSet<String> = archived.into_iter().collect();
    let missing: Vec<_> = expected.difference(&archived).take(10).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(archived.len(), expected.len());
    println!(
        "{} recorded submissions in {} subreddits",
        listed.len(),
        routes.len()
    );
}
