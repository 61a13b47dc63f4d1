//! freshet keeps every submission of some subreddits in a database, as it appears, and proves that
//! none was missed.
//!
//! The folders are the pipeline: [`discover`] finds submissions, [`feed`] keeps the [`queue`]
//! filled, [`ingest`] fetches them in company, [`store`] holds them, [`observe`] shows it all,
//! [`liveness`] ends what makes no progress.
//! [`network`] says how servers are reached.
//! [`source`] talks to Reddit, [`simulator`] is one. [`app`] puts them together. ARCHITECTURE.md
//! walks one submission through them.

pub mod app;
pub mod backfill;
pub mod bisect;
pub mod cli;
pub mod config;
pub mod dependency;
pub mod discover;
pub mod feed;
pub mod ingest;
pub mod liveness;
pub mod metrics;
pub mod network;
pub mod observe;
pub mod queue;
pub mod redis_link;
pub mod simulator;
pub mod source;
pub mod store;
pub mod submission;
