//! Which source is best where none was chosen.

use crate::store::Interval;

/// What a listing shows at most, of which deleted ones take places.
const LISTING: f64 = 900.0;

/// Where submissions of the past come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedSource {
    /// Reddit's listing, which ends after about 1,000.
    Reddit,
    /// The archive.
    ArcticShift,
    /// Files of this machine.
    Files,
}

impl PlannedSource {
    /// As the command line and the database call it.
    pub fn as_str(self) -> &'static str {
        match self {
            PlannedSource::Reddit => "reddit",
            PlannedSource::ArcticShift => "arctic-shift",
            PlannedSource::Files => "files",
        }
    }
}

/// Which source is best where none was chosen, and why.
pub fn best_source(
    has_key: bool,
    posts_per_hour: Option<f64>,
    range: Interval,
    now: i64,
) -> (PlannedSource, String) {
    if !has_key {
        let why = "the archive needs no key, and reddit.client_id is not set";
        return (PlannedSource::ArcticShift, why.to_owned());
    }
    let Some(hourly) = posts_per_hour.filter(|hourly| *hourly > 0.0) else {
        let why =
            "how far Reddit's listing reaches back is not known: no poll has shown its rate yet";
        return (PlannedSource::ArcticShift, why.to_owned());
    };
    #[expect(clippy::cast_possible_truncation, reason = "seconds of some years")]
    let reach = (LISTING / hourly * 3_600.0).min(1e10) as i64;
    let far = match reach {
        ..7_200 => format!("{} minutes", reach / 60),
        7_200..172_800 => format!("{} hours", reach / 3_600),
        _ => format!("{} days", reach / 86_400),
    };
    if now - range.start < reach {
        let why = format!(
            "Reddit's listing of about 1,000 reaches back some {far} at {hourly:.1} an hour"
        );
        (PlannedSource::Reddit, why)
    } else {
        let why = format!(
            "Reddit's listing of about 1,000 reaches back only some {far} at {hourly:.1} an hour"
        );
        (PlannedSource::ArcticShift, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_is_chosen_only_where_it_surely_reaches() {
        let range = Interval {
            start: 1_000_000,
            end: 1_100_000,
        };
        let best = |key, hourly| best_source(key, hourly, range, 1_100_000).0;
        assert_eq!(best(true, Some(1.0)), PlannedSource::Reddit);
        assert_eq!(best(true, Some(100.0)), PlannedSource::ArcticShift);
        assert_eq!(best(true, None), PlannedSource::ArcticShift);
        assert_eq!(best(false, Some(1.0)), PlannedSource::ArcticShift);
    }

    #[test]
    fn how_far_a_listing_reaches_is_told_in_a_unit_that_says_something() {
        let range = Interval { start: 0, end: 9 };
        for (hourly, expected) in [
            (2_000.0, "27 minutes"),
            (100.0, "9 hours"),
            (1.0, "37 days"),
        ] {
            let why = best_source(true, Some(hourly), range, 1_000_000_000).1;
            assert!(why.contains(expected), "{why}");
        }
    }
}
