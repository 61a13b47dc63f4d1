//! The lines inside one process: one for each class, first come first served.
//!
//! Only the head of a line asks for a grant; which head gets it is decided by [`super::state`], for all
//! processes alike. Everything is given back by dropping a guard, so a cancelled caller leaves no trace.

use super::RequestClass;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(super) struct Turns([Line; RequestClass::COUNT]);

#[derive(Debug, Default)]
struct Line {
    waiting: AtomicUsize,
    head: Mutex<()>,
}

/// The head of a line, which may ask for a grant.
pub(super) struct Place<'a> {
    _counted: Counted<'a>,
    _head: MutexGuard<'a, ()>,
}

struct Counted<'a>(&'a AtomicUsize);

impl Turns {
    /// Whether nobody of this class waits.
    pub(super) fn free(&self, class: RequestClass) -> bool {
        self.0[class as usize].waiting.load(Ordering::Acquire) == 0
    }

    /// Joins the line of a class and waits to become its head.
    pub(super) async fn join(&self, class: RequestClass) -> Place<'_> {
        let line = &self.0[class as usize];
        line.waiting.fetch_add(1, Ordering::AcqRel);
        // Made before the wait, so that a caller that gives up is counted out again.
        let counted = Counted(&line.waiting);
        Place {
            _head: line.head.lock().await,
            _counted: counted,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn only_those_of_the_same_class_wait_for_one_another() {
        let turns = Turns::default();
        let first = turns.join(RequestClass::Poll).await;
        assert!(!turns.free(RequestClass::Poll));
        // One that gives up in the line is counted out as well.
        assert!(turns.join(RequestClass::Poll).now_or_never().is_none());
        assert!(turns.free(RequestClass::Backfill));
        let other = turns.join(RequestClass::Backfill).now_or_never();
        assert!(other.is_some());
        drop(first);
        assert!(turns.free(RequestClass::Poll));
        assert!(!turns.free(RequestClass::Backfill));
    }
}
