//! `freshet doctor`: whether everything that freshet stands on will do, and how to mend what will not.
//!
//! Changes nothing: what it writes is taken back, or ends by itself. All checks run at once, each for a
//! bounded time. Knows no statement and no wire.

mod database;
mod machine;
mod queue;
mod reddit;

pub(super) use queue::NOEVICTION;

use crate::config::Config;
use crate::dependency::Fault;
use serde::Serialize;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// How long a server on the network may take to answer all that it is asked.
const LIMIT: Duration = Duration::from_secs(10);
/// The same for what stands near: the database and the queue.
const NEAR_LIMIT: Duration = Duration::from_secs(5);
/// From here on clocks that differ are worth a word, and from here on they do harm.
const CLOCKS_DIFFER: i64 = 5_000;
const CLOCKS_HARM: i64 = 60_000;

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but not as well or as safely as it could.
    Warn,
    /// freshet cannot do its work like this.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// `database.rights`: of what, and what of it.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// How to mend it; nothing where nothing is wrong.
    pub remedy: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Check {
        Check {
            check,
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check {
            state: State::Warn,
            remedy: Some(remedy.into()),
            ..Check::ok(check, found)
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check {
            state: State::Fail,
            ..Check::warn(check, found, remedy)
        }
    }
}

/// Looks at everything, in the order in which it is to be read.
pub async fn examine(config: &Config) -> Vec<Check> {
    let mut checks = vec![Check::ok("configuration", "every key is known and valid")];
    let (database, queue, reddit, archive, listen) = tokio::join!(
        limited(
            NEAR_LIMIT,
            "database",
            database::silent(config),
            database::check(config)
        ),
        limited(
            NEAR_LIMIT,
            "queue",
            Fault::RedisUnreachable,
            queue::check(config)
        ),
        limited(
            LIMIT,
            "reddit",
            Fault::RedditUnreachable,
            reddit::check(config)
        ),
        limited(
            LIMIT,
            "archive",
            Fault::ArchiveUnreachable,
            reddit::archive(config)
        ),
        machine::port(config),
    );
    for found in [database, queue, reddit, archive, listen] {
        checks.extend(found);
    }
    checks.extend(limited(LIMIT, "disk", Fault::FileIoError, machine::disks(config)).await);
    checks
}

async fn limited(
    limit: Duration,
    what: &'static str,
    silent: Fault,
    check: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    timeout(limit, check).await.unwrap_or_else(|_| {
        let found = format!("no answer within {} s", limit.as_secs());
        vec![Check::fail(what, found, silent.steps())]
    })
}

/// A clock beside this machine's, both in milliseconds since the epoch.
fn clock(check: &'static str, whose: &str, theirs_ms: i64, ours_ms: i64) -> Check {
    let ahead = theirs_ms - ours_ms;
    let found = match ahead {
        ..-1_000 => format!(
            "{whose} clock is {} s behind this machine's",
            -ahead / 1_000
        ),
        1_001.. => format!(
            "{whose} clock is {} s ahead of this machine's",
            ahead / 1_000
        ),
        _ => format!("{whose} clock agrees with this machine's"),
    };
    let remedy = "Synchronise the clocks of both machines (NTP: chrony or systemd-timesyncd).";
    match ahead.abs() {
        ..CLOCKS_DIFFER => Check::ok(check, found),
        CLOCKS_DIFFER..CLOCKS_HARM => Check::warn(check, found, remedy),
        _ => Check::fail(check, found, remedy),
    }
}

/// An error with what is below it, on one line.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        for (ahead, state, words) in [
            (0, State::Ok, "agrees"),
            (-900, State::Ok, "agrees"),
            (2_500, State::Ok, "2 s ahead"),
            (-9_000, State::Warn, "9 s behind"),
            (3_600_000, State::Fail, "3600 s ahead"),
        ] {
            let check = clock("x", "its", 1_000_000 + ahead, 1_000_000);
            assert_eq!(check.state, state, "{ahead}");
            assert!(check.found.contains(words), "{check:?}");
        }
    }
}
