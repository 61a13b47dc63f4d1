//! What a simulated Reddit is made with.

use super::archive::ArchiveOptions;
use super::content::subreddit_name;
use super::corpus::{Corpus, CorpusMode};
use super::oddities::Oddities;
use crate::submission::SubredditName;
use std::fmt;
use std::time::Duration;

/// How submissions are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ids {
    /// Whether they are a counter, as on Reddit, of which hardly any is left out. Otherwise they grow with
    /// time by as many as all of Reddit gets, and this world's are few among them.
    pub counter: bool,
    /// The share of the counter's ids that are never given to anything.
    pub unused: f64,
    /// Submissions a second of subreddits that are none of `subreddits`, which take ids of the same counter.
    /// They have no past.
    pub rest_per_second: f64,
}

/// Silences that end in bursts, from the start of the world on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// From the end of one to the end of the next.
    pub every: Duration,
    /// How long each lasts, and before it the silence; at most half of `every`.
    pub lasts: Duration,
    /// How many times the usual rate comes.
    pub factor: f64,
}

/// How the simulated Reddit is made. The same options give the same world (on machines whose
/// logarithm and cosine round alike).
#[derive(Clone)]
pub struct SimulatorOptions {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// World time at the start, milliseconds since the epoch; `None` is the wall clock's. For two
    /// runs to be the same, this must be the same too.
    pub starts_at_ms: Option<i64>,
    /// World seconds per real second. At 0 the clock stands still until it is advanced.
    pub speed: f64,
    /// The made-up subreddits, each with its mean of submissions an hour of world time.
    pub subreddits: Vec<(SubredditName, f64)>,
    /// How much of their past exists at the start.
    pub history: Duration,
    /// Whether that begins with a day (UTC), up to a day earlier: a world that is made again on the same day
    /// then has the same past, as long as ids are not numbered with those of others.
    pub whole_days: bool,
    /// The oddities of real traffic.
    pub oddities: Oddities,
    /// Real objects to replay beside the made-up ones, and how they appear.
    pub corpus: Option<(Corpus, CorpusMode)>,
    /// The quota of each client id, enforced over windows of ten minutes; `None` enforces none.
    pub requests_per_minute: Option<u32>,
    /// What `expires_in` says, and when tokens do expire.
    pub token_lifetime: Duration,
    /// Whether answers are compressed for clients that ask.
    pub gzip: bool,
    /// Bytes of the longest path and query; longer ones get 414. Reddit's own bound is not known.
    pub longest_url: usize,
    /// How many ids one subreddit's listing holds; 0 is no limit.
    pub listing_cap: usize,
    /// The one client id and secret that gets tokens; `None` gives them to any.
    pub credentials: Option<(String, String)>,
    /// The one account that a password grant is given for; `None` gives it to any.
    pub account: Option<(String, String)>,
    /// How long each answer takes at least, in real time.
    pub latency: Duration,
    /// Where a submission appears regularly, from the start on, and how often.
    pub heartbeat: Option<(SubredditName, Duration)>,
    /// Whether as many come by night as by day.
    pub steady: bool,
    /// Silences that end in bursts, in all subreddits at once.
    pub bursts: Option<Bursts>,
    /// How submissions are numbered.
    pub ids: Ids,
    /// The archive on the same listener.
    pub archive: ArchiveOptions,
}

/// What the listings of the real service hold at most (an undocumented constant of its code).
pub(super) const REDDIT_LISTING_CAP: usize = 1000;

impl Default for SimulatorOptions {
    /// An empty Reddit without oddities, as strict as the real one: 100 requests a minute, tokens
    /// of a day, listings of 1,000.
    fn default() -> SimulatorOptions {
        SimulatorOptions {
            seed: 1,
            starts_at_ms: None,
            speed: 1.0,
            subreddits: Vec::new(),
            history: Duration::from_secs(24 * 3600),
            whole_days: false,
            oddities: Oddities::none(),
            corpus: None,
            requests_per_minute: Some(100),
            token_lifetime: Duration::from_secs(24 * 3600),
            gzip: true,
            longest_url: 8_192,
            listing_cap: REDDIT_LISTING_CAP,
            credentials: None,
            account: None,
            latency: Duration::ZERO,
            heartbeat: None,
            steady: false,
            bursts: None,
            ids: Ids::default(),
            archive: ArchiveOptions::default(),
        }
    }
}

impl fmt::Debug for SimulatorOptions {
    /// Without the secrets, and without the objects of the corpus.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corpus = self.corpus.as_ref();
        formatter
            .debug_struct("SimulatorOptions")
            .field("seed", &self.seed)
            .field("starts_at_ms", &self.starts_at_ms)
            .field("speed", &self.speed)
            .field("subreddits", &self.subreddits)
            .field("history", &self.history)
            .field("oddities", &self.oddities)
            .field("corpus", &corpus.map(|(corpus, mode)| (corpus.len(), mode)))
            .field("requests_per_minute", &self.requests_per_minute)
            .finish_non_exhaustive()
    }
}

impl SimulatorOptions {
    /// Where the past begins of a world that starts then; both in milliseconds.
    pub(super) fn begins_at_ms(&self, starts_at_ms: i64) -> i64 {
        const DAY_MS: i64 = 86_400_000;
        let begins = starts_at_ms.saturating_sub(super::clock::millis(self.history));
        match self.whole_days {
            true => begins - begins.rem_euclid(DAY_MS),
            false => begins,
        }
    }

    /// A world of `count` made-up subreddits that get `per_hour` submissions each in the mean; as on
    /// Reddit a few get most of them.
    pub fn world(seed: u64, count: usize, per_hour: f64) -> SimulatorOptions {
        #[expect(clippy::cast_precision_loss, reason = "a count of subreddits is small")]
        let weights: Vec<f64> = (0..count)
            .map(|rank| (rank as f64 + 1.0).powf(-0.7))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of subreddits is small")]
        let share = per_hour * count as f64 / weights.iter().sum::<f64>();
        let subreddits = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| {
                let name = subreddit_name(index)
                    .parse()
                    .expect("generated names are valid");
                (name, share * weight)
            })
            .collect();
        SimulatorOptions {
            seed,
            subreddits,
            ..SimulatorOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_the_options_tells_no_secret() {
        let options = SimulatorOptions {
            credentials: Some(("id".to_owned(), "hush-hush".to_owned())),
            account: Some(("someone".to_owned(), "hush-hush".to_owned())),
            ..SimulatorOptions::world(1, 1, 1.0)
        };
        let printed = format!("{options:?}");
        assert!(printed.contains("kettles") && !printed.contains("hush-hush"));
    }

    #[test]
    fn a_worlds_rates_add_up_and_differ() {
        let options = SimulatorOptions::world(1, 20, 30.0);
        let total: f64 = options.subreddits.iter().map(|(_, rate)| rate).sum();
        assert!((total - 600.0).abs() < 0.001);
        assert!(options.subreddits[0].1 > 2.0 * options.subreddits[19].1);
        assert!(SimulatorOptions::world(1, 0, 30.0).subreddits.is_empty());
    }
}
