//! Rows as a Parquet file: columns of some thousand rows at a time.

use super::columns::{Cells, Column, Kind};
use crate::cli::moment::has_date;
use crate::store::Cell;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::sync::Arc;

/// A group of rows is written once it holds so many, or so many bytes of text: readers skip by group, and
/// each is held in memory until then.
const GROUP_ROWS: usize = 20_000;
const GROUP_BYTES: usize = 32 << 20;

/// Writes rows by column.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<&'static Column>,
    /// Times as timestamps instead of seconds.
    calendar: bool,
    group: Vec<Values>,
    rows: usize,
    bytes: usize,
}

/// One column of a group: what is there, and for each row whether something is.
struct Values {
    there: Vec<i16>,
    values: OfKind,
}

enum OfKind {
    Bytes(Vec<ByteArray>),
    Integers(Vec<i64>),
    Reals(Vec<f64>),
    Truths(Vec<bool>),
}

impl<W: Write + Send> Table<W> {
    pub(super) fn new(
        writer: W,
        columns: Vec<&'static Column>,
        calendar: bool,
    ) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(|column| field(column, calendar));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("submission").with_fields(fields);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let (schema, properties) = (Arc::new(schema.build()?), Arc::new(properties.build()));
        Ok(Table {
            writer: SerializedFileWriter::new(writer, schema, properties)?,
            group: empty(&columns),
            columns,
            calendar,
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds a row; returns how many of its times no timestamp can hold.
    pub(super) fn add(&mut self, row: &Cells) -> Result<u64, ParquetError> {
        let mut lost = 0;
        for ((column, cell), values) in self.columns.iter().zip(row).zip(&mut self.group) {
            let timestamp = self.calendar && column.kind == Kind::Time;
            let mut there = *cell != Cell::Null;
            match (cell, &mut values.values) {
                (Cell::Null, _) => {}
                (Cell::Text(text), OfKind::Bytes(texts)) => {
                    self.bytes += text.len();
                    texts.push(ByteArray::from(text.as_str()));
                }
                (Cell::Integer(at), OfKind::Integers(numbers)) if timestamp => {
                    // What calendars can write, milliseconds and microseconds can count.
                    there = has_date(*at);
                    if there {
                        numbers.push(at * 1000);
                    } else {
                        lost += 1;
                    }
                }
                (Cell::Integer(number), OfKind::Integers(numbers)) => numbers.push(*number),
                (Cell::Real(number), OfKind::Reals(numbers)) => numbers.push(*number),
                (Cell::Truth(truth), OfKind::Truths(truths)) => truths.push(*truth),
                (cell, _) => {
                    let name = column.name;
                    return Err(ParquetError::General(format!(
                        "{name} cannot hold {cell:?}"
                    )));
                }
            }
            values.there.push(i16::from(there));
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(lost)
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for values in std::mem::replace(&mut self.group, empty(&self.columns)) {
            values.write(&mut group)?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Without it the file cannot be read.
    pub(super) fn finish(mut self) -> Result<(), ParquetError> {
        self.end_group()?;
        self.writer.close().map(drop)
    }
}

impl Values {
    fn write<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("a column is missing".to_owned()));
        };
        let there = Some(self.there.as_slice());
        match self.values {
            OfKind::Bytes(values) => column
                .typed::<ByteArrayType>()
                .write_batch(&values, there, None)?,
            OfKind::Integers(values) => column
                .typed::<Int64Type>()
                .write_batch(&values, there, None)?,
            OfKind::Reals(values) => column
                .typed::<DoubleType>()
                .write_batch(&values, there, None)?,
            OfKind::Truths(values) => column
                .typed::<BoolType>()
                .write_batch(&values, there, None)?,
        };
        column.close()
    }
}

fn field(column: &Column, calendar: bool) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Time if calendar => {
            let of = LogicalType::timestamp(true, TimeUnit::MILLIS);
            (Physical::INT64, Some(of))
        }
        Kind::Integer | Kind::Time => (Physical::INT64, None),
        Kind::Real => (Physical::DOUBLE, None),
        Kind::Truth => (Physical::BOOLEAN, None),
    };
    let field = Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    Ok(Arc::new(field.build()?))
}

fn empty(columns: &[&Column]) -> Vec<Values> {
    let empty = |column: &&Column| Values {
        there: Vec::new(),
        values: match column.kind {
            Kind::Text | Kind::Json => OfKind::Bytes(Vec::new()),
            Kind::Integer | Kind::Time => OfKind::Integers(Vec::new()),
            Kind::Real => OfKind::Reals(Vec::new()),
            Kind::Truth => OfKind::Truths(Vec::new()),
        },
    };
    columns.iter().map(empty).collect()
}
