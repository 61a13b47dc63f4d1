//! An answer that the database refuses as a whole: stored in ever smaller parts, until what it refuses
//! stands alone.

use super::RETURN_AFTER_MS;
use super::judge::{Ends, Judged};
use super::record::{Fetching, REFUSED_RETRY_MS};
use crate::bisect::{Bisection, Step};
use crate::source::InfoPage;
use crate::store::{Attempt, FailureKind, StoreError};
use crate::submission::SubmissionId;
use std::collections::{BTreeSet, HashMap};

/// What one job's part of the answer is.
type Part = (Attempt, InfoPage);

impl Fetching {
    /// The database refused them together: which it was is told by bisection. Where it refuses whatever
    /// it is given with the same words, it is none of them, and none is charged.
    pub(super) async fn record_in_parts(
        &self,
        attempts: &[Attempt],
        judged: Judged,
        error: String,
    ) -> Ends {
        let mut ends = Ends::new();
        let parts = judged.into_single_pages(attempts);
        let together = parts.len();
        let mut refusals: HashMap<SubmissionId, String> = HashMap::new();
        if let [(attempt, _)] = parts.as_slice() {
            refusals.insert(attempt.id.clone(), error.clone());
        } else {
            tracing::warn!(
                jobs = together,
                error,
                "Fetched submissions are stored in parts"
            );
        }
        let mut search = Bisection::default();
        search.add_failed(parts, 0);
        let mut good: Option<(Vec<Attempt>, Judged)> = None;
        loop {
            let step = if together > 1 {
                search.next(false)
            } else {
                Step::Done
            };
            match step {
                Step::Try(parts) => {
                    let (attempts, judged) = self.joined(parts);
                    match self.write(&attempts, &judged).await {
                        Ok(written) => {
                            search.passed();
                            ends.extend(written);
                            good = Some((attempts, judged));
                        }
                        Err(error) if error.is_outage() => break,
                        Err(error) => {
                            search.failed();
                            if let [attempt] = attempts.as_slice() {
                                refusals.insert(attempt.id.clone(), error.told());
                            }
                        }
                    }
                }
                Step::Check => match &good {
                    Some((_, judged)) => match self.write_again(judged).await {
                        Ok(()) => search.check_passed(),
                        Err(_) => search.check_failed(),
                    },
                    None => search.no_check(),
                },
                Step::Done => break,
            }
        }
        let verdict = search.finish();
        let (mut blamed, mut others): (Vec<Attempt>, Vec<Attempt>) = (Vec::new(), Vec::new());
        let isolated = verdict.isolated.into_iter().flatten();
        blamed.extend(isolated.map(|(attempt, _)| attempt));
        let undecided = verdict.undecided.into_iter();
        others.extend(undecided.flat_map(|(parts, _)| parts).map(|part| part.0));
        let words: BTreeSet<&String> = refusals.values().collect();
        if together == 1 || (!verdict.others_succeed && words.len() > 1) {
            // Each for a reason of its own.
            let (own, rest) = others
                .into_iter()
                .partition(|attempt| refusals.contains_key(&attempt.id));
            (blamed, others) = (own, rest);
        } else if !verdict.others_succeed && !others.is_empty() {
            tracing::error!(
                jobs = together,
                error,
                "The database refuses whatever was fetched, and no job is to blame: see that it can be \
                 written to. It is tried again in a few minutes, and no job spends an attempt"
            );
            ends.extend(self.hand_back(&others, REFUSED_RETRY_MS).await);
            others = Vec::new();
        }
        ends.extend(self.hand_back(&others, RETURN_AFTER_MS).await);
        for attempt in blamed {
            let error = refusals.get(&attempt.id).unwrap_or(&error);
            let reason = format!("it could not be stored: {error}");
            let kind = FailureKind::NotStored;
            ends.push(self.fail(&attempt.id, kind, &reason).await);
        }
        ends
    }

    fn joined(&self, parts: &[Part]) -> (Vec<Attempt>, Judged) {
        let attempts: Vec<Attempt> = parts.iter().map(|(attempt, _)| attempt.clone()).collect();
        let mut pages = parts.iter().map(|(_, page)| page.clone());
        let first = pages.next().unwrap_or_else(InfoPage::empty);
        let page = pages.fold(first, |mut page, other| {
            page.items.extend(other.items);
            page.undecodable.extend(other.undecodable);
            page.order.extend(other.order);
            page
        });
        let judged = Judged::new(&attempts, page, (self.ingest.now_ms)());
        (attempts, judged)
    }

    /// What was stored before is known to be good: it changes nothing.
    async fn write_again(&self, judged: &Judged) -> Result<(), StoreError> {
        let ingest = &self.ingest;
        let record = judged.record(&ingest.holder, (ingest.now_ms)());
        self.persist(|| async { ingest.store.record_fetches(&record).await.map(|_| ()) })
            .await
    }
}
