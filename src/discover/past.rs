//! A subreddit's past as far as its listing shows it, for backfills.

use super::Discover;
use super::pages::{WalkEnd, walk};
use super::sweep::ground;
use crate::source::RequestClass;
use crate::store::{GapReason, Interval};
use crate::submission::{Observation, SubredditName, Undecodable};
use tokio_util::sync::CancellationToken;

/// What a walk into the past brought.
#[derive(Debug)]
pub struct Past {
    /// What was listed, newest first as a rule; also what is older than was asked for.
    pub items: Vec<Observation>,
    /// What was listed and is no submission.
    pub undecodable: Vec<Undecodable>,
    /// Pages asked for.
    pub pages: u32,
    /// What was seen whole, but for what could not be read.
    pub proven: Option<Interval>,
    /// When that was posted, as far as its place in the listing tells.
    pub unread: Vec<Interval>,
    /// Why it went no further.
    pub end: PastEnd,
}

/// How a walk into the past ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastEnd {
    /// It came as far down as was asked.
    Reached,
    /// The listing shows nothing older.
    Ended,
    /// Reddit did not answer, or the item to go on from vanished: to be tried again.
    Unanswered,
    /// What was asked for is not to be had; in Reddit's words.
    Refused(String),
    /// Told to stop.
    Stopped,
}

/// Walks a listing down to `since` (seconds), behind everything else that asks Reddit.
pub async fn past(
    discover: &Discover,
    subreddit: &SubredditName,
    since: i64,
    stop: &CancellationToken,
) -> Past {
    let names = std::slice::from_ref(subreddit);
    let walked = walk(discover, names, RequestClass::Backfill, |_| since, stop).await;
    let (ground, reason) = ground(&walked, subreddit);
    let end = match (&walked.end, reason) {
        (WalkEnd::Stopped, _) => PastEnd::Stopped,
        (WalkEnd::Unavailable(reason), _) => PastEnd::Refused(reason.to_string()),
        (WalkEnd::Refused(detail), _) => PastEnd::Refused(detail.clone()),
        (_, GapReason::Unavailable) => PastEnd::Refused("it has another name now".to_owned()),
        _ if ground.is_some_and(|ground| ground <= since) => PastEnd::Reached,
        (_, GapReason::BeyondListing) => PastEnd::Ended,
        (_, GapReason::AnchorVanished | GapReason::Unanswered) => PastEnd::Unanswered,
    };
    let proven = ground.map(|start| Interval {
        start: start.max(since),
        end: walked.served_at,
    });
    let missing = walked.doubts(subreddit, None).missing;
    Past {
        items: walked.walk.listed().to_vec(),
        undecodable: walked.walk.undecodable().to_vec(),
        pages: walked.walk.pages(),
        unread: missing.into_iter().map(|it| it.interval).collect(),
        proven: proven.filter(|proven| walked.is_dated() && !proven.is_empty()),
        end,
    }
}
