//! Files of half a month of which somebody says that they hold all of it: whatever else is in them, or in another
//! beside them, the other half is not proven. Honest files are, also sparse ones.

use super::support::past::{NAME, On, Past, options};

const DAY: i64 = 86_400;
const START: i64 = 1_704_067_200;

/// When each was created (seconds), and its line.
type Rows = Vec<(i64, String)>;

fn row(subreddit: &str, day: f64) -> (i64, String) {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a month")]
    let at = START + (day * 86_400.0) as i64;
    let id = format!("{}{at}", &subreddit[..1]);
    let line = format!(r#"{{"id":"{id}","subreddit":"{subreddit}","created_utc":{at}}}"#);
    (at, line)
}

/// So many rows from one day of the month to another.
fn rows(subreddit: &str, from: f64, to: f64, count: u32) -> Rows {
    let step = (to - from) / f64::from(count);
    (0..count)
        .map(|number| row(subreddit, from + step * f64::from(number)))
        .collect()
}

/// A file of these, in order of time.
fn file(past: &Past, name: &str, mut rows: Rows) -> String {
    rows.sort();
    let text: String = rows.into_iter().map(|(_, line)| line + "\n").collect();
    let path = past.home.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// What they prove, in seconds from the beginning of the month.
async fn proven(past: &Past, files: &[String]) -> Vec<(i64, i64)> {
    let mut line = vec!["backfill", NAME, "--complete", "--since", "2024-01-01"];
    line.extend(["--until", "2024-01-31"]);
    for file in files {
        line.extend(["--source", file]);
    }
    past.try_run(&line).await;
    let store = past.store().await;
    let proven = store.coverage(&NAME.parse().unwrap()).await.unwrap();
    let proven = proven.iter();
    proven
        .map(|(start, end)| (start - START, end - START))
        .collect()
}

#[tokio::test]
async fn what_is_added_to_half_a_month_does_not_prove_the_other_half() {
    let half = || rows(NAME, 0.0, 15.0, 600);
    let late = || rows(NAME, 15.0, 30.0, 480);
    let of_others = || rows("spoons", 0.0, 30.0, 1_200);
    let with = |mut all: Rows, more: Rows| {
        all.extend(more);
        all
    };
    // Files, and whether the first half may be proven (else the second).
    let cases: Vec<(Vec<Rows>, bool)> = vec![
        (vec![with(half(), vec![row(NAME, 29.9)])], true),
        (vec![with(half(), vec![row("spoons", 29.9)])], true),
        (
            vec![with(half(), vec![row(NAME, 29.8), row(NAME, 29.9)])],
            true,
        ),
        (vec![with(half(), rows(NAME, 20.0, 29.9, 4))], true),
        (vec![with(half(), rows("spoons", 20.0, 29.9, 4))], true),
        (vec![with(half(), of_others())], true),
        (vec![with(half(), vec![row(NAME, 400.0)])], true),
        (vec![with(late(), vec![row(NAME, 0.1)])], false),
        (vec![with(late(), vec![row(NAME, -9.0)])], false),
        (vec![with(late(), vec![row("spoons", -9.0)])], false),
        (vec![with(late(), of_others())], false),
        (
            vec![
                with(of_others(), vec![row(NAME, 0.0), row(NAME, 29.9)]),
                half(),
            ],
            true,
        ),
        (
            vec![with(of_others(), rows(NAME, 0.0, 30.0, 5)), late()],
            false,
        ),
        (
            vec![with(vec![row(NAME, 0.0)], vec![row(NAME, 29.9)]), half()],
            true,
        ),
    ];
    for (number, (files, first)) in cases.into_iter().enumerate() {
        let past = Past::start(options(1, 0.0), On::Sqlite).await;
        let files = files.into_iter().enumerate();
        let files: Vec<String> = files
            .map(|(place, rows)| file(&past, &format!("{place}.ndjson"), rows))
            .collect();
        let proven = proven(&past, &files).await;
        let allowed = if first {
            (0, 15 * DAY)
        } else {
            (15 * DAY, 30 * DAY)
        };
        let seconds: i64 = proven.iter().map(|(start, end)| end - start).sum();
        assert!(seconds > 14 * DAY, "case {number}: {proven:?}");
        for (start, end) in proven {
            let within = allowed.0 <= start && end <= allowed.1;
            assert!(within, "case {number}: {start} until {end}");
        }
    }
}

#[tokio::test]
async fn honest_files_prove_what_they_show_however_sparse() {
    let cases: Vec<Rows> = vec![
        rows(NAME, 0.0, 30.0, 1_000),
        rows(NAME, -5.0, 40.0, 45),
        vec![row(NAME, 0.1), row(NAME, 29.9)],
        vec![
            row(NAME, 0.1),
            row(NAME, 2.0),
            row(NAME, 3.0),
            row(NAME, 29.9),
        ],
        [rows(NAME, 0.0, 30.0, 5), rows("spoons", 0.0, 30.0, 900)].concat(),
        (0..30)
            .flat_map(|day| rows(NAME, f64::from(day) + 0.4, f64::from(day) + 0.9, 30))
            .collect(),
    ];
    for (number, rows) in cases.into_iter().enumerate() {
        let past = Past::start(options(1, 0.0), On::Sqlite).await;
        let file = file(&past, "a.ndjson", rows);
        let proven = proven(&past, &[file]).await;
        let seconds: i64 = proven.iter().map(|(start, end)| end - start).sum();
        assert!(seconds > 28 * DAY, "case {number}: {proven:?}");
    }
}
