//! Requests for submissions by their ids. An id for which every request fails while others succeed is found by
//! bisection and left out from then on, so that it costs nobody but itself.

use super::Discover;
use crate::bisect::{Bisection, Step};
use crate::liveness::CALL;
use crate::source::{InfoPage, RequestClass, SourceError};
use crate::submission::SubmissionId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer for a part of a request is waited for: the other parts wait meanwhile.
const PART_LIMIT: Duration = Duration::from_secs(10);
/// When an id that was left out is requested again: after this long, then four times as long, at most a day.
const RETRY_AFTER: Duration = Duration::from_secs(600);
const LONGEST_RETRY: Duration = Duration::from_secs(86_400);
/// More ids than that are not remembered.
const MAX_KNOWN: usize = 10_000;
/// So many that were fetched lately are requested to learn whether anything succeeds.
const MAX_GOOD: u32 = 6;

/// Ids for which requests failed while others succeeded, and how the last requests ended.
#[derive(Debug, Default)]
pub struct FailingIds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those of requests that failed, until one with them succeeds.
    suspects: HashSet<i64>,
    ids: HashMap<i64, Failing>,
}

#[derive(Debug, Clone, Copy)]
struct Failing {
    times: u32,
    until: Instant,
}

impl FailingIds {
    /// Those of these ids that are requested now, those that are left out, and whether any of the first failed before.
    fn split(&self, ids: &BTreeSet<i64>) -> (BTreeSet<i64>, BTreeSet<i64>, bool) {
        let state = self.lock();
        let now = Instant::now();
        let is_left_out = |id: &i64| state.ids.get(id).is_some_and(|it| it.until > now);
        let (left_out, requested): (BTreeSet<i64>, BTreeSet<i64>) =
            ids.iter().copied().partition(is_left_out);
        let again = requested.iter().any(|id| state.ids.contains_key(id));
        (requested, left_out, again)
    }

    fn succeeded(&self, requested: &BTreeSet<i64>) {
        let mut state = self.lock();
        if !state.suspects.is_empty() {
            state.suspects.retain(|id| !requested.contains(id));
        }
        if !state.ids.is_empty() {
            state.ids.retain(|id, _| !requested.contains(id));
        }
    }

    /// Whether a request with some of these failed before, and none with them has succeeded since: then it may be due
    /// to what is requested.
    fn failed(&self, requested: &BTreeSet<i64>) -> bool {
        let mut state = self.lock();
        let again = requested.iter().any(|id| state.suspects.contains(id));
        if state.suspects.len() + requested.len() > MAX_KNOWN {
            state.suspects.clear();
        }
        state.suspects.extend(requested);
        again
    }

    fn leave_out(&self, id: i64) {
        let mut state = self.lock();
        if state.ids.len() >= MAX_KNOWN {
            state.ids.clear();
        }
        let times = state.ids.get(&id).map_or(0, |it| it.times);
        let wait = RETRY_AFTER.saturating_mul(4_u32.saturating_pow(times));
        let failing = Failing {
            times: times.saturating_add(1),
            until: Instant::now() + wait.min(LONGEST_RETRY),
        };
        state.ids.insert(id, failing);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a request for ids.
#[derive(Debug)]
pub struct IdsAnswer {
    /// What was given out of those that were requested.
    pub page: InfoPage,
    /// Those that were not, since whatever request asks for them fails: nothing is known of them.
    pub failing: BTreeSet<i64>,
}

/// Requests these ids, of which `witnesses` were given out before: an answer without any of those says nothing.
///
/// # Errors
/// As Reddit answers, where it is not due to single ids.
pub async fn request_ids(
    discover: &Discover,
    ids: impl Iterator<Item = i64>,
    witnesses: &[i64],
    class: RequestClass,
) -> Result<IdsAnswer, SourceError> {
    let known = &discover.failing_ids;
    let (requested, mut failing, again) = known.split(&ids.collect());
    let error = match info(discover, &requested, class).await {
        Ok(page) if is_silent(&page, &requested, witnesses) => None,
        Ok(page) => {
            known.succeeded(&requested);
            return Ok(IdsAnswer { page, failing });
        }
        Err(error) if error.may_be_the_request() || error.is_rate_limited() => Some(error),
        Err(error) => return Err(error),
    };
    let refused = matches!(error, Some(SourceError::Refused { .. }));
    let suspect = known.failed(&requested) || again || refused;
    let error = error.unwrap_or_else(SourceError::silent);
    if !suspect {
        return Err(error);
    }
    let isolated = isolate(discover, &requested, witnesses, class).await;
    if isolated.is_empty() {
        return Err(error);
    }
    for (id, reason) in &isolated {
        let id_text = SubmissionId::from_number(*id);
        tracing::warn!(id = %id_text, reason, "Whatever request asks for an id fails, while others succeed; it is left out of requests");
        known.leave_out(*id);
    }
    let ids = &discover.metrics.discover.ids.ids;
    let failed = ids.with_label_values(&["failed"]);
    failed.inc_by(isolated.len() as u64);
    failing.extend(isolated.into_keys());
    let rest: BTreeSet<i64> = requested.difference(&failing).copied().collect();
    let page = info(discover, &rest, class).await?;
    known.succeeded(&rest);
    Ok(IdsAnswer { page, failing })
}

/// Whether an answer leaves out even what was given out before.
fn is_silent(page: &InfoPage, requested: &BTreeSet<i64>, witnesses: &[i64]) -> bool {
    is_empty(page) && witnesses.iter().any(|id| requested.contains(id))
}

fn is_empty(page: &InfoPage) -> bool {
    page.order.is_empty() && page.items.is_empty()
}

/// The ids for which requests fail while others succeed, and why; none in an outage.
async fn isolate(
    discover: &Discover,
    requested: &BTreeSet<i64>,
    witnesses: &[i64],
    class: RequestClass,
) -> HashMap<i64, String> {
    let mut reasons: HashMap<i64, String> = HashMap::new();
    let mut search = Bisection::default();
    search.add_failed(requested.iter().copied().collect::<Vec<i64>>(), 0);
    let whole = Discover {
        reddit: discover.reddit.doubtful(),
        ..discover.clone()
    };
    let part = Discover {
        reddit: whole.reddit.within(PART_LIMIT),
        ..whole.clone()
    };
    let good = known_good(discover, requested, witnesses).await;
    loop {
        match search.next(false) {
            Step::Try(group) => {
                let all: BTreeSet<i64> = group.iter().chain(&good).copied().collect();
                let asker = if group.len() > 1 { &part } else { &whole };
                let alone = group.first().copied().filter(|_| group.len() == 1);
                let reason = match info(asker, &all, class).await {
                    Ok(page) if !is_empty(&page) => {
                        search.passed();
                        continue;
                    }
                    Ok(_) if good.is_empty() => {
                        search.harmless();
                        continue;
                    }
                    Ok(_) => SourceError::silent(),
                    Err(error) if error.may_be_the_request() || error.is_rate_limited() => error,
                    Err(_) => return HashMap::new(),
                };
                search.failed();
                if let Some(alone) = alone {
                    reasons.insert(alone, reason.to_string());
                }
            }
            Step::Check if good.is_empty() => search.no_check(),
            Step::Check => match info(&whole, &good, class).await {
                Ok(page) if !is_empty(&page) => search.check_passed(),
                _ => search.check_failed(),
            },
            Step::Done => break,
        }
    }
    let isolated: BTreeSet<i64> = search.finish().isolated.into_iter().flatten().collect();
    reasons.retain(|id, _| isolated.contains(id));
    reasons
}

/// A few that should be given out: others than these, where any are known.
async fn known_good(
    discover: &Discover,
    requested: &BTreeSet<i64>,
    witnesses: &[i64],
) -> BTreeSet<i64> {
    let newest = discover.store.newest_fetched(MAX_GOOD).await;
    let newest = newest.unwrap_or_default();
    let numbers = newest.iter().filter_map(SubmissionId::number);
    let others: BTreeSet<i64> = numbers.filter(|id| !requested.contains(id)).collect();
    if others.is_empty() {
        return witnesses.iter().copied().collect();
    }
    others
}

/// Requests these ids; without a request where there are none.
async fn info(
    discover: &Discover,
    ids: &BTreeSet<i64>,
    class: RequestClass,
) -> Result<InfoPage, SourceError> {
    let ids: Vec<SubmissionId> = ids.iter().copied().map(SubmissionId::from_number).collect();
    let progress = discover.progress.clone();
    let reddit = discover.reddit.telling(move || progress.made());
    let page = waited(discover, reddit.info(&ids, class)).await?;
    discover.progress.made();
    Ok(page)
}

/// Waits for an answer. A request that an outage holds back, for as long as Reddit asked for, does not stand still.
pub(super) async fn waited<T>(discover: &Discover, answer: impl Future<Output = T>) -> T {
    let held_back = async {
        loop {
            discover.reddit.held_back().await;
            discover.progress.made();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        answer = discover.progress.during(CALL, answer) => answer,
        () = held_back => unreachable!("it goes on until there is an answer"),
    }
}
