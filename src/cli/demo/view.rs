//! The live view: what the pipeline does, redrawn twice a second.

use crate::app::Running;
use crate::cli::report::age;
use crate::metrics::Metrics;
use crate::observe::{RecentLines, Status, read_status};
use prometheus::proto::MetricFamily;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const REDRAW: Duration = Duration::from_millis(500);
/// Stored submissions of the last minute, a bar for each redraw.
const HISTORY: usize = 120;

/// What is drawn.
struct Shown {
    status: Option<Status>,
    listen: std::net::SocketAddr,
    stored: VecDeque<u64>,
    stored_before: f64,
    requests: f64,
    lines: Vec<String>,
    now: i64,
    stopping: bool,
}

/// Draws until dropped, which gives the terminal back.
pub(super) async fn show(running: &Running, lines: &RecentLines) -> std::io::Result<()> {
    let mut terminal = ratatui::try_init_with_options(ratatui::TerminalOptions::default())?;
    // Ctrl-C stays a signal: the pipeline stops the same way on a terminal as under a supervisor.
    ratatui::crossterm::terminal::disable_raw_mode()?;
    let _restore = Restore;
    let metrics = &running.health.metrics;
    let mut shown = Shown {
        status: None,
        listen: running.listen,
        stored: VecDeque::new(),
        stored_before: total(metrics, "freshet_submissions_stored_total"),
        requests: 0.0,
        lines: Vec::new(),
        now: 0,
        stopping: false,
    };
    let mut tick = tokio::time::interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now_ms = (running.health.now_ms)();
        shown.now = now_ms / 1000;
        shown.stopping = running.stop.is_cancelled();
        let live = Some(&*running.health.live);
        if let Ok(status) =
            read_status(&running.health.store, &running.health.queue, live, now_ms).await
        {
            shown.status = Some(status);
        }
        let stored = total(metrics, "freshet_submissions_stored_total");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small, growing count"
        )]
        shown
            .stored
            .push_back((stored - shown.stored_before).max(0.0) as u64);
        shown.stored_before = stored;
        if shown.stored.len() > HISTORY {
            shown.stored.pop_front();
        }
        shown.requests = total(metrics, "freshet_api_requests_total");
        shown.lines = lines.last(6);
        terminal.draw(|frame| draw(frame, &shown))?;
    }
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A counter's sum over its labels.
fn total(metrics: &Metrics, name: &str) -> f64 {
    let families = metrics.gather();
    let family = families.iter().find(|family| family.name() == name);
    family.map_or(0.0, |family: &MetricFamily| {
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum()
    })
}

fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let [title, numbers, rate, subreddits, log, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(4),
        Constraint::Min(4),
        Constraint::Length(5),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let banner = Style::new()
        .fg(Color::Black)
        .bg(Color::Yellow)
        .add_modifier(Modifier::BOLD);
    let state = if shown.stopping { "  stopping…" } else { "" };
    let heading = vec![
        Span::styled(" SIMULATED ", banner),
        " freshet demo".bold(),
        format!("  made-up submissions of a simulated Reddit{state}").dim(),
    ];
    frame.render_widget(Paragraph::new(Line::from(heading)), title);
    let Some(status) = &shown.status else {
        return;
    };
    frame.render_widget(Paragraph::new(summary(status, shown)), numbers);
    let last_minute: u64 = shown.stored.iter().sum();
    let bars: Vec<u64> = shown.stored.iter().copied().collect();
    let block = Block::new().title(format!("stored in the last minute: {last_minute}").dim());
    frame.render_widget(
        Sparkline::default()
            .block(block)
            .data(bars)
            .style(Style::new().fg(Color::Green)),
        rate,
    );
    frame.render_widget(table(status, shown.now), subreddits);
    let lines: Vec<Line<'_>> = shown
        .lines
        .iter()
        .map(|line| Line::from(line.as_str().dim()))
        .collect();
    let skip = lines
        .len()
        .saturating_sub(usize::from(log.height).saturating_sub(1));
    let log_lines = lines.into_iter().skip(skip).collect::<Vec<_>>();
    frame.render_widget(
        Paragraph::new(log_lines).block(Block::new().title("log".dim())),
        log,
    );
    let hint = format!(
        "Ctrl-C stops   http://{}/metrics   sqlite3 freshet-demo.db",
        shown.listen
    );
    frame.render_widget(Paragraph::new(hint.dim()), foot);
}

fn summary<'a>(status: &Status, shown: &Shown) -> Vec<Line<'a>> {
    let queue = &status.queue;
    let count = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let budget = status.budget.map_or(String::new(), |budget| {
        format!(
            "{:.0} a minute, {:.0} left in the window",
            budget.per_minute, budget.remaining
        )
    });
    let line = |name: &'static str, text: String| {
        Line::from(vec![
            Span::from(format!("{name:<13}")).dim(),
            Span::from(text),
        ])
    };
    vec![
        line(
            "submissions",
            format!(
                "{} discovered · {} fetched · {} unavailable · {} kept raw",
                status.discovered, status.fetched, status.unavailable, status.undecodable
            ),
        ),
        line(
            "queue",
            format!(
                "{} in the database · {} waiting · {} running · {} deferred · {} dead",
                queue.backlog,
                count(queue.waiting),
                count(queue.running),
                queue.deferred,
                queue.dead
            ),
        ),
        line("requests", format!("{:.0} made · {budget}", shown.requests)),
    ]
}

fn table(status: &Status, now: i64) -> Table<'static> {
    let rows = status.subreddits.iter().map(|subreddit| {
        let state = match (&subreddit.reason, subreddit.is_active()) {
            (Some(reason), false) => Span::from(reason.clone()).red(),
            (_, true) => Span::from("active").green(),
            _ => Span::from(subreddit.state.clone()).yellow(),
        };
        let ago = |at: Option<i64>| at.map_or("–".to_owned(), |at| age(now - at));
        let gaps = Span::from(subreddit.open_gaps.to_string());
        Row::new([
            Cell::from(format!("r/{}", subreddit.name)),
            Cell::from(state),
            Cell::from(Line::from(subreddit.submissions.to_string()).right_aligned()),
            Cell::from(Line::from(format!("{:.0}", subreddit.posts_per_hour)).right_aligned()),
            Cell::from(ago(subreddit.last_submission_at)),
            Cell::from(ago(subreddit.covered_until)),
            Cell::from(if subreddit.open_gaps > 0 {
                gaps.red()
            } else {
                gaps
            }),
        ])
    });
    let widths = [
        Constraint::Min(16),
        Constraint::Length(11),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Length(12),
        Constraint::Length(4),
    ];
    let header = Row::new([
        "subreddit",
        "state",
        " stored",
        "per hour",
        "newest",
        "proven up to",
        "gaps",
    ]);
    Table::new(rows, widths).header(header.style(Style::new().add_modifier(Modifier::BOLD)))
}
