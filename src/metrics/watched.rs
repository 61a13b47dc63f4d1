//! The bound on the `subreddit` label.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Watched subreddits that show the submissions of others.
const AGGREGATES: [&str; 2] = ["all", "popular"];

/// Subreddits with series of their own: those that have been watched for longest. Prometheus is not made
/// for a hundred thousand values of a label, and each takes kilobytes here.
pub const MOST_LABELS: usize = 1_000;

/// The watched names, and since when each is watched (seconds since the epoch). A label is one of
/// them or `other`, so that what Reddit answers can never make a series of its own.
#[derive(Debug, Default)]
pub struct Watched(RwLock<List>);

#[derive(Debug, Default)]
struct List {
    since: HashMap<String, i64>,
    /// The last, by time and name, that has a label of its own; none where all have.
    last_label: Option<(i64, String)>,
}

impl List {
    fn has_label(&self, name: &str) -> bool {
        let Some(since) = self.since.get(name) else {
            return false;
        };
        let last = self.last_label.as_ref();
        last.is_none_or(|(time, last)| (*since, name) <= (*time, last.as_str()))
    }
}

impl Watched {
    /// Replaces the list.
    pub fn set(&self, names: impl IntoIterator<Item = (String, i64)>) {
        let since: HashMap<String, i64> = names.into_iter().collect();
        let last_label = if since.len() > MOST_LABELS {
            let mut order: Vec<(i64, &String)> =
                since.iter().map(|(name, since)| (*since, name)).collect();
            let (_, last, _) = order.select_nth_unstable(MOST_LABELS - 1);
            Some((last.0, last.1.clone()))
        } else {
            None
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = List { since, last_label };
    }

    /// Adds one name before the next list is read.
    pub fn add(&self, name: &str, since: i64) {
        let mut watched = self.0.write().unwrap_or_else(PoisonError::into_inner);
        watched.since.entry(name.to_owned()).or_insert(since);
    }

    /// Whether a submission was created before its subreddit was watched: how late such a one is
    /// found says nothing about freshness. `created` is in seconds since the epoch.
    pub fn is_history(&self, subreddit: &str, created: i64) -> bool {
        let watched = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = watched.since.get(&subreddit.to_ascii_lowercase());
        let since = own.or_else(|| AGGREGATES.iter().find_map(|name| watched.since.get(*name)));
        since.is_some_and(|since| created < *since)
    }

    /// Calls `observe` with the label for a subreddit in any spelling.
    pub fn label<T>(&self, subreddit: &str, observe: impl FnOnce(&str) -> T) -> T {
        let lower = subreddit.to_ascii_lowercase();
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .has_label(&lower);
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
    fn those_watched_for_longest_have_labels_and_the_others_share_one() {
        let watched = Watched::default();
        let all = |count: i64| (0..count).map(|number| (format!("r{number}"), number / 2));
        let own = |count: i64| {
            let labelled = (0..count).filter(|number| {
                let name = format!("r{number}");
                watched.label(&name, |label| label == name)
            });
            labelled.collect::<Vec<_>>()
        };
        watched.set(all(1_000));
        assert_eq!(own(1_000).len(), 1_000);
        watched.set(all(100_000));
        let labelled = own(100_000);
        assert_eq!(labelled, (0..1_000).collect::<Vec<_>>());
        watched.set(all(999));
        assert_eq!(own(100_000).len(), 999);
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
