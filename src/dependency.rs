//! The state of everything this process depends on: database, queue, rate budget, Reddit, archive.
//!
//! Each client owns one [`Dependency`] and reports to it: what worked, and what failed with which
//! class. An outage begins at the first failure that no retry mends, or once a failure that may pass
//! has lasted for `SUSPICION`; it ends when a probe of the whole way succeeds and nothing has failed
//! for `QUIET`. Each outage logs one line when it starts and one when it ends (`log`), and each fault has
//! one remedy (`fault`). What refuses an item is first only noted: a probe finds out whether it refuses all
//! of them. Refuses to know how anything is asked.

mod all;
mod database_file;
mod fault;
mod log;
mod trouble;

pub use all::{Dependencies, Need};
pub use database_file::{DatabaseFile, sqlite_class};
pub use fault::Fault;
pub use trouble::{Class, Service, Trouble};

use log::OutageLog;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a failure that may pass has to last before it is an outage.
const SUSPICION: Duration = Duration::from_secs(1);
/// How long nothing may have failed before an outage is over.
const QUIET: Duration = Duration::from_secs(4);

/// Which connections of a pool may still be used: those opened since the last fault that a connection
/// keeps to itself, such as a server that has become a replica.
#[derive(Debug)]
pub struct Validity(Mutex<Instant>);

impl Validity {
    /// A new connection after a fault is not replaced again before this time has passed.
    const PAUSE: Duration = Duration::from_millis(500);

    /// All connections from now on.
    pub fn new() -> Validity {
        Validity(Mutex::new(Instant::now()))
    }

    /// Whether one that was opened so long ago may be used.
    pub fn covers(&self, age: Duration) -> bool {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now()
            .checked_sub(age)
            .is_some_and(|opened| opened >= *since)
    }

    /// Those of now may not be used again, however new they are.
    pub fn replace(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Those of now may not be used again.
    pub fn revoke(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.elapsed() >= Validity::PAUSE {
            *since = Instant::now();
        }
    }
}

impl Default for Validity {
    fn default() -> Validity {
        Validity::new()
    }
}

/// What a dependency did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It answered.
    Read,
    /// It stored something.
    Write,
}

/// A dependency as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which one.
    pub service: Service,
    /// What it suffers from; none where it works.
    pub trouble: Option<Trouble>,
    /// Since when it has been so, seconds since the epoch.
    pub since: i64,
}

/// One dependency; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct Dependency(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    /// The zero of the times in milliseconds; monotonic.
    start: Instant,
    read_ms: AtomicU64,
    written_ms: AtomicU64,
    /// Failures so far.
    failures: AtomicU64,
    /// Whether there is anything for a success to clear.
    suspected: AtomicBool,
    /// Where its outages are logged, once somebody watches it.
    log: OnceLock<Arc<OutageLog>>,
    condition: Mutex<Condition>,
}

#[derive(Debug)]
struct Condition {
    outage: Option<Outage>,
    /// When failures that may pass began, without a success since.
    suspected: Option<Suspicion>,
    /// Something was refused, and nothing of its kind has been taken since.
    refuses: bool,
    /// Since when it works, seconds since the epoch.
    works_since: i64,
}

#[derive(Debug, Clone, Copy)]
struct Suspicion {
    class: Class,
    /// What has to succeed for it to be over.
    clears: Evidence,
    began: Instant,
    since: i64,
}

#[derive(Debug)]
struct Outage {
    trouble: Trouble,
    since: i64,
    last: Instant,
}

impl Dependency {
    /// Taken to work until it fails. Logs nothing until it is announced.
    pub fn new(service: Service) -> Dependency {
        Dependency(Arc::new(Inner {
            service,
            start: Instant::now(),
            read_ms: AtomicU64::new(0),
            written_ms: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            suspected: AtomicBool::new(false),
            log: OnceLock::new(),
            condition: Mutex::new(Condition {
                outage: None,
                suspected: None,
                refuses: false,
                works_since: now(),
            }),
        }))
    }

    /// Which one.
    pub fn service(&self) -> Service {
        self.0.service
    }

    /// From now on its outages are logged: somebody watches it, and probes it when it is idle.
    pub fn announce(&self) {
        let log = || Arc::new(OutageLog::new(self.0.service));
        self.0.log.get_or_init(log);
    }

    /// The same of one that is part of the same server: what both suffer is logged once.
    pub fn announce_with(&self, server: &Dependency) {
        server.announce();
        if let Some(log) = server.0.log.get() {
            self.0.log.get_or_init(|| Arc::clone(log));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        let condition = self.0.condition.lock();
        condition.unwrap_or_else(PoisonError::into_inner)
    }

    /// Real work succeeded. That ends no outage: while one part of the work fails, another may not.
    pub fn worked(&self, evidence: Evidence) {
        let now_ms = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.read_ms.store(now_ms, Ordering::Relaxed);
        if evidence == Evidence::Write {
            self.0.written_ms.store(now_ms, Ordering::Relaxed);
        }
        if self.0.suspected.load(Ordering::Relaxed) {
            let mut condition = self.lock();
            // It may answer and take no writes all the same.
            let cleared = condition
                .suspected
                .is_none_or(|it| evidence == Evidence::Write || it.clears == Evidence::Read);
            if cleared {
                self.clear(&mut condition);
            }
        }
    }

    fn clear(&self, condition: &mut Condition) {
        condition.suspected = None;
        self.0.suspected.store(false, Ordering::Relaxed);
    }

    /// A probe of everything that is needed succeeded.
    pub fn proved(&self, evidence: Evidence) {
        self.worked(evidence);
        let mut condition = self.lock();
        self.clear(&mut condition);
        let over = condition
            .outage
            .as_ref()
            .is_some_and(|outage| outage.last.elapsed() >= QUIET);
        if over {
            self.end(&mut condition);
        }
    }

    /// It works again, as its client knows for sure.
    pub fn recovered(&self) {
        self.worked(Evidence::Write);
        let mut condition = self.lock();
        condition.refuses = false;
        if condition.outage.is_some() {
            self.end(&mut condition);
        }
    }

    fn end(&self, condition: &mut Condition) {
        condition.outage = None;
        condition.works_since = now();
        if let Some(log) = self.0.log.get() {
            log.ends(self.0.service);
        }
    }

    /// Something failed. Where it is unreachable, any answer tells that it no longer is.
    pub fn failed(&self, trouble: Trouble) {
        let clears = match trouble.class {
            Class::Unreachable => Evidence::Read,
            _ => Evidence::Write,
        };
        self.failed_at(trouble, clears, Instant::now());
    }

    /// Something failed that only a success of this kind tells to be over.
    pub fn failed_until(&self, clears: Evidence, trouble: Trouble) {
        self.failed_at(trouble, clears, Instant::now());
    }

    /// How often something has failed. What has raised it by nothing was no known fault.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// An item was refused, for a reason that may be its own.
    pub fn refused(&self) {
        self.lock().refuses = true;
    }

    /// Whether it may refuse every item: one was refused, and none has been taken since.
    pub fn refuses(&self) -> bool {
        self.lock().refuses
    }

    /// It takes items: what was refused was refused for its own sake.
    pub fn takes(&self) {
        self.lock().refuses = false;
    }

    fn failed_at(&self, trouble: Trouble, clears: Evidence, at: Instant) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let mut condition = self.lock();
        if let Some(outage) = &mut condition.outage {
            outage.last = at;
            if outage.trouble.class != trouble.class {
                tracing::debug!(
                    dependency = self.0.service.as_str(),
                    class = trouble.class.as_str(),
                    error = trouble.error,
                    "Dependency fails in another way"
                );
            }
            outage.trouble = trouble;
            return;
        }
        let (mut began, mut since) = (at, now());
        if trouble.class.may_pass() {
            let suspicion = condition.suspected.get_or_insert(Suspicion {
                class: trouble.class,
                clears,
                began: at,
                since,
            });
            suspicion.class = trouble.class;
            if clears == Evidence::Write {
                suspicion.clears = clears;
            }
            (began, since) = (suspicion.began, suspicion.since);
            self.0.suspected.store(true, Ordering::Relaxed);
            if at.duration_since(began) < SUSPICION {
                return;
            }
        }
        self.begin(&mut condition, trouble, began, since);
    }

    /// It fails, as its client knows for sure.
    pub fn fails(&self, trouble: Trouble) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let mut condition = self.lock();
        if let Some(outage) = &mut condition.outage {
            outage.last = Instant::now();
            outage.trouble = trouble;
        } else {
            self.begin(&mut condition, trouble, Instant::now(), now());
        }
    }

    fn begin(&self, condition: &mut Condition, trouble: Trouble, began: Instant, since: i64) {
        if let Some(log) = self.0.log.get() {
            log.begins(self.0.service, &trouble, began);
        }
        self.clear(condition);
        condition.outage = Some(Outage {
            trouble,
            since,
            last: Instant::now(),
        });
    }

    /// How long ago it last did so.
    pub fn idle(&self, evidence: Evidence) -> Duration {
        let last = match evidence {
            Evidence::Read => &self.0.read_ms,
            Evidence::Write => &self.0.written_ms,
        };
        let last = Duration::from_millis(last.load(Ordering::Relaxed));
        self.0.start.elapsed().saturating_sub(last)
    }

    /// Whether something failed that nothing has cleared yet.
    pub fn is_doubtful(&self) -> bool {
        let condition = self.lock();
        condition.outage.is_some() || condition.suspected.is_some() || condition.refuses
    }

    /// As it is now.
    pub fn state(&self) -> State {
        let condition = self.lock();
        let outage = condition.outage.as_ref();
        State {
            service: self.0.service,
            trouble: outage.map(|outage| outage.trouble.clone()),
            since: outage.map_or(condition.works_since, |outage| outage.since),
        }
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(fault: Fault) -> Trouble {
        Trouble::new(fault, "said")
    }

    fn failed_at(dependency: &Dependency, fault: Fault, at: Instant) {
        dependency.failed_at(trouble(fault), Evidence::Read, at);
    }

    #[test]
    fn a_lost_connection_is_no_outage_unless_it_goes_on() {
        let dependency = Dependency::new(Service::Queue);
        dependency.failed(trouble(Fault::RedisUnreachable));
        assert!(dependency.is_doubtful() && dependency.state().trouble.is_none());
        dependency.worked(Evidence::Read);
        assert!(!dependency.is_doubtful());
        let first = Instant::now();
        failed_at(&dependency, Fault::RedisUnreachable, first);
        failed_at(&dependency, Fault::RedisUnreachable, first + SUSPICION / 2);
        assert!(dependency.state().trouble.is_none());
        failed_at(&dependency, Fault::RedisUnreachable, first + SUSPICION);
        let state = dependency.state();
        assert_eq!(state.trouble.map(|it| it.class), Some(Class::Unreachable));
    }

    #[test]
    fn answers_clear_no_suspicion_that_it_takes_no_writes() {
        let dependency = Dependency::new(Service::Queue);
        dependency.failed(trouble(Fault::RedisBusy));
        dependency.worked(Evidence::Read);
        assert!(dependency.is_doubtful());
        dependency.worked(Evidence::Write);
        assert!(!dependency.is_doubtful());
    }

    #[test]
    fn writes_that_go_unanswered_are_an_outage_however_many_reads_are_answered() {
        let dependency = Dependency::new(Service::Database);
        let first = Instant::now();
        for at in [first, first + SUSPICION] {
            dependency.failed_at(trouble(Fault::PostgresHangs), Evidence::Write, at);
            dependency.worked(Evidence::Read);
        }
        let state = dependency.state();
        assert_eq!(state.trouble, Some(trouble(Fault::PostgresHangs)));
    }

    #[test]
    fn what_refused_an_item_is_doubtful_until_it_takes_one() {
        let dependency = Dependency::new(Service::Database);
        dependency.refused();
        dependency.worked(Evidence::Write);
        assert!(dependency.is_doubtful() && dependency.refuses());
        assert_eq!(dependency.state().trouble, None);
        dependency.takes();
        assert!(!dependency.is_doubtful());
    }

    #[test]
    fn what_no_retry_mends_is_an_outage_at_once_which_success_elsewhere_does_not_end() {
        let dependency = Dependency::new(Service::Database);
        for fault in [
            Fault::PostgresReadOnly,
            Fault::PostgresFull,
            Fault::PostgresTablesMissing,
        ] {
            dependency.failed(trouble(fault));
            dependency.worked(Evidence::Write);
            dependency.proved(Evidence::Write);
            let state = dependency.state();
            assert_eq!(state.trouble, Some(trouble(fault)));
        }
        dependency.recovered();
        assert_eq!(dependency.state().trouble, None);
    }
}
