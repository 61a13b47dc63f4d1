//! What a file is, by its first bytes: lines of JSON, one JSON document, or something else.

use super::stream::{Input, pipe};

/// How many bytes tell.
pub(super) const HEAD: usize = 512;
/// Where an archive of tar says what it is.
const TAR: std::ops::Range<usize> = 257..262;
/// A table's first line is no longer.
const LONGEST_HEADER: usize = 4_096;

/// What a file that is no JSON looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Csv,
}

impl Looks {
    /// What to do about it, behind an error.
    pub(super) fn advice(self, input: &Input) -> String {
        let Looks::Csv = self;
        let convert = "python3 -c 'import csv,json,sys; [print(json.dumps(row)) for row in \
                       csv.DictReader(sys.stdin)]'";
        let from = match input {
            Input::File(path) => format!("{convert} < {}", path.display()),
            Input::Stdin => format!("… | {convert}"),
        };
        format!(
            ". It looks like CSV; convert it, with the columns id and created_utc (seconds since the \
             epoch): {from} | freshet backfill … --source -"
        )
    }
}

/// A format that holds no line of JSON, and what to do about it.
pub(super) fn other_format(head: &[u8], input: &Input) -> Option<(&'static str, String)> {
    let text = head.trim_ascii_start();
    if text.starts_with(b"<") {
        let advice = "is it an error page? Download the file again".to_owned();
        return Some(("HTML or XML", advice));
    }
    if head.get(TAR) == Some(b"ustar") {
        return Some(("a tar archive", pipe("tar -xOf", input)));
    }
    if head.starts_with(b"PAR1") {
        let advice = "convert it with DuckDB: COPY (FROM 'FILE') TO 'FILE.ndjson' (FORMAT json)";
        return Some(("Parquet", advice.to_owned()));
    }
    if head.starts_with(b"SQLite format 3\0") {
        let advice = "export its rows as JSON, an object a line".to_owned();
        return Some(("an SQLite database", advice));
    }
    None
}

/// What the beginning of a file looks like that may be no JSON.
pub(super) fn looks(head: &[u8]) -> Option<Looks> {
    let line = head
        .trim_ascii_start()
        .split(|byte| *byte == b'\n')
        .next()?;
    if line.len() > LONGEST_HEADER || line.contains(&b'{') || line.contains(&b'[') {
        return None;
    }
    let separated = |by: u8| line.contains(&by);
    (separated(b',') || separated(b'\t') || separated(b';')).then_some(Looks::Csv)
}

/// Whether values stretch over lines, or belong to one array; none where more of it must be read. Lines
/// are the rule: of damaged ones, each costs itself alone.
pub(super) fn is_document(head: &[u8], over: bool) -> Option<bool> {
    let enough = |known: Option<bool>| if over { known.or(Some(false)) } else { known };
    let text = head.trim_ascii_start();
    match text.first() {
        None => return enough(None),
        Some(b'[') => return Some(true),
        Some(b'{') => {}
        Some(_) => return Some(false),
    }
    let Some(end) = memchr::memchr(b'\n', text) else {
        return enough(None);
    };
    let Some(begun) = begun(&text[..end]) else {
        return Some(false);
    };
    let Some(next) = text[end..].trim_ascii_start().first() else {
        return enough(None);
    };
    // What may follow there in one value: a line that is cut off is followed by the next object.
    Some(match (begun.last, begun.within) {
        (b'{', _) | (b',', b'{') => matches!(next, b'"' | b'}'),
        (b'[' | b',' | b':', _) => true,
        _ => matches!(next, b',' | b'}' | b']'),
    })
}

/// Where a line ends that is the beginning of a value.
struct Begun {
    /// The bracket that it is within.
    within: u8,
    /// Its last byte that is no space.
    last: u8,
}

/// None where the line holds a whole value, or none.
fn begun(line: &[u8]) -> Option<Begun> {
    let (mut open, mut text, mut escaped) = (Vec::new(), false, false);
    let mut last = b' ';
    for byte in line {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (true, _) => {}
            (false, b'{' | b'[') => open.push(*byte),
            (false, b'}' | b']') => {
                open.pop()?;
                if open.is_empty() {
                    return None;
                }
            }
            (false, _) => {}
        }
        if !byte.is_ascii_whitespace() {
            last = *byte;
        }
    }
    let within = open.last().copied().filter(|_| !text)?;
    Some(Begun { within, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stretches_over_lines_is_a_document_and_a_damaged_line_is_none() {
        for document in [
            "[{}]",
            "\n  [\n",
            "{\n  \"id\": \"a\"\n}\n",
            "{\"kind\": \"Listing\", \"data\": {\n\"children\": []}}",
            "{\"data\":[{\"id\":\"a\"},\n{\"id\":\"b\"}]}",
            "{\"id\": \"a\"\n,\"b\":1}",
        ] {
            assert_eq!(
                is_document(document.as_bytes(), true),
                Some(true),
                "{document}"
            );
        }
        for lines in [
            "",
            "{}",
            "{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
            "{\"id\":\"a\",\n{\"id\":\"b\"}\n",
            "{\"id\":\"a\",\"title\":\"cut\n{\"id\":\"b\"}\n",
            "{\"id\":\"a\",\"n\":12\n{\"id\":\"b\"}\n",
            "{\n{\"id\":\"b\"}\n",
            "not json\n{}",
        ] {
            assert_eq!(is_document(lines.as_bytes(), true), Some(false), "{lines}");
        }
        assert_eq!(is_document(b"{\"id\":\"a\",", false), None);
        assert_eq!(is_document(b"{\n", false), None);
    }

    #[test]
    fn tables_and_pages_are_told_from_json() {
        assert_eq!(
            looks(b"id,title,created_utc\nabc,hello\n"),
            Some(Looks::Csv)
        );
        assert_eq!(looks(b"{\"id\":\"a\",\"b\":1}\n"), None);
        assert_eq!(looks(b"not json\n"), None);
        let input = Input::Stdin;
        assert!(other_format(b"  <!DOCTYPE html>", &input).is_some());
        assert!(other_format(b"{\"a\":\"<p>\"}", &input).is_none());
    }
}
