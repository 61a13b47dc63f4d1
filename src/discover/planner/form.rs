//! Which names share a listing: groups filled in the order of their rates, split where one spoils them, shorter
//! where requests are too long.

use super::group::{Group, GroupId};
use super::{Planner, Poll, REGROUP_EVERY, SPLIT_AFTER, State};
use crate::submission::SubredditName;
use std::collections::HashMap;

/// By how much shorter requests become after one that was too long.
const SHORTER: f64 = 0.7;
/// Names together are never kept shorter than this, characters.
const SHORTEST: usize = 500;

impl Planner {
    /// A poll was refused as too long: from now on requests are shorter. Where one as long was answered before, or
    /// none may be shorter, it failed for what it asks for.
    pub fn too_long(&mut self, poll: &Poll, now: f64) {
        let chars = chars(&poll.names);
        if chars <= self.longest.max(SHORTEST) {
            return self.failed(poll, true, now);
        }
        if let Some(index) = self.find(poll.group) {
            self.groups[index].busy = false;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand characters"
        )]
        let shorter = (chars as f64 * SHORTER) as usize;
        // Others that were under way had the former length, too.
        if shorter < self.limits.max_chars {
            self.limits.max_chars = shorter.max(SHORTEST).max(self.longest);
            self.form(self.sets(), now);
        }
    }

    pub(super) fn rate_of(&self, names: &[SubredditName]) -> f64 {
        let rates = names.iter().filter_map(|name| self.members.get(name));
        rates.map(|state| state.rate.mean()).sum()
    }

    /// The mean wait is proportional to the square of this sum.
    pub(super) fn roots<'a>(&self, sets: impl Iterator<Item = &'a [SubredditName]>) -> f64 {
        sets.map(|names| self.rate_of(names).sqrt()).sum()
    }

    /// The members in groups, sorted by their rates.
    pub(super) fn sets(&self) -> Vec<Vec<SubredditName>> {
        let mut names: Vec<(&SubredditName, &State)> = self.members.iter().collect();
        names.sort_by(|(left, a), (right, b)| {
            b.rate
                .mean()
                .total_cmp(&a.rate.mean())
                .then(left.cmp(right))
        });
        let (single, shared): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|(name, state)| state.alone || matches!(name.as_str(), "all" | "popular"));
        let mut sets: Vec<Vec<SubredditName>> = single
            .into_iter()
            .map(|(name, _)| vec![name.clone()])
            .collect();
        let (mut set, mut chars) = (Vec::new(), 0);
        for (name, _) in shared {
            let more = name.as_str().len() + 1;
            if set.len() >= self.limits.max_names || chars + more > self.limits.max_chars {
                sets.push(std::mem::take(&mut set));
                chars = 0;
            }
            chars += more;
            set.push(name.clone());
        }
        if !set.is_empty() {
            sets.push(set);
        }
        sets
    }

    pub(super) fn form(&mut self, sets: Vec<Vec<SubredditName>>, now: f64) {
        let before = std::mem::take(&mut self.groups);
        let mut left: HashMap<&SubredditName, i64> = HashMap::new();
        for group in &before {
            if let Some(since) = group.left_since() {
                left.extend(group.names.iter().map(|name| (name, since)));
            }
        }
        for names in sets {
            let mut group = self.group(names, now);
            let since = group.names.iter().filter_map(|name| left.get(name));
            group.unfollowed = since.min().copied();
            // What was to be followed below goes on where the listing is the same.
            let same = before.iter().find(|old| old.names == group.names);
            if let Some(old) = same {
                group = old.clone();
            }
            self.groups.push(group);
        }
        self.price();
    }

    fn group(&mut self, names: Vec<SubredditName>, now: f64) -> Group {
        self.next_id += 1;
        let polled = names.iter().map(|name| self.members.get(name)?.polled);
        // In the mean; never, where any was never polled.
        let polled = polled.collect::<Option<Vec<f64>>>();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand names")]
        let polled = polled.map(|polled| polled.iter().sum::<f64>() / polled.len() as f64);
        let rate = self.rate_of(&names);
        let shown_at = names.iter().map(|name| self.members.get(name)?.shown_at);
        // The least: none where any was never polled.
        let shown_at = shown_at.min().flatten();
        let mut group = Group::new(GroupId(self.next_id), names, polled, rate, now);
        group.shown_at = shown_at;
        group
    }

    pub(super) fn split(&mut self, index: usize, now: f64) {
        let group = self.groups.swap_remove(index);
        let middle = group.names.len() / 2;
        let (left, right) = group.names.split_at(middle);
        for half in [left, right] {
            let mut part = self.group(half.to_vec(), now);
            part.polled = group.polled;
            part.shown_at = group.shown_at;
            part.unfollowed = group.left_since();
            part.doubtful = true;
            part.failures = SPLIT_AFTER - 1;
            self.groups.push(part);
        }
        // Until the one that spoils it is known, members are not sorted again.
        self.regroup_at = self.regroup_at.max(now + REGROUP_EVERY);
        self.price();
    }
}

/// Characters of names and the `+` between them.
pub(super) fn chars(names: &[SubredditName]) -> usize {
    names.iter().map(|name| name.as_str().len() + 1).sum()
}
