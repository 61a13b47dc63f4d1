//! The flags of `freshet backfill` and `freshet gaps`.

use crate::cli::moment::Moment;
use crate::cli::pasted::one;
use crate::submission::SubredditName;
use clap::Subcommand;
use std::path::PathBuf;

/// `freshet backfill`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(in crate::cli) struct BackfillArguments {
    #[command(subcommand)]
    pub(in crate::cli) action: Option<BackfillAction>,
    /// Whose past; with files, `all` takes everything that they hold
    #[arg(value_name = "SUBREDDIT", required = true, value_parser = one)]
    pub(in crate::cli) subreddit: Option<SubredditName>,
    /// Start time: a date, a time (UTC) or how long ago (30d) [default for files: all they hold]
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) since: Option<Moment>,
    /// End time [default: now]
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) until: Option<Moment>,
    /// reddit, arctic-shift, or dump files (.zst, .gz, .ndjson; - is standard input); repeatable
    #[arg(long, value_name = "SOURCE")]
    pub(in crate::cli) source: Vec<String>,
    /// Only show what it would do, and what that would take
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Slices that are done at once at most
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(in crate::cli) max_active: u32,
    /// Which slices are done first
    #[arg(long, value_name = "ORDER", default_value = "newest")]
    pub(in crate::cli) order: BackfillOrder,
    /// What of the time is done that is proven complete already
    #[arg(long, value_name = "WHAT", default_value = "missing")]
    pub(in crate::cli) reprocess: Reprocess,
    /// Then fetch each from Reddit for its present state, behind all live work
    #[arg(long)]
    pub(in crate::cli) refresh: bool,
    /// Leave it to the workers that run (freshet run) instead of doing it here
    #[arg(long)]
    pub(in crate::cli) detach: bool,
    /// The files hold all that was posted from --since to --until: note as proven what they show of it, from
    /// their oldest to their newest submission, if all are read whole. Slower: every line is decoded
    #[arg(long, requires_all = ["since", "until"])]
    pub(in crate::cli) complete: bool,
    /// Where lines of files are kept that are no submission (the first 64 MB of them)
    #[arg(long, value_name = "FILE", default_value = "freshet-rejects.ndjson")]
    pub(in crate::cli) rejects: PathBuf,
    /// For machines
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Which slices are done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum BackfillOrder {
    /// The latest.
    Newest,
    /// The earliest.
    Oldest,
}

/// What is done that is proven complete already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Reprocess {
    /// Nothing of it.
    Missing,
    /// All of it again.
    All,
}

/// What becomes of backfills that were begun.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BackfillAction {
    /// List them, the newest first
    List {
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// How far one has come, slice by slice
    Status {
        /// Its number; the newest otherwise
        #[arg(value_name = "NUMBER")]
        backfill: Option<i64>,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Hand out no more of its slices
    Pause {
        /// Its number
        #[arg(value_name = "NUMBER")]
        backfill: i64,
    },
    /// Hand them out again, also those that were set aside
    Resume {
        /// Its number
        #[arg(value_name = "NUMBER")]
        backfill: i64,
    },
    /// Give it up, also what of it was set aside; what it stored stays
    Cancel {
        /// Its number
        #[arg(value_name = "NUMBER")]
        backfill: i64,
    },
}

/// Where what gaps miss comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum GapsSource {
    /// The archive
    ArcticShift,
    /// Reddit, which is asked for every id of the time: about 655 requests an hour, whatever is missing
    Ids,
}

/// `freshet gaps`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GapsAction {
    /// Those that are open, with their causes
    List {
        /// Only of this subreddit
        #[arg(value_name = "SUBREDDIT", value_parser = one)]
        subreddit: Option<SubredditName>,
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Begin backfills that close them, of the archive for each subreddit, or by ids for all of them
    Repair {
        /// Only of this subreddit
        #[arg(value_name = "SUBREDDIT", value_parser = one)]
        subreddit: Option<SubredditName>,
        /// Where what is missing comes from
        #[arg(long, value_name = "SOURCE", default_value = "arctic-shift")]
        source: GapsSource,
        /// Leave it to the workers that run (freshet run) instead of doing it here
        #[arg(long)]
        detach: bool,
        /// For machines
        #[arg(long)]
        json: bool,
    },
}
