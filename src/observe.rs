//! What an operator sees: HTTP, sampled gauges, logs.
//!
//! Everything here reads; nothing here changes what the pipeline does.

mod clock;
mod connections;
mod dependencies;
mod disks;
mod front;
mod gauges;
mod hosts;
mod http;
mod logging;
mod rendered;
mod status;
mod stderr;
mod summary;

pub use dependencies::DependencyStatus;
pub use disks::space_left;
pub use gauges::{Gauges, sample};
pub use http::{Health, Opening, serve};
pub use logging::{LogFormat, RecentLines, start as start_logging};
pub use status::{
    BackfillStatus, BackfillsStatus, FreshnessStatus, Live, MOST_BACKFILLS, QueueStatus,
    RateBudget, Status, SubredditStatus, read as read_status,
};
pub use stderr::{draw, flush_log, note, stderr};
