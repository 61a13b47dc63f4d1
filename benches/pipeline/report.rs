//! The tables, as Markdown.

use crate::fill::Before;
use crate::limits::Limit;
use crate::measure::{Engines, Measurement};

pub(crate) fn print(measurements: &[Measurement], limits: &[Limit]) {
    println!(
        "| engines | stored before | submissions/s | of an empty store's | requests per 1,000 | peak memory | a million on disk | processor: freshet, Reddit, servers |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|---|");
    for run in measurements {
        let empty = measurements
            .iter()
            .find(|other| other.engines == run.engines && other.before == Before::Empty);
        let ratio = empty.map_or_else(String::new, |empty| {
            format!("{:.2}", run.rate() / empty.rate())
        });
        let engines = match run.engines {
            Engines::Sqlite => "SQLite, SQLite queue",
            Engines::Postgres => "Postgres, Redis queue",
        };
        let before = match run.before {
            Before::Empty => "nothing".to_owned(),
            Before::Stored => format!("{} stored", thousands(run.rows_before as f64)),
            Before::Waiting => format!("{} waiting", thousands(run.rows_before as f64)),
        };
        let on_disk = match run.before {
            Before::Stored => {
                let gigabytes = run.size_before as f64 / run.rows_before as f64 / 1000.0;
                format!("{gigabytes:.1} GB")
            }
            Before::Empty | Before::Waiting => String::new(),
        };
        let [freshet, reddit, servers] = run.processor.map(|seconds| 100.0 * seconds / run.seconds);
        println!(
            "| {engines} | {before} | {} | {ratio} | {:.1} | {:.0} MB | {on_disk} | {freshet:.0} %, {reddit:.0} %, {servers:.0} % |",
            thousands(run.rate()),
            run.requests,
            run.peak_megabytes,
        );
    }
    println!();
    println!("| alone, on the same machine | submissions/s |");
    println!("|---|--:|");
    for limit in limits {
        println!("| {} | {} |", limit.part, thousands(limit.rate));
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!();
    println!("Measured on {cores} cores, all processes together.");
}

/// `12,345`
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
