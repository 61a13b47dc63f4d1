//! The commands as they are written in JSON.

use crate::simulator::endpoint::Endpoint;
use crate::simulator::fault::Fault;
use crate::simulator::removal::Removal;
use crate::simulator::world::SubredditState;
use crate::submission::SubredditName;
use serde::{Deserialize, Serialize};

/// A submission to publish. Only the subreddit is needed; what is left out is made up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publication {
    /// Where; made where there is none of this name.
    pub subreddit: String,
    /// Base 36; the next one otherwise.
    pub id: Option<String>,
    /// A kind's label; `self` otherwise.
    pub kind: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its text, Markdown.
    pub selftext: Option<String>,
    /// Its author's name.
    pub author: Option<String>,
    /// Adult content.
    pub over_18: Option<bool>,
    /// Whole seconds since the epoch; now otherwise. It is listed at the place of this time.
    pub created_utc: Option<i64>,
    /// Held back for `approve_late`.
    pub held: bool,
    /// The whole object, served byte for byte; `id` and `created_utc` must still be told.
    pub object: Option<String>,
}

impl Publication {
    /// One with nothing but its subreddit.
    pub fn to(subreddit: &SubredditName) -> Publication {
        Publication {
            subreddit: subreddit.to_string(),
            ..Publication::default()
        }
    }
}

/// A command; as JSON it has its name in `command`: `{"command": "remove", "id": "abc"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// A submission appears.
    Publish(Publication),
    /// A submission is taken away; by a moderator unless `by` says otherwise.
    Remove {
        /// Base 36.
        id: String,
        /// Who removes it.
        by: Option<Removal>,
    },
    /// A removed submission comes back.
    Restore {
        /// Base 36.
        id: String,
        /// At the top instead of where it was.
        #[serde(default)]
        on_top: bool,
    },
    /// A held submission is let in, at the place of its creation.
    ApproveLate {
        /// Base 36.
        id: String,
    },
    /// A submission moves to the top.
    Resurface {
        /// Base 36.
        id: String,
    },
    /// The account of a submission's author goes away.
    DeleteAuthor {
        /// Base 36.
        id: String,
    },
    /// A submission's text is edited.
    Edit {
        /// Base 36.
        id: String,
        /// The new text; a line is added otherwise.
        selftext: Option<String>,
    },
    /// `/api/info` leaves a submission out.
    HideFromInfo {
        /// Base 36.
        id: String,
        /// For so many seconds of world time; for ever otherwise.
        seconds: Option<u32>,
    },
    /// A subreddit changes whom it lets in.
    SetSubreddit {
        /// Its name.
        name: String,
        /// Whom.
        state: SubredditState,
    },
    /// A subreddit is made where there is none, and gets so many submissions an hour from now on.
    SetRate {
        /// Its name.
        name: String,
        /// The mean.
        per_hour: f64,
    },
    /// The next requests fail.
    FailNext {
        /// How many.
        count: u32,
        /// In which way.
        fault: Fault,
        /// Those to this endpoint; to any otherwise.
        endpoint: Option<Endpoint>,
    },
    /// One request in so many fails until the next such command; with no faults that ends.
    FailEvery {
        /// In how many, at least 1.
        every: u32,
        /// In these ways in turn.
        faults: Vec<Fault>,
        /// Of those to this endpoint; of all otherwise.
        endpoint: Option<Endpoint>,
    },
    /// From now on this part of the requests fails, in many ways.
    FaultChance {
        /// From 0 to 1.
        chance: f64,
    },
    /// Every request of Reddit fails until the next such command; with no fault the outage ends.
    Outage {
        /// In which way.
        fault: Option<Fault>,
    },
    /// Every request of the archive fails until the next such command; with no fault that ends.
    ArchiveOutage {
        /// In which way.
        fault: Option<Fault>,
    },
    /// Every request that asks for this id or subreddit fails; with no fault that ends.
    Poison {
        /// The id, base 36, or the subreddit's name.
        word: String,
        /// In which way.
        fault: Option<Fault>,
    },
    /// Every token given out is forgotten.
    RevokeTokens,
    /// The clock is moved on.
    Advance {
        /// Seconds.
        seconds: f64,
    },
}
