//! What a file holds as a whole: from when to when, in which order, of how many subreddits.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// Beyond so many subreddits, more of them say nothing new.
const MAX_NAMES: usize = 1_000;
/// More hours than there have been since 1900; a file that has more is made up.
const MAX_HOURS: usize = 1_100_000;

/// What was read of a file, of all subreddits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// When the oldest and the newest submission were created, seconds; none where there is no submission.
    pub span: Option<(i64, i64)>,
    /// By how much submissions are out of order at most, seconds: oldest first or newest first, whichever the
    /// file is closer to.
    pub disorder: i64,
    /// Submissions of all subreddits.
    pub all: u64,
    /// Submissions of the selected subreddit.
    pub own: u64,
    /// Other subreddits than the selected one; no more than a thousand are counted.
    pub others: usize,
    /// Submissions of all subreddits by the hour (since the epoch) of their creation.
    pub hours: BTreeMap<i64, u64>,
    /// Which of the selected subreddit, and of the time that was asked for, it holds; ascending, each once.
    shown: Vec<Shown>,
    /// Whether it holds more of these than there was room for: what came behind them counts as not read.
    pub full: bool,
}

/// When a submission was created, seconds, and what its id comes down to: enough to tell whether a file holds
/// it, in a few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Shown {
    created: u32,
    id: u32,
}

impl Shown {
    fn new(created: i64, id: &str) -> Shown {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash")]
        let id = hasher.finish() as u32;
        Shown {
            created: u32::try_from(created.max(0)).unwrap_or(u32::MAX),
            id,
        }
    }
}

impl Survey {
    /// Adds which submissions another file holds, and how many in each hour.
    pub fn add(&mut self, other: &Survey) {
        self.shown.extend_from_slice(&other.shown);
        self.shown.sort_unstable();
        self.shown.dedup();
        for (hour, count) in &other.hours {
            *self.hours.entry(*hour).or_default() += count;
        }
    }

    /// Adds a submission of the selected subreddit.
    #[must_use]
    pub fn with(mut self, created: i64, id: &str) -> Survey {
        self.shown.push(Shown::new(created, id));
        self.shown.sort_unstable();
        self
    }

    /// How many submissions of the selected subreddit, and of the time that was asked for, are remembered.
    pub fn remembered(&self) -> usize {
        self.shown.len()
    }

    /// Whether it holds a submission of the selected subreddit.
    pub fn shows(&self, created: i64, id: &str) -> bool {
        self.shown.binary_search(&Shown::new(created, id)).is_ok()
    }

    /// When the submissions of the selected subreddit were created, seconds; ascending.
    pub fn times(&self) -> Vec<i64> {
        self.shown.iter().map(|it| it.created.into()).collect()
    }

    /// When those were created that another file shows of a time (seconds), and this one lacks; how many of
    /// them it shows comes back too.
    pub fn lacks(&self, other: &Survey, time: Range<i64>) -> (Vec<i64>, u64) {
        let place = |at: i64| other.shown.partition_point(|it| i64::from(it.created) < at);
        let of_time = other.shown.get(place(time.start)..place(time.end));
        let of_time = of_time.unwrap_or_default();
        let lacking = of_time
            .iter()
            .filter(|it| self.shown.binary_search(it).is_err());
        let lacking: Vec<i64> = lacking.map(|it| it.created.into()).collect();
        let known = (of_time.len() - lacking.len()) as u64;
        (lacking, known)
    }

    /// When the last of them before one time was created, and the first from another on.
    pub fn around(&self, before: i64, from: i64) -> (Option<i64>, Option<i64>) {
        let place = |at: i64| self.shown.partition_point(|it| i64::from(it.created) < at);
        let created = |place: usize| self.shown.get(place).map(|it| it.created.into());
        let before = place(before).checked_sub(1).and_then(created);
        (before, created(place(from)))
    }
}

/// Takes submissions in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    /// What time was asked for, and of how many submissions there is room.
    range: Range<i64>,
    room: usize,
    full: bool,
    shown: Vec<Shown>,
    span: Option<(i64, i64)>,
    /// By how much one lies before the newest, or after the oldest, of those before it.
    below_newest: i64,
    above_oldest: i64,
    all: u64,
    own: u64,
    others: HashSet<u64>,
    hours: BTreeMap<i64, u64>,
}

impl Surveyor {
    pub(super) fn new(range: Range<i64>, room: usize) -> Surveyor {
        Surveyor {
            range,
            room,
            ..Surveyor::default()
        }
    }

    pub(super) fn take(&mut self, created: i64, id: &str, subreddit: Option<&str>, own: bool) {
        let wanted = own && self.range.contains(&created);
        self.full |= wanted && self.shown.len() >= self.room;
        if self.full {
            return;
        }
        if wanted {
            self.shown.push(Shown::new(created, id));
        }
        let hour = created.div_euclid(3_600);
        if self.hours.len() < MAX_HOURS || self.hours.contains_key(&hour) {
            *self.hours.entry(hour).or_default() += 1;
        }
        let (oldest, newest) = self.span.unwrap_or((created, created));
        self.below_newest = self.below_newest.max(newest - created);
        self.above_oldest = self.above_oldest.max(created - oldest);
        self.span = Some((oldest.min(created), newest.max(created)));
        self.all += 1;
        if own {
            self.own += 1;
        } else if self.others.len() < MAX_NAMES {
            let mut hasher = DefaultHasher::new();
            subreddit
                .unwrap_or_default()
                .to_ascii_lowercase()
                .hash(&mut hasher);
            self.others.insert(hasher.finish());
        }
    }

    pub(super) fn survey(&self) -> Survey {
        let mut shown = self.shown.clone();
        shown.sort_unstable();
        shown.dedup();
        Survey {
            shown,
            full: self.full,
            span: self.span,
            disorder: self.below_newest.min(self.above_oldest),
            all: self.all,
            own: self.own,
            others: self.others.len(),
            hours: self.hours.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(created: &[i64]) -> Survey {
        let mut surveyor = Surveyor::new(0..100, 4);
        for at in created {
            surveyor.take(*at, &at.to_string(), Some("rust"), true);
        }
        surveyor.survey()
    }

    #[test]
    fn a_file_may_be_in_either_order() {
        assert_eq!(survey(&[1, 2, 5, 9]).disorder, 0);
        assert_eq!(survey(&[9, 5, 2, 1]).disorder, 0);
        assert_eq!(survey(&[1, 5, 3, 9]).disorder, 2);
        assert_eq!(survey(&[9, 3, 5, 1]).disorder, 2);
        let survey = survey(&[5, 1, 9]);
        assert_eq!(
            (survey.span, survey.disorder, survey.own),
            (Some((1, 9)), 4, 3)
        );
    }

    #[test]
    fn what_there_is_no_room_for_counts_as_not_read() {
        let four = survey(&[1, 2, 5, 5, 900, 901]);
        assert_eq!((four.shown.len(), four.full), (3, false), "one comes twice");
        assert_eq!(four.span, Some((1, 901)), "others are no matter of room");
        let five = survey(&[1, 2, 5, 9, 20, 900]);
        assert_eq!((five.span, five.full), (Some((1, 9)), true));
    }
}
