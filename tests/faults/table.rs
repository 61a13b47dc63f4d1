//! The table, as Markdown, and its place in the README.

use crate::cells::{CELLS, Cell, Engines};
use crate::course::Length;
use crate::judge::Judged;
use crate::matrix::Ended;
use std::fmt::Write as _;
use std::ops::Range;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const START: &str = "<!-- faults:start -->";
const COLUMNS: usize = 17;
const END: &str = "<!-- faults:end -->";

/// The runs of one cell on one pair of engines.
pub struct Line {
    cell: &'static Cell,
    engines: Engines,
    judged: Vec<Judged>,
    broken: Vec<String>,
    left_out: Option<String>,
}

impl Line {
    pub fn new(cell: &'static Cell, engines: Engines) -> Line {
        Line {
            cell,
            engines,
            judged: Vec::new(),
            broken: Vec::new(),
            left_out: None,
        }
    }

    pub fn add(&mut self, ended: Ended) {
        match ended {
            Ended::Judged(judged) => self.judged.push(*judged),
            Ended::Broken(why) => self.broken.push(why),
            Ended::LeftOut(why) => self.left_out = Some(why),
        }
    }

    /// Whether every run kept the promise; one that was left out kept none and broke none.
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.judged.iter().all(|it| it.broken().is_empty())
    }

    fn sum(&self, count: impl Fn(&Judged) -> usize) -> usize {
        self.judged.iter().map(count).sum()
    }

    /// As it stands in the table.
    fn row(&self) -> String {
        let (name, engines) = (self.cell.name, self.engines);
        if let Some(why) = &self.left_out {
            return format!(
                "| {name} | {engines} | not run: {why} |{}",
                " |".repeat(COLUMNS - 3)
            );
        }
        let mut runs = (self.judged.len() + self.broken.len()).to_string();
        if !self.broken.is_empty() {
            let _ = write!(runs, ", {} could not go on", self.broken.len());
        }
        let mut normal: Vec<Option<f64>> = self
            .judged
            .iter()
            .map(|it| it.normal_after.map(|after| after.as_secs_f64()))
            .collect();
        // Never is the longest.
        normal.sort_by(|left, right| {
            let seconds = |after: &Option<f64>| after.unwrap_or(f64::INFINITY);
            seconds(left).total_cmp(&seconds(right))
        });
        let seconds = |after: Option<&Option<f64>>| match after {
            Some(Some(seconds)) => format!("{seconds:.1}"),
            Some(None) => "never".to_owned(),
            None => "–".to_owned(),
        };
        let columns = [
            runs,
            self.judged
                .iter()
                .map(|it| it.waiting)
                .min()
                .map_or_else(|| "–".to_owned(), |least| least.to_string()),
            thousands(self.sum(|it| it.compared.shown)),
            thousands(self.sum(|it| it.compared.in_gaps)),
            self.sum(|it| it.compared.lost.len()).to_string(),
            self.sum(|it| it.compared.unproven.len() + it.compared.behind.len())
                .to_string(),
            self.sum(|it| it.compared.open.len() + it.unrecorded.len())
                .to_string(),
            self.sum(|it| it.compared.wrong_rows + it.miscounted.len())
                .to_string(),
            self.sum(|it| it.older.len()).to_string(),
            self.sum(|it| it.expired.len()).to_string(),
            self.sum(|it| usize::try_from(it.over_quota).unwrap())
                .to_string(),
            self.sum(|it| it.compared.unended.len()).to_string(),
            thousands(self.sum(|it| it.run_again)),
            thousands(self.sum(|it| it.fetched_again)),
            format!(
                "{}, {}",
                seconds(normal.get(normal.len() / 2)),
                seconds(normal.last())
            ),
        ];
        format!("| {name} | {engines} | {} |", columns.join(" | "))
    }
}

/// All lines, and what they were measured on.
pub fn table(lines: &[Line], length: Length, seeds: Range<u64>) -> String {
    let mut text = format!(
        "| fault | engines | runs | waiting | shown | in gaps | lost | false proof | gaps | wrong rows | older over newer | lost claims | over quota | unended jobs | run again | fetched again | normal after, s: middle, worst |\n\
         |---|---|{}\n",
        "--:|".repeat(COLUMNS - 2),
    );
    for line in lines {
        let _ = writeln!(text, "{}", line.row());
    }
    for line in lines {
        for why in &line.broken {
            let why = why.lines().next().unwrap_or_default();
            let _ = writeln!(text, "\n{} ({}): {why}", line.cell.name, line.engines);
        }
    }
    let _ = write!(text, "\nMeasured {}.", measured(length, seeds));
    text
}

/// On what, and how.
fn measured(length: Length, seeds: Range<u64>) -> String {
    let length = match length {
        Length::Short => "short faults",
        Length::Long => "long faults",
    };
    let build = if cfg!(debug_assertions) {
        " in a debug build"
    } else {
        ""
    };
    format!(
        "on {}, {}, with seeds {} to {} and {length}{build}",
        chrono::Utc::now().format("%Y-%m-%d"),
        machine(),
        seeds.start,
        seeds.end - 1,
    )
}

/// `2 cores, 24 GB of memory, Linux 6.1`
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kilobytes = memory
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse::<f64>().ok());
    let gigabytes = kilobytes.map_or(0.0, |it| it * 1024.0 / 1e9);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{cores} cores, {gigabytes:.0} GB of memory, Linux {kernel}")
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Puts the table between its marks in the README.
pub fn write(table: &str) {
    let (before, _, after) = readme();
    std::fs::write(README, format!("{before}{START}\n{table}\n{END}{after}")).unwrap();
}

/// What stands before the table in the README, the table, and what stands behind it.
fn readme() -> (String, String, String) {
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(START).expect("the README has the marks");
    let (table, after) = rest.split_once(END).expect("the README has the marks");
    (before.to_owned(), table.trim().to_owned(), after.to_owned())
}

/// How the line of a cell begins.
fn begins(name: &str, engines: Engines) -> String {
    format!("| {name} | {engines} |")
}

/// Whether the table in the README has this line.
pub fn has(cell: &Cell, engines: Engines) -> bool {
    let begins = begins(cell.name, engines);
    readme().1.lines().any(|line| line.starts_with(&begins))
}

/// Puts these lines among those that the table in the README has, in the order of the cells, and says
/// below it how they were measured.
pub fn add(lines: &[Line], length: Length, seeds: Range<u64>) {
    let (_, old, _) = readme();
    let (rows, notes): (Vec<&str>, Vec<&str>) = old.lines().partition(|line| line.starts_with('|'));
    let mut table: Vec<String> = rows.iter().take(2).map(ToString::to_string).collect();
    for cell in CELLS {
        for engines in cell.engines {
            let begins = begins(cell.name, *engines);
            let new = lines.iter().map(Line::row);
            let known = rows.iter().map(ToString::to_string);
            table.extend(new.chain(known).find(|row| row.starts_with(&begins)));
        }
    }
    table.extend(notes.iter().map(ToString::to_string));
    for line in lines {
        for why in &line.broken {
            let why = why.lines().next().unwrap_or_default();
            table.push(format!("\n{} ({}): {why}", line.cell.name, line.engines));
        }
    }
    let mut names: Vec<String> = lines
        .iter()
        .map(|line| format!("*{}*", line.cell.name))
        .collect();
    names.dedup();
    let measured = measured(length, seeds);
    table.push(format!("\nAdded {measured}: {}.", names.join(", ")));
    write(&table.join("\n"));
}
