//! The program itself, as a user runs it.

use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::fs::{File, read_to_string};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a run went.
pub(crate) struct Run {
    pub(crate) spent: Duration,
    pub(crate) peak_megabytes: f64,
}

/// Runs it to its end, which must be well, in this folder.
pub(crate) fn run(folder: &Path, words: &[&OsStr]) -> anyhow::Result<Run> {
    let log = folder.join("program.log");
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .spawn()
        .context("freshet cannot be started")?;
    let mut peak_megabytes = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The system keeps the peak itself; it is only gone once the process is.
        peak_megabytes = peak(child.id()).unwrap_or(peak_megabytes);
        std::thread::sleep(Duration::from_millis(5));
    };
    let spent = begun.elapsed();
    ensure!(
        status.success(),
        "freshet ended with {status}: {}",
        read_to_string(&log).unwrap_or_default()
    );
    Ok(Run {
        spent,
        peak_megabytes,
    })
}

fn peak(id: u32) -> Option<f64> {
    let status = read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1.024 / 1000.0)
}
