//! Rows in the format that was asked for.

use super::columns::{Column, Value};
use super::table::Table;
use crate::cli::arguments::Format;
use crate::store::StoredSubmission;
use serde::ser::{Error as _, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::io::{self, BufWriter, Write};

/// Writes rows one after another.
pub(super) struct Lines<W: Write + Send> {
    columns: Vec<&'static Column>,
    into: Into<W>,
}

enum Into<W: Write + Send> {
    Ndjson(BufWriter<W>),
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<Table<W>>),
}

impl<W: Write + Send> Lines<W> {
    pub(super) fn new(
        writer: W,
        format: Format,
        columns: Vec<&'static Column>,
    ) -> io::Result<Lines<W>> {
        let into = match format {
            Format::Ndjson => Into::Ndjson(BufWriter::with_capacity(1 << 16, writer)),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(writer);
                let names = columns.iter().map(|column| column.name);
                writer.write_record(names).map_err(as_io)?;
                Into::Csv(Box::new(writer))
            }
            Format::Parquet => Into::Parquet(Box::new(Table::new(writer, columns.clone())?)),
        };
        Ok(Lines { columns, into })
    }

    pub(super) fn add(&mut self, row: &StoredSubmission) -> io::Result<()> {
        match &mut self.into {
            Into::Ndjson(writer) => {
                let mut serializer = serde_json::Serializer::new(&mut *writer);
                object(&mut serializer, &self.columns, row)?;
                writer.write_all(b"\n")
            }
            Into::Csv(writer) => {
                let mut number = String::new();
                for column in &self.columns {
                    number.clear();
                    let field = field((column.value)(row), &mut number);
                    writer.write_field(field).map_err(as_io)?;
                }
                writer.write_record(None::<&[u8]>).map_err(as_io)
            }
            Into::Parquet(table) => Ok(table.add(row)?),
        }
    }

    /// What is left to write; without it nothing is whole.
    pub(super) fn finish(self) -> io::Result<()> {
        match self.into {
            Into::Ndjson(mut writer) => writer.flush(),
            Into::Csv(mut writer) => writer.flush(),
            Into::Parquet(table) => Ok(table.finish()?),
        }
    }
}

/// What the output answered, which the CSV writer's error keeps to itself.
fn as_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// An object of the columns' names and values.
fn object<S: Serializer>(
    serializer: S,
    columns: &[&Column],
    row: &StoredSubmission,
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(columns.len()))?;
    for column in columns {
        match (column.value)(row) {
            Value::Null => object.serialize_entry(column.name, &())?,
            Value::Text(text) => object.serialize_entry(column.name, text)?,
            Value::Integer(number) => object.serialize_entry(column.name, &number)?,
            Value::Real(number) => object.serialize_entry(column.name, &number)?,
            Value::Truth(truth) => object.serialize_entry(column.name, &truth)?,
            Value::Json(json) => {
                // Between its values only: within a text they are escaped.
                let json = RawValue::from_string(json.replace(['\n', '\r'], " "));
                object.serialize_entry(column.name, &json.map_err(S::Error::custom)?)?;
            }
        }
    }
    object.end()
}

/// A value as CSV has it: nothing and an empty text look alike there.
fn field<'a>(value: Value<'a>, number: &'a mut String) -> &'a str {
    match value {
        Value::Null => return "",
        Value::Text(text) | Value::Json(text) => return text,
        Value::Integer(it) => *number = it.to_string(),
        Value::Real(it) => *number = it.to_string(),
        Value::Truth(it) => *number = it.to_string(),
    }
    number
}
