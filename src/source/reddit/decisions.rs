//! What an answer means for whoever asked: wait, unavailable, or never.
//!
//! Pure: status, headers and body in, a decision out. The table is that of the recorded traffic.

use super::Endpoint;
use crate::source::error::{SourceError, UnavailableReason, WaitCause, retry_after};
use crate::source::transport::Answer;
use crate::submission::SubredditName;
use reqwest::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use serde::Deserialize;

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
