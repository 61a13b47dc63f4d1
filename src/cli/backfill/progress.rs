//! How far a backfill has come: a bar on a terminal, a line a minute elsewhere.

use crate::cli::report::span;
use crate::source::DumpProgress;
use crate::store::Backfill;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(60);
const STEPS: u64 = 1_000;
/// Before this the rate is not known well enough to tell an end by.
const SETTLED: Duration = Duration::from_secs(2);

/// Shows how one backfill, or one file, gets on.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    line_at: Instant,
    /// How far it was, and how many were found, when this began to look.
    first: Option<(f64, u64)>,
    trouble: Option<String>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:20} {percent:>3} %  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Progress {
            bar,
            begun: Instant::now(),
            line_at: Instant::now() + LINE_EVERY,
            first: None,
            trouble: None,
        }
    }

    /// Tells of a backfill that is done in slices of time.
    pub(super) fn slices(&mut self, backfill: &Backfill) {
        #[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
        let share = backfill.seconds_done as f64 / backfill.seconds.max(1) as f64;
        if backfill.trouble != self.trouble {
            self.trouble.clone_from(&backfill.trouble);
            if let Some(trouble) = &self.trouble {
                self.line(&format!("Waiting: {}", crate::cli::report::shown(trouble)));
            }
        }
        let slices = format!(
            "{}/{} slices",
            backfill.slices_done + backfill.slices_failed,
            backfill.slices
        );
        self.told(share, backfill.listed.unsigned_abs(), &slices);
    }

    /// Tells of a file.
    pub(super) fn file(&mut self, name: &str, read: DumpProgress) {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a file")]
        let share = read
            .size
            .filter(|size| *size > 0)
            .map_or(0.0, |size| read.read as f64 / size as f64);
        let name = name.rsplit('/').next().unwrap_or(name);
        let name: String = name.chars().take(24).collect();
        let lines = format!("of {} lines, {name}", read.lines);
        self.told(share, read.selected, &lines);
    }

    fn told(&mut self, share: f64, found: u64, more: &str) {
        let (share_before, found_before) = *self.first.get_or_insert((share, found));
        let elapsed = self.begun.elapsed();
        let seconds = elapsed.as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = found.saturating_sub(found_before) as f64 / seconds;
        let done = share - share_before;
        let left = (elapsed >= SETTLED && done > 0.0 && share < 1.0)
            .then(|| seconds * (1.0 - share) / done);
        #[expect(clippy::cast_possible_truncation, reason = "seconds")]
        let left = left.map_or(String::new(), |left| {
            format!(", {} left", span(left.ceil().min(1e12) as i64))
        });
        let message = format!("{found} found, {rate:.0}/s, {more}{left}");
        if let Some(bar) = &self.bar {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of the bar"
            )]
            bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64);
            bar.set_message(message);
        } else if Instant::now() >= self.line_at {
            self.line_at = Instant::now() + LINE_EVERY;
            eprintln!("{:.1} %: {message}", share * 100.0);
        }
    }

    fn line(&self, text: &str) {
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
