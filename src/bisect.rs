//! Isolates what spoils a batch by bisection. Pure: groups out, verdicts in.
//!
//! A group that fails while others succeed is halved until whatever makes it fail stands alone. Nothing
//! is blamed for an outage: an item is isolated only when it failed, something else succeeded, it failed
//! again by itself, and something else succeeded once more. Where nothing succeeds, nothing is isolated.
//!
//! With `k` bad items among `n`, about `2 k log2(n)` groups are tried.

/// What can be halved.
pub trait Divide: Sized {
    /// Both halves, or the whole where it cannot be divided.
    ///
    /// # Errors
    /// It cannot be divided; it comes back.
    fn divide(self) -> Result<(Self, Self), Self>;
}

impl<T> Divide for Vec<T> {
    fn divide(mut self) -> Result<(Self, Self), Self> {
        if self.len() < 2 {
            return Err(self);
        }
        let right = self.split_off(self.len().div_ceil(2));
        Ok((self, right))
    }
}

/// How many items a group holds at most that came of so many halvings of `whole` items.
pub fn size_after(whole: usize, halvings: u32) -> usize {
    (0..halvings.min(usize::BITS)).fold(whole.max(1), |size, _| size.div_ceil(2))
}

/// Halvings after which a group of `whole` items is down to one.
pub fn halvings_to_one(whole: usize) -> u32 {
    let mut halvings = 0;
    while size_after(whole, halvings) > 1 {
        halvings += 1;
    }
    halvings
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a, G> {
    /// Try this group; then say [`Bisection::passed`] or [`Bisection::failed`].
    Try(&'a G),
    /// Try something that is known to be good; then say [`Bisection::check_passed`],
    /// [`Bisection::check_failed`] or [`Bisection::no_check`].
    Check,
    /// There is nothing left to do, or nothing to learn.
    Done,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<G> {
    /// Indivisible groups that fail by themselves while others succeed.
    pub isolated: Vec<G>,
    /// What has not been decided, with how often it was halved.
    pub undecided: Vec<(G, u32)>,
    /// Whether anything succeeded after something had failed: only then do the halvings mean anything.
    pub others_succeed: bool,
}

#[derive(Debug)]
struct Group<G> {
    what: G,
    halvings: u32,
    /// How much had succeeded when it last failed, alone or within a larger group; none where it has not.
    failed_at: Option<u64>,
    /// Whether that was by itself: then it is tried again once something has succeeded.
    alone: bool,
}

/// A search for what spoils a batch.
#[derive(Debug)]
pub struct Bisection<G> {
    /// The last is next.
    waiting: Vec<Group<G>>,
    trying: Option<Group<G>>,
    /// Failed alone, and nothing has succeeded since.
    suspects: Vec<Group<G>>,
    isolated: Vec<G>,
    /// How often anything succeeded.
    passes: u64,
    /// Failures since anything last succeeded.
    failures: u32,
    /// Failures in all; one that comes before all passes proves nothing.
    failed_ever: bool,
    passed_since_failure: bool,
    /// There is nothing known to be good yet.
    blind: bool,
    outage: bool,
}

/// Failures in a row after which something that is known to be good is tried.
const CHECK_AFTER: u32 = 2;
/// The same where there is no such thing: then it is taken for an outage. More than it takes to halve a
/// hundred down to one.
const BLIND_LIMIT: u32 = 10;

impl<G: Divide> Default for Bisection<G> {
    fn default() -> Self {
        Bisection {
            waiting: Vec::new(),
            trying: None,
            suspects: Vec::new(),
            isolated: Vec::new(),
            passes: 0,
            failures: 0,
            failed_ever: false,
            passed_since_failure: false,
            blind: false,
            outage: false,
        }
    }
}

impl<G: Divide> Bisection<G> {
    /// A group to be tried, before those that were added earlier.
    pub fn add(&mut self, what: G) {
        self.waiting.push(Group {
            what,
            halvings: 0,
            failed_at: None,
            alone: false,
        });
    }

    /// A group that came of an earlier bisection, in which others succeeded.
    pub fn resume(&mut self, what: G, halvings: u32) {
        // What succeeded then counts as the first success now.
        self.passes = self.passes.max(1);
        self.waiting.push(Group {
            what,
            halvings,
            failed_at: Some(0),
            alone: false,
        });
    }

    /// A group that has just failed.
    pub fn add_failed(&mut self, what: G, halvings: u32) {
        self.fail(Group {
            what,
            halvings,
            failed_at: None,
            alone: false,
        });
    }

    /// What to do next; where no time is left (`hurry`), nothing but to find out whether others succeed.
    pub fn next(&mut self, hurry: bool) -> Step<'_, G> {
        if let Some(abandoned) = self.trying.take() {
            self.waiting.push(abandoned);
        }
        if self.outage || (self.blind && self.failures >= BLIND_LIMIT) {
            return Step::Done;
        }
        let in_doubt = self.failures > 0 && !self.blind;
        if in_doubt && (self.failures >= CHECK_AFTER || hurry || self.waiting.is_empty()) {
            return Step::Check;
        }
        let passes = self.passes;
        let decidable = |group: &Group<G>| {
            !group.alone || group.failed_at.is_none_or(|failed_at| failed_at < passes)
        };
        match self.waiting.iter().rposition(decidable) {
            Some(place) if !hurry => {
                let group = self.waiting.remove(place);
                Step::Try(&self.trying.insert(group).what)
            }
            None if in_doubt && !self.waiting.is_empty() => Step::Check,
            _ => Step::Done,
        }
    }

    /// All groups that are not decided.
    pub fn groups(&self) -> impl Iterator<Item = &G> {
        let undecided = self.waiting.iter().chain(&self.trying);
        undecided.chain(&self.suspects).map(|group| &group.what)
    }

    /// The group that was tried succeeded; it comes back.
    pub fn passed(&mut self) -> Option<G> {
        let group = self.trying.take();
        self.succeed();
        group.map(|group| group.what)
    }

    /// The group that was tried did not fail, which proves nothing of any other.
    pub fn harmless(&mut self) -> Option<G> {
        self.trying.take().map(|group| group.what)
    }

    /// The group that was tried failed.
    pub fn failed(&mut self) {
        if let Some(group) = self.trying.take() {
            self.fail(group);
        }
    }

    /// What is known to be good succeeded.
    pub fn check_passed(&mut self) {
        self.succeed();
    }

    /// What is known to be good failed, too: it is an outage.
    pub fn check_failed(&mut self) {
        self.outage = true;
    }

    /// Nothing is known to be good, as long as nothing else succeeds.
    pub fn no_check(&mut self) {
        self.blind = true;
    }

    /// What came of it, whether it has come to its end or not.
    pub fn finish(mut self) -> Verdict<G> {
        self.waiting.extend(self.trying.take());
        self.waiting.append(&mut self.suspects);
        let undecided = self.waiting.into_iter();
        Verdict {
            isolated: self.isolated,
            undecided: undecided
                // One that failed by itself is not to find company again.
                .map(|group| (group.what, group.halvings.max(group.alone.into())))
                .collect(),
            others_succeed: self.passed_since_failure,
        }
    }

    fn succeed(&mut self) {
        self.passes += 1;
        self.failures = 0;
        self.blind = false;
        self.passed_since_failure |= self.failed_ever;
        let isolated = self.suspects.drain(..).map(|group| group.what);
        self.isolated.extend(isolated);
    }

    fn fail(&mut self, group: Group<G>) {
        self.failures += 1;
        self.failed_ever = true;
        let halvings = group.halvings;
        match group.what.divide() {
            Ok((left, right)) => {
                // The left is next.
                for what in [right, left] {
                    self.waiting.push(Group {
                        what,
                        halvings: halvings + 1,
                        failed_at: Some(self.passes),
                        alone: false,
                    });
                }
            }
            Err(what) => {
                let again = group.failed_at.is_some_and(|passes| passes < self.passes);
                let group = Group {
                    what,
                    halvings,
                    failed_at: Some(self.passes),
                    alone: true,
                };
                if again {
                    self.suspects.push(group);
                } else {
                    // Behind all others, which may succeed meanwhile.
                    self.waiting.insert(0, group);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What there is to be found, and whether anything succeeds at all.
    struct World {
        bad: BTreeSet<usize>,
        outage: bool,
        something_good: bool,
        tries: usize,
        checks: usize,
    }

    impl World {
        fn new(bad: BTreeSet<usize>) -> World {
            World {
                bad,
                outage: false,
                something_good: true,
                tries: 0,
                checks: 0,
            }
        }

        fn run(&mut self, mut search: Bisection<Vec<usize>>) -> (Verdict<Vec<usize>>, Vec<usize>) {
            let mut good = Vec::new();
            loop {
                match search.next(false) {
                    Step::Try(group) => {
                        self.tries += 1;
                        if self.outage || group.iter().any(|item| self.bad.contains(item)) {
                            search.failed();
                        } else {
                            good.extend(search.passed().unwrap());
                        }
                    }
                    Step::Check => {
                        self.checks += 1;
                        match (self.outage, self.something_good) {
                            (_, false) => search.no_check(),
                            (true, true) => search.check_failed(),
                            (false, true) => search.check_passed(),
                        }
                    }
                    Step::Done => break,
                }
                assert!(self.tries + self.checks < 10_000, "it ends");
            }
            good.sort_unstable();
            (search.finish(), good)
        }
    }

    fn flat(groups: Vec<Vec<usize>>) -> BTreeSet<usize> {
        groups.into_iter().flatten().collect()
    }

    fn failed_batch(items: usize) -> Bisection<Vec<usize>> {
        let mut search = Bisection::default();
        search.add_failed((0..items).collect(), 0);
        search
    }

    #[test]
    fn one_bad_item_among_a_hundred_costs_few_tries() {
        for bad in 0..100 {
            let mut world = World::new(BTreeSet::from([bad]));
            let (verdict, good) = world.run(failed_batch(100));
            assert_eq!(verdict.isolated, [[bad]]);
            assert_eq!(good.len(), 99);
            assert!(world.tries <= 16, "{bad}: {} tries", world.tries);
            assert!(world.checks <= 5, "{bad}: {} checks", world.checks);
        }
    }

    #[test]
    fn an_outage_is_told_after_few_tries_and_blames_nothing() {
        let mut world = World::new(BTreeSet::new());
        world.outage = true;
        let (verdict, _) = world.run(failed_batch(100));
        assert_eq!((world.tries, world.checks), (1, 1));
        assert!(verdict.isolated.is_empty() && !verdict.others_succeed);
        assert_eq!(
            flat(verdict.undecided.into_iter().map(|it| it.0).collect()).len(),
            100
        );
    }

    #[test]
    fn a_failure_that_does_not_come_again_is_an_outage_that_ended() {
        let mut search: Bisection<Vec<usize>> = Bisection::default();
        search.add_failed(vec![1], 0);
        assert_eq!(search.next(false), Step::Check);
        search.check_passed();
        assert_eq!(search.next(false), Step::Try(&vec![1]));
        search.passed();
        assert_eq!(search.next(false), Step::Done);
        assert!(search.finish().isolated.is_empty());
    }

    #[test]
    fn what_is_out_of_time_only_learns_whether_others_succeed() {
        let mut search = failed_batch(8);
        assert_eq!(search.next(true), Step::Check);
        search.check_passed();
        assert_eq!(search.next(true), Step::Done);
        let verdict = search.finish();
        assert!(verdict.others_succeed);
        let halves = [(vec![4, 5, 6, 7], 1), (vec![0, 1, 2, 3], 1)];
        assert_eq!(verdict.undecided, halves);
    }

    #[test]
    fn sizes_come_down_to_one() {
        assert_eq!(halvings_to_one(100), 7);
        let sizes: Vec<usize> = (0..9).map(|halvings| size_after(100, halvings)).collect();
        assert_eq!(sizes, [100, 50, 25, 13, 7, 4, 2, 1, 1]);
    }

    fn cases() -> impl Strategy<Value = (usize, BTreeSet<usize>)> {
        (1usize..130).prop_flat_map(|items| {
            (
                Just(items),
                prop::collection::btree_set(0..items, 0..=items.min(12)),
            )
        })
    }

    proptest! {
        #[test]
        fn exactly_the_bad_items_are_isolated_within_few_tries(
            (items, bad) in cases(), whole_failed in any::<bool>(),
        ) {
            let mut search = Bisection::default();
            if whole_failed {
                search.add_failed((0..items).collect(), 0);
            } else {
                search.add((0..items).collect());
            }
            let mut world = World::new(bad.clone());
            let (verdict, good) = world.run(search);
            prop_assert_eq!(flat(verdict.isolated), bad.clone());
            prop_assert!(verdict.undecided.is_empty());
            prop_assert_eq!(good.len(), items - bad.len());
            let depth = halvings_to_one(items) as usize + 1;
            // A failure and a success for each halving, once more alone, and the whole.
            prop_assert!(world.tries <= 2 * bad.len() * depth + bad.len() + 2);
            prop_assert!(world.checks <= bad.len() * depth + 2);
        }

        #[test]
        fn whatever_begins_while_everything_fails_isolates_nothing(
            (items, bad) in cases(), something_good in any::<bool>(), resumed in any::<bool>(),
        ) {
            let mut world = World::new(bad);
            world.outage = true;
            world.something_good = something_good;
            let mut search = Bisection::default();
            if resumed {
                search.resume((0..items).collect(), 3);
            } else {
                search.add_failed((0..items).collect(), 0);
            }
            let (verdict, _) = world.run(search);
            prop_assert!(verdict.isolated.is_empty());
            prop_assert!(!verdict.others_succeed);
            prop_assert!(world.tries <= 2 * BLIND_LIMIT as usize);
            let undecided = verdict.undecided.into_iter().map(|it| it.0).collect();
            prop_assert_eq!(flat(undecided).len(), items);
        }

        /// Whatever is interrupted goes on where it was, with nothing lost and nothing twice.
        #[test]
        fn what_is_interrupted_after_each_step_comes_to_the_same_end((items, bad) in cases()) {
            let mut world = World::new(bad.clone());
            let mut groups = vec![((0..items).collect::<Vec<usize>>(), 0)];
            let (mut isolated, mut good, mut rounds) = (BTreeSet::new(), 0, 0);
            while !groups.is_empty() {
                rounds += 1;
                prop_assert!(rounds < 2_000, "it ends");
                let mut search = Bisection::default();
                for (group, halvings) in groups {
                    if halvings == 0 {
                        search.add(group);
                    } else {
                        search.resume(group, halvings);
                    }
                }
                let mut tried = false;
                loop {
                    match search.next(tried) {
                        Step::Try(group) => {
                            tried = true;
                            if group.iter().any(|item| world.bad.contains(item)) {
                                search.failed();
                            } else {
                                good += search.passed().unwrap().len();
                            }
                        }
                        Step::Check => {
                            world.checks += 1;
                            search.check_passed();
                        }
                        Step::Done => break,
                    }
                }
                let verdict = search.finish();
                isolated.extend(flat(verdict.isolated));
                groups = verdict.undecided;
            }
            prop_assert_eq!(good + bad.len(), items);
            prop_assert_eq!(isolated, bad);
        }
    }
}
