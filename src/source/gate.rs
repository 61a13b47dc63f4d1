//! The back-off that all callers of one process share.
//!
//! Open while the server answers. After a failure it is shut for a while; then one caller goes ahead
//! and the others wait for how it fares. Knows no requests, only how they ended.

use super::error::{SourceError, WaitCause};
use crate::dependency::{Dependency, Service, Trouble};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Between the first two looks at a server that is out, and between the last. One request of a process
/// every four seconds burdens nobody, and what appeared meanwhile waits no longer for the end to be noticed.
const OUTAGE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// The same of a server that turned us away, for which each request is one too many.
const REFUSAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A single failure passes by itself; from the second in a row on it is worth a line in the log.
const TOLD_FROM: u32 = 2;
/// Or where the server itself asks for so long a wait.
const LONG: Duration = Duration::from_secs(30);

/// What an operator is told of an outage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// No answer, or one that is none.
    pub(super) out: &'static str,
    /// Answers that say who asks may not.
    pub(super) no_access: &'static str,
    /// The end of either.
    pub(super) back: &'static str,
}

#[derive(Debug)]
pub(super) struct Gate {
    words: Words,
    state: Mutex<State>,
    changed: Notify,
    dependency: Dependency,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Failures in a row.
    failures: u32,
    /// Of those, the last that call for the same pauses, and which these are.
    alike: (u32, (Duration, Duration)),
    /// What was logged of this outage.
    told: Option<WaitCause>,
    /// When that began.
    since: Option<Instant>,
    /// Rises whenever the gate is shut: whoever passed before must not speak for the time after.
    epoch: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum Phase {
    #[default]
    Open,
    Shut {
        until: Instant,
    },
    /// One caller is on its way to find out.
    Probing,
}

/// Leave to send. Dropped without a verdict, it is as if it had never passed.
#[must_use]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    epoch: u64,
    probe: bool,
    settled: bool,
}

impl Gate {
    pub(super) fn new(words: Words, service: Service) -> Gate {
        Gate {
            words,
            state: Mutex::default(),
            changed: Notify::default(),
            dependency: Dependency::new(service),
        }
    }

    /// How the server fares.
    pub(super) fn dependency(&self) -> &Dependency {
        &self.dependency
    }

    /// Waits until the gate is open, or for the task of going ahead.
    pub(super) async fn pass(&self) -> Pass<'_> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let until = {
                let mut state = self.lock();
                let now = Instant::now();
                match state.phase {
                    Phase::Open => return self.admit(&state, false),
                    Phase::Shut { until } if until <= now => {
                        state.phase = Phase::Probing;
                        return self.admit(&state, true);
                    }
                    Phase::Shut { until } => Some(until),
                    Phase::Probing => None,
                }
            };
            match until {
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// How long it stays shut.
    pub(super) fn shut_for(&self) -> Duration {
        match self.lock().phase {
            Phase::Shut { until } => until.saturating_duration_since(Instant::now()),
            Phase::Open | Phase::Probing => Duration::ZERO,
        }
    }

    /// Waits until the gate is not open.
    pub(super) async fn shut(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !matches!(self.lock().phase, Phase::Open) {
                return;
            }
            changed.await;
        }
    }

    fn admit(&self, state: &State, probe: bool) -> Pass<'_> {
        Pass {
            gate: self,
            epoch: state.epoch,
            probe,
            settled: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Whether the gate was shut since.
    pub(super) fn overtaken(&self) -> bool {
        self.gate.lock().epoch != self.epoch
    }

    /// Returns once the gate was shut since.
    pub(super) async fn until_overtaken(&self) {
        loop {
            let mut changed = std::pin::pin!(self.gate.changed.notified());
            changed.as_mut().enable();
            if self.overtaken() {
                return;
            }
            changed.await;
        }
    }

    /// Whether everyone else waits for how this request fares.
    pub(super) fn probes(&self) -> bool {
        self.probe
    }

    /// Says how a request ended that may have failed for what it asked for, while all others succeed: its
    /// failure is none of the server's. Only where everyone else waits for it, the next waits a moment.
    pub(super) fn settle_doubtful(self, error: Option<&SourceError>) {
        let cause = match error {
            Some(SourceError::Wait { cause, .. }) => *cause,
            _ => return self.settle(error),
        };
        if !cause.may_be_the_request() {
            return self.settle(error);
        }
        let mut pass = self;
        if pass.probe {
            let mut state = pass.gate.lock();
            if state.epoch == pass.epoch {
                // As long as after the failure before, so that an outage is no busier for it.
                let again = pause(state.alike_before(cause).saturating_sub(1), cause);
                let until = Instant::now() + again;
                state.phase = Phase::Shut { until };
            }
        }
        pass.settled = true;
        pass.gate.changed.notify_waiters();
    }

    /// Says how the request ended. Only trouble of the server or the network shuts the gate; an
    /// answer that refuses is an answer.
    pub(super) fn settle(mut self, error: Option<&SourceError>) {
        let mut state = self.gate.lock();
        let current = state.epoch == self.epoch;
        match error {
            // Nothing was learnt of the server: as if dropped.
            Some(SourceError::Wait {
                cause: WaitCause::Budget | WaitCause::Crowded,
                ..
            }) => return drop(state),
            Some(
                error @ SourceError::Wait {
                    cause, retry_after, ..
                },
            ) => {
                let asked = retry_after.unwrap_or_default();
                let now = Instant::now();
                if current {
                    let alike = state.alike_before(*cause);
                    let pause = pause(alike, *cause).max(asked);
                    state.alike = (alike.saturating_add(1), pauses(*cause));
                    state.failures = state.failures.saturating_add(1);
                    state.epoch += 1;
                    state.phase = Phase::Shut { until: now + pause };
                    if state.failures >= TOLD_FROM || asked >= LONG {
                        let fault = cause.fault(self.gate.dependency.service());
                        let trouble = Trouble::new(fault, error.to_string());
                        self.gate.dependency.fails(trouble);
                        // Once an outage, but somebody has to act where access is refused.
                        let refused = WaitCause::Authentication;
                        let news = *cause == refused && state.told != Some(refused);
                        if state.told.is_none() || news {
                            state.told = Some(*cause);
                            state.since.get_or_insert(now);
                            tell(&self.gate.words, error, *cause, fault.remedy());
                        }
                    }
                } else if let Phase::Shut { until } = &mut state.phase {
                    // One of many that failed together counts once; its wish still does.
                    *until = (*until).max(now + asked);
                }
            }
            _ if current => {
                state.failures = 0;
                state.alike = Default::default();
                state.phase = Phase::Open;
                self.gate.dependency.recovered();
                if state.told.take().is_some() {
                    let since = state.since.take();
                    let seconds = since.map_or(0, |since| since.elapsed().as_secs());
                    tracing::info!(seconds, "{}", self.gate.words.back);
                }
            }
            _ => {}
        }
        self.settled = true;
        drop(state);
        self.gate.changed.notify_waiters();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.settled || !self.probe {
            return;
        }
        let mut state = self.gate.lock();
        if state.epoch == self.epoch && matches!(state.phase, Phase::Probing) {
            // The next one goes ahead instead, at once.
            state.phase = Phase::Shut {
                until: Instant::now(),
            };
            drop(state);
            self.gate.changed.notify_waiters();
        }
    }
}

/// One line that says what, why, and what to do.
fn tell(words: &Words, error: &SourceError, cause: WaitCause, remedy: &str) {
    if cause == WaitCause::Authentication {
        tracing::error!(%error, remedy, "{}", words.no_access);
    } else {
        tracing::warn!(%error, remedy, "{}", words.out);
    }
}

impl State {
    /// How many failures in a row just before one of this cause call for pauses as it does. A server that
    /// comes back may turn away who asks first: that is no reason to wait as long as for its end.
    fn alike_before(&self, cause: WaitCause) -> u32 {
        let (count, of) = self.alike;
        if of == pauses(cause) { count } else { 0 }
    }
}

/// The first pause, doubled with every failure, up to the longest; a quarter more or less.
fn pause(failures: u32, cause: WaitCause) -> Duration {
    let (first, longest) = pauses(cause);
    first
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(longest)
        .mul_f64(rand::random_range(0.75..1.25))
        .min(longest)
}

/// The first pause after a failure and the longest.
fn pauses(cause: WaitCause) -> (Duration, Duration) {
    match cause {
        WaitCause::RateLimited | WaitCause::Blocked | WaitCause::Authentication => REFUSAL,
        WaitCause::ServerError(_)
        | WaitCause::Timeout
        | WaitCause::Network
        | WaitCause::BrokenBody
        | WaitCause::Budget
        | WaitCause::Crowded
        | WaitCause::OtherOrigin => OUTAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::time::timeout;

    fn gate() -> Gate {
        let words = Words {
            out: "out",
            no_access: "no access",
            back: "back",
        };
        Gate::new(words, Service::Reddit)
    }

    #[tokio::test]
    async fn a_probe_that_is_cancelled_hands_its_task_on_at_once() {
        let gate = gate();
        let failure = SourceError::wait(WaitCause::ServerError(503), "down");
        gate.pass().await.settle(Some(&failure));
        assert!(gate.pass().now_or_never().is_none());
        let probe = gate.pass().await;
        assert!(probe.probes());
        let mut next = std::pin::pin!(gate.pass());
        assert!(next.as_mut().now_or_never().is_none());
        drop(probe);
        let next = timeout(Duration::from_secs(60), next).await.unwrap();
        assert!(next.probes());
        next.settle(None);
        assert!(!gate.pass().now_or_never().unwrap().probes());
    }

    #[tokio::test]
    async fn a_doubtful_failure_holds_nobody_back_but_who_waits_for_it() {
        let gate = gate();
        let failure = SourceError::wait(WaitCause::ServerError(500), "down");
        for _ in 0..10 {
            gate.pass().await.settle_doubtful(Some(&failure));
            assert!(gate.pass().now_or_never().is_some());
        }
        gate.pass().await.settle(Some(&failure));
        for _ in 0..10 {
            gate.lock().phase = Phase::Shut {
                until: Instant::now(),
            };
            let probe = gate.pass().await;
            assert!(probe.probes());
            probe.settle_doubtful(Some(&failure));
            let Phase::Shut { until } = gate.lock().phase else {
                panic!("it is shut");
            };
            assert!(
                until <= Instant::now() + OUTAGE.0.mul_f64(1.25),
                "no longer"
            );
        }
        gate.lock().phase = Phase::Open;
        let refusal = SourceError::wait(WaitCause::RateLimited, "too many");
        gate.pass().await.settle_doubtful(Some(&refusal));
        assert!(gate.pass().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_server_that_comes_back_and_turns_one_request_away_is_asked_again_soon() {
        let gate = gate();
        let shut_after = async |cause| {
            gate.pass()
                .await
                .settle(Some(&SourceError::wait(cause, "")));
            let shut_for = gate.shut_for();
            gate.lock().phase = Phase::Shut {
                until: Instant::now(),
            };
            shut_for
        };
        for _ in 0..10 {
            shut_after(WaitCause::ServerError(503)).await;
        }
        let first = REFUSAL.0.mul_f64(1.25);
        assert!(shut_after(WaitCause::RateLimited).await <= first);
        assert!(shut_after(WaitCause::RateLimited).await > first, "twice");
        let first = OUTAGE.0.mul_f64(1.25);
        assert!(shut_after(WaitCause::Timeout).await <= first);
    }

    #[test]
    fn the_pause_doubles_up_to_what_its_cause_allows() {
        let (outage, refusal) = (WaitCause::ServerError(503), WaitCause::RateLimited);
        for (failures, cause, seconds) in [
            (0, outage, 0.25),
            (1, outage, 0.5),
            (3, outage, 2.0),
            (4, outage, 4.0),
            (u32::MAX, outage, 4.0),
            (0, refusal, 1.0),
            (5, refusal, 32.0),
            (6, refusal, 60.0),
            (u32::MAX, refusal, 60.0),
        ] {
            let pause = pause(failures, cause).as_secs_f64();
            assert!(
                (0.74 * seconds..=1.26 * seconds).contains(&pause),
                "{failures}: {pause}"
            );
            assert!(pause <= if cause == outage { 10.0 } else { 60.0 });
        }
    }
}
