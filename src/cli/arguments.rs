//! Commands and flags. Every configuration key is a flag too, made from the same table.

mod help;
mod past;
mod simulate;

use super::moment::moment;
use super::pasted::{Subreddits, one};
use crate::app::Role;
use crate::config::KEYS;
use crate::observe::LogFormat;
use crate::store::DeadFilter;
use crate::submission::{SubmissionId, SubredditName};
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
pub(super) use help::reference;
pub(super) use past::{
    BackfillAction, BackfillArguments, BackfillOrder, GapsAction, GapsSource, Reprocess,
};
pub(super) use simulate::SimulateArguments;
use std::ffi::OsString;
use std::path::PathBuf;
use url::Url;

/// The options that are made from configuration keys.
pub(super) const CONFIGURATION: &str = "Configuration";
/// Options that every command has.
const GLOBAL: &str = "Global options";

/// Every submission of some subreddits in your database, as it appears, with proof that none was
/// missed.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, about, max_term_width = 80)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Configuration file; else FRESHET_CONFIG, else freshet.toml where it exists
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,
    /// What is logged: a level, or a list such as info,freshet=debug
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "FRESHET_LOG",
        default_value = "info,apalis_core=warn",
        help_heading = GLOBAL
    )]
    pub(super) log: String,
    /// How log lines look
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "auto",
        help_heading = GLOBAL
    )]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the pipeline against Reddit
    Run {
        /// Subreddits to add to the watched list
        #[arg(value_name = "SUBREDDIT")]
        subreddits: Vec<Subreddits>,
        /// Only this part of the pipeline in this process; repeatable
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<Role>,
    },
    /// Run the pipeline against the built-in simulated Reddit: no key, no server, no network
    Demo {
        /// How many made-up subreddits
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=2000))]
        subreddits: u32,
        /// Submissions per hour, all of them together
        #[arg(long, default_value_t = 600.0)]
        per_hour: f64,
        /// The same world for the same seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Log lines instead of the live view
        #[arg(long)]
        plain: bool,
    },
    /// Serve the simulated Reddit alone
    Simulate(SimulateArguments),
    /// The watched list; running schedulers follow it at once
    Subreddits {
        #[command(subcommand)]
        action: SubredditsAction,
    },
    /// Fetches that failed for good and were set aside
    Jobs {
        #[command(subcommand)]
        action: JobsAction,
    },
    /// Freshness, proof, queue and budget at a glance
    Status {
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Which times are proven complete, and which may miss submissions
    Coverage(CoverageArguments),
    /// Bring in the past of a subreddit: from an archive, Reddit's listing, or dump files
    Backfill(BackfillArguments),
    /// Times that may miss submissions
    Gaps {
        #[command(subcommand)]
        action: GapsAction,
    },
    /// Stored submissions as NDJSON, CSV or Parquet, by subreddit, creation and id
    Export(ExportArguments),
    /// Check configuration, credentials, database, queue, disks, clocks and port, and say how to mend them
    Doctor {
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Ask a running process whether it is ready; exit status 1 says that it is not
    Health {
        /// What to ask instead of /readyz on http.listen
        #[arg(value_name = "URL")]
        url: Option<Url>,
    },
    /// Bring the database's tables to this version
    Migrate,
    /// Explain every configuration key: its flag, environment variable and default
    Config,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print a manual page (roff): freshet man | man -l -
    Man {
        /// The page of this command, such as export, instead of the overview
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CoverageArguments {
    /// This one alone, with each of its intervals; all watched ones otherwise
    #[arg(value_name = "SUBREDDIT", value_parser = one)]
    pub(super) subreddit: Option<SubredditName>,
    /// Start time: a date, a time (UTC) or how long ago (2d) [default: the first known]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<i64>,
    /// End time [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<i64>,
    /// For machines
    #[arg(long)]
    pub(super) json: bool,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line.
    Ndjson,
    /// A header, then comma-separated values.
    Csv,
    /// A file of columns, for programs that analyse.
    Parquet,
}

/// How an export writes times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Times {
    /// Whole seconds since 1970-01-01 UTC.
    Seconds,
    /// Calendar times in UTC: RFC 3339; in Parquet timestamps.
    Utc,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportArguments {
    /// Only these subreddits [default: everything that is stored]
    #[arg(value_name = "SUBREDDIT")]
    pub(super) subreddits: Vec<Subreddits>,
    /// Only submissions created from then on: a date, a time (UTC) or how long ago (2d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) since: Option<i64>,
    /// Only submissions created before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) until: Option<i64>,
    /// Output format [default: by the output's extension (.ndjson, .jsonl, .json, .csv, .parquet),
    /// else ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// Print NDJSON
    #[arg(long, conflicts_with = "format")]
    pub(super) json: bool,
    /// Columns to write, separated by commas, in this order [default: all but raw and
    /// removed_raw]
    #[arg(long, value_name = "LIST")]
    pub(super) columns: Option<String>,
    /// File to write instead of standard output; replaced once the export is complete
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// How to write times [default: seconds; in Parquet utc]
    #[arg(long, value_name = "FORM")]
    pub(super) times: Option<Times>,
    /// CSV for spreadsheets: put an apostrophe before text that begins like a formula (= + - @ tab)
    #[arg(long)]
    pub(super) csv_safe: bool,
    /// CSV: begin with a byte order mark, by which Excel recognizes UTF-8
    #[arg(long)]
    pub(super) bom: bool,
}

impl ExportArguments {
    pub(super) fn subreddits(&self) -> impl Iterator<Item = &SubredditName> {
        self.subreddits.iter().flat_map(|given| &given.0)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum SubredditsAction {
    /// Watch these
    Add {
        /// Names, r/names, u/profiles or addresses; several also with + or a comma
        #[arg(required_unless_present = "file", value_name = "SUBREDDIT")]
        names: Vec<Subreddits>,
        /// File with more of them (- is standard input): one or several a line, # begins a comment
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Stop watching these; what is stored stays
    Remove {
        /// As in `freshet subreddits add`
        #[arg(required = true, value_name = "SUBREDDIT")]
        names: Vec<Subreddits>,
    },
    /// Keep these on the list without polling them
    Pause {
        /// As in `freshet subreddits add`
        #[arg(required = true, value_name = "SUBREDDIT")]
        names: Vec<Subreddits>,
    },
    /// Poll these again, from where they were left
    Resume {
        /// As in `freshet subreddits add`
        #[arg(required = true, value_name = "SUBREDDIT")]
        names: Vec<Subreddits>,
    },
    /// Show the watched list
    List {
        /// For machines
        #[arg(long)]
        json: bool,
    },
}

/// What `freshet jobs` does.
#[derive(Debug, Subcommand)]
pub(super) enum JobsAction {
    /// List those that were set aside, the latest first
    Dead {
        #[command(flatten)]
        filter: DeadMatch,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: u32,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Everything that is known about one, with its failed attempts
    Show {
        /// As in its address, with or without t3_
        #[arg(value_name = "ID")]
        id: SubmissionId,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Try them again now, with all their attempts
    Retry(DeadSelection),
    /// Give them up; what their listings showed stays
    Discard(DeadSelection),
}

/// Which of the jobs that were set aside.
#[derive(Debug, clap::Args)]
pub(super) struct DeadMatch {
    /// Only of this subreddit
    #[arg(long, value_parser = one)]
    subreddit: Option<SubredditName>,
    /// Only those whose reason contains this
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl From<DeadMatch> for DeadFilter {
    fn from(given: DeadMatch) -> DeadFilter {
        DeadFilter {
            ids: None,
            subreddit: given.subreddit,
            reason: given.reason,
            below: None,
        }
    }
}

/// Some of them, or all.
#[derive(Debug, clap::Args)]
pub(super) struct DeadSelection {
    /// With or without t3_
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<SubmissionId>,
    /// All that were set aside
    #[arg(long, conflicts_with = "ids")]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filter: DeadMatch,
}

/// Parses the command line.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    Ok((cli, matches))
}

/// The commands with a flag for every key; secrets can also be read from a file.
pub(super) fn command() -> clap::Command {
    let mut command = Cli::command();
    for key in KEYS {
        let default = key
            .default
            .map(|default| format!(" [default: {default}]"))
            .unwrap_or_default();
        command = command.arg(configuration_flag(
            key.name,
            key.flag(),
            format!("{}{default}", key.help),
        ));
        if let Some(name) = key.file {
            let help = format!("A file that holds {}", key.name);
            command = command.arg(configuration_flag(
                name,
                format!("{}-file", key.flag()),
                help,
            ));
        }
    }
    help::with_configuration(command)
}

fn configuration_flag(name: &'static str, flag: String, help: String) -> Arg {
    let arg = Arg::new(name)
        .long(clap::builder::Str::from(flag))
        .help(help)
        .value_name("VALUE")
        // Reddit makes ids and secrets that begin with one.
        .allow_hyphen_values(true)
        .global(true);
    // Dozens of lines, the same for every command: listed behind the command's own options instead.
    arg.help_heading(CONFIGURATION)
        .hide_short_help(true)
        .hide_long_help(true)
}

/// The configuration flags that were given.
pub(super) fn flags_given(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let names = KEYS
        .iter()
        .flat_map(|key| [Some(key.name), key.file].into_iter().flatten());
    names
        .filter_map(|name| Some((name, given(matches, name)?)))
        .collect()
}

/// A global flag's value, wherever in the line it stood.
fn given(matches: &ArgMatches, name: &str) -> Option<String> {
    let here = matches.try_get_one::<String>(name).ok().flatten().cloned();
    here.or_else(|| {
        matches
            .subcommand()
            .and_then(|(_, inner)| given(inner, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_key_is_a_flag_before_and_after_the_command() {
        for key in KEYS {
            let flag = format!("--{}", key.flag());
            for line in [
                ["freshet", &flag, "x", "migrate"],
                ["freshet", "migrate", &flag, "x"],
            ] {
                let (_, matches) = parse(line.map(OsString::from)).unwrap();
                assert_eq!(
                    flags_given(&matches),
                    [(key.name, "x".to_owned())],
                    "{line:?}"
                );
            }
        }
    }
}
