//! What a file holds as a whole: from when to when, in which order, of how many subreddits.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

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
    /// Submissions of the selected subreddit by the hour (since the epoch) of their creation.
    pub hours: BTreeMap<i64, u64>,
}

/// Takes submissions in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
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
    pub(super) fn take(&mut self, created: i64, subreddit: Option<&str>, own: bool) {
        let (oldest, newest) = self.span.unwrap_or((created, created));
        self.below_newest = self.below_newest.max(newest - created);
        self.above_oldest = self.above_oldest.max(created - oldest);
        self.span = Some((oldest.min(created), newest.max(created)));
        self.all += 1;
        if own {
            self.own += 1;
            let hour = created.div_euclid(3_600);
            if self.hours.len() < MAX_HOURS || self.hours.contains_key(&hour) {
                *self.hours.entry(hour).or_default() += 1;
            }
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
        Survey {
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
        let mut surveyor = Surveyor::default();
        for at in created {
            surveyor.take(*at, Some("rust"), true);
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
}
