//! The state in Redis, for all processes of one client id.
//!
//! Redis holds one string and compares before it sets; the algorithm is in [`super::state`] alone.
//! Redis' clock is everyone's clock. Knows no lines of callers and no back-off.

use super::state::{BudgetState, Decision};
use super::{Pace, Quota, RequestClass};
use crate::dependency::{Dependency, Evidence, Service};
use crate::network::Address;
use crate::redis_link::RedisLink;
use crate::submission::fingerprint;
use redis::aio::ConnectionManagerConfig;
use redis::{RedisError, Script};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Returns whether it was set, the time in milliseconds, and what is there (or was, before).
const COMPARE_AND_SET: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local current = redis.call('GET', KEYS[1]) or ''
local swapped = 0
if ARGV[2] ~= '' and current == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  swapped = 1
end
return {swapped, now, current}
";

/// Longer than any window that is believed; a state that expires starts again empty.
const EXPIRY_MS: u64 = 2 * 3_600_000;

/// The client's default of 500 ms fails under a short stall, which is no outage.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What was seen longer ago has probably changed.
const SEEN_FOR: Duration = Duration::from_secs(10);

/// Answers that were not yet written down, at most; older ones are superseded by newer.
const NOTED: usize = 64;

pub(super) struct Shared {
    connection: RedisLink,
    script: Script,
    key: String,
    /// Headers wait here for the next transaction, so that they cost no round trip of their own.
    noted: Mutex<Vec<Note>>,
    /// What the last exchange left in Redis.
    seen: Mutex<Option<Seen>>,
}

/// What was in Redis when it said so.
#[derive(Clone)]
struct Seen {
    current: Vec<u8>,
    now_ms: i64,
    at: Instant,
}

impl Seen {
    /// Redis' time by now, and never a later one: the answer was under way before it was seen, and
    /// a clock that differs by a thousandth is broken.
    fn now_ms(&self) -> i64 {
        let age = self.at.elapsed().mul_f64(0.999);
        self.now_ms
            .saturating_add(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    }
}

#[derive(Clone, Copy)]
struct Note {
    quota: Quota,
    sequence: u64,
    at: Instant,
}

struct Reply {
    swapped: bool,
    now_ms: i64,
    current: Vec<u8>,
}

/// One decision, with the state it left and the time it was made at.
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) state: BudgetState,
    pub(super) now_ms: i64,
}

impl Shared {
    pub(super) fn new(address: &Address, client_id: &str) -> Result<Shared, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            // Waiting and repeating is done one level up, where it is also told.
            .set_number_of_retries(0);
        Ok(Shared {
            connection: RedisLink::lazy(address, config, Dependency::new(Service::Budget))?,
            script: Script::new(COMPARE_AND_SET),
            key: format!("freshet:budget:{:016x}", fingerprint(client_id)),
            noted: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    pub(super) fn dependency(&self) -> &Dependency {
        self.connection.dependency()
    }

    /// Reads the state and writes it back.
    pub(super) async fn probe(&self) -> Result<(), RedisError> {
        let mut reply = self.exchange(&[], &[]).await?;
        let empty = serde_json::to_vec(&BudgetState::empty(reply.now_ms));
        let empty = empty.map_err(std::io::Error::from)?;
        while !reply.swapped {
            let state = reply.current.clone();
            let next = if state.is_empty() { &empty } else { &state };
            reply = self.exchange(&state, next).await?;
        }
        self.dependency().proved(Evidence::Write);
        Ok(())
    }

    pub(super) fn note(&self, quota: Quota, sequence: u64) {
        let mut noted = self.noted();
        if noted.len() == NOTED {
            noted.remove(0);
        }
        noted.push(Note {
            quota,
            sequence,
            at: Instant::now(),
        });
    }

    /// Takes up to `wanted` grants, in as many attempts as others interfere.
    ///
    /// A transaction whose answer is lost may have counted grants that nobody uses: too few
    /// requests are made then, never too many.
    pub(super) async fn take(
        &self,
        pace: &Pace,
        class: RequestClass,
        wanted: u32,
    ) -> Result<Outcome, RedisError> {
        // Where nobody else has changed it since, one exchange is enough for a grant.
        let seen = self.seen().clone();
        let seen = seen.filter(|it| it.at.elapsed() < SEEN_FOR);
        let mut trusted = seen.is_some();
        let mut reply = match seen {
            Some(seen) => Reply {
                swapped: false,
                now_ms: seen.now_ms(),
                current: seen.current,
            },
            None => self.exchange(&[], &[]).await?,
        };
        loop {
            let stored: Option<BudgetState> = serde_json::from_slice(&reply.current).ok();
            let now_ms = reply.now_ms;
            let mut state = stored.clone().unwrap_or_else(|| BudgetState::empty(now_ms));
            let noted = self.noted().clone();
            for note in &noted {
                let age = i64::try_from(note.at.elapsed().as_millis()).unwrap_or(i64::MAX);
                if let Some(quota) = note.quota.aged(age) {
                    state.observe(pace, now_ms, &quota, note.sequence);
                }
            }
            let decision = state.take(pace, now_ms, class, wanted);
            // A state that did not exist, or came from the future, must be written for time to
            // pass over it; otherwise waiting is news to others only where it was not noted before.
            let settled = stored.is_some_and(|it| it.updated_ms() <= now_ms && it.waits_as(&state));
            let waits = matches!(decision, Decision::WaitUntil(_));
            if waits && std::mem::take(&mut trusted) {
                reply = self.exchange(&[], &[]).await?;
                continue;
            }
            if !(waits && settled && noted.is_empty()) {
                let json = serde_json::to_vec(&state).map_err(std::io::Error::from)?;
                reply = self.exchange(&reply.current, &json).await?;
                if !reply.swapped {
                    trusted = false;
                    continue;
                }
                self.dependency().worked(Evidence::Write);
                let newest = noted.last().map(|it| it.at);
                self.noted().retain(|it| Some(it.at) > newest);
            }
            return Ok(Outcome {
                decision,
                state,
                now_ms,
            });
        }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Note>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets `new` if `expected` is there; with an empty `new` only reads.
    async fn exchange(&self, expected: &[u8], new: &[u8]) -> Result<Reply, RedisError> {
        let (swapped, now_ms, current) = self
            .script
            .key(&self.key)
            .arg(expected)
            .arg(new)
            .arg(EXPIRY_MS)
            .invoke_async::<(bool, i64, Vec<u8>)>(&mut self.connection.clone())
            .await?;
        *self.seen() = Some(Seen {
            current: if swapped {
                new.to_vec()
            } else {
                current.clone()
            },
            now_ms,
            at: Instant::now(),
        });
        Ok(Reply {
            swapped,
            now_ms,
            current,
        })
    }
}
