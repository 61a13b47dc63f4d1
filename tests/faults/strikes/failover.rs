//! Servers that are there and take no writes, and others that take over behind the same address.

use super::{NO_WRITES, redis_connection};
use crate::course::until;
use crate::database::Database;
use crate::site::Site;
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use sqlx::{Connection, Executor, PgConnection};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::block_in_place;

const PATIENCE: Duration = Duration::from_secs(300);

/// No process says that it is ready while none can work.
async fn until_unready(site: &mut Site) {
    let places = 0..site.members.len();
    for place in places {
        let begun = tokio::time::Instant::now();
        while site.members[place].is_ready().await {
            let role = site.members[place].role;
            assert!(begun.elapsed() < PATIENCE, "the {role} stays ready");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn address(url: &str) -> SocketAddr {
    let url: reqwest::Url = url.parse().unwrap();
    let port = url.port().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

pub async fn redis_full(site: &mut Site) {
    let mut connection = redis_connection(site);
    let mut set = |value: &str| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("maxmemory").arg(value);
        command.exec(&mut connection).unwrap();
    };
    set("1");
    until_unready(site).await;
    site.run.length.last(NO_WRITES).await;
    set("0");
}

pub async fn redis(site: &mut Site) {
    let new = block_in_place(RedisServer::start);
    let mut old = redis_connection(site);
    let client = redis::Client::open(new.url()).unwrap();
    let mut replica = client.get_connection().unwrap();
    let follow = |port: u16| {
        let mut command = redis::cmd("REPLICAOF");
        command.arg("127.0.0.1").arg(port);
        command
    };
    let old_port = address(&site.servers().redis.url()).port();
    follow(old_port).exec(&mut replica).unwrap();
    until("the replica has it all", PATIENCE, async || {
        let mut replica = client.get_connection().unwrap();
        let mut info = redis::cmd("INFO");
        let info: String = info.arg("replication").query(&mut replica).unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let mut promote = redis::cmd("REPLICAOF");
    promote.arg("NO").arg("ONE").exec(&mut replica).unwrap();
    for member in &site.members {
        let ways = member.servers.as_ref().unwrap();
        assert!(!ways.redis.ports().is_empty(), "there was no connection");
        ways.redis.lead_to(address(&new.url()));
    }
    follow(address(&new.url()).port()).exec(&mut old).unwrap();
    let old = std::mem::replace(&mut site.servers().redis, new);
    // Else it would end its connections, and nothing would have to be noticed.
    site.servers().retired_redis = Some(old);
}

const READ_ONLY: &str = "ALTER SYSTEM SET default_transaction_read_only = on";
const WRITABLE: &str = "ALTER SYSTEM RESET default_transaction_read_only";
const RELOAD: &str = "SELECT pg_reload_conf()";

pub async fn postgres_read_only(site: &mut Site) {
    let url = site.servers().postgres.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute(READ_ONLY).await.unwrap();
    connection.execute(RELOAD).await.unwrap();
    until_unready(site).await;
    site.run.length.last(NO_WRITES).await;
    connection.execute(WRITABLE).await.unwrap();
    connection.execute(RELOAD).await.unwrap();
}

pub async fn postgres(site: &mut Site) {
    let new = block_in_place(|| PostgresServer::standby_of(&site.servers().postgres));
    let url = site.servers().postgres.url("postgres");
    let mut old = PgConnection::connect(&url).await.unwrap();
    old.execute(READ_ONLY).await.unwrap();
    old.execute(RELOAD).await.unwrap();
    until_unready(site).await;
    let written: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text")
        .fetch_one(&mut old)
        .await
        .unwrap();
    let standby = Database::Postgres(new.url("postgres"));
    let caught_up = format!("SELECT (pg_last_wal_replay_lsn() >= '{written}')::int::bigint");
    let caught_up: &'static str = Box::leak(caught_up.into_boxed_str());
    until("the standby has it all", PATIENCE, async || {
        standby.number(caught_up).await == Some(1)
    })
    .await;
    let mut promoted = PgConnection::connect(&new.url("postgres")).await.unwrap();
    promoted.execute("SELECT pg_promote()").await.unwrap();
    for member in &site.members {
        let ways = member.servers.as_ref().unwrap();
        assert!(!ways.postgres.ports().is_empty(), "there was no connection");
        ways.postgres.lead_to(address(&new.url("postgres")));
    }
    let old = std::mem::replace(&mut site.servers().postgres, new);
    site.servers().retired_postgres = Some(old);
    site.database = standby;
}
