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

    /// Forgets claims that ended with their record, or are to run out.
    pub(super) fn end<'a>(&self, claims: impl Iterator<Item = &'a Claim>) {
        let mut held = self.lock();
        for claim in claims {
            // The subreddit may have been claimed anew meanwhile.
            if held.get(&claim.subreddit) == Some(claim) {
                held.remove(&claim.subreddit);
            }
        }
    }

    /// Ends these claims when the guard is dropped, however that comes about: what nobody works on
    /// is not to be renewed.
    pub(super) fn guard(&self, claims: Vec<Claim>) -> Guard<'_> {
        Guard { all: self, claims }
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

/// Claims that are renewed only as long as this lives.
pub(super) struct Guard<'a> {
    all: &'a Claims,
    claims: Vec<Claim>,
}

impl Guard<'_> {
    /// Leaves the claims that have not ended to [`Claims::keep`], which gives them back.
    pub(super) fn leave(mut self) {
        self.claims.clear();
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.all.end(self.claims.iter());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn claim(name: &str, token: i64) -> Claim {
        let subreddit = name.parse().unwrap();
        Claim { subreddit, token }
    }

    #[tokio::test]
    async fn claims_of_work_that_panics_are_not_renewed() {
        let claims = Arc::new(Claims::default());
        claims.add([claim("rust", 1), claim("kettles", 1)].iter());
        let held = Arc::clone(&claims);
        let work = tokio::spawn(async move {
            let _guard = held.guard(vec![claim("rust", 1)]);
            panic!("on purpose");
        });
        assert!(work.await.unwrap_err().is_panic());
        assert_eq!(claims.all(), [claim("kettles", 1)]);
    }

    #[test]
    fn what_was_claimed_anew_is_not_ended_with_the_old_claim() {
        let claims = Claims::default();
        claims.add([claim("rust", 1)].iter());
        let guard = claims.guard(vec![claim("rust", 1)]);
        claims.add([claim("rust", 2)].iter());
        drop(guard);
        assert_eq!(claims.all(), [claim("rust", 2)]);
    }

    #[test]
    fn what_is_left_when_told_to_stop_is_still_held() {
        let claims = Claims::default();
        claims.add([claim("rust", 1)].iter());
        claims.guard(vec![claim("rust", 1)]).leave();
        assert_eq!(claims.all(), [claim("rust", 1)]);
    }
}
