//! What was asked: the log and the counts behind `/simulator/stats`.

use super::endpoint::Endpoint;
use super::fault::Fault;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests the log keeps.
const LOG_LENGTH: usize = 10_000;
const MINUTE_MS: i64 = 60_000;

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Service time of its arrival, milliseconds since the epoch.
    pub at_ms: i64,
    /// What it asked for.
    pub endpoint: Endpoint,
    /// Path and query.
    pub uri: String,
    /// The answer's status; 0 where the connection was reset instead.
    pub status: u16,
    /// Submissions in the answer.
    pub submissions: usize,
    /// How it was made to fail.
    pub fault: Option<Fault>,
}

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStats {
    /// Requests by endpoint and status; status 0 is a reset connection.
    pub requests: BTreeMap<Endpoint, BTreeMap<u16, u64>>,
    /// The most requests of Reddit, other than for tokens, in any sixty seconds of service time.
    pub biggest_minute: u64,
    /// Submissions in all answers together.
    pub submissions: u64,
    /// Tokens granted.
    pub tokens: u64,
    /// Requests being answered at this moment.
    pub under_way: u64,
}

impl RequestStats {
    /// Requests to an endpoint, of any status.
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.requests
            .get(&endpoint)
            .map_or(0, |statuses| statuses.values().sum())
    }

    /// Requests to an endpoint that got this status.
    pub fn with_status(&self, endpoint: Endpoint, status: u16) -> u64 {
        self.requests
            .get(&endpoint)
            .and_then(|statuses| statuses.get(&status))
            .copied()
            .unwrap_or(0)
    }
}

/// Counts one request as under way for as long as it lives: a client that hangs up ends it too.
pub(super) struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    pub(super) fn count(counter: &'a AtomicU64) -> UnderWay<'a> {
        counter.fetch_add(1, Ordering::SeqCst);
        UnderWay(counter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    stats: RequestStats,
    log: VecDeque<RequestRecord>,
    /// Times within the last minute.
    minute: VecDeque<i64>,
}

impl Requests {
    /// Counts a request that has arrived, whether or not it is ever answered.
    pub(super) fn arrived(&mut self, at_ms: i64, endpoint: Endpoint) {
        if endpoint == Endpoint::Token || endpoint.is_archive() {
            return;
        }
        self.minute.push_back(at_ms);
        while self
            .minute
            .front()
            .is_some_and(|first| at_ms - first >= MINUTE_MS)
        {
            self.minute.pop_front();
        }
        self.stats.biggest_minute = self.stats.biggest_minute.max(self.minute.len() as u64);
    }

    /// Counts an answer.
    pub(super) fn add(&mut self, record: RequestRecord) {
        let statuses = self.stats.requests.entry(record.endpoint).or_default();
        *statuses.entry(record.status).or_default() += 1;
        self.stats.submissions += record.submissions as u64;
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(record);
    }

    pub(super) fn stats(&self) -> &RequestStats {
        &self.stats
    }

    /// The last ten thousand, oldest first.
    pub(super) fn log(&self) -> Vec<RequestRecord> {
        self.log.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_biggest_minute_slides() {
        let mut requests = Requests::default();
        let mut add = |at_ms, endpoint| {
            requests.arrived(at_ms, endpoint);
            requests.add(RequestRecord {
                at_ms,
                endpoint,
                uri: String::new(),
                status: 200,
                submissions: 2,
                fault: None,
            });
        };
        for at_ms in [0, 30_000, 59_999, 60_000, 130_000] {
            add(at_ms, Endpoint::Info);
        }
        add(130_000, Endpoint::Token);
        // The client hangs up before it is answered.
        requests.arrived(130_001, Endpoint::Info);
        requests.arrived(130_002, Endpoint::Info);
        requests.arrived(130_003, Endpoint::Info);
        let stats = requests.stats();
        assert_eq!(stats.biggest_minute, 4);
        assert_eq!(stats.of(Endpoint::Info), 5);
        assert_eq!(stats.with_status(Endpoint::Token, 200), 1);
        assert_eq!(stats.submissions, 12);
    }
}
