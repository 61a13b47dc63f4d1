//! Which oddities of real traffic the simulated Reddit shows, and how often.
//!
//! Owns the switches and their reading from a command line. What each one does is written where it
//! is done: `world` (lives of submissions), `content` (their bodies), `http` (answers).

use std::str::FromStr;

macro_rules! oddities {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ident = $realistic:expr, $visible:expr;)+) => {
        /// Every oddity. A chance lies between 0 (never) and 1 (always).
        #[derive(Debug, Clone, PartialEq)]
        pub struct Oddities {
            $($(#[doc = $help])+ pub $name: oddities!(@type $kind),)+
        }

        impl Oddities {
            /// The names that [`Oddities::from_str`] knows, each with what it does.
            pub const NAMES: &[(&str, &str)] = &[$((stringify!($name), concat!($($help),+))),+];

            /// No oddity at all: every listing complete, ordered and answered.
            pub fn none() -> Oddities {
                Oddities { $($name: oddities!(@none $kind),)+ }
            }

            /// About what a client of the real service meets.
            pub fn realistic() -> Oddities {
                Oddities { $($name: $realistic,)+ }
            }

            /// The switch of this name; the value that it takes when named alone comes with it.
            fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
                match name {
                    $(stringify!($name) => Some(Slot::$kind(&mut self.$name, $visible)),)+
                    _ => None,
                }
            }
        }
    };
    (@type Chance) => { f64 };
    (@type Switch) => { bool };
    (@none Chance) => { 0.0 };
    (@none Switch) => { false };
}

enum Slot<'a> {
    Chance(&'a mut f64, f64),
    Switch(&'a mut bool, bool),
}

oddities! {
    /// Submissions held back and approved minutes to hours later, at their created place.
    late: Chance = 0.02, 0.1;
    /// Neighbours that stand in another order than their times.
    reordered: Chance = 0.01, 0.1;
    /// Old submissions that reappear at the top.
    resurfaced: Chance = 0.002, 0.05;
    /// Submissions that get an id weeks older than their publication.
    scheduled: Chance = 0.001, 0.05;
    /// Removals by moderators, by Reddit, by its filters.
    removed: Chance = 0.12, 0.2;
    /// Of the removed ones, those that are approved again.
    restored: Chance = 0.08, 0.5;
    /// Deletions by the author.
    deleted: Chance = 0.02, 0.1;
    /// Accounts that go away after posting.
    authors_gone: Chance = 0.012, 0.1;
    /// Text posts that are edited.
    edited: Chance = 0.08, 0.3;
    /// Scores and comments that grow with age; otherwise they have their last value at once.
    growing: Switch = true, true;
    /// Submissions that `/api/info` never gives out.
    info_omits: Chance = 0.005, 0.05;
    /// Submissions that `/api/info` gives out only minutes after they are listed.
    info_delays: Chance = 0.01, 0.1;
    /// A removed anchor answers with an empty page instead of the place where it was.
    vanished_anchors: Switch = true, true;
    /// Pages that are empty without a reason.
    glitch_pages: Chance = 0.002, 0.05;
    /// Pages that stop short, with a null `after`.
    cut_pages: Chance = 0.002, 0.05;
    /// Pages that hold a child no one can decode.
    undecodable: Chance = 0.001, 0.1;
    /// Pages that hold a comment or a subreddit among the submissions.
    foreign_children: Chance = 0.001, 0.1;
    /// Pages that hold an advertisement: a submission without a subreddit.
    promoted: Chance = 0.005, 0.1;
    /// Submissions with a field of a type that it seldom has; above 0.05 also `author: null`.
    odd_types: Chance = 0.01, 0.1;
    /// Submissions with NUL or a lone surrogate in their text.
    odd_text: Chance = 0.001, 0.1;
    /// Crossposts whose `url` is a path.
    relative_urls: Switch = true, true;
    /// Submissions made in the very second of the one before them, beyond the usual number.
    equal_timestamps: Chance = 0.0, 0.3;
    /// Requests that fail in one of many ways: 429, 5xx, broken and cut bodies, resets, lost tokens.
    faults: Chance = 0.01, 0.02;
    /// Answers that take seconds.
    slow: Chance = 0.005, 0.05;
    /// Good answers that lack the rate limit headers.
    missing_rate_headers: Chance = 0.02, 0.1;
    /// Good answers whose `Date` is minutes to days ahead or behind, or cannot be read.
    wrong_dates: Chance = 0.0, 0.1;
    /// Combined listings leave out a private or banned member instead of failing as a whole.
    lenient_multis: Switch = false, true;
}

impl Default for Oddities {
    /// None.
    fn default() -> Oddities {
        Oddities::none()
    }
}

/// A list of oddities that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOddity {
    /// No oddity has this name.
    #[error("{0:?} is no oddity; there are: none, realistic, {names}", names = names())]
    Unknown(String),
    /// A chance outside 0..=1, or a switch that is neither on nor off.
    #[error("{value:?} is no value for {name}: {wanted}")]
    Value {
        /// The oddity.
        name: String,
        /// What was given.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
}

fn names() -> String {
    let names: Vec<&str> = Oddities::NAMES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FromStr for Oddities {
    type Err = InvalidOddity;

    /// Reads a comma list, left to right: `none`, `realistic`, `late`, `faults=0.02`,
    /// `vanished_anchors=off`. An empty list is none; hyphens do for underscores.
    fn from_str(list: &str) -> Result<Oddities, InvalidOddity> {
        let mut oddities = Oddities::none();
        for entry in list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            match entry {
                "none" => oddities = Oddities::none(),
                "realistic" => oddities = Oddities::realistic(),
                _ => set(&mut oddities, entry)?,
            }
        }
        Ok(oddities)
    }
}

fn set(oddities: &mut Oddities, entry: &str) -> Result<(), InvalidOddity> {
    let (name, value) = match entry.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (entry, None),
    };
    let name = name.replace('-', "_");
    let wrong = |value: &str, wanted| InvalidOddity::Value {
        name: name.clone(),
        value: value.to_owned(),
        wanted,
    };
    match oddities.slot(&name) {
        None => return Err(InvalidOddity::Unknown(name)),
        Some(Slot::Chance(chance, visible)) => {
            *chance = match value {
                None => visible,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|chance| (0.0..=1.0).contains(chance))
                    .ok_or_else(|| wrong(text, "a number from 0 to 1"))?,
            }
        }
        Some(Slot::Switch(switch, visible)) => {
            *switch = match value {
                None => visible,
                Some("on" | "true" | "1") => true,
                Some("off" | "false" | "0") => false,
                Some(text) => return Err(wrong(text, "on or off")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_from_left_to_right() {
        let read = |list: &str| list.parse::<Oddities>().unwrap();
        assert_eq!(read(""), Oddities::none());
        assert_eq!(read("realistic"), Oddities::realistic());
        assert_eq!(read("realistic,none"), Oddities::none());
        let some = read("late, faults=0.5 ,cut-pages=1,vanished_anchors");
        assert_eq!((some.late, some.faults, some.cut_pages), (0.1, 0.5, 1.0));
        assert!(some.vanished_anchors);
        assert!(!read("realistic,growing=off").growing);
    }

    #[test]
    fn a_wrong_list_is_refused_with_the_name() {
        for list in ["lat", "late=2", "late=-1", "late=NaN", "growing=maybe"] {
            let refused = list.parse::<Oddities>().unwrap_err().to_string();
            let name = list.split('=').next().unwrap();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn every_name_in_the_list_can_be_set() {
        for (name, help) in Oddities::NAMES {
            let set = name.parse::<Oddities>().unwrap();
            assert_ne!(set, Oddities::none(), "{name}");
            assert!(!help.is_empty());
        }
    }
}
