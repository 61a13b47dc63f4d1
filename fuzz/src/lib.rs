//! What must hold for any bytes at all, one function for each fuzz target. The ordinary tests run
//! the same functions over the kept inputs and over mutations.
//!
//! Where bytes stand for an answer of a server, they read as one: a status, header lines, an empty
//! line, the body. Bytes without a first line of that form are the body of a success.

use freshet::config::{Config, Inputs};
use freshet::source::budget::{BudgetState, Pace, Quota};
use freshet::source::{ListingPage, Received, SourceError};
use freshet::submission::{Observation, SubmissionId, SubredditName, Undecodable};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::num::NonZeroU32;

/// A good child of a listing, by id.
fn good_child(id: &str) -> String {
    format!(
        r#"{{"kind":"t3","data":{{"id":"{id}","name":"t3_{id}","created_utc":1.0,"title":"a"}}}}"#
    )
}

/// A page of a listing; and the bytes as one child among good ones, where they are JSON.
pub fn listing(bytes: &[u8]) {
    if let Some(page) = judged(received(bytes).listing("/r/rust/new")) {
        whole(&page);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() {
        among_good_ones(text);
    }
}

/// The good siblings of any child are read, and the child is read or kept.
pub fn among_good_ones(child: &str) {
    let (before, after) = (good_child("zzbefore"), good_child("zzafter"));
    let body = format!(
        r#"{{"kind":"Listing","data":{{"after":null,"before":null,"dist":3,"modhash":"","children":[{before},{child},{after}]}}}}"#
    );
    let page = Received {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: body.into_bytes(),
    };
    let page = page.listing("/r/rust/new").expect("the page is a listing");
    whole(&page);
    assert_eq!(page.items.len() + page.undecodable.len(), 3);
    let read = |id: &str| page.items.iter().any(|it| it.submission.id.as_str() == id);
    assert!(read("zzbefore") && read("zzafter"), "a sibling was lost");
    assert_eq!(page.order.first().map(String::as_str), Some("t3_zzbefore"));
    assert_eq!(page.order.last().map(String::as_str), Some("t3_zzafter"));
}

/// An answer to a question for ids.
pub fn info(bytes: &[u8]) {
    if let Some(page) = judged(received(bytes).info()) {
        page.items.iter().for_each(observation);
        page.undecodable.iter().for_each(undecodable);
    }
}

/// An answer of the token endpoint.
pub fn token(bytes: &[u8]) {
    if let Some(lifetime) = judged(received(bytes).token_lifetime()) {
        assert!(
            (1..=30 * 86_400).contains(&lifetime.as_secs()),
            "{lifetime:?}"
        );
    }
}

/// An answer that says no, with its headers: also what they tell of the rate budget.
pub fn error_body(bytes: &[u8]) {
    let answer = received(bytes);
    judged(answer.clone().listing("/r/rust/new"));
    judged(answer.clone().info());
    let pace = Pace::per_minute(NonZeroU32::MIN);
    let mut budget = BudgetState::empty(0);
    budget.observe(&pace, 1_000, &Quota::read(&answer.headers), 0);
    assert!((0.0..=1_000.0).contains(&budget.tokens()));
    assert!(budget.remaining().is_none_or(|it| it >= 0.0));
}

/// Names of submissions and subreddits.
pub fn ids(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<SubmissionId>() {
        Ok(id) => {
            assert!((1..=13).contains(&id.as_str().len()));
            assert_eq!(id.fullname().parse().as_ref(), Ok(&id));
        }
        Err(error) => short(&error.to_string()),
    }
    match text.parse::<SubredditName>() {
        Ok(name) => {
            assert!((2..=22).contains(&name.as_str().len()));
            assert!(!name.as_str().contains(['/', '?', '#', '+', ',', ' ', '%']));
            assert_eq!(name.to_string().parse().as_ref(), Ok(&name));
        }
        Err(error) => short(&error.to_string()),
    }
}

/// A configuration file; what stands behind a line of three dashes are environment variables, each
/// `NAME=VALUE` on a line of its own.
pub fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, variables) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((format!("FRESHET_{name}"), value.to_owned()))
    };
    let inputs = Inputs {
        file: Some("freshet.toml".into()),
        file_text: Some(file.to_owned()),
        environment: variables.lines().filter_map(pair).collect(),
        // The one value that is looked up on the network, where it is a name.
        flags: vec![("http.listen", "127.0.0.1:0".to_owned())],
        ..Inputs::default()
    };
    match Config::load(inputs) {
        Ok(config) => {
            assert!(config.queue.max_waiting > 0 && config.fetch.concurrency > 0);
            assert!(HeaderValue::from_str(&config.reddit.user_agent).is_ok());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The bytes as an answer.
pub fn received(bytes: &[u8]) -> Received {
    let found = bytes.windows(2).position(|it| it == b"\n\n");
    let (head, body) = match found {
        Some(end) => (&bytes[..end], &bytes[end + 2..]),
        None => (&b""[..], bytes),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|it| StatusCode::from_bytes(it).ok());
    let Some(status) = status else {
        return Received {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: bytes.to_vec(),
        };
    };
    let header = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = line[colon + 1..].trim_ascii();
        Some((name, HeaderValue::from_bytes(value).ok()?))
    };
    Received {
        status,
        headers: lines.filter_map(header).take(128).collect(),
        body: body.to_vec(),
    }
}

/// What was read, or nothing where an error says clearly why there is nothing.
pub fn judged<T>(result: Result<T, SourceError>) -> Option<T> {
    result.map_err(|error| short(&error.to_string())).ok()
}

/// An error is a line for an operator, not a copy of what came.
fn short(error: &str) {
    assert!((1..=600).contains(&error.len()), "{error}");
    assert!(!error.contains(['\n', '\0']), "{error}");
}

fn whole(page: &ListingPage) {
    assert!(page.order.len() <= page.items.len() + page.undecodable.len());
    page.items.iter().for_each(observation);
    page.undecodable.iter().for_each(undecodable);
}

fn observation(item: &Observation) {
    let submission = &item.submission;
    assert!((0..=253_402_300_799).contains(&submission.created_utc));
    assert!(submission.upvote_ratio.is_none_or(f64::is_finite));
    serde_json::from_str::<&serde_json::value::RawValue>(item.raw.get()).expect("raw is JSON");
}

fn undecodable(item: &Undecodable) {
    assert!((1..=800).contains(&item.reason.len()) && !item.reason.contains('\0'));
    serde_json::from_str::<&serde_json::value::RawValue>(item.raw.get()).expect("raw is JSON");
}
