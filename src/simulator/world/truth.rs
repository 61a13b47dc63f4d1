//! What is true of every submission, for tests that compare it with what was stored.

use super::World;
use super::item::Life;
use crate::submission::SubredditName;
use serde::{Deserialize, Serialize};

/// The truth of one submission. Serialised, one line of `/simulator/truth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Base 36, without `t3_`.
    pub id: String,
    /// The name that its listing has in paths, lower case.
    pub subreddit: String,
    /// Whole seconds since the epoch, world time.
    pub created_utc: i64,
    /// The kind's label (see [`Kind`](crate::submission::Kind)).
    pub kind: String,
    /// `public`, `held` or `removed`.
    pub state: String,
    /// The value of `removed_by_category` while it is removed.
    pub removed_by: Option<String>,
    /// When it was last edited, whole seconds since the epoch.
    pub edited_at: Option<i64>,
    /// Whether its author's account is gone.
    pub author_gone: bool,
    /// When it stood in its subreddit's listing: from and until, milliseconds since the epoch; an
    /// open end is null. The cap and the subreddit's own state are not counted in.
    pub listed_ms: Vec<(i64, Option<i64>)>,
    /// `/api/info` leaves it out before this time, milliseconds since the epoch; `i64::MAX` is for
    /// ever, null is never.
    pub info_from_ms: Option<i64>,
}

impl World {
    /// The truth from this place on in the order of making, for one subreddit or for all, of what
    /// was created at `since` or later; and the place to go on from, until there is no more.
    pub(in crate::simulator) fn truth(
        &self,
        subreddit: Option<&SubredditName>,
        since_utc: i64,
        from: usize,
        at_most: usize,
    ) -> (Vec<Truth>, Option<usize>) {
        let mut truths = Vec::new();
        for (index, item) in self.items.iter().enumerate().skip(from) {
            if truths.len() >= at_most {
                return (truths, Some(index));
            }
            let home = self.home_of(item);
            if subreddit.is_some_and(|name| *name != home.name) || item.created_utc() < since_utc {
                continue;
            }
            let (state, removed_by) = match item.life {
                Life::Public => ("public", None),
                Life::Held => ("held", None),
                Life::Removed(removal) => ("removed", Some(removal.as_str().to_owned())),
            };
            truths.push(Truth {
                id: item.id.to_string(),
                subreddit: home.name.to_string(),
                created_utc: item.created_utc(),
                kind: item.kind().as_str().to_owned(),
                state: state.to_owned(),
                removed_by,
                edited_at: item.edited_at,
                author_gone: item.author_gone,
                listed_ms: item.listed.clone(),
                info_from_ms: (item.info_from_ms != i64::MIN).then_some(item.info_from_ms),
            });
        }
        (truths, None)
    }
}
