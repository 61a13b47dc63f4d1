//! What the tests stand on: real servers, started on demand and gone with the process.
//! What the tests stand on: servers that answer as told, and the recorded traffic.

pub mod canned;
pub mod capture;
pub mod redis;
pub mod redis_for_budget;
