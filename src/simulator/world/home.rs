//! A subreddit: its name, its listing, whom it lets in.

use super::listing::Listing;
use crate::simulator::content::{Place, base36};
use crate::submission::{SubredditName, fingerprint};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Whom a subreddit lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubredditState {
    /// Everyone.
    Public,
    /// Members only: 403, `reason` `private`.
    Private,
    /// No one any more: 404, `reason` `banned`.
    Banned,
    /// Those who opted in: 403, `reason` `quarantined`.
    Quarantined,
    /// Those who opted in: 403, `reason` `gated`.
    Gated,
    /// It does not exist: 302 to the search.
    Gone,
    /// It has another name: 302 to the same path there.
    Renamed(
        /// The new name.
        String,
    ),
}

pub(super) struct Home {
    pub(super) name: SubredditName,
    pub(super) place: Place,
    pub(super) state: SubredditState,
    pub(super) listing: Listing,
    /// Everything that was ever listed, by its second of creation.
    pub(super) seen: BTreeSet<(i64, usize)>,
    /// The mean of submissions a millisecond.
    pub(super) rate_per_ms: f64,
    /// Draws this home's arrivals, whatever happens elsewhere.
    pub(super) rng: ChaCha8Rng,
    /// How many have come in the same millisecond by now, but for the first.
    pub(super) together: u32,
    /// When its day is busiest, as a part of the day.
    pub(super) busiest: f64,
}

impl Home {
    pub(super) fn new(name: SubredditName, seed: u64) -> Home {
        let hash = fingerprint(name.as_str());
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ hash);
        let place = Place {
            display: display(name.as_str()),
            fullname: format!("t5_{}", base36(2_000_000 + (hash % 400_000_000))),
            subscribers: rng.random_range(500..3_000_000),
        };
        Home {
            name,
            place,
            state: SubredditState::Public,
            listing: Listing::default(),
            seen: BTreeSet::new(),
            together: 0,
            rate_per_ms: 0.0,
            busiest: rng.random_range(0.5..0.95),
            rng,
        }
    }

    pub(super) fn set_rate(&mut self, per_hour: f64) {
        self.rate_per_ms = (per_hour / 3_600_000.0).max(0.0);
    }

    /// Whether everyone may read it.
    pub(super) fn is_public(&self) -> bool {
        self.state == SubredditState::Public
    }
}

/// The spelling in objects: as many real names, with capitals that the route does not have.
fn display(name: &str) -> String {
    if name.starts_with("u_") || name.contains('.') {
        return name.to_owned();
    }
    let mut start = true;
    name.chars()
        .map(|character| {
            let shown = if start {
                character.to_ascii_uppercase()
            } else {
                character
            };
            start = character == '_';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_shown_is_the_same_name() {
        for name in ["kettles", "old_kettles", "u_some-one", "reddit.com"] {
            let name: SubredditName = name.parse().unwrap();
            let shown: SubredditName = display(name.as_str()).parse().unwrap();
            assert_eq!(shown, name);
        }
        assert_eq!(display("old_kettles"), "Old_Kettles");
    }
}
