//! Reddit and the archive: reached, and Reddit with credentials that it takes.

use super::{Check, clock, told};
use crate::app::{connect_archive, connect_reddit, now_ms};
use crate::config::Config;
use crate::dependency::{Fault, Service};
use crate::metrics::Metrics;
use crate::source::{Order, RequestClass, SourceError, WaitCause};
use crate::submission::SubredditName;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Less than all checks may take together.
const PATIENCE: Duration = Duration::from_secs(8);
const QUICK: Duration = Duration::from_secs(2);

/// One that there is, open to all, and asked for least.
const ASKED_FOR: &str = "announcements";

pub(super) async fn check(config: &Config) -> Vec<Check> {
    const CREDENTIALS: &str = "reddit.credentials";
    if config.reddit.client.is_none() {
        let remedy = "Set reddit.client_id and reddit.client_secret; README, \"Run it\", says how to get them. \
                      `freshet demo` needs none.";
        return vec![Check::fail(
            CREDENTIALS,
            "reddit.client_id is not set",
            remedy,
        )];
    }
    let host = config.reddit.api_url.host_str().unwrap_or_default();
    let metrics = Arc::new(Metrics::new());
    let reddit = match connect_reddit(config, &metrics).await {
        Ok(reddit) => reddit,
        Err(error) => {
            let remedy = "Correct the section reddit of the configuration.";
            return vec![Check::fail("reddit", format!("{error:#}"), remedy)];
        }
    };
    let Ok(name) = ASKED_FOR.parse::<SubredditName>() else {
        return Vec::new();
    };
    let asked = Instant::now();
    let names = [name];
    let page = reddit.new_page(&names, None, 1, RequestClass::Poll);
    let Ok(page) = timeout(PATIENCE, page).await else {
        let found = format!("{host} was not heard of within {} s", PATIENCE.as_secs());
        let remedy = "The processes that run use up the rate budget, its Redis does not answer (see queue), or \
                      a firewall drops what is sent (proxy.url).";
        return vec![if config.shares_queue() {
            Check::warn("reddit", found, remedy)
        } else {
            Check::fail("reddit", found, remedy)
        }];
    };
    let simulated = if reddit.simulated().load(Ordering::Relaxed) {
        ": SIMULATED, its submissions are made up"
    } else {
        ""
    };
    let mut checks = match page {
        // That it knows no such subreddit is an answer, and nobody gets one without a token.
        Ok(_) | Err(SourceError::Unavailable { .. }) => vec![
            Check::ok("reddit", format!("{host} answers{simulated}")),
            Check::ok(
                CREDENTIALS,
                "taken: a token was given out, and a listing with it",
            ),
        ],
        Err(error) => return vec![failed(&error, host)],
    };
    // An answer that took long says nothing of now.
    if asked.elapsed() < QUICK {
        let theirs = reddit.its_time() * 1_000;
        checks.push(clock("reddit.clock", "Reddit's", theirs, now_ms()));
    }
    checks
}

fn failed(error: &SourceError, host: &str) -> Check {
    let found = told(error);
    match error {
        SourceError::Wait { cause, .. } => {
            let remedy = cause.fault(Service::Reddit).steps();
            match cause {
                WaitCause::Authentication => {
                    Check::fail("reddit.credentials", format!("rejected: {found}"), remedy)
                }
                WaitCause::Budget | WaitCause::Crowded => Check::warn(
                    "reddit",
                    format!("not asked: {found}"),
                    "The processes that run use up the rate budget, or its Redis cannot be reached (see queue).",
                ),
                WaitCause::RateLimited => Check::warn("reddit", found, remedy),
                WaitCause::Blocked => Check::fail("reddit", found, remedy),
                _ => Check::fail("reddit", format!("{host}: {found}"), remedy),
            }
        }
        SourceError::Unavailable { .. } => Check::ok("reddit", found),
        SourceError::Refused { .. } => Check::fail(
            "reddit.scopes",
            format!("a listing is refused: {found}"),
            "The application needs the scope \"read\". Does reddit.api_url name Reddit's API?",
        ),
    }
}

pub(super) async fn archive(config: &Config) -> Vec<Check> {
    const NAME: &str = "archive";
    let host = config.arctic_shift.url.host_str().unwrap_or_default();
    let metrics = Arc::new(Metrics::new());
    let archive = match connect_archive(config, &metrics) {
        Ok(archive) => archive,
        Err(error) => {
            let remedy = "Correct the section arctic_shift of the configuration.";
            return vec![Check::fail(NAME, format!("{error:#}"), remedy)];
        }
    };
    let Ok(name) = ASKED_FOR.parse::<SubredditName>() else {
        return Vec::new();
    };
    let until = now_ms() / 1_000;
    let page = archive.page(&name, until - 86_400, until, Order::OldestFirst, 1);
    let Ok(page) = timeout(PATIENCE, page).await else {
        let found = format!("{host} was not heard of within {} s", PATIENCE.as_secs());
        return vec![Check::warn(NAME, found, Fault::ArchiveUnreachable.steps())];
    };
    // Backfills alone need it, and they wait for it.
    vec![match page {
        Ok(_) => Check::ok(NAME, format!("{host} answers")),
        Err(error) => {
            let found = format!("{host}: {}", told(&error));
            let fault = match error {
                SourceError::Wait { cause, .. } => cause.fault(Service::Archive),
                _ => Fault::ArchiveUnreachable,
            };
            Check::warn(NAME, found, fault.steps())
        }
    }]
}
