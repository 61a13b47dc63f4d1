//! Jobs whose request fails while others succeed: halved until the one that spoils it stands alone.

use super::judge::Ends;
use super::record::Fetching;
use super::{MOST_ATTEMPTS, PATIENCE, RETURN_AFTER_MS};
use crate::bisect::{Bisection, Step, halvings_to_one, size_after};
use crate::source::{InfoPage, MAX_INFO_IDS, RequestClass};
use crate::store::{Attempt, FailureKind};
use crate::submission::SubmissionId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long one job goes on halving before it lets others have its place.
const TURN: Duration = Duration::from_secs(10);
/// How long a group that is halved may take to be answered, at least: whatever spoils it may do so by
/// never being answered, and the others wait. One that stands alone may take as long as any other.
const GROUP_LIMIT: Duration = Duration::from_secs(5);
/// When jobs that are under suspicion are due again, to be halved further.
const AGAIN_MS: i64 = 1_000;
/// How many of the newest fetched submissions are asked for where no answer has told of any yet.
const FROM_STORE: u32 = 3;
/// How long a wait that Reddit asks for is waited for here; after a longer one halving begins anew.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const NOTHING: &str = "the answer leaves out whatever was asked for";

/// What came of a search.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    pub(super) ends: Ends,
    /// Nothing that was asked for succeeded, so nothing is known of these.
    pub(super) left: Vec<Attempt>,
}

/// Whether an answer gives out any of these.
pub(super) fn speaks_of(page: &InfoPage, ids: &[SubmissionId]) -> bool {
    let names: Vec<String> = ids.iter().map(SubmissionId::fullname).collect();
    page.order.iter().any(|given| names.contains(given))
}

/// Whether its request failed while others succeeded. Who was in flight when its process died, again and
/// again, is another kind of suspect.
pub(super) fn is_suspect(attempt: &Attempt) -> bool {
    let by_request = attempt.failed_before == Some(FailureKind::RequestFailed);
    attempt.suspicion > 0
        && attempt.attempts <= MOST_ATTEMPTS
        && (by_request || attempt.attempts < super::ALONE_FROM_ATTEMPT)
}

/// The smallest group that any of these is known to spoil.
pub(super) fn most_suspected(attempts: &[Attempt]) -> u32 {
    let suspicions = attempts.iter().map(|attempt| attempt.suspicion);
    suspicions.max().unwrap_or(0)
}

fn ids(attempts: &[Attempt]) -> Vec<SubmissionId> {
    attempts.iter().map(|attempt| attempt.id.clone()).collect()
}

/// What a group came to.
enum Tried {
    Passed(InfoPage),
    Failed(String),
    /// There was no turn, or none who asks gets an answer, or the process stops.
    Nothing,
}

impl Fetching {
    /// Goes on halving; those for whom there is no place are handed back.
    pub(super) async fn run_suspects(&self, mut suspects: Vec<Attempt>) -> Ends {
        if suspects.is_empty() {
            return Ends::new();
        }
        self.leave_slot();
        let Ok(_turn) = self.isolating.try_acquire() else {
            return self.hand_back(&suspects, RETURN_AFTER_MS).await;
        };
        // Groups as they were before: of neighbours that were halved as often.
        suspects
            .sort_by(|left, right| (left.suspicion, &left.id).cmp(&(right.suspicion, &right.id)));
        let others = suspects.split_off(suspects.len().min(self.most_suspects));
        let mut ends = self.hand_back(&others, RETURN_AFTER_MS).await;
        let mut search = Bisection::default();
        // The last that is added is tried first: that is one of the least suspected.
        let alike = suspects.chunk_by(|left, right| left.suspicion == right.suspicion);
        for alike in alike.collect::<Vec<_>>().into_iter().rev() {
            let halvings = most_suspected(alike);
            for group in alike.chunks(size_after(MAX_INFO_IDS, halvings)) {
                search.resume(group.to_vec(), halvings);
            }
        }
        let work = async {
            let Isolation { mut ends, left } = self.isolate(search, Instant::now()).await;
            ends.extend(self.hand_back(&left, RETURN_AFTER_MS).await);
            ends
        };
        ends.extend(self.guarded(&ids(&suspects), work).await);
        ends
    }

    /// Halves what fails for one turn, which began then. What succeeds is stored. What fails by itself
    /// while others succeed is charged, and all else is handed back, to be halved further.
    pub(super) async fn isolate(
        &self,
        mut search: Bisection<Vec<Attempt>>,
        begun: Instant,
    ) -> Isolation {
        self.leave_slot();
        let mut ends = Ends::new();
        let mut reasons: HashMap<SubmissionId, String> = HashMap::new();
        let mut suspected: Vec<SubmissionId> = Vec::new();
        loop {
            let hurry = begun.elapsed() >= TURN || self.draining.is_cancelled();
            match search.next(hurry) {
                Step::Try(group) => {
                    let group = group.clone();
                    match self.try_group(&ids(&group)).await {
                        Tried::Passed(page) => {
                            search.passed();
                            ends.extend(self.record(&group, page).await);
                        }
                        Tried::Failed(reason) => {
                            search.failed();
                            suspected.extend(ids(&group));
                            if let [alone] = group.as_slice() {
                                reasons.insert(alone.id.clone(), reason);
                            }
                        }
                        Tried::Nothing => break,
                    }
                }
                Step::Check => {
                    let mut others = suspected.clone();
                    others.extend(search.groups().flat_map(|group| ids(group)));
                    let known = self.known_good(&others).await;
                    if known.is_empty() {
                        search.no_check();
                        continue;
                    }
                    let (reddit, deadline) = (&self.ingest.reddit, self.next_turn());
                    let check = self.ask(reddit, &known, &[], RequestClass::Fetch, deadline, true);
                    match check.await {
                        Some(Ok(page)) if speaks_of(&page, &known) => search.check_passed(),
                        Some(Ok(_)) => {
                            self.known.forget(&known);
                            search.no_check();
                        }
                        _ => search.check_failed(),
                    }
                }
                Step::Done => break,
            }
        }
        let verdict = search.finish();
        for attempt in verdict.isolated.into_iter().flatten() {
            let reason = reasons.get(&attempt.id).map_or("", String::as_str);
            ends.push(self.charge(&attempt, reason).await);
        }
        if !verdict.others_succeed {
            let left = verdict.undecided.into_iter();
            let left = left.flat_map(|(group, _)| group).collect();
            return Isolation { ends, left };
        }
        let mut again = Vec::new();
        let mut suspects = Vec::new();
        for (group, halvings) in verdict.undecided {
            // What failed by itself finds no company again.
            let halvings = match group.as_slice() {
                [_] if halvings > 0 => halvings_to_one(MAX_INFO_IDS),
                _ => halvings,
            };
            suspects.extend(group.iter().map(|attempt| (attempt.id.clone(), halvings)));
            again.extend(group);
        }
        self.suspect(&suspects).await;
        ends.extend(self.hand_back(&again, AGAIN_MS).await);
        let left = Vec::new();
        Isolation { ends, left }
    }

    /// Until when a turn is waited for: what failed last may hold it back.
    fn next_turn(&self) -> Instant {
        let held_back = self.ingest.reddit.held_back_for();
        Instant::now() + PATIENCE + held_back.min(LONGEST_WAIT)
    }

    async fn try_group(&self, ids: &[SubmissionId]) -> Tried {
        let mut known = self.known.some(ids);
        known.truncate(MAX_INFO_IDS.saturating_sub(ids.len()));
        let (mut reddit, deadline) = (self.ingest.reddit.doubtful(), self.next_turn());
        if ids.len() > 1 {
            // Where Reddit is slow for everybody, nobody is suspected for it.
            let usual = self.known.slowest();
            reddit = reddit.within(GROUP_LIMIT.max(usual.saturating_mul(5)));
        }
        let asked = self.ask(&reddit, ids, &known, RequestClass::Fetch, deadline, true);
        match asked.await {
            Some(Ok(page)) if speaks_of(&page, ids) || speaks_of(&page, &known) => {
                Tried::Passed(page)
            }
            Some(Ok(_)) => Tried::Failed(NOTHING.to_owned()),
            Some(Err(error)) if error.may_be_the_request() || error.is_rate_limited() => {
                Tried::Failed(error.to_string())
            }
            _ => Tried::Nothing,
        }
    }

    /// Submissions that should be given out and are none of these: of late, or at any time.
    pub(super) async fn known_good(&self, others: &[SubmissionId]) -> Vec<SubmissionId> {
        let known = self.known.some(others);
        if !known.is_empty() {
            return known;
        }
        let stored = self.ingest.store.newest_fetched(FROM_STORE).await;
        self.ingest.progress.made();
        let mut stored = stored.unwrap_or_default();
        stored.retain(|id| !others.contains(id));
        stored
    }

    /// A job whose request fails by itself while others succeed.
    async fn charge(&self, attempt: &Attempt, why: &str) -> (SubmissionId, super::judge::End) {
        let kind = FailureKind::RequestFailed;
        let reason = format!("whatever request asks for it fails, while others succeed: {why}");
        let alone = halvings_to_one(MAX_INFO_IDS);
        self.suspect(&[(attempt.id.clone(), alone)]).await;
        let end = self.fail(&attempt.id, kind, &reason).await;
        if attempt.attempts < MOST_ATTEMPTS {
            return end;
        }
        self.set_aside(&attempt.id, kind, &reason).await
    }

    /// Where this cannot be noted, halving begins anew.
    async fn suspect(&self, suspects: &[(SubmissionId, u32)]) {
        let store = &self.ingest.store;
        if let Err(error) = self.persist(|| store.suspect_fetches(suspects)).await {
            tracing::debug!(%error, "It could not be noted which jobs are under suspicion");
        }
    }
}
