//! Finds out whether dependencies that nobody has used for a while still work.
//!
//! Real work is the evidence; a probe is made only where there has been none for [`IDLE`], or where
//! something failed and the end of it is waited for.

use super::doctor::told;
use crate::dependency::{
    Class, Dependencies, Dependency, Evidence, Fault, Need, Service, State, Trouble,
};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::source::{ArcticShift, Budget, Reddit};
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// Less than the stalest evidence that a ready process may have.
const IDLE: Duration = Duration::from_secs(5);
/// A dependency that takes longer does not work.
const LIMIT: Duration = Duration::from_secs(5);
/// What fails is said again this often, so that others see it is still so.
const SAID_EVERY: Duration = Duration::from_secs(20);

/// What is probed.
pub(super) struct Probes {
    store: Store,
    queue: Queue,
    budget: Option<Budget>,
    /// Whether this process writes at all.
    writes: bool,
    /// Under which name it says how its dependencies fare.
    process: String,
    pub(super) dependencies: Arc<Dependencies>,
}

impl Probes {
    pub(super) fn new(
        store: &Store,
        queue: &Queue,
        reddit: Option<&Reddit>,
        archive: Option<&ArcticShift>,
        name: &str,
        writes: bool,
    ) -> Probes {
        let evidence = Need::Evidence(if writes {
            Evidence::Write
        } else {
            Evidence::Read
        });
        let mut dependencies = Dependencies::default();
        // Opened and migrated a moment ago: what failed before, such as a table that was not there yet, is
        // no outage.
        store.dependency().recovered();
        queue.dependency().recovered();
        store.dependency().announce();
        queue.dependency().announce();
        dependencies.watch(store.dependency(), evidence);
        dependencies.watch(queue.dependency(), evidence);
        let budget = reddit.map(|reddit| reddit.budget().clone());
        if let Some(shared) = budget.as_ref().and_then(Budget::dependency) {
            // It is in the Redis of the queue.
            shared.announce_with(queue.dependency());
            shared.worked(Evidence::Write);
            dependencies.watch(shared, Need::Evidence(Evidence::Write));
        }
        // These log their outages themselves.
        if let Some(reddit) = reddit {
            dependencies.watch(reddit.dependency(), Need::Shown);
        }
        if let Some(archive) = archive {
            dependencies.watch(archive.dependency(), Need::Shown);
        }
        let unique = uuid::Uuid::new_v4().simple().to_string();
        Probes {
            store: store.clone(),
            queue: queue.clone(),
            budget,
            writes,
            process: format!("{name}-{}-{unique:.8}", std::process::id()),
            dependencies: Arc::new(dependencies),
        }
    }

    async fn database(&self, said: &mut Said, now_ms: i64) {
        let dependency = self.store.dependency();
        let faults = match self.store.engine() {
            "sqlite" => Faults {
                silent: Fault::FileSlow,
                hangs: Fault::FileLocked,
                refuses: Fault::DatabaseFileRefuses,
            },
            _ => Faults {
                silent: Fault::PostgresUnreachable,
                hangs: Fault::PostgresHangs,
                refuses: Fault::PostgresRefuses,
            },
        };
        if said.looks_for_blocked(dependency) {
            said.looked = Some(Instant::now());
            if !bounded(dependency, &faults, self.store.look_for_blocked()).await {
                return;
            }
        }
        if !self.writes {
            if is_due(dependency, Evidence::Read) {
                bounded(dependency, &faults, self.store.probe(None, now_ms)).await;
            }
            return;
        }
        let states = self.dependencies.states();
        let failing: Vec<State> = states
            .into_iter()
            .filter(|it| it.service != Service::Database && it.trouble.is_some())
            .collect();
        if is_due(dependency, Evidence::Write) || said.is_due(&failing) {
            let says = Some((self.process.as_str(), failing.as_slice()));
            if bounded(dependency, &faults, self.store.probe(says, now_ms)).await {
                (said.failing, said.at) = (failing, Some(Instant::now()));
            }
        }
    }

    async fn queue(&self) {
        let dependency = self.queue.dependency();
        let faults = match self.queue.engine() {
            "sqlite" => Faults {
                silent: Fault::FileSlow,
                hangs: Fault::FileLocked,
                refuses: Fault::QueueFileRefuses,
            },
            _ => REDIS,
        };
        let other = self.budget.as_ref().and_then(Budget::dependency);
        let other = other.is_some_and(Dependency::is_doubtful);
        if self.writes {
            if other || is_due(dependency, Evidence::Write) {
                bounded(dependency, &faults, self.queue.probe()).await;
            }
        } else if is_due(dependency, Evidence::Read) {
            let asked = async {
                self.queue.depth().await?;
                dependency.proved(Evidence::Read);
                Ok::<_, crate::queue::QueueError>(())
            };
            bounded(dependency, &faults, asked).await;
        }
    }

    async fn budget(&self) {
        let Some(budget) = &self.budget else { return };
        let Some(dependency) = budget.dependency() else {
            return;
        };
        // They are one server, so that what fails the one is looked for at the other.
        let other = self.queue.dependency().is_doubtful();
        if other || is_due(dependency, Evidence::Write) {
            bounded(dependency, &REDIS, budget.probe()).await;
        }
    }
}

/// What was last said of dependencies that fail, and what the database was asked.
#[derive(Default)]
struct Said {
    failing: Vec<State>,
    at: Option<Instant>,
    /// When it was last looked whether anything waits for a lock.
    looked: Option<Instant>,
}

impl Said {
    fn is_due(&self, failing: &[State]) -> bool {
        let news = self.failing != failing;
        let old = self.at.is_none_or(|at| at.elapsed() >= SAID_EVERY);
        news || (old && !failing.is_empty())
    }

    /// Also while other work succeeds, or hangs; not while it fails in another way, which a probe finds out.
    fn looks_for_blocked(&self, database: &Dependency) -> bool {
        let class = database.state().trouble.map(|it| it.class);
        let due = self.looked.is_none_or(|at| at.elapsed() >= IDLE);
        class == Some(Class::Locked) || (due && matches!(class, None | Some(Class::NotServing)))
    }
}

fn is_due(dependency: &Dependency, evidence: Evidence) -> bool {
    dependency.is_doubtful() || dependency.idle(evidence) >= IDLE
}

/// What is wrong with a dependency whose probe does not succeed for a known fault.
struct Faults {
    /// It does not answer.
    silent: Fault,
    /// It answers, and does not end what writes.
    hangs: Fault,
    /// It refuses for a reason that no class is known for.
    refuses: Fault,
}

const REDIS: Faults = Faults {
    silent: Fault::RedisUnreachable,
    hangs: Fault::RedisUnreachable,
    refuses: Fault::RedisRefuses,
};

/// Whether it succeeded in time. Known faults are noted where they arise; whatever else keeps a probe from
/// succeeding is noted here, for it keeps the work from it, too.
async fn bounded<E: std::error::Error>(
    dependency: &Dependency,
    faults: &Faults,
    probe: impl Future<Output = Result<(), E>>,
) -> bool {
    let failures = dependency.failures();
    match timeout(LIMIT, probe).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => {
            let error = told(&error);
            tracing::debug!(
                error,
                dependency = dependency.service().as_str(),
                "A probe failed"
            );
            if dependency.failures() == failures {
                let trouble = Trouble::new(faults.refuses, error);
                dependency.failed_until(Evidence::Write, trouble);
            }
        }
        // What else it was asked meanwhile was answered.
        Err(_) if dependency.idle(Evidence::Read) < LIMIT => {
            dependency.failed_until(Evidence::Write, Trouble::timeout(faults.hangs, LIMIT));
        }
        Err(_) => dependency.failed(Trouble::timeout(faults.silent, LIMIT)),
    }
    false
}

/// Probes until told to stop.
pub(super) async fn run(
    probes: Probes,
    metrics: Arc<Metrics>,
    now_ms: fn() -> i64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Said::default();
    loop {
        tokio::select! { () = stop.cancelled() => return Ok(()), _ = tick.tick() => {} }
        for state in probes.dependencies.states() {
            let label = &[state.service.as_str()];
            let up = i64::from(state.trouble.is_none());
            metrics.dependency_up.with_label_values(label).set(up);
            let since = &metrics.dependency_since;
            since.with_label_values(label).set(state.since);
        }
        let probe = async {
            tokio::join!(
                probes.database(&mut said, now_ms()),
                probes.queue(),
                probes.budget()
            )
        };
        tokio::select! { () = stop.cancelled() => return Ok(()), _ = probe => {} }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_keeps_a_probe_from_succeeding_is_an_outage_also_where_nobody_knows_it() {
        let dependency = Dependency::new(Service::Queue);
        while dependency.state().trouble.is_none() {
            let refused = async { Err(std::fmt::Error) };
            assert!(!bounded(&dependency, &REDIS, refused).await);
            // What only reads succeeds all the while.
            dependency.worked(Evidence::Read);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let trouble = dependency.state().trouble;
        assert_eq!(trouble.map(|it| it.class), Some(Class::Refuses));
        assert!(bounded(&dependency, &REDIS, async { Ok::<(), std::fmt::Error>(()) }).await);
    }
}
