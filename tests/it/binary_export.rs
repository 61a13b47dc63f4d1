//! What is stored, as lines for other programs.

use super::store::fixtures::{NOW, World, seen_with};
use super::support::binary::{Finished, Home};
use super::support::odd_rows::{insert_odd_rows, stored_ids};
use freshet::submission::Observation;
use parquet::file::reader::SerializedFileReader;
use parquet::record::{Field, Row};
use serde_json::{Value, json};
use sqlx::Connection;
use std::fs::File;
use std::path::Path;
use tokio::io::AsyncReadExt;

/// Texts that a careless writer of lines or of commas would break on.
fn listed() -> Vec<Observation> {
    let text = r#","subreddit":"Rust","title":"one, \"two\"\nthree\r\n","selftext":"","score":-3,
        "upvote_ratio":0.87,"over_18":true,"other":{"lone":"\ud800"}"#;
    vec![
        seen_with("a1", NOW, text),
        seen_with(
            "a2",
            NOW,
            r#","subreddit":"rust","title":"🦀 é","edited":1789999500.0"#,
        ),
        seen_with("a3", NOW, r#","subreddit":"AskReddit","title":"x""#),
        seen_with("a4", NOW, ""),
    ]
}

async fn export(home: &Home, world: &World, line: &[&str]) -> Finished {
    let flags = ["--database-url", &world.url];
    home.run(&[&["export"], line, &flags].concat()).await
}

fn objects(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn reads_back_equal(world: World) {
    let home = Home::new();
    let listed = listed();
    world.list(&listed).await;

    let told = export(&home, &world, &[]).await.ended_with(0);
    told.says(&["4 submissions"]);
    let told = export(&home, &world, &["--columns", "id,raw"])
        .await
        .ended_with(0);
    for (line, id) in told.stdout.lines().zip(["a3", "a1", "a2", "a4"]) {
        let observation = listed
            .iter()
            .find(|it| it.submission.id.as_str() == id)
            .unwrap();
        // Strict parsers refuse half of a surrogate pair.
        let raw = observation.raw.get().replace('\n', " ");
        let raw = raw.replace("\\ud800", "\\ufffd");
        assert_eq!(line, format!(r#"{{"id":"{id}","raw":{raw}}}"#));
    }

    let told = export(&home, &world, &["r/rust", "--json"])
        .await
        .ended_with(0);
    let rust = objects(&told.stdout);
    assert_eq!(rust.len(), 2);
    assert_eq!(rust[0]["title"], "one, \"two\"\nthree\r\n");
    assert_eq!(rust[0]["selftext"], "");
    assert_eq!(rust[0]["score"], -3);
    assert_eq!(rust[0]["upvote_ratio"], 0.87);
    assert_eq!(rust[0]["over_18"], true);
    assert_eq!(rust[0]["status"], "discovered");
    assert_eq!(rust[0]["fetched_at"], Value::Null);
    assert_eq!(rust[1]["edited_at"], 1_789_999_500);
    assert_eq!(rust[1]["selftext"], Value::Null);
    assert!(rust[0].get("raw").is_none());

    let line = [
        "rust",
        "--format",
        "csv",
        "--columns",
        "id,title,score,over_18,fetched_at",
    ];
    let told = export(&home, &world, &line).await.ended_with(0);
    let mut reader = csv::Reader::from_reader(told.stdout.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let header: Vec<&str> = reader.headers().unwrap().iter().collect();
    assert_eq!(header, ["id", "title", "score", "over_18", "fetched_at"]);
    assert_eq!(
        rows[0],
        ["a1", "one, \"two\"\nthree\r\n", "-3", "true", ""][..]
    );
    assert_eq!(rows[1], ["a2", "🦀 é", "", "", ""][..]);

    // Of nothing there is a header, and no line.
    let line = [
        "rust",
        "--since",
        "2100-01-01",
        "--format",
        "csv",
        "--columns",
        "id",
    ];
    let told = export(&home, &world, &line).await.ended_with(0);
    assert_eq!(told.stdout, "id\n");
}

/// Every row of a Parquet file as the object that NDJSON has for it; JSON as its text.
fn parquet_objects(path: &Path) -> Vec<Value> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let object = |row: Row| -> Value {
        let fields = row.get_column_iter().map(|(name, field)| {
            let value = match field {
                Field::Null => Value::Null,
                Field::Bool(truth) => json!(truth),
                Field::Long(number) => json!(number),
                Field::Double(number) => json!(number),
                Field::Str(text) => json!(text),
                Field::TimestampMillis(at) => json!(at / 1000),
                other => panic!("{name} is {other:?}"),
            };
            (name.clone(), value)
        });
        Value::Object(fields.collect())
    };
    reader.into_iter().map(|row| object(row.unwrap())).collect()
}

async fn parquet_holds_what_ndjson_does(world: World) {
    let home = Home::new();
    let many = (0..250).map(|number| {
        let fields = format!(r#","subreddit":"zebra","score":{number}"#);
        seen_with(&format!("z{number:03}"), NOW, &fields)
    });
    world
        .list(&listed().into_iter().chain(many).collect::<Vec<_>>())
        .await;
    let told = export(&home, &world, &[]).await.ended_with(0);
    let line = ["--format", "parquet", "-o", "all.parquet"];
    export(&home, &world, &line).await.ended_with(0);
    let read = parquet_objects(&home.path().join("all.parquet"));
    assert_eq!(read.len(), 254);
    assert_eq!(read, objects(&told.stdout));

    let line = [
        "rust",
        "--columns",
        "raw,score",
        "--format",
        "parquet",
        "-o",
        "raw.parquet",
    ];
    export(&home, &world, &line).await.ended_with(0);
    let read = parquet_objects(&home.path().join("raw.parquet"));
    assert_eq!(read[0]["raw"], listed()[0].raw.get());
    assert_eq!(read[0]["score"], -3);

    let seconds = [
        "--format",
        "parquet",
        "--times",
        "seconds",
        "-o",
        "seconds.parquet",
    ];
    export(&home, &world, &seconds).await.ended_with(0);
    let reader = File::open(home.path().join("seconds.parquet")).unwrap();
    let reader = SerializedFileReader::new(reader).unwrap();
    for row in reader.into_iter().map(Result::unwrap) {
        let created = row
            .get_column_iter()
            .find(|(name, _)| *name == "created_utc");
        assert_eq!(created.unwrap().1, &Field::Long(NOW / 1000 - 1000));
    }

    // Also of nothing there is a file that can be read.
    world.claimed("nosuchplace").await;
    let line = ["nosuchplace", "--format", "parquet", "-o", "none.parquet"];
    export(&home, &world, &line).await.ended_with(0);
    assert!(parquet_objects(&home.path().join("none.parquet")).is_empty());
}

#[tokio::test]
async fn parquet_holds_what_ndjson_does_from_sqlite() {
    parquet_holds_what_ndjson_does(World::sqlite().await).await;
}

#[tokio::test]
async fn parquet_holds_what_ndjson_does_from_postgres() {
    parquet_holds_what_ndjson_does(World::postgres().await).await;
}

#[tokio::test]
async fn an_export_reads_back_equal_from_sqlite() {
    reads_back_equal(World::sqlite().await).await;
}

#[tokio::test]
async fn an_export_reads_back_equal_from_postgres() {
    reads_back_equal(World::postgres().await).await;
}

/// Every row counts, for each format, whatever other programs stored.
async fn exported_ids_equal_stored_ids(world: World) {
    let home = Home::new();
    insert_odd_rows(&world, 2).await;
    let stored = stored_ids(&world).await;
    let told = export(&home, &world, &["--columns", "raw,id,title"])
        .await
        .ended_with(0);
    told.says_count(stored.len());
    let sorted = |mut ids: Vec<String>| {
        ids.sort_unstable();
        ids
    };
    let ids = |rows: &[Value]| {
        sorted(
            rows.iter()
                .map(|it| it["id"].as_str().unwrap().to_owned())
                .collect(),
        )
    };
    assert_eq!(ids(&objects(&told.stdout)), stored);

    export(&home, &world, &["-o", "all.parquet"])
        .await
        .ended_with(0);
    assert_eq!(
        ids(&parquet_objects(&home.path().join("all.parquet"))),
        stored
    );

    let told = export(&home, &world, &["--format", "csv"])
        .await
        .ended_with(0);
    let mut reader = csv::Reader::from_reader(told.stdout.as_bytes());
    let read = reader
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    assert_eq!(sorted(read), stored);
}

impl Finished {
    fn says_count(&self, count: usize) {
        let words = format!("{count} submissions in ");
        assert!(self.stderr.contains(&words), "{words}: {}", self.stderr);
    }
}

#[tokio::test]
async fn exported_ids_equal_stored_ids_whatever_sqlite_holds() {
    exported_ids_equal_stored_ids(World::sqlite().await).await;
}

#[tokio::test]
async fn exported_ids_equal_stored_ids_whatever_postgres_holds() {
    exported_ids_equal_stored_ids(World::postgres().await).await;
}

#[tokio::test]
async fn every_column_of_the_table_can_be_exported() {
    let (home, world) = (Home::new(), World::sqlite().await);
    let mut connection = sqlx::SqliteConnection::connect(&world.url).await.unwrap();
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info('submissions') ORDER BY cid")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    // What these say is about the row and not about the submission.
    let own = [
        "observed_ms",
        "raw_hash",
        "content_ms",
        "completeness",
        "removed_hash",
    ];
    let names: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|it| !own.contains(it))
        .collect();
    let columns = names.join(",").replace("removed_ms", "removed_at");
    let line = ["--format", "csv", "--columns", &columns];
    let told = export(&home, &world, &line).await;
    assert_eq!(told.ended_with(0).stdout, format!("{columns}\n"));
}

#[tokio::test]
async fn what_strangers_wrote_is_no_formula_in_the_safe_form_of_csv() {
    let (home, world) = (Home::new(), World::sqlite().await);
    let title = r#","subreddit":"rust","score":-3,"title":"=HYPERLINK(\"https://example.org\")""#;
    world.list(&[seen_with("a1", NOW, title)]).await;
    let line = ["--format", "csv", "--columns", "title,score"];
    let told = export(&home, &world, &line).await.ended_with(0);
    assert!(told.stdout.contains("\"=HYPERLINK"), "exact by default");
    told.says(&["1 cells begin like a formula", "--csv-safe"]);
    let line = [&line[..], &["--csv-safe", "--bom"]].concat();
    let told = export(&home, &world, &line).await.ended_with(0);
    assert!(told.stdout.starts_with('\u{feff}'));
    assert!(told.stdout.contains("\"'=HYPERLINK"), "{}", told.stdout);
    assert!(told.stdout.ends_with(",-3\n"), "{}", told.stdout);
    let line = ["--csv-safe", "-o", "x.ndjson"];
    export(&home, &world, &line)
        .await
        .ended_with(2)
        .says(&["CSV only"]);
}

#[tokio::test]
async fn a_name_that_is_not_known_is_refused_with_those_that_are_near() {
    let (home, world) = (Home::new(), World::sqlite().await);
    world
        .list(&[seen_with("a1", NOW, r#","subreddit":"Kettles""#)])
        .await;
    world.claimed("quiet").await;
    home.write("kept.ndjson", "the last one");
    export(&home, &world, &["ketles", "-o", "kept.ndjson"])
        .await
        .ended_with(1)
        .says(&["r/ketles is not watched", "Did you mean kettles?"]);
    let kept = std::fs::read_to_string(home.path().join("kept.ndjson")).unwrap();
    assert_eq!(kept, "the last one");
    let told = export(&home, &world, &["quiet"]).await.ended_with(0);
    let told = told.says(&["r/quiet is watched", "0 submissions"]);
    assert_eq!(told.stdout, "");
    export(&home, &world, &["Kettles"])
        .await
        .ended_with(0)
        .says(&["1 submission in"]);
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_it_without_a_complaint() {
    let (home, world) = (Home::new(), World::sqlite().await);
    let listed: Vec<Observation> = (0..500_u64)
        .map(|number| {
            // Unlike any other, so that no format makes it small.
            let long: String = (0..300_u64)
                .map(|word| {
                    format!(
                        "{:x}",
                        (word + number * 300).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    )
                })
                .collect();
            let fields = format!(r#","subreddit":"rust","selftext":"{long}""#);
            seen_with(&number.to_string(), NOW, &fields)
        })
        .collect();
    world.list(&listed).await;
    for format in ["ndjson", "csv", "parquet"] {
        let line = ["export", "--format", format, "--database-url", &world.url];
        let mut child = home.command(&line).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        assert!(output.read_u8().await.is_ok(), "{format}");
        drop(output);
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{format}");
        assert_eq!(output.status.code(), Some(0), "{format}");
    }
}

#[tokio::test]
async fn wrong_columns_and_ranges_are_refused_by_their_names() {
    let (home, world) = (Home::new(), World::sqlite().await);
    for (line, word) in [
        (["--columns", "id,scroe"], "scroe"),
        (["--format", "xml"], "xml"),
        (["--since", "soon"], "soon"),
    ] {
        let finished = export(&home, &world, &line).await;
        finished.ended_with(2).says(&[word]);
    }
    let line = ["--since", "2026-02-01", "--until", "2026-01-31"];
    let finished = export(&home, &world, &line).await;
    finished.ended_with(2).says(&["is not before"]);
}
