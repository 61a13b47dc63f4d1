//! What a request is for, and which share of the budget its class is guaranteed.
//!
//! Knows no state and no clock.

/// What a request is for. The order decides between classes that are equally entitled, and is the
/// order in the shared state: a new class is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestClass {
    /// Discovery of new submissions, access tokens and probes: a late poll may lose what scrolls out
    /// of the listing.
    Poll,
    /// Fetching submissions that are known.
    Fetch,
    /// Walks that prove completeness, sweeps among them.
    Proof,
    /// Walking open gaps again.
    Repair,
    /// Fetching again what was fetched before.
    Refresh,
    /// The history, out of a listing or an archive.
    Backfill,
    /// Asking for new ids, which discovers and fetches in one request.
    Scan,
}

/// Every class, its value of the `class` label, and its guaranteed share: first while no ids are scanned,
/// then while they are. What a class does not use goes to the others, in proportion to their shares. Half
/// belongs to what discovers, so that every second request may be one.
const CLASSES: [(RequestClass, &str, f64, f64); RequestClass::COUNT] = [
    (RequestClass::Poll, "poll", 0.50, 0.10),
    (RequestClass::Fetch, "fetch", 0.17, 0.07),
    (RequestClass::Proof, "proof", 0.15, 0.15),
    (RequestClass::Repair, "repair", 0.06, 0.06),
    (RequestClass::Refresh, "refresh", 0.04, 0.04),
    (RequestClass::Backfill, "backfill", 0.08, 0.08),
    // A class with no requests to make takes nothing from the others, whatever its share.
    (RequestClass::Scan, "scan", 0.50, 0.50),
];

impl RequestClass {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// Every class.
    pub const ALL: [RequestClass; RequestClass::COUNT] = [
        RequestClass::Poll,
        RequestClass::Fetch,
        RequestClass::Proof,
        RequestClass::Repair,
        RequestClass::Refresh,
        RequestClass::Backfill,
        RequestClass::Scan,
    ];

    /// The value of the `class` label.
    pub fn as_str(self) -> &'static str {
        CLASSES[self as usize].1
    }

    /// The part of the budget that the class is guaranteed while it has requests to make and no ids are
    /// scanned.
    pub fn share(self) -> f64 {
        CLASSES[self as usize].2
    }

    /// The same while ids are scanned.
    pub fn share_beside_scan(self) -> f64 {
        CLASSES[self as usize].3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_those_of_their_classes_and_add_up_to_the_budget() {
        for (index, class) in RequestClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
            assert_eq!(CLASSES[index].0, class);
            assert!(class.share() > 0.0 && class.share_beside_scan() > 0.0);
        }
        let classes = RequestClass::ALL.iter();
        let others = classes.clone().filter(|it| **it != RequestClass::Scan);
        let sum: f64 = others.map(|it| it.share()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let sum: f64 = classes.map(|it| it.share_beside_scan()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
