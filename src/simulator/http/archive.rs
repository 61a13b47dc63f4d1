//! The archive's endpoints: `/api/posts/search` and `/api/posts/ids`, in Arctic Shift's words.

use super::answer;
use crate::simulator::Shared;
use crate::simulator::archive::{Allowance, ArchiveOptions};
use crate::simulator::endpoint::Endpoint;
use crate::simulator::fault::Fault;
use crate::simulator::world::{Kept, Span};
use crate::submission::{SubmissionId, SubredditName};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::json;
use std::collections::HashSet;

const MOST_IDS: usize = 500;
const DEFAULT_LIMIT: usize = 25;
/// Numbers from here on are milliseconds: as seconds they would lie in the year 5138.
const LEAST_MILLIS: i64 = 100_000_000_000;
const OVERLOADED: &str = "Timeout. Maybe slow down a bit";

/// Of a row that claims to come from the future: 2030-01-01.
const FUTURE: i64 = 1_893_456_000;

/// Quota, validation, answer, and what a fault makes of it.
pub(super) fn answer(
    shared: &Shared,
    endpoint: Endpoint,
    method: &Method,
    uri: &Uri,
    fault: Option<Fault>,
) -> Response {
    let allowance = shared.archive().pass(shared.clock.service_ms());
    let mut response = if !allowance.passes {
        refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
    } else if method != Method::GET {
        refused(StatusCode::NOT_FOUND, "Not found")
    } else {
        let query = uri.query().unwrap_or_default();
        let answered = if endpoint == Endpoint::ArchiveIds {
            ids(shared, query)
        } else {
            search(shared, query)
        };
        match answered {
            Ok(Some(rows)) => found(&rows, fault),
            Ok(None) => refused(StatusCode::UNPROCESSABLE_ENTITY, OVERLOADED),
            Err(wrong) => refused(StatusCode::BAD_REQUEST, &wrong),
        }
    };
    if fault != Some(Fault::NoRateHeaders) {
        add_rate_headers(&mut response, allowance);
    }
    response
}

fn refused(status: StatusCode, error: &str) -> Response {
    answer::json(status, &json!({"data": null, "error": error}))
}

fn found(rows: &[Kept], fault: Option<Fault>) -> Response {
    let shown = match fault {
        Some(Fault::ErrorInside | Fault::HalfTheRows) => &rows[..rows.len() / 2],
        _ => rows,
    };
    let mut body = b"{\"data\":[".to_vec();
    if fault == Some(Fault::FromTheFuture) {
        let row = json!({"id": "zzzfuture", "created_utc": FUTURE, "retrieved_on": FUTURE});
        body.extend_from_slice(row.to_string().as_bytes());
        body.extend((!shown.is_empty()).then_some(b','));
    }
    for (index, row) in shown.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        row.write(&mut body);
    }
    body.push(b']');
    if fault == Some(Fault::ErrorInside) {
        body.extend_from_slice(format!(r#","error":"{OVERLOADED}""#).as_bytes());
    }
    body.push(b'}');
    answer::json_bytes(body, shown.len())
}

fn add_rate_headers(response: &mut Response, allowance: Allowance) {
    let headers = response.headers_mut();
    for (name, number) in [
        ("x-ratelimit-remaining", allowance.remaining.to_string()),
        ("x-ratelimit-reset", allowance.reset_s.to_string()),
    ] {
        if let Ok(value) = HeaderValue::try_from(number) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// The rows; nothing where it is too much for now; or what is wrong with the query.
type Answered = Result<Option<Vec<Kept>>, String>;

fn search(shared: &Shared, query: &str) -> Answered {
    let (mut subreddit, mut after, mut before) = (None, None, None);
    let (mut limit, mut newest_first) = (Some(DEFAULT_LIMIT), true);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "subreddit" => {
                let name: SubredditName = value.parse().map_err(|error| format!("{error}"))?;
                subreddit = Some(name);
            }
            "after" => after = Some(moment("after", &value)?),
            "before" => before = Some(moment("before", &value)?),
            "limit" => limit = limit_of(&value)?,
            "sort" => {
                newest_first = match &*value {
                    "asc" => false,
                    "desc" => true,
                    other => return Err(format!("sort must be asc or desc, not {other:?}")),
                }
            }
            unknown => return Err(format!("unknown parameter {unknown:?}")),
        }
    }
    let subreddit = subreddit.ok_or("subreddit is required")?;
    let (limit, span) = {
        let mut archive = shared.archive();
        let limit = limit.unwrap_or_else(|| archive.auto_limit());
        if archive.is_overloaded(limit) {
            return Ok(None);
        }
        (limit, span(after, before, archive.options()))
    };
    let world = shared.world();
    Ok(Some(world.archived(&subreddit, span, newest_first, limit)))
}

fn ids(shared: &Shared, query: &str) -> Answered {
    let mut ids: Vec<SubmissionId> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "ids" {
            return Err(format!("unknown parameter {name:?}"));
        }
        for id in value.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            let bare = id.strip_prefix("t3_").unwrap_or(id);
            ids.push(bare.parse().map_err(|_| format!("invalid id {id:?}"))?);
        }
    }
    if ids.is_empty() {
        return Err("ids is required".to_owned());
    }
    if ids.len() > MOST_IDS {
        return Err(format!("at most {MOST_IDS} ids"));
    }
    if shared.archive().is_overloaded(0) {
        return Ok(None);
    }
    let mut known = HashSet::new();
    ids.retain(|id| known.insert(id.clone()));
    Ok(Some(shared.world().archived_by_id(&ids)))
}

/// Nothing is `auto`.
fn limit_of(text: &str) -> Result<Option<usize>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let limit = text.parse().ok().filter(|limit| (1..=100).contains(limit));
    limit
        .map(Some)
        .ok_or_else(|| format!("limit must be from 1 to 100, or auto, not {text:?}"))
}

/// Milliseconds since the epoch.
fn moment(name: &str, text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number.unsigned_abs() < LEAST_MILLIS.unsigned_abs() {
            number * 1000
        } else {
            number
        });
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    let time = text
        .replacen(' ', "T", 1)
        .parse::<NaiveDateTime>()
        .ok()
        .or_else(|| text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0));
    time.map(|time| time.and_utc().timestamp_millis())
        .ok_or_else(|| format!("{name} must be a time since the epoch or a date, not {text:?}"))
}

/// Whole seconds of creation that the bounds (milliseconds) let through.
fn span(after: Option<i64>, before: Option<i64>, options: &ArchiveOptions) -> Span {
    // What was created within a second counts as created at its start.
    let from = |at_ms: i64, included: bool| {
        let second = at_ms.div_euclid(1000);
        if included && at_ms.rem_euclid(1000) == 0 {
            second
        } else {
            second + 1
        }
    };
    Span {
        start: after.map_or(i64::MIN, |at_ms| from(at_ms, options.after_inclusive)),
        end: before.map_or(i64::MAX, |at_ms| from(at_ms, !options.before_inclusive)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_spelling() {
        for text in [
            "1780272000",
            "1780272000000",
            "2026-06-01",
            "2026-06-01T00:00:00",
            "2026-06-01 00:00:00",
            "2026-06-01T00:00:00.000Z",
            "2026-06-01T00:00:00Z",
            "2026-06-01T02:00:00+02:00",
        ] {
            assert_eq!(moment("after", text), Ok(1_780_272_000_000), "{text}");
        }
        for text in ["", "soon", "2026-13-01", "1.5"] {
            assert!(moment("after", text).unwrap_err().contains("after"));
        }
    }

    #[test]
    fn bounds_let_through_what_was_created_at_them_only_where_they_are_inclusive() {
        let of = |after_inclusive, before_inclusive, after, before| {
            let options = ArchiveOptions {
                after_inclusive,
                before_inclusive,
                ..ArchiveOptions::default()
            };
            let span = span(Some(after), Some(before), &options);
            (span.start, span.end)
        };
        assert_eq!(of(false, false, 5_000, 9_000), (6, 9));
        assert_eq!(of(true, true, 5_000, 9_000), (5, 10));
        assert_eq!(of(true, true, 5_001, 9_001), (6, 10));
        assert_eq!(of(false, false, 5_001, 9_001), (6, 10));
    }
}
