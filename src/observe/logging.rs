//! Logs: readable on a terminal, JSON otherwise; always on standard error.
//!
//! The message reads alone and the fields can be queried; times and units are in the fields' names.
//! Never logged: credentials, tokens, URLs with passwords, and what people wrote.

use super::stderr::{Shape, render, stderr};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
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
/// From then on panics are logged too: what prints them otherwise waits for standard error.
///
/// # Errors
/// Where the filter is none, or logging was started before.
pub fn start(format: LogFormat, filter: &str, into: Option<RecentLines>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("--log: {filter:?} is no level (error, warn, info, debug, trace) or list of them: {error}"))?;
    let filter = quieted(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
    };
    // Its own complaints about a line that cannot be written would panic where that cannot be written.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter);
    let view = into.clone();
    let started = match into {
        Some(lines) => builder
            .with_ansi(false)
            .with_target(false)
            .compact()
            .with_writer(lines)
            .try_init(),
        None if json => builder
            .json()
            .flatten_event(true)
            .with_writer(stderr)
            .try_init(),
        None => builder
            .with_ansi(terminal)
            .with_target(false)
            .compact()
            .with_writer(stderr)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    stderr().shape(if json { Shape::Json } else { Shape::Text });
    std::panic::set_hook(Box::new(move |panic| log_panic(view.as_ref(), panic)));
    Ok(())
}

/// The database's driver.
const DRIVER: &str = "sqlx";

/// By library. A more specific one counts before a less specific one.
const QUIET: [(&str, &[&str]); 2] = [
    (
        "apalis_core::",
        &[
            "apalis_core::backend::persistence=error",
            "apalis_core::worker=off",
            "apalis_core::worker::context=warn",
            "apalis_core::worker::lifecycle=warn",
        ],
    ),
    (
        DRIVER,
        &[
            "sqlx_core::pool::connection=error",
            "sqlx::pool=error",
            "sqlx::query=error",
        ],
    ),
];

/// Without what libraries say again and again in an outage, which is logged once for all: of each heartbeat of
/// the queue that fails its errors only, and nothing of each worker that ends, which `queue::worker` logs where
/// it is no outage; nor of each connection that broke or was waited for, and each statement that was slow. Unless
/// the filter names a module of the library, as the default does not.
fn quieted(filter: EnvFilter) -> anyhow::Result<EnvFilter> {
    if filter.max_level_hint() == Some(LevelFilter::OFF) {
        return Ok(filter);
    }
    let named = filter.to_string();
    // Whoever asks for more than what happens asks for what the driver does, too.
    let details = filter.max_level_hint() > Some(LevelFilter::INFO);
    let mut filter = filter;
    for (library, directives) in QUIET {
        if named.contains(library) || (details && library == DRIVER) {
            continue;
        }
        for directive in directives {
            filter = filter.add_directive(directive.parse()?);
        }
    }
    Ok(filter)
}

/// Where lines are kept for a view, this one is, too: standard error would be drawn across it.
fn log_panic(view: Option<&RecentLines>, panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => backtrace.to_string(),
        _ => String::new(),
    };
    let thread = thread::current();
    let mut fields = vec![
        ("thread", thread.name().unwrap_or_default().to_owned()),
        ("panic", panic.to_string()),
    ];
    if !backtrace.is_empty() {
        fields.push(("backtrace", backtrace));
    }
    let message = "A thread panicked";
    match view {
        Some(mut lines) => {
            let _ = lines.write_all(&render(Shape::Text, "ERROR", message, &fields));
        }
        None => stderr().event("ERROR", message, &fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_quiet_unless_it_is_named() {
        let quieted = |filter: &str| quieted(EnvFilter::new(filter)).unwrap().to_string();
        let both = quieted("info,apalis_core=warn");
        assert!(both.contains("sqlx::query=error") && both.contains("apalis_core::worker=off"));
        let named = quieted("info,sqlx::query=warn");
        assert!(
            !named.contains("sqlx::query=error") && !named.contains("sqlx_core"),
            "{named}"
        );
        assert!(named.contains("apalis_core::worker=off"), "{named}");
        for details in ["debug", "trace", "info,freshet=debug"] {
            assert!(!quieted(details).contains("sqlx"), "{details}");
        }
        assert_eq!(quieted("off"), "off");
    }
}
