//! The course of one run: load, strike, recovery, end.

use crate::cells::{Cell, Engines, Strike};
use crate::judge::{Judged, LEAST_WAITING, compare, gaps, holds, judge};
use crate::proxy::Hearing;
use crate::site::{POISON, Site};
use crate::strikes::disk;
use crate::strikes::evidence::Eve;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// A fault strikes when so many submissions of the first windows are fetched and the others wait.
const FETCHED_BEFORE: i64 = 500;
/// What has not happened by then never will, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// After the return to normal, so that what a fault left behind has time to do harm.
const AFTERMATH: (u64, u64) = (3, 15);
const LOOK: Duration = Duration::from_millis(200);
/// No run takes as long: one that does hangs, and is not to hang all the others.
const LONGEST: Duration = Duration::from_secs(40 * 60);
/// What hangs in a thread of its own is left behind after this.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// How long faults last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Length {
    /// As short as they can be without being another fault.
    Short,
    /// As written in the table.
    Long,
}

#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub cell: &'static Cell,
    pub engines: Engines,
    pub length: Length,
    /// Of the simulated Reddit; it also shifts the moment of the strike.
    pub seed: u64,
}

impl Length {
    /// How soon everything is to flow again. Short runs share the machine with other tests, and whoever runs
    /// them may have a slow one: theirs is no measurement.
    pub fn normal_within(self) -> Duration {
        match self {
            Length::Short => PATIENCE,
            Length::Long => Duration::from_secs(30),
        }
    }
}

impl Run {
    pub fn name(&self) -> String {
        format!("{} ({})", self.cell.name, self.engines)
    }
}

/// Runs it and measures.
///
/// # Errors
/// Why it cannot be run on this machine.
///
/// # Panics
/// Where it cannot go on: then the promise is not kept either.
pub fn run(run: Run) -> Result<Judged, String> {
    if run.cell.strike == Strike::DiskFull && disk::mounted().is_none() {
        return disk::run_on_a_small_one(run);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let judged = runtime.block_on(async {
        let deadline = Instant::now() + LONGEST;
        let site = timeout_at(deadline, Site::start(run)).await;
        let mut site = site.expect("everything starts in time");
        let course = async {
            let judged = timeout_at(deadline, course(&mut site)).await;
            judged.unwrap_or_else(|_| panic!("it hung, and was ended after {LONGEST:?}"))
        };
        let judged = AssertUnwindSafe(course).catch_unwind().await;
        if !judged.as_ref().is_ok_and(|it| it.broken().is_empty()) {
            site.keep_logs();
        }
        judged
    });
    runtime.shutdown_timeout(LEFT_BEHIND);
    match judged {
        Ok(judged) => Ok(judged),
        Err(panic) => resume_unwind(panic),
    }
}

async fn course(site: &mut Site) -> Judged {
    // Not always at the same place.
    let fetched_before = FETCHED_BEFORE + i64::try_from(site.run.seed % 5).unwrap() * 150;
    until("the load is there", PATIENCE, async || {
        let fetched = "SELECT count(*) FROM submissions WHERE status = 'fetched'";
        site.database.number(fetched).await >= Some(fetched_before)
    })
    .await;
    let eve = eve(site).await;
    let strike = site.run.cell.strike;
    strike.strike(site, &eve).await;
    let normal_after = normal(site, &eve).await;
    strike.assert_struck(site, &eve).await;
    site.run.length.last(AFTERMATH).await;
    let until = site.reddit.now_ms().await / 1000;
    settle(site, until).await;
    let mut judged = judge(site, until).await;
    judged.waiting = eve.waiting;
    judged.normal_after = normal_after;
    judged
}

/// How things are while enough fetches wait. Where a slow machine fetches as fast as it discovers, or was not
/// looked at in time, requests for submissions are held back until enough do.
async fn eve(site: &Site) -> Eve {
    let eve = Eve::of(site).await;
    if eve.waiting >= LEAST_WAITING {
        return eve;
    }
    let members = site.members.iter();
    let held: Vec<Hearing> = members
        .map(|it| it.reddit.listen_for("/api/info"))
        .collect();
    let busiest = &site.reddit.subreddits[0];
    for _ in 0..2 * LEAST_WAITING {
        site.reddit.publish(busiest, None).await;
    }
    let mut eve = Eve::of(site).await;
    let deadline = Instant::now() + PATIENCE;
    while eve.waiting < LEAST_WAITING {
        assert!(Instant::now() < deadline, "nothing waits to be fetched");
        sleep(LOOK).await;
        eve = Eve::of(site).await;
    }
    drop(held);
    eve
}

/// How long after the end of the fault everything flows again: every process is ready, what had been
/// discovered is fetched, and so is all that appeared during the fault and, in every subreddit, in the
/// first moment after it. None where that is not so in time.
async fn normal(site: &mut Site, eve: &Eve) -> Option<Duration> {
    let over = Instant::now();
    for subreddit in &site.reddit.subreddits {
        site.reddit.publish(subreddit, None).await;
    }
    let mut wanted = site.reddit.truth().await;
    wanted.retain(|truth| truth.created_utc >= eve.now && truth.id != POISON);
    let mut left: Option<HashSet<String>> = None;
    let mut normal = false;
    while !normal && over.elapsed() < PATIENCE {
        // What an archive brings in is not to be fetched.
        let unfetched = "SELECT id FROM fetches";
        let fetched = "SELECT id FROM submissions WHERE status <> 'discovered'";
        if let Some(unfetched) = site.database.texts(unfetched).await {
            let left = left.get_or_insert_with(|| {
                let left = unfetched.iter().filter(|id| *id != POISON);
                left.cloned().collect()
            });
            left.retain(|id| unfetched.contains(id));
            if left.is_empty()
                && let Some(fetched) = site.database.texts(fetched).await
            {
                let fetched: HashSet<String> = fetched.into_iter().collect();
                wanted.retain(|truth| !fetched.contains(&truth.id));
                if site.run.cell.strike.is_out_of_reach() {
                    let gaps = gaps(site).await.unwrap_or_default();
                    wanted.retain(|truth| !gaps.iter().any(|gap| holds(gap, truth)));
                }
                normal = wanted.is_empty() && site.is_ready().await;
            }
        }
        sleep(LOOK).await;
    }
    normal.then(|| over.elapsed())
}

/// Waits until all that was listed before this second is stored, fetched and proven complete, as far as
/// that ever comes; more arrives meanwhile.
async fn settle(site: &Site, before: i64) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let compared = compare(site, before).await;
        if compared.is_some_and(|it| it.is_settled()) {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Asks until the condition holds.
pub async fn until(what: &str, within: Duration, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + within;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(LOOK).await;
    }
}
