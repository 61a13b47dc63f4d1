//! The thread that looks at the parts.

use super::{Liveness, Progress, Stuck, lock};
use crate::metrics::Metrics;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LONGEST_TICK: Duration = Duration::from_secs(1);
/// A watchdog that sleeps for so many ticks instead of one was stopped, or starved with all the others: what
/// they did not do meanwhile tells nothing.
const LATE_TICKS: u32 = 3;
/// How long a line of the log is waited for. What blocks the log may be what blocks the process.
const TELLING: Duration = Duration::from_secs(1);

/// How a process ends that makes no progress, or does not end though it stops.
pub struct Ending {
    /// Asks it to stop in order.
    pub ask: Box<dyn FnOnce(&Stuck) + Send>,
    /// How long that may take, and how long it may take to stop for any other reason.
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
        // What the process slept through, as far as that is no longer ago than any limit.
        let mut missed = Missed::default();
        let mut resting_since = None;
        let mut told = false;
        loop {
            let slept = Instant::now();
            if ended.recv_timeout(tick) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if slept.elapsed() > tick * LATE_TICKS {
                missed.add(slept, Instant::now(), limits.exit_after);
            }
            let stillest = self.look(&missed);
            let resting = self.liveness.0.resting.load(Ordering::Relaxed);
            if resting {
                let since = *resting_since.get_or_insert_with(Instant::now);
                if missed.counted(since.elapsed()) >= ending.grace {
                    let seconds = ending.grace.as_secs();
                    tell(move || {
                        tracing::error!(seconds, "The process hangs while it stops; it is ended");
                    });
                    return (ending.insist)();
                }
            }
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
    fn look(&self, missed: &Missed) -> Option<Stuck> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs_f64();
        let mut roles = BTreeMap::new();
        let mut stillest: Option<Stuck> = None;
        let parts: Vec<_> = lock(&self.liveness.0.parts)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for progress in parts.into_iter().map(Progress) {
            let still = progress.still();
            let role = roles.entry(progress.0.role).or_insert(still);
            *role = still.max(*role);
            let counted = missed.counted(still);
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

/// When the whole process stood still: frozen, or starved with all the others. Time in which no part
/// could do anything is no part's standstill.
#[derive(Default)]
struct Missed(Vec<(Instant, Instant)>);

impl Missed {
    fn add(&mut self, from: Instant, until: Instant, limit: Duration) {
        // Later than this, a part that stood still since has long ended the process.
        self.0.retain(|(_, ended)| ended.elapsed() < limit * 4);
        self.0.push((from, until));
    }

    /// How much of the time up to now the process was there for.
    fn counted(&self, still: Duration) -> Duration {
        let now = Instant::now();
        let since = now.checked_sub(still).unwrap_or(now);
        let slept = self.0.iter().map(|(from, until)| {
            let from = (*from).max(since);
            until.saturating_duration_since(from)
        });
        still.saturating_sub(slept.sum())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_standstill_only_what_the_process_slept_through_is_excused() {
        let hour = Duration::from_secs(3_600);
        let ago = |seconds| Instant::now() - Duration::from_secs(seconds);
        let counted = |missed: &Missed, seconds| {
            let counted = missed.counted(Duration::from_secs(seconds));
            counted.as_secs_f64().round()
        };
        let mut missed = Missed::default();
        assert_eq!(counted(&missed, 100), 100.0);
        // One late tick excuses its own time, and not what lay before it.
        missed.add(ago(50), ago(46), hour);
        assert_eq!(counted(&missed, 100), 96.0);
        assert_eq!(counted(&missed, 48), 46.0);
        assert_eq!(counted(&missed, 40), 40.0);
        missed.add(ago(30), ago(0), hour);
        assert_eq!(counted(&missed, 100), 66.0);
        missed.add(ago(0), ago(0), Duration::ZERO);
        assert_eq!(counted(&missed, 100), 100.0, "it is long ago");
    }
}
