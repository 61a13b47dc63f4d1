//! What a caller wants to be called for while a request of its own is under way.

use std::fmt;
use std::sync::Arc;

/// Called when it happens.
#[derive(Clone)]
pub(super) struct Observer(Arc<dyn Fn() + Send + Sync>);

impl Observer {
    pub(super) fn new(observe: impl Fn() + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(observe))
    }

    pub(super) fn none() -> Observer {
        Observer::new(|| {})
    }

    pub(super) fn call(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}
