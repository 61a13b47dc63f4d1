//! `freshet health`: asks a running process how it does, for those that start and watch it.

use crate::app::reachable;
use crate::config::Config;
use anyhow::{Context, bail};
use std::time::Duration;
use url::Url;

/// Longer than `/readyz` takes to find out that something does not answer.
const LIMIT: Duration = Duration::from_secs(8);

/// Asks the address, or else `/readyz` of the process that listens on `http.listen`.
pub(super) async fn health(config: &Config, url: Option<Url>) -> anyhow::Result<()> {
    let own = || format!("http://{}/readyz", reachable(config.http.listen));
    let url = url.map_or_else(own, String::from);
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .no_proxy()
        .build()
        .context("no connection can be made")?;
    let answer = client.get(&url).send().await;
    let answer = answer.with_context(|| format!("nothing answers at {url}"))?;
    let status = answer.status();
    if !status.is_success() {
        let text = answer.text().await.unwrap_or_default();
        bail!("{url} answers {status}: {}", text.trim());
    }
    Ok(())
}
