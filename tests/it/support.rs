//! What the tests stand on: real servers that are gone with the process, servers that answer as
//! told, the recorded traffic, and the whole pipeline.

pub mod binary;
pub mod boards;
pub mod canned;
pub mod capture;
pub mod discovery;
pub mod exporters;
pub mod exposition;
pub mod faketime;
pub mod jobs;
pub mod liar;
pub mod mutate;
pub mod odd_rows;
pub mod past;
pub mod pgbouncer;
pub mod pipeline;
pub mod postgres;
pub mod prometheus;
#[expect(dead_code, reason = "the faults alone listen in")]
#[path = "../faults/proxy.rs"]
pub mod proxy;
pub mod redis;
pub mod rough;
pub mod tls;
pub mod wire;
pub mod world;
