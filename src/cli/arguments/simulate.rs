//! What the simulated Reddit is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SimulateArguments {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(in crate::cli) listen: SocketAddr,
    /// The same world for the same seed
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli) seed: u64,
    /// How many made-up subreddits
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) subreddits: u32,
    /// Submissions per hour, all of them together
    #[arg(long, default_value_t = 1800.0)]
    pub(in crate::cli) per_hour: f64,
    /// How much past there is at the start
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    pub(in crate::cli) history: Duration,
    /// Begin that past with a day (UTC): restarted on the same day, it shows the same submissions
    #[arg(long)]
    pub(in crate::cli) whole_days: bool,
    /// Oddities of real traffic: realistic, none, or a list such as late,reordered,faults=0.02
    #[arg(long, default_value = "realistic")]
    pub(in crate::cli) oddities: String,
    /// Requests a minute before it answers 429; 0 for no limit
    #[arg(long, default_value_t = 100)]
    pub(in crate::cli) requests_per_minute: u32,
    /// How long each answer takes at least
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) latency: Duration,
    /// How long after their creation its archive (/api/posts/search) has submissions
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) archive_lag: Duration,
    /// The chance, from 0 to 1, that the archive answers 422 for being overloaded
    #[arg(long, value_name = "CHANCE", default_value_t = 0.0)]
    pub(in crate::cli) archive_overload: f64,
    /// Items that a listing shows at most; 0 for no limit
    #[arg(long, default_value_t = 1000)]
    pub(in crate::cli) listing_cap: usize,
    /// Bytes of the longest path and query; longer ones get 414
    #[arg(long, value_name = "BYTES", default_value_t = 8192)]
    pub(in crate::cli) longest_url: usize,
    /// Serve these real submissions instead (NDJSON, or a zstd dump)
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) corpus: Vec<PathBuf>,
    /// With --corpus: let them appear one after the other, so many a second, instead of all at once
    #[arg(long, value_name = "NUMBER", requires = "corpus")]
    pub(in crate::cli) arrivals_per_second: Option<f64>,
    /// Compress answers for clients that ask for it
    #[arg(long)]
    pub(in crate::cli) gzip: bool,
    /// As many submissions by night as by day, instead of the rhythm of a real day (UTC)
    #[arg(long)]
    pub(in crate::cli) steady: bool,
    /// Let every such span end in a silence and a burst in all subreddits at once
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(in crate::cli) burst_every: Option<Duration>,
    /// How long a burst lasts, and the silence before it
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration, requires = "burst_every")]
    pub(in crate::cli) burst_lasts: Duration,
    /// How many times the usual rate comes in a burst
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 12.0,
        requires = "burst_every"
    )]
    pub(in crate::cli) burst_factor: f64,
    /// Number submissions with one counter, as Reddit does, instead of leaving out the ids of others
    #[arg(long)]
    pub(in crate::cli) dense_ids: bool,
    /// Share of the counter's ids that are never given to anything
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.0,
        requires = "dense_ids"
    )]
    pub(in crate::cli) unused_ids: f64,
    /// Submissions a second of other subreddits, which take ids of the same counter
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    pub(in crate::cli) rest_per_second: f64,
}
