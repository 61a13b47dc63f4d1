//! The Arctic Shift archive: submissions of the past, by the time of their creation.
//!
//! One call is one page. It waits for its turn and asks; where that was too much for the archive at
//! once, it asks again for less, a few times. Any other repetition is the caller's decision.

mod options;
mod reply;
mod size;

pub use options::ArcticShiftOptions;

use super::budget::{Budget, RequestClass};
use super::error::{SourceError, WaitCause};
use super::gate::{Gate, Pass, Words};
use super::observer::Observer;
use super::options::InvalidOptions;
use super::origin::Admission;
use super::transport::{Answer, Transport, TransportOptions, below, now_ms};
use crate::dependency::{Dependency, Service};
use crate::metrics::Metrics;
use crate::network::Large;
use crate::submission::{Observation, SubredditName, Undecodable};
use reply::Failure;
use reqwest::{Method, Url};
use size::{LONGEST_PAUSE, PageSize};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::time::sleep;

/// The `source` label of every metric written here.
const SOURCE: &str = "arctic-shift";
/// The `endpoint` label.
const POSTS_SEARCH: &str = "posts_search";

const WORDS: Words = Words {
    out: "The archive Arctic Shift is out; it is asked again until it answers",
    no_access: "The archive Arctic Shift gives no access; check arctic_shift.url. It is asked again \
                until it does",
    back: "The archive Arctic Shift answers again",
};

/// How often one page is asked for while that is too much for the archive.
const TRIES: u32 = 3;

/// Later times are not told: the archive would read them as milliseconds.
const LATEST: i64 = 99_999_999_999;

/// A client of the archive; cheap to clone, all clones share budget, back-off and the size of pages.
#[derive(Clone, Debug)]
pub struct ArcticShift(Arc<Inner>, Observer);

#[derive(Debug)]
struct Inner {
    url: Url,
    transport: Transport,
    gate: Gate,
    budget: Budget,
    size: PageSize,
}

/// Which of the submissions come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// By creation.
    OldestFirst,
    /// By creation, backwards.
    NewestFirst,
}

/// Submissions of one subreddit and one interval.
#[derive(Debug, Clone)]
pub struct ArchivePage {
    /// The submissions, in the order asked for. Each was observed when the archive got it from
    /// Reddit.
    pub items: Vec<Observation>,
    /// Rows that hold no submission, or none that can be named and dated.
    pub undecodable: Vec<Undecodable>,
    /// Where those rows lay, by the rows around them; seconds.
    pub unreadable: Vec<Range<i64>>,
    /// Whether the answer held as many rows as it may: more may lie beyond.
    pub full: bool,
    /// How many rows were asked for at most.
    pub asked_for: u32,
    /// How many requests it took, 1 unless the archive was too slow; 0 for an empty interval.
    pub requests: u32,
    /// When the last of them was asked, milliseconds since the epoch.
    pub asked_ms: i64,
    /// When the last answer was made at the latest, by our clock and by the archive's: nothing that it
    /// leaves out after that is known to be missing. Seconds since the epoch.
    pub served_at: i64,
    /// From the last request to the end of its answer, without the wait for the budget.
    pub seconds: f64,
    /// Keeps other large answers waiting until this one is stored.
    pub large: Option<Large>,
}

impl ArcticShift {
    /// Prepares a client; nothing is sent before the first call.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the option that cannot work.
    pub fn new(
        options: ArcticShiftOptions,
        budget: Budget,
        metrics: Arc<Metrics>,
    ) -> Result<ArcticShift, InvalidOptions> {
        options.check()?;
        let limits = TransportOptions {
            source: SOURCE,
            endpoints: &[POSTS_SEARCH],
            classes: &[RequestClass::Backfill],
            user_agent: &options.user_agent,
            request_timeout: options.request_timeout,
            connect_timeout: options.connect_timeout,
            max_body_bytes: options.max_body_bytes,
            network: &options.network,
        };
        let transport = Transport::new(&limits, metrics)?;
        transport.show_limit(&budget);
        let inner = Inner {
            transport,
            url: options.url,
            gate: Gate::new(WORDS, Service::Archive),
            budget,
            size: PageSize::default(),
        };
        Ok(ArcticShift(Arc::new(inner), Observer::none()))
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    /// Has the origin of every answer that gives out submissions admitted before it is used; once.
    pub fn admitted_by(&self, admission: Arc<dyn Admission>) {
        self.0.transport.admitted_by(admission);
    }

    /// Whether an answer so far said of itself that it comes from a simulation.
    pub fn simulated(&self) -> Arc<AtomicBool> {
        self.0.transport.simulated()
    }

    /// How the archive fares, as its answers show.
    pub fn dependency(&self) -> &Dependency {
        self.0.gate.dependency()
    }

    /// The same client, which calls `moved` now and then while a request of its own waits for the
    /// budget, however long, as long as the budget moves, and whenever it asks again for less.
    pub fn telling(&self, moved: impl Fn() + Send + Sync + 'static) -> ArcticShift {
        ArcticShift(Arc::clone(&self.0), Observer::new(moved))
    }

    /// One page of a subreddit's submissions that were created from `start` on and before `end`,
    /// seconds since the epoch. It asks for at least `at_least` rows, as far as the archive gives out
    /// so many (100); for fewer than that where it is slow.
    ///
    /// # Errors
    /// [`SourceError`]; never `Unavailable`: of a subreddit that it does not hold, the archive gives
    /// out an empty page.
    pub async fn page(
        &self,
        subreddit: &SubredditName,
        start: i64,
        end: i64,
        order: Order,
        at_least: u32,
    ) -> Result<ArchivePage, SourceError> {
        let interval = start.max(0)..end;
        if interval.is_empty() {
            return Ok(ArchivePage::nothing(now_ms()));
        }
        let url = search_url(&self.0.url, subreddit, &interval, order)?;
        loop {
            let pass = self.0.gate.pass().await;
            let asked = reply::Asked {
                subreddit,
                interval: &interval,
                order,
                rows: at_least,
            };
            if let Some(result) = self.tries(&url, &asked, &pass).await {
                pass.settle(result.as_ref().err());
                return result;
            }
        }
    }

    /// Asks until there is an answer that is none of slowness; nothing where the gate was shut
    /// meanwhile.
    async fn tries(
        &self,
        url: &Url,
        wanted: &reply::Asked<'_>,
        pass: &Pass<'_>,
    ) -> Option<Result<ArchivePage, SourceError>> {
        let inner = &*self.0;
        let host = url.host_str().unwrap_or_default();
        let mut requests = 0;
        loop {
            let asked = inner.size.now(wanted.rows);
            let sized = reply::Asked {
                rows: asked.rows,
                ..*wanted
            };
            let answer = match self.attempt(url, asked.rows, pass).await? {
                Ok(answer) => {
                    let origin = answer.origin;
                    match reply::read(answer, host, &sized) {
                        Ok(page) if !page.items.is_empty() => {
                            let admitted = inner.transport.admit(origin).await;
                            admitted.map(|()| page).map_err(Failure::Other)
                        }
                        other => other,
                    }
                }
                Err(error) if is_timeout(&error) => Err(Failure::Slow(error)),
                Err(error) => Err(Failure::Other(error)),
            };
            requests += 1;
            let mut error = match answer {
                Ok(page) => {
                    inner.size.answered(asked);
                    return Some(Ok(ArchivePage { requests, ..page }));
                }
                Err(Failure::Other(error)) => return Some(Err(error)),
                Err(Failure::Slow(error)) => error,
            };
            let mut pause = inner.size.too_slow(asked);
            if let SourceError::Wait { retry_after, .. } = &mut error {
                pause = pause.max(retry_after.unwrap_or_default());
                *retry_after = Some(pause);
            }
            if requests >= TRIES || pause > LONGEST_PAUSE {
                return Some(Err(error));
            }
            tracing::debug!(%error, rows = asked.rows, ?pause, "The archive is asked again for less");
            sleep(pause).await;
            self.1.call();
        }
    }

    /// One request; nothing where the gate was shut before it could be sent.
    async fn attempt(
        &self,
        url: &Url,
        rows: u32,
        pass: &Pass<'_>,
    ) -> Option<Result<Answer, SourceError>> {
        let inner = &*self.0;
        let turn = inner.transport.grant(&inner.budget, RequestClass::Backfill);
        let grant = match inner.budget.watched(|| self.1.call(), turn).await {
            Ok(grant) => grant,
            Err(error) => return Some(Err(error.into())),
        };
        // The wait for the budget may have been long.
        if pass.overtaken() {
            return None;
        }
        let mut url = url.clone();
        url.query_pairs_mut()
            .append_pair("limit", &rows.to_string());
        let request = inner.transport.request(Method::GET, url);
        let answer = inner.transport.exchange(POSTS_SEARCH, request).await;
        if let Ok(answer) = &answer {
            let quota = reply::quota(answer);
            inner.transport.count_down(&inner.budget, &grant, &quota);
        }
        Some(answer)
    }
}

impl ArchivePage {
    /// The answer to a question for nothing.
    fn nothing(now_ms: i64) -> ArchivePage {
        ArchivePage {
            items: Vec::new(),
            undecodable: Vec::new(),
            unreadable: Vec::new(),
            full: false,
            asked_for: 0,
            requests: 0,
            asked_ms: now_ms,
            served_at: now_ms.div_euclid(1_000),
            seconds: 0.0,
            large: None,
        }
    }
}

fn is_timeout(error: &SourceError) -> bool {
    let timeout = WaitCause::Timeout;
    matches!(error, SourceError::Wait { cause, .. } if *cause == timeout)
}

/// The address of a page, but for its size. Nobody says whether the bounds belong to what is given
/// out: so it is asked for a second more at the start, and what lies outside is dropped.
fn search_url(
    base: &Url,
    subreddit: &SubredditName,
    interval: &Range<i64>,
    order: Order,
) -> Result<Url, SourceError> {
    let mut url = below(base, &["api", "posts", "search"])?;
    let mut query = url.query_pairs_mut();
    query.append_pair("subreddit", subreddit.as_str());
    if interval.start > 0 {
        query.append_pair("after", &(interval.start - 1).to_string());
    }
    if interval.end <= LATEST {
        query.append_pair("before", &interval.end.to_string());
    }
    query.append_pair(
        "sort",
        match order {
            Order::OldestFirst => "asc",
            Order::NewestFirst => "desc",
        },
    );
    drop(query);
    Ok(url)
}
