//! What an answer means for whoever asked: wait, unavailable, or never.
//!
//! Pure: status, headers and body in, a decision out. The table is that of the recorded traffic.

use super::budget::BudgetError;
use super::transport::{Answer, Endpoint};
use crate::submission::SubredditName;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Deserialize;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A server that asks for more patience than this is asked again sooner.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

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
        }
    }
}

impl SourceError {
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

/// Whether an answer holds what was asked for at `path`; its body is not looked at when it does.
pub(super) fn decide(endpoint: Endpoint, path: &str, answer: &Answer) -> Result<(), SourceError> {
    let status = answer.status;
    let code = status.as_u16();
    let refused = |detail: String| {
        Err(SourceError::Refused {
            status: Some(code),
            detail,
        })
    };
    let unavailable = |reason: UnavailableReason| match endpoint {
        Endpoint::New => Err(SourceError::Unavailable {
            reason,
            detail: describe(answer),
        }),
        // There it says nothing about a subreddit, nor about any one of the ids.
        Endpoint::Info | Endpoint::Token => refused(describe(answer)),
    };
    let wait = |cause| {
        Err(SourceError::Wait {
            cause,
            retry_after: retry_after(status, &answer.headers, answer.received_ms),
            detail: describe(answer),
            source: None,
        })
    };
    match code {
        200 => Ok(()),
        201..=299 => wait(WaitCause::BrokenBody),
        301 | 302 | 303 | 307 | 308 => match location(&answer.headers) {
            Some(to) if to.ends_with("/subreddits/search") => {
                unavailable(UnavailableReason::Nonexistent)
            }
            to => match to.and_then(|to| new_name(path, &to)) {
                Some(name) => unavailable(UnavailableReason::Renamed(name)),
                None => refused(describe(answer)),
            },
        },
        401 => wait(WaitCause::Authentication),
        403 if insufficient_scope(&answer.headers) => wait(WaitCause::Authentication),
        403 if answer.is_html() => wait(WaitCause::Blocked),
        403 => match reason(answer).as_deref() {
            Some("private") => unavailable(UnavailableReason::Private),
            Some("banned") => unavailable(UnavailableReason::Banned),
            Some("quarantined") => unavailable(UnavailableReason::Quarantined),
            Some("gated") => unavailable(UnavailableReason::Gated),
            // Everyone may ask for ids; who may not has an account or an application in trouble.
            _ if endpoint == Endpoint::Info => wait(WaitCause::Authentication),
            _ => unavailable(UnavailableReason::Forbidden),
        },
        404 if reason(answer).as_deref() == Some("banned") => {
            unavailable(UnavailableReason::Banned)
        }
        404 => unavailable(UnavailableReason::NotFound),
        451 => unavailable(UnavailableReason::Legal),
        408 => wait(WaitCause::Timeout),
        429 => wait(WaitCause::RateLimited),
        300..=499 => refused(describe(answer)),
        _ => wait(WaitCause::ServerError(code)),
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

/// The path that a redirect leads to, absolute or relative, without its ending.
fn location(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let path = match reqwest::Url::parse(location) {
        Ok(url) => url.path().to_owned(),
        Err(_) => location.split(['?', '#']).next().unwrap_or("").to_owned(),
    };
    let path = path.trim_end_matches('/').trim_end_matches(".json");
    Some(path.trim_end_matches('/').to_owned())
}

/// The name under which a redirect leads to the listing that was asked for under another.
fn new_name(asked: &str, to: &str) -> Option<SubredditName> {
    let name = |path: &str| {
        let (_, rest) = path.rsplit_once("/r/")?;
        Some(rest.strip_suffix("/new")?.to_ascii_lowercase())
    };
    let (old, new) = (name(asked)?, name(to)?);
    (old != new).then(|| new.parse().ok()).flatten()
}

fn insufficient_scope(headers: &HeaderMap) -> bool {
    headers
        .get(WWW_AUTHENTICATE)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.contains("insufficient_scope"))
}

/// The `reason` of a JSON body, where it is a plain word.
fn reason(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        reason: Option<String>,
    }
    let body: Body = serde_json::from_str(&answer.body).ok()?;
    body.reason.filter(|it| {
        (1..=64).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// Status, kind of body and reason: enough to recognise the case, and nothing that the server could
/// have echoed.
fn describe(answer: &Answer) -> String {
    let kind = if answer.body.is_empty() {
        "an empty body"
    } else if answer.is_html() {
        "HTML"
    } else if answer.body.trim_start().starts_with('{') {
        "JSON"
    } else {
        "text"
    };
    match reason(answer) {
        Some(reason) => format!("HTTP {} with {kind}, reason {reason}", answer.status),
        None => format!("HTTP {} with {kind}", answer.status),
    }
}
