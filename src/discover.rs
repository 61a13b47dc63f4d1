//! Finds new submissions: decides what is due, walks the listings, records what they prove.
//!
//! Owns windows, overlap and completeness. A window is complete only when its walk reached ground
//! older than its start, or the listing's real end; whatever stops a walk short becomes a gap in
//! the same transaction. Knows no SQL, no HTTP and nothing of jobs: a new submission is work simply
//! by being stored.

mod claims;
mod count;
mod group;
mod member;
mod overlaps;
mod poll;
mod prove;
mod record;
mod schedule;
mod walk;

pub use prove::ALONE_EVERY;
pub use schedule::{Discover, run};
pub use walk::{Ended, OLD_RUN, Page, PageRequest, Walk};
