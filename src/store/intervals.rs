//! Arithmetic of proven intervals and gaps. Knows no database: what is stored goes in, what has to
//! change comes out.

/// Whole seconds since the epoch from `start` up to, but not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// The first second.
    pub start: i64,
    /// The second after the last.
    pub end: i64,
}

impl Interval {
    /// Whether it holds no second; such an interval says nothing and is never stored.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether the two overlap or meet.
    pub fn touches(self, other: Interval) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest interval that holds both.
    pub fn hull(self, other: Interval) -> Interval {
        Interval {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// What is left of some intervals without the holes.
pub fn without(proven: &[Interval], holes: &[Interval]) -> Vec<Interval> {
    let mut left = proven.to_vec();
    for hole in holes.iter().filter(|hole| !hole.is_empty()) {
        left = left
            .into_iter()
            .flat_map(|it| {
                let before = Interval {
                    start: it.start,
                    end: it.end.min(hole.start),
                };
                let after = Interval {
                    start: it.start.max(hole.end),
                    end: it.end,
                };
                [before, after]
            })
            .filter(|it| !it.is_empty())
            .collect();
    }
    left
}

/// What a newly proven interval makes of the stored ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CoverageChange {
    /// Starts of stored intervals that are gone.
    pub absorbed: Vec<i64>,
    /// The interval to store under its start, replacing what has that start.
    pub kept: Interval,
}

/// Adds a proven interval; `stored` holds all those it touches (others change nothing). `None` where
/// nothing changes.
pub(super) fn cover(stored: &[Interval], proven: Interval) -> Option<CoverageChange> {
    if proven.is_empty() {
        return None;
    }
    let touching = stored.iter().filter(|interval| interval.touches(proven));
    let kept = touching
        .clone()
        .fold(proven, |whole, interval| whole.hull(*interval));
    if touching.clone().any(|interval| *interval == kept) {
        return None;
    }
    let absorbed = touching
        .map(|interval| interval.start)
        .filter(|start| *start != kept.start)
        .collect();
    Some(CoverageChange { absorbed, kept })
}

/// What a withdrawal makes of the stored intervals.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Withdrawal {
    /// Starts of stored intervals that are gone.
    pub removed: Vec<i64>,
    /// Intervals to store under their starts, replacing what has those starts.
    pub kept: Vec<Interval>,
    /// What is no longer proven.
    pub withdrawn: Vec<Interval>,
}

/// Takes an interval away from the proven ones; `stored` holds all those it touches.
pub(super) fn uncover(stored: &[Interval], doubted: Interval) -> Withdrawal {
    let mut withdrawal = Withdrawal::default();
    for interval in stored {
        let withdrawn = Interval {
            start: interval.start.max(doubted.start),
            end: interval.end.min(doubted.end),
        };
        if withdrawn.is_empty() {
            continue;
        }
        let rest = subtract(*interval, doubted);
        if rest.iter().all(|rest| rest.start != interval.start) {
            withdrawal.removed.push(interval.start);
        }
        withdrawal.kept.extend(rest);
        withdrawal.withdrawn.push(withdrawn);
    }
    withdrawal
}

/// An open gap, stored or to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenGap<C> {
    /// The row's number; `None` for a gap that has no row yet.
    pub row: Option<i64>,
    pub interval: Interval,
    pub cause: C,
}

/// What has to happen to the rows of `gaps`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GapChange<C> {
    /// A new row.
    Insert { interval: Interval, cause: C },
    /// The row's bounds become these.
    Move { row: i64, interval: Interval },
    /// The row was proven complete.
    Repair { row: i64 },
    /// The row's ground now belongs to another row.
    Delete { row: i64 },
}

/// What one poll does to the open gaps of its subreddit: first the gap it leaves is added, then
/// what it proved is taken away, because a proof is stronger than a suspicion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GapPlan<C> {
    pub changes: Vec<GapChange<C>>,
    /// Whether the poll's gap is one that was not known before.
    pub opened: bool,
}

pub(super) fn plan_gaps<C: Copy + PartialEq>(
    stored: &[OpenGap<C>],
    left: Option<(Interval, C)>,
    proven: Option<Interval>,
) -> GapPlan<C> {
    let mut plan = GapPlan {
        changes: Vec::new(),
        opened: false,
    };
    let mut open: Vec<OpenGap<C>> = stored.to_vec();
    if let Some((interval, cause)) = left.filter(|(interval, _)| !interval.is_empty()) {
        plan.opened = add(&mut open, interval, cause, &mut plan.changes);
    }
    for gap in open {
        let rest = match proven {
            Some(proven) if !proven.is_empty() => subtract(gap.interval, proven),
            _ => vec![gap.interval],
        };
        let before = gap
            .row
            .and_then(|row| stored.iter().find(|old| old.row == Some(row)));
        match (gap.row, rest.split_first()) {
            (Some(row), None) => plan.changes.push(GapChange::Repair { row }),
            // A gap that this poll would have opened and has proven complete was none.
            (None, None) => plan.opened = false,
            (row, Some((first, others))) => {
                match row {
                    Some(row) if before.is_none_or(|old| old.interval != *first) => {
                        plan.changes.push(GapChange::Move {
                            row,
                            interval: *first,
                        });
                    }
                    Some(_) => {}
                    None => plan.changes.push(GapChange::Insert {
                        interval: *first,
                        cause: gap.cause,
                    }),
                }
                // A proof in the midst of a gap leaves two.
                plan.changes
                    .extend(others.iter().map(|rest| GapChange::Insert {
                        interval: *rest,
                        cause: gap.cause,
                    }));
            }
        }
    }
    plan
}

/// Adds a gap to those of the same cause that it touches; true where it touches none.
fn add<C: Copy + PartialEq>(
    open: &mut Vec<OpenGap<C>>,
    interval: Interval,
    cause: C,
    changes: &mut Vec<GapChange<C>>,
) -> bool {
    let mut whole = interval;
    let mut row = None;
    open.retain(|gap| {
        if gap.cause != cause || !gap.interval.touches(interval) {
            return true;
        }
        whole = whole.hull(gap.interval);
        match row {
            None => row = gap.row,
            Some(_) => changes.extend(gap.row.map(|row| GapChange::Delete { row })),
        }
        false
    });
    open.push(OpenGap {
        row,
        interval: whole,
        cause,
    });
    row.is_none()
}

/// What of `gap` lies outside `proven`: nothing, one piece, or one on each side.
fn subtract(gap: Interval, proven: Interval) -> Vec<Interval> {
    let before = Interval {
        start: gap.start,
        end: gap.end.min(proven.start),
    };
    let after = Interval {
        start: gap.start.max(proven.end),
        end: gap.end,
    };
    if before == gap || after == gap {
        return vec![gap];
    }
    [before, after]
        .into_iter()
        .filter(|rest| !rest.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn interval(start: i64, end: i64) -> Interval {
        Interval { start, end }
    }

    fn seconds(interval: Interval) -> BTreeSet<i64> {
        (interval.start..interval.end).collect()
    }

    fn any_interval() -> impl Strategy<Value = Interval> {
        (0i64..60, 0i64..20).prop_map(|(start, length)| interval(start, start + length))
    }

    #[test]
    fn extending_the_last_interval_replaces_it_under_its_own_start() {
        let change = cover(&[interval(0, 10)], interval(8, 20)).unwrap();
        assert_eq!(change.kept, interval(0, 20));
        assert!(change.absorbed.is_empty());
        assert_eq!(cover(&[interval(0, 10)], interval(2, 10)), None);
    }

    #[test]
    fn a_proof_in_the_midst_of_a_gap_leaves_a_gap_on_each_side() {
        let stored = [OpenGap {
            row: Some(7),
            interval: interval(0, 30),
            cause: 'a',
        }];
        let plan = plan_gaps(&stored, None, Some(interval(10, 20)));
        assert_eq!(
            plan.changes,
            [
                GapChange::Move {
                    row: 7,
                    interval: interval(0, 10)
                },
                GapChange::Insert {
                    interval: interval(20, 30),
                    cause: 'a'
                }
            ]
        );
    }

    proptest! {
        /// What is left of merged intervals after any proofs and withdrawals holds exactly the seconds
        /// that were proven and not withdrawn since, and what was withdrawn is told.
        #[test]
        fn withdrawals_equal_a_set_of_seconds(
            steps in prop::collection::vec((any::<bool>(), any_interval()), 1..40),
        ) {
            let mut stored: Vec<Interval> = Vec::new();
            let mut model = BTreeSet::new();
            for (proves, interval) in steps {
                let (removed, kept) = if proves {
                    model.extend(seconds(interval));
                    match cover(&stored, interval) {
                        Some(change) => (change.absorbed, vec![change.kept]),
                        None => (Vec::new(), Vec::new()),
                    }
                } else {
                    let change = uncover(&stored, interval);
                    let told: Vec<i64> = change.withdrawn.iter().flat_map(|it| seconds(*it)).collect();
                    let lost: Vec<i64> = model.intersection(&seconds(interval)).copied().collect();
                    prop_assert_eq!(told, lost);
                    model.retain(|second| !seconds(interval).contains(second));
                    (change.removed, change.kept)
                };
                stored.retain(|old| {
                    !removed.contains(&old.start) && kept.iter().all(|new| new.start != old.start)
                });
                stored.extend(kept);
                stored.sort();
                let held: BTreeSet<i64> = stored.iter().flat_map(|one| seconds(*one)).collect();
                prop_assert_eq!(&held, &model);
                prop_assert!(stored.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }

        /// Coverage kept as merged intervals holds exactly the seconds that were ever proven, and
        /// never two intervals that touch.
        #[test]
        fn coverage_equals_a_set_of_seconds(proofs in prop::collection::vec(any_interval(), 1..40)) {
            let mut stored: Vec<Interval> = Vec::new();
            let mut model = BTreeSet::new();
            for proven in proofs {
                model.extend(seconds(proven));
                if let Some(change) = cover(&stored, proven) {
                    stored.retain(|old| {
                        old.start != change.kept.start && !change.absorbed.contains(&old.start)
                    });
                    stored.push(change.kept);
                    stored.sort();
                }
                let held: BTreeSet<i64> = stored.iter().flat_map(|one| seconds(*one)).collect();
                prop_assert_eq!(&held, &model);
                prop_assert!(stored.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }

        /// The open gaps of each cause hold exactly the seconds that were missed and not proven
        /// since; those of one cause never touch unless a proof lies between them.
        #[test]
        fn open_gaps_equal_a_set_of_seconds(
            steps in prop::collection::vec(
                (prop::option::of((any_interval(), 0u8..2)), prop::option::of(any_interval())), 1..30),
        ) {
            let mut rows: Vec<OpenGap<u8>> = Vec::new();
            let mut next = 0;
            let mut model: [BTreeSet<i64>; 2] = Default::default();
            for (left, proven) in steps {
                let known: Vec<_> = rows.clone();
                if let Some((missed, cause)) = left {
                    model[usize::from(cause)].extend(seconds(missed));
                }
                for cause in &mut model {
                    cause.retain(|second| !proven.is_some_and(|proven| seconds(proven).contains(second)));
                }
                let plan = plan_gaps(&known, left, proven);
                for change in plan.changes {
                    match change {
                        GapChange::Insert { interval, cause } => {
                            next += 1;
                            rows.push(OpenGap { row: Some(next), interval, cause });
                        }
                        GapChange::Move { row, interval } => {
                            let gap = rows.iter_mut().find(|gap| gap.row == Some(row)).unwrap();
                            gap.interval = interval;
                        }
                        GapChange::Repair { row } | GapChange::Delete { row } => {
                            rows.retain(|gap| gap.row != Some(row));
                        }
                    }
                }
                for (cause, expected) in model.iter().enumerate() {
                    let held: Vec<i64> = rows
                        .iter()
                        .filter(|gap| usize::from(gap.cause) == cause)
                        .flat_map(|gap| seconds(gap.interval))
                        .collect();
                    prop_assert_eq!(held.len(), expected.len(), "no second twice");
                    prop_assert_eq!(&held.into_iter().collect::<BTreeSet<_>>(), expected);
                }
            }
        }
    }
}
