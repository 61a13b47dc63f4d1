//! Rows that other programs wrote to `submissions`: any column may contain anything that its engine
//! accepts, which for SQLite is a value of any type.

use crate::store::fixtures::World;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// What every column of SQLite accepts.
const ANY: &[&str] = &[
    "NULL",
    "''",
    "' '",
    "0",
    "-1",
    "7",
    "1.5",
    "-1e300",
    "1e300",
    "9e999",
    "-9e999",
    "x''",
    "x'00ff'",
    "9223372036854775807",
    "-9223372036854775807 - 1",
    "'soon'",
    "'true'",
    "'12'",
    "'=1+1'",
    "'a,\"b'",
    "CAST(x'ff' AS TEXT)",
    "'a' || char(0) || 'b'",
    "char(10)",
    "char(13)",
    "char(8232)",
    "'É🦀'",
    "'{\"a\":1,\"a\":\"\\ud800\"}'",
    "'[1e999]'",
];
const TEXT: &[&str] = &[
    "NULL",
    "''",
    "' '",
    "'soon'",
    "'=1+1'",
    "'a,\"b'",
    "chr(1)",
    "chr(10)",
    "chr(13)",
    "chr(8232)",
    "'É🦀'",
    "repeat('x', 400)",
];
const SUBREDDITS: &[&str] = &[
    "NULL", "''", "'rust'", "'RuSt'", "'É'", "'~'", "' '", "'_a'", "'u_x-y'",
];
const INTEGERS: &[&str] = &[
    "0",
    "-1",
    "7",
    "1789999000",
    "9223372036854775807",
    "-9223372036854775807 - 1",
    "253402300800",
];
const REALS: &[&str] = &[
    "NULL",
    "0",
    "0.87",
    "1e300",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
];
const TRUTHS: &[&str] = &["NULL", "true", "false"];
const JSON: &[&str] = &[
    "'{}'",
    "'null'",
    "'\"x\"'",
    "'{\"a\":1,\"a\":\"\\ud800\"}'",
    "'[1e999,\"\\u0000\"]'",
    "repeat('[', 300) || repeat(']', 300)",
];
const COLUMNS: &str = "id, subreddit, author, title, selftext, url, permalink, domain, created_utc, score, \
    num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self, link_flair_text, edited, \
    edited_at, removed_by, kind, discovered_at, fetched_at, status, observed_ms, raw_hash, raw, removed_ms, removed_raw";

const ROWS: usize = 300;

/// Inserts rows whose columns contain anything, the same for the same seed.
pub async fn insert_odd_rows(world: &World, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = |of: &[&str]| -> String { (*of.choose(&mut random).unwrap()).to_owned() };
    let mut rows = Vec::new();
    for number in 0..ROWS {
        let ids = [
            "x",
            "X",
            "t3_",
            "",
            " ",
            "É",
            "=",
            "\u{2028}",
            "zzzzzzzzzzzzzzzzzzzz",
        ];
        let id = format!("'{}{number}'", ids[number % ids.len()]);
        let row = COLUMNS.split(", ").map(|column| {
            if world.is_postgres() {
                postgres_value(column, &id, &mut pick)
            } else {
                sqlite_value(column, &id, number, &mut pick)
            }
        });
        rows.push(format!("({})", row.collect::<Vec<_>>().join(", ")));
    }
    let insert = format!(
        "INSERT INTO submissions ({COLUMNS}) VALUES {}",
        rows.join(", ")
    );
    if world.is_postgres() {
        let drop = "ALTER TABLE submissions DROP CONSTRAINT submissions_status_check; ";
        let sql = sqlx::AssertSqlSafe(format!("{drop}{insert}"));
        let mut connection = PgConnection::connect(&world.url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    } else {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA ignore_check_constraints = 1; {insert}"));
        let mut connection = SqliteConnection::connect(&world.url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
}

fn sqlite_value(
    column: &str,
    id: &str,
    number: usize,
    pick: &mut impl FnMut(&[&str]) -> String,
) -> String {
    match column {
        // Some are bytes that are no text, and some no text at all.
        "id" if number.is_multiple_of(10) => format!("CAST(x'ff' AS TEXT) || '{number}'"),
        "id" if number.is_multiple_of(11) => format!("CAST('b{number}' AS BLOB)"),
        "id" => id.to_owned(),
        // Many in one second, so that pages end within it.
        "created_utc" if number.is_multiple_of(3) => "7".to_owned(),
        "subreddit" if number.is_multiple_of(2) => pick(SUBREDDITS),
        "created_utc" | "kind" | "discovered_at" | "status" | "observed_ms" | "raw_hash"
        | "raw" => match pick(ANY).as_str() {
            "NULL" => "''".to_owned(),
            value => value.to_owned(),
        },
        _ => pick(ANY),
    }
}

fn postgres_value(column: &str, id: &str, pick: &mut impl FnMut(&[&str]) -> String) -> String {
    match column {
        "id" => id.to_owned(),
        "subreddit" => pick(SUBREDDITS),
        "created_utc" | "discovered_at" | "observed_ms" => pick(INTEGERS),
        "score" | "num_comments" | "edited_at" | "fetched_at" | "removed_ms" => pick(INTEGERS),
        "upvote_ratio" => format!("{}::float8", pick(REALS)),
        "over_18" | "spoiler" | "stickied" | "locked" | "is_self" | "edited" => pick(TRUTHS),
        "kind" | "status" => format!("coalesce({}, '')", pick(TEXT)),
        "raw_hash" => "''::bytea".to_owned(),
        "raw" | "removed_raw" => format!("({})::json", pick(JSON)),
        _ => pick(TEXT),
    }
}

/// Every id in the database, sorted; what is not UTF-8 as exports write it.
pub async fn stored_ids(world: &World) -> Vec<String> {
    let rows: Vec<Vec<u8>> = if world.is_postgres() {
        let mut connection = PgConnection::connect(&world.url).await.unwrap();
        sqlx::query_scalar("SELECT convert_to(id, 'UTF8') FROM submissions")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    } else {
        let mut connection = SqliteConnection::connect(&world.url).await.unwrap();
        sqlx::query_scalar("SELECT CAST(id AS BLOB) FROM submissions")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    };
    let ids = rows
        .iter()
        .map(|id| String::from_utf8_lossy(id).into_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    ids
}
