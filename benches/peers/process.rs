//! Processes under measurement: started in a group of their own, watched through `/proc`, ended together.

use anyhow::{Context, bail};
use std::collections::HashMap;
use std::fs::{File, read_dir, read_to_string};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Clock ticks a second in `/proc`: Linux shows every architecture this number.
const TICKS: f64 = 100.0;

/// This build of freshet, with nothing of this environment.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
    command.current_dir(folder).env_clear();
    command
}

/// A process and all that it started; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    killed: bool,
    /// Processor seconds of each, as last seen.
    cpu: HashMap<u32, f64>,
    /// Of all that ran before this one took its place.
    before: f64,
    peak_mb: f64,
}

impl Running {
    pub(crate) fn start(mut command: Command, log: &Path) -> anyhow::Result<Running> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(log)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        Ok(Running {
            child,
            log: log.to_owned(),
            killed: false,
            cpu: HashMap::new(),
            before: 0.0,
            peak_mb: 0.0,
        })
    }

    /// Looks at what its processes use; an error with its log where it has ended by itself.
    pub(crate) fn sample(&mut self) -> anyhow::Result<()> {
        if self.killed {
            return Ok(());
        }
        if let Some(status) = self.child.try_wait()? {
            let log = read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            bail!("it ended with {status}: {tail:#?}");
        }
        let group = self.child.id();
        let mut memory_mb = 0.0;
        for entry in read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // One that has ended since is no more.
            let Some(used) = Used::of(id).filter(|used| used.group == group) else {
                continue;
            };
            self.cpu.insert(id, used.cpu_s);
            memory_mb += used.memory_mb;
        }
        self.peak_mb = self.peak_mb.max(memory_mb);
        Ok(())
    }

    /// Ends the whole group without a chance to write anything.
    pub(crate) fn kill(&mut self) {
        if !std::mem::replace(&mut self.killed, true) {
            let group = format!("-{}", self.child.id());
            // Of one that has ended, others of the group may be left.
            let kill = Command::new("kill").args(["-KILL", "--", &group]).output();
            drop(kill);
            let _ = self.child.wait();
        }
    }

    /// Another takes its place, and its account.
    pub(crate) fn replace(&mut self, mut other: Running) {
        self.kill();
        other.before = self.before + self.cpu.values().sum::<f64>();
        other.peak_mb = self.peak_mb;
        *self = other;
    }

    /// Processor seconds and peak memory.
    pub(crate) fn columns(&self) -> String {
        let cpu = self.before + self.cpu.values().sum::<f64>();
        format!("{cpu:.1} | {:.0}", self.peak_mb)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What one process uses.
struct Used {
    group: u32,
    cpu_s: f64,
    memory_mb: f64,
}

impl Used {
    fn of(id: u32) -> Option<Used> {
        let stat = read_to_string(format!("/proc/{id}/stat")).ok()?;
        // What follows its name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<f64>().ok();
        let memory = read_to_string(format!("/proc/{id}/statm")).ok()?;
        let pages: f64 = memory.split_whitespace().nth(1)?.parse().ok()?;
        Some(Used {
            group: fields.get(2)?.parse().ok()?,
            cpu_s: (number(11)? + number(12)?) / TICKS,
            memory_mb: pages * 4_096.0 / 1e6,
        })
    }
}
