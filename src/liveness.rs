//! Whether the parts of this process get on with their work, and what happens when one does not.
//!
//! Each part says so by its [`Progress`]: it did work, or it looked and found none to do, or it waits
//! for a dependency, whose absence no restart would mend. A watchdog on a thread of its own, which a
//! blocked runtime does not block, makes the process unready after a while without, and ends it after
//! a longer one, so that its supervisor starts it anew. Refuses to know what the work is.

mod watchdog;

pub use watchdog::{Ending, Watch};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval_at};

/// While a part waits for a dependency, it shows this often that it still can.
const WAITING: Duration = Duration::from_millis(500);

/// Longer than one call of a dependency takes that keeps to its own limits: a request to Reddit has half
/// a minute, the queue one minute, the database a minute and a half.
pub const CALL: Duration = Duration::from_secs(120);
/// Of a wait for what may never come: the next tick, the next job, an end that others watch over.
pub const HOWEVER_LONG: Duration = Duration::MAX;

/// How long a part may be without progress.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Then the process is not ready any more.
    pub unready_after: Duration,
    /// Then it ends.
    pub exit_after: Duration,
}

/// All parts of this process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    /// Those that are still there.
    parts: Mutex<Vec<Weak<Part>>>,
    /// As the watchdog last saw it.
    stuck: Mutex<Option<Stuck>>,
    /// The process stops, and nothing need go on.
    resting: AtomicBool,
}

/// A part that makes no progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Its role: `scheduler`, `worker`, `http`.
    pub role: &'static str,
    /// What it is within its role.
    pub part: &'static str,
    /// For how long.
    pub still: Duration,
    /// Its last progress, seconds since the epoch.
    pub since: i64,
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stuck { role, part, .. } = self;
        let since = chrono::DateTime::from_timestamp(self.since, 0).unwrap_or_default();
        let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let seconds = self.still.as_secs();
        write!(
            formatter,
            "the {role} ({part}) has made no progress for {seconds} s, since {since}"
        )
    }
}

impl Liveness {
    /// Of no part yet.
    pub fn new(limits: Limits) -> Liveness {
        Liveness(Arc::new(Inner {
            limits,
            parts: Mutex::default(),
            stuck: Mutex::default(),
            resting: AtomicBool::new(false),
        }))
    }

    /// A part that must make progress from now on, as long as anyone holds it.
    pub fn part(&self, role: &'static str, part: &'static str) -> Progress {
        let progress = Progress::new(role, part, Arc::downgrade(&self.0));
        self.add(&progress);
        progress
    }

    fn add(&self, progress: &Progress) {
        let mut parts = lock(&self.0.parts);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&progress.0));
    }

    /// The part that has been without progress for longest, if that is too long.
    pub fn stuck(&self) -> Option<Stuck> {
        lock(&self.0.stuck).clone()
    }

    /// The process stops: from now on nothing need make progress, but it must end within the grace of
    /// its [`Ending`].
    pub fn rest(&self) {
        self.0.resting.store(true, Ordering::Relaxed);
        *lock(&self.0.stuck) = None;
    }
}

/// Where one part says that it gets on; cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Part>);

#[derive(Debug)]
struct Part {
    role: &'static str,
    name: &'static str,
    /// The zero of `last_ms`. The clock is monotonic: a wall clock that is set moves nothing.
    start: Instant,
    last_ms: AtomicU64,
    /// The last that was no mere wait, on the same clock.
    made_ms: AtomicU64,
    liveness: Weak<Inner>,
}

impl Progress {
    fn new(role: &'static str, name: &'static str, liveness: Weak<Inner>) -> Progress {
        Progress(Arc::new(Part {
            role,
            name,
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            made_ms: AtomicU64::new(0),
            liveness,
        }))
    }

    /// Of a part that nobody watches.
    pub fn unwatched() -> Progress {
        Progress::new("none", "unwatched", Weak::new())
    }

    /// Of one more piece of work of the same part, watched by itself for as long as it lasts: one that
    /// hangs is not hidden by others that get on.
    pub fn another(&self) -> Progress {
        let Part { role, name, .. } = *self.0;
        let progress = Progress::new(role, name, Weak::clone(&self.0.liveness));
        if let Some(inner) = self.0.liveness.upgrade() {
            Liveness(inner).add(&progress);
        }
        progress
    }

    /// Work was done, or there was none to do, or a dependency is away.
    pub fn made(&self) {
        let now_ms = self.now_ms();
        self.0.made_ms.store(now_ms, Ordering::Relaxed);
        self.0.last_ms.store(now_ms, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Awaits calls of dependencies that have limits of their own. As long as the waiting task is
    /// alive, that counts as progress, but not for longer than `at_most` since it began or since
    /// something was [`made`](Progress::made) within it: then it is our own code that hangs. The end of
    /// the call is no progress by itself.
    pub async fn during<F: Future>(&self, at_most: Duration, call: F) -> F::Output {
        let at_most_ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        let begun_ms = self.now_ms();
        tokio::pin!(call);
        let mut showing = interval_at(tokio::time::Instant::now() + WAITING, WAITING);
        showing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                output = &mut call => return output,
                _ = showing.tick() => {
                    let now_ms = self.now_ms();
                    let since_ms = begun_ms.max(self.0.made_ms.load(Ordering::Relaxed));
                    if now_ms.saturating_sub(since_ms) < at_most_ms {
                        self.0.last_ms.store(now_ms, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Awaits work that says of each of its steps that it was made; none once it has not for `limit`.
    /// Only what this task saw go by counts: a process that stood still itself proves nothing.
    pub async fn unless_hung<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        tokio::pin!(work);
        let mut look = interval_at(tokio::time::Instant::now() + WAITING, WAITING);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let made = || self.0.made_ms.load(Ordering::Relaxed);
        let (mut seen, mut still) = (made(), Duration::ZERO);
        while still < limit {
            tokio::select! {
                biased;
                output = &mut work => return Some(output),
                _ = look.tick() => still += WAITING,
            }
            if std::mem::replace(&mut seen, made()) != seen {
                still = Duration::ZERO;
            }
        }
        None
    }

    /// How long ago it last made progress.
    pub fn still(&self) -> Duration {
        let last = Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed));
        self.0.start.elapsed().saturating_sub(last)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
