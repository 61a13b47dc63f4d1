//! What the README says is so.

use freshet::config::KEYS;
use std::process::Command;

const README: &str = include_str!("../../README.md");

#[test]
fn the_configuration_table_is_that_of_the_program() {
    let (_, after) = README.split_once("| key | default | |").unwrap();
    let rows: Vec<&str> = after
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let secret = if key.file.is_some() { " *" } else { "" };
            let default = key
                .default
                .map_or("none".to_owned(), |default| format!("`{default}`"));
            format!("| `{}`{secret} | {default} | {} |", key.name, key.help)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_command_that_is_named_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = README.split_once("Commands: ").unwrap();
    let (commands, _) = commands.split_once(';').unwrap();
    for command in commands.split('`').skip(1).step_by(2) {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "{command}"
        );
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let declared = include_str!("../../src/metrics.rs");
    for word in README.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        if word.starts_with("freshet_") && !word.ends_with('_') {
            assert!(declared.contains(&format!("\"{word}\"")), "{word}");
        }
    }
}
