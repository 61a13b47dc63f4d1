//! `freshet completions` and `freshet man`: the command line, for shells and manual readers.

use super::Usage;
use super::arguments::command;
use anyhow::Context;
use clap_complete::Shell;
use std::io::{self, Write};

pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "freshet", &mut text);
    print(&text)
}

/// The page of a command, by its words; without any the overview.
pub(super) fn manual(words: &[String]) -> anyhow::Result<()> {
    let mut found = command();
    let mut name = "freshet".to_owned();
    for word in words {
        let inner = found.find_subcommand(word).cloned();
        found = inner.ok_or_else(|| {
            Usage(format!(
                "there is no command `{name} {word}`; see: freshet help"
            ))
        })?;
        name = format!("{name}-{word}");
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(found.name(name))
        .render(&mut text)
        .context("the manual page cannot be made")?;
    print(&text)
}

/// A reader that has enough is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}
