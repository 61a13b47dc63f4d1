//! One large answer at a time, from whichever source: its text, its objects and what a database takes of
//! them are several times its size.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The one place for a large answer. Clones share it.
#[derive(Debug, Clone)]
pub struct LargeAnswers(Arc<Semaphore>);

/// That place, until this and its clones are dropped: together with the last of what the answer held.
#[derive(Debug, Clone)]
pub struct Large {
    _place: Arc<OwnedSemaphorePermit>,
}

impl Default for LargeAnswers {
    fn default() -> LargeAnswers {
        LargeAnswers(Arc::new(Semaphore::new(1)))
    }
}

impl LargeAnswers {
    /// Waits for the place; none where it does not become free in time.
    pub async fn place(&self, patience: Duration) -> Option<Large> {
        let place = Arc::clone(&self.0).acquire_owned();
        let place = tokio::time::timeout(patience, place).await.ok()?.ok()?;
        Some(Large {
            _place: Arc::new(place),
        })
    }
}
