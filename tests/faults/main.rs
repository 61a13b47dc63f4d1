//! What freshet promises, measured: a submission that Reddit showed is in the database or in a
//! recorded gap, whatever fails.
//!
//! Each cell of the table starts real servers, a simulated Reddit and real freshet processes, lets
//! submissions arrive, strikes with one fault in the middle, and compares the database with the
//! simulated Reddit's truth.
//!
//! ```sh
//! cargo test --test faults                    # one short run of each cell
//! cargo test --test faults -- worker          # the cells whose names contain this
//! scripts/faults                              # the matrix: five long runs of each, as a table
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `cells` | the table of cells: what strikes, on which engines |
//! | `course` | the course of one run: load, strike, recovery, end |
//! | `strikes` | how each fault is brought about and taken back |
//! | `site`, `member`, `sink`, `proxy`, `reddit`, `database` | what a run stands on |
//! | `judge` | what is measured, and what must hold |
//! | `matrix`, `table` | many runs, and what is printed of them |
//! | `panicking` | a worker whose handler panics for one submission |

#![expect(
    clippy::unwrap_used,
    reason = "a run that cannot go on is judged failed"
)]

mod cells;
mod course;
mod database;
mod judge;
mod matrix;
mod member;
mod panicking;
mod proxy;
mod reddit;
mod sink;
mod site;
mod strikes;
mod table;

/// What the other tests stand on.
#[expect(dead_code, reason = "what the other tests alone use")]
#[path = "../it/support"]
mod support {
    pub mod binary;
    pub mod exposition;
    pub mod faketime;
    pub mod postgres;
    pub mod redis;
}

use cells::CELLS;
use course::{Length, Run};
use libtest_mimic::{Arguments, Completion, Trial};

/// Runs mostly wait, so more of them than processors run at once.
const AT_ONCE: usize = 4;

fn main() {
    let given: Vec<String> = std::env::args().collect();
    match given.get(1).map(String::as_str) {
        Some(panicking::WORD) => panicking::work(&given[2..]),
        Some(strikes::disk::WORD) => strikes::disk::inside(&given[2..]),
        Some(matrix::WORD) => matrix::main(&given[1..]),
        _ => short(),
    }
}

/// One short run of each cell, as tests.
fn short() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let mut trials = Vec::new();
    for cell in CELLS.iter().filter(|cell| cell.strike.is_short()) {
        for engines in cell.engines {
            let run = Run {
                cell,
                engines: *engines,
                length: Length::Short,
                seed: 1,
            };
            trials.push(Trial::ignorable_test(run.name(), move || {
                let judged = match course::run(run) {
                    Ok(judged) => judged,
                    Err(left_out) => {
                        return Ok(Completion::ignored_with(format!("not run: {left_out}")));
                    }
                };
                let broken = judged.broken();
                if broken.is_empty() {
                    Ok(Completion::Completed)
                } else {
                    Err(broken.join("\n").into())
                }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
