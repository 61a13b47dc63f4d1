//! Whoever wants to know that a request still waits for the budget.

use std::fmt;
use std::sync::Arc;

/// Called now and then during such a wait.
#[derive(Clone)]
pub(super) struct Moved(Arc<dyn Fn() + Send + Sync>);

impl Moved {
    pub(super) fn new(moved: impl Fn() + Send + Sync + 'static) -> Moved {
        Moved(Arc::new(moved))
    }

    pub(super) fn nobody() -> Moved {
        Moved::new(|| {})
    }

    pub(super) fn tell(&self) -> &(dyn Fn() + Send + Sync) {
        &*self.0
    }
}

impl fmt::Debug for Moved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Moved")
    }
}
