//! What happens to freshet's own processes.

use super::RESTART;
use crate::site::Site;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// What is still held after this long is held by one that does not move.
const STILL_HELD: Duration = Duration::from_secs(3);

/// One that is at work, and a supervisor that starts it again.
pub async fn one_killed(site: &mut Site, role: &str) {
    let (place, _held) = site.next_to_ask(role).await;
    site.members[place].kill().await;
    site.members[place].reddit.close();
    site.run.length.last(RESTART).await;
    site.members[place].reddit.open();
    site.members[place].start();
}

pub async fn all_killed(site: &mut Site, role: &str) {
    let _held = site.next_to_ask(role).await;
    let places = site.with_role(role);
    for place in &places {
        site.members[*place].kill().await;
        site.members[*place].reddit.close();
    }
    site.run.length.last(RESTART).await;
    for place in places {
        site.members[place].reddit.open();
        site.members[place].start();
    }
}

/// One that is at work, with its claim or its jobs; the answer it waits for comes meanwhile. Others
/// take its work over, where there are any.
pub async fn frozen(site: &mut Site, role: &str, seconds: u64) {
    let (place, held) = site.next_to_ask(role).await;
    site.members[place].freeze().await;
    let thawed = Instant::now() + Duration::from_secs(seconds);
    held.release();
    if role == "all" {
        sleep_until(thawed).await;
    } else {
        let work = Work::held(site, place).await;
        sleep_until(thawed).await;
        work.assert_taken_over(site).await;
    }
    site.members[place].thaw();
}

/// What a frozen process holds: jobs under its name, or claims, which everybody else records sooner.
pub struct Work {
    sql: &'static str,
    holder: String,
    held: Vec<String>,
}

impl Work {
    /// Of the one at this place, which does not move.
    pub async fn held(site: &Site, place: usize) -> Work {
        let member = &site.members[place];
        let (sql, holder) = if member.role == "worker" {
            let jobs = "SELECT coalesce(started_by, '') || ' ' || id FROM fetches WHERE started";
            (jobs, format!("worker-{}-", member.pid()))
        } else {
            let claims = "SELECT claimed_by || ' ' || name || ' ' || claim_token FROM subreddits
                WHERE claimed_by IS NOT NULL";
            (claims, "scheduler-".to_owned())
        };
        let mut work = Work {
            sql,
            holder,
            held: Vec::new(),
        };
        let mut held = work.there(site).await;
        sleep(STILL_HELD).await;
        let still = work.there(site).await;
        held.retain(|one| still.contains(one));
        assert!(!held.is_empty(), "the frozen {} held nothing", member.role);
        work.held = held;
        work
    }

    async fn there(&self, site: &Site) -> Vec<String> {
        let mut work = site.database.texts(self.sql).await.unwrap();
        work.retain(|one| one.starts_with(&self.holder));
        work
    }

    /// Others have it now, or have done it.
    pub async fn assert_taken_over(&self, site: &Site) {
        let mut left = self.there(site).await;
        left.retain(|one| self.held.contains(one));
        assert!(left.is_empty(), "nobody took over {left:?}");
    }
}

/// All at once, and started again.
pub async fn terminated(site: &mut Site) {
    for member in &mut site.members {
        member.terminate();
    }
    for member in &mut site.members {
        let ended = member.ended().await;
        assert!(ended.success(), "{}: {ended}", member.role);
    }
    for member in &mut site.members {
        member.start();
    }
}

/// One after the other, as a deploy does it.
pub async fn rolling_restart(site: &mut Site) {
    for member in &mut site.members {
        member.terminate();
        let ended = member.ended().await;
        assert!(ended.success(), "{}: {ended}", member.role);
        member.start();
        member.running().await;
    }
}
