//! The program, as its users run it: the service, and commands beside it.

use anyhow::{Context, bail, ensure};
use freshet::submission::SubredditName;
use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The highest that can be asked for: 1,667 requests a second.
pub(crate) const UNLIMITED: u32 = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Programs<'a> {
    /// Where they run and log.
    pub(crate) folder: &'a Path,
    pub(crate) database: &'a str,
    pub(crate) queue: &'a str,
    /// The simulated Reddit and archive.
    pub(crate) url: String,
    pub(crate) interval: &'a str,
    /// Of the archive, a minute.
    pub(crate) requests: u32,
}

/// A process that is killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Programs<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
        command
            .args(words)
            .args(["--database-url", self.database, "--queue-url", self.queue])
            .args(["--arctic-shift-url", &self.url])
            .args([
                "--arctic-shift-requests-per-minute",
                &self.requests.to_string(),
            ])
            .current_dir(self.folder)
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    fn start(&self, mut command: Command, name: &str) -> anyhow::Result<Running> {
        let log = self.folder.join(format!("{name}.log"));
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("freshet cannot be started")?;
        Ok(Running { child, log })
    }

    /// The service.
    pub(crate) fn run(&self, names: &[SubredditName]) -> anyhow::Result<Running> {
        let mut command = self.command(&["run"]);
        command
            .args(names.iter().map(SubredditName::as_str))
            .args(["--http-listen", "127.0.0.1:0"])
            .args(["--reddit-api-url", &self.url])
            .args(["--reddit-auth-url", &self.url])
            .args(["--reddit-client-id", "bench"])
            .args(["--reddit-client-secret", "bench"])
            .args(["--reddit-requests-per-minute", &UNLIMITED.to_string()])
            .args(["--discover-interval", self.interval]);
        self.start(command, "run")
    }

    /// Loads a dump in a process of its own.
    pub(crate) fn load(&self, dump: &Path) -> anyhow::Result<Running> {
        let dump = dump.display().to_string();
        let command = self.command(&["backfill", "all", "--source", &dump]);
        self.start(command, "load")
    }

    /// Begins a backfill of each, for the running service, and pauses it; their numbers.
    pub(crate) fn begin_backfills(&self, names: &[SubredditName]) -> anyhow::Result<Vec<String>> {
        let mut numbers = Vec::new();
        for name in names {
            let words = [
                "backfill",
                name.as_str(),
                "--since",
                "29d",
                "--source",
                "arctic-shift",
                "--detach",
                "--json",
            ];
            let output = self.command(&words).output()?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{}: {error}", name.as_str());
            let begun: serde_json::Value = serde_json::from_slice(&output.stdout)?;
            let number = begun["backfills"][0].as_i64().context("its number")?;
            numbers.push(number.to_string());
            let _ = self.each_backfill("pause", &numbers[numbers.len() - 1..])?;
        }
        Ok(numbers)
    }

    /// Pauses or resumes each that is not over; how many that were.
    pub(crate) fn each_backfill(&self, act: &str, numbers: &[String]) -> anyhow::Result<usize> {
        let mut open = 0;
        for number in numbers {
            let output = self.command(&["backfill", act, number]).output()?;
            open += usize::from(output.status.success());
        }
        Ok(open)
    }
}

impl Running {
    /// An error with its log where it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "freshet ended with {status}: {}",
                read_to_string(&self.log).unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Asks it to end as Ctrl-C does; false where it had ended before.
    pub(crate) fn stop(mut self) -> anyhow::Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            let log = read_to_string(&self.log).unwrap_or_default();
            ensure!(status.success(), "freshet ended with {status}: {log}");
            return Ok(false);
        }
        let id = self.child.id().to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        self.ended()?;
        Ok(true)
    }

    fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < PATIENCE, "freshet did not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
