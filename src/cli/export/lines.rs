//! Rows in the format that was asked for.

use super::columns::{Cells, Column, Kind};
use super::strict;
use super::table::Table;
use crate::cli::arguments::Format;
use crate::cli::moment::calendar;
use crate::store::Cell;
use std::io::{self, BufWriter, Write};

/// How rows are written.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) columns: Vec<&'static Column>,
    /// Times as calendar times (UTC) instead of seconds.
    pub(super) calendar: bool,
    /// CSV: cells that spreadsheets would run as formulas get an apostrophe in front.
    pub(super) csv_safe: bool,
    /// CSV: begins with a byte order mark.
    pub(super) bom: bool,
}

/// Writes rows one after another.
pub(super) struct Lines<W: Write + Send> {
    layout: Layout,
    into: Into<W>,
    formulas: u64,
    lost_times: u64,
}

enum Into<W: Write + Send> {
    Ndjson { writer: BufWriter<W>, line: Vec<u8> },
    Csv(Box<csv::Writer<W>>),
    Parquet(Box<Table<W>>),
}

impl<W: Write + Send> Lines<W> {
    pub(super) fn new(mut writer: W, layout: Layout) -> io::Result<Lines<W>> {
        let into = match layout.format {
            Format::Ndjson => Into::Ndjson {
                writer: BufWriter::with_capacity(1 << 16, writer),
                line: Vec::new(),
            },
            Format::Csv => {
                if layout.bom {
                    writer.write_all("\u{feff}".as_bytes())?;
                }
                let mut writer = csv::Writer::from_writer(writer);
                let names = layout.columns.iter().map(|column| column.name);
                writer.write_record(names).map_err(as_io)?;
                Into::Csv(Box::new(writer))
            }
            Format::Parquet => {
                let table = Table::new(writer, layout.columns.clone(), layout.calendar)?;
                Into::Parquet(Box::new(table))
            }
        };
        Ok(Lines {
            layout,
            into,
            formulas: 0,
            lost_times: 0,
        })
    }

    pub(super) fn add(&mut self, row: &Cells) -> io::Result<()> {
        let Layout {
            columns,
            calendar,
            csv_safe,
            ..
        } = &self.layout;
        match &mut self.into {
            Into::Ndjson { writer, line } => {
                line.clear();
                object(line, columns, row, *calendar);
                line.push(b'\n');
                writer.write_all(line)
            }
            Into::Csv(writer) => {
                for (column, cell) in columns.iter().zip(row) {
                    let mut field = field(column, cell, *calendar);
                    if matches!(cell, Cell::Text(_)) && is_formula(&field) {
                        if *csv_safe {
                            field.insert(0, '\'');
                        } else {
                            self.formulas += 1;
                        }
                    }
                    writer.write_field(&field).map_err(as_io)?;
                }
                writer.write_record(None::<&[u8]>).map_err(as_io)
            }
            Into::Parquet(table) => {
                self.lost_times += table.add(row)?;
                Ok(())
            }
        }
    }

    /// Writes what is left; without it nothing is whole. Returns what a reader should know.
    pub(super) fn finish(self) -> io::Result<Vec<String>> {
        match self.into {
            Into::Ndjson { mut writer, .. } => writer.flush()?,
            Into::Csv(mut writer) => writer.flush()?,
            Into::Parquet(table) => table.finish()?,
        }
        let mut notes = Vec::new();
        if self.formulas > 0 {
            notes.push(format!(
                "Note: {} cells begin like a formula (= + - @). Before opening the file in a spreadsheet, \
                 export it with --csv-safe.",
                self.formulas
            ));
        }
        if self.lost_times > 0 {
            notes.push(format!(
                "Note: {} times are outside of the years 1 to 9999 and are exported as null; \
                 --times seconds exports them as numbers.",
                self.lost_times
            ));
        }
        Ok(notes)
    }
}

/// What the output answered, which the CSV writer's error keeps to itself.
fn as_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// An object of the columns' names and values, on one line for every reader of lines.
fn object(line: &mut Vec<u8>, columns: &[&Column], row: &Cells, calendar: bool) {
    line.push(b'{');
    for (index, (column, cell)) in columns.iter().zip(row).enumerate() {
        if index > 0 {
            line.push(b',');
        }
        strict::string(column.name, line);
        line.push(b':');
        match (column.kind, cell) {
            (_, Cell::Null) => line.extend_from_slice(b"null"),
            (Kind::Json, Cell::Text(json)) => strict::write(json, line),
            (_, Cell::Text(text)) => strict::string(text, line),
            (Kind::Time, Cell::Integer(at)) if calendar => match self::calendar(*at) {
                Some(time) => strict::string(&time, line),
                None => line.extend_from_slice(at.to_string().as_bytes()),
            },
            (_, Cell::Integer(number)) => line.extend_from_slice(number.to_string().as_bytes()),
            // Writing to memory does not fail.
            (_, Cell::Real(number)) => drop(serde_json::to_writer(&mut *line, number)),
            (_, Cell::Truth(truth)) => line.extend_from_slice(truth.to_string().as_bytes()),
        }
    }
    line.push(b'}');
    escape_line_ends(line);
}

/// JSON allows these within strings, where they are the only place; some readers end a line there.
fn escape_line_ends(line: &mut Vec<u8>) {
    const ENDS: [(char, &str); 3] = [
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
        ('\u{85}', "\\u0085"),
    ];
    let holds = |bytes: &[u8]| memchr::memmem::find(line, bytes).is_some();
    if !holds(b"\xe2\x80") && !holds(b"\xc2\x85") {
        return;
    }
    let mut text = String::from_utf8_lossy(line).into_owned();
    for (end, escape) in ENDS {
        if text.contains(end) {
            text = text.replace(end, escape);
        }
    }
    *line = text.into_bytes();
}

/// A value as CSV has it: nothing and an empty text look alike there.
fn field(column: &Column, cell: &Cell, calendar: bool) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Integer(at) if calendar && column.kind == Kind::Time => {
            self::calendar(*at).unwrap_or_else(|| at.to_string())
        }
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Truth(truth) => truth.to_string(),
    }
}

/// Whether a spreadsheet may take a text for a formula: by its first character, the wide forms of East
/// Asian keyboards included, and white space that some skip.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use super::super::columns::chosen;
    use super::*;

    fn written(format: Format, columns: &str, rows: &[&[Cell]], change: fn(&mut Layout)) -> String {
        let mut layout = Layout {
            format,
            columns: chosen(Some(columns)).unwrap(),
            calendar: false,
            csv_safe: false,
            bom: false,
        };
        change(&mut layout);
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, layout).unwrap();
        for row in rows {
            lines.add(row).unwrap();
        }
        lines.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn a_line_is_one_line_for_every_reader_of_lines() {
        let row = [
            text("a\u{2028}b\u{2029}c\u{85}d\ne\r\u{b}\u{c}\u{1c}\0"),
            text("[\"\u{2028}\"]"),
        ];
        let line = written(Format::Ndjson, "title,raw", &[&row], |_| {});
        assert_eq!(
            line,
            "{\"title\":\"a\\u2028b\\u2029c\\u0085d\\ne\\r\\u000b\\f\\u001c\\u0000\",\"raw\":[\"\\u2028\"]}\n"
        );
    }

    #[test]
    fn the_safe_form_of_csv_begins_no_text_like_a_formula_and_leaves_numbers_alone() {
        for begin in [
            "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "\n=1",
        ] {
            let row = [text(begin), Cell::Integer(-3)];
            let safe = written(Format::Csv, "title,score", &[&row], |it| it.csv_safe = true);
            let mut reader = csv::Reader::from_reader(safe.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            assert_eq!(record, [format!("'{begin}").as_str(), "-3"][..]);
            let plain = written(Format::Csv, "title,score", &[&row], |_| {});
            let mut reader = csv::Reader::from_reader(plain.as_bytes());
            assert_eq!(reader.records().next().unwrap().unwrap()[0], *begin);
        }
        let harmless = [text("a=1"), Cell::Null];
        let safe = written(Format::Csv, "title,score", &[&harmless], |it| {
            it.csv_safe = true
        });
        assert_eq!(safe, "title,score\na=1,\n");
    }

    #[test]
    fn the_mark_for_spreadsheets_stands_once_at_the_beginning() {
        let rows: [&[Cell]; 2] = [&[text("a")], &[text("b")]];
        let marked = written(Format::Csv, "id", &rows, |it| it.bom = true);
        assert_eq!(marked, "\u{feff}id\na\nb\n");
    }

    #[test]
    fn times_are_seconds_or_the_calendar_s() {
        let row = [Cell::Integer(86_401), Cell::Integer(i64::MAX)];
        for (format, seconds, calendar) in [
            (
                Format::Ndjson,
                "{\"created_utc\":86401,\"edited_at\":9223372036854775807}\n",
                "{\"created_utc\":\"1970-01-02T00:00:01Z\",\"edited_at\":9223372036854775807}\n",
            ),
            (
                Format::Csv,
                "created_utc,edited_at\n86401,9223372036854775807\n",
                "created_utc,edited_at\n1970-01-02T00:00:01Z,9223372036854775807\n",
            ),
        ] {
            let columns = "created_utc,edited_at";
            assert_eq!(written(format, columns, &[&row], |_| {}), seconds);
            let utc = written(format, columns, &[&row], |it| it.calendar = true);
            assert_eq!(utc, calendar);
        }
    }
}
