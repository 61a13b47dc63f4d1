//! Answers that look good and are not: of Reddit about the time, of the archive about what it holds.

use super::REFUSING;
use super::evidence::Eve;
use crate::course::{Length, until};
use crate::judge::{compare, proven};
use crate::site::Site;
use crate::support::binary::Home;
use freshet::simulator::{Command, Endpoint, Fault};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);
/// More than a listing holds, so that some of them are out of its reach.
const FLOOD: usize = 1_300;

/// One way to lie about the time: which of the answers do, and how.
struct Lie {
    /// Once; else again and again.
    once: bool,
    every: u32,
    faults: Vec<Fault>,
    /// Answers until it was told often enough in a short run.
    told: usize,
}

fn ahead(seconds: i64) -> Fault {
    Fault::Date {
        ahead_seconds: seconds,
    }
}

fn lies() -> [Lie; 4] {
    let lie = |once, every, faults, told| Lie {
        once,
        every,
        faults,
        told,
    };
    let jumping = [72_000, -90_000, 300, -300, 400_000].map(ahead);
    [
        lie(true, 1, vec![ahead(72_000)], 1),
        lie(false, 3, vec![ahead(300)], 3),
        lie(false, 1, jumping.to_vec(), 5),
        lie(false, 1, vec![Fault::NoDate], 3),
    ]
}

/// Every lie in turn, and then an outage in which more appears than a listing holds.
pub async fn clock(site: &Site, eve: &Eve) {
    let mut lies = lies();
    // The last one before the outage is not always the same.
    lies.rotate_left(usize::try_from(site.run.seed).unwrap() % 4);
    let times = match site.run.length {
        Length::Short => 1,
        Length::Long => 4,
    };
    for lie in lies {
        let before = site.reddit.broken().await;
        let endpoint = Some(Endpoint::Listing);
        let command = if lie.once {
            Command::FailNext {
                count: 1,
                fault: lie.faults[0],
                endpoint,
            }
        } else {
            Command::FailEvery {
                every: lie.every,
                faults: lie.faults,
                endpoint,
            }
        };
        site.reddit.tell(&command).await;
        let told = if lie.once { 1 } else { lie.told * times };
        until("the lie is told", PATIENCE, async || {
            assert_no_future(site).await;
            site.reddit.broken().await >= before + told
        })
        .await;
        site.reddit.tell(&honest()).await;
        let before = listings(site).await;
        until("honest answers come", PATIENCE, async || {
            assert_no_future(site).await;
            listings(site).await > before + 2
        })
        .await;
    }
    let fault = Some(Fault::ErrorPage { status: 503 });
    site.reddit.tell(&Command::Outage { fault }).await;
    eve.until_refused(site).await;
    let busiest = &site.reddit.subreddits[0];
    for _ in 0..FLOOD / 100 {
        let some = (0..100).map(|_| site.reddit.publish(busiest, None));
        join_all(some).await;
    }
    site.run.length.last(REFUSING).await;
    site.reddit.tell(&Command::Outage { fault: None }).await;
}

fn honest() -> Command {
    Command::FailEvery {
        every: 1,
        faults: Vec::new(),
        endpoint: None,
    }
}

/// Listings that were answered.
async fn listings(site: &Site) -> u64 {
    let stats = site.reddit.stats().await;
    stats.with_status(Endpoint::Listing, 200)
}

/// Nothing is proven of a time that has not come.
async fn assert_no_future(site: &Site) {
    let latest = "SELECT coalesce(max(covered_end), 0) FROM coverage";
    let latest = site.database.number(latest).await.unwrap_or(0);
    let now = site.reddit.now_ms().await / 1000;
    assert!(
        latest <= now,
        "false proof: {} s of the future",
        latest - now
    );
}

/// Subreddits whose past is brought in.
const BACKFILLED: usize = 3;
/// What of the past, seconds before the strike: all of it is older than the first windows, and old enough for
/// the archive to be whole there.
const SINCE: i64 = 3_300;
const UNTIL: i64 = 1_200;

/// Backfills from an archive that lies, and then from the same one when it lies no more.
pub async fn archive(site: &mut Site, eve: &Eve) {
    let past = Past {
        names: site.reddit.subreddits[..BACKFILLED].to_vec(),
        since: eve.now - SINCE,
        until: eve.now - UNTIL,
    };
    // It is honest until everything is planned, and no slice is begun before.
    let members = site.members.iter();
    let held: Vec<_> = members
        .map(|it| it.reddit.listen_for("/api/posts/search"))
        .collect();
    for planned in join_all(past.names.iter().map(|name| past.begin(site, name))).await {
        assert!(planned, "no backfill could be planned");
    }
    let lies = [
        Fault::ErrorInside,
        Fault::Nothing,
        Fault::HalfTheRows,
        Fault::FromTheFuture,
        ahead(4 * 365 * 86_400),
    ];
    let every = 2 + u32::try_from(site.run.seed % 2).unwrap();
    let command = Command::FailEvery {
        every,
        faults: lies.to_vec(),
        endpoint: Some(Endpoint::ArchiveSearch),
    };
    site.reddit.tell(&command).await;
    for held in held {
        held.release();
    }
    let often = match site.run.length {
        Length::Short => 2,
        Length::Long => 4,
    };
    let begun = Instant::now();
    loop {
        let told = site.reddit.told().await;
        let count = |lie| told.iter().filter(|told| *told == lie).count();
        if lies.iter().all(|lie| count(lie) >= often) {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not every lie was told: {told:?}"
        );
        past.go_on(site).await;
        sleep(LOOK).await;
    }
    let now = site.reddit.now_ms().await / 1000;
    let compared = compare(site, now).await.unwrap();
    let unproven = compared.unproven;
    assert!(
        unproven.is_empty(),
        "false proof while the archive lies: {} submissions, such as {}",
        unproven.len(),
        unproven[0]
    );
    site.reddit.tell(&honest()).await;
    let begun = Instant::now();
    while !past.is_whole(site).await {
        let filled = "an honest archive fills what a lying one left";
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {filled}"
        );
        past.go_on(site).await;
        sleep(LOOK).await;
    }
}

/// What is to be brought in.
struct Past {
    names: Vec<String>,
    since: i64,
    until: i64,
}

impl Past {
    /// Plans a backfill for the workers; whether that could be done.
    async fn begin(&self, site: &Site, name: &str) -> bool {
        let (since, until) = (self.since.to_string(), self.until.to_string());
        let (queue, archive) = (
            site.queue_url(),
            format!("http://{}", site.reddit.address()),
        );
        let home = Home::new();
        let arguments = [
            ["backfill", name],
            ["--source", "arctic-shift"],
            ["--since", &since],
            ["--until", &until],
            ["--database-url", site.database.url()],
            ["--queue-url", &queue],
            ["--arctic-shift-url", &archive],
        ];
        let mut arguments = arguments.concat();
        arguments.push("--detach");
        let ended = home.run(&arguments).await;
        ended.status == Some(0)
    }

    /// Begins again what has ended without being whole, and lets nothing wait for its next attempt.
    async fn go_on(&self, site: &Site) {
        let hurry = "UPDATE slices SET due_ms = 0
            WHERE state = 'waiting' AND fed_ms IS NULL AND due_ms > 0 RETURNING id";
        if site.run.length == Length::Short {
            site.database.rows::<(i64,)>(hurry).await;
        }
        let open = "SELECT DISTINCT subreddit FROM backfills WHERE state IN ('running', 'paused')";
        let open = site.database.texts(open).await.unwrap_or_default();
        let ended = self.names.iter().filter(|name| !open.contains(name));
        // A plan that fails for a lie is made again.
        join_all(ended.map(|name| self.begin(site, name))).await;
    }

    /// Whether all of it is proven and stored.
    async fn is_whole(&self, site: &Site) -> bool {
        let (Some(mut proven), Some(stored)) = (
            proven(site).await,
            site.database.texts("SELECT id FROM submissions").await,
        ) else {
            return false;
        };
        proven.sort_unstable();
        let is_proven = |name: &String| {
            let mut at = self.since;
            for (_, start, end) in proven.iter().filter(|(of, ..)| of == name) {
                if *start <= at {
                    at = at.max(*end);
                }
            }
            at >= self.until
        };
        if !self.names.iter().all(is_proven) {
            return false;
        }
        let stored: std::collections::HashSet<String> = stored.into_iter().collect();
        let truth = site.reddit.truth().await;
        let mut wanted = truth.iter().filter(|truth| {
            let within = (self.since..self.until).contains(&truth.created_utc);
            within && self.names.contains(&truth.subreddit)
        });
        wanted.all(|truth| stored.contains(&truth.id))
    }
}
