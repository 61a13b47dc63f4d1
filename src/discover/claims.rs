//! The subreddits that this scheduler holds: kept while they are worked on, given back at the end.

use crate::store::{Claim, Store};
use crate::submission::SubredditName;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// A killed scheduler's subreddits are taken over after this long.
pub(super) const LEASE_MS: i64 = 20_000;
const RENEWAL: Duration = Duration::from_secs(5);

/// What is held now.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<SubredditName, Claim>>);

impl Claims {
    pub(super) fn add<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        let mut held = self.lock();
        held.extend(claims.map(|claim| (claim.subreddit.clone(), claim.clone())));
    }

    /// Forgets claims that ended with their record.
    pub(super) fn end<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        let mut held = self.lock();
        for claim in claims {
            held.remove(&claim.subreddit);
        }
    }

    fn all(&self) -> Vec<Claim> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SubredditName, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews until told to stop, then gives back what is still held.
    pub(super) async fn keep(&self, store: &Store, now_ms: fn() -> i64, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(RENEWAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { () = stop.cancelled() => break, _ = tick.tick() => {} }
            let held = self.all();
            if held.is_empty() {
                continue;
            }
            // A claim that is lost here is fenced off when its walk is recorded.
            if let Err(error) = store.renew_claims(&held, now_ms() + LEASE_MS).await {
                tracing::debug!(%error, "Claims could not be renewed");
            }
        }
        let held = self.all();
        if !held.is_empty()
            && let Err(error) = store.release_claims(&held).await
        {
            tracing::debug!(%error, "Claims were left to run out");
        }
    }
}
