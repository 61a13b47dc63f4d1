//! One shared listing of a plan.

use super::rate::{Burst, Rate};
use super::{Answer, Poll};
use crate::submission::SubredditName;

/// Pages that are followed below one top page: as many as a listing of 1,000 has.
const MAX_DEPTH: u32 = 10;

/// Chains of pages at once: what is given up is left to the proof walks.
const MAX_FOLLOW_UPS: usize = 4;

/// Names a group of a plan; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub(super) u64);

/// So many times in a row is a chain begun again whose anchor is gone: it may be the listing's end instead.
const MAX_LOST: u32 = 3;

/// A page below one that did not join what was known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FollowUp {
    pub(super) after: String,
    /// The source's time at the poll before that of the top.
    pub(super) since: Option<i64>,
    /// As in [`Poll`].
    pub(super) unfollowed: bool,
    depth: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) names: Vec<SubredditName>,
    /// When its top was last requested; `None` where any member's never was.
    pub(super) polled: Option<f64>,
    /// The source's time then (seconds since the epoch), the least of its members'.
    pub(super) shown_at: Option<i64>,
    /// When the request under way was sent.
    pub(super) sent: Option<f64>,
    /// What the group as a whole was seen to post: the sum of its members' rates is an estimate that sorting by it
    /// makes worse.
    pub(super) rate: Rate,
    pub(super) burst: Burst,
    /// The last is next: newer submissions first.
    pub(super) follow_ups: Vec<FollowUp>,
    /// The source's time since which pages were left that another group was to follow.
    pub(super) unfollowed: Option<i64>,
    /// Chains in a row whose anchor was gone.
    lost: u32,
    /// A request is under way.
    pub(super) busy: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Whether it may fail for what it asks for.
    pub(super) doubtful: bool,
    /// Not requested before then.
    pub(super) not_before: f64,
}

impl Group {
    pub(super) fn new(
        id: GroupId,
        names: Vec<SubredditName>,
        polled: Option<f64>,
        rate: f64,
        now: f64,
    ) -> Group {
        Group {
            id,
            names,
            polled,
            shown_at: None,
            sent: None,
            rate: Rate::expected(rate),
            burst: Burst::default(),
            follow_ups: Vec::new(),
            unfollowed: None,
            lost: 0,
            busy: false,
            failures: 0,
            doubtful: false,
            not_before: now,
        }
    }

    /// Submissions a second that are expected now.
    pub(super) fn arrivals(&self) -> f64 {
        self.rate.mean() + self.burst.extra()
    }

    /// Since when, by the source's time, all that arrived is to be listed.
    pub(super) fn since(&self) -> Option<i64> {
        self.unfollowed.or(self.shown_at)
    }

    /// Since when something is left to be followed.
    pub(super) fn left_since(&self) -> Option<i64> {
        let below = self.follow_ups.iter().filter_map(|it| it.since);
        below.chain(self.unfollowed).min()
    }

    /// Notes what is to be requested below, once the answer to this poll has come.
    pub(super) fn follow(&mut self, poll: &Poll, answer: &Answer) {
        let above = self.follow_ups.pop_if(|_| poll.after.is_some());
        let depth = above.as_ref().map_or(1, |above| above.depth + 1);
        let (since, unfollowed) = (poll.since, poll.unfollowed);
        if answer.lost {
            // Begun again at the top, where the anchor is another.
            self.lost += 1;
            if self.lost <= MAX_LOST {
                self.unfollowed = self.unfollowed.or(since);
            }
            return;
        }
        if answer.joined && (poll.after.is_some() || unfollowed) {
            self.lost = 0;
        }
        let Some(after) = answer.after.clone().filter(|_| !answer.joined) else {
            return;
        };
        if depth < MAX_DEPTH {
            self.follow_ups.push(FollowUp {
                after,
                since,
                unfollowed,
                depth,
            });
            if self.follow_ups.len() > MAX_FOLLOW_UPS {
                self.follow_ups.remove(0);
            }
        }
    }
}
