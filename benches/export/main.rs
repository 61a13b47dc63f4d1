//! Exports of millions: how fast, and whether they take more memory the more there is.
//!
//! The rows are made up by the database itself, small ones, so that there can be many. Each format is
//! written by the program (`freshet export --output FILE`) of a tenth of the time first and then of all
//! of it; what was written is read back and counted.
//!
//! ```sh
//! cargo bench --bench export                           # a million, about a minute, 2 GB
//! cargo bench --bench export -- --rows 10000000        # 13 GB
//! cargo bench --bench export -- --only postgres
//! ```
//!
//! Standard output is a Markdown table; progress goes to standard error.

#[path = "../load/program.rs"]
mod program;

/// The server that the tests use too.
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

use anyhow::{Context, ensure};
use clap::Parser;
use freshet::store::Store;
use parquet::file::reader::{FileReader, SerializedFileReader};
use postgres::PostgresServer;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Measures how exports go.
#[derive(Parser)]
struct Arguments {
    /// Submissions that are stored
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Only the engine whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Said by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows of one statement that makes them.
const AT_ONCE: u64 = 100_000;
/// When the first was created, seconds.
const FIRST: u64 = 1_700_000_000;
/// Rows of each second.
const A_SECOND: u64 = 20;
/// `{id}` and `{numbers}` are the engine's own words.
const MAKE: &str = "INSERT INTO submissions (id, subreddit, author, title, selftext, url, permalink, domain,
        created_utc, score, num_comments, kind, discovered_at, fetched_at, status, observed_ms, raw_hash, raw)
    {numbers}
    SELECT {id}, 'Subreddit_' || i % 100, 'someone_' || i % 5000, 'A title of some forty characters, ' || i,
        'What somebody wrote below it, ' || i, 'https://example.org/' || i,
        '/r/Subreddit_' || i % 100 || '/comments/' || i || '/a_title/', 'example.org',
        1700000000 + i / 20, i % 5000, i % 70, 'text', 1700000000 + i / 20, 1700000000 + i / 20, 'fetched',
        1700000000000, {hash}, '{\"number\":' || i || '}'
    FROM n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    println!(
        "| engine | format | submissions | of one second | MB of the file | peak memory, MB |"
    );
    println!("|---|---|--:|--:|--:|--:|");
    if "sqlite".contains(&arguments.only) {
        let url = format!("sqlite://{}", folder.path().join("made.db").display());
        migrated(&url).await?;
        let mut connection = SqliteConnection::connect(&url).await?;
        for from in (0..arguments.rows).step_by(AT_ONCE as usize) {
            let last = (from + AT_ONCE).min(arguments.rows) - 1;
            let numbers = format!(
                "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
            );
            let sql = MAKE
                .replace("{numbers}", &numbers)
                .replace("{id}", "printf('%x', 268435456 + i)")
                .replace("{hash}", "x'00'");
            connection.execute(AssertSqlSafe(sql)).await?;
            eprintln!("sqlite: {} made", last + 1);
        }
        connection.close().await?;
        measure(&arguments, folder.path(), "sqlite", &url)?;
    }
    if "postgres".contains(&arguments.only) {
        let server = tokio::task::spawn_blocking(|| PostgresServer::start_with("")).await?;
        let url = server.url("postgres");
        migrated(&url).await?;
        let mut connection = PgConnection::connect(&url).await?;
        for from in (0..arguments.rows).step_by(AT_ONCE as usize) {
            let last = (from + AT_ONCE).min(arguments.rows) - 1;
            let numbers = format!("WITH n AS (SELECT generate_series({from}, {last}) AS i)");
            let sql = MAKE
                .replace("{numbers}", &numbers)
                .replace("{id}", "to_hex(268435456 + i)")
                .replace("{hash}", "'\\x00'")
                .replace(
                    "'{\"number\":' || i || '}'",
                    "('{\"number\":' || i || '}')::json",
                );
            connection.execute(AssertSqlSafe(sql)).await?;
            eprintln!("postgres: {} made", last + 1);
        }
        connection.execute("ANALYZE submissions").await?;
        connection.close().await?;
        measure(&arguments, folder.path(), "postgres", &url)?;
    }
    Ok(())
}

async fn migrated(url: &str) -> anyhow::Result<()> {
    let store = Store::connect(url, 1).await?;
    store.migrate().await?;
    store.close().await;
    Ok(())
}

fn measure(arguments: &Arguments, folder: &Path, engine: &str, url: &str) -> anyhow::Result<()> {
    let tenth = arguments.rows / 10 / A_SECOND;
    let until = chrono::DateTime::from_timestamp((FIRST + tenth) as i64, 0)
        .context("a time")?
        .to_rfc3339();
    for format in ["ndjson", "csv", "parquet"] {
        for (rows, range) in [
            (tenth * A_SECOND, &["--until", &until][..]),
            (arguments.rows, &[]),
        ] {
            let output = folder.join(format!("made.{format}"));
            let words = ["export", "--database-url", url, "--format", format, "-o"];
            let words: Vec<&OsStr> = words
                .iter()
                .map(OsStr::new)
                .chain([output.as_os_str()])
                .chain(range.iter().map(OsStr::new))
                .collect();
            let run = program::run(folder, &words)?;
            let megabytes = std::fs::metadata(&output)?.len() as f64 / 1e6;
            let read = count(&output, format)?;
            ensure!(read == rows, "{read} of {rows} submissions are in {format}");
            std::fs::remove_file(&output)?;
            println!(
                "| {engine} | {format} | {rows} | {:.0} | {megabytes:.0} | {:.0} |",
                rows as f64 / run.spent.as_secs_f64(),
                run.peak_megabytes
            );
        }
    }
    Ok(())
}

/// How many submissions a file holds.
fn count(path: &Path, format: &str) -> anyhow::Result<u64> {
    let file = File::open(path)?;
    if format == "parquet" {
        let reader = SerializedFileReader::new(file)?;
        let groups = reader.metadata().row_groups().iter();
        return Ok(groups.map(|group| group.num_rows().unsigned_abs()).sum());
    }
    let mut reader = BufReader::new(file);
    let (mut lines, mut line) = (0, Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        line.clear();
    }
    // The first line of CSV names the columns.
    Ok(lines - u64::from(format == "csv"))
}
