//! Grants taken in blocks, where a round trip for each would cost more than it protects.
//!
//! A block (see [`super::Pace::block`]) is forgotten soon after it was taken: the delay between a grant
//! and its use stays well within the slack that [`super::Pace`] keeps. A block serves the class that took
//! it, and no other.

use super::Grant;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A block is used within this time or not at all.
const LIFETIME: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Stock(Mutex<Option<Block>>);

#[derive(Debug)]
struct Block {
    left: u32,
    next: Grant,
    until: Instant,
}

impl Stock {
    /// A grant from the block, if there is one that is fresh.
    pub(super) fn take(&self) -> Option<Grant> {
        let mut block = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = block.as_mut()?;
        if held.left == 0 || held.until <= Instant::now() {
            *block = None;
            return None;
        }
        let grant = held.next;
        held.left -= 1;
        held.next.sequence += 1;
        Some(grant)
    }

    /// Keeps what a round trip brought beyond the one that was needed. `asked` is the moment before
    /// the round trip: from then on the block ages.
    pub(super) fn put(&self, first: Grant, count: u32, asked: Instant) {
        if count > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Block {
                left: count,
                next: first,
                until: asked + LIFETIME,
            });
        }
    }
}
