//! Which shared listing to request next: the plan that buys the most freshness from a request budget. Pure.
//!
//! With Poisson arrivals at rate Λ, a group that is polled every τ seconds makes its submissions wait τ/2 on
//! average. Under a budget of B requests a second the sum Σ Λ·τ/2 is least at τ = √(2θ/Λ), with one θ
//! for all groups such that Σ 1/τ = B. Each slot of the budget goes to the group of whose τ the largest part has
//! passed, so no slot is lost and rates may change at any time. As the square root is concave, groups are filled in
//! the order of their members' rates. Times are seconds of any monotonic clock, rates are submissions a second.

mod form;
mod group;
mod price;
mod rate;
#[cfg(test)]
mod tests;

use group::Group;
pub use group::GroupId;
use rate::Rate;

use crate::submission::SubredditName;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Members are sorted into groups again after so many rounds of polls, since their rates change.
const REGROUP_ROUNDS: f64 = 15.0;
const REGROUP_EVERY: f64 = 600.0;
/// The first time soon after all were polled once: rates are unknown at the start.
const FIRST_ROUNDS: f64 = 1.2;
const FIRST_REGROUP: f64 = 30.0;
/// No poll begins for so long, that those under way may end before the members are sorted.
const REGROUP_PATIENCE: f64 = 3.0;
/// Groups are only changed where that makes the sum of the roots of their rates smaller by this factor.
const REGROUP_GAIN: f64 = 0.95;
/// Failures in a row, while others are answered, after which a group is split.
const SPLIT_AFTER: u32 = 2;
/// Between two requests for a group that fails again and again, doubled with each failure.
const RETRY_DELAY: f64 = 1.0;
const MAX_RETRY_DELAY: f64 = 300.0;

/// What bounds a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Names in one listing request at most.
    pub max_names: usize,
    /// Characters of all names and the `+` between them at most.
    pub max_chars: usize,
    /// Shortest time between two polls of one subreddit.
    pub fastest: Duration,
    /// Longest time, while the budget allows.
    pub objective: Duration,
}

/// A subreddit to poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: SubredditName,
    /// Submissions a second as known so far; 0 where unknown.
    pub rate: f64,
    /// Its listing fails while others are answered: it shares none.
    pub alone: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Request this listing.
    Poll(Poll),
    /// Nothing is due before then.
    WaitUntil(f64),
    /// There is nothing to poll before a poll under way ends.
    Idle,
}

/// One listing request.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// To be named in the answer.
    pub group: GroupId,
    /// Whose listing.
    pub names: Vec<SubredditName>,
    /// The anchor of a follow-up; none for the top of the listing.
    pub after: Option<String>,
    /// Whether any of these was never polled.
    pub first: bool,
    /// The source's time at the poll before, seconds since the epoch: what is older did not arrive since. None
    /// where there was none.
    pub since: Option<i64>,
    /// Whether what was listed since then was not followed down to it: a page joins only what is older.
    pub unfollowed: bool,
    /// Whether it may fail for what it asks for.
    pub doubtful: bool,
}

/// One page, as far as the plan cares.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The source's time, seconds since the epoch.
    pub shown_at: i64,
    /// Submissions that were not seen before and arrived since the poll before, by subreddit (lower case).
    pub new: HashMap<String, u32>,
    /// Whether it shows what was known before, or ends the listing.
    pub joined: bool,
    /// Whether it shows nothing at all below its anchor: that is gone, as a rule.
    pub lost: bool,
    /// The anchor of what lies below, where the listing goes on.
    pub after: Option<String>,
    /// Seconds in which as many submissions came as the page lists.
    pub span: f64,
    /// Submissions listed by subreddit; nothing unless the poll was a first one.
    pub listed: HashMap<String, u32>,
}

/// How well the budget serves the freshness objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Mean wait of a submission until it is discovered, seconds.
    pub mean_wait: f64,
    /// The longest time between two polls of a group, seconds.
    pub longest: f64,
    /// Requests a second needed so that no subreddit waits longer than the objective.
    pub needed: f64,
}

/// The plan.
#[derive(Debug)]
pub struct Planner {
    limits: Limits,
    /// Characters of the longest list of names that was answered.
    longest: usize,
    members: HashMap<SubredditName, State>,
    groups: Vec<Group>,
    next_id: u64,
    regroup_at: f64,
    /// When the budget allows the next poll.
    slot_at: f64,
    /// A top page goes first once a follow-up went.
    followed_last: bool,
    /// Requests a second that polls may use.
    budget: f64,
    /// The common price; see the module.
    theta: f64,
    /// How much longer than planned every group waits, where the budget does not meet the objective.
    stretch: f64,
    /// How many polls were answered.
    answered: u64,
}

/// What is known of a member.
#[derive(Debug, Clone)]
struct State {
    rate: Rate,
    alone: bool,
    polled: Option<f64>,
    /// The source's time then.
    shown_at: Option<i64>,
}

impl Planner {
    /// A plan for nobody.
    pub fn new(limits: Limits) -> Planner {
        Planner {
            limits,
            longest: 0,
            members: HashMap::new(),
            groups: Vec::new(),
            next_id: 0,
            regroup_at: f64::INFINITY,
            slot_at: f64::NEG_INFINITY,
            followed_last: false,
            budget: 1.0,
            theta: 1.0,
            stretch: 1.0,
            answered: 0,
        }
    }

    /// Requests a second that polls may use from now on.
    pub fn set_budget(&mut self, per_second: f64) {
        if (per_second - self.budget).abs() > self.budget * 0.01 {
            self.budget = per_second.max(1e-6);
            self.price();
        }
    }

    /// Replaces the list of subreddits.
    pub fn set_members(&mut self, members: &[Member], now: f64) {
        let listed: HashSet<&SubredditName> = members.iter().map(|member| &member.name).collect();
        let before = self.members.len();
        self.members.retain(|name, _| listed.contains(name));
        let mut changed = self.members.len() != before;
        for member in members {
            match self.members.get_mut(&member.name) {
                Some(state) => {
                    changed |= state.alone != member.alone;
                    state.alone = member.alone;
                }
                None => {
                    changed = true;
                    let state = State {
                        rate: Rate::expected(member.rate),
                        alone: member.alone,
                        polled: None,
                        shown_at: None,
                    };
                    self.members.insert(member.name.clone(), state);
                }
            }
        }
        if changed {
            self.form(self.sets(), now);
            self.regroup_at = now + FIRST_REGROUP.max(FIRST_ROUNDS * self.round());
        }
    }

    /// What to request now. A poll that is handed out counts as under way until [`Planner::answered`] or
    /// [`Planner::failed`] names its group.
    pub fn next(&mut self, now: f64) -> Next {
        let busy = self.groups.iter().any(|group| group.busy);
        if busy && (self.regroup_at..self.regroup_at + REGROUP_PATIENCE).contains(&now) {
            return Next::Idle;
        }
        if now >= self.regroup_at && !busy {
            let sets = self.sets();
            // Each change of a group costs some freshness, too.
            let present = self.groups.iter().map(|group| group.names.as_slice());
            if self.roots(sets.iter().map(Vec::as_slice)) < REGROUP_GAIN * self.roots(present) {
                self.form(sets, now);
            }
            self.regroup_at = now + REGROUP_EVERY.max(REGROUP_ROUNDS * self.round());
        }
        if now < self.slot_at {
            return Next::WaitUntil(self.slot_at);
        }
        let follow_up = self.groups.iter().position(|group| {
            !group.busy && !group.follow_ups.is_empty() && group.not_before <= now
        });
        let idle = self.groups.iter().enumerate();
        let idle = idle.filter(|(_, group)| !group.busy);
        let ready = |group: &Group| self.ready_at(group) <= now;
        let most_urgent = idle
            .clone()
            .filter(|(_, group)| ready(group))
            .max_by(|(_, left), (_, right)| {
                self.urgency(left, now).total_cmp(&self.urgency(right, now))
            })
            .map(|(index, _)| index);
        let (index, follows) = match (follow_up, most_urgent) {
            (Some(index), None) => (index, true),
            (Some(index), Some(_)) if !self.followed_last => (index, true),
            (_, Some(index)) => (index, false),
            (None, None) => {
                let next = idle.map(|(_, group)| self.ready_at(group));
                return next
                    .min_by(f64::total_cmp)
                    .map_or(Next::Idle, Next::WaitUntil);
            }
        };
        let slot = 1.0 / self.budget;
        self.slot_at = self.slot_at.max(now - slot) + slot;
        self.followed_last = follows;
        let group = &mut self.groups[index];
        group.busy = true;
        let follow_up = group.follow_ups.last().filter(|_| follows);
        Next::Poll(Poll {
            group: group.id,
            names: group.names.clone(),
            after: follow_up.map(|it| it.after.clone()),
            first: group.polled.is_none(),
            since: follow_up.map_or(group.since(), |it| it.since),
            unfollowed: follow_up.map_or(group.unfollowed.is_some(), |it| it.unfollowed),
            doubtful: group.doubtful,
        })
    }

    /// A poll had its turn and is sent: from then on its group's interval counts.
    pub fn sent(&mut self, poll: &Poll, now: f64) {
        if let Some(index) = self.find(poll.group) {
            self.groups[index].sent = Some(now);
        }
    }

    /// A poll was answered.
    pub fn answered(&mut self, poll: &Poll, answer: &Answer, now: f64) {
        self.answered += 1;
        self.longest = self.longest.max(form::chars(&poll.names));
        let Some(index) = self.find(poll.group) else {
            return;
        };
        let follows = poll.after.is_some();
        let group = &mut self.groups[index];
        group.busy = false;
        group.failures = 0;
        group.doubtful = false;
        group.not_before = now;
        group.follow(poll, answer);
        let since = group.polled;
        let sent = group.sent.take().unwrap_or(now);
        if !follows {
            group.polled = Some(sent);
            group.shown_at = Some(answer.shown_at);
            group.unfollowed = None;
        }
        let shown: u32 = answer.listed.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand names")]
        let usual = f64::from(shown) / answer.span.max(10.0) / poll.names.len() as f64;
        for name in &poll.names {
            let Some(state) = self.members.get_mut(name) else {
                continue;
            };
            let new = answer.new.get(name.as_str()).copied().unwrap_or(0);
            if follows {
                state.rate.add(f64::from(new));
                continue;
            }
            state.shown_at = Some(answer.shown_at);
            match state.polled.replace(sent) {
                Some(before) => state.rate.observe(f64::from(new), sent - before),
                None => {
                    let listed = answer.listed.get(name.as_str()).copied().unwrap_or(0);
                    state.rate.learn(f64::from(listed), answer.span, usual);
                }
            }
        }
        let new = f64::from(answer.new.values().sum::<u32>());
        let learnt = self.rate_of(&poll.names);
        let group = &mut self.groups[index];
        match since {
            _ if follows => {
                group.rate.add(new);
                group.burst.add(new);
            }
            Some(since) => {
                let expected = group.rate.mean();
                group.burst.observe(new, sent - since, expected);
                group.rate.observe(new, sent - since);
            }
            None => group.rate = Rate::expected(learnt),
        }
        self.price();
    }

    /// A poll failed. `others` is whether other listings were answered meanwhile: then it may fail for what it
    /// asks for, and is split until the one that spoils it stands alone.
    pub fn failed(&mut self, poll: &Poll, others: bool, now: f64) {
        let Some(index) = self.find(poll.group) else {
            return;
        };
        let group = &mut self.groups[index];
        group.busy = false;
        group.failures = group.failures.saturating_add(1);
        // Once is chance, and an outage is waited for elsewhere.
        let delay = match group.failures {
            1 => 0.0,
            failures => RETRY_DELAY * f64::from(1_u32 << failures.min(10)),
        };
        let alone = group.names.len() == 1;
        let longest = if alone && others {
            MAX_RETRY_DELAY
        } else {
            10.0
        };
        group.not_before = now + delay.min(longest);
        if !others || group.failures < SPLIT_AFTER {
            return;
        }
        group.doubtful = true;
        if !alone {
            self.split(index, now);
        }
    }

    /// What was answered so far, to tell an outage from a listing that fails alone.
    pub fn answers(&self) -> u64 {
        self.answered
    }

    /// How long it takes to poll each group once, seconds.
    #[expect(clippy::cast_precision_loss, reason = "a count of groups is small")]
    fn round(&self) -> f64 {
        self.groups.len() as f64 / self.budget
    }

    fn find(&self, id: GroupId) -> Option<usize> {
        self.groups.iter().position(|group| group.id == id)
    }

    /// When a group may be polled at the earliest.
    fn ready_at(&self, group: &Group) -> f64 {
        let fastest = self.limits.fastest.as_secs_f64();
        let polled = group
            .polled
            .map_or(f64::NEG_INFINITY, |polled| polled + fastest);
        polled.max(group.not_before)
    }

    /// How much of its interval has passed; what was never polled goes before all others.
    fn urgency(&self, group: &Group, now: f64) -> f64 {
        let since = match group.polled {
            // Once is chance, and its turn is still due.
            _ if group.failures > 1 => group.not_before,
            Some(polled) => polled,
            None => f64::NEG_INFINITY,
        };
        (now - since) / self.interval(group)
    }
}
