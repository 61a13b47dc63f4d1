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

    /// Up to which second everything that there is was seen, and need not be asked for again. Never the
    /// end: what all of it means is judged after the last page, by whoever comes to that.
    pub(super) fn reached(&self) -> i64 {
        let last = self.believed.min(self.range.end - 1);
        self.cursor.min(last).max(self.range.start)
    }

    /// Submissions older than [`Walk::reached`] that no earlier call told of.
    pub(super) fn counted(&mut self) -> u64 {
        let newer = self.counted.split_off(&self.reached());
        std::mem::replace(&mut self.counted, newer).values().sum()
    }

    /// Those that are left when it is over.
    pub(super) fn rest(&mut self) -> u64 {
        std::mem::take(&mut self.counted).values().sum()
    }

    fn middle(&self) -> i64 {
        self.range.start + (self.range.end - self.range.start) / 2
    }

    /// Seconds of which more was there than any page shows.
    pub(super) fn unseen(&self) -> &[Interval] {
        &self.unseen
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
mod tests;
