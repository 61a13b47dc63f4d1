//! The simulated Reddit, in a process of its own.

use crate::process::Freshet;
use crate::redis::free_port;
use anyhow::Context;
use freshet::metrics::Metrics;
use freshet::simulator::{RequestStats, Truth};
use freshet::source::{Budget, Reddit, RedditOptions};
use freshet::submission::SubmissionId;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Busy enough that pages are full: about 900 submissions each in the first window.
const LIVE_IN_EACH: u32 = 900;
/// The length of a first window, hours; the past before it holds what is stored beforehand.
const WINDOW_HOURS: u32 = 24;

pub(crate) struct World {
    pub(crate) process: Freshet,
    pub(crate) url: String,
    pub(crate) subreddits: Vec<String>,
    /// Created before any first window, oldest first.
    pub(crate) past: Vec<SubmissionId>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start(live: u32, before: u32) -> anyhow::Result<World> {
        let folder = TempDir::new()?;
        let listen = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{listen}");
        let hours = WINDOW_HOURS + 1 + WINDOW_HOURS * before / live.max(1);
        let options = [
            ("--listen", listen),
            (
                "--subreddits",
                (live.div_ceil(LIVE_IN_EACH).max(1)).to_string(),
            ),
            ("--per-hour", (live / WINDOW_HOURS).to_string()),
            ("--history", format!("{hours}h")),
            ("--oddities", "none".to_owned()),
            ("--requests-per-minute", "0".to_owned()),
            ("--listing-cap", "0".to_owned()),
        ];
        let mut arguments = vec!["simulate".to_owned()];
        arguments.extend(options.into_iter().flat_map(|(k, v)| [k.to_owned(), v]));
        let mut process = Freshet::start(folder.path(), "simulate", &arguments)?;
        let begun = Instant::now();
        while reqwest::get(format!("{url}/simulator/health"))
            .await
            .is_err()
        {
            process.still_runs()?;
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "no answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let truth = reqwest::get(format!("{url}/simulator/truth"))
            .await?
            .text()
            .await?;
        // An hour more than the window: the measurements take their time.
        let now = chrono::Utc::now().timestamp();
        let windows_begin = now - i64::from(WINDOW_HOURS + 1) * 3600;
        let mut past = Vec::new();
        for line in truth.lines() {
            let truth: Truth = serde_json::from_str(line)?;
            if truth.created_utc < windows_begin && past.len() < before as usize {
                past.push(truth.id.parse()?);
            }
        }
        let subreddits = reqwest::get(format!("{url}/simulator/subreddits"))
            .await?
            .text()
            .await?;
        let subreddits = serde_json::from_str(&subreddits)?;
        eprintln!(
            "a simulated Reddit with {} submissions, made in {:.0?}",
            truth.lines().count(),
            begun.elapsed()
        );
        Ok(World {
            process,
            url,
            subreddits,
            past,
            _folder: folder,
        })
    }

    pub(crate) async fn requests(&self) -> anyhow::Result<RequestStats> {
        let stats = reqwest::get(format!("{}/simulator/stats", self.url)).await?;
        Ok(serde_json::from_str(&stats.text().await?)?)
    }

    /// A client of it without a limit.
    pub(crate) fn client(&self) -> anyhow::Result<Reddit> {
        let url: reqwest::Url = self.url.parse()?;
        let options = RedditOptions::new(
            url.clone(),
            url,
            "bench".to_owned(),
            "bench".to_owned().into(),
            "linux:freshet-bench:1".to_owned(),
        );
        let budget = Budget::local(NonZeroU32::new(UNLIMITED).context("not zero")?);
        Ok(Reddit::new(options, budget, Arc::new(Metrics::new()))?)
    }
}

/// Requests a minute, more than any machine makes.
pub(crate) const UNLIMITED: u32 = 1_000_000;
