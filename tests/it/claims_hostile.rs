//! Files that lie, of which somebody says that they are complete, against the truth that the test keeps:
//! nothing that they leave out lies in time that is reported as proven.
//!
//! The program loads them, on both engines; a seed decides what was posted, what the database knows of it,
//! what it had proven wrongly before, and what the files do. Two lies cannot be found out, and are told apart
//! here as in the documentation: single submissions that nobody ever stored, and a hole where so little is
//! posted that its silence says nothing.

use super::support::past::{NAME, On, Past, options};
use freshet::store::{ArchiveRecord, Interval, NewBackfill, NewSlice, Store};
use freshet::submission::{Observation, SubredditName, decode_archived};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

/// Set to a seed, this variable has that one alone tried again; to a range (`1..200`), all of it.
const SEEDS: &str = "FRESHET_TEST_CLAIMS";
const START: i64 = 1_704_067_200;
const HOUR: i64 = 3_600;
const HOURS: i64 = 30;
const END: i64 = START + HOURS * HOUR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Nothing,
    CutInTheStream,
    CutAtALine,
    CutInALine,
    CutAtAFrame,
    OfAnotherMonth,
    OfAnotherSubreddit,
    CommentsAmong,
    Twice,
    Shuffled,
    ShuffledNearby,
    Reversed,
    Empty,
    ErrorObject,
    FromTheFuture,
    /// Nothing of an hour or two.
    Hole,
    /// One in three is left out.
    Lossy,
}

const LIES: [Lie; 17] = [
    Lie::Nothing,
    Lie::CutInTheStream,
    Lie::CutAtALine,
    Lie::CutInALine,
    Lie::CutAtAFrame,
    Lie::OfAnotherMonth,
    Lie::OfAnotherSubreddit,
    Lie::CommentsAmong,
    Lie::Twice,
    Lie::Shuffled,
    Lie::ShuffledNearby,
    Lie::Reversed,
    Lie::Empty,
    Lie::ErrorObject,
    Lie::FromTheFuture,
    Lie::Hole,
    Lie::Lossy,
];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: String,
    own: bool,
    created: i64,
}

impl Row {
    fn line(&self) -> String {
        let (id, at) = (&self.id, self.created);
        let name = if self.own { "Past" } else { "other" };
        format!(
            r#"{{"id":"{id}","name":"t3_{id}","subreddit":"{name}","created_utc":{at},"retrieved_on":{}}}"#,
            at + 40 * HOUR
        )
    }

    fn observed(&self) -> Observation {
        let raw = serde_json::value::RawValue::from_string(self.line());
        decode_archived(raw.unwrap(), i64::MAX).unwrap()
    }
}

struct Trial {
    truth: Vec<Row>,
    hourly: f64,
    /// What the database held before.
    known: HashSet<String>,
    /// What was proven before, and missing in it.
    missed: Vec<Row>,
    lies: Vec<Lie>,
    holes: Vec<Interval>,
    complete: bool,
}

fn within(interval: Interval, at: i64) -> bool {
    interval.start <= at && at < interval.end
}

/// What a file shows, and its bytes.
fn file(trial: &mut Trial, lie: Lie, part: Interval, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let rows = trial.truth.iter().filter(|row| within(part, row.created));
    let mut rows: Vec<Row> = rows.cloned().collect();
    match lie {
        Lie::OfAnotherMonth => {
            for row in &mut rows {
                row.created += 60 * 24 * HOUR;
                row.id.push('m');
            }
        }
        Lie::OfAnotherSubreddit => rows.retain(|row| !row.own),
        Lie::Twice => {
            rows = rows
                .into_iter()
                .flat_map(|row| [row.clone(), row])
                .collect()
        }
        Lie::Shuffled => rows.shuffle(rng),
        Lie::ShuffledNearby => {
            for some in rows.chunks_mut(40) {
                some.shuffle(rng);
            }
        }
        Lie::Reversed => rows.reverse(),
        Lie::CutAtALine => rows.truncate(rng.random_range(0..=rows.len())),
        Lie::Hole => {
            let start = rng.random_range(part.start..part.end);
            let end = start + rng.random_range(1..=2) * HOUR;
            let hole = Interval { start, end };
            trial.holes.push(hole);
            rows.retain(|row| !within(hole, row.created));
        }
        Lie::Lossy => rows.retain(|_| !rng.random_bool(0.33)),
        _ => {}
    }
    let mut lines: Vec<String> = rows.iter().map(Row::line).collect();
    let place = |rng: &mut ChaCha8Rng, lines: &[String]| rng.random_range(0..=lines.len());
    match lie {
        Lie::CommentsAmong => {
            for number in 0..5 {
                let at = place(rng, &lines);
                lines.insert(at, format!(r#"{{"id":"c{number}","name":"t1_c{number}","subreddit":"past","body":"b","link_id":"t3_a","parent_id":"t3_a","created_utc":{START}}}"#));
            }
        }
        Lie::ErrorObject => {
            let at = place(rng, &lines);
            lines.insert(
                at,
                r#"{"error":"Timeout. Maybe slow down a bit"}"#.to_owned(),
            );
        }
        Lie::FromTheFuture => {
            let at = place(rng, &lines);
            lines.insert(
                at,
                r#"{"id":"future","subreddit":"past","created_utc":4102444800}"#.to_owned(),
            );
        }
        _ => {}
    }
    let mut text: String = lines.into_iter().map(|line| line + "\n").collect();
    match lie {
        Lie::Empty => return Vec::new(),
        Lie::CutInALine => text.truncate(rng.random_range(0..=text.len())),
        _ => {}
    }
    let frames = matches!(lie, Lie::CutInTheStream | Lie::CutAtAFrame);
    if !frames && rng.random_bool(0.5) {
        return text.into_bytes();
    }
    let mut bytes = Vec::new();
    let frames: Vec<&[u8]> = text.as_bytes().chunks(text.len() / 4 + 1).collect();
    let kept = match lie {
        Lie::CutAtAFrame => rng.random_range(0..=frames.len()),
        _ => frames.len(),
    };
    for frame in &frames[..kept] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(frame).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    if lie == Lie::CutInTheStream {
        bytes.truncate(rng.random_range(0..=bytes.len()));
    }
    bytes
}

async fn store_rows(store: &Store, rows: &[Row]) {
    let observations: Vec<Observation> = rows.iter().map(Row::observed).collect();
    let record = ArchiveRecord {
        observations: &observations,
        undecodable: &[],
        refresh: false,
        now_ms: chrono::Utc::now().timestamp_millis(),
    };
    store.record_archived(&record).await.unwrap();
}

/// Has all of it proven, as polls would have by mistake.
async fn prove(store: &Store, whole: Interval) {
    let name: SubredditName = NAME.parse().unwrap();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let new = NewBackfill {
        subreddit: name,
        source: "files".to_owned(),
        request: "before".to_owned(),
        range: whole,
        newest_first: true,
        max_active: 1,
        refresh: false,
        expected: None,
        slices: vec![NewSlice {
            name: Some("before".to_owned()),
            start: whole.start,
            end: whole.end,
            expected: None,
        }],
    };
    let backfill = store.create_backfill(&new, now_ms).await.unwrap();
    let whole = [whole];
    let proven = store.prove_backfill(backfill, NAME, &whole, None, now_ms);
    proven.await.unwrap();
}

async fn trial(seed: u64, on: On) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let past = Past::start(options(1, 0.0), on).await;
    let store = past.store().await;
    let hourly = [3.0, 30.0, 120.0][rng.random_range(0..3)];
    let mut truth = Vec::new();
    for second in START..END {
        for own in [true, false] {
            if rng.random_bool(hourly / 3_600.0) {
                let id = format!("s{}", truth.len());
                let created = second;
                truth.push(Row { id, own, created });
            }
        }
    }
    let mut trial = Trial {
        truth,
        hourly,
        known: HashSet::new(),
        missed: Vec::new(),
        lies: Vec::new(),
        holes: Vec::new(),
        complete: rng.random_bool(0.7),
    };
    let own: Vec<Row> = trial.truth.iter().filter(|row| row.own).cloned().collect();
    // Nothing of it is known, a part here and there, or all but some hours, and that as proven.
    match rng.random_range(0..3) {
        0 => {}
        1 => {
            let some: Vec<Row> = own
                .iter()
                .filter(|_| rng.random_bool(0.4))
                .cloned()
                .collect();
            store_rows(&store, &some).await;
            trial.known = some.into_iter().map(|row| row.id).collect();
        }
        _ => {
            let from = START + rng.random_range(0..HOURS - 4) * HOUR;
            let missed = Interval {
                start: from,
                end: from + rng.random_range(1..4) * HOUR,
            };
            let (gone, some): (Vec<Row>, Vec<Row>) = own
                .iter()
                .cloned()
                .partition(|row| within(missed, row.created));
            store_rows(&store, &some).await;
            prove(
                &store,
                Interval {
                    start: START,
                    end: END,
                },
            )
            .await;
            trial.known = some.into_iter().map(|row| row.id).collect();
            trial.missed = gone;
        }
    }
    let count = rng.random_range(1..=3);
    let mut files: Vec<PathBuf> = Vec::new();
    for number in 0..count {
        let length = (END - START) / count;
        let part = Interval {
            start: START + number * length - rng.random_range(0..2) * HOUR,
            end: START + (number + 1) * length,
        };
        let lie = match rng.random_range(0..3) {
            0 => Lie::Nothing,
            _ => LIES[rng.random_range(0..LIES.len())],
        };
        trial.lies.push(lie);
        let bytes = file(&mut trial, lie, part, &mut rng);
        let path = past.home.path().join(format!("file{number}"));
        std::fs::write(&path, bytes).unwrap();
        files.push(path);
    }
    files.shuffle(&mut rng);
    let mut line = vec![
        "backfill",
        NAME,
        "--since",
        "2024-01-01",
        "--until",
        "2024-01-02T06:00:00Z",
    ];
    line.extend(["--reprocess", "all"]);
    if trial.complete {
        line.push("--complete");
    }
    for file in &files {
        line.extend(["--source", file.to_str().unwrap()]);
    }
    let done = past.try_run(&line).await;
    let said = format!("{}{}", done.stdout, done.stderr);
    check(&store, &trial, &own, seed, done.status, &said).await;
}

async fn check(
    store: &Store,
    trial: &Trial,
    own: &[Row],
    seed: u64,
    status: Option<i32>,
    said: &str,
) {
    let case = format!(
        "seed {seed}: {:?}, {} an hour, {} known, complete: {}\n{said}",
        trial.lies,
        trial.hourly,
        trial.known.len(),
        trial.complete
    );
    let stored = store
        .submissions_between(NAME, &(0, String::new()), i64::MAX, 100_000)
        .await
        .unwrap();
    let stored: HashSet<String> = stored.into_iter().map(|(_, id)| id).collect();
    let proven = store.coverage(&NAME.parse().unwrap()).await.unwrap();
    assert!(matches!(status, Some(0 | 1)), "{case}");
    if proven.is_empty() && trial.complete {
        assert_eq!(status, Some(1), "nothing is proven: {case}");
    }
    let is_proven = |at: i64| {
        proven
            .iter()
            .any(|(start, end)| (*start..*end).contains(&at))
    };
    let was_proven = !trial.missed.is_empty();
    if !trial.complete && !was_proven {
        assert!(proven.is_empty(), "nobody said that it is complete: {case}");
    }
    let brought = trial.missed.iter().filter(|row| stored.contains(&row.id));
    let contradicted = brought.count() >= 10;
    let lossy = trial.lies.contains(&Lie::Lossy);
    for row in own {
        if stored.contains(&row.id) || !is_proven(row.created) {
            continue;
        }
        // Nobody showed that it was missing in what was proven before.
        let doubted = trial.missed.contains(row) && !contradicted && !trial.complete;
        let unknown = trial.known.is_empty() || was_proven;
        let quiet = trial.hourly < 100.0 || trial.holes.iter().any(|hole| is_near_an_end(*hole));
        let hidden = trial.holes.iter().any(|hole| within(*hole, row.created));
        let before = was_proven && trial.missed.contains(row) && !contradicted;
        let undetectable = doubted
            || before
            || (unknown && (lossy || (hidden && quiet)))
            || (lossy && trial.hourly < 10.0);
        assert!(
            undetectable,
            "{} of {} is missing from proven time {proven:?}: {case}",
            row.id,
            row.created - START
        );
    }
}

/// Whether less than the hole's length is shown before or after it, in a part or in all.
fn is_near_an_end(hole: Interval) -> bool {
    let length = hole.end - hole.start;
    (1..=3).any(|parts| {
        (0..=parts).any(|part| {
            let edge = START + part * (END - START) / parts;
            hole.start - 2 * length <= edge && edge <= hole.end + 2 * length
        })
    })
}

async fn trials(on: On, seeds: std::ops::Range<u64>) {
    #[expect(clippy::disallowed_methods, reason = "says which trials to repeat")]
    let seeds = match std::env::var(SEEDS) {
        Ok(text) => match text.split_once("..") {
            Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
            None => text.parse().unwrap()..text.parse::<u64>().unwrap() + 1,
        },
        Err(_) => seeds,
    };
    for seed in seeds {
        trial(seed, on).await;
    }
}

#[tokio::test]
async fn nothing_is_proven_by_lying_files_that_is_not_stored_on_sqlite() {
    trials(On::Sqlite, 0..16).await;
}

#[tokio::test]
async fn nothing_is_proven_by_lying_files_that_is_not_stored_on_postgres() {
    trials(On::Postgres, 100..108).await;
}
