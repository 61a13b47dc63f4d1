//! The thread that looks at the parts.

use super::{Liveness, Stuck, lock};
use crate::metrics::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LONGEST_TICK: Duration = Duration::from_secs(1);
/// A watchdog that sleeps for so many ticks instead of one was stopped, or starved with all the others: what
/// they did not do meanwhile tells nothing.
const LATE_TICKS: u32 = 3;
/// How long a line of the log is waited for. What blocks the log may be what blocks the process.
const TELLING: Duration = Duration::from_secs(1);

/// How a process ends that makes no progress.
pub struct Ending {
    /// Asks it to stop in order.
    pub ask: Box<dyn FnOnce(&Stuck) + Send>,
    /// How long that may take.
    pub grace: Duration,
    /// Ends it where it has not ended by then.
    pub insist: Box<dyn FnOnce() + Send>,
}

/// A running watchdog. Dropping it ends it, unless it has asked the process to end: then it sees to
/// that.
#[derive(Debug)]
pub struct Watch {
    asked: Arc<AtomicBool>,
    ended: Option<Sender<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.asked.load(Ordering::SeqCst) {
            std::mem::forget(self.ended.take());
        }
    }
}

impl Liveness {
    /// Starts the watchdog.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn watch(&self, metrics: Arc<Metrics>, ending: Ending) -> std::io::Result<Watch> {
        let (sender, ended) = channel();
        let asked = Arc::new(AtomicBool::new(false));
        let watchdog = Watchdog {
            liveness: self.clone(),
            metrics,
            asked: Arc::clone(&asked),
        };
        Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watchdog.run(&ended, ending))?;
        Ok(Watch {
            asked,
            ended: Some(sender),
        })
    }
}

struct Watchdog {
    liveness: Liveness,
    metrics: Arc<Metrics>,
    asked: Arc<AtomicBool>,
}

impl Watchdog {
    fn run(self, ended: &Receiver<()>, ending: Ending) {
        let limits = self.liveness.0.limits;
        let tick = (limits.unready_after / 4).min(LONGEST_TICK);
        let mut fresh_start = Instant::now();
        let mut told = false;
        loop {
            let slept = Instant::now();
            if ended.recv_timeout(tick) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if slept.elapsed() > tick * LATE_TICKS {
                fresh_start = Instant::now();
            }
            let stillest = self.look(fresh_start);
            let resting = self.liveness.0.resting.load(Ordering::Relaxed);
            let stuck = stillest.filter(|it| !resting && it.still >= limits.unready_after);
            *lock(&self.liveness.0.stuck) = stuck.clone();
            let Some(stuck) = stuck else {
                if std::mem::take(&mut told) && !resting {
                    tell(|| tracing::info!("Everything makes progress again"));
                }
                continue;
            };
            if !std::mem::replace(&mut told, true) {
                let stuck = stuck.clone();
                tell(move || tracing::warn!("Not ready: {stuck}"));
            }
            if stuck.still >= limits.exit_after {
                self.asked.store(true, Ordering::SeqCst);
                let line = format!("The process ends, to be started anew: {stuck}");
                tell(move || tracing::error!("{line}"));
                (ending.ask)(&stuck);
                if ended.recv_timeout(ending.grace) == Err(RecvTimeoutError::Timeout) {
                    (ending.insist)();
                }
                return;
            }
        }
    }

    /// Shows each role's progress, that of its stillest part; and the stillest of all.
    fn look(&self, fresh_start: Instant) -> Option<Stuck> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs_f64();
        let mut roles = BTreeMap::new();
        let mut stillest: Option<Stuck> = None;
        for progress in lock(&self.liveness.0.parts).iter() {
            let still = progress.still();
            let role = roles.entry(progress.0.role).or_insert(still);
            *role = still.max(*role);
            let counted = still.min(fresh_start.elapsed());
            if stillest.as_ref().is_none_or(|it| it.still < counted) {
                #[expect(clippy::cast_possible_truncation, reason = "seconds of this era")]
                let since = (now - still.as_secs_f64()) as i64;
                stillest = Some(Stuck {
                    role: progress.0.role,
                    part: progress.0.name,
                    still: counted,
                    since,
                });
            }
        }
        for (role, still) in roles {
            let gauge = self.metrics.last_progress.with_label_values(&[role]);
            gauge.set(((now - still.as_secs_f64()) * 1000.0).round() / 1000.0);
        }
        stillest
    }
}

/// Logs on another thread, which is waited for only so long.
fn tell(line: impl FnOnce() + Send + 'static) {
    let (sender, told) = channel();
    let thread = Builder::new().spawn(move || {
        line();
        let _ = sender.send(());
    });
    if thread.is_ok() {
        let _ = told.recv_timeout(TELLING);
    }
}
