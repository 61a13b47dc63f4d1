//! Finds new submissions: decides what is due, walks the listings, records what they prove.
//!
//! Owns windows, overlap and completeness. A window is complete only when its walk reached ground
//! older than its start, or the listing's real end; whatever stops a walk short becomes a gap in
//! the same transaction. Knows no SQL, no HTTP and nothing of jobs: a new submission is work simply
//! by being stored.

mod absent;
mod ahead;
mod claims;
mod count;
mod group;
mod id_scan;
mod ids;
mod lease;
mod live;
mod member;
mod overlaps;
mod pages;
mod parts;
mod past;
mod period;
pub mod planner;
mod poll;
mod prove;
mod record;
mod schedule;
mod suspects;
mod sweep;
mod unread;
mod walk;

pub use id_scan::plan::{DELAYS_MS, LEAST_SHARE};
pub use id_scan::{IdScanOptions, Unknown as IdsUnknown, id_scan, ids_are_dense, top_of_ids};
pub use ids::{FailingIds, IdsAnswer, request_ids};
pub use live::live;
pub use past::{Past, PastEnd, past};
pub use prove::ALONE_EVERY;
pub use schedule::run;
pub use sweep::{repair, sweep};
pub use walk::{Ended, OLD_RUN, Page, PageRequest, Walk};

use crate::config::DiscoverConfig;
use crate::liveness::Progress;
use crate::metrics::Metrics;
use crate::source::Reddit;
use crate::store::Store;
use std::sync::Arc;
use tokio::sync::Notify;

/// What discovery needs.
#[derive(Debug, Clone)]
pub struct Discover {
    /// Where to look.
    pub reddit: Reddit,
    /// Where to record.
    pub store: Store,
    /// What to count.
    pub metrics: Arc<Metrics>,
    /// Interval, first window, overlap.
    pub config: DiscoverConfig,
    /// Who claims, unique to this process.
    pub holder: String,
    /// Rung when new work was stored.
    pub work: Arc<Notify>,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
    /// Ids for which requests fail while others succeed.
    pub failing_ids: Arc<FailingIds>,
    /// Where it says that it gets on: pages come, or nothing is due, or what it asks is away.
    pub progress: Progress,
}

impl Discover {
    /// For one walk, which is watched by itself.
    fn for_a_walk(&self) -> Discover {
        let progress = self.progress.another();
        Discover {
            progress,
            ..self.clone()
        }
    }
}
