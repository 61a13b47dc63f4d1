//! What a process costs that has nothing to do.

use super::support::binary::{PATIENCE, Process};
use super::support::redis::RedisServer;
use super::support::world::World;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Commands a second that Redis may get of an idle process.
const MOST: f64 = 20.0;
/// Between two heartbeats through the queue, so that each measurement has one.
const MEASURED: Duration = Duration::from_secs(15);

async fn commands(redis: &str) -> f64 {
    let client = redis::Client::open(redis).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut info = redis::cmd("INFO");
    let info: String = info
        .arg("stats")
        .query_async(&mut connection)
        .await
        .unwrap();
    let all = info
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    all.unwrap().trim().parse().unwrap()
}

/// The service in these roles, each a process, over a subreddit where nothing happens.
async fn idles(roles: &[&str]) {
    let redis = tokio::task::spawn_blocking(RedisServer::start)
        .await
        .unwrap();
    let world = World::with(5).await;
    let home = world.home();
    let database = format!("sqlite://{}", home.path().join("store.db").display());
    let url = redis.url();
    let mut runs: Vec<Process> = Vec::new();
    for roles in roles {
        let rest = [
            "--log-format",
            "json",
            "--database-url",
            &database,
            "--queue-url",
            &url,
            "--discover-interval",
            "60s",
            "--reddit-requests-per-minute",
            "100",
        ];
        let mut arguments = vec!["run"];
        for role in roles.split(',') {
            arguments.extend(["--role", role]);
        }
        if runs.is_empty() {
            arguments.push("rust");
        }
        arguments.extend(rest);
        let run = home.start(&arguments);
        run.until_code("/readyz", 200).await;
        runs.push(run);
    }
    runs[0]
        .until_status("everything is stored", |it| it["fetched"] == 5)
        .await;
    // The first walks end, and the looks grow rare.
    let begun = Instant::now();
    loop {
        let (before, since) = (commands(&url).await, Instant::now());
        sleep(MEASURED).await;
        let rate = (commands(&url).await - before) / since.elapsed().as_secs_f64();
        println!("{roles:?}: {rate:.1} commands a second");
        if rate <= MOST * roles.len() as f64 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rate} commands a second");
    }
    // And it is awake at once.
    world.publish("rust", None);
    runs[0]
        .until_status("it is fetched", |it| it["fetched"] == 6)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_service_sends_redis_few_commands() {
    idles(&["scheduler,worker,http"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_of_its_own_sends_redis_few_commands() {
    idles(&["scheduler", "worker"]).await;
}
