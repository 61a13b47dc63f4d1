//! What a recorded walk adds to the metrics.

use super::pages::{WalkEnd, Walked};
use crate::metrics::Metrics;
use crate::store::{MemberRecord, PollStored, SubredditState};
use crate::submission::Observation;

pub(super) fn count(
    metrics: &Metrics,
    walked: &Walked,
    members: &[MemberRecord],
    stored: &PollStored,
    now_ms: i64,
) {
    let discover = &metrics.discover;
    let fresh = count_walk(metrics, walked, stored, "poll");
    count_lag(metrics, fresh.into_iter(), now_ms);
    for member in members
        .iter()
        .filter(|member| !stored.lost.contains(&member.claim.subreddit))
    {
        let outcome = match &member.window {
            Some(window) => window.outcome.as_str(),
            None if member.update.state == SubredditState::Unavailable => "failed",
            None => "seen",
        };
        discover.polls.with_label_values(&[outcome]).inc();
    }
    if let WalkEnd::Refused(detail) = &walked.end {
        tracing::error!(
            detail,
            "Reddit refused a listing request; its window stays open"
        );
    }
}

/// What polls and sweeps have in common; `by` is which of them it was. The new submissions come back.
pub(super) fn count_walk<'a>(
    metrics: &Metrics,
    walked: &'a Walked,
    stored: &PollStored,
    by: &str,
) -> Vec<&'a Observation> {
    let discover = &metrics.discover;
    discover.walk_pages.observe(f64::from(walked.walk.pages()));
    discover
        .undecodable
        .inc_by(walked.walk.undecodable().len() as u64);
    discover.undecodable_dropped.inc_by(stored.dropped);
    for cause in &stored.gaps_opened {
        discover.gaps.with_label_values(&[cause.as_str()]).inc();
    }
    let repaired = discover.gaps_repaired.with_label_values(&[by]);
    repaired.inc_by(stored.gaps_repaired);
    let listed = walked.walk.listed();
    let fresh = stored.fresh.iter().filter_map(|index| listed.get(*index));
    let fresh: Vec<&Observation> = fresh.collect();
    count_found(metrics, fresh.iter().copied());
    fresh
}

/// Submissions that were seen for the first time.
pub(super) fn count_found<'a>(metrics: &Metrics, fresh: impl Iterator<Item = &'a Observation>) {
    for item in fresh {
        let subreddit = item.submission.subreddit.as_deref().unwrap_or_default();
        metrics.watched.label(subreddit, |subreddit| {
            let found = &metrics.discover.submissions;
            found.with_label_values(&[subreddit]).inc();
        });
    }
}

/// How long after their creation.
pub(super) fn count_lag<'a>(
    metrics: &Metrics,
    fresh: impl Iterator<Item = &'a Observation>,
    now_ms: i64,
) {
    for item in fresh {
        let created = item.submission.created_utc;
        let subreddit = item.submission.subreddit.as_deref().unwrap_or_default();
        if metrics.watched.is_history(subreddit, created) {
            continue;
        }
        let created_ms = created.saturating_mul(1000);
        #[expect(clippy::cast_precision_loss, reason = "a histogram counts in floats")]
        let lag = now_ms.saturating_sub(created_ms) as f64 / 1000.0;
        metrics.discover.lag_seconds.observe(lag);
    }
}
