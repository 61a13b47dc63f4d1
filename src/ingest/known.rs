//! Submissions that Reddit gave out of late: what is asked for to find out whether it answers at all. And
//! those whose request it turned away.

use crate::source::InfoPage;
use crate::submission::SubmissionId;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many are remembered: one of them may be deleted at any time.
const MOST: usize = 3;
/// Of how many answers it is remembered how long they took.
const MOST_TIMES: usize = 10;
/// How many that were turned away are remembered; more begin anew.
const MOST_TURNED_AWAY: usize = 10_000;

/// Shared by the requests of one process.
#[derive(Debug, Default)]
pub(super) struct Known {
    ids: Mutex<VecDeque<SubmissionId>>,
    /// How long the last answers took, the newest last.
    times: Mutex<VecDeque<Duration>>,
    /// Answered with 429, and not given out since.
    turned_away: Mutex<HashSet<SubmissionId>>,
}

impl Known {
    /// Takes note of one submission of an answer.
    pub(super) fn note(&self, page: &InfoPage) {
        {
            let mut times = lock(&self.times);
            times.push_back(Duration::try_from_secs_f64(page.seconds).unwrap_or_default());
            while times.len() > MOST_TIMES {
                times.pop_front();
            }
        }
        {
            let turned_away = &mut *lock(&self.turned_away);
            for item in &page.items {
                turned_away.remove(&item.submission.id);
            }
        }
        let mut known = self.lock();
        let new = page
            .items
            .iter()
            .map(|item| &item.submission.id)
            .find(|id| !known.contains(id));
        if let Some(id) = new {
            known.push_back(id.clone());
        }
        while known.len() > MOST {
            known.pop_front();
        }
    }

    /// Those that are none of these.
    pub(super) fn some(&self, others: &[SubmissionId]) -> Vec<SubmissionId> {
        let known = self.lock();
        let known = known.iter().filter(|id| !others.contains(id));
        known.cloned().collect()
    }

    /// The request for these was turned away with 429: whether one for any of them was before.
    pub(super) fn turned_away_again(&self, ids: &[SubmissionId]) -> bool {
        let turned_away = &mut *lock(&self.turned_away);
        let again = ids.iter().any(|id| turned_away.contains(id));
        if turned_away.len() + ids.len() > MOST_TURNED_AWAY {
            turned_away.clear();
        }
        turned_away.extend(ids.iter().cloned());
        again
    }

    /// Forgets what is not given out any more.
    pub(super) fn forget(&self, gone: &[SubmissionId]) {
        self.lock().retain(|id| !gone.contains(id));
    }

    /// How long the slowest of the last answers took.
    pub(super) fn slowest(&self) -> Duration {
        let times = lock(&self.times);
        times.iter().max().copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SubmissionId>> {
        lock(&self.ids)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
