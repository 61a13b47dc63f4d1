//! That a fault really struck: a run whose fault did nothing shows nothing.

use super::SILENT;
use crate::cells::Strike;
use crate::course::{Length, until};
use crate::site::Site;
use freshet::simulator::{Endpoint, RequestStats};
use std::time::Duration;

/// What can be told of a fault only afterwards is told within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers that are broken at least while every fifth is: short and long.
const BROKEN: (usize, usize) = (3, 15);

/// How things were when the fault was about to strike.
pub struct Eve {
    /// Reddit's time, seconds.
    pub now: i64,
    /// Fetches that waited.
    pub waiting: i64,
    stats: RequestStats,
    broken: usize,
    /// How much each process had said.
    said: Vec<usize>,
}

impl Eve {
    pub async fn of(site: &Site) -> Eve {
        let waiting = "SELECT count(*) FROM fetches WHERE dead_at IS NULL";
        Eve {
            waiting: site.database.number(waiting).await.unwrap(),
            stats: site.reddit.stats().await,
            broken: site.reddit.broken().await,
            said: site.members.iter().map(|it| it.log().len()).collect(),
            now: site.reddit.now_ms().await / 1000,
        }
    }

    /// How often the processes have said these words since.
    fn heard(&self, site: &Site, words: &str) -> usize {
        let logs = site.members.iter().map(crate::member::Member::log);
        let since = logs.zip(&self.said);
        since
            .map(|(log, said)| log[*said..].matches(words).count())
            .sum()
    }
}

impl Strike {
    /// Looks for the traces of a fault that shows only afterwards; the others are looked at while they
    /// last.
    pub async fn assert_struck(self, site: &Site, eve: &Eve) {
        match self {
            Strike::TokenRevoked => {
                let refused = |stats: &RequestStats| {
                    stats.with_status(Endpoint::Listing, 401)
                        + stats.with_status(Endpoint::Info, 401)
                };
                until("a revoked token is refused", PATIENCE, async || {
                    refused(&site.reddit.stats().await) > refused(&eve.stats)
                })
                .await;
            }
            Strike::RedditDown => {
                let errors = |stats: &RequestStats| {
                    let endpoints = [Endpoint::Listing, Endpoint::Info, Endpoint::Token];
                    let of = endpoints.map(|endpoint| stats.with_status(endpoint, 503));
                    of.into_iter().sum::<u64>()
                };
                let after = errors(&site.reddit.stats().await) - errors(&eve.stats);
                assert!(after > 0, "nobody was answered with 503");
            }
            Strike::RedditFaulty => {
                let broken = site.reddit.broken().await - eve.broken;
                let least = match site.run.length {
                    Length::Short => BROKEN.0,
                    Length::Long => BROKEN.1,
                };
                assert!(broken >= least, "only {broken} answers were broken");
            }
            Strike::ClockStepped(seconds) => {
                until("a poll is timed by the other clock", PATIENCE, async || {
                    let polled = "SELECT CAST(polled_at AS bigint) FROM subreddits
                        WHERE polled_at IS NOT NULL";
                    let polled: Vec<(i64,)> = site.database.rows(polled).await.unwrap_or_default();
                    let now = chrono::Utc::now().timestamp() + seconds;
                    polled.iter().any(|(at,)| (at - now).abs() < 300)
                })
                .await;
            }
            Strike::DiskFull => {
                let full = eve.heard(site, "disk is full");
                assert!(full > 0, "no write failed for want of room");
            }
            Strike::PanickingJob => {
                let panics = eve.heard(site, "the poison");
                assert!(panics > 1, "{panics} panics");
            }
            _ => {}
        }
    }
}

/// Requests hang while Reddit is silent.
pub async fn assert_silent(site: &Site) {
    let waiting = site.reddit.stats().await.under_way;
    assert!(waiting > 0, "nobody waits for an answer after {SILENT:?} s");
}
