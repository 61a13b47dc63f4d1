//! What an answer of the archive means: rows, a pause, or never.
//!
//! Pure: an answer in, a page or a decision out.

use super::{ArchivePage, Order};
use crate::source::budget::Quota;
use crate::source::clock::date;
use crate::source::error::{LONGEST_RETRY_AFTER, SourceError, WaitCause, retry_after};
use crate::source::transport::Answer;
use crate::source::trouble::{Number, Trouble, add, shortened, tells_of_slowness};
use crate::submission::{SubmissionId, SubredditName, decode_archived};
use reqwest::header::{AGE, RETRY_AFTER};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// The archive returns a hundred, and a thousand to those who ask for `auto`.
const MAX_ROWS: usize = 1_000;

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

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) subreddit: &'a SubredditName,
    pub(super) interval: &'a Range<i64>,
    pub(super) order: Order,
    pub(super) rows: u32,
}

/// The rows of an answer, without those outside of the interval. A success that reports an error, or
/// does not answer what was asked, is none: what it leaves out proves nothing.
pub(super) fn read(
    mut answer: Answer,
    host: &str,
    asked: &Asked<'_>,
) -> Result<ArchivePage, Failure> {
    decide(&answer, host)?;
    let interval = asked.interval;
    let reply: Reply =
        serde_json::from_str(&answer.body).map_err(|error| broken(&answer, &error))?;
    let Reply {
        data,
        trouble: error,
        counts,
    } = reply;
    // Each row holds its part of it.
    drop(std::mem::take(&mut answer.body));
    let (Some(rows), None) = (data, &error) else {
        let said = error.unwrap_or_else(|| "no rows and no error".to_owned());
        let slow = tells_of_slowness(&said);
        let cause = if slow {
            WaitCause::Timeout
        } else {
            WaitCause::BrokenBody
        };
        let error = SourceError::wait(cause, format!("HTTP 200 with an error inside: {said}"));
        return Err(if slow {
            Failure::Slow(error)
        } else {
            Failure::Other(error)
        });
    };
    if rows.count > MAX_ROWS {
        return Err(unbelievable(&format!("{} rows", rows.count)));
    }
    if counts.exceed(rows.count, asked.rows) {
        return Err(unbelievable("fewer rows than it says that there are"));
    }
    let mut page = ArchivePage {
        items: Vec::with_capacity(rows.kept.len()),
        undecodable: Vec::new(),
        unreadable: Vec::new(),
        full: rows.count >= usize::try_from(asked.rows).unwrap_or(usize::MAX),
        asked_for: asked.rows,
        requests: 0,
        asked_ms: answer.asked_ms,
        served_at: served_at(&answer),
        seconds: answer.seconds,
        large: answer.large,
    };
    let (first, last) = match asked.order {
        Order::OldestFirst => (interval.start, interval.end - 1),
        Order::NewestFirst => (interval.end - 1, interval.start),
    };
    let (mut before, mut between) = (first, false);
    let mut times: HashMap<SubmissionId, i64> = HashMap::new();
    let mut unreadable = |from: i64, to: i64| {
        let (start, end) = (from.min(to), from.max(to) + 1);
        page.unreadable
            .push(start.max(interval.start)..end.min(interval.end));
    };
    for row in rows.kept {
        let item = match decode_archived(row, answer.asked_ms) {
            Ok(item) => item,
            Err(refused) => {
                page.undecodable.push(refused);
                between = true;
                continue;
            }
        };
        let created = item.submission.created_utc;
        let name = item.submission.subreddit.as_deref();
        if name.is_some_and(|name| !name.eq_ignore_ascii_case(asked.subreddit.as_str())) {
            return Err(unbelievable("rows of another subreddit"));
        }
        // The bounds themselves may belong to the answer or not.
        if created < interval.start - 1 || created > interval.end {
            return Err(unbelievable("rows from outside the requested interval"));
        }
        let in_order = match asked.order {
            Order::OldestFirst => before <= created.max(first),
            Order::NewestFirst => before >= created.min(first),
        };
        if !in_order {
            return Err(unbelievable("rows in another order than requested"));
        }
        let other = times.insert(item.submission.id.clone(), created);
        if other.is_some_and(|other| other != created) {
            return Err(unbelievable("one submission at two times"));
        }
        if std::mem::take(&mut between) {
            unreadable(before, created);
        }
        before = created;
        if interval.contains(&created) {
            page.items.push(item);
        }
    }
    if between {
        unreadable(before, last);
    }
    Ok(page)
}

/// When an answer was made at the latest: by our clock when it was asked for, or by its own `Date`
/// (less the time that it lay in a cache), whichever is earlier; seconds since the epoch. Neither clock
/// alone can move it forward.
fn served_at(answer: &Answer) -> i64 {
    let ours = answer.asked_ms.div_euclid(1_000);
    let age = answer.headers.get(AGE).and_then(|it| it.to_str().ok());
    let age: i64 = age.and_then(|it| it.trim().parse().ok()).unwrap_or(0);
    date(&answer.headers).map_or(ours, |date| ours.min(date.saturating_sub(age.max(0))))
}

/// A success that does not answer what was asked.
fn unbelievable(what: &str) -> Failure {
    let detail = format!("HTTP 200 with {what}");
    Failure::Other(SourceError::wait(WaitCause::BrokenBody, detail))
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
    let said = shortened(&said);
    (!said.is_empty()).then_some(said)
}

/// A success. Whatever reports trouble makes it none, also beside rows.
struct Reply {
    data: Option<Rows>,
    trouble: Option<String>,
    counts: Counts,
}

/// How many rows an answer says that there are.
#[derive(Default)]
struct Counts(Option<f64>);

impl Counts {
    fn is_one(key: &str) -> bool {
        let key = key.replace(['_', '-'], "").to_ascii_lowercase();
        let names = [
            "count",
            "returned",
            "resultsreturned",
            "totalresults",
            "totalcount",
            "totalhits",
        ];
        names.contains(&key.as_str())
    }

    fn add(&mut self, Number(count): Number) {
        self.0 = self.0.into_iter().chain(count).reduce(f64::max);
    }

    /// Whether that is more than one of so many rows would show: all that was asked for, or none of it. An
    /// archive may give out fewer than it was asked for.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    fn exceed(&self, rows: usize, asked: u32) -> bool {
        let count = self.0.unwrap_or_default();
        count > rows as f64 && (rows == 0 || count <= f64::from(asked))
    }

    /// Those within an object that tells of the answer.
    fn within(json: &str) -> Counts {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Counts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counts, A::Error> {
                let mut counts = Counts::default();
                while let Some(key) = map.next_key::<String>()? {
                    if Counts::is_one(&key) {
                        counts.add(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(counts)
            }
        }
        let mut read = serde_json::Deserializer::from_str(json);
        read.deserialize_map(Object).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reply, D::Error> {
        deserializer.deserialize_map(Replied)
    }
}

struct Replied;

impl<'de> Visitor<'de> for Replied {
    type Value = Reply;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reply, A::Error> {
        let mut reply = Reply {
            data: None,
            trouble: None,
            counts: Counts::default(),
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                if reply.data.is_some() {
                    return Err(A::Error::duplicate_field("data"));
                }
                reply.data = map.next_value()?;
            } else if Counts::is_one(&key) {
                reply.counts.add(map.next_value()?);
            } else if key == "metadata" {
                let about: &RawValue = map.next_value()?;
                reply.counts.add(Number(Counts::within(about.get()).0));
                let mut read = serde_json::Deserializer::from_str(about.get());
                let said = Trouble::at(&key).deserialize(&mut read);
                add(&mut reply.trouble, said.map_err(A::Error::custom)?);
            } else {
                add(&mut reply.trouble, map.next_value_seed(Trouble::at(&key))?);
            }
        }
        Ok(reply)
    }
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
        while kept.len() < MAX_ROWS {
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
