//! The right to be the one process that does something, kept while it does.

use super::Discover;
use super::member::milliseconds;
use crate::store::StoreError;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// A lease in the database, renewed four times in its length.
pub(super) struct Lease<'a> {
    discover: &'a Discover,
    name: &'static str,
    length: Duration,
    asked: Option<Instant>,
    /// When it ends by our clock, milliseconds, unless it is renewed.
    until_ms: i64,
    held: bool,
    /// What others are to know of the work, and what was published last.
    state: Option<String>,
    published: Option<String>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(discover: &'a Discover, name: &'static str, length: Duration) -> Lease<'a> {
        Lease {
            discover,
            name,
            length,
            asked: None,
            until_ms: 0,
            held: false,
            state: None,
            published: None,
        }
    }

    /// Others learn this with the next renewal.
    pub(super) fn publish(&mut self, state: Option<&impl Serialize>) {
        self.state = state.and_then(|state| serde_json::to_string(state).ok());
    }

    /// Whether it is held, as it was known lately.
    pub(super) async fn held(&mut self) -> Result<bool, StoreError> {
        let now_ms = (self.discover.now_ms)();
        let recent = |asked: Instant| asked.elapsed() < self.renewal();
        // Where our clock was set forward, others may have taken it.
        if !self.asked.is_some_and(recent) || now_ms >= self.until_ms {
            // A renewal that is dropped half-way changes nothing: the next call makes it again.
            let asked = Instant::now();
            let Discover { store, holder, .. } = self.discover;
            let renewed = store
                .acquire_lease(self.name, holder, now_ms, milliseconds(self.length))
                .await;
            self.asked = Some(asked);
            self.until_ms = now_ms.saturating_add(milliseconds(self.length));
            self.held = matches!(renewed, Ok(true));
            renewed?;
            if !self.held {
                self.published = None;
            } else if self.published != self.state {
                let state = self.state.clone();
                store
                    .publish_lease_state(self.name, holder, state.as_deref())
                    .await?;
                self.published = state;
            }
        }
        Ok(self.held)
    }

    fn renewal(&self) -> Duration {
        self.length / 4
    }

    /// Renews it while a walk waits for its turns. Where it is lost all the same, two processes walk the
    /// same listing, which does no harm.
    pub(super) async fn keep(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(self.renewal()).await;
            if let Err(error) = self.held().await {
                tracing::debug!(%error, lease = self.name, "A lease could not be renewed");
            }
        }
    }

    /// Leaves it to others for a while.
    pub(super) async fn release(&mut self) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        self.published = None;
        let Discover { store, holder, .. } = self.discover;
        if let Err(error) = store.release_lease(self.name, holder).await {
            tracing::debug!(%error, lease = self.name, "A lease was left to run out");
        }
    }
}
