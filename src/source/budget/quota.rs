//! What the server says is left: the `x-ratelimit-*` headers.
//!
//! Knows no budget; reads numbers as the servers of two decades have written them.

use reqwest::header::HeaderMap;
use std::time::Duration;

/// The longest window that a header is believed; Reddit's is 600 s.
pub(super) const LONGEST_WINDOW_SECONDS: f64 = 3_600.0;

/// The three headers of one answer, each where it was there and a number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quota {
    /// `x-ratelimit-remaining`: "595.0" on one host, "995" on another; may be negative.
    pub remaining: Option<f64>,
    /// `x-ratelimit-used`.
    pub used: Option<f64>,
    /// `x-ratelimit-reset`: seconds until the window ends.
    pub reset: Option<f64>,
}

impl Quota {
    /// Reads the headers; what is absent, unreadable, infinite or no number is left out.
    pub fn read(headers: &HeaderMap) -> Quota {
        let number = |name: &str| {
            let text = headers.get(name)?.to_str().ok()?;
            text.trim().parse().ok().filter(|it: &f64| it.is_finite())
        };
        Quota {
            remaining: number("x-ratelimit-remaining"),
            used: number("x-ratelimit-used"),
            reset: number("x-ratelimit-reset"),
        }
    }

    /// How long the window lasts, where that was said.
    pub fn window(&self) -> Option<Duration> {
        let seconds = self.reset?.clamp(0.0, LONGEST_WINDOW_SECONDS);
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The same, seen so many milliseconds later; nothing, once its window has ended.
    pub(super) fn aged(&self, age_ms: i64) -> Option<Quota> {
        #[expect(clippy::cast_precision_loss, reason = "an age of hours at most")]
        let age = age_ms as f64 / 1_000.0;
        match self.reset {
            Some(reset) if reset < age => None,
            reset => Some(Quota {
                reset: reset.map(|it| it - age),
                ..*self
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_spelling_and_nonsense_is_left_out() {
        let remaining = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-remaining", text.parse().unwrap());
            Quota::read(&headers).remaining
        };
        assert_eq!(remaining("595.0"), Some(595.0));
        assert_eq!(remaining(" 995 "), Some(995.0));
        assert_eq!(remaining("-1"), Some(-1.0));
        for nonsense in ["NaN", "inf", "-inf", "", "many", "1,000"] {
            assert_eq!(remaining(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(Quota::read(&HeaderMap::new()), Quota::default());
    }
}
