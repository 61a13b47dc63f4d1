//! This machine: the port, and the disks that freshet fills.

use super::Check;
use crate::app::reachable;
use crate::config::Config;
use crate::observe::space_left;
use crate::queue::Queue;
use crate::store::Store;
use secrecy::ExposeSecret;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// Less is soon none: the log of a SQLite file alone may take 64 MB.
const FULL: u64 = 100_000_000;
const ALMOST_FULL: u64 = 1_000_000_000;
const ANSWER: Duration = Duration::from_secs(3);

pub(super) async fn port(config: &Config) -> Vec<Check> {
    const NAME: &str = "http.listen";
    let listen = config.http.listen;
    let error = match TcpListener::bind(listen).await {
        Ok(_) => return vec![Check::ok(NAME, format!("{listen} is free"))],
        Err(error) => error,
    };
    let found = format!("{listen} cannot be listened on: {error}");
    vec![match error.kind() {
        ErrorKind::AddrInUse if freshet_listens(config).await => {
            Check::ok(NAME, format!("a freshet that runs listens on {listen}"))
        }
        ErrorKind::AddrInUse => Check::fail(
            NAME,
            format!("another program listens on {listen}"),
            "Take another address (http.listen, --http-listen 127.0.0.1:8081; port 0 is a free one), or end that program.",
        ),
        ErrorKind::AddrNotAvailable => Check::fail(
            NAME,
            found,
            "The address is none of this machine's. 127.0.0.1 is for this machine alone, 0.0.0.0 for all that reach it.",
        ),
        ErrorKind::PermissionDenied => Check::fail(
            NAME,
            found,
            "Ports below 1024 are for root: take a higher one (http.listen).",
        ),
        _ => Check::fail(NAME, found, "Take another address (http.listen)."),
    }]
}

/// By the one metric that tells who it is.
async fn freshet_listens(config: &Config) -> bool {
    let asked = async {
        let client = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            .build()?;
        let url = format!("http://{}/metrics", reachable(config.http.listen));
        client.get(url).send().await?.text().await
    };
    asked
        .await
        .is_ok_and(|text| text.contains("freshet_build_info"))
}

pub(super) async fn disks(config: &Config) -> Vec<Check> {
    let mut folders: Vec<PathBuf> = [
        Store::folder_of(config.database.url.expose_secret()),
        Queue::folder_of(config.queue.url.expose_secret()),
    ]
    .into_iter()
    .flatten()
    .collect();
    folders.extend(config.monitoring.folders.clone());
    folders.sort();
    folders.dedup();
    // A file system that hangs keeps whoever asks it.
    let measured =
        tokio::task::spawn_blocking(move || folders.iter().map(|folder| disk(folder)).collect());
    measured.await.unwrap_or_default()
}

fn disk(folder: &Path) -> Check {
    const NAME: &str = "disk";
    let shown = folder.display();
    let remedy = "Free space there, or move the files to a larger disk (database.url, queue.url).";
    match space_left(folder) {
        Err(error) => Check::fail(
            NAME,
            format!("{shown}: {error}"),
            "Make the folder, or name another (database.url, queue.url, monitoring.folders).",
        ),
        Ok(free) => {
            let found = format!("{shown}: {} MB free", free / 1_000_000);
            match free {
                ..FULL => Check::fail(NAME, found, remedy),
                FULL..ALMOST_FULL => Check::warn(NAME, found, remedy),
                _ => Check::ok(NAME, found),
            }
        }
    }
}
