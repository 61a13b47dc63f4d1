//! What the live view looks like. Pure: numbers in, a frame out.

use crate::cli::report::age;
use crate::observe::{Status, SubredditStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A rate is the mean over so many seconds.
const RATE_SECONDS: usize = 10;
/// Seconds that the bars remember: as many as the widest terminal has columns.
const REMEMBERED: usize = 400;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Screen {
    status: Option<Status>,
    requests: f64,
    /// Discovered and fetched at the end of each second, the newest last.
    seconds: VecDeque<(i64, i64, i64)>,
    listen: SocketAddr,
    database: Option<String>,
    now: i64,
    /// Log lines, the newest last.
    pub(super) lines: Vec<String>,
    pub(super) stopping: bool,
}

impl Screen {
    /// `database` is the file to look into, where the demo has its own.
    pub(super) fn new(listen: SocketAddr, database: Option<&str>) -> Screen {
        Screen {
            status: None,
            requests: 0.0,
            seconds: VecDeque::new(),
            listen,
            database: database.map(str::to_owned),
            now: 0,
            lines: Vec::new(),
            stopping: false,
        }
    }

    /// Takes a look's numbers; without a status the last one stays.
    pub(super) fn note(&mut self, now_ms: i64, status: Option<Status>, requests: f64) {
        self.now = now_ms / 1000;
        self.requests = requests;
        let Some(status) = status else { return };
        let last = (self.now, status.discovered, status.fetched);
        match self.seconds.back_mut() {
            Some(newest) if newest.0 == self.now => *newest = last,
            _ => self.seconds.push_back(last),
        }
        let excess = self.seconds.len().saturating_sub(REMEMBERED);
        self.seconds.drain(..excess);
        self.status = Some(status);
    }

    /// Discovered and fetched a second, lately.
    fn rates(&self) -> (f64, f64) {
        let back = self.seconds.len().saturating_sub(RATE_SECONDS + 1);
        let (Some(from), Some(to)) = (self.seconds.get(back), self.seconds.back()) else {
            return (0.0, 0.0);
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of a demo")]
        let rate = |from: i64, to: i64, seconds: i64| (to - from) as f64 / seconds.max(1) as f64;
        let seconds = to.0 - from.0;
        (rate(from.1, to.1, seconds), rate(from.2, to.2, seconds))
    }

    /// Fetched in each of the last seconds, the newest last, as many as there are columns.
    fn bars(&self, columns: usize) -> Vec<u64> {
        let mut bars: Vec<u64> = self
            .seconds
            .iter()
            .zip(self.seconds.iter().skip(1))
            .map(|(from, to)| u64::try_from(to.2 - from.2).unwrap_or(0))
            .collect();
        bars.drain(..bars.len().saturating_sub(columns));
        // The newest stands at the right edge.
        let mut padded = vec![0; columns - bars.len()];
        padded.append(&mut bars);
        padded
    }
}

/// Draws it all; what there is no room for is left out from below.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let height = frame.area().height;
    let watched = screen
        .status
        .as_ref()
        .map_or(0, |status| status.subreddits.len());
    let watched = u16::try_from(watched).unwrap_or(u16::MAX);
    let [title, numbers, rate, subreddits, log, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(if height >= 18 { 4 } else { 0 }),
        Constraint::Max(watched.saturating_add(2)),
        Constraint::Min(if height >= 22 { 4 } else { 0 }),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(screen), title);
    frame.render_widget(foot_line(screen), foot);
    let Some(status) = &screen.status else {
        frame.render_widget(Paragraph::new("Waiting for the database…"), numbers);
        return;
    };
    frame.render_widget(Paragraph::new(summary(status, screen)), numbers);
    draw_bars(frame, screen, rate);
    draw_subreddits(frame, status, screen.now, subreddits);
    draw_log(frame, &screen.lines, log);
}

fn heading(screen: &Screen) -> Paragraph<'static> {
    let banner = Style::new()
        .fg(Color::Black)
        .bg(Color::Yellow)
        .add_modifier(Modifier::BOLD);
    let what = if screen.stopping {
        "  stopping; once more stops at once"
    } else {
        "  made-up submissions of a simulated Reddit"
    };
    Paragraph::new(Line::from(vec![
        Span::styled(" SIMULATED ", banner),
        " freshet demo".bold(),
        what.dim(),
    ]))
}

fn foot_line(screen: &Screen) -> Paragraph<'static> {
    let mut hint = format!("q stops   http://{}/metrics", screen.listen);
    if let Some(database) = &screen.database {
        hint.push_str("   sqlite3 ");
        hint.push_str(database);
    }
    Paragraph::new(hint.dim())
}

fn summary(status: &Status, screen: &Screen) -> Vec<Line<'static>> {
    let queue = &status.queue;
    let known = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
    let line = |name: &'static str, text: String| {
        Line::from(vec![format!("{name:<13}").dim(), Span::from(text)])
    };
    let budget = status.budget.map_or(String::new(), |budget| {
        format!(
            " · {:.0} a minute allowed · {:.0} left in the window",
            budget.per_minute, budget.remaining
        )
    });
    let (discovered, fetched) = screen.rates();
    vec![
        line(
            "submissions",
            format!(
                "{} stored · {} fetched · {} unavailable",
                status.discovered, status.fetched, status.unavailable
            ),
        ),
        line(
            "rates",
            format!("{discovered:.1} discovered a second · {fetched:.1} fetched a second"),
        ),
        line(
            "backlog",
            format!(
                "{} in the database · {} due later · {} set aside",
                queue.backlog, queue.deferred, queue.dead
            ),
        ),
        line(
            "queue",
            format!(
                "{} waiting · {} running",
                known(queue.waiting),
                known(queue.running)
            ),
        ),
        line("requests", format!("{:.0} made{budget}", screen.requests)),
    ]
}

fn draw_bars(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let bars = screen.bars(usize::from(area.width));
    let most = bars.iter().max().copied().unwrap_or(0);
    let title = format!(
        "fetched in each of the last {} s, at most {most}",
        area.width
    );
    let bars = Sparkline::default()
        .block(Block::new().title(title.dim()))
        .data(bars)
        .style(Style::new().fg(Color::Green));
    frame.render_widget(bars, area);
}

/// One column of the table: its head, its width, whether it holds numbers, and from which width of
/// the terminal on there is room for it.
type Column = (&'static str, u16, bool, u16);
const COLUMNS: [Column; 7] = [
    ("subreddit", 0, false, 0),
    ("state", 11, false, 0),
    ("stored", 8, true, 0),
    ("hourly", 6, true, 66),
    ("newest", 7, true, 58),
    ("proven", 7, true, 46),
    ("gaps", 4, true, 72),
];

fn draw_subreddits(frame: &mut Frame<'_>, status: &Status, now: i64, area: Rect) {
    let columns = COLUMNS.iter().filter(|column| column.3 <= area.width);
    let longest = status.subreddits.iter().map(|it| it.name.len() + 2).max();
    let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
    let widths = columns.clone().map(|(head, width, ..)| match width {
        0 => Constraint::Max(longest.max(u16::try_from(head.len()).unwrap_or(0))),
        width => Constraint::Length(*width),
    });
    let aligned = |text: Span<'static>, number: bool| {
        let line = Line::from(text);
        if number { line.right_aligned() } else { line }
    };
    let head = columns
        .clone()
        .map(|(head, _, number, _)| aligned(Span::from(*head), *number));
    let head = Row::new(head).style(Style::new().add_modifier(Modifier::BOLD));
    // The busiest first: where there is no room for all, they show most.
    let mut subreddits: Vec<&SubredditStatus> = status.subreddits.iter().collect();
    subreddits.sort_by(|a, b| {
        let by_count = b.submissions.cmp(&a.submissions);
        by_count.then_with(|| a.name.cmp(&b.name))
    });
    // A line above, and the head.
    let room = usize::from(area.height.saturating_sub(2));
    let shown = if subreddits.len() > room {
        room.saturating_sub(1)
    } else {
        room
    };
    let left_out = subreddits.len().saturating_sub(shown);
    let mut rows: Vec<Row<'_>> = subreddits
        .into_iter()
        .take(shown)
        .map(|subreddit| {
            let cells = columns
                .clone()
                .map(|(head, _, number, _)| aligned(cell(subreddit, head, now), *number));
            Row::new(cells)
        })
        .collect();
    if left_out > 0 {
        rows.push(Row::new([format!("and {left_out} more").dim()]));
    }
    let table = Table::new(rows, widths).header(head).column_spacing(2);
    frame.render_widget(table.block(Block::new().title(" ")), area);
}

fn cell(subreddit: &SubredditStatus, head: &str, now: i64) -> Span<'static> {
    // A narrow column: its head says what the age is of.
    let ago = |at: Option<i64>, never: &str| {
        at.map_or(never.to_owned(), |at| {
            age(now - at).trim_end_matches(" ago").to_owned()
        })
    };
    match head {
        "subreddit" => Span::from(format!("r/{}", subreddit.name)),
        "state" => match (&subreddit.reason, subreddit.is_active()) {
            (_, true) => "active".green(),
            (Some(reason), false) => reason.clone().red(),
            (None, false) => subreddit.state.clone().yellow(),
        },
        "stored" => Span::from(subreddit.submissions.to_string()),
        "hourly" => {
            let hourly = subreddit.hourly(now);
            Span::from(hourly.map_or("–".to_owned(), |rate| format!("{rate:.0}")))
        }
        "newest" => Span::from(ago(subreddit.last_submission_at, "–")),
        "proven" => Span::from(ago(subreddit.last_complete_at, "not yet")),
        _ if subreddit.open_gaps > 0 => subreddit.open_gaps.to_string().red(),
        _ => Span::from(subreddit.open_gaps.to_string()),
    }
}

fn draw_log(frame: &mut Frame<'_>, lines: &[String], area: Rect) {
    let room = usize::from(area.height.saturating_sub(1));
    let newest = lines.iter().skip(lines.len().saturating_sub(room));
    let lines: Vec<Line<'_>> = newest
        .map(|line| log_line(line, usize::from(area.width)))
        .collect();
    let block = Block::new().title("log".dim());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The time of day is enough, and a line that is too long says so.
fn log_line(line: &str, width: usize) -> Line<'static> {
    let (stamp, rest) = line.split_once(' ').unwrap_or(("", line));
    let mut text = format!(
        "{} {}",
        stamp.get(11..19).unwrap_or(stamp),
        rest.trim_start()
    );
    if text.chars().count() > width {
        text = text.chars().take(width.saturating_sub(1)).collect();
        text.push('…');
    }
    let level = rest.trim_start().split(' ').next().unwrap_or_default();
    Line::from(match level {
        "ERROR" => text.red(),
        "WARN" => text.yellow(),
        _ => text.dim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{BackfillsStatus, QueueStatus, RateBudget};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn status(subreddits: usize, fetched: i64) -> Status {
        let names = (0..subreddits).map(|number| SubredditStatus {
            name: format!("a_name_of_21_letter{number:02}"),
            state: if number == 1 { "unavailable" } else { "active" }.to_owned(),
            reason: (number == 1).then(|| "quarantined".to_owned()),
            added_at: 1_000,
            covered_until: Some(1_000),
            last_complete_at: Some(1_000),
            seen_until: None,
            last_submission_at: Some(995),
            submissions: 12_345 - i64::try_from(number).unwrap(),
            posts_per_hour: 1234.5,
            open_gaps: 12,
            suspect: false,
        });
        Status {
            simulated: true,
            database: "sqlite".to_owned(),
            discovered: 1_234_567,
            fetched,
            unavailable: 12_345,
            undecodable: 0,
            queue: QueueStatus {
                heartbeat_at: None,
                engine: Some("sqlite".to_owned()),
                backlog: 123_456,
                deferred: 12_345,
                waiting: Some(2_000),
                running: None,
                workers: Some(1),
                dead: 12,
            },
            budget: Some(RateBudget {
                per_minute: 600.0,
                remaining: 5_923.0,
            }),
            freshness: None,
            subreddits: names.collect(),
            backfills: BackfillsStatus::default(),
            dependencies: Vec::new(),
        }
    }

    fn shown(width: u16, height: u16, subreddits: usize) -> Vec<String> {
        let mut screen = Screen::new("127.0.0.1:65535".parse().unwrap(), Some("freshet-demo.db"));
        for second in 0..30 {
            let fetched = 1_000_000 + 7 * second;
            screen.note(
                1_000_000 + second * 1_000,
                Some(status(subreddits, fetched)),
                79.0,
            );
        }
        screen.lines = (0..50)
            .map(|number| {
                format!(
                    "2026-11-21T10:25:56.338658Z  INFO Line {number} {}",
                    "x".repeat(90)
                )
            })
            .collect();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        let buffer = terminal.backend().buffer();
        buffer
            .content
            .chunks(usize::from(width.max(1)))
            .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>())
            .map(|row| row.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn everything_is_whole_at_eighty_columns() {
        for height in [24, 30, 40] {
            let rows = shown(80, height, 12);
            let all = rows.join("\n");
            for whole in [
                " SIMULATED  freshet demo  made-up submissions of a simulated Reddit",
                "submissions  1234567 stored · 1000203 fetched · 12345 unavailable",
                "0.0 discovered a second · 7.0 fetched a second",
                "123456 in the database · 12345 due later · 12 set aside",
                "2000 waiting · ? running",
                "79 made · 600 a minute allowed · 5923 left in the window",
                "in each of the last 80 s, at most 7",
                "r/a_name_of_21_letter01",
                " quarantined ",
                " gaps",
                "10:25:56 INFO Line 49 xxx",
                "q stops   http://127.0.0.1:65535/metrics   sqlite3 freshet-demo.db",
            ] {
                assert!(all.contains(whole), "{whole:?} at {height}:\n{all}");
            }
            assert!(rows.iter().any(|row| row.ends_with('…')), "{all}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let all = shown(80, 24, 12).join("\n");
        assert!(all.contains("and 6 more"), "{all}");
        let all = shown(80, 40, 12).join("\n");
        assert!(!all.contains(" more\n"), "{all}");
        let all = shown(120, 40, 500).join("\n");
        assert!(all.contains("more\n") && all.contains("Line 49"), "{all}");
    }

    #[test]
    fn it_can_be_drawn_at_any_size() {
        for width in [0, 1, 10, 39, 40, 60, 79, 81, 200, 500] {
            for height in [0, 1, 5, 10, 17, 18, 22, 60] {
                let rows = shown(width, height, 12);
                if width >= 39 && height >= 17 {
                    let all = rows.join("\n");
                    assert!(all.contains("SIMULATED"), "{all}");
                    assert!(all.contains("r/a_name_of"), "{all}");
                }
            }
        }
    }

    #[test]
    fn before_the_first_status_it_says_so() {
        let screen = Screen::new("127.0.0.1:1".parse().unwrap(), None);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &screen)).unwrap();
        let shown = terminal.backend().to_string();
        assert!(
            shown.contains("SIMULATED") && shown.contains("Waiting"),
            "{shown}"
        );
    }
}
