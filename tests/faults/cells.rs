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
    /// The server comes back without what it held.
    RedisForgets,
    /// Redis and Postgres at once, for everybody.
    BothCut,
    /// From Redis alone.
    OneCut(&'static str),
    OneKilled(&'static str),
    AllKilled(&'static str),
    RedisKilled,
    RedisWiped,
    RedisFrozen,
    RedisCut,
    /// A replica takes over behind the same address; open connections stay with the old server, which
    /// is a replica now.
    RedisFailsOver,
    /// `maxmemory` is reached.
    RedisFull,
    PostgresKilled,
    PostgresFrozen,
    PostgresCut,
    /// A standby takes over behind the same address; open connections stay with the old server, which
    /// takes no writes any more.
    PostgresFailsOver,
    PostgresReadOnly,
    RedditDown,
    RedditFaulty,
    TokenRevoked,
    Terminated,
    RollingRestart,
    DiskFull,
    PanickingJob,
    KillingJob,
    /// Whatever request asks for it fails.
    PoisonedId,
    /// Its reader stops reading and goes; then its disk is full.
    LogSinkGone,
    /// The `Date` of Reddit's answers is wrong in many ways; then Reddit is out while more appears than a
    /// listing holds.
    LyingClock,
    /// Errors inside successes, nothing, half of it, items from the future.
    LyingArchive,
    /// One of this role while it waits for Reddit's answer, for so many seconds: a request is waited
    /// for during 30, and a claim lasts 20.
    Frozen(&'static str, u64),
    /// One of this role between the last statement of its transaction and the COMMIT.
    FrozenCommitting(&'static str, u64),
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

/// None but the one that puts submissions out of every listing's reach may leave a gap open: see
/// `Compared::open`.
///
/// Those that take longest come first, so that a run in parallel does not end with one of them.
pub const CELLS: &[Cell] = &[
    cell("a job that kills its process", Strike::KillingJob, BOTH),
    cell("a job that panics", Strike::PanickingJob, SERVERS),
    cell("a poisoned id", Strike::PoisonedId, BOTH),
    cell("log sink gone", Strike::LogSinkGone, BOTH),
    cell("lying archive", Strike::LyingArchive, BOTH),
    cell("lying clock", Strike::LyingClock, BOTH),
    cell(
        "a worker frozen for 60 s",
        Strike::Frozen("worker", 60),
        SERVERS,
    ),
    cell(
        "a scheduler frozen for 60 s",
        Strike::Frozen("scheduler", 60),
        SERVERS,
    ),
    cell(
        "the process frozen for 60 s",
        Strike::Frozen("all", 60),
        FILES,
    ),
    cell(
        "a worker frozen at its COMMIT for 50 s",
        Strike::FrozenCommitting("worker", 50),
        SERVERS,
    ),
    cell(
        "a scheduler frozen at its COMMIT for 50 s",
        Strike::FrozenCommitting("scheduler", 50),
        SERVERS,
    ),
    cell(
        "a worker frozen for 28 s",
        Strike::Frozen("worker", 28),
        SERVERS,
    ),
    cell(
        "a scheduler frozen for 28 s",
        Strike::Frozen("scheduler", 28),
        SERVERS,
    ),
    cell(
        "the process frozen for 28 s",
        Strike::Frozen("all", 28),
        FILES,
    ),
    cell(
        "a worker frozen at its COMMIT for 28 s",
        Strike::FrozenCommitting("worker", 28),
        SERVERS,
    ),
    cell(
        "a scheduler frozen at its COMMIT for 28 s",
        Strike::FrozenCommitting("scheduler", 28),
        SERVERS,
    ),
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
    cell("Redis restarted empty", Strike::RedisForgets, SERVERS),
    cell("Redis frozen", Strike::RedisFrozen, SERVERS),
    cell("Redis cut off", Strike::RedisCut, SERVERS),
    cell("Redis fails over", Strike::RedisFailsOver, SERVERS),
    cell("Redis full", Strike::RedisFull, SERVERS),
    cell("a worker without Redis", Strike::OneCut("worker"), SERVERS),
    cell(
        "a scheduler without Redis",
        Strike::OneCut("scheduler"),
        SERVERS,
    ),
    cell("Postgres killed", Strike::PostgresKilled, SERVERS),
    cell("Postgres frozen", Strike::PostgresFrozen, SERVERS),
    cell("Postgres cut off", Strike::PostgresCut, SERVERS),
    cell("Postgres fails over", Strike::PostgresFailsOver, SERVERS),
    cell("Postgres read-only", Strike::PostgresReadOnly, SERVERS),
    cell("Redis and Postgres cut off", Strike::BothCut, SERVERS),
    cell("disk full", Strike::DiskFull, FILES),
    cell("Reddit down", Strike::RedditDown, BOTH),
    cell("every fifth answer broken", Strike::RedditFaulty, BOTH),
    cell("token revoked", Strike::TokenRevoked, BOTH),
    cell("SIGTERM under load", Strike::Terminated, BOTH),
    cell("rolling restart", Strike::RollingRestart, SERVERS),
    cell("clock an hour forward", Strike::ClockStepped(3600), BOTH),
    cell("clock an hour back", Strike::ClockStepped(-3600), BOTH),
];

impl Strike {
    /// Whether it keeps submissions from every listing, so that a gap that holds some is in order.
    pub fn is_out_of_reach(self) -> bool {
        self == Strike::LyingClock
    }

    /// Whether a test has the time to run it; the others are runs of the matrix alone.
    pub fn is_short(self) -> bool {
        match self {
            Strike::Frozen(_, seconds) => seconds < 30,
            _ => true,
        }
    }
}
