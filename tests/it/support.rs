//! What the tests stand on: real servers that are gone with the process, servers that answer as
//! told, and the recorded traffic.

pub mod binary;
pub mod canned;
pub mod capture;
pub mod exposition;
pub mod jobs;
pub mod postgres;
pub mod redis;
pub mod world;
