//! Dumps of any compression, whole and damaged, against plain readings of the same lines.

use crate::support::capture::{lines_of, recorded_submissions};
use freshet::source::{Batch, Dump, DumpError, Input, Selection};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const NOW_MS: i64 = 2_000_000_000_000;

fn all() -> Selection {
    Selection {
        subreddit: None,
        start: 0,
        end: i64::MAX,
    }
}

fn of(name: &str) -> Selection {
    Selection {
        subreddit: Some(name.parse().unwrap()),
        ..all()
    }
}

fn file(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("RS_2020-01.zst");
    fs::write(&path, bytes).unwrap();
    path
}

/// All batches to the end, or to the error.
fn drain(dump: &mut Dump, selection: &Selection, most: usize) -> (Vec<Batch>, Option<DumpError>) {
    let mut batches = Vec::new();
    loop {
        match dump.next_batch(selection, most, NOW_MS) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => {
                let again = dump.next_batch(selection, most, NOW_MS).unwrap_err();
                assert_eq!(again.to_string(), error.to_string());
                return (batches, Some(error));
            }
        }
    }
}

fn open(path: &Path) -> Dump {
    Dump::open(&Input::File(path.to_owned())).unwrap()
}

fn raw(batches: &[Batch]) -> Vec<&str> {
    let observations = batches.iter().flat_map(|it| &it.observations);
    observations.map(|it| it.raw.get()).collect()
}

/// Lines with enough chance in them that they do not compress to nothing.
fn lines(count: u64) -> Vec<String> {
    let noise = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    (0..count)
        .map(|number| {
            let text: String = (0..40)
                .map(|at| format!("{:x} ", noise(number * 64 + at)))
                .collect();
            format!(
                r#"{{"created_utc":{},"id":"x{number}","selftext":"{text}","subreddit":"s{}"}}"#,
                1_577_836_800 + number,
                number % 7
            )
        })
        .collect()
}

fn text(lines: &[String]) -> Vec<u8> {
    let mut text = lines.join("\n").into_bytes();
    text.push(b'\n');
    text
}

/// One frame; with its length where it is made at once, a window of 2 to the power of `window` else.
fn zstd_frame(bytes: &[u8], window: Option<u32>) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    if let Some(window) = window {
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(window).unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn skippable(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x53, 0x2a, 0x4d, 0x18];
    frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    frame.extend(content);
    frame
}

#[test]
fn every_compression_gives_the_same_lines_whatever_the_file_is_called() {
    let folder = TempDir::new().unwrap();
    let lines = lines(3_000);
    let plain = text(&lines);
    // In the middle of a line.
    let (first, second) = plain.split_at(plain.len() / 2 - 100);
    let frames = [
        skippable(b"index"),
        zstd_frame(first, None),
        zstd_frame(b"", None),
        skippable(&[]),
        zstd_frame(second, Some(27)),
        skippable(b"seek table"),
    ];
    let without_last_end = plain[..plain.len() - 1].to_vec();
    let with_mark = [b"\xef\xbb\xbf", plain.as_slice()].concat();
    let windows = String::from_utf8(plain.clone())
        .unwrap()
        .replace('\n', "\r\n\n");
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("no end of the last line", without_last_end),
        ("byte order mark", with_mark),
        ("gzip", gzip(&plain)),
        ("gzip members", [gzip(first), gzip(second)].concat()),
        ("zstd", zstd_frame(&plain, None)),
        ("largest window", zstd_frame(&plain, Some(31))),
        ("frames", frames.concat()),
        ("carriage returns and empty lines", windows.into_bytes()),
    ] {
        let path = file(&folder, &bytes);
        let (batches, error) = drain(&mut open(&path), &all(), 256);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(raw(&batches), lines, "{name}");
        assert!(
            batches
                .iter()
                .all(|it| it.rejected.is_empty() && it.observations.len() <= 256)
        );
        let progress = batches.last().unwrap().progress;
        assert_eq!(progress.selected, 3_000, "{name}");
        assert_eq!(progress.size, Some(bytes.len() as u64), "{name}");
        assert_eq!(progress.read, bytes.len() as u64, "{name}");
    }
}

#[test]
fn a_window_of_two_gibibytes_is_in_the_header_that_was_read() {
    let frame = zstd_frame(&text(&lines(10)), Some(31));
    // The byte after the magic number and the descriptor: exponent in the upper five bits.
    assert_eq!(frame[5] >> 3, 31 - 10);
}

#[test]
fn what_is_no_file_or_of_another_compression_says_so() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("RS_2031-01.zst");
    let error = Dump::open(&Input::File(missing)).err().unwrap().to_string();
    assert!(error.contains("RS_2031-01.zst does not exist"), "{error}");
    let error = Dump::open(&Input::File(folder.path().to_owned()))
        .err()
        .unwrap();
    assert!(matches!(error, DumpError::Unreadable { .. }), "{error}");
    for (bytes, name) in [(&b"BZh91AY&SY"[..], "bzip2"), (b"\xfd7zXZ\0\0\x04", "xz")] {
        let path = file(&folder, bytes);
        let error = Dump::open(&Input::File(path)).err().unwrap().to_string();
        for part in [name, "RS_2020-01.zst | freshet backfill"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn an_empty_file_has_no_lines() {
    let folder = TempDir::new().unwrap();
    for bytes in [Vec::new(), zstd_frame(b"", None), gzip(b"")] {
        let (batches, error) = drain(&mut open(&file(&folder, &bytes)), &all(), 10);
        assert!(error.is_none() && raw(&batches).is_empty());
    }
    let (batches, error) = drain(&mut open(&file(&folder, b"\n\n")), &all(), 10);
    let error = error.unwrap().to_string();
    assert!(
        raw(&batches).is_empty() && error.contains("nothing but empty lines"),
        "{error}"
    );
}

#[test]
fn bad_lines_are_rejected_where_they_stand_and_cost_no_other() {
    let folder = TempDir::new().unwrap();
    let good = r#"{"id":"a","created_utc":1,"subreddit":"rust"}"#;
    let long = format!(r#"{{"id":"b","selftext":"{}"}}"#, "x".repeat(17 << 20));
    let bad: [&[u8]; 7] = [
        br#"{"id":"a","created_utc":1,"subre"#,
        b"not json",
        b"{\"id\":\"a\",\"created_utc\":1,\"title\":\"\xff\xfe\"}",
        br#"{"id":"a","title":"no time"}"#,
        br#"{"created_utc":1}"#,
        b"[]",
        long.as_bytes(),
    ];
    let mut bytes = Vec::new();
    for line in bad {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        bytes.extend_from_slice(good.as_bytes());
        bytes.push(b'\n');
    }
    for selection in [all(), of("rust"), of("java")] {
        let path = file(&folder, &zstd_frame(&bytes, None));
        let (batches, error) = drain(&mut open(&path), &selection, 100);
        assert!(error.is_none());
        let rejected: Vec<_> = batches.iter().flat_map(|it| &it.rejected).collect();
        assert_eq!(rejected.len(), bad.len(), "{rejected:?}");
        for (number, (rejected, line)) in (0u64..).zip(rejected.iter().zip(bad)) {
            assert_eq!(rejected.line, number * 2 + 1);
            assert_eq!(rejected.text, line[..line.len().min(1 << 16)]);
            assert!(!rejected.reason.is_empty());
        }
        let selected = if selection == of("java") {
            0
        } else {
            bad.len()
        };
        assert_eq!(raw(&batches), vec![good; selected]);
        let progress = batches.last().unwrap().progress;
        assert_eq!(progress.rejected, 7);
        assert_eq!(progress.bytes, bytes.len() as u64);
        assert_eq!(progress.lines, 14);
    }
}

#[test]
fn a_line_too_long_may_be_the_last_or_be_cut() {
    let folder = TempDir::new().unwrap();
    let long = vec![b'x'; (16 << 20) + 1];
    let (batches, error) = drain(&mut open(&file(&folder, &long)), &all(), 10);
    assert!(
        matches!(error, Some(DumpError::NoSubmissions { .. })),
        "{error:?}"
    );
    assert_eq!(batches[0].rejected[0].text.len(), 1 << 16);
    let mut cut = zstd_frame(&[long.as_slice(), &text(&lines(50))].concat(), None);
    cut.truncate(cut.len() / 2);
    let (_, error) = drain(&mut open(&file(&folder, &cut)), &all(), 10);
    assert!(
        matches!(error, Some(DumpError::CutShort { .. })),
        "{error:?}"
    );
}

#[test]
fn only_what_was_created_in_the_range_is_taken() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &text(&lines(20)));
    let selection = Selection {
        start: 1_577_836_803,
        end: 1_577_836_805,
        ..all()
    };
    let (batches, _) = drain(&mut open(&path), &selection, 10);
    assert_eq!(raw(&batches), lines(20)[3..5]);
}

#[test]
fn lines_stored_before_are_passed_over() {
    let folder = TempDir::new().unwrap();
    let lines = lines(500);
    let path = file(&folder, &zstd_frame(&text(&lines), None));
    for skipped in [0, 1, 250, 499, 500] {
        let mut dump = open(&path);
        dump.skip_lines(skipped).unwrap();
        let (batches, error) = drain(&mut dump, &all(), 77);
        assert!(error.is_none());
        assert_eq!(raw(&batches), lines[usize::try_from(skipped).unwrap()..]);
        assert_eq!(dump.progress().lines, 500);
    }
    let error = open(&path).skip_lines(501).unwrap_err().to_string();
    assert!(error.contains("has 500 lines, but 501"), "{error}");
}

#[test]
fn every_recorded_submission_is_read() {
    for path in recorded_submissions() {
        let expected: Vec<String> = lines_of(&path)
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect();
        let (batches, error) = drain(&mut open(&path), &all(), 1_000);
        assert!(error.is_none(), "{error:?}");
        assert!(batches.iter().all(|it| it.rejected.is_empty()), "{path:?}");
        assert_eq!(raw(&batches), expected);
        let ids = |texts: &[&str]| -> BTreeSet<String> {
            let id = |text: &&str| serde_json::from_str::<Value>(text).unwrap()["id"].to_string();
            texts.iter().map(id).collect()
        };
        let read: BTreeSet<String> = batches
            .iter()
            .flat_map(|it| &it.observations)
            .map(|it| format!("{:?}", it.submission.id.as_str()))
            .collect();
        assert_eq!(read, ids(&raw(&batches)), "{path:?}");
        println!(
            "{}: {} lines, {} ids",
            path.display(),
            expected.len(),
            read.len()
        );
    }
}

/// What the ordinary decoder gives out of damaged data, byte for byte as far as it comes.
fn ordinary(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = zstd::Decoder::new(bytes).unwrap();
    decoder.window_log_max(31).unwrap();
    let (mut out, mut one) = (Vec::new(), [0; 1]);
    while let Ok(1) = decoder.read(&mut one) {
        out.push(one[0]);
    }
    out
}

/// The whole lines of a text whose last may be a part.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_before_a_cut_is_handed_out_and_then_an_error_names_the_file(
        place in 0.0..1.0f64, compression in 0..3u8, most in 1..500usize,
    ) {
        let folder = TempDir::new().unwrap();
        let lines = lines(1_500);
        let plain = text(&lines);
        let whole = match compression {
            0 => zstd_frame(&plain, None),
            1 => [zstd_frame(&plain[..300_000], Some(31)), zstd_frame(&plain[300_000..], None)].concat(),
            _ => gzip(&plain),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place in a small file")]
        let at = 8 + ((whole.len() - 8) as f64 * place) as usize;
        let (batches, error) = drain(&mut open(&file(&folder, &whole[..at])), &all(), most);
        let read = raw(&batches);
        prop_assert_eq!(&read[..], &lines[..read.len()]);
        prop_assert!(batches.iter().all(|it| it.rejected.is_empty()));
        if compression != 2 {
            prop_assert!(read.len() >= whole_lines(&ordinary(&whole[..at])));
        }
        let between_frames = compression == 1 && at == zstd_frame(&plain[..300_000], Some(31)).len();
        prop_assume!(!between_frames);
        let message = error.map(|it| it.to_string()).unwrap_or_default();
        prop_assert!(message.contains("RS_2020-01.zst is cut short"), "{}", message);
        prop_assert!(message.contains(&format!("line {};", read.len())), "{}", message);
    }

    #[test]
    fn all_before_a_wrong_byte_is_handed_out_and_then_an_error_names_the_file(
        place in 0.0..1.0f64, flip in 1..=255u8, most in 1..500usize,
    ) {
        let folder = TempDir::new().unwrap();
        let lines = lines(1_500);
        let mut bytes = zstd_frame(&text(&lines), None);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place in a small file")]
        let at = 6 + ((bytes.len() - 6) as f64 * place) as usize;
        let before = whole_lines(&ordinary(&bytes[..at]));
        bytes[at] ^= flip;
        let (batches, error) = drain(&mut open(&file(&folder, &bytes)), &all(), most);
        let read = raw(&batches);
        prop_assert!(read.len() >= before, "{} of {before}", read.len());
        prop_assert_eq!(&read[..before], &lines[..before]);
        let message = error.map(|it| it.to_string()).unwrap_or_default();
        prop_assert!(message.contains("RS_2020-01.zst"), "{}", message);
    }

    #[test]
    fn picking_is_reading_all_and_leaving_out_the_rest(
        lines in prop::collection::vec(any_line(), 1..60), name in "(rust|Java|s1)",
    ) {
        let folder = TempDir::new().unwrap();
        let path = file(&folder, lines.join("\n").as_bytes());
        let picked = drain(&mut open(&path), &of(&name), 10).0;
        let read = drain(&mut open(&path), &all(), 10).0;
        let wanted: Vec<&str> = read
            .iter()
            .flat_map(|it| &it.observations)
            .filter(|it| {
                let named = it.submission.subreddit.as_deref().unwrap_or_default();
                named.eq_ignore_ascii_case(&name)
            })
            .map(|it| it.raw.get())
            .collect();
        prop_assert_eq!(raw(&picked), wanted);
    }
}

/// A line with its subreddit said in any way, in any place.
fn any_line() -> impl Strategy<Value = String> {
    let name = || {
        prop::sample::select(vec![
            "rust",
            "RUST",
            "java",
            "s1",
            "rus",
            "rusty",
            "ru\\u0073t",
        ])
    };
    let colon = || prop::sample::select(vec![":", ": ", " : ", "\t:\t"]);
    let own = (name(), colon()).prop_map(|(name, colon)| format!(r#""subreddit"{colon}"{name}""#));
    let parent = (name(), colon()).prop_map(|(name, colon)| {
        format!(r#""crosspost_parent_list":[{{"id":"p","subreddit"{colon}"{name}"}}]"#)
    });
    let quoted = name().prop_map(|name| format!(r#""selftext":"{{\"subreddit\":\"{name}\"}}""#));
    let valued = Just(r#""title":"subreddit""#.to_owned());
    let nothing = Just(r#""ups":null"#.to_owned());
    let other = prop_oneof![parent, quoted, valued, nothing];
    let odd = prop::sample::select(vec![
        r#""subreddit":null"#,
        r#""subreddit":7"#,
        r#""gone":1"#,
    ]);
    let own = prop_oneof![6 => own, 1 => odd.prop_map(str::to_owned)];
    (own, other, any::<bool>(), "[a-z0-9]{1,6}").prop_map(|(own, other, first, id)| {
        let (one, two) = if first { (own, other) } else { (other, own) };
        format!(r#"{{"id":"{id}",{one},"created_utc":1577836800,{two}}}"#)
    })
}
