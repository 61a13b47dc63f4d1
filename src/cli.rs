//! The command line: what can be asked for, and what comes back.
//!
//! Standard output is for data, standard error for progress and logs. Exit status: 0 done, 1 failed,
//! 2 wrong usage or configuration.

/// In all of `cli`: says something on standard error as the standard library's does, but a standard
/// error that cannot be written or that nobody reads neither ends the command nor holds it up.
macro_rules! eprintln {
    () => { $crate::observe::note(format_args!("")) };
    ($($text:tt)+) => { $crate::observe::note(format_args!($($text)+)) };
}

mod arguments;
mod backfill;
mod coverage;
mod demo;
mod doctor;
mod export;
mod gaps;
mod health;
mod jobs;
mod moment;
mod output;
mod pasted;
mod progress;
mod report;
mod shell;
mod simulate;
mod subreddits;

use crate::app::{self, Role};
use crate::config::{Config, ConfigError, Inputs};
use crate::observe::{LogFormat, RecentLines, flush_log, start_logging};
use anyhow::Context;
use arguments::{Cli, Command, flags_given, parse};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let status = run();
    flush_log();
    status
}

fn run() -> ExitCode {
    let (cli, matches) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            if error.use_stderr() && !std::io::stderr().is_terminal() {
                let text = error.render().to_string();
                eprintln!("{}", text.trim_end());
            } else {
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime.context("the runtime cannot be started");
    let result = result.and_then(|runtime| {
        let result = runtime.block_on(execute(cli, flags_given(&matches)));
        // A name that is being looked up cannot be cancelled, and nobody waits for it any more.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("freshet: {error:#}");
            for line in text.lines() {
                eprintln!("{}", report::shown(line));
            }
            let usage = error.downcast_ref::<ConfigError>().is_some()
                || error.downcast_ref::<Usage>().is_some();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// A command that cannot mean anything as it was given. Exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// A filter that is none is wrong usage.
fn begin_logging(format: LogFormat, filter: &str, into: Option<RecentLines>) -> Result<(), Usage> {
    start_logging(format, filter, into).map_err(|error| Usage(format!("{error:#}")))
}

async fn execute(cli: Cli, flags: Vec<(&'static str, String)>) -> anyhow::Result<()> {
    let (format, filter) = (cli.log_format, cli.log.clone());
    // Where that is not to be had, such a write ends the process as it always did.
    let _ = app::survive_file_size_limit();
    // Before a port is opened, and also where the command itself needs little of it.
    let inputs = || Inputs::from_process(cli.config.clone(), flags.clone());
    let begin_logging = |format, filter: &str, into| {
        begin_logging(format, filter, into)?;
        warn_of_ignored(&inputs());
        Ok::<_, Usage>(())
    };
    // A variable that is ignored may be why something is wrong.
    let config = || -> anyhow::Result<Config> {
        begin_logging(format, &filter, None)?;
        Ok(Config::load(inputs())?)
    };
    let chosen = |key: &str| flags.iter().any(|(name, _)| *name == key);
    match cli.command {
        Command::Run { subreddits, roles } => {
            let config = config()?;
            let roles = if roles.is_empty() {
                Role::ALL.to_vec()
            } else {
                roles
            };
            let asks = roles.iter().any(|role| role.asks_reddit());
            if asks && config.reddit.client.is_none() {
                return Err(Usage(NO_KEY.to_owned()).into());
            }
            app::run(
                app::Plan {
                    config,
                    roles,
                    subreddits: pasted::all(subreddits),
                },
                None,
            )
            .await
        }
        Command::Demo {
            subreddits,
            per_hour,
            seed,
            plain,
        } => {
            let view = std::io::stdout().is_terminal() && !plain;
            let lines = view.then(RecentLines::default);
            begin_logging(format, &filter, lines.clone())?;
            let config = Config::load(Inputs {
                defaults: demo::DEFAULTS,
                ..inputs()
            })?;
            demo::run(
                config,
                demo::World {
                    subreddits,
                    per_hour,
                    seed,
                },
                lines,
                chosen,
            )
            .await
        }
        Command::Simulate(arguments) => {
            begin_logging(format, &filter, None)?;
            simulate::run(arguments).await
        }
        Command::Subreddits { action } => {
            let config = config()?;
            subreddits::run(&config, action).await
        }
        Command::Jobs { action } => {
            let config = config()?;
            jobs::run(&config, action).await
        }
        Command::Status { json } => {
            let config = config()?;
            report::status(&config, json).await
        }
        Command::Coverage(arguments) => {
            let config = config()?;
            coverage::run(&config, arguments).await
        }
        Command::Backfill(arguments) => {
            let config = config()?;
            backfill::run(&config, arguments).await
        }
        Command::Gaps { action } => {
            let config = config()?;
            gaps::run(&config, action).await
        }
        Command::Export(arguments) => {
            let config = config()?;
            export::run(&config, arguments).await
        }
        Command::Doctor { json } => {
            let config = config()?;
            doctor::run(&config, json).await
        }
        Command::Health { url } => {
            let config = config()?;
            health::health(&config, url).await
        }
        Command::Config => {
            output::print_line!("{}", arguments::reference().trim_end());
            Ok(())
        }
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { command } => shell::manual(&command),
        Command::Migrate => {
            let config = config()?;
            let store = app::open_store(&config).await?;
            store.close().await;
            eprintln!("The database is up to date.");
            Ok(())
        }
    }
}

/// Of variables that begin like keys and are none. Their values are not shown: nobody knows what they are.
fn warn_of_ignored(inputs: &Inputs) {
    let ignored = inputs.ignored();
    if !ignored.is_empty() {
        tracing::warn!(
            "These variables of the environment are no keys and are ignored: {}. Keys have two underscores \
             behind their section, such as FRESHET_DATABASE__URL",
            ignored.join(", ")
        );
    }
}

const NO_KEY: &str = "reddit.client_id is not set, and Reddit answers nobody without a key.
  To see freshet at work without one:  freshet demo
  To get one: ask Reddit for API access (https://support.reddithelp.com, \"Responsible Builder
  Policy\"), create an application of type \"script\" or \"web app\" at
  https://www.reddit.com/prefs/apps, then set FRESHET_REDDIT__CLIENT_ID and
  FRESHET_REDDIT__CLIENT_SECRET (or reddit.client_id and reddit.client_secret in freshet.toml).";
