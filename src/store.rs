//! The database: what is watched, what was seen, what was proven, and what still has to be fetched.
//!
//! The only module that knows SQL. Two engines, SQLite for one person and Postgres for a team, chosen
//! by the URL's scheme; both pass one conformance suite. Every writing call is one transaction and
//! may be made again after an error, also where it is unknown whether it took effect.
//!
//! It refuses to know Reddit, the queue, the clock (callers pass the time) and the environment.
//!
//! Columns ending `_at`, `_utc`, `_start`, `_end`, `_until` are whole seconds since the epoch; those
//! ending `_ms` are milliseconds.

mod archived;
mod attempts;
mod backfills;
mod backlog;
mod claims;
mod clocks;
mod codes;
mod content;
mod dead;
mod error;
mod export;
mod fetches;
mod gaps;
mod give_back;
mod heartbeats;
mod id_slices;
mod ids;
mod inspect;
mod intervals;
mod known;
mod lasting;
mod leases;
mod marks;
mod polls;
mod postgres;
mod probe;
mod proofs;
mod reading;
mod schema;
mod slices;
mod split;
mod sqlite;
mod statement;
mod submissions;
mod subreddits;
mod sweeps;
mod trouble;
mod undecodable;
mod unstored;
mod windows;
mod withdraw;

pub use archived::{ArchiveRecord, ArchiveStored};
pub use attempts::{Attempt, Failure, PastAttempt};
pub use backfills::{Backfill, BackfillCounts, BackfillFilter, NewBackfill, NewSlice, Slice};
pub use backlog::FetchCounts;
pub use claims::{Claim, Claimed, TimedAhead};
pub use codes::{
    BackfillState, FailureKind, GapCause, GapReason, GapState, SliceState, Status, SubredditState,
    WindowOutcome,
};
pub use dead::{DeadFilter, FetchJob};
pub use error::{ENCODING_REMEDY, StoreError};
pub use export::{Cell, CellType, Reader, Selection};
pub use fetches::{FetchRecord, FetchStored};
pub use gaps::{Gap, GapRecord};
pub use heartbeats::Heartbeat;
pub use id_slices::{AbsentId, IdSlice, IdSliceEnd, IdSliceEnded, IdSliceStep};
pub use ids::{IdLedger, IdRecord, IdRetry, IdStored};
pub use inspect::Inspection;
pub use intervals::{Interval, without};
pub use leases::{ID_SCAN, IdScanState, POLLS, PollPlan};
pub use marks::Mark;
pub use polls::{MemberRecord, PollRecord, PollStored, SubredditUpdate};
pub use postgres::Postgres;
pub use probe::Failing;
pub use reading::{StoredSubmission, Totals, Visible};
pub use schema::Schema;
pub use slices::{SliceClaim, SliceDue, SliceEnd, SliceStep, SliceStored};
pub use split::Split;
pub use sqlite::Sqlite;
pub use subreddits::{Active, Added, Subreddit};
pub use sweeps::{SweepDue, SweepRecord};
pub use windows::{PollWindow, WindowRecord};
pub use withdraw::{Doubts, Missing, Recent};

use crate::dependency::{Dependency, Evidence};
use crate::network::Address;
use statement::{Dialects, on_engine};
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any call takes, so that a server that has frozen is an error and not a standstill.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long the end of the connections is waited for.
const CLOSING: Duration = Duration::from_secs(5);

/// A handle to the database; cheap to clone.
#[derive(Debug, Clone)]
pub enum Store {
    /// A server, for any number of processes.
    Postgres(Postgres),
    /// A file, for the processes of one machine.
    Sqlite(Sqlite),
}

impl Store {
    /// Connects to `sqlite://PATH` (the file is made where it is missing; its folder is not) or
    /// `postgres://…`, with at most `connections` connections. Does not migrate.
    ///
    /// # Errors
    /// [`StoreError::Url`] for any other text; else as the database answers.
    pub async fn connect(
        address: impl Into<Address>,
        connections: u32,
    ) -> Result<Store, StoreError> {
        let (address, connections) = (address.into(), connections.max(1));
        let url = address.first();
        let scheme = url.split_once(':').map(|(scheme, _)| scheme);
        within_deadline(async {
            match scheme {
                Some("sqlite") => Ok(Store::Sqlite(Sqlite::connect(url, connections).await?)),
                Some("postgres" | "postgresql") => Ok(Store::Postgres(
                    Postgres::connect(&address, connections, false).await?,
                )),
                _ => Err(StoreError::Url(
                    "a database URL starts with sqlite:// or postgres://".to_owned(),
                )),
            }
        })
        .await
    }

    /// As [`Store::connect_reading`], whatever the tables are.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_looking(
        address: impl Into<Address>,
        connections: u32,
    ) -> Result<Store, StoreError> {
        let (address, connections) = (address.into(), connections.max(1));
        let url = address.first();
        within_deadline(async {
            Ok(if url.starts_with("sqlite:") {
                Store::Sqlite(Sqlite::connect_reading(url, connections).await?)
            } else {
                Store::Postgres(Postgres::connect(&address, connections, true).await?)
            })
        })
        .await
    }

    /// Connects to read alone: a replica will do, a user who may only read, a file in a folder that is
    /// not to be written to. Its tables must be there, and as this version makes them.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] where they are not; else as [`Store::connect`].
    pub async fn connect_reading(
        address: impl Into<Address>,
        connections: u32,
    ) -> Result<Store, StoreError> {
        let store = Store::connect_looking(address, connections).await?;
        store.is_readable().await?;
        Ok(store)
    }

    /// New connections are made to the address as it is now.
    ///
    /// # Errors
    /// [`StoreError::Url`] where it is none.
    pub fn renew(&self, address: &Address) -> Result<(), StoreError> {
        match self {
            Store::Postgres(engine) => engine.renew(address),
            Store::Sqlite(_) => Ok(()),
        }
    }

    /// Whether [`Store::connect`] would make the file, because there is none.
    pub fn missing(url: &str) -> bool {
        url.starts_with("sqlite:") && Sqlite::missing(url)
    }

    /// Brings the tables to this version; safe with several processes at once, and a no-op where
    /// they are. Takes as long as it takes: no deadline applies.
    ///
    /// # Errors
    /// [`StoreError::Migration`] where a step fails or an applied one was changed.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Whoever may not change tables need not, where they are as they should be.
        if let Ok(Schema::Current(_) | Schema::Newer(_)) = self.schema().await {
            return Ok(());
        }
        match self {
            Store::Postgres(engine) => engine.migrate().await,
            Store::Sqlite(engine) => engine.migrate().await,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        const PING: Dialects = Dialects::same("SELECT 1");
        on_engine!(self, read, PING, |sql, pool| {
            sqlx::query(sql).execute(pool).await?;
            Ok(())
        })
    }

    /// The server's clock, milliseconds since the epoch; none where there is no server.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn clock_ms(&self) -> Result<Option<i64>, StoreError> {
        match self {
            Store::Postgres(engine) => engine.clock_ms().await.map(Some),
            Store::Sqlite(_) => Ok(None),
        }
    }

    /// `sqlite` or `postgres`.
    pub fn engine(&self) -> &'static str {
        match self {
            Store::Postgres(_) => "postgres",
            Store::Sqlite(_) => "sqlite",
        }
    }

    /// Where the file of such a URL lies; none where a server has it.
    pub fn folder_of(url: &str) -> Option<PathBuf> {
        url.starts_with("sqlite:").then(|| Sqlite::folder_of(url))?
    }

    /// Where its file lies; none where a server has it.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Store::Postgres(_) => None,
            Store::Sqlite(engine) => engine.folder(),
        }
    }

    /// How it fares, as its calls find out.
    pub fn dependency(&self) -> &Dependency {
        match self {
            Store::Postgres(engine) => &engine.dependency,
            Store::Sqlite(engine) => &engine.dependency,
        }
    }

    /// Bounds a call in time, and notes how it went.
    async fn noted<T>(
        &self,
        evidence: Evidence,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = within_deadline(call).await;
        match &result {
            Ok(_) => self.dependency().worked(evidence),
            Err(error) => self.note(error),
        }
        result
    }

    /// The same, of a transaction that writes.
    async fn written<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // On the heap, as in `on_engine`.
        self.noted(Evidence::Write, Box::pin(call)).await
    }

    /// Ends the connections, after the calls in flight, or some seconds later where those do not end.
    /// Calls made later fail.
    pub async fn close(&self) {
        let closed = async {
            match self {
                Store::Postgres(engine) => engine.pool.close().await,
                Store::Sqlite(engine) => {
                    engine.readers.close().await;
                    engine.writer.close().await;
                }
            }
        };
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::debug!("A connection of the database did not end in time");
        }
    }
}

/// Bounds a call in time.
async fn within_deadline<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(DEADLINE, call)
        .await
        .unwrap_or_else(|_| Err(StoreError::deadline(DEADLINE)))
}
