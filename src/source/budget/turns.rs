//! Whose turn it is inside one process: higher priorities first, first come first served within.
//!
//! Everything is given back by dropping a guard, so a cancelled caller leaves no trace.

use super::Priority;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, MutexGuard, Notify};

#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: [AtomicUsize; 3],
    lines: [Mutex<()>; 3],
    left: Notify,
}

/// A place in the line; whoever holds it at its head may ask for a grant.
pub(super) struct Place<'a> {
    turns: &'a Turns,
    priority: Priority,
    _head: Option<MutexGuard<'a, ()>>,
}

impl Turns {
    /// Whether nobody of this or a higher priority waits.
    pub(super) fn free(&self, priority: Priority) -> bool {
        self.waiting[..=priority as usize]
            .iter()
            .all(|it| it.load(Ordering::Acquire) == 0)
    }

    /// Joins the line of a priority and waits to become its head.
    pub(super) async fn join(&self, priority: Priority) -> Place<'_> {
        self.waiting[priority as usize].fetch_add(1, Ordering::AcqRel);
        // Made before the wait, so that a caller that gives up is counted out again.
        let mut place = Place {
            turns: self,
            priority,
            _head: None,
        };
        place._head = Some(self.lines[priority as usize].lock().await);
        place
    }
}

impl Place<'_> {
    /// Waits until nobody of a higher priority waits in this process.
    pub(super) async fn nobody_ahead(&self) {
        loop {
            let mut left = std::pin::pin!(self.turns.left.notified());
            left.as_mut().enable();
            let ahead = &self.turns.waiting[..self.priority as usize];
            if ahead.iter().all(|it| it.load(Ordering::Acquire) == 0) {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.turns.waiting[self.priority as usize].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.turns.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn the_less_urgent_wait_until_the_last_of_the_more_urgent_has_left() {
        let turns = Turns::default();
        let backfill = turns.join(Priority::Backfill).await;
        assert!(backfill.nobody_ahead().now_or_never().is_some());
        let poll = turns.join(Priority::Poll).await;
        assert!(poll.nobody_ahead().now_or_never().is_some());
        assert!(!turns.free(Priority::Poll));
        let mut waits = std::pin::pin!(backfill.nobody_ahead());
        assert!(waits.as_mut().now_or_never().is_none());
        // One that gave up in the line is counted out as well.
        assert!(turns.join(Priority::Poll).now_or_never().is_none());
        drop(poll);
        waits.await;
        assert!(turns.free(Priority::Poll));
    }
}
