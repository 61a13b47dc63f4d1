//! When the whole overlap was last paid for.

use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// When each subreddit's overlap was last reached in full (Reddit's clock, seconds). A quiet one's
/// is reached by every poll for nothing; a busy one's costs pages, so it is paid once per overlap.
/// Lost with the process, which costs one deeper walk.
#[derive(Debug, Default)]
pub(super) struct Overlaps(Mutex<HashMap<SubredditName, i64>>);

impl Overlaps {
    pub(super) fn last(&self, name: &SubredditName) -> Option<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
    }

    pub(super) fn reached(&self, name: &SubredditName, served_at: i64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone(), served_at);
    }
}
