//! Times as people give them: RFC 3339, a date, seconds since the epoch, or how long ago.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};

/// A time with the words that it was given in: two commands in the same words mean the same, also when
/// they say how long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since the epoch.
    pub(super) at: i64,
    /// As it was given.
    pub(super) text: String,
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        Ok(Moment {
            at: moment(text)?,
            text: text.trim().to_owned(),
        })
    }
}

/// What is accepted, for error messages.
const ACCEPTED: &str = "a time is a date (2026-01-31), a date and time (2026-01-31 18:00; UTC unless it \
    names an offset, as 2026-01-31T18:00:00+02:00 does), a time of today (18:00), how long ago (36h, 2d, \
    2 days ago, last week), now, today, yesterday, or seconds since 1970 (1769882400)";

/// Seconds since the epoch of a time that was given on the command line.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    at(Utc::now(), text)
}

fn at(now: DateTime<Utc>, text: &str) -> Result<i64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let words = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    named(now, &words)
        .or_else(|| calendar_time(now, &words))
        .or_else(|| epoch(&words))
        .or_else(|| ago(now, &words))
        .ok_or_else(|| ACCEPTED.to_owned())
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp()
}

fn named(now: DateTime<Utc>, words: &str) -> Option<i64> {
    let today = now.date_naive();
    Some(match words {
        "now" => now.timestamp(),
        "today" => midnight(today),
        "yesterday" => midnight(today.checked_sub_days(Days::new(1))?),
        "tomorrow" => midnight(today.checked_add_days(Days::new(1))?),
        _ => return None,
    })
}

/// A date, a time of today, or both; UTC where no offset follows.
fn calendar_time(now: DateTime<Utc>, words: &str) -> Option<i64> {
    let upper = words.to_ascii_uppercase();
    if let Ok(time) = DateTime::parse_from_rfc3339(&upper) {
        return Some(time.timestamp());
    }
    for form in [
        "%Y-%m-%dT%H:%M%:z",
        "%Y-%m-%d %H:%M%:z",
        "%Y-%m-%d %H:%M:%S%.f%:z",
        "%Y-%m-%dT%H:%M:%S%.f%z",
    ] {
        if let Ok(time) = DateTime::parse_from_str(&upper.replace(" +", "+"), form) {
            return Some(time.timestamp());
        }
    }
    let local = upper
        .strip_suffix(" UTC")
        .or_else(|| upper.strip_suffix(" GMT"));
    let local = local.or_else(|| upper.strip_suffix('Z')).unwrap_or(&upper);
    for form in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(local, form) {
            return Some(time.and_utc().timestamp());
        }
    }
    for form in ["%H:%M", "%H:%M:%S"] {
        if let Ok(time) = NaiveTime::parse_from_str(local, form) {
            return Some(now.date_naive().and_time(time).and_utc().timestamp());
        }
    }
    let date = NaiveDate::parse_from_str(local, "%Y-%m-%d").ok();
    // chrono takes a year of any length.
    let date = date.filter(|_| local.len() == 10);
    date.map(midnight)
}

/// Seconds or milliseconds since the epoch, by how many digits they have: from 1973 on seconds have nine
/// to eleven, milliseconds twelve to fourteen.
fn epoch(words: &str) -> Option<i64> {
    let number = words.strip_prefix('@').unwrap_or(words);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    match whole.len() {
        9..=11 => whole.parse().ok(),
        12..=14 => whole.parse::<i64>().ok().map(|at| at / 1000),
        _ => None,
    }
}

/// `36h`, `2 days ago`, `an hour ago`, `last week`.
fn ago(now: DateTime<Utc>, words: &str) -> Option<i64> {
    let unit = words.strip_prefix("last ").or_else(|| {
        let one = words.strip_suffix(" ago")?;
        one.strip_prefix("a ").or_else(|| one.strip_prefix("an "))
    });
    let span = match unit {
        Some(unit @ ("minute" | "hour" | "day" | "week" | "month" | "year")) => format!("1 {unit}"),
        Some(_) => return None,
        None => words.strip_suffix(" ago").unwrap_or(words).to_owned(),
    };
    let span = humantime::parse_duration(&span).ok()?;
    let span = i64::try_from(span.as_secs()).ok()?;
    // A bare 0 is a duration to the parser.
    let has_unit = words.bytes().any(|byte| byte.is_ascii_alphabetic());
    now.timestamp().checked_sub(span).filter(|_| has_unit)
}

/// Whether a range of times, as `--since` and `--until` give it, holds any.
pub(super) fn in_order(since: i64, until: i64) -> Result<(), String> {
    if since < until {
        return Ok(());
    }
    let (since, until) = (rfc3339(since), rfc3339(until));
    Err(format!("--since ({since}) is not before --until ({until})"))
}

/// Seconds since the epoch in RFC 3339; as the number where no calendar reaches.
pub(super) fn rfc3339(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).map_or(seconds.to_string(), |time| {
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    })
}

/// From the year 1 to 9999, which every calendar can write.
const DATES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Whether seconds since the epoch are a time that every calendar can write.
pub(super) fn has_date(seconds: i64) -> bool {
    DATES.contains(&seconds)
}

/// Seconds since the epoch in RFC 3339, where every calendar can write them.
pub(super) fn calendar(seconds: i64) -> Option<String> {
    has_date(seconds).then(|| rfc3339(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2027-01-15T08:00:00Z, a Friday.
    const NOW: i64 = 1_800_000_000;
    const TODAY: i64 = NOW - 8 * 3_600;
    const DAY: i64 = 86_400;

    fn read(text: &str) -> Result<i64, String> {
        at(DateTime::from_timestamp(NOW, 0).unwrap(), text)
    }

    #[test]
    fn each_form_of_a_time_is_read() {
        for (text, expected) in [
            ("1970-01-02T00:00:01Z", DAY + 1),
            ("1970-01-02t00:00:01z", DAY + 1),
            ("1970-01-02T02:00:00+02:00", DAY),
            ("1970-01-02 02:00+02:00", DAY),
            ("1970-01-02T02:00+0200", DAY),
            ("1970-01-02 02:00:00 +02:00", DAY),
            ("1970-01-02", DAY),
            (" 1970-01-02 ", DAY),
            ("1970-01-02 00:00", DAY),
            ("1970-01-02T00:00", DAY),
            ("1970-01-02T00:01:30", DAY + 90),
            ("1970-01-02 00:01:30.250", DAY + 90),
            ("1970-01-02 00:01Z", DAY + 60),
            ("1970-01-02 00:01 UTC", DAY + 60),
            ("1970-01-02  00:01  utc", DAY + 60),
            ("now", NOW),
            ("Today", TODAY),
            ("yesterday", TODAY - DAY),
            ("tomorrow", TODAY + DAY),
            ("12:00", TODAY + 12 * 3_600),
            ("06:30:15", TODAY + 6 * 3_600 + 30 * 60 + 15),
            ("1800000000", NOW),
            ("@1800000000", NOW),
            ("1800000000.0", NOW),
            ("1800000000123", NOW),
            ("100000000", 100_000_000),
            ("2d", NOW - 2 * DAY),
            ("36h", NOW - 36 * 3_600),
            ("1h 30m", NOW - 5_400),
            ("2 days ago", NOW - 2 * DAY),
            ("2 days", NOW - 2 * DAY),
            ("2d ago", NOW - 2 * DAY),
            ("an hour ago", NOW - 3_600),
            ("a week ago", NOW - 7 * DAY),
            ("last week", NOW - 7 * DAY),
            ("last day", NOW - DAY),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused_with_examples_of_what_is_accepted() {
        for wrong in [
            "",
            " ",
            "soon",
            "2026-13-01",
            "2026-02-30",
            "12",
            "2026",
            "0",
            "-2d",
            "-1",
            "25:00",
            "31.01.2026",
            "01/31/2026",
            "99999999999999999999y",
            "1800000000000000",
            "last",
            "last weekend",
            "ago",
            "a ago",
            "yesterday ago",
            "+12026-01-01",
            "1e9",
            "18000000.5.5",
            "monday",
        ] {
            let refused = read(wrong).unwrap_err();
            assert!(refused.contains("how long ago"), "{wrong}: {refused}");
            assert!(refused.contains("UTC"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        assert_eq!(rfc3339(86_401), "1970-01-02T00:00:01Z");
        assert_eq!(moment(&rfc3339(1_780_000_000)), Ok(1_780_000_000));
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
        assert_eq!(calendar(i64::MAX), None);
        assert_eq!(calendar(253_402_300_799).unwrap(), "9999-12-31T23:59:59Z");
        assert_eq!(calendar(-62_135_596_800).unwrap(), "0001-01-01T00:00:00Z");
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_read_or_refused(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn whatever_looks_like_a_time_is_read_or_refused(
            text in "[@+-]?[0-9]{0,5}[-:./ T]{0,2}[0-9]{0,20}[-: ]?[0-9]{0,3}( ?(ago|utc|z|d|h|days|[+-][0-9:]{2,5}))?"
        ) {
            let _ = read(&text);
        }

        #[test]
        fn every_second_is_read_back_from_its_calendar_time(at in 0..253_402_300_799_i64) {
            let text = rfc3339(at);
            prop_assert_eq!(read(&text), Ok(at));
            prop_assert_eq!(read(&text.replace('T', " ")), Ok(at));
            prop_assert_eq!(read(text.trim_end_matches('Z')), Ok(at));
        }
    }
}
