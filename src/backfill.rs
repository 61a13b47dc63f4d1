//! Brings in the past: from Reddit's listing as far as it reaches, from an archive, or from files.
//!
//! A backfill is done in slices of time. Each is a job on a queue of its own, so that no live work
//! stands behind it; its pages are stored through the same transactions as all else, with how far the
//! slice has come, so that one that is cut off goes on from there. What a slice proves joins what the
//! polls have proven. Files are read by the process that was given them.
//!
//! | file | owns |
//! |---|---|
//! | `choice` | which source
//! | `plan` | which slices, what it will take |
//! | `walk` | which page is next, and when a slice is complete |
//! | `archive` | one slice out of the archive |
//! | `horizon` | up to when the archive is believed |
//! | `evidence` | what was read proves, after what contradicts it |
//! | `ends` | how far a file shows that it reaches |
//! | `by_id` | one slice by its ids, for all subreddits; gaps as such a backfill |
//! | `listing` | one slice out of Reddit's listing |
//! | `files` | what files hold |
//! | `claimed` | what files prove of which somebody says that they are complete |
//! | `handler` | a slice's claim, its attempts, its end |
//! | `parts` | what of a page the database refuses |
//! | `reached` | which gaps the archive has come as far as |
//! | `rejects` | the file for lines that are no submission |
//! | `repair` | open gaps as backfills |
//! | `unstored` | since when the database takes nothing |

mod archive;
mod by_id;
mod choice;
mod claimed;
mod ends;
mod evidence;
mod files;
mod handler;
mod horizon;
mod listing;
mod parts;
mod plan;
mod reached;
mod rejects;
mod repair;
mod unstored;
mod walk;

pub use archive::NOT_YET;
pub use by_id::{IDS, IdRepair, IdRepairs, ids_under_way, repair_by_ids, repair_gaps_by_ids};
pub use choice::{PlannedSource, best_source};
pub use claimed::{Claimed, FileEvidence, prove_files};
pub use files::{FileLoad, Load, Loading};
pub use handler::SliceHandler;
pub use horizon::Horizon;
pub use plan::{Estimate, Plan, PlanError, plan, uncovered};
pub use rejects::Rejects;
pub use repair::{Repair, repair, repair_gaps, repairs_under_way};
pub use unstored::Unstored;

use crate::discover::Discover;
use crate::liveness::Progress;
use crate::metrics::Metrics;
use crate::source::ArcticShift;
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A claim of a slice lasts so long, and is renewed well before.
pub const LEASE_MS: i64 = 20_000;
const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// How long a command waits for a database that takes nothing; what was stored stays.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What bringing in the past needs.
#[derive(Debug, Clone)]
pub struct Backfiller {
    /// The archive.
    pub archive: ArcticShift,
    /// Reddit's listings; none where this process has no key.
    pub discover: Option<Discover>,
    /// Where to store.
    pub store: Store,
    /// What to count.
    pub metrics: Arc<Metrics>,
    /// Who claims slices, unique to this process.
    pub holder: String,
    /// Rung when a slice was let go.
    pub work: Arc<Notify>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Where it says that it gets on.
    pub progress: Progress,
    /// Ends slices after the page that they are at.
    pub stop: CancellationToken,
    /// Up to when the archive is known to hold what there is.
    pub horizon: Arc<Horizon>,
    /// Since when the database takes nothing.
    pub unstored: Arc<Unstored>,
}
