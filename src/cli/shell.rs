//! `freshet completions` and `freshet man`: the command line, for shells and manual readers.

use super::Usage;
use super::arguments::{CONFIGURATION, command};
use anyhow::Context;
use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;
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
    let text = page(found.name(name)).context("the manual page cannot be made")?;
    print(&text)
}

/// The overview explains the configuration flags, which all commands have in common; its synopsis leaves
/// them out.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let is_key = |arg: &Arg| arg.get_help_heading() == Some(CONFIGURATION);
    let plain = command.clone().mut_args(|arg| {
        let hidden = is_key(&arg) || arg.is_hide_set();
        arg.hide(hidden)
    });
    let explained = command.mut_args(|arg| {
        let shown = is_key(&arg);
        match shown {
            true => arg.hide_short_help(false).hide_long_help(false),
            false => arg,
        }
    });
    let has_keys = explained.get_arguments().any(is_key);
    let has_more = explained.get_after_long_help().is_some() && !has_keys;
    let has_version = explained.get_version().is_some();
    let has_commands = explained.has_subcommands();
    let (plain, man) = (Man::new(plain), Man::new(explained));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    plain.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    if has_more {
        man.render_extra_section(&mut text)?;
    }
    if has_version {
        man.render_version_section(&mut text)?;
    }
    Ok(text)
}

/// A reader that has enough is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}
