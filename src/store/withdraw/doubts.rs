//! What a walk knows that contradicts proofs.

use crate::store::{GapCause, Interval, without};
use crate::submission::{Observation, SubmissionId, SubredditName, Unread};
use std::collections::HashSet;

/// What contradicts proofs, as one walk of a subreddit knows it. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doubts {
    /// Seconds: what lies after this is in the future.
    pub now: Option<i64>,
    /// Seconds: what is new and was created before this, in proven time, appeared late or was missed.
    pub settled_before: Option<i64>,
    /// A watermark (seconds) above which the walk was cut short, and why: it did not meet what was known,
    /// so nothing says that no more was posted between the last that is known and the watermark.
    pub uncorroborated: Option<(i64, GapCause)>,
    /// What was listed and is not stored.
    pub missing: Vec<Missing>,
}

/// What was listed and is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which it is, where it was not read: what is stored of it before is not missing.
    pub unread: Option<SubmissionId>,
    /// When it was created.
    pub interval: Interval,
}

/// What a walk tells of one of its subreddits.
pub(in crate::store) struct Told<'a> {
    pub(super) subreddit: &'a str,
    pub(super) doubts: &'a Doubts,
    pub(super) proven: Option<Interval>,
    /// When what was listed and is not stored was created; ascending.
    pub missing: Vec<Interval>,
}

impl<'a> Told<'a> {
    pub fn new(
        subreddit: &'a SubredditName,
        doubts: &'a Doubts,
        proven: Option<Interval>,
    ) -> Told<'a> {
        Told {
            subreddit: subreddit.as_str(),
            doubts,
            proven,
            missing: Vec::new(),
        }
    }

    /// With what is missing, but for what is stored already.
    pub fn with_missing(mut self, known: &HashSet<String>) -> Told<'a> {
        let missing = self.doubts.missing.iter().filter(|it| {
            let id = it.unread.as_ref();
            id.is_none_or(|id| !known.contains(id.as_str()))
        });
        self.missing = missing.map(|it| it.interval).collect();
        self.missing.sort_unstable();
        self.missing.dedup();
        self
    }
}

/// Whether a submission of this subreddit that is missing would be missing from what is proven of that.
fn concerns(own: &Option<impl AsRef<str>>, subreddit: &str) -> bool {
    own.as_ref()
        .is_none_or(|own| own.as_ref().eq_ignore_ascii_case(subreddit))
        || matches!(subreddit, "all" | "popular")
}

fn second(start: i64) -> Interval {
    let end = start.saturating_add(1);
    Interval { start, end }
}

impl Doubts {
    /// Notes that a listed submission could not be stored, where that matters to a subreddit.
    pub fn not_stored(&mut self, item: &Observation, subreddit: &SubredditName) {
        if concerns(&item.submission.subreddit, subreddit.as_str()) {
            self.missing.push(Missing {
                unread: None,
                interval: second(item.submission.created_utc),
            });
        }
    }

    /// Notes what could not be read and may be a submission of this time, where that matters to a subreddit.
    pub fn unread(&mut self, unread: &Unread, interval: Interval, subreddit: &SubredditName) {
        let own = unread.subreddit.as_ref().map(SubredditName::as_str);
        if concerns(&own, subreddit.as_str()) {
            self.missing.push(Missing {
                unread: unread.id.clone(),
                interval,
            });
        }
    }

    /// What is left of an interval without what is missing.
    pub fn leave_of(&self, interval: Interval) -> Vec<Interval> {
        let missing: Vec<Interval> = self.missing.iter().map(|it| it.interval).collect();
        without(&[interval], &missing)
    }
}
