//! Where more turns up that nobody knew than was approved late. Pure.

use crate::store::Interval;

/// Submissions in proven time that were not known, from which on it is contradicted.
const CONTRADICTED: usize = 5;

/// A submission of one subreddit as a walk or an archive brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Brought {
    /// Seconds.
    pub created: i64,
    /// Whether it was not known before.
    pub fresh: bool,
}

/// How many submissions that were not known contradict a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Tolerance {
    /// So many at least.
    pub at_least: usize,
    /// And so many of a hundred that were brought of the same time; from 1 to 99.
    pub percent: i64,
}

impl Tolerance {
    /// Of a listing: one or two in a hundred are approved late, one here and one there.
    pub const LISTING: Tolerance = Tolerance {
        at_least: CONTRADICTED,
        percent: 10,
    };
    /// Of an archive whose copies were taken early: up to a third may have been removed before anyone could
    /// list it, but not most of what was posted.
    pub const EARLY_COPIES: Tolerance = Tolerance {
        at_least: 10,
        percent: 50,
    };
}

/// Where submissions that nobody knew lie too close together to have been approved late: from the first
/// of each such run to the last.
pub(super) fn contradictions(brought: &[Brought], tolerance: Tolerance) -> Vec<Interval> {
    let mut brought = brought.to_vec();
    brought.sort_by_key(|it| (it.created, it.fresh));
    let mut runs = Vec::new();
    // Each that is new speaks for a run, each that was known against it; a run is over when it has lost
    // all that spoke for it, and it ends where most did.
    let (mut sum, mut best) = (0, 0);
    let mut run: Option<(i64, i64)> = None;
    let (mut fresh, mut fresh_at_best) = (0, 0);
    let end_run = |run: Option<(i64, i64)>, fresh_at_best: usize, runs: &mut Vec<Interval>| {
        if let Some((start, last)) = run.filter(|_| fresh_at_best >= tolerance.at_least) {
            let end = last + 1;
            runs.push(Interval { start, end });
        }
    };
    for it in &brought {
        if it.fresh {
            sum += 100 - tolerance.percent;
            fresh += 1;
            let start = run.map_or(it.created, |(start, _)| start);
            if run.is_none() || sum >= best {
                run = Some((start, it.created));
                (best, fresh_at_best) = (sum, fresh);
            }
        } else if run.is_some() {
            sum -= tolerance.percent;
            if sum <= 0 {
                end_run(run.take(), fresh_at_best, &mut runs);
                (sum, best, fresh, fresh_at_best) = (0, 0, 0, 0);
            }
        }
    }
    end_run(run, fresh_at_best, &mut runs);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(fresh: impl Fn(i64) -> bool) -> Vec<Brought> {
        let one = |created| Brought {
            created,
            fresh: fresh(created),
        };
        (0..1_000).map(one).collect()
    }

    #[test]
    fn single_submissions_that_were_approved_late_contradict_nothing() {
        for every in [50, 100, 333] {
            let runs = contradictions(&brought(|at| at % every == 7), Tolerance::LISTING);
            assert_eq!(runs, [], "one of {every}");
        }
        assert_eq!(
            contradictions(&brought(|at| at < 4), Tolerance::LISTING),
            []
        );
    }

    #[test]
    fn a_run_that_nobody_knew_is_found_among_what_was_known_and_what_was_approved_late() {
        let runs = |fresh: fn(i64) -> bool| contradictions(&brought(fresh), Tolerance::LISTING);
        let interval = |start, end| Interval { start, end };
        assert_eq!(runs(|_| true), [interval(0, 1_000)]);
        assert_eq!(runs(|at| (400..420).contains(&at)), [interval(400, 420)]);
        assert_eq!(
            runs(|at| at == 3 || (400..420).contains(&at) || at == 990),
            [interval(400, 420)]
        );
        assert_eq!(
            runs(|at| (100..105).contains(&at) || (700..790).contains(&at)),
            [interval(100, 105), interval(700, 790)]
        );
        // Every third.
        let [run] = runs(|at| (500..600).contains(&at) && at % 3 == 0)[..] else {
            panic!("one run");
        };
        assert_eq!(run, interval(501, 598));
    }
}
