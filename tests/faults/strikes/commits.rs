//! A process that stands still in the middle of a transaction: all its statements have been sent, the
//! COMMIT has not.

use super::processes::Work;
use crate::course::until;
use crate::database::HOLD;
use crate::site::Site;
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const PATIENCE: Duration = Duration::from_secs(300);
/// Waiting for a lock ends after 30 s, and with it the transaction: others can take over then.
const TAKEN_OVER_FROM: u64 = 40;

/// One with this role, for so many seconds.
pub async fn frozen(site: &mut Site, role: &str, seconds: u64) {
    let places = site.with_role(role);
    let place = places[usize::try_from(site.run.seed).unwrap() % places.len()];
    let url = site.servers().postgres.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let lock = format!("SELECT pg_advisory_lock({HOLD})");
    let release = format!("SELECT pg_advisory_unlock({HOLD})");
    let taken_over = seconds >= TAKEN_OVER_FROM;
    let mut work = None;
    loop {
        connection
            .execute(sqlx::AssertSqlSafe(lock.clone()))
            .await
            .unwrap();
        until("a transaction is about to end", PATIENCE, async || {
            hold(site, place).await;
            site.database.number(WAITING).await > Some(0)
        })
        .await;
        site.members[place].freeze().await;
        // One that waits for the locks of another only begins its own half minute when that one ends.
        if !taken_over {
            break;
        }
        if site.database.number(BEGUN).await == Some(1) {
            // A transaction that only stores what a poll found holds nothing that could be taken over.
            work = Work::if_held(site, place).await;
            if work.is_some() {
                break;
            }
        }
        site.members[place].thaw();
        site.database.rows::<(i64,)>(FREE).await.unwrap();
        connection
            .execute(sqlx::AssertSqlSafe(release.clone()))
            .await
            .unwrap();
    }
    let thawed = Instant::now() + Duration::from_secs(seconds);
    if !taken_over {
        // Its last answer comes while it stands still, and nobody else can touch what it has locked.
        connection
            .execute(sqlx::AssertSqlSafe(release.clone()))
            .await
            .unwrap();
        until("its last statement is done", PATIENCE, async || {
            site.database.number(WAITING).await == Some(0)
        })
        .await;
        let open = site.database.number(OPEN).await;
        assert!(open > Some(0), "no transaction is left open");
    }
    sleep_until(thawed).await;
    if let Some(work) = work {
        work.assert_taken_over(site).await;
    }
    site.database.rows::<(i64,)>(FREE).await.unwrap();
    site.members[place].thaw();
    if taken_over {
        connection
            .execute(sqlx::AssertSqlSafe(release))
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
const BEGUN: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE xact_start IS NOT NULL AND client_port IN (SELECT port FROM harness_hold)";
const FREE: &str = "DELETE FROM harness_hold RETURNING CAST(port AS bigint)";
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE state = 'idle in transaction' AND client_port IN (SELECT port FROM harness_hold)";
/// Makes the connections that a process has now wait at the end of their transactions.
async fn hold(site: &Site, place: usize) {
    let ways = site.members[place].servers.as_ref().unwrap();
    let ports: Vec<i32> = ways.postgres.ports().into_iter().map(i32::from).collect();
    let mut connection = PgConnection::connect(site.database.url()).await.unwrap();
    let sql = "INSERT INTO harness_hold SELECT * FROM unnest($1::integer[])
        EXCEPT SELECT port FROM harness_hold";
    sqlx::query(sql)
        .bind(ports)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
