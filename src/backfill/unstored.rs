//! What the database does not take at the moment: it is away, or its disk is full.

use super::PATIENCE;
use crate::store::StoreError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was to be stored and could not be since, shared by the slices of one process.
#[derive(Debug, Default)]
pub struct Unstored(Mutex<Option<Trouble>>);

/// Why nothing is stored.
#[derive(Debug, Clone)]
pub struct Trouble {
    since: Instant,
    last: Instant,
    /// What the database said at first, and what to do about it.
    pub text: String,
}

impl Trouble {
    /// From the first failure to the last: that nobody tries any more is none.
    pub fn lasts(&self) -> Duration {
        self.last - self.since
    }
}

impl Unstored {
    /// None while all is stored that is found.
    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    pub(super) fn failed(&self, error: &StoreError) {
        let now = Instant::now();
        let mut trouble = self.lock();
        match &mut *trouble {
            Some(trouble) if now - trouble.last < PATIENCE => trouble.last = now,
            other => {
                *other = Some(Trouble {
                    since: now,
                    last: now,
                    text: error.advised(),
                });
            }
        }
    }

    pub(super) fn stored(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
