//! How far down the overlap has been walked whole, and when it is to be walked again.

use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// When each subreddit's overlap was last walked whole (Reddit's clock, seconds). A quiet one's is
/// reached by every poll for nothing; a busy one's costs pages, so it is paid once per overlap.
#[derive(Debug, Default)]
pub(super) struct Overlaps(Mutex<HashMap<SubredditName, i64>>);

impl Overlaps {
    /// Whether it is time to walk the whole overlap.
    pub(super) fn due(&self, name: &SubredditName, served_at: i64, overlap: i64) -> bool {
        self.last(name)
            .is_none_or(|last| served_at.saturating_sub(last) >= overlap)
    }

    /// How far down the next whole overlap reaches: what was approved since the last one stands at
    /// most one overlap below that.
    pub(super) fn target(&self, name: &SubredditName, covered: i64, overlap: i64) -> i64 {
        // Where none is known, another process paid it, no longer ago than once per overlap.
        let unknown = covered.saturating_sub(overlap);
        let last = self.last(name).unwrap_or(unknown).min(covered);
        last.saturating_sub(overlap)
    }

    /// It was walked whole, or as far down as the listing goes.
    pub(super) fn reached(&self, name: &SubredditName, served_at: i64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), served_at);
    }

    fn last(&self, name: &SubredditName) -> Option<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_missed_overlap_the_next_one_reaches_below_the_last_that_was_whole() {
        let (overlaps, name) = (Overlaps::default(), "rust".parse().unwrap());
        assert!(overlaps.due(&name, 10_000, 900));
        assert_eq!(overlaps.target(&name, 10_000, 900), 8_200);
        overlaps.reached(&name, 10_000);
        assert!(!overlaps.due(&name, 10_899, 900));
        assert!(overlaps.due(&name, 10_900, 900));
        // Nobody polled for hours, or every walk was cut short.
        assert_eq!(overlaps.target(&name, 30_000, 900), 9_100);
        assert_eq!(overlaps.target(&name, 9_000, 900), 8_100);
    }
}
