//! The simulated Reddit, over the wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod archive;
mod client;
mod control;
mod corpus;
mod faults;
mod heartbeat;
mod info;
mod lies;
mod lives;
mod oddities;
mod paging;
mod quota;
mod rhythm;
mod seed;
mod speed;
