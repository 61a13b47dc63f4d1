//! What is measured at the end of a run, and what must hold.

use crate::cells::Strike;
use crate::site::{FIRST_WINDOW_SECONDS, POISON, Site};
use freshet::simulator::Truth;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// As many requests as the simulated Reddit remembers.
const REMEMBERED: u64 = 10_000;
/// Fetches that wait when a fault strikes.
pub const LEAST_WAITING: i64 = 50;

/// What was listed for two intervals of polls must be stored where it is proven: a `Date` is written after its
/// page was read, so the last page may lack what appeared just then.
const SEEN_MS: i64 = 2 * 3_000;
/// More than a listing holds is listed whole in every poll for as long as it lies within the overlap, a minute,
/// and fetches have what that leaves of the budget.
const FLOODED: Duration = Duration::from_secs(90);

/// What one run showed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judged {
    /// Fetches that waited when the fault struck.
    pub waiting: i64,
    pub compared: Compared,
    /// Counts in the database that are not what is counted there.
    pub miscounted: Vec<String>,
    /// Submissions that were overwritten with an older observation.
    pub older: Vec<String>,
    /// The most requests in any sixty seconds.
    pub busiest_minute: u64,
    /// Of those, beyond the quota.
    pub over_quota: u64,
    /// Subreddits with seconds that are neither proven nor in a gap, before the end of their proof.
    pub unrecorded: Vec<String>,
    /// What was recorded under a claim that had been lost.
    pub expired: Vec<String>,
    /// Attempts at a job beyond its first.
    pub run_again: usize,
    /// Submissions that were asked for and given out more than once.
    pub fetched_again: usize,
    /// Seconds from the end of the fault until everything flowed again.
    pub normal_after: Option<Duration>,
    /// How soon that was to be.
    pub normal_within: Duration,
    /// Whether the fault was to keep some from every listing.
    pub out_of_reach: bool,
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
        none(&self.compared.lost, "lost");
        none(&self.compared.unproven, "proven complete and not stored");
        none(&self.compared.open, "gaps that stay open");
        none(&self.compared.behind, "subreddits not proven up to the end");
        none(&self.compared.unended, "jobs that did not end");
        none(&self.miscounted, "wrong counts");
        none(&self.older, "older over newer");
        none(&self.unrecorded, "gaps that are not recorded");
        none(&self.expired, "records under a lost claim");
        let (shown, waiting) = (self.compared.shown, self.waiting);
        if shown < 1000 || waiting < LEAST_WAITING {
            broken.push(format!("only {shown} shown and {waiting} waiting: no load"));
        }
        if self.out_of_reach && self.compared.in_gaps == 0 && !self.compared.by_ids {
            broken.push("no gap for what no listing showed".to_owned());
        }
        if self.compared.wrong_rows > 0 {
            broken.push(format!("{} wrong rows", self.compared.wrong_rows));
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
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Submissions that Reddit listed within the windows.
    pub shown: usize,
    /// Of those, neither in the database nor in a recorded gap.
    pub lost: Vec<String>,
    /// Of those, in a recorded gap and not in the database.
    pub in_gaps: usize,
    /// Whether gaps are repaired by ids.
    pub by_ids: bool,
    /// Of those listed in a time that is said to be complete, not in the database.
    pub unproven: Vec<String>,
    /// Gaps that are not repaired. None is legitimate where no fault lasts so long that a listing, which
    /// holds 1,000, does not reach back to its beginning; where more appears than that, those that hold
    /// something that is not stored are.
    pub open: Vec<String>,
    /// Subreddits whose proof has not come as far as it should.
    pub behind: Vec<String>,
    /// Rows of submissions that there are not.
    pub wrong_rows: usize,
    /// Fetches that never ended, and jobs set aside but for the one that is to be.
    pub unended: Vec<String>,
}

impl Compared {
    /// Whether nothing is left to wait for.
    pub fn is_settled(&self) -> bool {
        let left = [&self.lost, &self.open, &self.behind, &self.unended];
        left.iter().all(|left| left.is_empty())
    }
}

/// Judges what was created before this second, by Reddit's clock. None where the database does not
/// answer.
pub async fn compare(site: &Site, before: i64) -> Option<Compared> {
    let database = &site.database;
    let read_ms = site.reddit.now_ms().await;
    // Before the submissions: what is proven is stored already.
    let proven = proven(site).await?;
    let stored = database.texts("SELECT id FROM submissions").await?;
    let fetches = "SELECT id, coalesce(reason, 'no reason') FROM fetches";
    let fetches: Vec<(String, String)> = database.rows(fetches).await?;
    let fetches: HashMap<String, String> = fetches.into_iter().collect();
    let begins = begins(site).await?;
    let untils = "SELECT name, coalesce(covered_until, 0) FROM subreddits";
    let untils: Vec<(String, i64)> = database.rows(untils).await?;
    let gaps = gaps(site).await?;
    // After the database: then nothing is stored that is not yet true.
    let truth = site.reddit.truth().await;
    let poisoned = matches!(
        site.run.cell.strike,
        Strike::KillingJob | Strike::PanickingJob | Strike::PoisonedId
    );
    let stored: HashSet<String> = stored.into_iter().collect();
    let seconds = |(name, start, end): &Span| format!("r/{name} {start} to {end}");
    let behind = untils.iter().filter(|(_, until)| *until < before);
    let mut compared = Compared {
        behind: behind
            .map(|(name, until)| format!("r/{name} until {until} of {before}"))
            .collect(),
        ..Compared::default()
    };
    let mut existing = HashSet::new();
    let mut lacking = vec![false; gaps.len()];
    for truth in &truth {
        existing.insert(truth.id.as_str());
        let holds = |span: &Span| holds(span, truth);
        let line = format!("{} of r/{}", truth.id, truth.subreddit);
        let is_stored = stored.contains(&truth.id);
        let listed_ms = truth.listed_ms.first().map_or(read_ms, |(from, _)| *from);
        if !is_stored && read_ms - listed_ms >= SEEN_MS && proven.iter().any(holds) {
            compared.unproven.push(line.clone());
        }
        // Where nothing is recorded at all, everything is missing.
        let begin = begins.get(&truth.subreddit).copied().unwrap_or(0);
        if !(begin..before).contains(&truth.created_utc) {
            continue;
        }
        compared.shown += 1;
        if let Some(reason) = fetches.get(&truth.id)
            && !(poisoned && truth.id == POISON)
        {
            compared.unended.push(format!("{line}: {reason}"));
        }
        if is_stored {
            continue;
        }
        let place = gaps.iter().position(holds);
        match place {
            Some(place) => {
                lacking[place] = true;
                compared.in_gaps += 1;
            }
            None => compared.lost.push(line),
        }
    }
    // On a slow machine what no listing reaches is found by its ids before the end; the gap itself is closed
    // a day and a half later.
    compared.by_ids = database
        .number("SELECT count(*) FROM backfills WHERE source = 'ids'")
        .await?
        > 0;
    let in_order = |place: usize| {
        site.run.cell.strike.is_out_of_reach() && (lacking[place] || compared.by_ids)
    };
    let open = gaps
        .iter()
        .enumerate()
        .filter(|(place, _)| !in_order(*place));
    compared.open = open.map(|(_, gap)| seconds(gap)).collect();
    let made_up = stored.iter().filter(|id| !existing.contains(id.as_str()));
    compared.wrong_rows += made_up.count();
    Some(compared)
}

/// Name, start and end of each.
pub type Span = (String, i64, i64);

pub fn holds((name, start, end): &Span, truth: &Truth) -> bool {
    *name == truth.subreddit && (*start..*end).contains(&truth.created_utc)
}

/// Where the first window of each subreddit begins. A window that lies further back than the first ones may
/// is one that a wrong `Date` shifted, and promises nothing of the time between.
async fn begins(site: &Site) -> Option<HashMap<String, i64>> {
    // Until a first one succeeds there is no window in which anything could be missing.
    let windows = "SELECT subreddit, window_start FROM poll_windows WHERE outcome <> 'failed'";
    let windows: Vec<(String, i64)> = site.database.rows(windows).await?;
    let shifted = match site.run.cell.strike {
        Strike::LyingClock => site.began - FIRST_WINDOW_SECONDS - 1,
        _ => i64::MIN,
    };
    let mut begins = HashMap::new();
    for (name, start) in windows {
        if start > shifted {
            let begin = begins.entry(name).or_insert(start);
            *begin = start.min(*begin);
        }
    }
    Some(begins)
}

/// What is said to be complete.
pub async fn proven(site: &Site) -> Option<Vec<Span>> {
    let proven = "SELECT subreddit, covered_start, covered_end FROM coverage";
    site.database.rows(proven).await
}

/// Those that are not repaired.
pub async fn gaps(site: &Site) -> Option<Vec<Span>> {
    let gaps = "SELECT subreddit, gap_start, gap_end FROM gaps WHERE state <> 'repaired'";
    site.database.rows(gaps).await
}

/// Measures all but what happened at the strike and right after it.
pub async fn judge(site: &Site, before: i64) -> Judged {
    let compared = compare(site, before).await.expect("the database answers");
    let database = &site.database;
    let journal = "SELECT what, which FROM harness";
    let journal: Vec<(String, String)> = database.rows(journal).await.unwrap();
    let of = |kind: &str| -> Vec<String> {
        let lines = journal.iter().filter(|(what, _)| what == kind);
        lines.map(|(_, which)| which.clone()).collect()
    };
    let runs = of("run");
    let jobs: HashSet<&String> = runs.iter().collect();
    let stats = site.reddit.stats().await;
    let requests: u64 = stats.requests.values().flat_map(|it| it.values()).sum();
    assert!(
        requests < REMEMBERED,
        "{requests} requests are not all known"
    );
    let fetches = site.reddit.fetches().await;
    Judged {
        waiting: 0,
        compared,
        miscounted: miscounted(site).await,
        older: of("older"),
        busiest_minute: stats.biggest_minute,
        over_quota: stats
            .biggest_minute
            .saturating_sub(u64::from(site.run.requests_per_minute())),
        unrecorded: unrecorded(site).await,
        expired: of("expired"),
        run_again: runs.len() - jobs.len(),
        fetched_again: fetches.values().filter(|times| **times > 1).count(),
        normal_after: None,
        normal_within: if site.run.cell.strike.is_out_of_reach() {
            site.run.length.normal_within().max(FLOODED)
        } else {
            site.run.length.normal_within()
        },
        out_of_reach: site.run.cell.strike.is_out_of_reach(),
    }
}

/// Subreddits whose history has a hole: from the beginning of the first window to the end of what is
/// proven, each second must be proven or lie in a gap.
async fn unrecorded(site: &Site) -> Vec<String> {
    let database = &site.database;
    // First: what is proven meanwhile is no hole.
    let untils = "SELECT name, coalesce(covered_until, 0) FROM subreddits";
    let untils: Vec<(String, i64)> = database.rows(untils).await.unwrap();
    let begins = begins(site).await.unwrap();
    let mut known = proven(site).await.unwrap();
    known.extend(gaps(site).await.unwrap());
    known.sort_unstable_by_key(|(_, start, _)| *start);
    let mut holes = Vec::new();
    for (name, until) in untils {
        let Some(&begin) = begins.get(&name) else {
            continue;
        };
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

/// What transactions counted as they went, each beside what is there: a submission that is stored or
/// counted twice shows here. One statement each, so that what is written meanwhile is in both.
const COUNTS: [&str; 2] = [
    "SELECT what, counted, found FROM (
         SELECT 'discovered' AS what, (SELECT CAST(sum(discovered) AS bigint) FROM counters) AS counted,
                (SELECT count(*) FROM submissions WHERE status = 'discovered') AS found
         UNION ALL SELECT 'fetched', (SELECT CAST(sum(fetched) AS bigint) FROM counters),
                (SELECT count(*) FROM submissions WHERE status = 'fetched')
         UNION ALL SELECT 'unavailable', (SELECT CAST(sum(unavailable) AS bigint) FROM counters),
                (SELECT count(*) FROM submissions WHERE status = 'unavailable')
         UNION ALL SELECT 'fetches', (SELECT CAST(sum(fetches) AS bigint) FROM counters),
                (SELECT count(*) FROM fetches)
     ) AS counts WHERE counted <> found",
    "SELECT name, submissions, (SELECT count(*) FROM submissions WHERE lower(subreddit) = name)
     FROM subreddits
     WHERE submissions <> (SELECT count(*) FROM submissions WHERE lower(subreddit) = name)",
];

async fn miscounted(site: &Site) -> Vec<String> {
    let mut miscounted = Vec::new();
    for sql in COUNTS {
        let wrong: Vec<(String, i64, i64)> = site.database.rows(sql).await.unwrap();
        let line = |(what, counted, found)| format!("{what}: {counted} counted, {found} there");
        miscounted.extend(wrong.into_iter().map(line));
    }
    miscounted
}
