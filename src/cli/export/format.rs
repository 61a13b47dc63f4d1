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
];

/// The format by its flag, else by the output's extension, else NDJSON.
pub(super) fn chosen(
    flag: Option<Format>,
    json: bool,
    output: Option<&Path>,
) -> Result<Format, String> {
    let asked = flag.or(json.then_some(Format::Ndjson));
    let Some(output) = output.filter(|output| !output.starts_with("/dev")) else {
        return Ok(asked.unwrap_or(Format::Ndjson));
    };
    let extension = output.extension().and_then(|it| it.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    let shown = output.display();
    if let Some((_, program)) = COMPRESSED.iter().find(|(known, _)| *known == extension) {
        let format = of_extension(&extension_of(&output.with_extension("")));
        let format = match asked.or(format) {
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
    if matches!(
        extension.as_str(),
        "xlsx" | "xls" | "ods" | "tsv" | "db" | "sqlite"
    ) {
        return Err(format!(
            "{shown}: there is no format .{extension}; use .ndjson, .csv or .parquet"
        ));
    }
    match (asked, of_extension(&extension)) {
        (Some(asked), Some(named)) if asked != named => Err(format!(
            "{shown} is to hold {}, but its name says {}; leave out --format, or name the file otherwise",
            word(asked),
            word(named)
        )),
        (asked, named) => Ok(asked.or(named).unwrap_or(Format::Ndjson)),
    }
}

fn extension_of(path: &Path) -> String {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.unwrap_or_default().to_ascii_lowercase()
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
        ] {
            let refused = chosen(flag, json, Some(Path::new(output))).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
