//! Rows of `submissions` as arrays, one for each column: one statement, whatever the number of rows.

use crate::store::content::Content;
use crate::store::submissions::Progress;
use crate::submission::Submission;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgHasArrayType, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Encode, Postgres, Row, Type};

const INSERT: &str = "INSERT INTO submissions
    (id, subreddit, author, title, selftext, url, permalink, domain, created_utc, score,
     num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self, link_flair_text,
     edited, edited_at, removed_by, kind, observed_ms, raw_hash, raw,
     discovered_at, fetched_at, status)
    SELECT n.*, $26, $27, $28
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23, $24, $25) AS n
    ON CONFLICT (id) DO NOTHING
    RETURNING id";

/// Rewrites all that an observation says; `$set` is what else.
macro_rules! rewriting {
    ($set:literal) => {
        concat!(
            "UPDATE submissions AS s
    SET subreddit = n.subreddit, author = n.author, title = n.title, selftext = n.selftext,
        url = n.url, permalink = n.permalink, domain = n.domain, created_utc = n.created_utc,
        score = n.score, num_comments = n.num_comments, upvote_ratio = n.upvote_ratio,
        over_18 = n.over_18, spoiler = n.spoiler, stickied = n.stickied, locked = n.locked,
        is_self = n.is_self, link_flair_text = n.link_flair_text, edited = n.edited,
        edited_at = n.edited_at, removed_by = n.removed_by, kind = n.kind,
        observed_ms = n.observed_ms, raw_hash = n.raw_hash, raw = n.raw",
            $set,
            "
    FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23, $24, $25)
        AS n(id, subreddit, author, title, selftext, url, permalink, domain, created_utc, score,
             num_comments, upvote_ratio, over_18, spoiler, stickied, locked, is_self,
             link_flair_text, edited, edited_at, removed_by, kind, observed_ms, raw_hash, raw)
    WHERE s.id = n.id"
        )
    };
}

const REWRITE: &str = rewriting!(", fetched_at = $26, status = 'fetched'");
const RENEW: &str = rewriting!("");

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
    for contents in contents.chunks(ROWS) {
        let query = bind(sqlx::query(INSERT), contents)
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
    now: i64,
) -> Result<(), sqlx::Error> {
    for contents in contents.chunks(ROWS) {
        let query = bind(sqlx::query(REWRITE), contents).bind(now);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

pub(in crate::store) async fn renew(
    connection: &mut PgConnection,
    contents: &[&Content<'_>],
) -> Result<(), sqlx::Error> {
    for contents in contents.chunks(ROWS) {
        let query = bind(sqlx::query(RENEW), contents);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Binds `$1` to `$25`.
fn bind<'q>(query: Statement<'q>, contents: &[&Content<'_>]) -> Statement<'q> {
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
    query.bind(observed).bind(hashes).bind(raw)
}
