//! Whose turn it is: start-time fair queueing of the classes over one bucket of grants.
//!
//! Every class has a virtual time, to which a grant adds the inverse of the class's share; that of the
//! budget is the smallest of the classes that demand something. A class that waits is entitled to the
//! next grant if no other waiting class has a smaller one. A class that is idle falls behind the budget,
//! but by one request at most. What discovers, the id scan or else the polls, gets every second grant at least
//! while it waits: what a submission waits for is the longest gap between two looks, not the mean. Pure: the caller brings the time. Knows no
//! bucket.

use super::class::RequestClass;
use serde::{Deserialize, Serialize};

/// A class that waits keeps its turn for so long after the time at which it is to ask again. Then the
/// next class is served, since the process that waited may have been killed.
const GRACE_MS: i64 = 100;

/// For so long after a class was to ask, its unused share is not forgotten.
const MEMORY_MS: i64 = 1_000;

/// Ids are scanned if somebody asked to within this time; a scan of the smallest budget asks as rarely.
const SCAN_MS: i64 = 60_000;

/// No caller waits longer before it asks again.
pub(super) const LONGEST_WAIT_MS: i64 = 10_000;

/// A time to ask again that differs by less is the same: noting it is not worth a write.
const SAME_MS: i64 = 20;

/// The classes in the order of [`RequestClass`]; those of another version may be more or fewer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Shares(Vec<Class>);

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Class {
    /// The class's virtual time less that of the whole budget.
    lead: f64,
    /// Whether somebody of this class was refused, and was not granted anything since.
    waits: bool,
    /// When it asks again; or when it was granted something.
    asks_ms: i64,
    /// Of what discovers: whether another class was granted something while it waited.
    passed: bool,
}

/// The waiting classes that are entitled before another.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Ahead {
    /// How many.
    pub(super) classes: u32,
    /// When the first of them loses its turn if it does not ask; the end of time where there is none.
    pub(super) until_ms: i64,
}

impl Shares {
    /// Makes a state out of any that was stored. `most` is how many grants a class may owe.
    pub(super) fn settle(&mut self, now_ms: i64, most: f64) {
        // Those of a newer version are kept.
        if self.0.len() < RequestClass::COUNT {
            self.0.resize(RequestClass::COUNT, Class::default());
        }
        let scanned = self.scanned(now_ms);
        for class in RequestClass::ALL {
            let it = &mut self.0[class as usize];
            it.limit(share(class, scanned), most);
            // Redis is shared with others, and a time that nobody noted must not stall us.
            if it.asks_ms.saturating_sub(now_ms) > LONGEST_WAIT_MS {
                *it = Class {
                    lead: it.lead,
                    ..Class::default()
                };
            }
        }
    }

    /// Whether ids are scanned.
    fn scanned(&self, now_ms: i64) -> bool {
        let asked_ms = self.0[RequestClass::Scan as usize].asks_ms;
        // Of a class that never asked it is 0.
        asked_ms != 0 && now_ms.saturating_sub(asked_ms) <= SCAN_MS
    }

    /// The clock was set back by so much.
    pub(super) fn set_back(&mut self, step_ms: i64) {
        for it in &mut self.0 {
            it.asks_ms = it.asks_ms.saturating_sub(step_ms);
        }
    }

    /// Who is entitled before this class.
    pub(super) fn ahead(&self, class: RequestClass, now_ms: i64) -> Ahead {
        let own = self.0[class as usize].place(class);
        let mut ahead = Ahead {
            classes: 0,
            until_ms: i64::MAX,
        };
        for other in RequestClass::ALL {
            let it = self.0[other as usize];
            let until_ms = it.asks_ms.saturating_add(GRACE_MS);
            if it.waits && now_ms <= until_ms && it.place(other) < own {
                ahead.classes += 1;
                ahead.until_ms = ahead.until_ms.min(until_ms + 1);
            }
        }
        ahead
    }

    /// Notes that this class waits and asks again then, where that is news.
    pub(super) fn wait(&mut self, class: RequestClass, now_ms: i64, until_ms: i64) {
        let it = &mut self.0[class as usize];
        let asks_ms = until_ms.min(now_ms.saturating_add(LONGEST_WAIT_MS));
        let same = it.asks_ms.saturating_sub(asks_ms).saturating_abs() <= SAME_MS;
        if !(it.waits && same) {
            it.waits = true;
            it.asks_ms = asks_ms;
        }
    }

    /// Counts grants to this class. The virtual time of the budget moves to that of the class, but not
    /// past any class that has asked lately.
    pub(super) fn grant(&mut self, class: RequestClass, now_ms: i64, count: u32, most: f64) {
        let scanned = self.scanned(now_ms) || class == RequestClass::Scan;
        let discovers = if scanned {
            RequestClass::Scan
        } else {
            RequestClass::Poll
        };
        let own = share(class, scanned);
        let start = self.0[class as usize].lead;
        let moved = RequestClass::ALL
            .into_iter()
            .filter(|other| *other != class)
            .map(|other| self.0[other as usize])
            .filter(|it| now_ms <= it.asks_ms.saturating_add(MEMORY_MS))
            .fold(start, |least, it| least.min(it.lead))
            .max(0.0);
        let lead = start + f64::from(count) / own;
        // What a class would owe beyond the most moves the budget's time, for all alike: forgiven to this class
        // alone, it would be taken from the others that wait. What discovers is served before its turn, too,
        // and that is forgiven.
        let excess = if class == discovers {
            0.0
        } else {
            (lead - moved - most.max(1.0) / own).max(0.0)
        };
        let moved = moved + excess;
        self.0[class as usize] = Class {
            lead,
            waits: false,
            asks_ms: now_ms,
            passed: false,
        };
        let first = &mut self.0[discovers as usize];
        first.passed |= first.waits;
        for class in RequestClass::ALL {
            let it = &mut self.0[class as usize];
            it.lead -= moved;
            it.limit(share(class, scanned), most);
        }
    }
}

impl Class {
    /// A class that was idle is owed one request, and none owes more than `most` grants.
    fn limit(&mut self, share: f64, most: f64) {
        let one = 1.0 / share;
        self.lead = self.lead.clamp(-one, most.max(1.0) * one);
    }

    /// The smallest is entitled first. Those that are owed a request go before those that have had
    /// their share, the scan first and then in the order of the classes: such a request waits for few others.
    fn place(&self, class: RequestClass) -> (f64, bool, RequestClass) {
        let owed = self.lead < 0.0 || self.passed;
        let lead = if owed { -1.0 } else { self.lead };
        (lead, class != RequestClass::Scan, class)
    }
}

fn share(class: RequestClass, scanned: bool) -> f64 {
    if scanned {
        class.share_beside_scan()
    } else {
        class.share()
    }
}
