//! What happens to freshet's own processes.

use super::RESTART;
use crate::site::Site;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const STEP: Duration = Duration::from_millis(20);
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
    loop {
        let (place, held) = site.next_to_ask(role).await;
        site.members[place].freeze().await;
        // In the middle of a transaction it would keep its locks from everybody, for longer than this takes:
        // that is what the strikes at its COMMIT are about.
        while role != "all" && in_transaction(site, place).await {
            site.members[place].thaw();
            sleep(STEP).await;
            site.members[place].freeze().await;
        }
        let thawed = Instant::now() + Duration::from_secs(seconds);
        held.release();
        let work = match role {
            "all" => None,
            _ => Work::if_held(site, place).await,
        };
        // On a slow machine others have taken over already what it held.
        let again = role != "all" && work.is_none();
        if !again {
            sleep_until(thawed).await;
        }
        if let Some(work) = work {
            work.assert_taken_over(site).await;
        }
        site.members[place].thaw();
        if !again {
            return;
        }
    }
}

/// Whether a frozen process has left a transaction open, once what it had sent is done.
async fn in_transaction(site: &Site, place: usize) -> bool {
    let ways = site.members[place].servers.as_ref().unwrap();
    let ports: Vec<i32> = ways.postgres.ports().into_iter().map(i32::from).collect();
    let mut connection = PgConnection::connect(site.database.url()).await.unwrap();
    loop {
        let sql = "SELECT count(*) FILTER (WHERE state = 'active'),
                count(*) FILTER (WHERE state LIKE 'idle in transaction%')
            FROM pg_stat_activity WHERE client_port = ANY($1)";
        let (active, open): (i64, i64) = sqlx::query_as(sql)
            .bind(&ports)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if open > 0 || active == 0 {
            connection.close().await.unwrap();
            return open > 0;
        }
        sleep(STEP).await;
    }
}

/// What a frozen process holds: jobs under its name, or claims, which everybody else records sooner.
pub struct Work {
    sql: &'static str,
    holder: String,
    held: Vec<String>,
    /// Whose connections stand still.
    frozen: String,
}

/// What every connection does, for whoever looks for what nobody got past.
const BUSY: &str = "SELECT concat_ws(' ', pid, 'port', client_port, state, wait_event, 'behind',
        pg_blocking_pids(pid)::text, 'for', date_trunc('second', clock_timestamp() - state_change)::text,
        left(regexp_replace(query, '\\s+', ' ', 'g'), 120))
    FROM pg_stat_activity WHERE client_port IS NOT NULL ORDER BY pid";

impl Work {
    /// Of the one at this place, which does not move; none where it holds nothing.
    pub async fn if_held(site: &Site, place: usize) -> Option<Work> {
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
            frozen: format!(
                "ports {:?}",
                member.servers.as_ref().unwrap().postgres.ports()
            ),
        };
        let mut held = work.there(site).await;
        sleep(STILL_HELD).await;
        let still = work.there(site).await;
        held.retain(|one| still.contains(one));
        work.held = held;
        (!work.held.is_empty()).then_some(work)
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
        if !left.is_empty() {
            let busy = site.database.texts(BUSY).await.unwrap_or_default();
            panic!(
                "nobody took over {left:?} of {}; the database's connections:\n{}",
                self.frozen,
                busy.join("\n")
            );
        }
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
