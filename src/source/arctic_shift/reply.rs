//! What an answer of the archive means: rows, a pause, or never.
//!
//! Pure: an answer in, a page or a decision out.

use super::ArchivePage;
use crate::source::budget::Quota;
use crate::source::error::{LONGEST_RETRY_AFTER, SourceError, WaitCause, retry_after};
use crate::source::transport::Answer;
use crate::submission::decode_archived;
use reqwest::header::RETRY_AFTER;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// The archive gives out a hundred.
const MOST_ROWS: usize = 10_000;

/// Of what the server says of an error.
const LONGEST_WORDS: usize = 200;

/// Later ones are milliseconds: as seconds, it would be the year 5138.
const LATEST_SECONDS: f64 = 1e11;
/// Sooner ones are a span and no time: as a time, it would be 1973.
const LONGEST_SPAN: f64 = 1e8;

/// Why there are no rows.
pub(super) enum Failure {
    /// It was too much at once; how long the server asks to wait.
    Slow(SourceError),
    Other(SourceError),
}

/// The rows of an answer, without those outside of `interval`.
pub(super) fn read(
    answer: &Answer,
    host: &str,
    interval: &Range<i64>,
    asked_for: u32,
) -> Result<ArchivePage, Failure> {
    decide(answer, host)?;
    let reply: Reply =
        serde_json::from_str(&answer.body).map_err(|error| broken(answer, &error))?;
    let Some(rows) = reply.data else {
        let said = words(answer).unwrap_or_else(|| "no rows and no error".to_owned());
        let slow = tells_of_slowness(&said);
        let cause = if slow {
            WaitCause::Timeout
        } else {
            WaitCause::BrokenBody
        };
        let error = SourceError::wait(cause, format!("HTTP 200 with {said}"));
        return Err(if slow {
            Failure::Slow(error)
        } else {
            Failure::Other(error)
        });
    };
    if rows.count > MOST_ROWS {
        let detail = format!("HTTP 200 with {} rows", rows.count);
        return Err(Failure::Other(SourceError::wait(
            WaitCause::BrokenBody,
            detail,
        )));
    }
    let mut page = ArchivePage {
        items: Vec::with_capacity(rows.kept.len()),
        undecodable: Vec::new(),
        full: rows.count >= usize::try_from(asked_for).unwrap_or(usize::MAX),
        asked_for,
        requests: 0,
        asked_ms: answer.asked_ms,
        seconds: answer.seconds,
    };
    for row in rows.kept {
        match decode_archived(row, answer.asked_ms) {
            Ok(item) if interval.contains(&item.submission.created_utc) => page.items.push(item),
            Ok(_) => {}
            Err(refused) => page.undecodable.push(refused),
        }
    }
    Ok(page)
}

fn decide(answer: &Answer, host: &str) -> Result<(), Failure> {
    let (status, code) = (answer.status, answer.status.as_u16());
    let detail = match words(answer) {
        Some(said) => format!("HTTP {status}: {said}"),
        None => format!("HTTP {status}"),
    };
    let wait = |cause| SourceError::Wait {
        cause,
        retry_after: patience(answer),
        detail: detail.clone(),
        source: None,
    };
    let refused = |detail| SourceError::Refused {
        status: Some(code),
        detail,
    };
    let slow = words(answer).is_some_and(|it| tells_of_slowness(&it));
    Err(match code {
        200 => return Ok(()),
        201..=299 => Failure::Other(wait(WaitCause::BrokenBody)),
        408 => Failure::Slow(wait(WaitCause::Timeout)),
        422 if slow => Failure::Slow(wait(WaitCause::Timeout)),
        429 => Failure::Other(wait(WaitCause::RateLimited)),
        403 if answer.is_html() => Failure::Other(wait(WaitCause::Blocked)),
        300..=399 | 404 => Failure::Other(refused(format!(
            "{host} has no search for submissions there ({detail}); check arctic_shift.url"
        ))),
        400..=499 => Failure::Other(refused(detail)),
        _ => Failure::Other(wait(WaitCause::ServerError(code))),
    })
}

/// What the headers say is left, with the window's end as a span: it is given as one, or as a time in
/// seconds or milliseconds.
pub(super) fn quota(answer: &Answer) -> Quota {
    let mut quota = Quota::read(&answer.headers);
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let now = answer.served_at as f64;
    quota.reset = quota.reset.map(|reset| {
        let span = if reset > LATEST_SECONDS {
            reset / 1_000.0 - now
        } else if reset > LONGEST_SPAN {
            reset - now
        } else {
            reset
        };
        span.max(0.0)
    });
    quota
}

/// How long the server asks to wait: in so many words, else until its window ends.
fn patience(answer: &Answer) -> Option<Duration> {
    let status = answer.status;
    let asked = retry_after(status, &answer.headers, answer.received_ms);
    match status.as_u16() {
        429 => asked
            .or_else(|| quota(answer).window())
            .filter(|it| !it.is_zero())
            .map(|it| it.min(LONGEST_RETRY_AFTER)),
        // Only together with the words that it is too much at once.
        422 | 408 => {
            let seconds = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
            let asked = Duration::from_secs(seconds.trim().parse().ok()?);
            Some(asked.min(LONGEST_RETRY_AFTER))
        }
        _ => asked,
    }
}

fn tells_of_slowness(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["timeout", "timed out", "time out", "slow down"]
        .iter()
        .any(|it| words.contains(it))
}

/// What the server says of an error, shortened.
fn words(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let body = answer.body.trim();
    let said = match serde_json::from_str::<Body>(body) {
        Ok(body) => body.error,
        Err(_) if body.starts_with(['{', '[']) || answer.is_html() => return None,
        Err(_) => body.to_owned(),
    };
    let said: String = said
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(LONGEST_WORDS)
        .collect();
    (!said.trim().is_empty()).then(|| said.trim().to_owned())
}

#[derive(Deserialize)]
struct Reply {
    data: Option<Rows>,
}

/// The rows, as many as there may be; more are counted and not kept.
struct Rows {
    kept: Vec<Box<RawValue>>,
    count: usize,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rows, D::Error> {
        deserializer.deserialize_seq(Keeping)
    }
}

struct Keeping;

impl<'de> Visitor<'de> for Keeping {
    type Value = Rows;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Rows, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < MOST_ROWS {
            let Some(row) = rows.next_element()? else {
                break;
            };
            kept.push(row);
        }
        let mut count = kept.len();
        while rows.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Rows { kept, count })
    }
}

fn broken(answer: &Answer, error: &serde_json::Error) -> Failure {
    let what = if answer.body.trim().is_empty() {
        "an empty body".to_owned()
    } else if answer.is_html() {
        "HTML".to_owned()
    } else {
        // Position and class only: serde_json's own words may quote the body.
        let (column, class) = (error.column(), error.classify());
        format!("no list of rows (column {column}, {class:?})")
    };
    let detail = format!("HTTP 200 with {what}");
    Failure::Other(SourceError::wait(WaitCause::BrokenBody, detail))
}
