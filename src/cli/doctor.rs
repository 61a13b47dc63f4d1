//! `freshet doctor`: what was found, and how to mend it.

use super::output::print_line;
use super::report::{print_json, shown};
use crate::app::{Check, State, examine};
use crate::config::Config;
use serde_json::json;

/// What fits on a terminal of the usual width.
const WIDTH: usize = 80;
/// Where what was found begins.
const INDENT: usize = 6;

/// Nothing that failed is an error of this program: what was found is told already.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the checks failed")]
pub(super) struct Unwell(usize);

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    let checks = examine(config).await;
    let failed = checks.iter().filter(|it| it.state == State::Fail).count();
    if json {
        print_json(&json!({ "ok": failed == 0, "checks": checks }))?;
    } else {
        for check in &checks {
            print(check);
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Unwell(failed).into()),
    }
}

fn print(check: &Check) {
    let state = match check.state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    let text = format!("{}: {}", check.check, shown(&check.found));
    for (number, line) in wrapped(&text, WIDTH - INDENT).into_iter().enumerate() {
        print_line!("{:<INDENT$}{line}", if number == 0 { state } else { "" });
    }
    if let Some(remedy) = &check.remedy {
        for (number, line) in wrapped(remedy, WIDTH - INDENT - 3).into_iter().enumerate() {
            let arrow = if number == 0 { "-> " } else { "   " };
            print_line!("{:INDENT$}{arrow}{line}", "");
        }
    }
}

/// Lines of at most so many letters; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map(|line| line.chars().count());
        let length = line.unwrap_or_default();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
