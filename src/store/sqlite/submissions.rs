//! Rows of `submissions` in statements of a few fixed sizes: many rows share the cost of one
//! statement, and each text is prepared once for a connection.

use crate::store::Status;
use crate::store::content::Content;
use crate::store::submissions::{COLUMNS, Progress};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use std::sync::LazyLock;

/// Rows in one statement; each size goes into the last without a rest.
const SIZES: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[String; 3]> =
    LazyLock::new(|| SIZES.map(|rows| text(rows, "DO NOTHING".to_owned())));

/// Inserting over a row is how SQLite updates many rows with different values at once. When it was
/// discovered stays as it is.
static REWRITE: LazyLock<[String; 3]> = LazyLock::new(|| overwriting(&["id", "discovered_at"]));

static RENEW: LazyLock<[String; 3]> =
    LazyLock::new(|| overwriting(&["id", "discovered_at", "fetched_at", "status"]));

fn overwriting(but: &[&str]) -> [String; 3] {
    let set: Vec<String> = COLUMNS
        .split(", ")
        .filter(|column| !but.contains(column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let action = format!("DO UPDATE SET {}", set.join(", "));
    SIZES.map(|rows| text(rows, action.clone()))
}

fn text(rows: usize, action: String) -> String {
    let columns = COLUMNS.split(", ").count();
    let row = format!("({})", vec!["?"; columns].join(", "));
    let values = vec![row; rows].join(", ");
    format!("INSERT INTO submissions ({COLUMNS}) VALUES {values} ON CONFLICT (id) {action}")
}

pub(in crate::store) async fn insert(
    connection: &mut SqliteConnection,
    contents: &[&Content<'_>],
    progress: Progress,
) -> Result<Vec<String>, sqlx::Error> {
    run(connection, &INSERT, contents, progress).await?;
    // The transaction holds the only write lock and has looked before: all of them were new.
    Ok(contents.iter().map(|row| row.id().to_owned()).collect())
}

pub(in crate::store) async fn rewrite(
    connection: &mut SqliteConnection,
    contents: &[&Content<'_>],
    now: i64,
) -> Result<(), sqlx::Error> {
    let progress = Progress {
        status: Status::Fetched,
        discovered_at: now,
        fetched_at: Some(now),
    };
    run(connection, &REWRITE, contents, progress).await
}

pub(in crate::store) async fn renew(
    connection: &mut SqliteConnection,
    contents: &[&Content<'_>],
) -> Result<(), sqlx::Error> {
    // Checked, as if a row were inserted, and not written.
    let progress = Progress {
        status: Status::Discovered,
        discovered_at: 0,
        fetched_at: None,
    };
    run(connection, &RENEW, contents, progress).await
}

async fn run(
    connection: &mut SqliteConnection,
    statements: &'static [String; 3],
    mut contents: &[&Content<'_>],
    progress: Progress,
) -> Result<(), sqlx::Error> {
    for (size, statement) in SIZES.into_iter().zip(statements) {
        while let Some((rows, rest)) = contents.split_at_checked(size) {
            if rows.is_empty() {
                break;
            }
            let mut query = sqlx::query(statement.as_str());
            for row in rows {
                query = bind(query, row, progress);
            }
            query.execute(&mut *connection).await?;
            contents = rest;
        }
    }
    Ok(())
}

/// Binds one row in the order of [`COLUMNS`].
fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    row: &Content<'_>,
    progress: Progress,
) -> Query<'q, Sqlite, SqliteArguments> {
    let fields = &*row.fields;
    query
        .bind(fields.id.as_str())
        .bind(fields.subreddit.as_deref())
        .bind(fields.author.as_deref())
        .bind(fields.title.as_deref())
        .bind(fields.selftext.as_deref())
        .bind(fields.url.as_deref())
        .bind(fields.permalink.as_deref())
        .bind(fields.domain.as_deref())
        .bind(fields.created_utc)
        .bind(fields.score)
        .bind(fields.num_comments)
        .bind(fields.upvote_ratio)
        .bind(fields.over_18)
        .bind(fields.spoiler)
        .bind(fields.stickied)
        .bind(fields.locked)
        .bind(fields.is_self)
        .bind(fields.link_flair_text.as_deref())
        .bind(fields.edited)
        .bind(fields.edited_at)
        .bind(fields.removed_by.as_deref())
        .bind(fields.kind.as_str())
        .bind(row.observed_ms)
        .bind(row.hash.as_slice())
        .bind(row.raw.get())
        .bind(progress.discovered_at)
        .bind(progress.fetched_at)
        .bind(progress.status.as_str())
}
