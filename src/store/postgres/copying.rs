//! Rows of `submissions` by COPY in its binary format, the fastest way into a table:
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use crate::store::content::Content;
use crate::store::submissions::{COLUMNS, Part, Progress};
use sqlx::Connection;
use sqlx::error::ErrorKind;
use sqlx::postgres::PgConnection;
use std::mem::ManuallyDrop;
use std::sync::LazyLock;

static COPY: LazyLock<String> =
    LazyLock::new(|| format!("COPY submissions ({COLUMNS}) FROM STDIN (FORMAT binary)"));

/// No flags, no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const COLUMN_COUNT: i16 = 33;

/// Bytes that are sent at a time.
const PART: usize = 256 * 1024;

/// Inserts all the rows, or none and says false where somebody else has inserted one of them. What
/// the transaction did before stands in either case.
pub(in crate::store) async fn copy(
    connection: &mut PgConnection,
    contents: &[&Content<'_>],
    progress: Progress,
) -> Result<bool, sqlx::Error> {
    // Where this future is dropped amid the COPY, sqlx would take the answers to it for those to
    // what it asks next. So nothing ends the savepoint then: the connection counts as in a
    // transaction when it is given back, and is closed for that.
    let mut savepoint = ManuallyDrop::new(connection.begin().await?);
    let mut copy = savepoint.copy_in_raw(&COPY).await?;
    let mut part = Vec::with_capacity(PART + PART / 4);
    part.extend_from_slice(HEADER);
    for row in contents {
        encode(&mut part, row, progress);
        if part.len() >= PART {
            copy.send(part.as_slice()).await?;
            part.clear();
        }
    }
    part.extend_from_slice(&TRAILER);
    copy.send(part.as_slice()).await?;
    match copy.finish().await {
        Ok(_) => {
            ManuallyDrop::into_inner(savepoint).commit().await?;
            Ok(true)
        }
        Err(sqlx::Error::Database(error)) if error.kind() == ErrorKind::UniqueViolation => {
            ManuallyDrop::into_inner(savepoint).rollback().await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// One row in the order of [`COLUMNS`].
fn encode(part: &mut Vec<u8>, row: &Content<'_>, progress: Progress) {
    let fields = &*row.fields;
    part.extend_from_slice(&COLUMN_COUNT.to_be_bytes());
    text(part, Some(fields.id.as_str()));
    text(part, fields.subreddit.as_deref());
    text(part, fields.author.as_deref());
    text(part, fields.title.as_deref());
    text(part, fields.selftext.as_deref());
    text(part, fields.url.as_deref());
    text(part, fields.permalink.as_deref());
    text(part, fields.domain.as_deref());
    integer(part, Some(fields.created_utc));
    integer(part, fields.score);
    integer(part, fields.num_comments);
    field(part, fields.upvote_ratio.map(f64::to_be_bytes));
    boolean(part, fields.over_18);
    boolean(part, fields.spoiler);
    boolean(part, fields.stickied);
    boolean(part, fields.locked);
    boolean(part, fields.is_self);
    text(part, fields.link_flair_text.as_deref());
    boolean(part, fields.edited);
    integer(part, fields.edited_at);
    text(part, fields.removed_by.as_deref());
    text(part, Some(fields.kind.as_str()));
    integer(part, Some(row.observed_ms));
    field(part, Some(row.hash));
    text(part, Some(row.raw.get()));
    integer(part, row.stored_content_ms(Part::All));
    field(part, Some(row.completeness.as_number().to_be_bytes()));
    integer(part, row.removed_ms());
    let (hash, raw) = row.stored_removal(Part::All).unzip();
    field(part, hash);
    text(part, raw.map(|raw| raw.get()));
    integer(part, Some(progress.discovered_at));
    integer(part, progress.fetched_at);
    text(part, Some(progress.status.as_str()));
}

/// A length and as many bytes; -1 and none for null.
fn field(part: &mut Vec<u8>, bytes: Option<impl AsRef<[u8]>>) {
    let Some(bytes) = bytes else {
        part.extend_from_slice(&(-1_i32).to_be_bytes());
        return;
    };
    let bytes = bytes.as_ref();
    // What is longer than the protocol can say was never read: an object is a part of one answer or
    // of one line.
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    part.extend_from_slice(&length.to_be_bytes());
    part.extend_from_slice(bytes);
}

fn text(part: &mut Vec<u8>, text: Option<&str>) {
    field(part, text);
}

fn integer(part: &mut Vec<u8>, integer: Option<i64>) {
    field(part, integer.map(i64::to_be_bytes));
}

fn boolean(part: &mut Vec<u8>, boolean: Option<bool>) {
    field(part, boolean.map(|boolean| [u8::from(boolean)]));
}
