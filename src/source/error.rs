//! Why there is no answer, as a decision of what to do next.

use super::budget::BudgetError;
use crate::dependency::{Fault, Service};
use crate::submission::SubredditName;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A server that asks for more patience than this is asked again sooner.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// Why there is no page, as a decision. Cheap to clone: many jobs share one request.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// Ask again later; it says nothing about what was asked for.
    #[error("{cause}: {detail}")]
    Wait {
        /// What kind of trouble.
        cause: WaitCause,
        /// How long the server asked to wait, where it did.
        retry_after: Option<Duration>,
        /// For an operator; holds no secret and nothing of a body but short words.
        detail: String,
        /// What the transport said.
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
    /// Reddit does not give out the listing of the subreddits asked for.
    #[error("unavailable ({reason}): {detail}")]
    Unavailable {
        /// In Reddit's words.
        reason: UnavailableReason,
        /// For an operator.
        detail: String,
    },
    /// The request itself is wrong, and repeating it changes nothing.
    #[error("refused: {detail}")]
    Refused {
        /// None where it was not even sent.
        status: Option<u16>,
        /// For an operator.
        detail: String,
    },
}

/// Why to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitCause {
    /// Status 429.
    RateLimited,
    /// A page of the network's edge instead of the API: status 403 in HTML.
    Blocked,
    /// Status 5xx, or one that HTTP does not know.
    ServerError(u16),
    /// Nothing within the time limit.
    Timeout,
    /// No connection, or one that broke before an answer.
    Network,
    /// An answer with status 200 that is no listing, or is cut.
    BrokenBody,
    /// No usable access token.
    Authentication,
    /// The shared rate budget cannot be reached.
    Budget,
    /// The answer is large, and there is no place for another: see [`crate::network::LargeAnswers`].
    Crowded,
    /// Made up where what is real is stored, or the other way round.
    OtherOrigin,
}

impl WaitCause {
    /// What it says of whoever was asked.
    pub fn fault(self, asked: Service) -> Fault {
        let archive = asked == Service::Archive;
        match self {
            WaitCause::Authentication if archive => Fault::ArchiveCredentials,
            WaitCause::Blocked if archive => Fault::ArchiveBlocked,
            WaitCause::RateLimited if archive => Fault::ArchiveRateLimited,
            _ if archive => Fault::ArchiveUnreachable,
            WaitCause::Authentication => Fault::RedditCredentials,
            WaitCause::Blocked => Fault::RedditBlocked,
            WaitCause::RateLimited => Fault::RedditRateLimited,
            _ => Fault::RedditUnreachable,
        }
    }
}

/// Why a subreddit's listing is not given out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnavailableReason {
    /// There is no such subreddit.
    Nonexistent,
    /// Members only.
    Private,
    /// Closed by Reddit.
    Banned,
    /// Behind an opt-in.
    Quarantined,
    /// Behind a warning.
    Gated,
    /// Forbidden without a reason.
    Forbidden,
    /// Not found without a reason.
    NotFound,
    /// Withheld for legal reasons.
    Legal,
    /// It has another name now.
    Renamed(SubredditName),
}

/// What is stored and shown.
impl fmt::Display for UnavailableReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            UnavailableReason::Nonexistent => "nonexistent",
            UnavailableReason::Private => "private",
            UnavailableReason::Banned => "banned",
            UnavailableReason::Quarantined => "quarantined",
            UnavailableReason::Gated => "gated",
            UnavailableReason::Forbidden => "forbidden",
            UnavailableReason::NotFound => "not_found",
            UnavailableReason::Legal => "legal",
            UnavailableReason::Renamed(name) => return write!(formatter, "renamed to {name}"),
        })
    }
}

impl fmt::Display for WaitCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitCause::RateLimited => formatter.write_str("rate limited"),
            WaitCause::Blocked => formatter.write_str("blocked by the network's edge"),
            WaitCause::ServerError(status) => write!(formatter, "server error {status}"),
            WaitCause::Timeout => formatter.write_str("timed out"),
            WaitCause::Network => formatter.write_str("network trouble"),
            WaitCause::BrokenBody => formatter.write_str("broken answer"),
            WaitCause::Authentication => formatter.write_str("no access token"),
            WaitCause::Budget => formatter.write_str("no rate budget"),
            WaitCause::Crowded => formatter.write_str("no place for a large answer"),
            WaitCause::OtherOrigin => formatter.write_str("not used"),
        }
    }
}

impl WaitCause {
    /// Whether what was asked for may be the cause, rather than the moment or who asks.
    pub fn may_be_the_request(self) -> bool {
        match self {
            WaitCause::ServerError(_)
            | WaitCause::Timeout
            | WaitCause::Network
            | WaitCause::BrokenBody
            // 403 may be said of one submission, though it reads as being said of who asks.
            | WaitCause::Authentication => true,
            WaitCause::RateLimited
            | WaitCause::Blocked
            | WaitCause::Budget
            | WaitCause::Crowded
            | WaitCause::OtherOrigin => false,
        }
    }
}

impl SourceError {
    /// Whether what was asked for may be the cause: then it is worth asking for a part of it.
    pub fn may_be_the_request(&self) -> bool {
        match self {
            SourceError::Wait { cause, .. } => cause.may_be_the_request(),
            SourceError::Unavailable { .. } => false,
            SourceError::Refused { status, .. } => status.is_some(),
        }
    }

    /// Whether the server says that it was asked too often. That is said of who asks; but said whenever
    /// one thing is asked for, and of nothing else in between, it is that.
    pub fn is_rate_limited(&self) -> bool {
        matches!(
            self,
            SourceError::Wait {
                cause: WaitCause::RateLimited,
                ..
            }
        )
    }

    /// An answer that leaves out even what was given out before.
    pub fn silent() -> SourceError {
        SourceError::wait(
            WaitCause::BrokenBody,
            "the answer leaves out whatever was asked for",
        )
    }

    pub(super) fn wait(cause: WaitCause, detail: impl Into<String>) -> SourceError {
        SourceError::Wait {
            cause,
            retry_after: None,
            detail: detail.into(),
            source: None,
        }
    }

    pub(super) fn unsent(detail: impl Into<String>) -> SourceError {
        SourceError::Refused {
            status: None,
            detail: detail.into(),
        }
    }
}

impl From<BudgetError> for SourceError {
    fn from(error: BudgetError) -> SourceError {
        SourceError::Wait {
            cause: WaitCause::Budget,
            retry_after: None,
            detail: error.to_string(),
            source: Some(Arc::new(error)),
        }
    }
}

/// How long the server asks to wait: seconds or a date. Reddit writes `Retry-After: 0` on answers
/// where it means nothing, so only 429 and 503 are believed, and only above zero.
pub(super) fn retry_after(
    status: StatusCode,
    headers: &HeaderMap,
    now_ms: i64,
) -> Option<Duration> {
    if !matches!(status.as_u16(), 429 | 503) {
        return None;
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        #[expect(clippy::cast_precision_loss, reason = "a span of minutes")]
        Err(_) => {
            let until = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            (until.timestamp_millis() - now_ms) as f64 / 1_000.0
        }
    };
    if seconds.is_nan() || seconds <= 0.0 {
        return None;
    }
    Some(Duration::from_secs_f64(
        seconds.min(LONGEST_RETRY_AFTER.as_secs_f64()),
    ))
}
