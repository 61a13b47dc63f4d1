//! What the tests stand on: real servers, started on demand and gone with the process.
//! What the tests stand on: servers that answer as told, and the recorded traffic.
//! Servers and files that tests need.

pub mod canned;
pub mod capture;
pub mod jobs;
pub mod postgres;
pub mod redis;
pub mod redis_for_budget;
