//! The bound on the `subreddit` label.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Watched subreddits that show the submissions of others.
const AGGREGATES: [&str; 2] = ["all", "popular"];

/// The watched names, and since when each is watched (seconds since the epoch). A label is one of
/// them or `other`, so that what Reddit answers can never make a series of its own.
#[derive(Debug, Default)]
pub struct Watched(RwLock<HashMap<String, i64>>);

impl Watched {
    /// Replaces the list.
    pub fn set(&self, names: impl IntoIterator<Item = (String, i64)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names.into_iter().collect();
    }

    /// Adds one name before the next list is read.
    pub fn add(&self, name: &str, since: i64) {
        let mut watched = self.0.write().unwrap_or_else(PoisonError::into_inner);
        watched.entry(name.to_owned()).or_insert(since);
    }

    /// Whether a submission was created before its subreddit was watched: how late such a one is
    /// found says nothing about freshness. `created` is in seconds since the epoch.
    pub fn is_history(&self, subreddit: &str, created: i64) -> bool {
        let watched = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = watched.get(&subreddit.to_ascii_lowercase());
        let since = own.or_else(|| AGGREGATES.iter().find_map(|name| watched.get(*name)));
        since.is_some_and(|since| created < *since)
    }

    /// Calls `observe` with the label for a subreddit in any spelling.
    pub fn label<T>(&self, subreddit: &str, observe: impl FnOnce(&str) -> T) -> T {
        let lower = subreddit.to_ascii_lowercase();
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&lower);
        observe(if known { &lower } else { "other" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watched_names_become_labels() {
        let watched = Watched::default();
        watched.set([("askreddit".to_owned(), 0)]);
        assert_eq!(watched.label("AskReddit", str::to_owned), "askreddit");
        assert_eq!(watched.label("<script>", str::to_owned), "other");
    }

    #[test]
    fn what_was_created_before_its_subreddit_was_watched_is_history() {
        let watched = Watched::default();
        assert!(!watched.is_history("rust", 99), "not known to be watched");
        watched.add("rust", 100);
        watched.add("rust", 500);
        assert!(watched.is_history("Rust", 99));
        assert!(!watched.is_history("rust", 100));
        assert!(!watched.is_history("kettles", 99));
        watched.add("all", 200);
        assert!(watched.is_history("kettles", 199));
        assert!(!watched.is_history("rust", 150), "its own time counts");
    }
}
