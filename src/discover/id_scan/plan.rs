//! Which ids to ask for next, and what an answer says about them. Knows no network, no database and no
//! clock.
//!
//! The head is the highest id that was seen. Ids above it do not exist yet, as far as anyone knows: they are
//! asked for again in each step, some seconds' worth of them. An id below the head that is left out is not
//! visible yet, filtered, removed, private or was never given to anything: it is asked for again a few times,
//! ever later, and then absent for good. Each id between the ledger's first and the head is at any time
//! settled, pending, or skipped.

use crate::source::MAX_INFO_IDS;
use crate::store::{IdLedger, IdRetry, Interval, without};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// When an absent id is asked for again: so long after it was first found to be absent (milliseconds).
pub const DELAYS_MS: [i64; 5] = [10_000, 60_000, 900_000, 21_600_000, 129_600_000];

/// Ids above the head in one request at least.
const LEAST_AHEAD: usize = 25;
/// Of a request's places, those that retries which are due may take even from the look-ahead.
const FOR_RETRIES: usize = 20;
/// Fewer retries that are due wait for the next step.
const WORTHWHILE: usize = 40;
/// Ids that were seen lately, beside those whose absence a request may record: an answer that leaves out
/// these too says nothing.
const WITNESSES: usize = 3;
/// They are requested too where the head has stood still for so long.
const STILL_MS: i64 = 10_000;
/// An id that was found to be absent so lately is asked for again in each request with room for it.
const EARLY_MS: i64 = 60_000;
/// How far back the rate of ids is averaged, and how far back the share of them that exist is counted.
const RATE_MS: f64 = 30_000.0;
const SHARE_MS: i64 = 300_000;
/// The shortest time that a rate is measured over.
const LEAST_MEASURED_MS: i64 = 500;
/// Ids that say something about their share.
const SHARE_OF: u64 = 200;
/// Below this share of ids that exist, a scan costs more than it brings.
pub const LEAST_SHARE: f64 = 0.5;
/// So many ids behind, the head leaves them for later and goes on at the top.
pub const JUMP: i64 = 600;
/// Nobody is behind so soon.
const BEHIND_MS: i64 = 15_000;

/// Where a scan stands.
#[derive(Debug, Clone)]
pub struct Scan {
    delays_ms: Vec<i64>,
    head: i64,
    /// The first id above the head that was not asked for in this step.
    ahead: i64,
    skipped: Vec<Interval>,
    retries: BTreeMap<i64, IdRetry>,
    /// The same by time and id.
    due: BTreeSet<(i64, i64)>,
    witnesses: VecDeque<i64>,
    /// Ids a second: averaged, and of the last step.
    rate: Option<f64>,
    last_rate: f64,
    /// When an answer last showed where the counter ends.
    end_met_ms: Option<i64>,
    /// When it did so that the rate was measured from, and the head then.
    measured: Option<(i64, i64)>,
    /// Whether the last answer showed no end: there is more.
    saturated: bool,
    /// When the head last moved.
    moved_ms: i64,
    /// By time: ids that the head passed, and how many of them were seen.
    shares: VecDeque<(i64, u64, u64)>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to ask for, ascending.
    pub ids: Vec<i64>,
    /// Of these, the ones above the head.
    ahead: Interval,
}

/// What an answer says, to be stored and then [applied](Scan::apply).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Ids that are no longer open: seen, or absent below the head.
    pub asked: Vec<Interval>,
    /// Those that were seen, for the first time.
    pub seen: Vec<i64>,
    /// Those that are asked for again, and when.
    pub absent: Vec<IdRetry>,
    /// Those that are absent for good.
    pub gone: Vec<i64>,
    /// The highest id that was seen.
    pub head: i64,
    /// For each that was seen after it had been absent: for how long, milliseconds.
    pub late_ms: Vec<i64>,
    /// Whether it shows where the counter ends.
    pub end_met: bool,
    /// Ids that were passed for the first time.
    pub passed: u64,
    /// Seen of what was asked for, known or not.
    given_out: Vec<i64>,
    ahead: i64,
    looked_ahead: bool,
    at_ms: i64,
}

impl Scan {
    /// Goes on where the ledger stands.
    pub fn new(ledger: &IdLedger, delays_ms: &[i64], now_ms: i64) -> Scan {
        let whole = Interval {
            start: ledger.first,
            end: ledger.head.saturating_add(1),
        };
        let retries = ledger.retries.iter().map(|retry| (retry.id, *retry));
        let retries: BTreeMap<i64, IdRetry> = retries.collect();
        let due = ledger.retries.iter().map(|retry| (retry.due_ms, retry.id));
        Scan {
            delays_ms: delays_ms.to_vec(),
            head: ledger.head,
            ahead: ledger.head.saturating_add(1),
            skipped: without(&[whole], &ledger.runs),
            // The highest that were asked for and are not absent.
            witnesses: (ledger.head.saturating_sub(2 * WITNESSES as i64)..=ledger.head)
                .filter(|id| !retries.contains_key(id))
                .collect(),
            retries,
            due: due.collect(),
            rate: None,
            last_rate: 0.0,
            end_met_ms: None,
            measured: None,
            saturated: false,
            moved_ms: now_ms,
            shares: VecDeque::new(),
        }
    }

    /// The highest id that was seen.
    pub fn head(&self) -> i64 {
        self.head
    }

    /// Ids that were given out lately.
    pub fn witnesses(&self) -> impl Iterator<Item = i64> {
        self.witnesses.iter().copied()
    }

    /// Ids that are asked for again.
    pub fn pending(&self) -> usize {
        self.retries.len()
    }

    /// Ids that are still to be asked for below the head.
    pub fn skipped(&self) -> i64 {
        self.skipped.iter().map(|it| it.end - it.start).sum()
    }

    /// Ids a second, once it is known.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// When an answer last showed where the counter ends.
    pub fn end_met_ms(&self) -> Option<i64> {
        self.end_met_ms
    }

    /// The share of ids that exist, of those passed in the last minutes; none where they are too few.
    #[expect(clippy::cast_precision_loss, reason = "counts of minutes are small")]
    pub fn share(&self) -> Option<f64> {
        let passed: u64 = self.shares.iter().map(|(_, passed, _)| passed).sum();
        let seen: u64 = self.shares.iter().map(|(_, _, seen)| seen).sum();
        (passed >= SHARE_OF).then(|| seen as f64 / passed as f64)
    }

    fn is_dense(&self) -> bool {
        self.share().is_none_or(|share| share >= LEAST_SHARE)
    }

    /// Where few ids exist, each would be asked for again five times in vain: once has to do.
    fn delays(&self) -> &[i64] {
        let most = if self.is_dense() {
            self.delays_ms.len()
        } else {
            1
        };
        &self.delays_ms[..most.min(self.delays_ms.len())]
    }

    /// Whether so many ids are waiting above the head that it should leave them for later.
    pub fn is_behind(&self, now_ms: i64) -> bool {
        let met = self.end_met_ms.unwrap_or(now_ms);
        now_ms.saturating_sub(met) > BEHIND_MS && self.expected(now_ms) > JUMP
    }

    /// Ids that were given to something since the end was last met, as far as the rate tells.
    fn expected(&self, now_ms: i64) -> i64 {
        // Where few exist, that none was seen says little about where the counter ends.
        let since_ms = match self.end_met_ms {
            Some(at_ms) if self.is_dense() => at_ms,
            _ => self.moved_ms,
        };
        let rate = self.rate.unwrap_or(0.0).max(self.last_rate);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let ids = rate * now_ms.saturating_sub(since_ms).max(0) as f64 / 1000.0;
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let ids = ids.ceil() as i64;
        ids
    }

    /// How far above the head to look.
    fn reach(&self, now_ms: i64) -> usize {
        let expected = usize::try_from(self.expected(now_ms)).unwrap_or(0);
        expected
            .saturating_add(expected / 2)
            .saturating_add(LEAST_AHEAD)
    }

    /// Whether this step should go on above what it has asked for: the last answer showed no end, or more is
    /// expected above it.
    pub fn goes_on(&self, now_ms: i64) -> bool {
        let asked = usize::try_from(self.ahead - self.head - 1).unwrap_or(0);
        self.saturated || (asked < self.reach(now_ms) && !self.is_dense())
    }

    /// The next step begins just above the head again.
    pub fn begin_step(&mut self) {
        self.ahead = self.head.saturating_add(1);
    }

    /// Leaves what lies above the head for later and goes on at `top`, which was seen.
    pub fn jump(&mut self, top: i64, now_ms: i64) {
        if top <= self.head {
            return;
        }
        self.skipped.push(Interval {
            start: self.head.saturating_add(1),
            end: top.saturating_add(1),
        });
        self.head = top;
        self.moved_ms = now_ms;
        self.end_met_ms = Some(now_ms);
        self.measured = Some((now_ms, top));
        self.last_rate = 0.0;
        self.saturated = true;
        self.begin_step();
    }

    /// Whether something below the head can be asked for now.
    fn has_below(&self, now_ms: i64) -> bool {
        !self.skipped.is_empty() || self.due_ids(now_ms).next().is_some()
    }

    /// Whether what can be asked for below the head is worth a request of its own.
    pub fn fills_a_request(&self, now_ms: i64) -> bool {
        !self.skipped.is_empty() || self.due_ids(now_ms).nth(WORTHWHILE).is_some()
    }

    /// Ids that are due, those that have waited for longest first. What lies further ahead than any delay
    /// was timed by a clock that has since been set back.
    fn due_ids(&self, now_ms: i64) -> impl Iterator<Item = i64> {
        let longest = self.delays_ms.last().copied().unwrap_or(0);
        let ahead = (now_ms.saturating_add(longest).saturating_add(1), i64::MIN);
        let due = self.due.range(..=(now_ms, i64::MAX));
        let misdated = self
            .due
            .range(ahead.max((now_ms.saturating_add(1), i64::MIN))..);
        due.chain(misdated).map(|(_, id)| *id)
    }

    /// What to ask for now; with `above`, what lies above the head too.
    pub fn request(&self, now_ms: i64, above: bool) -> Request {
        let mut ids = BTreeSet::new();
        let reach = if above { self.reach(now_ms) } else { 0 };
        let for_retries = MAX_INFO_IDS - reach.min(MAX_INFO_IDS - FOR_RETRIES);
        let is_still = now_ms.saturating_sub(self.moved_ms) > STILL_MS;
        if self.has_below(now_ms) || is_still {
            ids.extend(self.witnesses.iter().rev().take(WITNESSES));
        }
        let room = for_retries.saturating_sub(ids.len());
        ids.extend(self.due_ids(now_ms).take(room));
        let room = MAX_INFO_IDS - ids.len();
        let mut ahead = reach.min(room);
        let room = room - ahead;
        // Those that became absent last stand highest.
        let early = self.retries.values().rev().take(MAX_INFO_IDS * 2);
        let early =
            early.filter(|it| it.tries == 0 && now_ms.saturating_sub(it.missing_ms) < EARLY_MS);
        ids.extend(early.map(|it| it.id).take(room));
        // The newest of what was skipped.
        let mut room = MAX_INFO_IDS - ids.len() - ahead;
        // New ids first.
        let later = above && self.saturated;
        for skipped in self.skipped.iter().rev().filter(|_| !later) {
            let most = i64::try_from(room).unwrap_or(0);
            let start = skipped.start.max(skipped.end.saturating_sub(most));
            let before = ids.len();
            ids.extend(start..skipped.end);
            room -= ids.len() - before;
            if room == 0 {
                break;
            }
        }
        if above {
            ahead += room;
        }
        let ahead = Interval {
            start: self.ahead,
            end: self.ahead.saturating_add(i64::try_from(ahead).unwrap_or(0)),
        };
        ids.extend(ahead.start..ahead.end);
        Request {
            ids: ids.into_iter().collect(),
            ahead,
        }
    }

    /// What it means that of a request's ids these were given out, and the others were not.
    pub fn answer(&self, request: &Request, given_out: &HashSet<i64>, now_ms: i64) -> Answer {
        let given_out: Vec<i64> = request
            .ids
            .iter()
            .copied()
            .filter(|id| given_out.contains(id))
            .collect();
        let was_given_out = |id: i64| given_out.binary_search(&id).is_ok();
        // An answer that gives out nothing is no evidence of what is absent.
        let believed = !given_out.is_empty();
        let head = given_out.last().map_or(self.head, |id| self.head.max(*id));
        let mut answer = Answer {
            head,
            at_ms: now_ms,
            ahead: request.ahead.end.max(head.saturating_add(1)),
            ..Answer::default()
        };
        // Of the ids that were passed, those below this request's were asked for in this step and absent.
        let passed = (head > self.head).then_some(Interval {
            start: self.head.saturating_add(1),
            end: head.saturating_add(1),
        });
        let open = |id: i64| self.skipped.iter().any(|it| it.start <= id && id < it.end);
        let below = request.ids.iter().copied().filter(|id| *id <= self.head);
        let passed_ids = passed.into_iter().flat_map(|it| it.start..it.end);
        for id in below.chain(passed_ids) {
            let is_new = id > self.head || open(id);
            match (self.retries.get(&id), was_given_out(id)) {
                (Some(retry), true) => {
                    answer.seen.push(id);
                    answer
                        .late_ms
                        .push(now_ms.saturating_sub(retry.missing_ms).max(0));
                }
                (Some(retry), false) if believed && self.is_due_id(retry, now_ms) => {
                    match self.again(retry, now_ms) {
                        Some(retry) => answer.absent.push(retry),
                        None => answer.gone.push(id),
                    }
                }
                (Some(_), false) => {}
                (None, true) if is_new => answer.seen.push(id),
                (None, false) if is_new && believed => {
                    let first = self.delays_ms.first().copied().unwrap_or(0);
                    answer.absent.push(IdRetry {
                        id,
                        tries: 0,
                        missing_ms: now_ms,
                        due_ms: now_ms.saturating_add(first),
                    });
                }
                (None, _) => continue,
            }
            if is_new {
                push(&mut answer.asked, id);
            }
        }
        answer.passed = answer
            .asked
            .iter()
            .map(|it| (it.end - it.start) as u64)
            .sum();
        let window = request.ahead.end - request.ahead.start;
        let margin = (window / 10).max(5);
        answer.looked_ahead = window > 0;
        answer.end_met = window > 0 && head < request.ahead.end.saturating_sub(margin);
        answer.given_out = given_out;
        answer
    }

    fn is_due_id(&self, retry: &IdRetry, now_ms: i64) -> bool {
        let longest = self.delays_ms.last().copied().unwrap_or(0);
        retry.due_ms <= now_ms || retry.due_ms > now_ms.saturating_add(longest)
    }

    /// The same id after one more try in vain; none after the last.
    fn again(&self, retry: &IdRetry, now_ms: i64) -> Option<IdRetry> {
        // By a clock that was set back it is not younger than it was tried.
        let age_ms = now_ms.saturating_sub(retry.missing_ms);
        let delays = self.delays();
        let tries = retry.tries.saturating_add(1);
        let next = delays
            .iter()
            .copied()
            .find(|delay| *delay > age_ms.max(0))?;
        // Where the clock was set back again and again, the tries are counted.
        if tries as usize > delays.len() * 2 {
            return None;
        }
        let due_ms = retry.missing_ms.saturating_add(next);
        let due_ms = due_ms.min(now_ms.saturating_add(next));
        Some(IdRetry {
            tries,
            due_ms,
            ..*retry
        })
    }

    /// Goes on from an answer that was stored.
    pub fn apply(&mut self, answer: &Answer) {
        let now_ms = answer.at_ms;
        let seen_now = answer.seen.len() as u64;
        for id in answer.seen.iter().chain(&answer.gone) {
            self.settle(*id);
        }
        for retry in &answer.absent {
            self.settle(retry.id);
            self.retries.insert(retry.id, *retry);
            self.due.insert((retry.due_ms, retry.id));
        }
        if !self.skipped.is_empty() {
            self.skipped = without(&self.skipped, &answer.asked);
        }
        if answer.head > self.head {
            self.head = answer.head;
            self.moved_ms = now_ms;
        }
        self.ahead = answer.ahead;
        self.saturated = answer.looked_ahead && !answer.end_met;
        if answer.end_met {
            self.measure(now_ms);
        }
        self.witnesses.extend(
            answer
                .given_out
                .iter()
                .filter(|id| answer.seen.contains(id)),
        );
        let most = WITNESSES * 3;
        let old = self.witnesses.len().saturating_sub(most);
        self.witnesses.drain(..old);
        self.shares.push_back((now_ms, answer.passed, seen_now));
        while self
            .shares
            .front()
            .is_some_and(|(at_ms, ..)| now_ms.saturating_sub(*at_ms) > SHARE_MS)
        {
            self.shares.pop_front();
        }
    }

    fn settle(&mut self, id: i64) {
        if let Some(retry) = self.retries.remove(&id) {
            self.due.remove(&(retry.due_ms, id));
        }
    }

    /// The end of the counter was met: as many ids as the head moved were given to something since the last
    /// time.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn measure(&mut self, now_ms: i64) {
        self.end_met_ms = Some(now_ms);
        let (since_ms, head) = *self.measured.get_or_insert((now_ms, self.head));
        let passed_ms = now_ms.saturating_sub(since_ms);
        // Two answers within an instant say nothing about a rate; a clock that was set back neither.
        if (0..LEAST_MEASURED_MS).contains(&passed_ms) {
            return;
        }
        self.measured = Some((now_ms, self.head));
        if passed_ms > 0 {
            let passed_ms = passed_ms as f64;
            let rate = (self.head - head) as f64 * 1000.0 / passed_ms;
            let weight = 1.0 - (-passed_ms / RATE_MS).exp();
            self.last_rate = rate;
            self.rate = Some(self.rate.map_or(rate, |mean| mean + weight * (rate - mean)));
        }
    }
}

/// Adds an id to ascending runs.
fn push(runs: &mut Vec<Interval>, id: i64) {
    match runs.last_mut() {
        Some(last) if last.end == id => last.end = id + 1,
        _ => runs.push(Interval {
            start: id,
            end: id + 1,
        }),
    }
}

#[cfg(test)]
mod tests;
