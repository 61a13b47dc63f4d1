//! Reading every row of `submissions` for an export, whatever its columns contain.
//!
//! Other programs can write to the tables too, and SQLite stores a value of any type in any column. A
//! row is therefore never parsed into the types of the domain here: each value is converted to the type
//! of its column, becomes null where that is impossible, and never costs the row.
//!
//! Rows come a page at a time by subreddit (lower case), creation and id, so that no long transaction
//! holds back the server's housekeeping and memory does not depend on how many rows there are. Positions
//! are compared as the engine compares its own values (bytes, not characters), else a page could begin
//! behind rows that were never read.

mod cells;

pub use cells::{Cell, CellType};

use super::postgres::Lane;
use super::statement::Dialects;
use super::{Sqlite, Store, StoreError, within_deadline};
use cells::{pg_cell, sqlite_stored};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteRow, SqliteTypeInfo};
use sqlx::{Encode, Row, Type};

/// Which rows and columns are read.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Columns of `submissions`, in the order of the cells.
    pub columns: Vec<(&'static str, CellType)>,
    /// Lower case; none for all subreddits and the rows that name none.
    pub subreddits: Vec<String>,
    /// Creation, seconds: from then on.
    pub since: Option<i64>,
    /// Creation, seconds: before then.
    pub until: Option<i64>,
}

/// Reads the rows of a [`Selection`], page by page.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    selection: Selection,
    /// The given subreddits that are still to be read, the next one last.
    given: Option<Vec<Vec<u8>>>,
    group: Option<Group>,
    position: Position,
}

/// Rows of one subreddit, by its lower-case name as bytes; none for the rows without one.
type Group = Option<Vec<u8>>;

/// The last row that was read of a group.
#[derive(Debug, Clone)]
enum Position {
    Start,
    At {
        created: Number,
        id: Vec<u8>,
    },
    /// SQLite: among rows whose creation is not a number, by rowid.
    Untimed(i64),
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Integer(i64),
    Real(f64),
}

impl Store {
    /// Reads submissions.
    pub fn read_submissions(&self, selection: Selection) -> Reader {
        let mut given: Vec<Vec<u8>> = selection
            .subreddits
            .iter()
            .map(|name| name.clone().into_bytes())
            .collect();
        given.sort_unstable_by(|a, b| b.cmp(a));
        given.dedup();
        Reader {
            store: self.clone(),
            given: (!given.is_empty()).then_some(given),
            selection,
            group: None,
            position: Position::Start,
        }
    }

    /// Whether any submission of a subreddit (lower case) is stored.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn has_submissions(&self, subreddit: &str) -> Result<bool, StoreError> {
        let mut reader = self.read_submissions(Selection {
            columns: Vec::new(),
            subreddits: vec![subreddit.to_owned()],
            since: None,
            until: None,
        });
        Ok(!reader.next_page(1).await?.is_empty())
    }
}

/// What a page holds of each row; whole objects, the greatest by far, only where they are wanted ($6).
macro_rules! cells {
    () => {
        "id, subreddit, author, title, selftext, url, permalink, domain, created_utc, score, num_comments, \
         upvote_ratio, over_18, spoiler, stickied, locked, is_self, link_flair_text, edited, edited_at, \
         removed_by, removed_ms / 1000 AS removed_at, kind, discovered_at, fetched_at, status, \
         CASE WHEN $6 THEN raw END AS raw, CASE WHEN $6 THEN removed_raw END AS removed_raw"
    };
}

// $1 subreddit, $2 and $4 the last row's creation and id, $3 the end, $5 rows at most, $7 whether no row
// was read yet. Along the index (lower(subreddit), created_utc).

const POSTGRES_OF_SUBREDDIT: &str = concat!(
    "SELECT ",
    cells!(),
    " FROM submissions
      WHERE lower(subreddit) = $1 AND created_utc BETWEEN $2 AND $3
        AND ($7 OR created_utc > $2 OR id > $4)
      ORDER BY created_utc, id LIMIT $5"
);
const POSTGRES_OF_NONE: &str = concat!(
    "SELECT ",
    cells!(),
    " FROM submissions
      WHERE lower(subreddit) IS NULL AND $1 = '' AND created_utc BETWEEN $2 AND $3
        AND ($7 OR created_utc > $2 OR id > $4)
      ORDER BY created_utc, id LIMIT $5"
);
// For SQLite numbers are less than any text, and texts less than any blob.
const SQLITE_OF_SUBREDDIT: &str = concat!(
    "SELECT ",
    cells!(),
    ", CAST(id AS BLOB) AS position_id, rowid AS position_row FROM submissions
      WHERE lower(subreddit) = CAST($1 AS TEXT) AND created_utc >= $2 AND created_utc < $3
        AND ($7 OR created_utc > $2 OR CAST(id AS BLOB) > $4)
      ORDER BY created_utc, CAST(id AS BLOB) LIMIT $5"
);
const SQLITE_OF_NONE: &str = concat!(
    "SELECT ",
    cells!(),
    ", CAST(id AS BLOB) AS position_id, rowid AS position_row FROM submissions
      WHERE lower(subreddit) IS NULL AND $1 = x'' AND created_utc >= $2 AND created_utc < $3
        AND ($7 OR created_utc > $2 OR CAST(id AS BLOB) > $4)
      ORDER BY created_utc, CAST(id AS BLOB) LIMIT $5"
);
const UNTIMED_OF_SUBREDDIT: &str = concat!(
    "SELECT ",
    cells!(),
    ", CAST(id AS BLOB) AS position_id, rowid AS position_row FROM submissions
      WHERE lower(subreddit) = CAST($1 AS TEXT) AND created_utc >= $3 AND rowid > $2
        AND ($7 OR $4 = x'')
      ORDER BY rowid LIMIT $5"
);
const UNTIMED_OF_NONE: &str = concat!(
    "SELECT ",
    cells!(),
    ", CAST(id AS BLOB) AS position_id, rowid AS position_row FROM submissions
      WHERE lower(subreddit) IS NULL AND $1 = x'' AND created_utc >= $3 AND rowid > $2
        AND ($7 OR $4 = x'')
      ORDER BY rowid LIMIT $5"
);

// The first name may be the empty one. One look into the index for each name.
const FIRST_SUBREDDIT: Dialects = Dialects {
    postgres: "SELECT lower(subreddit) FROM submissions
               WHERE lower(subreddit) >= $1 ORDER BY lower(subreddit) LIMIT 1",
    sqlite: "SELECT CAST(lower(subreddit) AS BLOB) FROM submissions
             WHERE lower(subreddit) >= CAST($1 AS TEXT) ORDER BY lower(subreddit) LIMIT 1",
};
const NEXT_SUBREDDIT: Dialects = Dialects {
    postgres: "SELECT lower(subreddit) FROM submissions
               WHERE lower(subreddit) > $1 ORDER BY lower(subreddit) LIMIT 1",
    sqlite: "SELECT CAST(lower(subreddit) AS BLOB) FROM submissions
             WHERE lower(subreddit) > CAST($1 AS TEXT) ORDER BY lower(subreddit) LIMIT 1",
};

impl Reader {
    /// The next rows, at most so many; none at the end. After an error the same page is read again.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn next_page(&mut self, limit: u32) -> Result<Vec<Vec<Cell>>, StoreError> {
        loop {
            if self.group.is_none() {
                self.group = self.next_group(None).await?;
            }
            let Some(group) = self.group.clone() else {
                return Ok(Vec::new());
            };
            let (rows, position) = self.page(&group, limit).await?;
            if let Some(position) = position {
                self.position = position;
            }
            if !rows.is_empty() {
                return Ok(rows);
            }
            if self.has_untimed() {
                self.position = Position::Untimed(i64::MIN);
                continue;
            }
            match self.next_group(Some(&group)).await? {
                Some(next) => self.group = Some(next),
                None => return Ok(Vec::new()),
            }
            self.position = Position::Start;
        }
    }

    /// Whether rows without a usable creation are still to be read of this group. They are in no range.
    fn has_untimed(&self) -> bool {
        matches!(self.store, Store::Sqlite(_))
            && self.selection.since.is_none()
            && self.selection.until.is_none()
            && !matches!(self.position, Position::Untimed(_))
    }

    async fn next_group(&mut self, after: Option<&Group>) -> Result<Option<Group>, StoreError> {
        if let Some(given) = &mut self.given {
            return Ok(given.pop().map(Some));
        }
        let (statement, after) = match after {
            None => (FIRST_SUBREDDIT, [].as_slice()),
            Some(Some(name)) => (NEXT_SUBREDDIT, name.as_slice()),
            // The rows without a subreddit come last.
            Some(None) => return Ok(None),
        };
        let name = within_deadline(async {
            Ok(match &self.store {
                Store::Postgres(engine) => {
                    let query = sqlx::query(statement.postgres).bind(TextBytes(after));
                    let row = query.fetch_optional(engine.read()).await?;
                    row.map(|row| pg_bytes(&row, 0)).transpose()?
                }
                Store::Sqlite(Sqlite { readers, .. }) => {
                    let query = sqlx::query_scalar(statement.sqlite).bind(after);
                    query.fetch_optional(readers).await?
                }
            })
        })
        .await?;
        Ok(Some(name))
    }

    /// A page of a group, and the position behind its last row.
    async fn page(
        &self,
        group: &Group,
        limit: u32,
    ) -> Result<(Vec<Vec<Cell>>, Option<Position>), StoreError> {
        let columns = self.selection.columns.as_slice();
        match &self.store {
            Store::Postgres(engine) => {
                let rows = within_deadline(self.postgres_page(engine.read(), group, limit)).await?;
                let cells = rows.iter().map(|row| pg_cells(row, columns));
                let cells = cells.collect::<Result<_, _>>()?;
                let last = rows.last().map(pg_position).transpose()?;
                Ok((cells, last))
            }
            Store::Sqlite(Sqlite { readers, .. }) => {
                let rows = within_deadline(self.sqlite_page(readers, group, limit)).await?;
                let cells = rows.iter().map(|row| sqlite_cells(row, columns));
                let cells = cells.collect::<Result<_, _>>()?;
                let untimed = matches!(self.position, Position::Untimed(_));
                let last = rows.last().map(|row| sqlite_position(row, untimed));
                Ok((cells, last.transpose()?))
            }
        }
    }

    fn wants_raw(&self) -> bool {
        let mut columns = self.selection.columns.iter();
        columns.any(|(name, _)| matches!(*name, "raw" | "removed_raw"))
    }

    async fn postgres_page(
        &self,
        lane: Lane<'_>,
        group: &Group,
        limit: u32,
    ) -> Result<Vec<PgRow>, StoreError> {
        let sql = match group {
            Some(_) => POSTGRES_OF_SUBREDDIT,
            None => POSTGRES_OF_NONE,
        };
        let (created, id, start) = match &self.position {
            Position::At {
                created: Number::Integer(created),
                id,
            } => (*created, id.as_slice(), false),
            _ => (
                self.selection.since.unwrap_or(i64::MIN),
                [].as_slice(),
                true,
            ),
        };
        let last = self
            .selection
            .until
            .map_or(i64::MAX, |until| until.saturating_sub(1));
        let query = sqlx::query(sql)
            .bind(TextBytes(group.as_deref().unwrap_or_default()))
            .bind(created)
            .bind(last)
            .bind(TextBytes(id))
            .bind(i64::from(limit))
            .bind(self.wants_raw())
            .bind(start);
        Ok(query.fetch_all(lane).await?)
    }

    async fn sqlite_page(
        &self,
        pool: &sqlx::SqlitePool,
        group: &Group,
        limit: u32,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let (sql, from, id, start) = match &self.position {
            Position::Start => (
                [SQLITE_OF_SUBREDDIT, SQLITE_OF_NONE],
                self.selection
                    .since
                    .map_or(Number::Real(f64::NEG_INFINITY), Number::Integer),
                [].as_slice(),
                true,
            ),
            Position::At { created, id } => (
                [SQLITE_OF_SUBREDDIT, SQLITE_OF_NONE],
                *created,
                id.as_slice(),
                false,
            ),
            Position::Untimed(row) => (
                [UNTIMED_OF_SUBREDDIT, UNTIMED_OF_NONE],
                Number::Integer(*row),
                [].as_slice(),
                true,
            ),
        };
        let query = sqlx::query(sql[usize::from(group.is_none())])
            .bind(group.as_deref().unwrap_or_default())
            .bind(from);
        let query = match self.selection.until {
            Some(until) => query.bind(until),
            None => query.bind(""),
        };
        let query = query
            .bind(id)
            .bind(i64::from(limit))
            .bind(self.wants_raw())
            .bind(start);
        Ok(query.fetch_all(pool).await?)
    }
}

/// Bytes as a text parameter: a text of the database is compared with itself, whatever its encoding.
struct TextBytes<'a>(&'a [u8]);

impl Type<sqlx::Postgres> for TextBytes<'_> {
    fn type_info() -> PgTypeInfo {
        <&str as Type<sqlx::Postgres>>::type_info()
    }
}

impl Encode<'_, sqlx::Postgres> for TextBytes<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

impl Type<sqlx::Sqlite> for Number {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<sqlx::Sqlite>>::type_info()
    }
}

impl Encode<'_, sqlx::Sqlite> for Number {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Number::Integer(number) => Encode::<sqlx::Sqlite>::encode_by_ref(number, buffer),
            Number::Real(number) => Encode::<sqlx::Sqlite>::encode_by_ref(number, buffer),
        }
    }
}

fn unreadable(error: BoxDynError) -> sqlx::Error {
    sqlx::Error::Decode(error)
}

fn pg_bytes(row: &PgRow, index: usize) -> Result<Vec<u8>, sqlx::Error> {
    let value = row.try_get_raw(index)?;
    Ok(value.as_bytes().map_err(unreadable)?.to_vec())
}

fn pg_position(row: &PgRow) -> Result<Position, sqlx::Error> {
    Ok(Position::At {
        created: Number::Integer(row.try_get("created_utc")?),
        id: pg_bytes(row, 0)?,
    })
}

fn pg_cells(row: &PgRow, columns: &[(&'static str, CellType)]) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(name, of): &(&'static str, CellType)| {
        pg_cell(row.try_get_raw(*name)?, *of).map_err(unreadable)
    };
    columns.iter().map(cell).collect()
}

fn sqlite_position(row: &SqliteRow, untimed: bool) -> Result<Position, sqlx::Error> {
    if untimed {
        return Ok(Position::Untimed(row.try_get("position_row")?));
    }
    let created = sqlite_stored(row.try_get_raw("created_utc")?).map_err(unreadable)?;
    Ok(Position::At {
        created: match created {
            Cell::Integer(number) => Number::Integer(number),
            Cell::Real(number) => Number::Real(number),
            // The statement asks for numbers only.
            other => return Err(unreadable(format!("created_utc is {other:?}").into())),
        },
        id: row.try_get("position_id")?,
    })
}

fn sqlite_cells(
    row: &SqliteRow,
    columns: &[(&'static str, CellType)],
) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(name, of): &(&'static str, CellType)| {
        let stored = sqlite_stored(row.try_get_raw(*name)?).map_err(unreadable)?;
        Ok(stored.converted(*of))
    };
    columns.iter().map(cell).collect()
}
