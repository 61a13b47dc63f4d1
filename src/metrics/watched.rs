//! The bound on the `subreddit` label.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// The watched names. A label is one of them or `other`, so that what Reddit answers can never
/// make a series of its own.
#[derive(Debug, Default)]
pub struct Watched(RwLock<HashSet<String>>);

impl Watched {
    /// Replaces the list.
    pub fn set(&self, names: impl IntoIterator<Item = String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names.into_iter().collect();
    }

    /// Calls `observe` with the label for a subreddit in any spelling.
    pub fn label<T>(&self, subreddit: &str, observe: impl FnOnce(&str) -> T) -> T {
        let lower = subreddit.to_ascii_lowercase();
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&lower);
        observe(if known { &lower } else { "other" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watched_names_become_labels() {
        let watched = Watched::default();
        watched.set(["askreddit".to_owned()]);
        assert_eq!(watched.label("AskReddit", str::to_owned), "askreddit");
        assert_eq!(watched.label("<script>", str::to_owned), "other");
    }
}
