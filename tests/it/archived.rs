//! Rows of archives: when they were seen.

use crate::support::capture::{lines_of, recorded_submissions};
use freshet::submission::decode_archived;
use serde_json::Value;
use serde_json::value::RawValue;

const NOW: i64 = 1_800_000_000_000;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// `fields` stand behind those that every row has.
fn observed(fields: &str) -> i64 {
    let json = format!(r#"{{"id":"a","created_utc":1000{fields}}}"#);
    decode_archived(raw(&json), NOW).unwrap().observed_ms
}

#[test]
fn a_row_was_seen_when_the_archive_last_got_it() {
    for (fields, seconds) in [
        (r#","retrieved_on":2000"#, 2_000),
        (r#","retrieved_on":2000.9"#, 2_000),
        (r#","retrieved_on":" 2000 ""#, 2_000),
        (r#","retrieved_utc":2000"#, 2_000),
        (
            r#","retrieved_on":2000,"_meta":{"retrieved_2nd_on":3000}"#,
            3_000,
        ),
        (
            r#","retrieved_on":4000,"_meta":{"retrieved_2nd_on":"3000"}"#,
            4_000,
        ),
        (
            r#","_meta":{"note":"no_2nd_retrieval"},"retrieved_on":2000"#,
            2_000,
        ),
        (r#","_meta":7,"retrieved_on":2000"#, 2_000),
    ] {
        assert_eq!(observed(fields), seconds * 1_000, "{fields}");
    }
}

#[test]
fn a_row_that_does_not_tell_was_seen_when_it_was_created() {
    for fields in [
        "",
        r#","retrieved_on":null"#,
        r#","retrieved_on":0"#,
        r#","retrieved_on":-5"#,
        r#","retrieved_on":"yesterday""#,
        r#","retrieved_on":{},"_meta":{"retrieved_2nd_on":[]}"#,
        r#","retrieved_on":"NaN""#,
    ] {
        assert_eq!(observed(fields), 1_000_000, "{fields}");
    }
}

#[test]
fn no_row_was_seen_after_it_was_asked_for() {
    assert_eq!(observed(r#","retrieved_on":1800000001"#), NOW);
    // What no calendar can write is no time.
    for value in ["9223372036854775807", "1e300"] {
        let told = observed(&format!(r#","retrieved_on":{value}"#));
        assert_eq!(told, observed(""), "{value}");
    }
    let future = raw(r#"{"id":"a","created_utc":1900000000}"#);
    assert_eq!(decode_archived(future, NOW).unwrap().observed_ms, NOW);
}

#[test]
fn what_is_no_submission_is_handed_back_whole() {
    let refused = decode_archived(raw(r#"{"id":"a","retrieved_on":5}"#), NOW).unwrap_err();
    assert_eq!(refused.raw.get(), r#"{"id":"a","retrieved_on":5}"#);
    assert_eq!(refused.observed_ms, NOW);
}

#[test]
fn recorded_rows_were_seen_when_they_say() {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    let mut told = 0;
    for file in recorded_submissions() {
        for line in lines_of(&file).lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let Ok(seen) = decode_archived(raw(line), NOW) else {
                continue;
            };
            let places = [
                &row["retrieved_on"],
                &row["retrieved_utc"],
                &row["_meta"]["retrieved_2nd_on"],
            ];
            let latest = places.into_iter().filter_map(number).reduce(f64::max);
            told += usize::from(latest.is_some());
            let created = number(&row["created_utc"]).unwrap();
            let expected = latest.unwrap_or(created).floor() * 1_000.0;
            #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
            let seen = seen.observed_ms as f64;
            assert!(
                (seen - expected).abs() < 0.5,
                "{}: {seen}, {expected}",
                file.display()
            );
            assert!(seen >= created.floor() * 1_000.0);
        }
    }
    println!("{told} recorded rows tell when they were got");
}
