//! What one answer means for each of the jobs that asked. Pure.

use super::OMITTED_RETRY_MS;
use crate::network::Large;
use crate::queue::Outcome;
use crate::source::InfoPage;
use crate::store::{Attempt, FetchRecord, FetchStored};
use crate::submission::{Observation, SubmissionId, Undecodable};
use std::collections::HashSet;

/// How a job ended; where its work panicked, what the panic said.
pub(super) type End = Result<Outcome, String>;
/// How each job ended.
pub(super) type Ends = Vec<(SubmissionId, End)>;

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Judged {
    /// Given out and read.
    pub(super) observations: Vec<Observation>,
    /// Given out and kept raw.
    pub(super) undecodable: Vec<Undecodable>,
    /// Given out, but not as a submission that can be read.
    pub(super) unreadable: Vec<SubmissionId>,
    /// Left out, to be tried again then (milliseconds since the epoch).
    pub(super) deferred: Vec<(SubmissionId, i64)>,
    /// Left out for the last time.
    pub(super) unavailable: Vec<SubmissionId>,
    /// As the answer said, for pages made of it.
    seconds: f64,
    served_at: i64,
    asked_ms: i64,
    large: Option<Large>,
}

impl Judged {
    pub(super) fn new(attempts: &[Attempt], page: InfoPage, now_ms: i64) -> Judged {
        let asked: HashSet<&SubmissionId> = attempts.iter().map(|attempt| &attempt.id).collect();
        let given: HashSet<&str> = page.order.iter().map(String::as_str).collect();
        let observations: Vec<Observation> = page
            .items
            .into_iter()
            .filter(|item| asked.contains(&item.submission.id))
            .collect();
        let read: HashSet<&SubmissionId> = observations
            .iter()
            .map(|item| &item.submission.id)
            .collect();
        let (mut unreadable, mut deferred, mut unavailable) = (Vec::new(), Vec::new(), Vec::new());
        for attempt in attempts
            .iter()
            .filter(|attempt| !read.contains(&attempt.id))
        {
            if given.contains(attempt.id.fullname().as_str()) {
                unreadable.push(attempt.id.clone());
                continue;
            }
            match OMITTED_RETRY_MS.get(attempt.omissions as usize) {
                Some(wait_ms) => deferred.push((attempt.id.clone(), now_ms + wait_ms)),
                None => unavailable.push(attempt.id.clone()),
            }
        }
        Judged {
            observations,
            undecodable: page.undecodable,
            unreadable,
            deferred,
            unavailable,
            seconds: page.seconds,
            served_at: page.served_at,
            asked_ms: page.asked_ms,
            large: page.large,
        }
    }

    /// What is to be stored, as asked for by this worker.
    pub(super) fn record<'a>(&'a self, by: &'a str, now_ms: i64) -> FetchRecord<'a> {
        FetchRecord {
            observations: &self.observations,
            undecodable: &self.undecodable,
            deferred: &self.deferred,
            unavailable: &self.unavailable,
            by,
            now_ms,
        }
    }

    /// What became of each that was stored, deferred or given up.
    pub(super) fn ends(&self, stored: &FetchStored) -> Ends {
        let mut ends = Ends::new();
        let written = [
            (&stored.changed, Outcome::Stored),
            (&stored.unchanged, Outcome::Unchanged),
            (&stored.stale, Outcome::Unchanged),
        ];
        for (indexes, outcome) in written {
            let items = indexes
                .iter()
                .filter_map(|index| self.observations.get(*index));
            ends.extend(items.map(|item| (item.submission.id.clone(), Ok(outcome))));
        }
        let deferred = self.deferred.iter();
        ends.extend(deferred.map(|(id, _)| (id.clone(), Ok(Outcome::Deferred))));
        ends.extend(self.unavailable.iter().map(|id| {
            let outcome = if stored.unavailable.contains(id) {
                Outcome::Unavailable
            } else {
                // Somebody else has begun or ended it since.
                Outcome::Obsolete
            };
            (id.clone(), Ok(outcome))
        }));
        ends
    }

    /// The same answer as one page for each job that is still to be judged; what was kept raw goes
    /// with the first.
    pub(super) fn into_single_pages(self, attempts: &[Attempt]) -> Vec<(Attempt, InfoPage)> {
        let Judged {
            mut observations,
            mut undecodable,
            unreadable,
            ..
        } = self;
        let open = attempts
            .iter()
            .filter(|attempt| !unreadable.contains(&attempt.id));
        let mut pages = Vec::new();
        for attempt in open {
            let place = observations
                .iter()
                .position(|item| item.submission.id == attempt.id);
            let items: Vec<Observation> = place
                .map(|place| observations.swap_remove(place))
                .into_iter()
                .collect();
            let page = InfoPage {
                order: items
                    .iter()
                    .map(|item| item.submission.id.fullname())
                    .collect(),
                items,
                undecodable: std::mem::take(&mut undecodable),
                served_at: self.served_at,
                asked_ms: self.asked_ms,
                seconds: self.seconds,
                large: self.large.clone(),
            };
            pages.push((attempt.clone(), page));
        }
        pages
    }
}
