//! The only module that talks to remote APIs.
//!
//! Owns transport, authentication, the rate budget, and the meaning of every answer. Knows no
//! database, no queue and no schedule: whoever calls decides when to ask again.

pub mod reddit;

pub use reddit::{
    Budget, BudgetError, InfoPage, ListingPage, Login, Priority, Received, Reddit, RedditOptions,
    SourceError, UnavailableReason, WaitCause,
};
