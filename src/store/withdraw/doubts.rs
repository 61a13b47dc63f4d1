//! What a walk knows that contradicts proofs.

use crate::store::{GapCause, Interval};
use crate::submission::{Observation, SubredditName};

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
    /// Seconds of submissions that were listed and could not be stored.
    pub not_stored: Vec<i64>,
}

/// What a walk tells of one of its subreddits.
pub(in crate::store) struct Told<'a> {
    pub(super) subreddit: &'a str,
    pub(super) doubts: &'a Doubts,
    pub(super) proven: Option<Interval>,
    /// Ascending.
    pub not_stored: Vec<i64>,
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
            not_stored: doubts.not_stored.clone(),
        }
    }

    /// And these of the listed nest too deep to be stored.
    pub fn with_too_deep(mut self, too_deep: &[usize], listed: &[Observation]) -> Told<'a> {
        let listed = too_deep.iter().filter_map(|place| listed.get(*place));
        let own = listed.filter(|item| concerns(item, self.subreddit));
        let seconds = own.map(|item| item.submission.created_utc);
        self.not_stored.extend(seconds);
        self.not_stored.sort_unstable();
        self.not_stored.dedup();
        self
    }
}

/// Whether a submission that is missing would be missing from what is proven of a subreddit.
fn concerns(item: &Observation, subreddit: &str) -> bool {
    let own = item.submission.subreddit.as_deref();
    own.is_none_or(|own| own.eq_ignore_ascii_case(subreddit))
        || matches!(subreddit, "all" | "popular")
}

impl Doubts {
    /// Notes that a listed submission could not be stored, where that matters to a subreddit.
    pub fn not_stored(&mut self, item: &Observation, subreddit: &SubredditName) {
        if concerns(item, subreddit.as_str()) {
            self.not_stored.push(item.submission.created_utc);
        }
    }
}

/// What is left of a proven interval without these seconds, which ascend.
pub(in crate::store) fn without(proven: Option<Interval>, seconds: &[i64]) -> Vec<Interval> {
    let Some(mut rest) = proven else {
        return Vec::new();
    };
    let mut pieces = Vec::new();
    for second in seconds {
        if (rest.start..rest.end).contains(second) {
            pieces.push(Interval {
                start: rest.start,
                end: *second,
            });
            rest.start = second + 1;
        }
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
