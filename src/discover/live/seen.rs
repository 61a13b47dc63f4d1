//! What was seen of the listings' tops: fingerprints of ids, the oldest forgotten.

use crate::submission::{SubmissionId, fingerprint};
use std::collections::{HashSet, VecDeque};

/// Some three megabytes. A thousand listings of a hundred fit.
const MAX_IDS: usize = 100_000;

/// Ids that were listed, and are stored.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Seen {
    pub(super) fn contains(&self, id: &SubmissionId) -> bool {
        self.ids.contains(&fingerprint(id.as_str()))
    }

    pub(super) fn add<'a>(&mut self, ids: impl Iterator<Item = &'a SubmissionId>) {
        for id in ids {
            let id = fingerprint(id.as_str());
            if self.ids.insert(id) {
                self.order.push_back(id);
            }
        }
        while self.order.len() > MAX_IDS {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}
