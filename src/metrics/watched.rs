//! The bound on the `subreddit` label.

use std::collections::{BTreeSet, HashMap};
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
    /// There may be a hundred thousand: they are changed in place.
    names: HashMap<Box<str>, Entry>,
    /// The reading that began last.
    reading: u32,
    /// The last, by time and name, that has a label of its own; none where all have.
    last_label: Option<(i64, Box<str>)>,
}

#[derive(Debug)]
struct Entry {
    since: i64,
    /// The last reading that showed it.
    reading: u32,
}

impl List {
    fn has_label(&self, name: &str) -> bool {
        let Some(entry) = self.names.get(name) else {
            return false;
        };
        let last = self.last_label.as_ref();
        last.is_none_or(|(time, last)| (entry.since, name) <= (*time, &**last))
    }

    fn last_label(&self) -> Option<(i64, Box<str>)> {
        if self.names.len() <= MOST_LABELS {
            return None;
        }
        let mut first = BTreeSet::new();
        for (name, entry) in &self.names {
            first.insert((entry.since, &**name));
            if first.len() > MOST_LABELS {
                first.pop_last();
            }
        }
        first.last().map(|(time, name)| (*time, (*name).into()))
    }
}

/// One reading of the list, in parts.
#[derive(Debug)]
pub struct Reading<'a> {
    list: &'a RwLock<List>,
    number: u32,
}

impl Reading<'_> {
    /// Takes some of the names.
    pub fn take<'n>(&self, names: impl IntoIterator<Item = (&'n str, i64)>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let reading = self.number;
        for (name, since) in names {
            match list.names.get_mut(name) {
                Some(entry) => *entry = Entry { since, reading },
                None => {
                    list.names.insert(name.into(), Entry { since, reading });
                }
            }
        }
    }

    /// All were taken: the others are watched no longer.
    pub fn end(self) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.names.retain(|_, entry| entry.reading >= self.number);
        list.last_label = list.last_label();
    }
}

impl Watched {
    /// Reads the list anew. Until the end of that, names only come in addition.
    pub fn read(&self) -> Reading<'_> {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        list.reading = list.reading.saturating_add(1);
        Reading {
            list: &self.0,
            number: list.reading,
        }
    }

    /// Adds one name before the next list is read.
    pub fn add(&self, name: &str, since: i64) {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let reading = list.reading;
        if !list.names.contains_key(name) {
            list.names.insert(name.into(), Entry { since, reading });
        }
    }

    /// Whether a submission was created before its subreddit was watched: how late such a one is
    /// found says nothing about freshness. `created` is in seconds since the epoch.
    pub fn is_history(&self, subreddit: &str, created: i64) -> bool {
        let watched = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = watched.names.get(&*subreddit.to_ascii_lowercase());
        let entry = own.or_else(|| AGGREGATES.iter().find_map(|name| watched.names.get(*name)));
        entry.is_some_and(|entry| created < entry.since)
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

    fn read(watched: &Watched, names: &[(String, i64)]) {
        let reading = watched.read();
        for part in names.chunks(7) {
            reading.take(part.iter().map(|(name, since)| (name.as_str(), *since)));
        }
        reading.end();
    }

    #[test]
    fn only_watched_names_become_labels() {
        let watched = Watched::default();
        read(&watched, &[("askreddit".to_owned(), 0)]);
        assert_eq!(watched.label("AskReddit", str::to_owned), "askreddit");
        assert_eq!(watched.label("<script>", str::to_owned), "other");
    }

    #[test]
    fn those_watched_for_longest_have_labels_and_the_others_share_one() {
        let watched = Watched::default();
        let all = |count: i64| {
            let names = (0..count).map(|number| (format!("r{number}"), number / 2));
            names.collect::<Vec<_>>()
        };
        let own = |count: i64| {
            let labelled = (0..count).filter(|number| {
                let name = format!("r{number}");
                watched.label(&name, |label| label == name)
            });
            labelled.collect::<Vec<_>>()
        };
        read(&watched, &all(1_000));
        assert_eq!(own(1_000).len(), 1_000);
        read(&watched, &all(100_000));
        let labelled = own(100_000);
        assert_eq!(labelled, (0..1_000).collect::<Vec<_>>());
        read(&watched, &all(999));
        assert_eq!(own(100_000).len(), 999);
    }

    #[test]
    fn a_name_that_comes_while_the_list_is_read_stays() {
        let watched = Watched::default();
        read(
            &watched,
            &[("rust".to_owned(), 1), ("kettles".to_owned(), 1)],
        );
        let broken_off = watched.read();
        broken_off.take([("kettles", 1)]);
        let reading = watched.read();
        reading.take([("rust", 1)]);
        watched.add("new", 2);
        assert_eq!(watched.label("kettles", str::to_owned), "kettles");
        reading.end();
        for (name, label) in [("rust", "rust"), ("new", "new"), ("kettles", "other")] {
            assert_eq!(watched.label(name, str::to_owned), label, "{name}");
        }
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
