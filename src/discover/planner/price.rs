//! How often each group is polled: the one price at which the budget is just used, and what that means.

use super::group::Group;
use super::{Outlook, Planner};
use crate::discover::period::overflows_after;

/// New submissions that one page is expected to show at most; the rest of its 100 places shows that it joins
/// the previous page.
const PAGE_ROOM: f64 = 85.0;

/// Prices, and how exactly one is found.
const CHEAPEST: f64 = 1e-9;
const DEAREST: f64 = 1e12;
const PRECISION: f64 = 1.000_1;

impl Planner {
    /// How well the objective is met.
    pub fn outlook(&self) -> Outlook {
        let rates: f64 = self.groups.iter().map(Group::arrivals).sum();
        let waits = self.groups.iter().map(|group| {
            let interval = self.interval(group);
            (group.arrivals() * interval / 2.0, interval)
        });
        let (waits, longest) = waits.fold(
            (0.0, 0.0),
            |(sum, longest): (f64, f64), (wait, interval)| (sum + wait, longest.max(interval)),
        );
        let objective = self.limits.objective.as_secs_f64();
        Outlook {
            mean_wait: if rates > 0.0 {
                waits / rates
            } else {
                longest / 2.0
            },
            longest,
            needed: self.cost(|_| objective),
        }
    }

    /// Seconds between two polls of a group.
    pub(super) fn interval(&self, group: &Group) -> f64 {
        self.planned(group, self.theta) * self.stretch
    }

    fn planned(&self, group: &Group, theta: f64) -> f64 {
        let fastest = self.limits.fastest.as_secs_f64();
        // A little less, since a poll waits for the next slot of the budget.
        let objective = (self.limits.objective.as_secs_f64() * 0.9).max(fastest);
        let arrivals = group.arrivals().max(1e-9);
        let least = (2.0 * theta / arrivals).sqrt();
        let overflow = overflows_after(group.rate.at_most(), arrivals).max(fastest);
        least.clamp(fastest, objective).min(overflow)
    }

    /// Requests a second at these intervals.
    fn cost(&self, interval: impl Fn(&Group) -> f64) -> f64 {
        let groups = self.groups.iter().map(|group| {
            let interval = interval(group);
            (group.arrivals() * interval / PAGE_ROOM).max(1.0) / interval
        });
        groups.sum()
    }

    /// Finds the price at which the budget is just used.
    pub(super) fn price(&mut self) {
        let dear = |theta| self.cost(|group| self.planned(group, theta)) > self.budget;
        // It is near the last one, as a rule.
        let last = self.theta.clamp(CHEAPEST, DEAREST);
        let (mut low, mut high) = (last / 2.0, last * 2.0);
        while low > CHEAPEST && !dear(low) {
            (low, high) = (low / 8.0, low);
        }
        while high < DEAREST && dear(high) {
            (low, high) = (high, high * 8.0);
        }
        while high > low * PRECISION {
            let theta = (low * high).sqrt();
            if dear(theta) {
                low = theta;
            } else {
                high = theta;
            }
        }
        self.theta = high;
        let cost = self.cost(|group| self.planned(group, high));
        self.stretch = (cost / self.budget).max(1.0);
    }
}
