//! Behaviour across modules, against real servers that the tests start themselves.
//! Behaviour over real wires: one binary, so that servers are started once.
//! Behaviour across modules and at the seams: over the wire, in the database, with real servers.

mod budget_shared;
mod queue;
mod queue_faults;
mod queue_rates;
mod reddit_auth;
mod reddit_backoff;
mod reddit_capture;
mod reddit_decisions;
mod reddit_pages;
mod reddit_secrets;
mod store;
mod support;
