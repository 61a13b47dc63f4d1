//! What the tests stand on: real servers, started on demand and gone with the process.

pub mod redis;
