//! Times as people give them: RFC 3339, a date, or how long ago.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

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
            text: text.to_owned(),
        })
    }
}

/// Seconds since the epoch of a time that was given on the command line.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    before(Utc::now(), text)
}

fn before(now: DateTime<Utc>, text: &str) -> Result<i64, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp());
    }
    let ago = humantime::parse_duration(text).ok();
    let ago = ago.and_then(|ago| i64::try_from(ago.as_secs()).ok());
    ago.and_then(|ago| now.timestamp().checked_sub(ago)).ok_or_else(|| {
        "a time is RFC 3339 (2026-01-31T18:00:00Z), a date (2026-01-31, which begins at midnight UTC) or \
         how long ago (36h, 2d)"
            .to_owned()
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_time_is_read_and_others_are_refused() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let read = |text| before(now, text).ok();
        assert_eq!(read("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(read("1970-01-02T02:00:00+02:00"), Some(86_400));
        assert_eq!(read("1970-01-02"), Some(86_400));
        assert_eq!(read("2d"), Some(1_800_000_000 - 2 * 86_400));
        assert_eq!(read("36h"), Some(1_800_000_000 - 36 * 3_600));
        assert_eq!(read("1h 30m"), Some(1_800_000_000 - 5_400));
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "12",
            "-2d",
            "2026-01-31T18:00:00",
            "99999999999999999999y",
        ] {
            assert!(
                before(now, wrong).unwrap_err().contains("how long ago"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        assert_eq!(rfc3339(86_401), "1970-01-02T00:00:01Z");
        assert_eq!(moment(&rfc3339(1_780_000_000)), Ok(1_780_000_000));
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }
}
