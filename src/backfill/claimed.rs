//! What files prove that somebody says are complete (`--complete`): his word holds as far as they were read.
//!
//! A file proves at most from its oldest to its newest submission, of whatever subreddit: dumps are sorted by
//! time, and one that was cut off ends early. The seconds at both ends may be cut as well, and what is
//! out of order shortens it at both ends. All files must have been read whole, without a line that is
//! no submission; between two files nothing is proven, and nothing in an hour of which the database holds
//! more than they do.

use super::evidence::without;
use crate::source::Survey;
use crate::store::{Interval, Store, StoreError};
use crate::submission::SubredditName;
use chrono::{DateTime, SecondsFormat};
use std::collections::BTreeMap;

const HOUR: i64 = 3_600;
/// A file of so many subreddits is one of all of Reddit, which may hold nothing of a quiet one.
const ALL_OF_REDDIT: usize = 100;

/// What one file holds that was read to its end.
#[derive(Debug, Clone)]
pub struct FileEvidence {
    /// As it was named.
    pub name: String,
    /// All of it.
    pub survey: Survey,
    /// When it was last written, where that is known; seconds. It holds nothing from after that.
    pub changed: Option<i64>,
    /// What in it is no submission.
    pub rejected: u64,
}

/// What files prove, and why not more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Ascending, no two touching.
    pub proven: Vec<Interval>,
    /// A sentence each.
    pub reasons: Vec<String>,
}

/// Judges files of which somebody says that they hold all of a subreddit and a range, and records what they
/// prove. `whole` says whether all of them were read to their ends.
///
/// # Errors
/// As the database answers; then nothing is proven.
pub async fn prove_files(
    store: &Store,
    backfill: i64,
    subreddit: &SubredditName,
    range: Interval,
    files: &[FileEvidence],
    whole: bool,
    now_ms: i64,
) -> Result<Claimed, StoreError> {
    let name = subreddit.as_str();
    let known = store
        .newest_submission(subreddit, i64::MAX)
        .await?
        .is_some();
    let mut claimed = judge(files, range, known, whole, now_ms.div_euclid(1000));
    let mut lacking = Vec::new();
    for proven in &claimed.proven {
        let stored = store
            .submissions_by_hour(name, proven.start, proven.end)
            .await?;
        lacking.extend(lacking_hours(files, &stored));
    }
    if !lacking.is_empty() {
        claimed.proven = without(&claimed.proven, &lacking);
        claimed.reasons.push(format!(
            "the database holds more than the files do of {} h, of which nothing is proven",
            lacking.len()
        ));
    }
    let reason = claimed.reasons.join("; ");
    let reason = (!reason.is_empty()).then_some(reason.as_str());
    store
        .prove_backfill(backfill, name, &claimed.proven, reason, now_ms)
        .await?;
    Ok(claimed)
}

/// What they prove but for what the database says.
fn judge(files: &[FileEvidence], range: Interval, known: bool, whole: bool, now: i64) -> Claimed {
    let mut claimed = Claimed::default();
    let mut reason = |text: String| claimed.reasons.push(text);
    if !whole || files.is_empty() {
        reason("not all files were read to their ends, so nothing is proven".to_owned());
        return claimed;
    }
    let mut damaged = false;
    for file in files.iter().filter(|file| file.rejected > 0) {
        damaged = true;
        reason(format!(
            "{}: {} of it is no submission, so nothing is proven",
            file.name, file.rejected
        ));
    }
    if damaged {
        return claimed;
    }
    let mut shown = Vec::new();
    for file in files {
        match file.shows(known, now) {
            Ok(interval) => shown.push(interval),
            Err(why) => reason(why),
        }
    }
    shown.sort_unstable();
    let mut merged: Vec<Interval> = Vec::new();
    for interval in shown {
        match merged.last_mut() {
            Some(last) if last.touches(interval) => *last = last.hull(interval),
            _ => merged.push(interval),
        }
    }
    let within = merged.iter().map(|it| Interval {
        start: it.start.max(range.start),
        end: it.end.min(range.end),
    });
    let proven: Vec<Interval> = within.filter(|it| !it.is_empty()).collect();
    let seconds: i64 = proven.iter().map(|it| it.end - it.start).sum();
    if seconds < range.end - range.start {
        for it in &merged {
            reason(format!(
                "the files hold submissions from {} until {}, and prove nothing beyond",
                time(it.start),
                time(it.end)
            ));
        }
    }
    claimed.proven = proven;
    claimed
}

impl FileEvidence {
    /// From when to when it can be believed, or why not at all.
    fn shows(&self, known: bool, now: i64) -> Result<Interval, String> {
        let (name, survey) = (&self.name, &self.survey);
        let Some((oldest, newest)) = survey.span else {
            return Err(format!("{name} holds no submission, and proves nothing"));
        };
        if survey.own == 0 && !(known && survey.others >= ALL_OF_REDDIT) {
            return Err(format!("{name} holds nothing of it, and proves nothing"));
        }
        // Dates that nobody could have written then are wrong, and so may be the others.
        let latest = self.changed.unwrap_or(now).min(now);
        if newest > latest {
            return Err(format!(
                "{name} holds submissions from after it was written (until {}), and proves nothing",
                time(newest)
            ));
        }
        let shown = Interval {
            start: oldest + 1 + survey.disorder,
            end: newest - survey.disorder,
        };
        if shown.start < shown.end {
            return Ok(shown);
        }
        Err(if survey.disorder > 0 {
            format!("{name} is not in order of time, so that it proves nothing")
        } else {
            format!("{name} holds submissions of one moment alone, and proves nothing")
        })
    }
}

/// Hours of which more is stored (by the hour) than files hold.
fn lacking_hours(files: &[FileEvidence], stored: &[(i64, i64)]) -> Vec<Interval> {
    let mut shown: BTreeMap<i64, u64> = BTreeMap::new();
    for (hour, count) in files.iter().flat_map(|file| &file.survey.hours) {
        *shown.entry(*hour).or_default() += count;
    }
    let lacking = stored.iter().filter(|(hour, count)| {
        count.unsigned_abs() > shown.get(hour).copied().unwrap_or_default()
    });
    let hour = |(hour, _): &(i64, i64)| Interval {
        start: hour * HOUR,
        end: (hour + 1) * HOUR,
    };
    lacking.map(hour).collect()
}

/// Seconds in RFC 3339.
fn time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;
    const RANGE: Interval = Interval {
        start: 0,
        end: 500_000,
    };

    fn file(span: (i64, i64)) -> FileEvidence {
        FileEvidence {
            name: "a.zst".to_owned(),
            survey: Survey {
                span: Some(span),
                all: 9,
                own: 3,
                ..Survey::default()
            },
            changed: None,
            rejected: 0,
        }
    }

    fn proven(files: &[FileEvidence]) -> Vec<(i64, i64)> {
        let claimed = judge(files, RANGE, true, true, NOW);
        assert!(!claimed.reasons.is_empty() || claimed.proven == [RANGE]);
        claimed.proven.iter().map(|it| (it.start, it.end)).collect()
    }

    #[test]
    fn files_prove_what_lies_between_their_ends_and_nothing_between_them() {
        assert_eq!(proven(&[file((100, 200))]), [(101, 200)]);
        let two = [file((100, 200)), file((300, 400))];
        assert_eq!(proven(&two), [(101, 200), (301, 400)]);
        let overlapping = [file((100, 300)), file((200, 400))];
        assert_eq!(proven(&overlapping), [(101, 400)]);
        assert_eq!(proven(&[file((600_000, 700_000))]), [], "of another month");
        assert_eq!(proven(&[file((-5, 600_000))]), [(0, 500_000)]);
    }

    #[test]
    fn one_file_that_is_not_whole_takes_the_word_from_all() {
        let good = file((100, 200));
        let damaged = FileEvidence {
            rejected: 1,
            ..file((300, 400))
        };
        assert_eq!(proven(&[good.clone(), damaged]), []);
        assert!(judge(&[good], RANGE, true, false, NOW).proven.is_empty());
        assert!(judge(&[], RANGE, true, true, NOW).proven.is_empty());
    }

    #[test]
    fn what_a_file_holds_of_others_counts_only_where_it_holds_all_of_reddit() {
        let mut without = file((100, 200));
        without.survey.own = 0;
        without.survey.others = 3;
        assert_eq!(proven(&[without.clone()]), []);
        without.survey.others = ALL_OF_REDDIT;
        assert_eq!(proven(&[without.clone()]), [(101, 200)]);
        let unknown = judge(&[without], RANGE, false, true, NOW);
        assert!(unknown.proven.is_empty(), "nobody knows that it exists");
    }

    #[test]
    fn disorder_shortens_what_a_file_proves() {
        let mut mixed = file((100, 200));
        mixed.survey.disorder = 30;
        assert_eq!(proven(&[mixed.clone()]), [(131, 170)]);
        mixed.survey.disorder = 90;
        assert_eq!(proven(&[mixed]), []);
        assert_eq!(proven(&[file((100, 100))]), []);
    }

    #[test]
    fn a_file_cannot_hold_what_was_posted_after_it_was_written() {
        let mut old = file((100, 200));
        old.changed = Some(150);
        assert_eq!(proven(&[old]), []);
        assert_eq!(proven(&[file((100, NOW + 5))]), []);
    }

    #[test]
    fn hours_of_which_more_is_stored_are_lacking() {
        let mut one = file((0, 9_999));
        one.survey.hours = BTreeMap::from([(0, 5), (1, 2)]);
        let lacking = lacking_hours(&[one], &[(0, 5), (1, 3), (2, 1)]);
        let hours: Vec<i64> = lacking.iter().map(|it| it.start / HOUR).collect();
        assert_eq!(hours, [1, 2]);
    }
}
