//! The table: what strikes, and on which engines.

use std::fmt;

/// What stores and what carries the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engines {
    /// Two schedulers and three workers, each a process of its own, on Postgres and Redis.
    Servers,
    /// One process with a file each.
    Files,
}

impl fmt::Display for Engines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Engines::Servers => "Postgres, Redis",
            Engines::Files => "SQLite",
        })
    }
}

/// What strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    Nothing,
    OneKilled(&'static str),
    AllKilled(&'static str),
    RedisKilled,
    RedisWiped,
    RedisFrozen,
    RedisCut,
    PostgresKilled,
    PostgresFrozen,
    PostgresCut,
    RedditDown,
    RedditFaulty,
    TokenRevoked,
    Terminated,
    RollingRestart,
    DiskFull,
    PanickingJob,
    KillingJob,
    Frozen(&'static str),
    /// By so many seconds.
    ClockStepped(i64),
}

/// One line of the table, once for each of its engines.
#[derive(Debug)]
pub struct Cell {
    pub name: &'static str,
    pub strike: Strike,
    pub engines: &'static [Engines],
}

const fn cell(name: &'static str, strike: Strike, engines: &'static [Engines]) -> Cell {
    Cell {
        name,
        strike,
        engines,
    }
}

const SERVERS: &[Engines] = &[Engines::Servers];
const FILES: &[Engines] = &[Engines::Files];
const BOTH: &[Engines] = &[Engines::Servers, Engines::Files];

/// Those that take longest come first, so that a run in parallel does not end with one of them.
pub const CELLS: &[Cell] = &[
    cell("a job that kills its process", Strike::KillingJob, BOTH),
    cell("a job that panics", Strike::PanickingJob, SERVERS),
    cell(
        "a worker frozen and woken",
        Strike::Frozen("worker"),
        SERVERS,
    ),
    cell(
        "a scheduler frozen and woken",
        Strike::Frozen("scheduler"),
        SERVERS,
    ),
    cell("the process frozen and woken", Strike::Frozen("all"), FILES),
    cell("nothing", Strike::Nothing, BOTH),
    cell("a worker killed", Strike::OneKilled("worker"), SERVERS),
    cell("every worker killed", Strike::AllKilled("worker"), SERVERS),
    cell(
        "a scheduler killed",
        Strike::OneKilled("scheduler"),
        SERVERS,
    ),
    cell("the process killed", Strike::AllKilled("all"), FILES),
    cell("Redis killed", Strike::RedisKilled, SERVERS),
    cell("Redis wiped", Strike::RedisWiped, SERVERS),
    cell("Redis frozen", Strike::RedisFrozen, SERVERS),
    cell("Redis cut off", Strike::RedisCut, SERVERS),
    cell("Postgres killed", Strike::PostgresKilled, SERVERS),
    cell("Postgres frozen", Strike::PostgresFrozen, SERVERS),
    cell("Postgres cut off", Strike::PostgresCut, SERVERS),
    cell("disk full", Strike::DiskFull, FILES),
    cell("Reddit down", Strike::RedditDown, BOTH),
    cell("every fifth answer broken", Strike::RedditFaulty, BOTH),
    cell("token revoked", Strike::TokenRevoked, BOTH),
    cell("SIGTERM under load", Strike::Terminated, BOTH),
    cell("rolling restart", Strike::RollingRestart, SERVERS),
    cell("clock an hour forward", Strike::ClockStepped(3600), BOTH),
    cell("clock an hour back", Strike::ClockStepped(-3600), BOTH),
];
