//! What the workers of this process know of pushes: an idle one need not ask the queue all the time.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How often an idle worker looks while its own process feeds the queue, and wakes it: what others put
/// back comes late.
const FED_HERE_LOOK: Duration = Duration::from_secs(2);

/// Shared by all handles to one queue in this process.
#[derive(Clone)]
pub(super) struct Pushes(Arc<Inner>);

struct Inner {
    pushed: watch::Sender<()>,
    fed_here: AtomicBool,
}

/// Resolves with the next push, to what waits for the one after it.
pub(super) type NextPush = BoxFuture<'static, Watching>;

/// A place from which pushes are seen.
pub(super) struct Watching {
    seen: watch::Receiver<()>,
    // As long as this is held, the sender is.
    _pushes: Pushes,
}

impl Pushes {
    pub(super) fn new() -> Pushes {
        Pushes(Arc::new(Inner {
            pushed: watch::Sender::new(()),
            fed_here: AtomicBool::new(false),
        }))
    }

    /// Jobs were pushed by this process.
    pub(super) fn pushed(&self) {
        self.0.pushed.send_replace(());
    }

    /// Whether this process is the one that pushes.
    pub(super) fn fed_here(&self, here: bool) {
        self.0.fed_here.store(here, Ordering::Relaxed);
    }

    /// How often an idle worker looks that would look so often for what others push.
    pub(super) fn idle_look(&self, others: Duration) -> Duration {
        if self.0.fed_here.load(Ordering::Relaxed) {
            FED_HERE_LOOK.max(others)
        } else {
            others
        }
    }

    /// The next push from now on.
    pub(super) fn next(&self) -> NextPush {
        let seen = self.0.pushed.subscribe();
        let _pushes = self.clone();
        Watching { seen, _pushes }.next()
    }
}

impl Watching {
    pub(super) fn next(mut self) -> NextPush {
        async move {
            if self.seen.changed().await.is_err() {
                // It cannot be: the sender is held.
                std::future::pending::<()>().await;
            }
            self
        }
        .boxed()
    }
}
