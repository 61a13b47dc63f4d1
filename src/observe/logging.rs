//! Logs: readable on a terminal, JSON otherwise; always on standard error.
//!
//! The message reads alone and the fields can be queried; times and units are in the fields' names.
//! Never logged: credentials, tokens, URLs with passwords, and what people wrote.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines, an object a line.
    Json,
}

/// The newest lines, kept where a full-screen view hides standard error.
#[derive(Debug, Clone, Default)]
pub struct RecentLines(Arc<Mutex<VecDeque<String>>>);

const KEPT_LINES: usize = 200;

impl RecentLines {
    /// The newest `count`, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .cloned()
            .collect()
    }
}

impl Write for &RecentLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in String::from_utf8_lossy(bytes).lines() {
            lines.push_back(line.to_owned());
        }
        let excess = lines.len().saturating_sub(KEPT_LINES);
        lines.drain(..excess);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for RecentLines {
    type Writer = &'a RecentLines;

    fn make_writer(&'a self) -> &'a RecentLines {
        self
    }
}

/// Starts logging for the process. `filter` is a level or a list such as `info,freshet=debug`.
///
/// # Errors
/// Where the filter is none, or logging was started before.
pub fn start(format: LogFormat, filter: &str, into: Option<RecentLines>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("--log: {filter:?} is no level (error, warn, info, debug, trace) or list of them: {error}"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match (into, format) {
        (Some(lines), _) => builder
            .with_ansi(false)
            .with_target(false)
            .compact()
            .with_writer(lines)
            .try_init(),
        (None, LogFormat::Json) => builder
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .try_init(),
        (None, LogFormat::Auto) if !terminal => builder
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .try_init(),
        (None, _) => builder
            .with_ansi(terminal)
            .with_target(false)
            .compact()
            .with_writer(std::io::stderr)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}
