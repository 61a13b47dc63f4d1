//! Closed sets of words that columns hold. The words are public: scripts and dashboards use them.

/// Declares an enum whose values are stored as words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$meaning])* $value,)+
        }

        impl $name {
            /// Every value, in a fixed order.
            pub const ALL: &'static [$name] = &[$($name::$value,)+];

            /// The word that the database, the metrics and the command line use.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                $name::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == word)
                    .ok_or_else(|| UnknownWord {
                        word: word.chars().take(40).collect(),
                        known: concat!($($word, " "),+),
                    })
            }
        }
    };
}

/// A word that is none of those known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of: {known}")]
pub struct UnknownWord {
    word: String,
    known: &'static str,
}

words! {
    /// How an attempt at a fetch failed.
    FailureKind {
        /// Its process was killed, or cut off, or lost it, or gave it up because it hung.
        NeverEnded = "never_ended",
        /// The program went wrong over it.
        Panicked = "panicked",
        /// What came was no submission.
        Unreadable = "unreadable",
        /// The database would not take it.
        NotStored = "not_stored",
        /// It was nested too deep to be stored as JSON.
        TooDeep = "too_deep",
        /// Whatever request asks for it fails, while others succeed.
        RequestFailed = "request_failed",
    }
}

words! {
    /// Whether a watched subreddit is polled.
    SubredditState {
        /// Polled.
        Active = "active",
        /// Not polled, by the operator's wish.
        Paused = "paused",
        /// Reddit refuses it (private, banned, …); asked again now and then.
        Unavailable = "unavailable",
    }
}

words! {
    /// How far a stored submission has come.
    Status {
        /// Stored as the listing showed it.
        Discovered = "discovered",
        /// Stored as fetched by its id.
        Fetched = "fetched",
        /// Reddit no longer gives it out; what was stored before stays.
        Unavailable = "unavailable",
    }
}

words! {
    /// What one poll proved about its window.
    WindowOutcome {
        /// The walk reached older ground or the listing's real end.
        Complete = "complete",
        /// The walk was cut short; the rest is a gap.
        Truncated = "truncated",
        /// The walk brought nothing.
        Failed = "failed",
    }
}

words! {
    /// How far a backfill has come.
    BackfillState {
        /// Its slices are handed out.
        Running = "running",
        /// It waits for its operator.
        Paused = "paused",
        /// Given up; what it stored stays.
        Cancelled = "cancelled",
        /// No slice of it is left to do.
        Done = "done",
    }
}

words! {
    /// How far a slice of a backfill has come.
    SliceState {
        /// To be done, or being done.
        Waiting = "waiting",
        /// Walked to its end.
        Done = "done",
        /// Set aside after too many attempts.
        Failed = "failed",
    }
}

words! {
    /// Why an interval may miss submissions; the `cause` label of `freshet_gaps_total`.
    GapCause {
        /// The listing ends at about 1,000 items, and there were more.
        Cap = "cap",
        /// The item to go on from was gone, and so was the way further back.
        AnchorVanished = "anchor_vanished",
        /// An answer could not be used, however often it was asked for.
        Error = "error",
        /// More pages than any listing has.
        PageLimit = "page_limit",
        /// It was reported as complete, and later evidence contradicted that.
        Contradicted = "contradicted",
        /// A submission of this second was listed, and the database did not take it.
        NotStored = "not_stored",
    }
}

words! {
    /// Why a gap is still open after its listing was walked again.
    GapReason {
        /// The listing ends above it: only an archive can tell.
        BeyondListing = "beyond_listing",
        /// The item to go on from was gone; tried again.
        AnchorVanished = "anchor_vanished",
        /// Reddit did not answer, or not with a listing; tried again.
        Unanswered = "unanswered",
        /// Reddit refused the listing (private, banned, …); tried again.
        Unavailable = "unavailable",
    }
}

words! {
    /// What became of a gap.
    GapState {
        /// May still miss submissions.
        Open = "open",
        /// Proven complete since.
        Repaired = "repaired",
        /// No source can prove it any more.
        Unrepairable = "unrepairable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_as_what_wrote_it() {
        for cause in GapCause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(*cause));
        }
        for state in SubredditState::ALL {
            assert_eq!(state.to_string().parse(), Ok(*state));
        }
        let unknown = "opened".parse::<GapState>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "\"opened\" is none of: open repaired unrepairable "
        );
    }
}
