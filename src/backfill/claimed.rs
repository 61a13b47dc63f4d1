//! What files prove that somebody says are complete (`--complete`): his word holds as far as they were read.
//!
//! A file proves at most from its oldest to its newest submission, of whatever subreddit: dumps are sorted by
//! time, and one that was cut off ends early. A few that lie far from all others extend it by nothing, nor do
//! others' where the subreddit's own, of which it holds many, end a day and more before. The seconds at both ends may be cut as well, and what is
//! out of order shortens it at both ends. All files must have been read whole, without a line that is
//! no submission; between two files nothing is proven, and nothing by a file in an hour of which another file, or
//! by any where the database, holds what it does not, nor around it as far as they show nothing, nor in a silence amid many submissions.

use super::ends::ends;
use super::evidence::{is_scattered, silences};
use crate::source::Survey;
use crate::store::{BackfillFilter, Interval, Store, StoreError, without};
use crate::submission::SubredditName;
use chrono::{DateTime, SecondsFormat};
use std::collections::BTreeSet;

/// Submissions that are compared with the files at once.
const COMPARED: u32 = 5_000;
const HOUR: i64 = 3_600;
/// A file of so many subreddits is one of all of Reddit, which may hold nothing of a quiet one.
const ALL_OF_REDDIT: usize = 100;
/// One of some others must hold so many of it: else they may be of any origin.
const WITNESSES: u64 = 3;
/// Where a file lacks more than so many that another shows, and more than it has of them, it lacks others too.
const MUCH: u64 = 4;

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
    let mut shown = Survey::default();
    for file in files {
        shown.add(&file.survey);
    }
    let mut silent = [silences(&shown.times()), silent_hours(&shown)].concat();
    // Between two files nothing is claimed.
    silent.retain(|hole| {
        let mut proven = claimed.proven.iter();
        proven.any(|it| it.start <= hole.start && hole.end <= it.end)
    });
    claimed.leave_out(
        &silent,
        "the files show nothing for far longer than what they show before and after explains",
    );
    let mut lacking = Lacking::default();
    for proven in &claimed.proven {
        let mut after = (proven.start, String::new());
        loop {
            let stored = store.submissions_between(name, &after, proven.end, COMPARED);
            let stored = stored.await?;
            lacking.compare(&shown, &stored);
            match stored.last() {
                Some(last) if stored.len() >= COMPARED as usize => after = last.clone(),
                _ => break,
            }
        }
    }
    let this = BackfillFilter {
        id: Some(backfill),
        ..BackfillFilter::default()
    };
    let fresh = store.backfills(this, 1, now_ms).await?;
    let fresh = fresh.first().map_or(0, |it| it.fresh.unsigned_abs());
    let holes = lacking.holes(&shown);
    if is_scattered(&holes, lacking.known(fresh)) {
        claimed.proven.clear();
        let reason = "the files lack submissions that the database holds, here and there, so that nothing is proven";
        claimed.reasons.push(reason.to_owned());
    }
    claimed.leave_out(
        &holes,
        "the database holds more than the files do, and nothing is proven of those hours",
    );
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
        if file.survey.full {
            reason(format!(
                "{} holds more of it than can be remembered: what came later in it proves nothing; load it in parts \
                 (--since, --until)",
                file.name
            ));
        }
        match file.shows(range, known, now) {
            Ok(interval) => shown.extend(file.beside(interval, files, &mut reason)),
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
    fn shows(&self, range: Interval, known: bool, now: i64) -> Result<Interval, String> {
        let (name, survey) = (&self.name, &self.survey);
        let Some((oldest, newest)) = survey.span else {
            return Err(format!("{name} holds no submission, and proves nothing"));
        };
        if survey.own == 0 && !(known && survey.others >= ALL_OF_REDDIT) {
            return Err(format!("{name} holds nothing of it, and proves nothing"));
        }
        if survey.own < WITNESSES && (1..ALL_OF_REDDIT).contains(&survey.others) {
            return Err(format!(
                "{name} holds too little of it among others, and proves nothing"
            ));
        }
        // Dates that nobody could have written then are wrong, and so may be the others.
        let latest = self.changed.unwrap_or(now).min(now);
        if newest > latest {
            return Err(format!(
                "{name} holds submissions from after it was written (until {}), and proves nothing",
                time(newest)
            ));
        }
        let (first, last) = ends(survey, range, (oldest, newest));
        let shown = Interval {
            start: first + 1 + survey.disorder,
            end: last - survey.disorder,
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

    /// What it proves beside the others: not where one of them shows what it lacks, and nothing where it lacks
    /// such here and there.
    fn beside(
        &self,
        shown: Interval,
        files: &[FileEvidence],
        reason: &mut impl FnMut(String),
    ) -> Vec<Interval> {
        let mut left = vec![shown];
        for other in files.iter().filter(|other| !std::ptr::eq(*other, self)) {
            let time = shown.start..shown.end;
            let (times, known) = self.survey.lacks(&other.survey, time);
            if times.is_empty() {
                continue;
            }
            let lacking = Lacking {
                hours: times.iter().map(|at| at.div_euclid(HOUR)).collect(),
                submissions: times.len() as u64,
                stored: times.len() as u64 + known,
            };
            let holes = lacking.holes(&self.survey);
            let (name, other) = (&self.name, &other.name);
            if is_scattered(&holes, lacking.known(0)) || known.max(MUCH) < lacking.submissions {
                reason(format!(
                    "{name} lacks much of what {other} holds, and proves nothing"
                ));
                return Vec::new();
            }
            reason(format!(
                "{name} lacks some of what {other} holds, and proves nothing around it"
            ));
            left = without(&left, &holes);
        }
        left
    }
}

impl Claimed {
    /// Leaves out what is not to be believed, and says why where that changes anything.
    fn leave_out(&mut self, holes: &[Interval], why: &str) {
        let left = without(&self.proven, holes);
        if left != self.proven {
            let seconds = |all: &[Interval]| all.iter().map(|it| it.end - it.start).sum::<i64>();
            let lost = seconds(&self.proven) - seconds(&left);
            let hours = (lost + HOUR - 1) / HOUR;
            self.reasons.push(format!("{why} ({hours} h in all)"));
        }
        self.proven = left;
    }
}

/// Hours in which files show nothing of any subreddit, though they do much before and after.
fn silent_hours(shown: &Survey) -> Vec<Interval> {
    // As many as tell a silence from a pause.
    let times = shown.hours.iter().flat_map(|(hour, count)| {
        let count = usize::try_from(*count).unwrap_or(usize::MAX).min(50);
        std::iter::repeat_n(hour * HOUR, count)
    });
    let times: Vec<i64> = times.collect();
    let silent = silences(&times).into_iter();
    silent
        .map(|it| Interval {
            start: it.start - 1 + HOUR,
            end: it.end,
        })
        .filter(|it| !it.is_empty())
        .collect()
}

/// What the database holds and files do not.
#[derive(Debug, Default)]
struct Lacking {
    hours: BTreeSet<i64>,
    submissions: u64,
    stored: u64,
}

impl Lacking {
    fn compare(&mut self, shown: &Survey, stored: &[(i64, String)]) {
        self.stored += stored.len() as u64;
        for (at, id) in stored {
            if !shown.shows(*at, id) {
                self.submissions += 1;
                self.hours.insert(at.div_euclid(HOUR));
            }
        }
    }

    /// How many the files hold that were known before, where so many were not.
    fn known(&self, fresh: u64) -> usize {
        let known = self.stored.saturating_sub(self.submissions);
        usize::try_from(known.saturating_sub(fresh)).unwrap_or(usize::MAX)
    }

    /// Those hours, each with the time around it in which the files show nothing.
    fn holes(&self, shown: &Survey) -> Vec<Interval> {
        let holes = self.hours.iter().map(|hour| {
            let (start, end) = (hour * HOUR, (hour + 1) * HOUR);
            let (before, after) = shown.around(start, end);
            Interval {
                // A neighbour in the hour beside it leaves that hour as it is.
                start: before.map_or(i64::MIN, |at| hour_end(at).min(start)),
                end: after.map_or(i64::MAX, |at| hour_start(at).max(end)),
            }
        });
        holes.collect()
    }
}

fn hour_start(at: i64) -> i64 {
    at.div_euclid(HOUR) * HOUR
}

fn hour_end(at: i64) -> i64 {
    hour_start(at) + HOUR
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
        let mut survey = Survey::default().with(span.0, "first");
        survey.span = Some(span);
        (survey.all, survey.own) = (9, 3);
        FileEvidence {
            name: "a.zst".to_owned(),
            survey,
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
        let mut overlapping = [file((100, 300)), file((200, 400))];
        overlapping[0].survey = overlapping[0].survey.clone().with(200, "first");
        assert_eq!(proven(&overlapping), [(101, 400)]);
        assert_eq!(proven(&[file((600_000, 700_000))]), [], "of another month");
        assert_eq!(proven(&[file((-5, 600_000))]), [(0, 500_000)]);
    }

    #[test]
    fn a_file_proves_nothing_where_another_shows_what_it_lacks() {
        let of = |hours: &[(i64, i64)]| {
            let mut it = file((hours[0].0 * HOUR, hours[hours.len() - 1].1 * HOUR - HOUR));
            let hours = hours.iter().flat_map(|(from, to)| *from..*to);
            let (span, mut survey) = (it.survey.span, Survey::default());
            (survey.span, survey.own) = (span, 3);
            it.survey = hours.fold(survey, |all, at| all.with(at * HOUR, &at.to_string()));
            it
        };
        let all = (1, 59 * HOUR);
        let lacks_one = of(&[(0, 30), (31, 60)]);
        assert_eq!(proven(&[lacks_one.clone(), of(&[(10, 20)])]), [all]);
        let shows_it = of(&[(29, 32)]);
        let both = proven(&[lacks_one.clone(), shows_it.clone()]);
        assert_eq!(both, [all], "the other proves it");
        let mut doubtful = shows_it;
        doubtful.survey.disorder = 2 * HOUR;
        let around = [(1, 30 * HOUR), (31 * HOUR, 59 * HOUR)];
        assert_eq!(proven(&[lacks_one, doubtful]), around);
        let half = of(&[(0, 30)]);
        let few = of(&[(0, 1), (59, 60)]);
        assert_eq!(proven(&[few, half]), [(1, 29 * HOUR)]);
        assert_eq!(proven(&[of(&[(0, 60)]), of(&[(0, 60)])]), [all]);
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
    fn hours_of_which_more_is_stored_are_lacking_as_far_as_nothing_is_shown() {
        let shown = [5, 3_700, 20_000]
            .into_iter()
            .fold(Survey::default(), |it, at| it.with(at, &at.to_string()));
        let mut lacking = Lacking::default();
        let stored = [5, 3_700, 8_000].map(|at| (at, at.to_string()));
        lacking.compare(&shown, &stored);
        assert_eq!(lacking.known(1), 1);
        let hole = Interval {
            start: 2 * HOUR,
            end: 5 * HOUR,
        };
        assert_eq!(lacking.holes(&shown), [hole]);
        let other = [(3_700, "another of that second".to_owned())];
        lacking.compare(&shown, &other);
        let both = Interval {
            start: HOUR,
            end: 5 * HOUR,
        };
        assert_eq!(lacking.holes(&shown), [both, hole]);
    }

    #[test]
    fn a_file_of_all_of_reddit_that_shows_nothing_for_an_hour_kept_silent() {
        let hours = (0..10).filter(|hour| *hour != 5).map(|hour| (hour, 9_000));
        let mut one = file((0, 36_000));
        one.survey.hours = hours.collect();
        let hour = Interval {
            start: 5 * HOUR,
            end: 6 * HOUR,
        };
        assert_eq!(silent_hours(&one.survey), [hour]);
    }
}
