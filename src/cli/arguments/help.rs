//! What help says of the configuration: a list behind each command's own options, and the reference
//! that explains every key.

use crate::cli::demo;
use crate::config::{KEYS, Key};
use clap::Command;
use std::fmt::Write;

/// Commands that take no configuration.
const WITHOUT: &[&str] = &["simulate", "completions", "man", "help"];

const SHORT: &str = "Every configuration key is an option of this command too: freshet help config";

/// Lists the configuration flags behind the options of each command.
pub(super) fn with_configuration(command: Command) -> Command {
    let command = command.mut_subcommand("config", |config| config.long_about(reference()));
    let command = listed(command, &flags(&|key| Some(key.default)));
    command.mut_subcommand("demo", |demo| {
        demo.after_long_help(flags(&demo::default_of))
    })
}

fn listed(command: Command, flags: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|it| it.get_name().to_owned())
        .filter(|name| !WITHOUT.contains(&name.as_str()))
        .collect();
    let explains = command.get_name() == "config";
    let command = if explains {
        command
    } else {
        command.after_help(SHORT).after_long_help(flags.to_owned())
    };
    names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |inner| listed(inner, flags))
    })
}

/// A line for each flag, but for those that have no effect.
fn flags(default_of: &dyn Fn(&Key) -> Option<Option<&'static str>>) -> String {
    let mut text = "Configuration, with defaults (explained by: freshet help config):".to_owned();
    for key in KEYS {
        let Some(default) = default_of(key) else {
            continue;
        };
        let file = if key.file.is_some() { " or -file" } else { "" };
        let flag = format!("--{}{file}", key.flag());
        let default = default.unwrap_or("none");
        let _ = write!(text, "\n  {flag:34} [{default}]");
    }
    text
}

/// Every key with what it means, at most 80 columns wide.
pub(in crate::cli) fn reference() -> String {
    let mut text =
        "Every configuration key. Options win over environment variables, those over the \
                    file (freshet.toml, or --config, or FRESHET_CONFIG), the file over defaults.\n"
            .to_owned();
    text = wrapped(&text, "");
    for key in KEYS {
        let _ = write!(text, "\n{}\n", key.name);
        text.push_str(&wrapped(key.help, "    "));
        let _ = writeln!(text, "    option       --{}", key.flag());
        let _ = writeln!(text, "    environment  {}", key.variable());
        if key.file.is_some() {
            let _ = writeln!(
                text,
                "    from a file  --{}-file, {}_FILE",
                key.flag(),
                key.variable()
            );
        }
        let _ = writeln!(text, "    default      {}", key.default.unwrap_or("none"));
    }
    text
}

fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > indent.len() && line + 1 + word.chars().count() > 80 {
            lines.push(indent.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
