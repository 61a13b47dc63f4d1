//! What is measured at the end of a run, and what must hold.

use crate::cells::Strike;
use crate::site::{POISON, Site};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// As many requests as the simulated Reddit remembers.
const REMEMBERED: u64 = 10_000;

/// What one run showed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judged {
    /// Submissions that Reddit listed within the windows.
    pub shown: usize,
    /// Of those, neither in the database nor in a recorded gap.
    pub lost: Vec<String>,
    /// Of those, in a recorded gap and not in the database.
    pub in_gaps: usize,
    /// Rows beyond the first of a submission, and rows of none that there is.
    pub wrong_rows: usize,
    /// Submissions that were overwritten with an older observation.
    pub older: Vec<String>,
    /// The most requests in any sixty seconds.
    pub busiest_minute: u64,
    /// Of those, beyond the quota.
    pub over_quota: u64,
    /// Subreddits with seconds that are neither proven nor in a gap, before the end of their proof.
    pub unrecorded: Vec<String>,
    /// Windows that were recorded under a claim that had been lost.
    pub expired: Vec<String>,
    /// Fetches that never ended, and jobs set aside but for the one that is to be.
    pub unended: Vec<String>,
    /// Submissions that were asked for and given out more than once.
    pub fetched_again: usize,
    /// Seconds from the end of the fault until everything flowed again.
    pub normal_after: Option<Duration>,
    /// How soon that was to be.
    pub normal_within: Duration,
}

impl Judged {
    /// What does not hold.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut none = |found: &[String], what: &str| {
            if !found.is_empty() {
                let some = found.iter().take(3).map(String::as_str);
                let some: Vec<&str> = some.collect();
                broken.push(format!(
                    "{} {what}, such as {}",
                    found.len(),
                    some.join("; ")
                ));
            }
        };
        none(&self.lost, "lost");
        none(&self.older, "older over newer");
        none(&self.unrecorded, "gaps that are not recorded");
        none(&self.expired, "windows recorded under a lost claim");
        none(&self.unended, "jobs that did not end");
        if self.shown < 1000 {
            broken.push(format!("only {} shown: no load", self.shown));
        }
        if self.wrong_rows > 0 {
            broken.push(format!("{} wrong rows", self.wrong_rows));
        }
        if self.over_quota > 0 {
            broken.push(format!("{} requests over the quota", self.over_quota));
        }
        match self.normal_after {
            Some(after) if after <= self.normal_within => {}
            Some(after) => broken.push(format!("normal only after {after:.1?}")),
            None => broken.push("never normal again".to_owned()),
        }
        broken
    }
}

/// What Reddit showed, compared with the database.
#[derive(Debug, Default)]
pub struct Compared {
    pub shown: usize,
    pub lost: Vec<String>,
    pub in_gaps: usize,
    pub wrong_rows: usize,
    pub unended: Vec<String>,
}

/// Judges what was created before this second, by Reddit's clock. None where the database does not
/// answer.
pub async fn compare(site: &Site, before: i64) -> Option<Compared> {
    let database = &site.database;
    let stored = database.texts("SELECT id FROM submissions").await?;
    let fetches = "SELECT id, coalesce(reason, 'no reason') FROM fetches";
    let fetches: Vec<(String, String)> = database.rows(fetches).await?;
    let fetches: HashMap<String, String> = fetches.into_iter().collect();
    let begins = "SELECT subreddit, min(window_start) FROM poll_windows GROUP BY subreddit";
    let begins: Vec<(String, i64)> = database.rows(begins).await?;
    let begins: HashMap<String, i64> = begins.into_iter().collect();
    let gaps = gaps(site).await?;
    // After the database: then nothing is stored that is not yet true.
    let truth = site.reddit.truth().await;
    let poisoned = matches!(
        site.run.cell.strike,
        Strike::KillingJob | Strike::PanickingJob
    );
    let rows = stored.len();
    let stored: HashSet<String> = stored.into_iter().collect();
    let mut compared = Compared {
        wrong_rows: rows - stored.len(),
        ..Compared::default()
    };
    let mut existing = HashSet::new();
    for truth in &truth {
        existing.insert(truth.id.as_str());
        // Where nothing is recorded at all, everything is missing.
        let begin = begins.get(&truth.subreddit).copied().unwrap_or(0);
        if !(begin..before).contains(&truth.created_utc) {
            continue;
        }
        compared.shown += 1;
        let line = format!("{} of r/{}", truth.id, truth.subreddit);
        if let Some(reason) = fetches.get(&truth.id)
            && !(poisoned && truth.id == POISON)
        {
            compared.unended.push(format!("{line}: {reason}"));
        }
        if stored.contains(&truth.id) {
            continue;
        }
        let in_gap = |(name, start, end): &(String, i64, i64)| {
            *name == truth.subreddit && (*start..*end).contains(&truth.created_utc)
        };
        if gaps.iter().any(in_gap) {
            compared.in_gaps += 1;
        } else {
            compared.lost.push(line);
        }
    }
    let made_up = stored.iter().filter(|id| !existing.contains(id.as_str()));
    compared.wrong_rows += made_up.count();
    Some(compared)
}

/// Name, start and end of each.
async fn gaps(site: &Site) -> Option<Vec<(String, i64, i64)>> {
    let gaps = "SELECT subreddit, gap_start, gap_end FROM gaps WHERE state <> 'repaired'";
    site.database.rows(gaps).await
}

pub async fn judge(site: &Site, before: i64, normal_after: Option<Duration>) -> Judged {
    let compared = compare(site, before).await.expect("the database answers");
    let database = &site.database;
    let journal = "SELECT what, which FROM harness";
    let journal: Vec<(String, String)> = database.rows(journal).await.unwrap();
    let of = |kind: &str| {
        let lines = journal.iter().filter(|(what, _)| what == kind);
        lines.map(|(_, which)| which.clone()).collect()
    };
    let stats = site.reddit.stats().await;
    let requests: u64 = stats.requests.values().flat_map(|it| it.values()).sum();
    assert!(
        requests < REMEMBERED,
        "{requests} requests are not all known"
    );
    let fetches = site.reddit.fetches().await;
    Judged {
        shown: compared.shown,
        lost: compared.lost,
        in_gaps: compared.in_gaps,
        wrong_rows: compared.wrong_rows,
        older: of("older"),
        busiest_minute: stats.biggest_minute,
        over_quota: stats
            .biggest_minute
            .saturating_sub(u64::from(site.run.requests_per_minute())),
        unrecorded: unrecorded(site).await,
        expired: of("expired"),
        unended: compared.unended,
        fetched_again: fetches.values().filter(|times| **times > 1).count(),
        normal_after,
        normal_within: site.run.length.normal_within(),
    }
}

/// Subreddits whose history has a hole: from the beginning of the first window to the end of what is
/// proven, each second must be proven or lie in a gap.
async fn unrecorded(site: &Site) -> Vec<String> {
    let database = &site.database;
    // First: what is proven meanwhile is no hole.
    let begins = "SELECT w.subreddit, min(w.window_start), max(coalesce(s.covered_until, 0))
        FROM poll_windows AS w JOIN subreddits AS s ON s.name = w.subreddit GROUP BY w.subreddit";
    let begins: Vec<(String, i64, i64)> = database.rows(begins).await.unwrap();
    let proven = "SELECT subreddit, covered_start, covered_end FROM coverage";
    let mut known: Vec<(String, i64, i64)> = database.rows(proven).await.unwrap();
    known.extend(gaps(site).await.unwrap());
    known.sort_unstable_by_key(|(_, start, _)| *start);
    let mut holes = Vec::new();
    for (name, begin, until) in begins {
        let mut at = begin;
        for (_, start, end) in known.iter().filter(|(of, ..)| *of == name) {
            if *start > at {
                break;
            }
            at = at.max(*end);
        }
        if at < until {
            holes.push(format!("r/{name} at {at} of {begin} to {until}"));
        }
    }
    holes
}
