//! How far a command has come: a bar on a terminal; elsewhere a line after some seconds, and then regularly.

use super::report::span;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use ratatui::crossterm::terminal::size;
use std::fmt::Write;
use std::io::{self, IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whoever has just started the command sees soon that it works.
const FIRST_LINE_AFTER: Duration = Duration::from_secs(5);
const LINE_EVERY: Duration = Duration::from_secs(30);
const STEPS: u64 = 1_000;
/// Before this the rate is not known well enough to tell an end by.
const SETTLED: Duration = Duration::from_secs(2);

/// Shows on standard error how a command gets on.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    measured: bool,
    begun: Instant,
    line_at: Instant,
    /// How far it was, and how many there were, when this began to look.
    first: Option<(f64, u64)>,
}

/// How far it has come.
pub(super) struct Reached<'a> {
    /// Of the whole; none where nobody knows how much that is.
    pub(super) share: Option<f64>,
    /// Of what is counted.
    pub(super) count: u64,
    /// What is counted.
    pub(super) what: &'a str,
    /// Said behind the rate.
    pub(super) more: &'a str,
    /// It waits for something: nobody knows when it ends.
    pub(super) waits: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), target());
            bar.set_style(style("{wide_msg}"));
            bar
        });
        Progress::with(bar)
    }

    fn with(bar: Option<ProgressBar>) -> Progress {
        Progress {
            bar,
            measured: false,
            begun: Instant::now(),
            line_at: Instant::now() + FIRST_LINE_AFTER,
            first: None,
        }
    }

    /// One that says nothing.
    pub(super) fn silent() -> Progress {
        Progress::with(Some(ProgressBar::hidden()))
    }

    pub(super) fn reached(&mut self, now: &Reached<'_>) {
        let message = self.message(now);
        let Reached { share, .. } = *now;
        if let Some(bar) = &self.bar {
            if let Some(share) = share {
                if !std::mem::replace(&mut self.measured, true) {
                    bar.set_style(style("{bar:20} {percent:>3} %  {wide_msg}"));
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of the bar"
                )]
                bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64);
            }
            bar.set_message(message);
        } else if Instant::now() >= self.line_at {
            self.line_at = Instant::now() + LINE_EVERY;
            match share {
                Some(share) => eprintln!("{:.1} %: {message}", share.min(1.0) * 100.0),
                None => eprintln!("{message}"),
            }
        }
    }

    fn message(&mut self, now: &Reached<'_>) -> String {
        let Reached {
            share,
            count,
            what,
            more,
            waits,
        } = *now;
        let first = (share.unwrap_or_default(), count);
        let (share_before, count_before) = *self.first.get_or_insert(first);
        let elapsed = self.begun.elapsed();
        let seconds = elapsed.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = count.saturating_sub(count_before) as f64 / seconds;
        let left = share.and_then(|share| {
            let done = share - share_before;
            let known = !waits && elapsed >= SETTLED && done > 0.0 && share < 1.0;
            known.then(|| seconds * (1.0 - share) / done)
        });
        #[expect(clippy::cast_possible_truncation, reason = "seconds")]
        let left = left.map_or(String::new(), |left| {
            format!(", {} left", span(left.ceil().min(1e12) as i64))
        });
        format!("{count} {what}, {rate:.0}/s{more}{left}")
    }

    /// A line of its own.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the terminal to what comes next.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Redraws a second.
const REDRAWS: u8 = 10;

fn target() -> ProgressDrawTarget {
    let terminal = Box::new(Terminal(Mutex::default()));
    ProgressDrawTarget::term_like_with_hz(terminal, REDRAWS)
}

/// Standard error as a terminal that may be read by nobody: a bar must not hold up the work that it
/// shows. Collects what is drawn, up to the next flush.
#[derive(Debug)]
struct Terminal(Mutex<String>);

impl Terminal {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cursor by so many places in a direction, as ECMA-48 names it.
    fn step(&self, count: usize, direction: char) -> io::Result<()> {
        if count > 0 {
            let _ = write!(self.drawn(), "\u{1b}[{count}{direction}");
        }
        Ok(())
    }
}

/// A terminal that nobody told its size says 0.
fn known(told: Option<u16>, usual: u16) -> u16 {
    told.filter(|told| *told > 0).unwrap_or(usual)
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        known(size().ok().map(|(columns, _)| columns), 80)
    }

    fn height(&self) -> u16 {
        known(size().ok().map(|(_, rows)| rows), 24)
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.step(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.step(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.step(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.step(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let _ = writeln!(self.drawn(), "{text}");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawn().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.drawn().push_str("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        if !drawn.is_empty() {
            crate::observe::draw(drawn);
        }
        Ok(())
    }
}
