//! What a worker calls, and what it is told.
//!
//! Owns the words between the queue and whoever gives a job its meaning. Knows no engine.

use std::future::Future;
use std::time::Duration;

use super::job::Work;
use crate::liveness::Progress;

/// Gives jobs their meaning.
///
/// A job may run twice, in any order, long after it was pushed. Whatever is returned, the job is
/// over for the queue: when to try again is written in the database, and the job is pushed anew.
pub trait Handler: Send + Sync + 'static {
    /// What its jobs are about.
    type Work: Work;

    /// Runs one job. Dropped at its next await when [`WorkOptions::job_timeout`] has passed, and
    /// for that it must never block its thread.
    fn run(&self, work: Self::Work) -> impl Future<Output = Outcome> + Send;

    /// Notes that a heartbeat came through which was pushed then (milliseconds since the epoch). Has
    /// ten seconds; one that cannot be noted is followed by the next.
    fn heartbeat(&self, sent_ms: i64) -> impl Future<Output = ()> + Send;

    /// Told that [`Handler::run`] gave no outcome of its own. Has ten seconds.
    fn fault(&self, work: Self::Work, fault: Fault) -> impl Future<Output = ()> + Send;
}

/// How a job ended; the `outcome` label of `freshet_jobs_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Fetched and written.
    Stored,
    /// Fetched and equal to what was stored.
    Unchanged,
    /// To be tried again later, without blame.
    Deferred,
    /// Reddit gives it out no longer.
    Unavailable,
    /// Nothing was left to do.
    Obsolete,
    /// Given back without blame and without an answer of its own: Reddit or the database is out, the
    /// process stops, or it waits for its turn to run alone.
    Returned,
    /// Went wrong.
    Failed,
}

impl Outcome {
    /// Every outcome, in a fixed order.
    pub const ALL: [Outcome; 7] = [
        Outcome::Stored,
        Outcome::Unchanged,
        Outcome::Deferred,
        Outcome::Unavailable,
        Outcome::Obsolete,
        Outcome::Returned,
        Outcome::Failed,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Stored => "stored",
            Outcome::Unchanged => "unchanged",
            Outcome::Deferred => "deferred",
            Outcome::Unavailable => "unavailable",
            Outcome::Obsolete => "obsolete",
            Outcome::Returned => "returned",
            Outcome::Failed => "failed",
        }
    }
}

/// Why a job ended without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It panicked with this message.
    Panicked(String),
    /// It took longer than [`WorkOptions::job_timeout`].
    TimedOut,
}

impl Fault {
    /// The label value in `freshet_jobs_total`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Fault::Panicked(_) => "panicked",
            Fault::TimedOut => "timed_out",
        }
    }
}

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Jobs that run at once; taken as at least 1 and at most 4,000, since Redis scripts unpack
    /// the jobs of a dead worker in one go and stop at 8,000.
    pub concurrency: usize,
    /// How long one job may take.
    pub job_timeout: Duration,
    /// How soon a worker that got fewer jobs than it can run looks for more. While there are none, each
    /// pause is twice the last, up to `idle_interval`; a push of this process ends it.
    pub poll_interval: Duration,
    /// How often an idle worker looks for jobs that other processes push.
    pub idle_interval: Duration,
    /// Where it says that it gets on: jobs end, or there is none, or the queue is away.
    pub progress: Progress,
}

impl Default for WorkOptions {
    fn default() -> Self {
        WorkOptions {
            concurrency: 200,
            job_timeout: Duration::from_secs(60),
            poll_interval: Duration::from_millis(20),
            idle_interval: Duration::from_millis(200),
            progress: Progress::unwatched(),
        }
    }
}
