//! freshet keeps every submission of some subreddits in a database, and proves that none was missed.

pub mod config;
pub mod metrics;
pub mod queue;
pub mod simulator;
pub mod source;
pub mod store;
pub mod submission;
