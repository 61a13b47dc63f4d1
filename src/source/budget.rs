//! One budget for every request: how many, how fast, and whose turn it is.
//!
//! Owns the promise that no minute holds more than `requests_per_minute` requests of one client id,
//! in all processes together, and that the server's own count is never overdrawn. Knows nothing of
//! what is asked for. A request needs a [`Grant`]; there is no other way to get one than
//! [`Budget::acquire`].

mod class;
#[cfg(test)]
mod fairness;
mod pace;
#[cfg(test)]
mod promise;
mod quota;
mod shared;
mod shares;
mod state;
mod stock;
mod turns;

pub use class::RequestClass;
pub use pace::Pace;
pub use quota::Quota;
pub use state::{BudgetState, Decision};

use crate::dependency::Dependency;
use crate::network::Address;
use redis::RedisError;
use shared::Shared;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stock::Stock;
use tokio::time::{Instant, sleep, timeout_at};
use turns::Turns;

/// How long [`Budget::acquire`] tries to reach the shared state before it gives the caller a say.
const PATIENCE: Duration = Duration::from_secs(10);

/// First and longest pause between attempts to reach the shared state.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// No single wait is longer, so that a change of the shared state is noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(shares::LONGEST_WAIT_MS.unsigned_abs());

/// How often one that waits looks whether the budget moves.
const MOVES_LOOK: Duration = Duration::from_millis(500);

/// The right to make one request, now.
#[derive(Debug, Clone, Copy)]
#[must_use = "a grant is spent even if no request is made"]
pub struct Grant {
    sequence: u64,
    remaining: Option<f64>,
    window_ends: Option<Instant>,
    tokens: f64,
}

impl Grant {
    /// Requests left in the server's window after this one, where the server has said.
    pub fn remaining(&self) -> Option<f64> {
        self.remaining
    }

    /// How long the server's window still lasts, where it has said and it has not ended since.
    pub fn window(&self) -> Option<Duration> {
        self.window_ends?.checked_duration_since(Instant::now())
    }

    /// Grants left in the bucket after this one.
    pub fn tokens(&self) -> f64 {
        self.tokens
    }
}

/// Why there is no grant.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// Wait and ask again: the shared state cannot be reached, and nothing is sent without it.
    #[error("the shared rate budget in Redis cannot be reached")]
    Unreachable(#[source] Arc<RedisError>),
    /// Never: Redis' address is none. The address itself may hold a password and is not shown.
    #[error("the address of the Redis for the shared rate budget cannot be used")]
    Address(#[source] Arc<RedisError>),
}

/// The budget of one client id; cheap to clone, all clones are one.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    requests_per_minute: NonZeroU32,
    pace: Pace,
    turns: Turns,
    storage: Storage,
    /// Rises whenever the state was asked, whatever it said: those in line wait for something.
    moves: AtomicU64,
}

enum Storage {
    Local {
        state: Mutex<BudgetState>,
        /// The zero of this state's clock, which is monotonic.
        start: Instant,
    },
    Shared {
        state: Box<Shared>,
        /// For each class.
        stock: Box<[Stock; RequestClass::COUNT]>,
    },
}

impl Budget {
    /// A budget of this process alone.
    pub fn local(requests_per_minute: NonZeroU32) -> Budget {
        let storage = Storage::Local {
            state: Mutex::new(BudgetState::empty(0)),
            start: Instant::now(),
        };
        Budget::with(requests_per_minute, storage)
    }

    /// A budget of all processes that use this client id and this Redis. Connects when it is first
    /// used; must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`BudgetError::Address`] where `redis` is no address of a Redis.
    pub fn shared(
        redis: impl Into<Address>,
        client_id: &str,
        requests_per_minute: NonZeroU32,
    ) -> Result<Budget, BudgetError> {
        let state = Shared::new(&redis.into(), client_id)
            .map_err(|error| BudgetError::Address(Arc::new(error)))?;
        let storage = Storage::Shared {
            state: Box::new(state),
            stock: Default::default(),
        };
        Ok(Budget::with(requests_per_minute, storage))
    }

    fn with(requests_per_minute: NonZeroU32, storage: Storage) -> Budget {
        Budget(Arc::new(Inner {
            requests_per_minute,
            pace: Pace::per_minute(requests_per_minute),
            turns: Turns::default(),
            storage,
            moves: AtomicU64::new(0),
        }))
    }

    /// How the shared state fares; none where there is none.
    pub fn dependency(&self) -> Option<&Dependency> {
        match &self.0.storage {
            Storage::Local { .. } => None,
            Storage::Shared { state, .. } => Some(state.dependency()),
        }
    }

    /// Reads the shared state and writes it back, which ends an outage.
    ///
    /// # Errors
    /// [`BudgetError::Unreachable`] where that fails.
    pub async fn probe(&self) -> Result<(), BudgetError> {
        match &self.0.storage {
            Storage::Local { .. } => Ok(()),
            Storage::Shared { state, .. } => {
                let probed = state.probe().await;
                probed.map_err(|error| BudgetError::Unreachable(Arc::new(error)))
            }
        }
    }

    /// The configured rate.
    pub fn requests_per_minute(&self) -> NonZeroU32 {
        self.0.requests_per_minute
    }

    /// Waits for the right to make one request. May be cancelled at any point; at worst one grant
    /// goes unused.
    ///
    /// # Errors
    /// [`BudgetError::Unreachable`] when the shared state cannot be reached and ten seconds have
    /// gone since the call.
    pub async fn acquire(&self, class: RequestClass) -> Result<Grant, BudgetError> {
        let inner = &*self.0;
        let deadline = Instant::now() + PATIENCE;
        // Nobody waits and there is enough: the usual case when the rate is high.
        if inner.turns.free(class)
            && let Some(grant) = inner.storage.at_hand(&inner.pace, class)
        {
            return Ok(grant);
        }
        let _head = inner.turns.join(class).await;
        loop {
            let taken = inner.storage.take(&inner.pace, class, deadline).await;
            inner.moves.fetch_add(1, Ordering::Relaxed);
            match taken? {
                Ok(grant) => return Ok(grant),
                Err(wait) => sleep(wait.min(LONGEST_WAIT)).await,
            }
        }
    }

    /// Runs what waits for a grant, and calls `moved` now and then while it does and the budget moves:
    /// while somebody is told to wait, or served, or told that the shared state is away.
    pub(super) async fn watched<F: Future>(&self, moved: impl Fn(), wait: F) -> F::Output {
        tokio::pin!(wait);
        let mut seen = self.0.moves.load(Ordering::Relaxed);
        loop {
            tokio::select! {
                biased;
                output = &mut wait => return output,
                () = sleep(MOVES_LOOK) => {}
            }
            let moves = self.0.moves.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, moves) != moves {
                moved();
            }
        }
    }

    /// Learns from the answer to the request that `grant` allowed.
    pub fn observe(&self, grant: &Grant, quota: &Quota) {
        if quota.remaining.is_none() {
            // Often so; grants are counted down all the same.
            return;
        }
        match &self.0.storage {
            Storage::Local { state, start } => {
                lock(state).observe(&self.0.pace, elapsed_ms(*start), quota, grant.sequence)
            }
            Storage::Shared { state, .. } => state.note(*quota, grant.sequence),
        }
    }
}

impl Storage {
    /// A grant that needs no waiting of any kind.
    fn at_hand(&self, pace: &Pace, class: RequestClass) -> Option<Grant> {
        match self {
            Storage::Local { state, start } => take_locally(state, *start, pace, class).ok(),
            Storage::Shared { stock, .. } => stock[class as usize].take(),
        }
    }

    /// A grant, or how long to wait before asking again. Past the deadline the shared state is
    /// tried once and no more, so that a line of callers does not wait for one another's patience.
    async fn take(
        &self,
        pace: &Pace,
        class: RequestClass,
        deadline: Instant,
    ) -> Result<Result<Grant, Duration>, BudgetError> {
        let (state, stock) = match self {
            Storage::Local { state, start } => {
                return Ok(take_locally(state, *start, pace, class));
            }
            Storage::Shared { state, stock } => (state, &stock[class as usize]),
        };
        if let Some(grant) = stock.take() {
            return Ok(Ok(grant));
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let error = match state.take(pace, class, pace.block()).await {
                Ok(outcome) => return Ok(granted(&outcome, stock, asked)),
                Err(error) => error,
            };
            tracing::debug!(error = %error, "The shared rate budget in Redis cannot be reached; no request is made until it can");
            let unreachable = || BudgetError::Unreachable(Arc::new(error));
            if timeout_at(deadline, sleep(pause)).await.is_err() {
                return Err(unreachable());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn take_locally(
    state: &Mutex<BudgetState>,
    start: Instant,
    pace: &Pace,
    class: RequestClass,
) -> Result<Grant, Duration> {
    let mut state = lock(state);
    let now_ms = elapsed_ms(start);
    match state.take(pace, now_ms, class, 1) {
        Decision::Granted { first, .. } => Ok(Grant {
            sequence: first,
            remaining: state.remaining(),
            window_ends: state.reset_ms().map(|it| start + millis(it)),
            tokens: state.tokens(),
        }),
        Decision::WaitUntil(until_ms) => Err(millis(until_ms - now_ms)),
    }
}

fn granted(outcome: &shared::Outcome, stock: &Stock, asked: Instant) -> Result<Grant, Duration> {
    match outcome.decision {
        Decision::Granted { count, first } => {
            let window_ms = outcome.state.reset_ms().map(|it| it - outcome.now_ms);
            let grant = Grant {
                sequence: first,
                remaining: outcome.state.remaining(),
                window_ends: window_ms.map(|it| Instant::now() + millis(it)),
                tokens: outcome.state.tokens(),
            };
            let next = Grant {
                sequence: first + 1,
                ..grant
            };
            stock.put(next, count - 1, asked);
            Ok(grant)
        }
        Decision::WaitUntil(until_ms) => Err(millis(until_ms - outcome.now_ms)),
    }
}

fn lock(state: &Mutex<BudgetState>) -> std::sync::MutexGuard<'_, BudgetState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn elapsed_ms(start: Instant) -> i64 {
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1))
}

impl fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Budget")
            .field("requests_per_minute", &self.0.requests_per_minute)
            .field("shared", &matches!(self.0.storage, Storage::Shared { .. }))
            .finish()
    }
}
