//! Rows of `submissions` as arrays, one for each column: one statement, whatever the number of rows.

use crate::store::content::{Content, Hash, by_statement};
use crate::store::submissions::{COLUMNS, Part, Progress};
use crate::submission::Submission;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgHasArrayType, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, Postgres, Row, Type};
use std::sync::LazyLock;

/// The first of [`COLUMNS`], which observations say; the parameters behind them say how far rows have come.
const OBSERVED: usize = 30;

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO submissions ({COLUMNS}) SELECT n.*, $31, $32, $33 FROM unnest({}) AS n
         ON CONFLICT (id) DO NOTHING RETURNING id",
        parameters()
    )
});

/// In the order of [`Part::EACH`].
static REWRITE: LazyLock<[String; 4]> = LazyLock::new(|| Part::EACH.map(|part| update(part, "")));
static REWRITE_FETCHED: LazyLock<[String; 4]> =
    LazyLock::new(|| Part::EACH.map(|part| update(part, ", fetched_at = $31, status = 'fetched'")));

fn parameters() -> String {
    let each: Vec<String> = (1..=OBSERVED).map(|place| format!("${place}")).collect();
    each.join(", ")
}

fn update(part: Part, and: &str) -> String {
    let columns: Vec<&str> = COLUMNS.split(", ").take(OBSERVED).collect();
    format!(
        "UPDATE submissions AS s SET {}{and} FROM unnest({}) AS n({}) WHERE s.id = n.id",
        part.assignments("s", "n"),
        parameters(),
        columns.join(", ")
    )
}

/// Rows of one statement. They are copied twice on their way to the server, so more at a time would
/// cost memory, and fewer more round trips.
const ROWS: usize = 200;

/// The type `json`, sent as its text; the server checks it and keeps it as it is.
struct Json<'a>(&'a str);

impl Type<Postgres> for Json<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl PgHasArrayType for Json<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(199))
    }
}

impl Encode<'_, Postgres> for Json<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

pub(in crate::store) async fn insert(
    connection: &mut PgConnection,
    contents: &[&Content<'_>],
    progress: Progress,
) -> Result<Vec<String>, sqlx::Error> {
    let mut inserted = Vec::with_capacity(contents.len());
    for contents in by_statement(contents, ROWS) {
        let query = bind(sqlx::query(INSERT.as_str()), contents, Part::All)
            .bind(progress.discovered_at)
            .bind(progress.fetched_at)
            .bind(progress.status.as_str());
        for row in query.fetch_all(&mut *connection).await? {
            inserted.push(row.try_get(0)?);
        }
    }
    Ok(inserted)
}

pub(in crate::store) async fn rewrite(
    connection: &mut PgConnection,
    contents: &[&Content<'_>],
    part: Part,
    fetched_at: Option<i64>,
) -> Result<(), sqlx::Error> {
    let texts = match fetched_at {
        Some(_) => &*REWRITE_FETCHED,
        None => &*REWRITE,
    };
    let text = texts[part as usize].as_str();
    for contents in by_statement(contents, ROWS) {
        let query = bind(sqlx::query(text), contents, part);
        let query = match fetched_at {
            Some(at) => query.bind(at),
            None => query,
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds `$1` to `$30`.
fn bind<'q>(query: Statement<'q>, contents: &[&Content<'_>], part: Part) -> Statement<'q> {
    let text = |query: Statement<'q>, field: fn(&Submission) -> Option<&str>| {
        let column: Vec<Option<&str>> = contents.iter().map(|row| field(&row.fields)).collect();
        query.bind(column)
    };
    let integer = |query: Statement<'q>, field: fn(&Submission) -> Option<i64>| {
        let column: Vec<Option<i64>> = contents.iter().map(|row| field(&row.fields)).collect();
        query.bind(column)
    };
    let boolean = |query: Statement<'q>, field: fn(&Submission) -> Option<bool>| {
        let column: Vec<Option<bool>> = contents.iter().map(|row| field(&row.fields)).collect();
        query.bind(column)
    };
    let ratios: Vec<Option<f64>> = contents.iter().map(|row| row.fields.upvote_ratio).collect();
    let observed: Vec<i64> = contents.iter().map(|row| row.observed_ms).collect();
    let hashes: Vec<&[u8]> = contents.iter().map(|row| row.hash.as_slice()).collect();
    let raw: Vec<Json<'_>> = contents.iter().map(|row| Json(row.raw.get())).collect();

    let query = text(query, |fields| Some(fields.id.as_str()));
    let query = text(query, |fields| fields.subreddit.as_deref());
    let query = text(query, |fields| fields.author.as_deref());
    let query = text(query, |fields| fields.title.as_deref());
    let query = text(query, |fields| fields.selftext.as_deref());
    let query = text(query, |fields| fields.url.as_deref());
    let query = text(query, |fields| fields.permalink.as_deref());
    let query = text(query, |fields| fields.domain.as_deref());
    let query = integer(query, |fields| Some(fields.created_utc));
    let query = integer(query, |fields| fields.score);
    let query = integer(query, |fields| fields.num_comments);
    let query = query.bind(ratios);
    let query = boolean(query, |fields| fields.over_18);
    let query = boolean(query, |fields| fields.spoiler);
    let query = boolean(query, |fields| fields.stickied);
    let query = boolean(query, |fields| fields.locked);
    let query = boolean(query, |fields| fields.is_self);
    let query = text(query, |fields| fields.link_flair_text.as_deref());
    let query = boolean(query, |fields| fields.edited);
    let query = integer(query, |fields| fields.edited_at);
    let query = text(query, |fields| fields.removed_by.as_deref());
    let query = text(query, |fields| Some(fields.kind.as_str()));
    let (mut content, mut removed) = (Vec::new(), Vec::new());
    let (mut removed_hashes, mut removed_raw) = (Vec::new(), Vec::new());
    for row in contents {
        content.push(row.stored_content_ms(part));
        removed.push(row.removed_ms());
        let (hash, raw) = row.stored_removal(part).unzip();
        removed_hashes.push(hash.map(Hash::as_slice));
        removed_raw.push(raw.map(|raw| Json(raw.get())));
    }
    let completeness: Vec<i16> = contents
        .iter()
        .map(|row| row.completeness.as_number())
        .collect();
    query
        .bind(observed)
        .bind(hashes)
        .bind(raw)
        .bind(content)
        .bind(completeness)
        .bind(removed)
        .bind(removed_hashes)
        .bind(removed_raw)
}
