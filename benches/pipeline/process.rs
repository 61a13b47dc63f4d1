//! Processes under measurement: started, watched through `/proc`, stopped.

use anyhow::Context;
use std::collections::HashMap;
use std::fs::{File, read_dir, read_to_string};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc`: Linux shows every architecture this number.
const TICKS: f64 = 100.0;

/// A freshet that is killed when dropped.
pub(crate) struct Freshet {
    child: Child,
    log: std::path::PathBuf,
}

impl Freshet {
    /// Starts the release binary in a folder, with nothing of this environment.
    pub(crate) fn start(folder: &Path, name: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_freshet"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("freshet cannot be started")?;
        Ok(Freshet { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with its log where it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = read_to_string(&self.log).unwrap_or_default();
            anyhow::bail!("freshet ended with {status}:\n{log}");
        }
        Ok(())
    }

    /// The most memory it ever held, megabytes.
    pub(crate) fn peak_megabytes(&self) -> anyhow::Result<f64> {
        let status = read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        let kilobytes: f64 = kilobytes.context("no VmHWM in /proc")?.parse()?;
        Ok(kilobytes / 1000.0 * 1.024)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                begun.elapsed() < Duration::from_secs(60),
                "freshet did not stop"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Freshet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor seconds of a process and of all below it, ended ones included.
pub(crate) fn processor_seconds(root: u32) -> f64 {
    let processes = processes();
    let ours = processes
        .keys()
        .filter(|id| is_below(&processes, **id, root));
    ours.map(|id| processes[id].1).sum()
}

/// The same for all that this process has started and that are none of these.
pub(crate) fn processor_seconds_of_others(known: &[u32]) -> f64 {
    let this = std::process::id();
    let started = processes()
        .into_iter()
        .filter(|(_, (parent, _))| *parent == this);
    started
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, _)| processor_seconds(id))
        .sum()
}

fn is_below(processes: &HashMap<u32, (u32, f64)>, mut id: u32, root: u32) -> bool {
    while id != root {
        match processes.get(&id) {
            Some((parent, _)) => id = *parent,
            None => return false,
        }
    }
    true
}

/// Each process' parent and its processor seconds, with those of its ended children.
fn processes() -> HashMap<u32, (u32, f64)> {
    let mut processes = HashMap::new();
    for entry in read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let Ok(stat) = read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name, in brackets, may hold anything.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |place: usize| {
            fields
                .get(place)
                .and_then(|field| field.parse::<f64>().ok())
        };
        let ticks: f64 = (11..15).filter_map(number).sum();
        let parent = fields.get(1).and_then(|field| field.parse().ok());
        processes.insert(id, (parent.unwrap_or(0), ticks / TICKS));
    }
    processes
}
