//! A simulated Reddit in a process of its own.

use crate::process::{Running, program};
use crate::world::World;
use anyhow::{Context, ensure};
use freshet::simulator::{RequestStats, Truth};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// What stands in for all subreddits of Reddit that are none of the world's.
const REST: &str = "everything_else";
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Simulated {
    url: String,
    http: reqwest::Client,
    _process: Running,
}

impl Simulated {
    pub(crate) async fn start(folder: &Path, world: &World, seed: u64) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = program(folder);
        command
            .arg("simulate")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--seed", &seed.to_string(), "--steady", "--gzip"])
            .args(["--subreddits", &world.subreddits.to_string()])
            .args(["--per-hour", &(world.per_second * 3_600.0).to_string()])
            .args(["--latency", "20ms"])
            .args(["--history", world.history])
            .args(["--oddities", &world.oddities])
            .args([
                "--requests-per-minute",
                &world.requests_per_minute.to_string(),
            ])
            .args(&world.simulate);
        let mut process = Running::start(command, &folder.join("simulate.log"))?;
        let url = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        let begun = Instant::now();
        while http
            .get(format!("{url}/simulator/health"))
            .send()
            .await
            .is_err()
        {
            process.sample()?;
            ensure!(begun.elapsed() < PATIENCE, "the world was not made in time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Simulated {
            url,
            http,
            _process: process,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn text(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// The time in its world, which began to run when that had been made.
    pub(crate) async fn now_ms(&self) -> anyhow::Result<i64> {
        let health: Value = serde_json::from_str(&self.text("/simulator/health").await?)?;
        health["now_ms"].as_i64().context("its time")
    }

    pub(crate) async fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut names: Vec<String> =
            serde_json::from_str(&self.text("/simulator/subreddits").await?)?;
        names.retain(|name| name != REST);
        Ok(names)
    }

    pub(crate) async fn requests(&self) -> anyhow::Result<RequestStats> {
        Ok(serde_json::from_str(&self.text("/simulator/stats").await?)?)
    }

    /// Of what was created then (seconds) or later.
    pub(crate) async fn truth(&self, since: i64) -> anyhow::Result<Vec<Truth>> {
        let lines = self
            .text(&format!("/simulator/truth?since={since}"))
            .await?;
        let truths = lines.lines().map(serde_json::from_str);
        let mut truths: Vec<Truth> = truths.collect::<Result<_, _>>()?;
        truths.retain(|truth| truth.subreddit != REST);
        Ok(truths)
    }

    pub(crate) async fn outage(&self, on: bool) -> anyhow::Result<()> {
        let fault = on.then(|| json!({"error_page": {"status": 503}}));
        let command = json!({"command": "outage", "fault": fault});
        let answer = self.http.post(format!("{}/simulator/control", self.url));
        let answer = answer.body(command.to_string()).send().await?;
        let said = answer.text().await?;
        ensure!(said.contains("true"), "the outage: {said}");
        Ok(())
    }
}
