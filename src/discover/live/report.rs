//! What the process that polls reports of its plan: metrics, the log, and other processes.

use super::super::planner::Outlook;
use super::{Discover, Instant};
use crate::config::DiscoverConfig;
use crate::metrics::Metrics;
use crate::source::RequestClass;
use crate::store::PollPlan;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long the objective must be out of reach, or within it again, before that is logged.
const OUTLOOK_HOLDS: Duration = Duration::from_secs(60);
/// Requests are counted over this time.
const MINUTE: Duration = Duration::from_secs(60);

/// What was reported so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether the objective is met, and since when that is so.
    outlook: Option<(bool, Instant)>,
    logged_met: bool,
    /// How many requests were granted until then, by class.
    granted: VecDeque<(Instant, [u64; RequestClass::COUNT])>,
}

impl Default for Report {
    fn default() -> Report {
        Report {
            outlook: None,
            logged_met: true,
            granted: VecDeque::new(),
        }
    }
}

impl Report {
    /// What the plan comes to, which the metrics show from now on.
    pub(super) fn plan(
        &mut self,
        discover: &Discover,
        outlook: Outlook,
        scanned: bool,
    ) -> PollPlan {
        let Outlook {
            mean_wait,
            longest,
            needed,
        } = outlook;
        let objective = discover.config.interval.as_secs_f64();
        let met = longest <= objective * 1.05 || scanned;
        // Polls may count on their guaranteed share only.
        let needed = (needed / RequestClass::Poll.share() * 60.0).ceil();
        let metrics = &discover.metrics.discover;
        metrics.objective_met.set(i64::from(met));
        metrics.expected_wait.set(mean_wait);
        metrics.longest_interval.set(longest);
        metrics.needed_budget.set(needed);
        PollPlan {
            objective_met: met,
            expected_lag_seconds: finite(mean_wait),
            longest_interval_seconds: finite(longest),
            needed_per_minute: finite(needed),
            proof_period_seconds: finite(metrics.proof_period.get()),
            requests_per_minute: self.requests(&discover.metrics),
        }
    }

    /// Requests of the last minute, by class; of less where it began less long ago.
    fn requests(&mut self, metrics: &Metrics) -> BTreeMap<String, f64> {
        let now = Instant::now();
        let granted = RequestClass::ALL.map(|class| {
            let labels = ["reddit", class.as_str()];
            metrics.api.budget_grants.with_label_values(&labels).get()
        });
        // The oldest is a minute old, or a little older.
        while self.granted.get(1).is_some_and(|it| now - it.0 >= MINUTE) {
            self.granted.pop_front();
        }
        self.granted.push_back((now, granted));
        let (since, before) = self.granted[0];
        let minutes = (now - since).max(Duration::from_secs(1)).as_secs_f64() / 60.0;
        let classes = RequestClass::ALL.into_iter().zip(granted).zip(before);
        classes
            .map(|((class, now), before)| {
                #[expect(clippy::cast_precision_loss, reason = "requests of a minute")]
                let requests = now.saturating_sub(before) as f64 / minutes;
                (class.as_str().to_owned(), (requests * 10.0).round() / 10.0)
            })
            .collect()
    }

    /// Logs once that the objective has been out of reach for a while, or is within it again.
    pub(super) fn log(&mut self, plan: &PollPlan, config: &DiscoverConfig, subreddits: usize) {
        let met = plan.objective_met;
        let since = match self.outlook {
            Some((before, since)) if before == met => since,
            _ => Instant::now(),
        };
        self.outlook = Some((met, since));
        if met == self.logged_met || since.elapsed() < OUTLOOK_HOLDS {
            return;
        }
        self.logged_met = met;
        if met {
            tracing::info!(subreddits, "The freshness objective is met again");
        } else {
            tracing::warn!(
                subreddits,
                objective_seconds = config.interval.as_secs_f64(),
                longest_interval_seconds = plan.longest_interval_seconds.ceil(),
                needed_requests_per_minute = plan.needed_per_minute,
                "The request budget does not meet the freshness objective; raise \
                 reddit.requests_per_minute if your key allows more, lengthen discover.interval, or \
                 watch fewer subreddits"
            );
        }
    }
}

/// JSON knows no infinity.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
