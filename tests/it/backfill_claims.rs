//! `--complete`: somebody's word that files hold everything, held against what they show.

use super::support::past::{NAME, On, Past, cut_zst, execute, options};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

const START: i64 = 1_704_067_200;
const MINUTE: i64 = 60;

/// A submission a minute, of two subreddits in turn.
fn lines(minutes: std::ops::Range<i64>) -> String {
    minutes
        .map(|minute| {
            let name = ["Past", "other"][usize::from(minute % 2 == 1)];
            let at = START + minute * MINUTE;
            format!("{{\"id\":\"m{minute}\",\"subreddit\":\"{name}\",\"created_utc\":{at}}}\n")
        })
        .collect()
}

struct Claim {
    past: Past,
    files: Vec<String>,
}

impl Claim {
    async fn new(on: On, files: &[(&str, Vec<u8>)]) -> Claim {
        let past = Past::start(options(1, 0.0), on).await;
        let write = |(name, bytes): &(&str, Vec<u8>)| {
            let path = past.home.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.display().to_string()
        };
        let files = files.iter().map(write).collect();
        Claim { past, files }
    }

    /// Loads a day of it as complete: how that ended, what it said, and the seconds of that day that count as
    /// proven.
    async fn load(&self) -> (Option<i32>, String, i64) {
        let mut line = vec![
            "backfill",
            NAME,
            "--since",
            "2024-01-01",
            "--until",
            "2024-01-02",
        ];
        line.push("--complete");
        for file in &self.files {
            line.extend(["--source", file]);
        }
        let done = self.past.try_run(&line).await;
        let said = format!("{}{}", done.stdout, done.stderr);
        (done.status, said, proven(&self.past).await)
    }
}

/// Seconds that count as proven, of all time.
async fn proven(past: &Past) -> i64 {
    let coverage = past.store().await.coverage(&NAME.parse().unwrap()).await;
    coverage
        .unwrap()
        .iter()
        .map(|(start, end)| end - start)
        .sum()
}

async fn files_prove_what_they_show_whole(on: On) {
    let half = lines(0..700);
    let comments: String = (0..50)
        .map(|number| {
            format!(
                "{{\"id\":\"c{number}\",\"name\":\"t1_c{number}\",\"subreddit\":\"past\",\"body\":\"a\",\"link_id\":\"t3_a\",\"parent_id\":\"t3_a\",\"created_utc\":{}}}\n",
                START + number * 60
            )
        })
        .collect();
    let other_month = lines(100_000..100_100);
    let (whole, rest) = (lines(0..1_440), lines(900..1_440));
    let reversed: String = half.lines().rev().map(|line| format!("{line}\n")).collect();
    let mut damaged = half.clone();
    damaged.push_str("{\"id\":\"cut");
    // Of other subreddits, but not of all of Reddit.
    let others = half.replace("Past", "third");
    let seconds = |minutes: i64| (minutes * MINUTE) - 1;
    let cases: Vec<(&str, Vec<Vec<u8>>, i32, i64)> = vec![
        (
            "all of it",
            vec![whole.clone().into_bytes()],
            0,
            seconds(1_439),
        ),
        ("a part", vec![half.clone().into_bytes()], 0, seconds(699)),
        ("newest first", vec![reversed.into_bytes()], 0, seconds(699)),
        (
            "two parts with a hole between them",
            vec![half.clone().into_bytes(), rest.into_bytes()],
            0,
            seconds(699) + seconds(539),
        ),
        ("nothing", vec![Vec::new()], 1, 0),
        ("another month", vec![other_month.into_bytes()], 1, 0),
        ("comments", vec![comments.into_bytes()], 1, 0),
        ("others'", vec![others.into_bytes()], 1, 0),
        (
            "one that does not tell its subreddit",
            vec![
                whole
                    .replacen("\"Past\"", "null", 400)
                    .replacen("null", "\"Past\"", 399)
                    .into_bytes(),
            ],
            1,
            0,
        ),
        ("empty lines", vec![b"\n\n \r\n".to_vec()], 1, 0),
        ("a last line that is cut", vec![damaged.into_bytes()], 1, 0),
        (
            "a second file that is damaged",
            vec![half.clone().into_bytes(), cut_zst(&whole)],
            1,
            0,
        ),
        (
            "a second file that is empty",
            vec![half.into_bytes(), Vec::new()],
            1,
            0,
        ),
    ];
    for (name, files, status, proven) in cases {
        let files: Vec<(String, Vec<u8>)> = files
            .into_iter()
            .enumerate()
            .map(|(number, bytes)| (format!("file{number}"), bytes))
            .collect();
        let files: Vec<(&str, Vec<u8>)> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .collect();
        let claim = Claim::new(on, &files).await;
        let (code, said, found) = claim.load().await;
        assert_eq!((code, found), (Some(status), proven), "{name}: {said}");
        if proven == 0 {
            assert!(
                said.contains("othing is proven") || said.contains("no submission"),
                "{name}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_word_holds_as_far_as_files_were_read_whole_on_sqlite() {
    files_prove_what_they_show_whole(On::Sqlite).await;
}

#[tokio::test]
async fn a_word_holds_as_far_as_files_were_read_whole_on_postgres() {
    files_prove_what_they_show_whole(On::Postgres).await;
}

#[tokio::test]
async fn a_file_that_lacks_what_is_stored_proves_nothing_of_that_hour() {
    let known = "{\"id\":\"known\",\"subreddit\":\"past\",\"created_utc\":1704078000}\n";
    let files = [
        ("known", known.into()),
        ("all", lines(0..1_440).into_bytes()),
    ];
    let mut claim = Claim::new(On::Sqlite, &files).await;
    let known = claim.files.remove(0);
    claim
        .past
        .run(&["backfill", NAME, "--source", &known])
        .await;
    let (code, said, proven) = claim.load().await;
    assert_eq!(
        (code, proven),
        (Some(0), 1_439 * MINUTE - 1 - 3_600),
        "{said}"
    );
    assert!(said.contains("database holds more"), "{said}");
}

/// As the last file's end is written and what all of them prove is not, the process ends.
async fn what_ends_before_the_proof_is_gone_on_with(on: On) {
    let claim = Claim::new(on, &[("all", lines(0..1_440).into_bytes())]).await;
    let past = &claim.past;
    past.store().await;
    let refuse: &[&str] = match on {
        On::Sqlite => &["CREATE TRIGGER refuse BEFORE INSERT ON coverage \
             BEGIN SELECT RAISE(ABORT, 'not now'); END"],
        On::Postgres => &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE 'not now'; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON coverage FOR EACH ROW EXECUTE FUNCTION refuse()",
        ],
    };
    let refuse: Vec<String> = refuse.iter().map(|it| (*it).to_owned()).collect();
    execute(&past.database, &refuse).await;
    let (code, said, found) = claim.load().await;
    assert_eq!((code, found), (Some(1), 0), "{said}");
    let begun = past.backfills().await;
    assert_eq!(begun[0]["state"], "running", "{begun:?}");
    let allow = match on {
        On::Sqlite => "DROP TRIGGER refuse",
        On::Postgres => "DROP TRIGGER refuse ON coverage",
    };
    execute(&past.database, &[allow.to_owned()]).await;
    let (code, said, found) = claim.load().await;
    assert_eq!((code, found), (Some(0), 1_439 * MINUTE - 1), "{said}");
    let ended = past.backfills().await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0]["state"], "done", "{ended:?}");
    for count in ["listed", "fresh", "refused", "slices_done"] {
        assert_eq!(ended[0][count], begun[0][count], "{count}");
    }
    assert_eq!(ended[0]["seconds_proven"], found);
}

#[tokio::test]
async fn files_whose_proof_was_not_written_are_gone_on_with_on_sqlite() {
    what_ends_before_the_proof_is_gone_on_with(On::Sqlite).await;
}

#[tokio::test]
async fn files_whose_proof_was_not_written_are_gone_on_with_on_postgres() {
    what_ends_before_the_proof_is_gone_on_with(On::Postgres).await;
}

#[tokio::test]
async fn an_empty_pipe_is_an_error_and_proves_nothing() {
    let past = Past::start(options(1, 0.0), On::Sqlite).await;
    let range = ["--since", "2024-01-01", "--until", "2024-02-01"];
    let line = [
        &["backfill", NAME, "--source", "-", "--complete"],
        &range[..],
    ]
    .concat();
    for (given, words) in [
        ("", "Did the command before the pipe fail?"),
        ("zstd: no such file", "submission"),
    ] {
        let mut command = past.command(&line);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(given.as_bytes()).await.unwrap();
        drop(stdin);
        let ended = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(proven(&past).await, 0);
    }
}

#[tokio::test]
async fn what_is_simulated_and_what_is_real_are_not_mixed() {
    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let store = past.store().await;
    store.mark_simulated().await.unwrap();
    let mut real = past.command(&["backfill", NAME, "--since", "2d"]);
    // Nobody has this address: whoever asked it would say so.
    real.env("FRESHET_ARCTIC_SHIFT__URL", "https://archive.invalid/");
    let refused = super::support::binary::finish(&mut real).await;
    refused
        .ended_with(1)
        .says(&["simulated Reddit", "database.url"]);

    let past = Past::start(options(7, 40.0), On::Sqlite).await;
    let store = past.store().await;
    store.mark_real().await.unwrap();
    let refused = past.try_run(&["backfill", NAME, "--since", "2d"]).await;
    refused
        .ended_with(1)
        .says(&["real submissions", "database.url"]);
    assert_eq!(store.count_submissions(NAME, 0, i64::MAX).await.unwrap(), 0);
    assert!(!store.is_simulated().await.unwrap());
}
