//! Files as people have them: arrays, listings, answers, other encodings; and what the command-line tools of
//! gzip and zstd take, which is what is taken here.

use freshet::source::{Batch, Dump, DumpError, Input, Selection};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const NOW_MS: i64 = 2_000_000_000_000;

fn read(path: &Path) -> (Vec<Batch>, Option<DumpError>) {
    let selection = Selection {
        subreddit: None,
        start: 0,
        end: i64::MAX,
    };
    let mut dump = match Dump::open(&Input::File(path.to_owned())) {
        Ok(dump) => dump,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut batches = Vec::new();
    loop {
        match dump.next_batch(&selection, 100, NOW_MS) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}

fn read_bytes(bytes: &[u8]) -> (Vec<Batch>, Option<DumpError>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

fn ids(batches: &[Batch]) -> Vec<String> {
    let observations = batches.iter().flat_map(|it| &it.observations);
    observations
        .map(|it| it.submission.id.to_string())
        .collect()
}

fn rejected(batches: &[Batch]) -> usize {
    batches.iter().map(|it| it.rejected.len()).sum()
}

fn object(number: usize) -> String {
    format!(
        r#"{{"id": "a{number}", "subreddit": "kettles", "title": "]}} \" [ {{ ü 🫖", "created_utc": {}}}"#,
        1_704_067_200 + number
    )
}

fn pretty(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    let mut bytes = if little {
        vec![0xff, 0xfe]
    } else {
        vec![0xfe, 0xff]
    };
    for unit in text.encode_utf16() {
        bytes.extend(if little {
            unit.to_le_bytes()
        } else {
            unit.to_be_bytes()
        });
    }
    bytes
}

#[test]
fn whatever_wraps_submissions_they_are_all_read() {
    let objects: Vec<String> = (0..250).map(object).collect();
    let expected: Vec<String> = (0..250).map(|number| format!("a{number}")).collect();
    let lines = objects.join("\n");
    let array = format!("[{}]", objects.join(","));
    let things: Vec<String> = objects
        .iter()
        .map(|it| format!(r#"{{"kind": "t3", "data": {it}}}"#))
        .collect();
    let listing = format!(
        r#"{{"kind": "Listing", "data": {{"after": null, "children": [{}]}}}}"#,
        things.join(",")
    );
    let answer = format!(r#"{{"data": [{}], "error": null}}"#, objects.join(","));
    let pretty_objects: Vec<String> = objects.iter().map(|it| pretty(it)).collect();
    let texts = [
        ("lines", lines.clone()),
        ("an array on one line", array.clone()),
        ("an array, an element a line", array.replace(",{", ",\n\n{")),
        ("a pretty array", pretty(&array)),
        ("things", things.join("\n")),
        ("an array of things", format!("[{}]", things.join(",\n"))),
        ("a listing", listing.clone()),
        ("a pretty listing", pretty(&listing)),
        ("an array of listings", format!("[{listing}]")),
        ("an answer", answer.clone()),
        ("a pretty answer", pretty(&answer)),
        ("pretty objects", pretty_objects.join("\n")),
        (
            "two arrays",
            array.replacen(r#",{"id": "a100""#, r#"][{"id": "a100""#, 1),
        ),
    ];
    for (name, text) in texts {
        let mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        let compressed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for bytes in [
            text.clone().into_bytes(),
            mark,
            compressed,
            utf16(&text, true),
            utf16(&text, false),
            utf16(&text, true)[2..].to_vec(),
        ] {
            let (batches, error) = read_bytes(&bytes);
            assert!(error.is_none(), "{name}: {error:?}");
            assert_eq!(ids(&batches), expected, "{name}");
            assert_eq!(rejected(&batches), 0, "{name}");
        }
    }
}

#[test]
fn entries_are_passed_over_that_were_read_before_whatever_they_are() {
    let objects: Vec<String> = (0..50).map(object).collect();
    let array = pretty(&format!("[{}]", objects.join(",")));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("array.json");
    std::fs::write(&path, &array).unwrap();
    let mut dump = Dump::open(&Input::File(path)).unwrap();
    dump.skip_lines(20).unwrap();
    let all = Selection {
        subreddit: None,
        start: 0,
        end: i64::MAX,
    };
    let batch = dump.next_batch(&all, 100, NOW_MS).unwrap().unwrap();
    assert_eq!(ids(&[batch]).first().unwrap(), "a20");
    assert_eq!(dump.progress().lines, 50);
}

#[test]
fn a_document_that_is_cut_short_says_so_after_all_before_it() {
    let objects: Vec<String> = (0..30).map(object).collect();
    let array = format!("[{}]", objects.join(",\n"));
    for cut in [1, 40, 300, array.len() / 2, array.len() - 1] {
        let (batches, error) = read_bytes(&array.as_bytes()[..array.len() - cut]);
        assert!(
            matches!(error, Some(DumpError::Unclosed { .. })),
            "{cut}: {error:?}"
        );
        assert_eq!(rejected(&batches), 0, "{cut}");
        let whole = ids(&batches).len();
        assert!(whole >= 29_usize.saturating_sub(cut / 90), "{cut}: {whole}");
    }
}

#[test]
fn what_holds_no_submissions_is_given_up_with_what_to_do() {
    let comment = |number: usize| {
        format!(
            r#"{{"id":"c{number}","name":"t1_c{number}","body":"a","link_id":"t3_a","parent_id":"t3_a","created_utc":1}}"#
        )
    };
    let comments: Vec<String> = (0..3_000).map(comment).collect();
    let things: Vec<String> = comments
        .iter()
        .map(|it| format!(r#"{{"kind":"t1","data":{it}}}"#))
        .collect();
    let mixed = format!("{}\n{}", object(1), "damaged\n".repeat(200_000));
    for (bytes, words) in [
        (b"<html>\n<body>Not found".to_vec(), "HTML"),
        (
            b"id,title,created_utc\nabc,hello,2024-01-01 00:00\n".to_vec(),
            "csv.DictReader",
        ),
        (comments.join("\n").into_bytes(), "It is a file of comments"),
        (things.join("\n").into_bytes(), "another kind"),
        (b"{\"data\":null,\"error\":\"Timeout\"}".to_vec(), "error"),
        (mixed.into_bytes(), "does not hold submissions"),
        (b"[\n".repeat(20_000_000), "JSON value"),
        (b"PAR1....".to_vec(), "Parquet"),
    ] {
        let (batches, error) = read_bytes(&bytes);
        let told = error.map(|it| it.to_string()).unwrap_or_default();
        assert!(told.contains(words), "{words}: {told}");
        assert!(rejected(&batches) <= 1_100, "{words}");
    }
}

#[test]
fn a_batch_is_bounded_by_what_it_holds() {
    let tiny = "{\"id\":\"a\",\"created_utc\":1}\nx\n".repeat(60_000);
    let (batches, error) = read_bytes(tiny.as_bytes());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rejected(&batches), 60_000);
    let most = batches.iter().map(|it| it.rejected.len()).max().unwrap();
    assert!(most <= 8 << 10, "{most}");
}

/// What a tool gives out, or nothing where it refuses; no tool, no answer.
fn by_tool(tool: &str, path: &Path) -> Option<Option<Vec<u8>>> {
    let mut command = Command::new(tool);
    command.args(["-d", "-c", "-q"]).arg(path);
    if tool == "zstd" {
        command.arg("--long=31");
    }
    let ended = command.stderr(Stdio::null()).output().ok()?;
    Some(ended.status.success().then_some(ended.stdout))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frame(bytes: &[u8], sized: bool, window: Option<u32>) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    if let Some(window) = window {
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(window).unwrap();
    }
    if sized {
        encoder
            .set_pledged_src_size(Some(bytes.len() as u64))
            .unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_taken_and_refused_as_the_tools_do() {
    let text: String = (0..400).map(|number| object(number) + "\n").collect();
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let (gz, zst) = (
        gzip(text.as_bytes()),
        zstd_frame(text.as_bytes(), true, None),
    );
    let mut named = gz.clone();
    // A header with a name and an extra field.
    named[3] = 0x0c;
    named.splice(10..10, [2, 0, b'x', b'y', b'a', b'.', b'n', 0]);
    let mut wrong = gz.clone();
    let sum = wrong.len() - 6;
    wrong[sum] ^= 1;
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("gzip", "one member", gz.clone()),
        ("gzip", "members", [gzip(first), gzip(second)].concat()),
        (
            "gzip",
            "an empty member",
            [gzip(b""), gz.clone(), gzip(b"")].concat(),
        ),
        (
            "gzip",
            "zeros behind it",
            [gz.clone(), vec![0; 5_000]].concat(),
        ),
        ("gzip", "a named one", named),
        (
            "gzip",
            "garbage behind it",
            [gz.clone(), b"garbage".to_vec()].concat(),
        ),
        (
            "gzip",
            "zeros and a member behind it",
            [gz.clone(), vec![0; 9], gz.clone()].concat(),
        ),
        ("gzip", "a wrong checksum", wrong),
        ("gzip", "cut within its end", cut(&gz, 3)),
        ("gzip", "cut within its data", cut(&gz, 300)),
        (
            "gzip",
            "a second that is cut",
            [gz.clone(), cut(&gz, 9)].concat(),
        ),
        ("zstd", "one frame", zst.clone()),
        ("zstd", "no size", zstd_frame(text.as_bytes(), false, None)),
        (
            "zstd",
            "frames",
            [
                zstd_frame(first, true, None),
                zstd_frame(second, false, None),
            ]
            .concat(),
        ),
        (
            "zstd",
            "empty and skippable ones",
            [
                skippable.clone(),
                zstd_frame(b"", true, None),
                zst.clone(),
                skippable.clone(),
            ]
            .concat(),
        ),
        (
            "zstd",
            "a long window",
            zstd_frame(text.as_bytes(), false, Some(28)),
        ),
        (
            "zstd",
            "zeros behind it",
            [zst.clone(), vec![0; 50]].concat(),
        ),
        (
            "zstd",
            "garbage behind it",
            [zst.clone(), b"garbage!".to_vec()].concat(),
        ),
        (
            "zstd",
            "a gzip member before it",
            [gzip(first), zstd_frame(second, true, None)].concat(),
        ),
        (
            "zstd",
            "a gzip member behind it",
            [zstd_frame(first, false, None), gzip(second)].concat(),
        ),
        (
            "zstd",
            "both in turns, and skippable ones",
            [
                skippable.clone(),
                gzip(first),
                skippable.clone(),
                gzip(b""),
                zstd_frame(second, true, None),
                gzip(b""),
                skippable.clone(),
            ]
            .concat(),
        ),
        (
            "zstd",
            "a gzip member behind it that is cut",
            [zst.clone(), cut(&gz, 9)].concat(),
        ),
        (
            "zstd",
            "a frame behind a gzip member that is cut",
            [gz.clone(), cut(&zst, 9)].concat(),
        ),
        ("zstd", "cut within its end", cut(&zst, 2)),
        ("zstd", "cut within its data", cut(&zst, 300)),
        (
            "zstd",
            "a skippable one that is cut",
            [zst.clone(), cut(&skippable, 1)].concat(),
        ),
    ];
    let folder = TempDir::new().unwrap();
    for (tool, name, bytes) in cases {
        let ending = if tool == "gzip" { "gz" } else { "zst" };
        let path = folder.path().join(format!("file.{ending}"));
        std::fs::write(&path, &bytes).unwrap();
        let Some(expected) = by_tool(tool, &path) else {
            continue;
        };
        let (batches, error) = read(&path);
        assert_eq!(
            expected.is_some(),
            error.is_none(),
            "{tool}, {name}: {error:?}"
        );
        if let Some(expected) = expected {
            let lines = String::from_utf8(expected).unwrap();
            assert_eq!(ids(&batches).len(), lines.lines().count(), "{tool}, {name}");
        }
    }
}
