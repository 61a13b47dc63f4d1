//! Many long runs of each cell, as a table.

use crate::cells::CELLS;
use crate::course::{self, Length, Run};
use crate::judge::Judged;
use crate::table::{self, Line};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

/// The first argument that leads here.
pub const WORD: &str = "matrix";
/// The table in the README stands on no fewer runs of each cell.
const WHOLE: u64 = 5;

/// Runs every cell several times, with faults as long as the table says, and prints the table.
#[derive(Parser)]
#[command(name = "scripts/faults")]
struct Arguments {
    /// Runs of each cell, each with a seed of its own
    #[arg(long, default_value_t = WHOLE, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Only the cells whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Runs at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// The first run's seed; the next ones follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Short faults, as the tests have them
    #[arg(long)]
    short: bool,
    /// Put the table into the README; only of the whole matrix
    #[arg(long)]
    write: bool,
    /// Run only what the table in the README lacks, and add those lines to it
    #[arg(long, conflicts_with_all = ["write", "short"])]
    add: bool,
}

pub fn main(given: &[String]) {
    let arguments = Arguments::parse_from(given);
    let part = arguments.short || !arguments.only.is_empty() || arguments.runs < WHOLE;
    if arguments.write && part {
        let why = format!(
            "--write replaces the whole table in the README, so it goes neither with --only nor with \
             --short nor with fewer than {WHOLE} runs"
        );
        let mut command = Arguments::command();
        command.error(ErrorKind::ArgumentConflict, why).exit();
    }
    let length = if arguments.short {
        Length::Short
    } else {
        Length::Long
    };
    let seeds = arguments.seed..arguments.seed + arguments.runs;
    let mut lines: Vec<Line> = Vec::new();
    let mut runs: Vec<(usize, Run)> = Vec::new();
    for cell in CELLS {
        for engines in cell.engines {
            let run = |seed| Run {
                cell,
                engines: *engines,
                length,
                seed,
            };
            let is_there = arguments.add && table::has(cell, *engines);
            if is_there || !run(0).name().contains(&arguments.only) {
                continue;
            }
            runs.extend(seeds.clone().map(|seed| (lines.len(), run(seed))));
            lines.push(Line::new(cell, *engines));
        }
    }
    let (all, begun) = (runs.len(), Instant::now());
    // Each cell once before any of them again, so that what does not hold is soon seen. Taken from the end.
    runs.sort_by_key(|(_, run)| std::cmp::Reverse(run.seed));
    let (runs, lines) = (Mutex::new(runs), Mutex::new(lines));
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let next = runs.lock().unwrap().pop();
                    let Some((place, run)) = next else { return };
                    let began = Instant::now();
                    let result = one(run);
                    eprintln!(
                        "{} with seed {}: {} ({:.0} s; {} of {all} to go)",
                        run.name(),
                        run.seed,
                        said(&result),
                        began.elapsed().as_secs_f64(),
                        runs.lock().unwrap().len(),
                    );
                    lines.lock().unwrap()[place].add(result);
                }
            });
        }
    });
    let lines = lines.into_inner().unwrap();
    let table = table::table(&lines, length, seeds.clone());
    println!("{table}");
    eprintln!("{all} runs in {:.0} s", begun.elapsed().as_secs_f64());
    if arguments.write {
        table::write(&table);
    }
    if arguments.add && !lines.is_empty() {
        table::add(&lines, length, seeds);
    }
    if !lines.iter().all(Line::holds) {
        std::process::exit(1);
    }
}

/// How one run ended.
pub enum Ended {
    Judged(Box<Judged>),
    /// It could not go on, which is no better than a promise not kept.
    Broken(String),
    /// Why this machine cannot run it.
    LeftOut(String),
}

fn one(run: Run) -> Ended {
    match catch_unwind(AssertUnwindSafe(|| course::run(run))) {
        Ok(Ok(judged)) => Ended::Judged(Box::new(judged)),
        Ok(Err(why)) => Ended::LeftOut(why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Ended::Broken(text.unwrap_or_default())
        }
    }
}

fn said(ended: &Ended) -> String {
    match ended {
        Ended::Judged(judged) => match judged.broken() {
            broken if broken.is_empty() => {
                format!(
                    "holds, with {} jobs waiting and {} requests in a minute",
                    judged.waiting, judged.busiest_minute
                )
            }
            broken => broken.join("; "),
        },
        Ended::Broken(why) => format!("could not go on: {why}"),
        Ended::LeftOut(why) => format!("not run: {why}"),
    }
}
