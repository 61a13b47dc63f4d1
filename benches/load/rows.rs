//! Submissions that are made up.

use anyhow::Context;
use freshet::submission::{Observation, decode};
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Milliseconds.
pub(crate) const NOW_MS: i64 = 1_790_000_000_000;

/// The first of them as a dump, an object a line; how many bytes of JSON that is.
pub(crate) fn write(path: &Path, rows: u64, subreddits: u64) -> anyhow::Result<u64> {
    let mut encoder = zstd::Encoder::new(File::create(path)?, 3)?;
    let mut bytes = 0;
    for number in 0..rows {
        let line = json(number, subreddits)?.replace('\n', "");
        bytes += line.len() as u64;
        writeln!(encoder, "{line}")?;
    }
    encoder.finish()?.sync_all()?;
    Ok(bytes)
}

/// As if it had come in an answer.
pub(crate) fn submission(number: u64, subreddits: u64) -> anyhow::Result<Observation> {
    let raw = RawValue::from_string(json(number, subreddits)?)?;
    decode(raw, NOW_MS).ok().context("it has an id and a time")
}

/// About 2.6 KB, as in a dump of 2026; the id and the time grow with the number. A few subreddits
/// have most of them.
fn json(number: u64, subreddits: u64) -> anyhow::Result<String> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let share = (next() as f64 / f64::from(1_u32 << 31)).powi(3);
    let subreddit = (share * subreddits as f64) as u64;
    let id = base36(1_700_000_000_000 + number);
    let created = 1_700_000_000 + number / 20;
    let mut json = String::with_capacity(3200);
    write!(
        json,
        r#"{{"id":"{id}","created_utc":{created},"subreddit":"Subreddit_{subreddit}",
        "author":"someone_{}","title":"A title of some forty characters, {number}","selftext":""#,
        next() % 100_000,
    )?;
    for _ in 0..next() % 70 {
        write!(json, "word{:x} ", next() & 0xffff)?;
    }
    write!(
        json,
        r#"","url":"https://example.org/{number}","permalink":"/r/Subreddit_{subreddit}/comments/{id}/a_title/",
        "domain":"example.org","score":{},"num_comments":3,"upvote_ratio":0.97,"over_18":false,
        "spoiler":false,"stickied":false,"locked":false,"is_self":false,"edited":false"#,
        next() % 5000,
    )?;
    for place in 0..78 {
        let word = next() & 0x00ff_ffff;
        match place % 3 {
            0 => write!(json, r#","field_number_{place}":{word}"#)?,
            1 => write!(json, r#","field_number_{place}":null"#)?,
            _ => write!(json, r#","field_number_{place}":"text {word:x}""#)?,
        }
    }
    json.push('}');
    Ok(json)
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        let digit = (number % 36) as u8;
        digits.push(char::from(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        }));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}
