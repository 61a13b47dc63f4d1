//! Rows of `submissions` in statements of a few fixed sizes: many rows share the cost of one
//! statement, and each text is prepared once for a connection.

use crate::store::Status;
use crate::store::content::{Content, fit_one_statement};
use crate::store::submissions::{COLUMNS, Part, Progress};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use std::sync::LazyLock;

/// Rows in one statement; each size goes into the last without a rest.
const SIZES: [usize; 3] = [64, 8, 1];

static INSERT: LazyLock<[String; 3]> =
    LazyLock::new(|| SIZES.map(|rows| text(rows, "DO NOTHING".to_owned())));

/// Inserting over a row is how SQLite updates many rows with different values at once. When it was
/// discovered stays as it is. In the order of [`Part::EACH`].
static REWRITE: LazyLock<[[String; 3]; 4]> =
    LazyLock::new(|| Part::EACH.map(|part| overwriting(part, "")));

static REWRITE_FETCHED: LazyLock<[[String; 3]; 4]> = LazyLock::new(|| {
    let and = ", fetched_at = excluded.fetched_at, status = excluded.status";
    Part::EACH.map(|part| overwriting(part, and))
});

fn overwriting(part: Part, and: &str) -> [String; 3] {
    let set = part.assignments("submissions", "excluded");
    SIZES.map(|rows| text(rows, format!("DO UPDATE SET {set}{and}")))
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
    run(connection, &INSERT, contents, Part::All, progress).await?;
    // The transaction holds the only write lock and has looked before: all of them were new.
    Ok(contents.iter().map(|row| row.id().to_owned()).collect())
}

pub(in crate::store) async fn rewrite(
    connection: &mut SqliteConnection,
    contents: &[&Content<'_>],
    part: Part,
    fetched_at: Option<i64>,
) -> Result<(), sqlx::Error> {
    let (texts, progress) = match fetched_at {
        Some(at) => {
            let progress = Progress {
                status: Status::Fetched,
                discovered_at: at,
                fetched_at,
            };
            (&*REWRITE_FETCHED, progress)
        }
        None => {
            // Checked, as if a row were inserted, and not written.
            let progress = Progress {
                status: Status::Discovered,
                discovered_at: 0,
                fetched_at: None,
            };
            (&*REWRITE, progress)
        }
    };
    run(connection, &texts[part as usize], contents, part, progress).await
}

async fn run(
    connection: &mut SqliteConnection,
    statements: &'static [String; 3],
    mut contents: &[&Content<'_>],
    part: Part,
    progress: Progress,
) -> Result<(), sqlx::Error> {
    loop {
        let fitting = SIZES
            .into_iter()
            .zip(statements)
            .find_map(|(size, statement)| {
                let (rows, rest) = contents.split_at_checked(size)?;
                fit_one_statement(rows).then_some((statement, rows, rest))
            });
        let Some((statement, rows, rest)) = fitting else {
            return Ok(());
        };
        let mut query = sqlx::query(statement.as_str());
        for row in rows {
            query = bind(query, row, part, progress);
        }
        query.execute(&mut *connection).await?;
        contents = rest;
    }
}

/// Binds one row in the order of [`COLUMNS`].
fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    row: &Content<'_>,
    part: Part,
    progress: Progress,
) -> Query<'q, Sqlite, SqliteArguments> {
    let fields = &*row.fields;
    let (removed_hash, removed_raw) = row.stored_removal(part).unzip();
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
        .bind(row.stored_content_ms(part))
        .bind(row.completeness.as_number())
        .bind(row.removed_ms())
        .bind(removed_hash.map(|hash| hash.as_slice()))
        .bind(removed_raw.map(|raw| raw.get()))
        .bind(progress.discovered_at)
        .bind(progress.fetched_at)
        .bind(progress.status.as_str())
}
