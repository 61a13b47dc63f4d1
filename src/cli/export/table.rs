//! Rows as a Parquet file: columns of some thousand rows at a time.

use super::columns::{Column, Kind, Value};
use crate::store::StoredSubmission;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
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
    pub(super) fn new(writer: W, columns: Vec<&'static Column>) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(|column| field(column));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("submission").with_fields(fields);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let (schema, properties) = (Arc::new(schema.build()?), Arc::new(properties.build()));
        Ok(Table {
            writer: SerializedFileWriter::new(writer, schema, properties)?,
            group: empty(&columns),
            columns,
            rows: 0,
            bytes: 0,
        })
    }

    pub(super) fn add(&mut self, row: &StoredSubmission) -> Result<(), ParquetError> {
        for (column, values) in self.columns.iter().zip(&mut self.group) {
            let value = (column.value)(row);
            values.there.push(i16::from(value != Value::Null));
            match (value, &mut values.values) {
                (Value::Text(text) | Value::Json(text), OfKind::Bytes(texts)) => {
                    self.bytes += text.len();
                    texts.push(ByteArray::from(text));
                }
                (Value::Integer(number), OfKind::Integers(numbers)) => numbers.push(number),
                (Value::Real(number), OfKind::Reals(numbers)) => numbers.push(number),
                (Value::Truth(truth), OfKind::Truths(truths)) => truths.push(truth),
                (Value::Null, _) => {}
                (value, _) => {
                    let name = column.name;
                    return Err(ParquetError::General(format!(
                        "{name} cannot hold {value:?}"
                    )));
                }
            }
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
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

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Kind::Integer => (Physical::INT64, None),
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
            Kind::Integer => OfKind::Integers(Vec::new()),
            Kind::Real => OfKind::Reals(Vec::new()),
            Kind::Truth => OfKind::Truths(Vec::new()),
        },
    };
    columns.iter().map(empty).collect()
}
