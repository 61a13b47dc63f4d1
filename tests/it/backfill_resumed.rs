//! What a backfill from files may believe: that a file is the one that it was, and no name of one.

use super::support::past::{NAME, On, Past, cut_zst, options};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

const FIRST: i64 = 1_700_000_000;

fn lines(numbers: std::ops::Range<i64>) -> String {
    let line = |number| {
        let at = FIRST + number;
        format!("{{\"id\":\"a{number}\",\"subreddit\":\"Past\",\"created_utc\":{at}}}\n")
    };
    numbers.map(line).collect()
}

async fn nothing() -> Past {
    Past::start(options(1, 0.0), On::Sqlite).await
}

#[tokio::test]
async fn another_file_of_the_same_name_is_read_from_its_start() {
    let past = nothing().await;
    let path = past.home.path().join("a.zst");
    std::fs::write(&path, cut_zst(&lines(0..5_000))).unwrap();
    let line = ["backfill", NAME, "--source", &path.display().to_string()];
    past.try_run(&line).await.ended_with(1);
    assert!(past.stored().await.len() >= 2_000);
    let other = zstd::encode_all(lines(10_000..15_000).as_bytes(), 3).unwrap();
    std::fs::write(&path, other).unwrap();
    past.run(&line)
        .await
        .says(&["Backfill 1 was begun with other contents", "Backfill 2"]);
    let stored = past.stored().await;
    for number in 10_000..15_000 {
        assert!(stored.contains(&format!("a{number}")), "a{number}");
    }
}

#[tokio::test]
async fn a_damaged_file_does_not_keep_the_others_from_being_loaded() {
    let past = nothing().await;
    let (bad, good) = (
        past.home.path().join("bad.zst"),
        past.home.path().join("good.ndjson"),
    );
    std::fs::write(&bad, cut_zst(&lines(0..3_000))).unwrap();
    std::fs::write(&good, lines(7_000..7_100)).unwrap();
    let (bad, good) = (bad.display().to_string(), good.display().to_string());
    let line = ["backfill", NAME, "--source", &bad, "--source", &good];
    past.try_run(&line).await.ended_with(1).says(&["bad.zst"]);
    let stored = past.stored().await;
    assert!((7_000..7_100).all(|number| stored.contains(&format!("a{number}"))));
    let folder = past.home.path().display().to_string();
    past.try_run(&["backfill", NAME, "--source", &folder])
        .await
        .ended_with(2)
        .says(&["it is a folder"]);
}

#[tokio::test]
async fn a_file_proves_nothing_by_its_name_and_no_time_to_come() {
    let past = nothing().await;
    let path = past.home.path().join("RS_2023-11.ndjson");
    std::fs::write(&path, lines(0..10)).unwrap();
    let path = path.display().to_string();
    past.run(&["backfill", NAME, "--source", &path]).await;
    let covered = async || {
        let covered = past.store().await.coverage(&NAME.parse().unwrap()).await;
        covered.unwrap()
    };
    assert_eq!(covered().await, []);

    let owner = ["backfill", NAME, "--source", &path, "--complete"];
    let since = ["--since", "2023-11-01"];
    past.try_run(&[&owner[..], &since].concat())
        .await
        .ended_with(2)
        .says(&["--until"]);
    let until = ["--until", "2100-01-01"];
    past.run(&[&owner[..], &since, &until].concat()).await;
    let (start, end) = (FIRST - 86_400, FIRST + 86_400);
    // From the oldest to the newest that was read, without those two seconds.
    assert_eq!(past.proven(start, end).await, 8);
    let now = chrono::Utc::now().timestamp();
    let covered = covered().await;
    assert!(covered.iter().all(|(_, end)| *end <= now), "{covered:?}");
}

#[tokio::test]
async fn a_quiet_standard_input_can_be_interrupted_and_is_read_from_its_start_again() {
    let past = nothing().await;
    let line = ["backfill", NAME, "--source", "-"];
    let mut command = past.command(&line);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines(0..3_000).as_bytes()).await.unwrap();
    stdin.flush().await.unwrap();
    let begun = Instant::now();
    loop {
        let listed = past.try_run(&["backfill", "list", "--json"]).await;
        if listed.stdout.contains("\"fresh\": 2000") || listed.stdout.contains("\"fresh\":2000") {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(180),
            "{}",
            listed.stdout
        );
        sleep(Duration::from_millis(50)).await;
    }
    let id = child.id().unwrap().to_string();
    let signalled = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(signalled.unwrap().success());
    let ended = timeout(Duration::from_secs(120), child.wait_with_output()).await;
    let ended = ended.expect("it ends").unwrap();
    drop(stdin);
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("given all of it again"), "{told}");

    let mut again = past.command(&line).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = again.stdin.take().unwrap();
    let other = lines(5_000..8_000);
    stdin.write_all(other.as_bytes()).await.unwrap();
    drop(stdin);
    assert!(again.wait().await.unwrap().success());
    let stored = past.stored().await;
    assert!((5_000..8_000).all(|number| stored.contains(&format!("a{number}"))));
}
