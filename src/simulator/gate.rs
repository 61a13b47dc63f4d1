//! Who may ask, and how often: tokens and quotas, in service time.
//!
//! Knows nothing of HTTP; `http` gives its verdicts their words.

use super::content::base36;
use std::collections::HashMap;

/// Quotas run over fixed windows of ten minutes, aligned to the clock.
pub(super) const WINDOW_MS: i64 = 600_000;
/// What the rate limit headers promise where no quota is enforced.
const UNTHROTTLED: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Gate {
    seed: u64,
    /// Requests in a window; `None` enforces none.
    quota: Option<u64>,
    tokens: HashMap<String, Token>,
    granted: u64,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Token {
    client: String,
    expires_ms: i64,
}

#[derive(Debug, Default)]
struct Bucket {
    window: i64,
    used: u64,
}

/// A client's standing in its window, as the rate limit headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) used: u64,
    pub(super) remaining: u64,
    /// Until the window ends, whole seconds, at least 1.
    pub(super) reset_s: i64,
}

/// Whether a request may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass(Standing),
    /// The token is unknown or has expired.
    NoToken,
    /// The quota is used up; the window ends in so many seconds.
    Exhausted(i64),
}

impl Gate {
    pub(super) fn new(seed: u64, requests_per_minute: Option<u32>) -> Gate {
        Gate {
            seed,
            quota: requests_per_minute.map(|rate| u64::from(rate) * 10),
            tokens: HashMap::new(),
            granted: 0,
            buckets: HashMap::new(),
        }
    }

    /// A new token for a client.
    pub(super) fn grant(&mut self, client: &str, service_ms: i64, lifetime_ms: i64) -> String {
        self.tokens.retain(|_, token| token.expires_ms > service_ms);
        self.granted += 1;
        let mix = (self.seed ^ self.granted).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let token = format!("simulated-{}-{}", self.granted, base36(mix));
        self.tokens.insert(
            token.clone(),
            Token {
                client: client.to_owned(),
                expires_ms: service_ms.saturating_add(lifetime_ms),
            },
        );
        token
    }

    /// Counts a request made with this token.
    pub(super) fn pass(&mut self, token: &str, service_ms: i64) -> Verdict {
        let client = match self.tokens.get(token) {
            Some(known) if known.expires_ms > service_ms => known.client.clone(),
            _ => return Verdict::NoToken,
        };
        let window = service_ms.div_euclid(WINDOW_MS);
        let reset_s = (WINDOW_MS - service_ms.rem_euclid(WINDOW_MS) + 999) / 1000;
        let bucket = self.buckets.entry(client).or_default();
        if bucket.window != window {
            *bucket = Bucket { window, used: 0 };
        }
        if self.quota.is_some_and(|quota| bucket.used >= quota) {
            return Verdict::Exhausted(reset_s);
        }
        bucket.used += 1;
        Verdict::Pass(Standing {
            used: bucket.used,
            remaining: self
                .quota
                .unwrap_or(UNTHROTTLED)
                .saturating_sub(bucket.used),
            reset_s,
        })
    }

    /// Forgets one token.
    pub(super) fn lose(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Forgets every token.
    pub(super) fn revoke_all(&mut self) {
        self.tokens.clear();
    }

    /// Tokens granted so far.
    pub(super) fn granted(&self) -> u64 {
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_shared_by_a_clients_tokens_and_ends_by_the_clock() {
        let mut gate = Gate::new(1, Some(1));
        let (one, two) = (gate.grant("a", 0, 1 << 40), gate.grant("a", 0, 1 << 40));
        let other = gate.grant("b", 0, 1 << 40);
        for used in 1..=10 {
            let token = if used % 2 == 0 { &one } else { &two };
            let standing = Standing {
                used,
                remaining: 10 - used,
                reset_s: 600,
            };
            assert_eq!(gate.pass(token, 1), Verdict::Pass(standing));
        }
        assert_eq!(gate.pass(&one, 599_500), Verdict::Exhausted(1));
        assert!(matches!(gate.pass(&other, 599_500), Verdict::Pass(_)));
        assert!(matches!(gate.pass(&one, 600_000), Verdict::Pass(_)));
    }

    #[test]
    fn tokens_end_with_their_lifetime_or_when_they_are_revoked() {
        let mut gate = Gate::new(1, None);
        let token = gate.grant("a", 0, 1_000);
        assert!(matches!(gate.pass(&token, 999), Verdict::Pass(_)));
        assert_eq!(gate.pass(&token, 1_000), Verdict::NoToken);
        assert_eq!(gate.pass("made up", 0), Verdict::NoToken);
        let (lost, kept) = (gate.grant("a", 0, 1_000), gate.grant("a", 0, 1_000));
        gate.lose(&lost);
        assert_eq!(gate.pass(&lost, 0), Verdict::NoToken);
        assert!(matches!(gate.pass(&kept, 0), Verdict::Pass(_)));
        gate.revoke_all();
        assert_eq!(gate.pass(&kept, 0), Verdict::NoToken);
        assert_eq!(gate.granted(), 3);
    }
}
