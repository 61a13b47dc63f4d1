//! Who took a submission away.

use serde::{Deserialize, Serialize};

/// A value of `removed_by_category`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// A moderator of the subreddit.
    Moderator,
    /// Reddit's spam filters.
    Reddit,
    /// A rule of the subreddit's own filter.
    AutomodFiltered,
    /// Its author.
    Deleted,
    /// A claim of rights.
    CopyrightTakedown,
    /// Reddit's staff.
    AntiEvilOps,
}

impl Removal {
    /// The field's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Removal::Moderator => "moderator",
            Removal::Reddit => "reddit",
            Removal::AutomodFiltered => "automod_filtered",
            Removal::Deleted => "deleted",
            Removal::CopyrightTakedown => "copyright_takedown",
            Removal::AntiEvilOps => "anti_evil_ops",
        }
    }

    /// What stands in place of the text.
    pub(super) fn text(self) -> &'static str {
        match self {
            Removal::Deleted => "[deleted]",
            _ => "[removed]",
        }
    }

    /// What stands in place of the title, where it does not survive.
    pub(super) fn title(self) -> Option<&'static str> {
        match self {
            Removal::Reddit => Some("[ Removed by Reddit ]"),
            Removal::CopyrightTakedown => {
                Some("[ Removed by Reddit in response to a copyright notice. ]")
            }
            _ => None,
        }
    }
}
