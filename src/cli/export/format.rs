//! Which format an export has: as asked for, or as the file's name says.

use crate::cli::arguments::Format;
use std::path::Path;

/// Compressions that other programs do better, and the program for each.
const COMPRESSED: &[(&str, &str)] = &[
    ("gz", "gzip"),
    ("zst", "zstd"),
    ("xz", "xz"),
    ("bz2", "bzip2"),
    ("lz4", "lz4"),
    ("br", "brotli"),
    ("lzma", "lzma"),
];

/// Formats that others write.
const FOREIGN: &[&str] = &[
    "xlsx", "xls", "ods", "tsv", "tab", "psv", "db", "sqlite", "sqlite3", "duckdb", "arrow",
    "feather", "avro", "orc", "h5", "hdf5", "pkl", "pickle", "rds", "sav", "xml", "html", "htm",
    "yaml", "yml", "toml", "sql", "md", "pdf", "docx", "zip", "tar", "tgz", "7z", "rar",
];

/// The format by its flag, else by the output's name, else NDJSON.
pub(super) fn chosen(
    flag: Option<Format>,
    json: bool,
    output: Option<&Path>,
) -> Result<Format, String> {
    let asked = flag.or(json.then_some(Format::Ndjson));
    let Some(output) = output.filter(|output| !output.starts_with("/dev")) else {
        return Ok(asked.unwrap_or(Format::Ndjson));
    };
    let shown = output.display();
    let name = output.file_name().and_then(|it| it.to_str());
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let (extension, inner) = told(&name);
    if let Some((_, program)) = COMPRESSED.iter().find(|(known, _)| *known == extension) {
        let format = match asked.or(of_extension(told(inner).0)) {
            Some(Format::Csv) => " --format csv",
            Some(Format::Parquet) => {
                return Err(format!(
                    "{shown}: Parquet is compressed already; name the file without .{extension}"
                ));
            }
            Some(Format::Ndjson) | None => "",
        };
        return Err(format!(
            "{shown}: exports are not compressed; use: freshet export{format} … | {program} > {shown}"
        ));
    }
    if FOREIGN.contains(&extension) {
        return Err(format!(
            "{shown}: there is no format .{extension}; use .ndjson, .csv or .parquet"
        ));
    }
    match (asked, of_extension(extension)) {
        (Some(asked), Some(named)) if asked != named => Err(format!(
            "{shown} is to hold {}, but its name says {}; leave out --format, or name the file otherwise",
            word(asked),
            word(named)
        )),
        (asked, named) => Ok(asked.or(named).unwrap_or(Format::Ndjson)),
    }
}

/// The last extension of a name that says what the file is, and what stands before it: whoever adds `.tmp`,
/// `.part`, `.bak`, `.1` or `~` to it says nothing else.
fn told(name: &str) -> (&str, &str) {
    let mut rest = name.trim_end().trim_end_matches('~');
    while let Some((inner, extension)) = rest.rsplit_once('.') {
        let is_compressed = COMPRESSED.iter().any(|(known, _)| *known == extension);
        if is_compressed || FOREIGN.contains(&extension) || of_extension(extension).is_some() {
            return (extension, inner);
        }
        rest = inner.trim_end_matches('~');
    }
    ("", name)
}

fn of_extension(extension: &str) -> Option<Format> {
    match extension {
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        "csv" => Some(Format::Csv),
        "parquet" | "pq" => Some(Format::Parquet),
        _ => None,
    }
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Ndjson => "NDJSON",
        Format::Csv => "CSV",
        Format::Parquet => "Parquet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_says_the_format_unless_a_flag_does() {
        use Format::{Csv, Ndjson, Parquet};
        for (flag, output, format) in [
            (None, None, Ndjson),
            (Some(Csv), None, Csv),
            (None, Some("x.parquet"), Parquet),
            (None, Some("a.b/x.CSV"), Csv),
            (None, Some("x.ndjson"), Ndjson),
            (None, Some("x.jsonl"), Ndjson),
            (None, Some("x.json"), Ndjson),
            (None, Some("x"), Ndjson),
            (None, Some("a.csv/x"), Ndjson),
            (None, Some("x.txt"), Ndjson),
            (Some(Parquet), Some("x.txt"), Parquet),
            (Some(Csv), Some("x.csv"), Csv),
            (Some(Csv), Some("/dev/null"), Csv),
            (None, Some("-"), Ndjson),
            // What is added to a name while a file is written, or when it is put aside, says no format.
            (None, Some("x.csv.tmp"), Csv),
            (None, Some("x.csv.TEMP"), Csv),
            (None, Some("x.parquet.part"), Parquet),
            (None, Some("x.parquet.partial"), Parquet),
            (None, Some("x.pq.crdownload"), Parquet),
            (None, Some("x.ndjson.bak"), Ndjson),
            (None, Some("x.csv.bak.1"), Csv),
            (None, Some("x.csv.2026-11-30"), Csv),
            (None, Some("x.csv~"), Csv),
            (None, Some("x.parquet "), Parquet),
            (None, Some("x.csv.~1~"), Csv),
            (None, Some(".x.parquet.swp"), Parquet),
            (Some(Csv), Some("x.csv.tmp"), Csv),
            (None, Some("x.tmp"), Ndjson),
            (None, Some("a.csv/x.tmp"), Ndjson),
            (None, Some("csv.tmp"), Ndjson),
        ] {
            let chosen = chosen(flag, false, output.map(Path::new));
            assert_eq!(chosen, Ok(format), "{flag:?} {output:?}");
        }
    }

    #[test]
    fn a_name_that_says_something_else_is_refused_with_what_to_do() {
        for (flag, json, output, says) in [
            (Some(Format::Csv), false, "x.parquet", "says Parquet"),
            (None, true, "x.csv", "says CSV"),
            (Some(Format::Parquet), false, "x.json", "says NDJSON"),
            (None, false, "x.ndjson.zst", "… | zstd > x.ndjson.zst"),
            (None, false, "x.csv.gz", "export --format csv … | gzip"),
            (None, false, "x.parquet.gz", "compressed already"),
            (None, false, "x.xlsx", "use .ndjson, .csv or .parquet"),
            (None, false, "x.arrow", "use .ndjson, .csv or .parquet"),
            (None, false, "x.feather", "use .ndjson, .csv or .parquet"),
            (None, false, "x.tar.gz", "exports are not compressed"),
            (None, false, "x.zip", "use .ndjson, .csv or .parquet"),
            (Some(Format::Parquet), false, "x.csv.tmp", "says CSV"),
            (None, true, "x.parquet.part", "says Parquet"),
            (None, false, "x.csv.gz.tmp", "export --format csv … | gzip"),
            (None, false, "x.csv.tmp.gz", "export --format csv … | gzip"),
            (None, false, "x.xlsx.bak", "use .ndjson, .csv or .parquet"),
        ] {
            let refused = chosen(flag, json, Some(Path::new(output))).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
