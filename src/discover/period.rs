//! How often everything can be proven within the proofs' share of the request budget. Pure.

use super::group::{MOST_MEMBERS, SHARED_PAGE, TOO_BUSY};
use super::prove::short_overlap;
use crate::config::DiscoverConfig;
use crate::source::RequestClass;
use std::time::Duration;

/// However small the share.
const LONGEST: Duration = Duration::from_secs(900);
/// Submissions that a page adds to a walk.
const PAGE: f64 = 90.0;
/// A listing holds 1,000; with a burst of this many times the usual rate it must not overflow between two polls,
/// one of which may come a little late.
const BURST: f64 = 5.0;
const LISTING: f64 = 800.0;
/// What has burst already may become faster by this factor.
const FASTER: f64 = 1.5;

/// The shortest time between two proofs of each subreddit that the proofs' share of `budget` (requests a second)
/// allows, where they post at these rates (submissions a second). Never shorter than the freshness objective.
pub(super) fn proof_period(rates: &[f64], budget: f64, config: &DiscoverConfig) -> Duration {
    let longest = LONGEST.max(config.interval);
    let allowed = (budget * RequestClass::Proof.share()).max(1e-6);
    let fits = |period: f64| requests(rates, period, config) <= allowed * period;
    let (mut low, mut high) = (config.interval.as_secs_f64(), longest.as_secs_f64());
    if fits(low) {
        return config.interval;
    }
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Duration::from_secs_f64(high)
}

/// Requests that one round takes.
fn requests(rates: &[f64], period: f64, config: &DiscoverConfig) -> f64 {
    let (overlap, short) = (
        config.overlap.as_secs_f64(),
        short_overlap(config).as_secs_f64(),
    );
    let (mut quiet, mut quiet_items, mut busy) = (0.0, 0.0, 0.0);
    for rate in rates {
        let items = rate * (period + overlap);
        if items <= TOO_BUSY {
            quiet += 1.0;
            quiet_items += items;
        } else {
            let period = period.min(overflows_after(*rate, *rate));
            // The window, and once per overlap two of those.
            let pages = rate * (period + short + 2.0 * period) / PAGE;
            busy += pages.max(1.0);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small constant")]
    let groups = (quiet / MOST_MEMBERS as f64).max(quiet_items / SHARED_PAGE);
    groups.ceil() + busy
}

/// Seconds after which a listing may overflow, of what posts so often as a rule and so often now (submissions a
/// second).
pub(super) fn overflows_after(usual: f64, now: f64) -> f64 {
    LISTING / (BURST * usual).max(FASTER * now).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Inputs};

    fn config() -> DiscoverConfig {
        Config::load(Inputs::default()).unwrap().discover
    }

    #[test]
    fn few_subreddits_are_proven_at_each_interval_and_many_as_often_as_their_share_allows() {
        let config = config();
        let budget = 100.0 / 60.0;
        assert_eq!(proof_period(&[0.01; 20], budget, &config), config.interval);
        let many = proof_period(&[0.001; 1_000], budget, &config).as_secs_f64();
        let requests = requests(&[0.001; 1_000], many, &config);
        assert!(many > 60.0 && many < 600.0, "{many}");
        assert!(
            (requests / many / budget - RequestClass::Proof.share()).abs() < 0.02,
            "{requests}"
        );
        let more = proof_period(&[0.001; 40_000], budget, &config);
        assert_eq!(more.as_secs(), 900, "no longer, whatever the share");
    }
}
