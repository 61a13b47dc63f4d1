//! That a fault really struck: a run whose fault did nothing shows nothing.

use crate::cells::Strike;
use crate::course::{Length, until};
use crate::site::Site;
use freshet::simulator::{Endpoint, RequestStats};
use std::time::Duration;

/// What can be told of a fault only afterwards is told within this time.
const PATIENCE: Duration = Duration::from_secs(300);
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

    /// Somebody has been answered with 503.
    pub async fn until_refused(&self, site: &Site) {
        let errors = |stats: &RequestStats| -> u64 {
            let endpoints = [Endpoint::Listing, Endpoint::Info, Endpoint::Token];
            let of = endpoints.map(|endpoint| stats.with_status(endpoint, 503));
            of.into_iter().sum()
        };
        until("somebody is answered with 503", PATIENCE, async || {
            errors(&site.reddit.stats().await) > errors(&self.stats)
        })
        .await;
    }

    /// Enough answers have been broken.
    pub async fn until_broken(&self, site: &Site) {
        let least = match site.run.length {
            Length::Short => BROKEN.0,
            Length::Long => BROKEN.1,
        };
        until("enough answers are broken", PATIENCE, async || {
            site.reddit.broken().await >= self.broken + least
        })
        .await;
    }

    /// A process has met the full disk.
    pub async fn until_full(&self, site: &Site) {
        until("a write fails for want of room", PATIENCE, async || {
            self.heard(site, "disk is full") > 0
        })
        .await;
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
            Strike::PanickingJob => {
                let panics = eve.heard(site, "the poison");
                assert!(panics > 1, "{panics} panics");
            }
            _ => {}
        }
    }
}

/// A request hangs while Reddit is silent.
pub async fn until_silent(site: &Site) {
    until("somebody waits for an answer", PATIENCE, async || {
        site.reddit.stats().await.under_way > 0
    })
    .await;
}
