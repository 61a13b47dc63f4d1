//! What a recorded poll adds to the metrics.

use super::member::{WalkEnd, Walked};
use crate::metrics::Metrics;
use crate::store::{MemberRecord, PollStored, SubredditState};

pub(super) fn count(
    metrics: &Metrics,
    walked: &Walked,
    members: &[MemberRecord],
    stored: &PollStored,
    now_ms: i64,
) {
    let discover = &metrics.discover;
    discover.walk_pages.observe(f64::from(walked.walk.pages()));
    discover
        .undecodable
        .inc_by(walked.walk.undecodable().len() as u64);
    for cause in &stored.gaps_opened {
        discover.gaps.with_label_values(&[cause.as_str()]).inc();
    }
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
    for item in stored
        .fresh
        .iter()
        .filter_map(|index| walked.walk.listed().get(*index))
    {
        let submission = &item.submission;
        metrics.watched.label(
            submission.subreddit.as_deref().unwrap_or_default(),
            |subreddit| {
                discover.submissions.with_label_values(&[subreddit]).inc();
            },
        );
        #[expect(clippy::cast_precision_loss, reason = "a histogram counts in floats")]
        discover
            .lag_seconds
            .observe((now_ms - submission.created_utc.saturating_mul(1000)) as f64 / 1000.0);
    }
    if let WalkEnd::Refused(detail) = &walked.end {
        tracing::error!(
            detail,
            "Reddit refused a listing request; its window stays open"
        );
    }
}
