//! Who competes, and how each is started.

use crate::process::{Running, program};
use crate::world::World;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/peers.py");
const REQUIREMENTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/benches/peers/requirements.txt"
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    Freshet,
    Praw,
    Loop,
    CeleryOne,
    CeleryHundred,
}

impl Contestant {
    pub(crate) const ALL: [Contestant; 5] = [
        Contestant::Freshet,
        Contestant::Praw,
        Contestant::Loop,
        Contestant::CeleryOne,
        Contestant::CeleryHundred,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::Freshet => "freshet",
            Contestant::Praw => "praw",
            Contestant::Loop => "loop",
            Contestant::CeleryOne => "celery-1",
            Contestant::CeleryHundred => "celery-100",
        }
    }
}

/// Python with what the peers need, in a virtual environment.
pub(crate) struct Python(PathBuf);

impl Python {
    pub(crate) fn installed() -> anyhow::Result<Python> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers");
        let python = folder.join("bin/python");
        if !python.exists() {
            eprintln!("what the peers need is installed into {}", folder.display());
            let made = Command::new("python3")
                .args(["-m", "venv"])
                .arg(&folder)
                .status()
                .context("python3 cannot be started")?;
            ensure!(made.success(), "python3 -m venv failed");
        }
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--upgrade"])
            .args(["--disable-pip-version-check", "--requirement", REQUIREMENTS])
            .status()?;
        ensure!(installed.success(), "pip could not install the peers");
        Ok(Python(python))
    }

    /// What is compared.
    pub(crate) fn versions(&self) -> anyhow::Result<String> {
        let list = "import importlib.metadata as m
for name in ('praw', 'celery', 'redis', 'requests', 'psycopg'): print(name, m.version(name))";
        let listed = Command::new(&self.0).args(["-c", list]).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        Ok(listed.lines().collect::<Vec<_>>().join(", "))
    }
}

/// Where they compete.
pub(crate) struct Setting<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) database: &'a str,
    pub(crate) redis: String,
    pub(crate) simulated: &'a str,
    pub(crate) names: &'a [String],
    pub(crate) world: &'a World,
    /// Further settings of freshet.
    pub(crate) more: &'a [String],
    pub(crate) python: Option<&'a Python>,
}

impl Setting<'_> {
    pub(crate) fn start(&self, contestant: Contestant) -> anyhow::Result<Running> {
        let command = match (contestant, self.python) {
            (Contestant::Freshet, _) => self.freshet(),
            (_, Some(python)) => self.peer(python, contestant),
            (_, None) => anyhow::bail!("there is no Python"),
        };
        let log = self.folder.join(format!("{}.log", contestant.name()));
        Running::start(command, &log)
    }

    fn freshet(&self) -> Command {
        let queue = match self.database.starts_with("sqlite") {
            true => "memory".to_owned(),
            false => self.redis.clone(),
        };
        let mut command = program(self.folder);
        command
            .arg("run")
            .args(self.names)
            .args(["--database-url", self.database, "--queue-url", &queue])
            .args(["--http-listen", "127.0.0.1:0"])
            .args(["--arctic-shift-url", self.simulated])
            .args(["--reddit-api-url", self.simulated])
            .args(["--reddit-auth-url", self.simulated])
            .args(["--reddit-client-id", "peers"])
            .args(["--reddit-client-secret", "secret"])
            .arg(format!(
                "--reddit-requests-per-minute={}",
                self.world.requests_per_minute
            ))
            .arg(format!("--discover-interval={}s", self.world.interval_s))
            .args(&self.world.freshet)
            .args(self.more);
        command
    }

    fn peer(&self, python: &Python, contestant: Contestant) -> Command {
        let mut command = Command::new(&python.0);
        command
            .args([SCRIPT, contestant.name()])
            .current_dir(self.folder)
            .env_clear()
            .env("PEERS_URL", self.simulated)
            .env("PEERS_DATABASE", self.database)
            .env("PEERS_REDIS", &self.redis)
            .env("PEERS_NAMES", self.names.join(" "))
            .env("PEERS_INTERVAL", self.world.interval_s.to_string())
            .env(
                "PEERS_PER_MINUTE",
                self.world.requests_per_minute.to_string(),
            );
        command
    }
}
