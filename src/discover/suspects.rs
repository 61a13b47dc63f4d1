//! Whether other listings are given out while one fails: what tells a bad one from an outage.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many listings were given out, shared by the walks of one scheduler.
#[derive(Debug, Default)]
pub(super) struct Answered(AtomicU64);

impl Answered {
    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
