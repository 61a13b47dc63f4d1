//! Which page of an archive is next, and when all of a slice was seen. Pure: pages in, questions out.
//!
//! Pages are walked from the oldest on, and each begins at the very second that the last one ended
//! with: of submissions of one second, a page's end may cut some off. A page that is not full may say
//! that nothing newer is there, or come from an archive that gives out fewer than it was asked for: so
//! the end is believed once the newest of the slice, asked for the other way round, meet what was seen
//! and show nothing else. An answer that leaves out what an earlier one showed contradicts it and is asked
//! for again, and a slice in which nothing was seen is asked for once more in halves: an empty answer
//! is the easiest lie.

use crate::source::Order;
use crate::store::Interval;
use crate::submission::SubmissionId;
use std::collections::{BTreeMap, HashSet};

/// Rows of a page at most: the archive's own limit.
const MOST: u32 = 100;
/// How often the two ways round may contradict one another, without a step onwards in between, before
/// neither is believed.
const ROUNDS: u32 = 3;

/// A page to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// Created therein, seconds.
    pub(super) interval: Interval,
    pub(super) order: Order,
    /// Rows that it must have room for to be of use.
    pub(super) at_least: u32,
}

/// What is told of an answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// Ids and times of creation (seconds), all within the interval that was asked for.
    pub(super) items: &'a [(SubmissionId, i64)],
    /// Whether more may lie beyond.
    pub(super) full: bool,
    /// Rows that were asked for.
    pub(super) asked_for: u32,
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Seconds of which more was there than any page shows.
    pub(super) unseen: Vec<Interval>,
    /// Whether both ways round agree.
    pub(super) agreed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Onwards,
    Checking,
    /// Nothing was seen: the first half of the range, then the second.
    Confirming {
        first: bool,
    },
    Over {
        agreed: bool,
    },
}

/// A walk through one slice.
#[derive(Debug)]
pub(super) struct Walk {
    /// From where this walk began: what is older was stored by an earlier one.
    range: Interval,
    cursor: i64,
    at_least: u32,
    seen: HashSet<SubmissionId>,
    /// By second of creation.
    seen_at: BTreeMap<i64, Vec<SubmissionId>>,
    /// Answers in a row that left out what was seen before.
    contradictions: u32,
    /// How many were seen of each second from the cursor on.
    counted: BTreeMap<i64, u64>,
    unseen: Vec<Interval>,
    phase: Phase,
    rounds: u32,
    /// Whether the last page onwards showed anything that was not seen before.
    brought: bool,
    /// Where it was when both ways round were last compared.
    compared: i64,
    /// Until when (seconds) the archive can be believed to show everything.
    believed: i64,
}

impl Walk {
    /// From `range.start` on, through an archive that holds everything from before `believed`.
    pub(super) fn new(range: Interval, believed: i64) -> Walk {
        let phase = if range.is_empty() {
            Phase::Over { agreed: true }
        } else {
            Phase::Onwards
        };
        Walk {
            range,
            cursor: range.start,
            at_least: 1,
            seen: HashSet::new(),
            seen_at: BTreeMap::new(),
            contradictions: 0,
            counted: BTreeMap::new(),
            unseen: Vec::new(),
            phase,
            rounds: 0,
            brought: false,
            compared: range.start,
            believed,
        }
    }

    /// The next page, or how it ended.
    pub(super) fn next(&self) -> Result<Ask, Ended> {
        match self.phase {
            Phase::Onwards => Ok(Ask {
                interval: Interval {
                    start: self.cursor,
                    end: self.range.end,
                },
                order: Order::OldestFirst,
                at_least: self.at_least,
            }),
            Phase::Checking => Ok(Ask {
                interval: self.range,
                order: Order::NewestFirst,
                at_least: 1,
            }),
            Phase::Confirming { first } => {
                let middle = self.middle();
                let (start, end) = if first {
                    (self.range.start, middle)
                } else {
                    (middle, self.range.end)
                };
                Ok(Ask {
                    interval: Interval { start, end },
                    order: Order::OldestFirst,
                    at_least: 1,
                })
            }
            Phase::Over { agreed } => Err(Ended {
                unseen: self.unseen.clone(),
                agreed,
            }),
        }
    }

    /// Up to which second everything that there is was seen, and need not be asked for again.
    pub(super) fn reached(&self) -> i64 {
        match self.phase {
            Phase::Over { .. } => self.range.end,
            Phase::Onwards | Phase::Checking | Phase::Confirming { .. } => {
                self.cursor.min(self.believed).max(self.range.start)
            }
        }
    }

    /// Submissions older than [`Walk::reached`] that no earlier call told of.
    pub(super) fn counted(&mut self) -> u64 {
        let newer = self.counted.split_off(&self.reached());
        std::mem::replace(&mut self.counted, newer).values().sum()
    }

    fn middle(&self) -> i64 {
        self.range.start + (self.range.end - self.range.start) / 2
    }

    /// What this walk was shown of a time, by its second.
    pub(super) fn seen(&self) -> &BTreeMap<i64, Vec<SubmissionId>> {
        &self.seen_at
    }

    /// Whether an answer leaves out what was seen of the time that it shows whole: from its oldest to its
    /// newest, of both of which it may show a part, and all that was asked for where it is empty.
    fn contradicts(&self, answer: &Answer<'_>) -> bool {
        let Ok(Ask {
            interval, order, ..
        }) = self.next()
        else {
            return false;
        };
        let created = answer.items.iter().map(|(_, created)| *created);
        let whole = match (order, created.clone().min(), created.max()) {
            (Order::OldestFirst, _, Some(newest)) => interval.start..newest,
            (Order::NewestFirst, Some(oldest), _) => oldest + 1..interval.end,
            _ => interval.start..interval.end,
        };
        if whole.is_empty() {
            return false;
        }
        let shown: HashSet<&SubmissionId> = answer.items.iter().map(|(id, _)| id).collect();
        let mut seen = self.seen_at.range(whole).flat_map(|(_, ids)| ids);
        seen.any(|id| !shown.contains(id))
    }

    /// Takes the answer to the last question.
    pub(super) fn take(&mut self, answer: &Answer<'_>) {
        let contradicts = self.contradicts(answer);
        let mut oldest_new = None;
        for (id, created) in answer.items {
            if self.seen.insert(id.clone()) {
                self.seen_at.entry(*created).or_default().push(id.clone());
                *self.counted.entry(*created).or_default() += 1;
                oldest_new = Some(oldest_new.map_or(*created, |oldest: i64| oldest.min(*created)));
            }
        }
        if contradicts {
            // Asked for again; and where it goes on like this, nothing of it is believed.
            self.contradictions += 1;
            if self.contradictions > ROUNDS {
                self.phase = Phase::Over { agreed: false };
            }
            return;
        }
        self.contradictions = 0;
        match self.phase {
            Phase::Onwards => {
                self.brought = oldest_new.is_some();
                let newest = answer.items.iter().map(|(_, created)| *created).max();
                if answer.full {
                    self.onwards(newest, answer.asked_for);
                } else {
                    self.cursor = self.cursor.max(newest.unwrap_or(self.cursor));
                    self.phase = Phase::Checking;
                }
            }
            Phase::Checking => {
                if self.cursor > self.compared {
                    self.rounds = 0;
                }
                self.compared = self.cursor;
                let oldest = answer.items.iter().map(|(_, created)| *created).min();
                // What lies between them has been on no page; and where they meet within one second, both
                // may have been cut there, unless that second was asked for and was known.
                let meet = oldest.is_none_or(|oldest| {
                    oldest < self.cursor || oldest == self.cursor && !self.brought
                });
                if oldest_new.is_none() && meet {
                    self.phase = if self.seen.is_empty() && self.range.start < self.middle() {
                        Phase::Confirming { first: true }
                    } else {
                        Phase::Over { agreed: true }
                    };
                } else if self.rounds >= ROUNDS {
                    self.phase = Phase::Over { agreed: false };
                } else {
                    self.rounds += 1;
                    self.cursor = oldest_new.map_or(self.cursor, |new| new.min(self.cursor));
                    self.at_least = 1;
                    self.phase = Phase::Onwards;
                }
            }
            Phase::Confirming { first } => {
                self.phase = match (oldest_new, first) {
                    (None, true) => Phase::Confirming { first: false },
                    (None, false) => Phase::Over { agreed: true },
                    (Some(_), _) if self.rounds >= ROUNDS => Phase::Over { agreed: false },
                    (Some(_), _) => {
                        self.rounds += 1;
                        Phase::Onwards
                    }
                };
            }
            Phase::Over { .. } => {}
        }
    }

    /// After a full page whose newest was created then.
    fn onwards(&mut self, newest: Option<i64>, asked_for: u32) {
        match newest {
            Some(newest) if newest > self.cursor => {
                self.cursor = newest;
                self.at_least = 1;
            }
            // All of one second: a larger page may show the next.
            _ if asked_for < MOST => self.at_least = asked_for.saturating_mul(2).clamp(1, MOST),
            // A page of rows that are no submissions, nor have times to go on from.
            None => self.phase = Phase::Over { agreed: false },
            Some(_) => {
                let (start, end) = (self.cursor, self.cursor + 1);
                self.unseen.push(Interval { start, end });
                self.cursor = end;
                self.at_least = 1;
                if self.cursor >= self.range.end {
                    self.phase = Phase::Checking;
                }
            }
        }
    }
}

impl Ended {
    /// What of `range` a walk proves that ended so.
    pub(super) fn proven(&self, range: Interval) -> Vec<Interval> {
        if !self.agreed {
            return Vec::new();
        }
        let mut proven = Vec::new();
        let mut start = range.start;
        for unseen in &self.unseen {
            proven.push(Interval {
                start,
                end: unseen.start.min(range.end),
            });
            start = start.max(unseen.end);
        }
        let end = range.end;
        proven.push(Interval { start, end });
        proven.retain(|interval| !interval.is_empty());
        proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: usize) -> SubmissionId {
        format!("a{number}").parse().unwrap()
    }

    /// An archive that answers with pages of up to `limit` rows, or of what is asked for at least.
    fn walk_through(created: &[i64], range: Interval, limit: u32) -> (Walk, u64, u32) {
        walk_of(created, range, limit, MOST)
    }

    /// The same of one that gives out `cap` rows at most, whatever it is asked for.
    fn walk_of(created: &[i64], range: Interval, limit: u32, cap: u32) -> (Walk, u64, u32) {
        let mut rows: Vec<(SubmissionId, i64)> = created
            .iter()
            .enumerate()
            .map(|(number, created)| (id(number), *created))
            .collect();
        rows.sort_by_key(|(_, created)| *created);
        let (mut walk, mut counted, mut requests) = (Walk::new(range, i64::MAX), 0, 0);
        while let Ok(ask) = walk.next() {
            let asked_for = limit.max(ask.at_least).min(MOST);
            let within = |row: &&(SubmissionId, i64)| {
                ask.interval.start <= row.1 && row.1 < ask.interval.end
            };
            let mut items: Vec<_> = rows.iter().filter(within).cloned().collect();
            if ask.order == Order::NewestFirst {
                items.reverse();
            }
            items.truncate(asked_for.min(cap) as usize);
            let full = items.len() == asked_for as usize;
            walk.take(&Answer {
                items: &items,
                full,
                asked_for,
            });
            counted += walk.counted();
            requests += 1;
            assert!(requests < 10_000, "it ends");
        }
        counted += walk.counted();
        (walk, counted, requests)
    }

    #[test]
    fn an_empty_slice_is_asked_for_both_ways_round_and_in_halves() {
        let (walk, counted, requests) = walk_through(&[], Interval { start: 0, end: 9 }, 10);
        assert_eq!((counted, requests), (0, 4));
        assert_eq!(
            walk.next()
                .unwrap_err()
                .proven(Interval { start: 0, end: 9 }),
            [Interval { start: 0, end: 9 }]
        );
    }

    #[test]
    fn more_of_one_second_than_a_page_shows_is_not_proven() {
        let range = Interval { start: 0, end: 20 };
        let created: Vec<i64> = std::iter::repeat_n(7, 150).chain([3, 12]).collect();
        let (walk, ..) = walk_through(&created, range, 10);
        let ended = walk.next().unwrap_err();
        let proven = ended.proven(range);
        let expected = [
            Interval { start: 0, end: 7 },
            Interval { start: 8, end: 20 },
        ];
        assert_eq!(proven, expected);
    }

    #[test]
    fn what_only_shows_the_other_way_round_is_walked_for_again() {
        let range = Interval { start: 0, end: 20 };
        let mut walk = Walk::new(range, i64::MAX);
        let nothing = Answer {
            items: &[],
            full: false,
            asked_for: 100,
        };
        walk.take(&nothing);
        let items = [(id(1), 5)];
        let shown = Answer {
            items: &items,
            ..nothing
        };
        walk.take(&shown);
        assert_eq!(walk.next().unwrap().order, Order::OldestFirst);
        assert_eq!(walk.reached(), 0);
    }

    #[test]
    fn what_the_archive_may_not_hold_yet_is_asked_for_again() {
        let mut walk = Walk::new(Interval { start: 0, end: 100 }, 50);
        let items = [(id(1), 40), (id(2), 90)];
        walk.take(&Answer {
            items: &items,
            full: true,
            asked_for: 2,
        });
        assert_eq!((walk.reached(), walk.counted()), (50, 1));
    }

    #[test]
    fn a_full_page_of_what_is_no_submission_proves_nothing() {
        let range = Interval {
            start: 0,
            end: 1_000_000,
        };
        let mut walk = Walk::new(range, i64::MAX);
        walk.take(&Answer {
            items: &[],
            full: true,
            asked_for: MOST,
        });
        assert!(walk.next().unwrap_err().proven(range).is_empty());
    }

    proptest! {
        /// An archive may give out fewer than it is asked for: what is proven then was all seen.
        #[test]
        fn short_pages_lose_nothing(
            created in prop::collection::vec(0i64..400, 0..300), cap in 8u32..40,
        ) {
            let range = Interval { start: 0, end: 400 };
            let (walk, ..) = walk_of(&created, range, MOST, cap);
            let most = (0..400)
                .map(|second| created.iter().filter(|at| **at == second).count())
                .max()
                .unwrap_or_default();
            // Of more within one second than it ever gives out, nobody could know.
            prop_assume!(most < cap as usize);
            prop_assert_eq!(walk.seen.len(), created.len());
            prop_assert_eq!(walk.next().unwrap_err().proven(range), vec![range]);
        }

        /// Every submission of the range is seen and counted once, whatever page ends cut.
        #[test]
        fn everything_is_seen_once(
            created in prop::collection::vec(0i64..60, 0..300),
            start in 0i64..30, length in 1i64..40, limit in 1u32..40,
        ) {
            let range = Interval { start, end: start + length };
            let within = |at: &&i64| start <= **at && **at < range.end;
            let expected = created.iter().filter(within).count();
            let most = (range.start..range.end)
                .map(|second| created.iter().filter(|at| **at == second).count())
                .max()
                .unwrap_or_default();
            prop_assume!(most < MOST as usize);
            let (walk, counted, _) = walk_through(&created, range, limit);
            prop_assert_eq!(walk.seen.len(), expected);
            prop_assert_eq!(counted, expected as u64);
            let ended = walk.next().unwrap_err();
            prop_assert_eq!(ended.proven(range), vec![range]);
        }
    }
}
