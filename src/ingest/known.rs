//! Submissions that Reddit gave out of late: what is asked for to find out whether it answers at all.

use crate::source::InfoPage;
use crate::submission::SubmissionId;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many are remembered: one of them may be deleted at any time.
const MOST: usize = 3;
/// Of how many answers it is remembered how long they took.
const MOST_TIMES: usize = 10;

/// Shared by the requests of one process.
#[derive(Debug, Default)]
pub(super) struct Known {
    ids: Mutex<VecDeque<SubmissionId>>,
    /// How long the last answers took, the newest last.
    times: Mutex<VecDeque<Duration>>,
}

impl Known {
    /// Takes note of one submission of an answer.
    pub(super) fn note(&self, page: &InfoPage) {
        {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.push_back(Duration::try_from_secs_f64(page.seconds).unwrap_or_default());
            while times.len() > MOST_TIMES {
                times.pop_front();
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

    /// Forgets what is not given out any more.
    pub(super) fn forget(&self, gone: &[SubmissionId]) {
        self.lock().retain(|id| !gone.contains(id));
    }

    /// How long the slowest of the last answers took.
    pub(super) fn slowest(&self) -> Duration {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().max().copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SubmissionId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
