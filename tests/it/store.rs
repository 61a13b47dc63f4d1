//! One conformance suite for both engines: each test is written once and runs on SQLite and on
//! Postgres.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests; clippy sees only functions that are marked as such"
)]

mod archived;
mod archived_meetings;
mod backfills;
mod backlog;
mod contents;
mod contradictions;
mod dead;
mod encodings;
mod faults;
mod fetches;
pub mod fixtures;
mod heartbeats;
mod history;
mod id_slices;
mod ids;
mod marks;
mod polls;
mod proofs;
mod random;
mod reading;
mod removals;
mod schema;
mod slices;
mod speed;
mod suspects;
mod sweeps;
mod undecodable;
mod watched;
mod withdrawals;

/// Makes two tests of each function: one on SQLite, one on Postgres.
macro_rules! conformance {
    ($($(#[$attribute:meta])* $name:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $name() {
                    super::$name(crate::store::fixtures::World::sqlite().await).await;
                }
            )+
        }
        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $name() {
                    super::$name(crate::store::fixtures::World::postgres().await).await;
                }
            )+
        }
    };
}
use conformance;
