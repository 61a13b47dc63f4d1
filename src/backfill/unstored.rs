//! What the database does not take at the moment: it is away, or its disk is full.

use crate::store::StoreError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was found and could not be stored since, shared by the slices of one process.
#[derive(Debug, Default)]
pub struct Unstored(Mutex<Option<Trouble>>);

/// Why nothing is stored.
#[derive(Debug, Clone)]
pub struct Trouble {
    since: Instant,
    /// What the database said, and what to do about it.
    pub text: String,
}

impl Trouble {
    /// For how long.
    pub fn lasts(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Unstored {
    /// None while all is stored that is found.
    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    pub(super) fn failed(&self, error: &StoreError) {
        let mut trouble = self.lock();
        let since = trouble.as_ref().map_or_else(Instant::now, |it| it.since);
        let text = match error.advice() {
            Some(advice) => format!("{}. {advice}", error.told()),
            None => error.told(),
        };
        *trouble = Some(Trouble { since, text });
    }

    pub(super) fn stored(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
