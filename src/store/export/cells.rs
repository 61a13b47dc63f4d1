//! The value of a column, whatever its row holds there.

use sqlx::error::BoxDynError;
use sqlx::postgres::PgValueRef;
use sqlx::sqlite::SqliteValueRef;
use sqlx::{Decode, TypeInfo, ValueRef};

/// A value, in the type of its column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing is stored, or nothing that the column's type can express.
    Null,
    /// Text; bytes that are not UTF-8 are replaced by U+FFFD.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Real(f64),
    /// True or false.
    Truth(bool),
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// [`Cell::Text`]
    Text,
    /// [`Cell::Integer`]
    Integer,
    /// [`Cell::Real`]
    Real,
    /// [`Cell::Truth`]
    Truth,
}

/// The value of a column of Postgres, by the type that the table declares.
pub(super) fn pg_cell(value: PgValueRef<'_>, of: CellType) -> Result<Cell, BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let stored = match value.type_info().name() {
        "INT8" => Cell::Integer(Decode::<sqlx::Postgres>::decode(value)?),
        "INT4" => Cell::Integer(<i32 as Decode<sqlx::Postgres>>::decode(value)?.into()),
        "INT2" => Cell::Integer(<i16 as Decode<sqlx::Postgres>>::decode(value)?.into()),
        "FLOAT8" => Cell::Real(Decode::<sqlx::Postgres>::decode(value)?),
        "BOOL" => Cell::Truth(Decode::<sqlx::Postgres>::decode(value)?),
        // text, json
        _ => Cell::Text(String::from_utf8_lossy(value.as_bytes()?).into_owned()),
    };
    Ok(stored.converted(of))
}

/// The value in the type that it has, whatever its column declares.
pub(super) fn sqlite_stored(value: SqliteValueRef<'_>) -> Result<Cell, BoxDynError> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let name = value.type_info().name().to_owned();
    Ok(match name.as_str() {
        "INTEGER" => Cell::Integer(Decode::<sqlx::Sqlite>::decode(value)?),
        "REAL" => Cell::Real(Decode::<sqlx::Sqlite>::decode(value)?),
        _ => {
            let bytes = <&[u8] as Decode<sqlx::Sqlite>>::decode(value)?;
            Cell::Text(String::from_utf8_lossy(bytes).into_owned())
        }
    })
}

impl Cell {
    /// This value in the type of its column; null where that type cannot express it.
    pub(super) fn converted(self, of: CellType) -> Cell {
        match of {
            CellType::Text => match self {
                Cell::Integer(number) => Cell::Text(number.to_string()),
                Cell::Real(number) => Cell::Text(number.to_string()),
                Cell::Truth(truth) => Cell::Text(truth.to_string()),
                text => text,
            },
            CellType::Integer => match self {
                Cell::Real(number) => whole(number).map_or(Cell::Null, Cell::Integer),
                Cell::Truth(truth) => Cell::Integer(truth.into()),
                Cell::Text(text) => {
                    let text = text.trim();
                    let number = text.parse().ok();
                    let number = number.or_else(|| text.parse().ok().and_then(whole));
                    number.map_or(Cell::Null, Cell::Integer)
                }
                integer => integer,
            },
            CellType::Real => match self {
                #[expect(clippy::cast_precision_loss, reason = "the column holds reals")]
                Cell::Integer(number) => Cell::Real(number as f64),
                Cell::Truth(truth) => Cell::Real(truth.into()),
                Cell::Text(text) => text.trim().parse().map_or(Cell::Null, Cell::Real),
                real => real,
            }
            .finite(),
            CellType::Truth => match self {
                Cell::Integer(number) => Cell::Truth(number != 0),
                Cell::Real(number) => Cell::Truth(number != 0.0),
                Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                    "true" | "t" | "1" => Cell::Truth(true),
                    "false" | "f" | "0" => Cell::Truth(false),
                    _ => Cell::Null,
                },
                truth => truth,
            },
        }
    }

    fn finite(self) -> Cell {
        match self {
            Cell::Real(number) if !number.is_finite() => Cell::Null,
            cell => cell,
        }
    }
}

/// The whole number below, where 64 bits hold it.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let number = number.floor();
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    (-LIMIT..LIMIT).contains(&number).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_converted_or_becomes_null_and_never_an_error() {
        use CellType::{Integer, Real, Text, Truth};
        let text = |text: &str| Cell::Text(text.to_owned());
        for (stored, of, converted) in [
            (Cell::Real(1.5), Integer, Cell::Integer(1)),
            (Cell::Real(-1.5), Integer, Cell::Integer(-2)),
            (Cell::Real(1e300), Integer, Cell::Null),
            (Cell::Real(f64::INFINITY), Integer, Cell::Null),
            (text("7"), Integer, Cell::Integer(7)),
            (text("x"), Integer, Cell::Null),
            (Cell::Integer(3), Real, Cell::Real(3.0)),
            (text("NaN"), Real, Cell::Null),
            (Cell::Integer(2), Truth, Cell::Truth(true)),
            (text("maybe"), Truth, Cell::Null),
            (Cell::Integer(7), Text, text("7")),
            (Cell::Null, Truth, Cell::Null),
        ] {
            assert_eq!(stored.clone().converted(of), converted, "{stored:?} {of:?}");
        }
    }
}
