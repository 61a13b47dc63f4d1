//! Backfills from files of every kind, from standard input, and onto a disk that is full.

use super::support::capture::{lines_of, recorded_submissions};
use super::support::past::{NAME, On, Past, options};
use sqlx::{Connection, Executor, SqliteConnection};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

async fn nothing() -> Past {
    Past::start(options(1, 0.0), On::Sqlite).await
}

/// Lines with these numbers, and as many of another subreddit.
fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers
        .flat_map(|number| {
            let at = 1_700_000_000 + number;
            ["Past", "other"].map(|subreddit| {
                format!(
                    "{{\"id\":\"{subreddit}{number}\",\"subreddit\":\"{subreddit}\",\"created_utc\":{at}}}\n"
                )
            })
        })
        .collect()
}

fn ids(numbers: std::ops::Range<i64>) -> Vec<String> {
    let mut ids: Vec<String> = numbers.map(|number| format!("past{number}")).collect();
    ids.sort_unstable();
    ids
}

fn zst(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn file(past: &Past, name: &str, bytes: &[u8]) -> String {
    let path = past.home.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn files_without_anything_that_was_asked_for_end_with_an_error() {
    let past = nothing().await;
    let other = lines(0..50).replace("Past", "kettles");
    let other = file(&past, "other.ndjson", other.as_bytes());
    let earlier = file(&past, "earlier.ndjson", lines(0..50).as_bytes());
    for (file, since) in [(&other, "2023-01-01"), (&earlier, "2024-01-01")] {
        let line = ["backfill", NAME, "--source", file, "--since", since];
        let ended = past.try_run(&line).await.ended_with(1);
        ended.says(&["there is no submission of r/past in what was read"]);
    }
}

#[tokio::test]
async fn several_files_of_any_compression_are_loaded_at_once() {
    let past = nothing().await;
    let files = [
        file(&past, "a.zst", &zst(&lines(0..900))),
        file(&past, "b.gz", &gz(&lines(800..1_700))),
        file(&past, "c.ndjson", lines(1_700..2_500).as_bytes()),
    ];
    let mut line = vec!["backfill", NAME];
    for file in &files {
        line.extend(["--source", file]);
    }
    let done = past.run(&line).await;
    assert!(done.stdout.contains("3 of 3 done"), "{}", done.stdout);
    assert_eq!(past.stored().await, ids(0..2_500));
    let told = past.status(1).await;
    assert_eq!(
        (&told["fresh"], &told["listed"]),
        (&2_500.into(), &2_600.into())
    );
}

#[tokio::test]
async fn standard_input_is_loaded_plain_and_compressed() {
    let past = nothing().await;
    for (bytes, all) in [
        (lines(0..700).into_bytes(), 700),
        (zst(&lines(700..1_400)), 1_400),
        (gz(&lines(1_400..2_100)), 2_100),
    ] {
        let mut command = past.command(&["backfill", NAME, "--source", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (written, ended) = tokio::join!(
            async move {
                stdin.write_all(&bytes).await.unwrap();
                drop(stdin);
            },
            child.wait_with_output()
        );
        let () = written;
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(past.stored().await, ids(0..all));
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_same_command_goes_on_once_there_is_room() {
    let past = nothing().await;
    let path = file(&past, "a.zst", &zst(&lines(0..9_000)));
    drop(past.store().await);
    let mut connection = SqliteConnection::connect(&past.database).await.unwrap();
    // As a full disk does, after some of it was stored.
    let full = "CREATE TRIGGER full BEFORE INSERT ON submissions
        WHEN (SELECT count(*) FROM submissions) >= 4000
        BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END";
    connection.execute(full).await.unwrap();
    let line = ["backfill", NAME, "--source", &path];
    let failed = past.try_run(&line).await.ended_with(1);
    failed.says(&[
        "could not be stored",
        "disk is full",
        "before that is stored",
    ]);
    let before = past.stored().await.len();
    assert!((1..=4_000).contains(&before), "{before}");
    connection.execute("DROP TRIGGER full").await.unwrap();
    past.run(&line).await.says(&["Resuming backfill 1"]);
    assert_eq!(past.stored().await, ids(0..9_000));
    let told = past.status(1).await;
    assert_eq!(
        (&told["fresh"], &told["listed"]),
        (&9_000.into(), &9_000.into())
    );
}

/// What may be the id of a submission in a recorded line.
fn id_of(line: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(line).ok()?;
    let id = object["id"].as_str()?;
    Some(id.trim_start_matches("t3_").to_ascii_lowercase())
}

#[tokio::test]
async fn recorded_submissions_are_all_stored() {
    let files: Vec<PathBuf> = recorded_submissions();
    if files.is_empty() {
        return;
    }
    let past = nothing().await;
    let text = |file: &Path| lines_of(file);
    let ids: BTreeSet<String> = files
        .iter()
        .flat_map(|file| text(file).lines().filter_map(id_of).collect::<Vec<_>>())
        .collect();
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut line = vec!["backfill", "all"];
    for file in &files {
        line.extend(["--source", file]);
    }
    past.run(&line).await;
    let mut connection = SqliteConnection::connect(&past.database).await.unwrap();
    let stored: Vec<String> = sqlx::query_scalar("SELECT id FROM submissions")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let stored: BTreeSet<String> = stored.into_iter().collect();
    let missing: Vec<&String> = ids.difference(&stored).take(9).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", ids.len());
}
