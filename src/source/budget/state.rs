//! The budget's state and its two transitions.
//!
//! Pure: the caller brings the time. The same code decides in one process and, through Redis, for
//! many; what is shared is this state in JSON. A field may be added with a default, none may change
//! its meaning: processes of two versions may hold the same key for a while.

use super::quota::LONGEST_WINDOW_SECONDS;
use super::shares::Shares;
use super::{Pace, Quota, RequestClass};
use serde::{Deserialize, Serialize};

/// `x-ratelimit-reset` is in whole seconds and may have been rounded down.
const RESET_ROUNDING_MS: i64 = 1_000;

/// A class that is not entitled first asks again so long after the one that is.
const RECHECK_MS: i64 = 20;

/// A bucket of grants, and what the server says is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    /// Grants in the bucket at `updated_ms`.
    tokens: f64,
    /// When the bucket was last looked at, by the clock that everyone who shares the state uses.
    updated_ms: i64,
    /// Grants given out so far; the number of the newest.
    granted: u64,
    /// The server's window, until it ends.
    #[serde(default)]
    window: Option<Window>,
    /// What the classes have had, and which of them wait.
    #[serde(default)]
    shares: Shares,
}

/// The server's window as far as we know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Window {
    /// Requests left, less the grants given out since.
    remaining: f64,
    /// Requests that are left untouched: others may use the same client id.
    headroom: f64,
    /// When it ends.
    reset_ms: i64,
}

/// What [`BudgetState::take`] decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// So many requests may be made; at least one, at most as many as were wanted.
    Granted {
        /// How many.
        count: u32,
        /// The number of the first of them.
        first: u64,
    },
    /// Ask again then: milliseconds of the clock that was passed in.
    WaitUntil(i64),
}

impl BudgetState {
    /// An empty bucket. Empty and not full, because nobody knows what was granted before: a process
    /// that is restarted again and again must not get a burst each time.
    pub fn empty(now_ms: i64) -> BudgetState {
        BudgetState {
            tokens: 0.0,
            updated_ms: now_ms,
            granted: 0,
            window: None,
            shares: Shares::default(),
        }
    }

    /// When the state was last brought up to date.
    pub fn updated_ms(&self) -> i64 {
        self.updated_ms
    }

    /// Whole requests left in the server's window, where it is known.
    pub fn remaining(&self) -> Option<f64> {
        self.window.as_ref().map(|it| it.remaining.floor().max(0.0))
    }

    /// When the server's window ends, where it is known; milliseconds of the clock that is passed in.
    pub fn reset_ms(&self) -> Option<i64> {
        self.window.as_ref().map(|it| it.reset_ms)
    }

    /// Grants in the bucket.
    pub fn tokens(&self) -> f64 {
        self.tokens
    }

    /// Whether the same classes wait here as in `other`, for the same turns.
    pub(super) fn waits_as(&self, other: &BudgetState) -> bool {
        self.shares == other.shares
    }

    /// Takes up to `wanted` grants (at least one is meant), or notes that this class waits and says
    /// when to ask again.
    ///
    /// A waiting class that is entitled first has a grant kept for it, or as many as are usually taken
    /// at once; what is in the bucket beyond that may be taken by any.
    pub fn take(&mut self, pace: &Pace, now_ms: i64, class: RequestClass, wanted: u32) -> Decision {
        self.refill(pace, now_ms);
        let most = pace.burst() + f64::from(pace.block());
        self.shares.settle(now_ms, most);
        let left = self.window.as_ref().map_or(f64::INFINITY, Window::left);
        if left < 1.0 {
            let reset_ms = self.window.as_ref().map_or(now_ms, |it| it.reset_ms);
            return self.wait(class, now_ms, reset_ms);
        }
        let ahead = self.shares.ahead(class, now_ms);
        let reserve = f64::from(ahead.classes) * f64::from(pace.block());
        let needed = 1.0 + reserve;
        if self.tokens < needed {
            let next_ms = self.ripe_ms(pace, now_ms, 1.0);
            if ahead.classes == 0 {
                return self.wait(class, now_ms, next_ms);
            }
            // Soon after whose turn it is: a later time would let the turns of the others wait for it.
            let recheck_ms = now_ms.saturating_add(RECHECK_MS).min(ahead.until_ms);
            let turn_ms = if self.tokens < 1.0 {
                next_ms.saturating_add(RECHECK_MS)
            } else {
                recheck_ms
            };
            // More than the bucket holds never lies in it.
            let plenty_ms = if needed > pace.burst() {
                i64::MAX
            } else {
                self.ripe_ms(pace, now_ms, needed)
            };
            return self.wait(class, now_ms, turn_ms.min(plenty_ms));
        }
        let free = (self.tokens - reserve).min(left).floor();
        let count = whole(free).clamp(1, wanted.max(1));
        let first = self.granted.wrapping_add(1);
        self.granted = self.granted.wrapping_add(u64::from(count));
        self.tokens -= f64::from(count);
        if let Some(window) = &mut self.window {
            window.remaining -= f64::from(count);
        }
        self.shares.grant(class, now_ms, count, most);
        Decision::Granted { count, first }
    }

    fn wait(&mut self, class: RequestClass, now_ms: i64, until_ms: i64) -> Decision {
        let until_ms = until_ms.max(now_ms.saturating_add(1));
        self.shares.wait(class, now_ms, until_ms);
        Decision::WaitUntil(until_ms)
    }

    /// Learns from the headers of the answer to the request of grant number `sequence`.
    ///
    /// The server has surely not counted what was granted after that request when it answered, so
    /// those are taken off. Within a window the count only ever falls, whatever order answers
    /// arrive in; once the window has ended, the next answer is believed anew.
    pub fn observe(&mut self, pace: &Pace, now_ms: i64, quota: &Quota, sequence: u64) {
        self.refill(pace, now_ms);
        let Some(remaining) = quota.remaining else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a few in flight")]
        let uncounted = self.granted.saturating_sub(sequence) as f64;
        let estimate = remaining.max(0.0) - uncounted;
        let reset_ms = quota.window().map(|window| {
            let ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
            now_ms.saturating_add(ms).saturating_add(RESET_ROUNDING_MS)
        });
        match (&mut self.window, reset_ms) {
            (Some(window), reset_ms) => {
                window.remaining = window.remaining.min(estimate);
                window.reset_ms = reset_ms.map_or(window.reset_ms, |it| it.min(window.reset_ms));
            }
            (None, Some(reset_ms)) => {
                let limit = remaining.max(0.0) + quota.used.unwrap_or(0.0).max(0.0);
                self.window = Some(Window {
                    remaining: estimate,
                    headroom: (limit * 0.01).clamp(1.0, 20.0),
                    reset_ms,
                });
            }
            // A count without an end says nothing about when to go on.
            (None, None) => {}
        }
    }

    /// Brings the bucket to `now_ms`.
    fn refill(&mut self, pace: &Pace, now_ms: i64) {
        if now_ms < self.updated_ms {
            // The clock was set back. Nobody knows how long it really was: nothing is gained, and
            // everything that lies ahead moves along, so that nobody waits for the old time.
            let step = self.updated_ms.saturating_sub(now_ms);
            if let Some(window) = &mut self.window {
                window.reset_ms = window.reset_ms.saturating_sub(step);
            }
            self.shares.set_back(step);
            self.updated_ms = now_ms;
        }
        // Redis is shared with others, and a state that no transition makes must not stall us.
        self.window.take_if(|it| !it.is_credible(now_ms));
        let mut from = self.updated_ms;
        if let Some(window) = &self.window {
            let until = window.reset_ms.clamp(from, now_ms);
            self.tokens += span(from, until) * window.rate(pace, from);
            from = until;
            if window.reset_ms <= now_ms {
                self.window = None;
            }
        }
        if self.window.is_none() {
            self.tokens += span(from, now_ms) * pace.per_ms();
        }
        self.tokens = self.tokens.clamp(0.0, pace.burst());
        self.updated_ms = now_ms;
    }

    /// Grants gained in a millisecond from now on.
    fn rate(&self, pace: &Pace, now_ms: i64) -> f64 {
        self.window
            .as_ref()
            .map_or(pace.per_ms(), |it| it.rate(pace, now_ms))
    }

    /// When the bucket will hold `needed`, or the rate will change.
    fn ripe_ms(&self, pace: &Pace, now_ms: i64, needed: f64) -> i64 {
        let latest = self.window.as_ref().map_or(i64::MAX, |it| it.reset_ms);
        let rate = self.rate(pace, now_ms);
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let wait = ((needed - self.tokens) / rate).ceil().max(1.0) as i64;
        now_ms.saturating_add(wait).min(latest.max(now_ms + 1))
    }
}

impl Window {
    /// Whether an answer can have opened it.
    fn is_credible(&self, now_ms: i64) -> bool {
        span(now_ms, self.reset_ms) <= LONGEST_WINDOW_SECONDS * 1_000.0 + span(0, RESET_ROUNDING_MS)
    }

    /// Requests that we may still make in it.
    fn left(&self) -> f64 {
        self.remaining - self.headroom
    }

    /// Grants per millisecond, so that what is left lasts until the end.
    fn rate(&self, pace: &Pace, now_ms: i64) -> f64 {
        let time = span(now_ms, self.reset_ms).max(1.0);
        (self.left().max(0.0) / time).min(pace.per_ms())
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of hours, not of aeons")]
fn span(from_ms: i64, until_ms: i64) -> f64 {
    until_ms.saturating_sub(from_ms).max(0) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a bucket holds fewer than u32::MAX"
)]
fn whole(count: f64) -> u32 {
    count as u32
}
