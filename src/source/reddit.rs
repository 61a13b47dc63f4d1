//! Reddit's API: listings and submissions, through one budget.
//!
//! One call is one logical attempt: it waits for its turn, asks once (twice where the access token
//! had expired) and says what the answer means. Repeating is the caller's decision.

mod auth;
mod decisions;
mod info;
mod listing;
mod options;
mod received;

pub use info::{InfoPage, MAX_INFO_IDS};
pub use listing::ListingPage;
pub use options::{Login, RedditOptions};
pub use received::Received;

use super::budget::{Budget, Quota, RequestClass};
use super::clock::{Dated, EvidenceClock, Sent};
use super::error::{SourceError, WaitCause};
use super::gate::{self, Gate, Words};
use super::observer::Observer;
use super::options::InvalidOptions;
use super::origin::Admission;
use super::transport::{self, Answer, Transport, TransportOptions};
use crate::dependency::{Dependency, Service};
use crate::metrics::Metrics;
use crate::submission::{SubmissionId, SubredditName};
use auth::Auth;
use reqwest::{Method, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// The `source` label of every metric written here.
const SOURCE: &str = "reddit";

const WORDS: Words = Words {
    out: "Reddit is out; it is asked again until it answers, and no job spends an attempt",
    no_access: "Reddit gives no access; check reddit.client_id and what belongs to it. It is asked \
                again until it does",
    back: "Reddit answers again",
};

/// The `endpoint` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    New,
    Info,
    Token,
}

impl Endpoint {
    const ALL: [Endpoint; 3] = [Endpoint::New, Endpoint::Info, Endpoint::Token];

    fn as_str(self) -> &'static str {
        match self {
            Endpoint::New => "new",
            Endpoint::Info => "info",
            Endpoint::Token => "token",
        }
    }
}

/// A client of Reddit's API; cheap to clone, all clones share token, budget and back-off.
#[derive(Clone, Debug)]
pub struct Reddit {
    inner: Arc<Inner>,
    moved: Observer,
    /// Called when a request of its own got its grant.
    granted: Observer,
    /// Whether its requests may fail for what they ask for.
    doubtful: bool,
    /// How long one of them may take, where that is less than usual.
    limit: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    api_url: Url,
    transport: Transport,
    auth: Auth,
    gate: Gate,
    budget: Budget,
    /// One permit: see [`Reddit::hold_much`].
    deep: Arc<Semaphore>,
    clock: EvidenceClock,
}

impl Reddit {
    /// Prepares a client; nothing is sent before the first call.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the option that cannot work.
    pub fn new(
        options: RedditOptions,
        budget: Budget,
        metrics: Arc<Metrics>,
    ) -> Result<Reddit, InvalidOptions> {
        options.check()?;
        let limits = TransportOptions {
            source: SOURCE,
            endpoints: &Endpoint::ALL.map(Endpoint::as_str),
            classes: &RequestClass::ALL,
            user_agent: &options.user_agent,
            request_timeout: options.request_timeout,
            connect_timeout: options.connect_timeout,
            max_body_bytes: options.max_body_bytes,
            network: &options.network,
        };
        let clock = EvidenceClock::new(SOURCE, options.now_ms, Arc::clone(&metrics));
        let transport = Transport::new(&limits, metrics)?;
        transport.show_limit(&budget);
        transport.no_token();
        let inner = Inner {
            api_url: options.api_url.clone(),
            transport,
            auth: Auth::new(options),
            gate: Gate::new(WORDS, Service::Reddit),
            budget,
            deep: Arc::new(Semaphore::new(1)),
            clock,
        };
        Ok(Reddit {
            inner: Arc::new(inner),
            moved: Observer::none(),
            granted: Observer::none(),
            doubtful: false,
            limit: None,
        })
    }

    /// The same client, which calls `moved` now and then while a request of its own waits for the
    /// budget, however long, as long as the budget moves.
    pub fn telling(&self, moved: impl Fn() + Send + Sync + 'static) -> Reddit {
        Reddit {
            moved: Observer::new(moved),
            ..self.clone()
        }
    }

    /// The same client, which calls `granted` when a request of its own has its turn and is sent.
    pub fn on_grant(&self, granted: impl Fn() + Send + Sync + 'static) -> Reddit {
        Reddit {
            granted: Observer::new(granted),
            ..self.clone()
        }
    }

    /// The same client for requests that may fail for what they ask for, while all others succeed: their
    /// failures hold no other request back.
    pub fn doubtful(&self) -> Reddit {
        Reddit {
            doubtful: true,
            ..self.clone()
        }
    }

    /// The same client for requests that are not to wait for their answers as long as usual.
    pub fn within(&self, limit: Duration) -> Reddit {
        Reddit {
            limit: Some(limit),
            ..self.clone()
        }
    }

    /// One page of `/r/a+b+c/new`, newest first as far as Reddit keeps that order. `after` is the
    /// fullname of an anchor (`t3_…`); `limit` is brought into 1 to 100.
    ///
    /// An anchor that is no longer in the listing is answered with an empty page, not an error.
    ///
    /// # Errors
    /// [`SourceError`]; `Unavailable` speaks of the subreddits asked for, all together.
    pub async fn new_page(
        &self,
        names: &[SubredditName],
        after: Option<&str>,
        limit: u32,
        class: RequestClass,
    ) -> Result<ListingPage, SourceError> {
        let url = listing::new_url(&self.inner.api_url, names, after, limit)?;
        self.ask(Endpoint::New, url, class, None, |answer, sent| {
            let dated = Dated::read(&answer.headers);
            let mut page = listing::read(answer)?;
            let items = page.items.iter().map(|item| {
                let submission = &item.submission;
                (submission.id.as_str(), submission.created_utc)
            });
            page.moment = self.inner.clock.read(sent, dated, items);
            Ok(page)
        })
        .await
    }

    /// `/api/info` for up to 100 ids. Ids that Reddit leaves out are simply not in the items; an
    /// empty list of ids is answered without a request.
    ///
    /// # Errors
    /// [`SourceError`]; never `Unavailable`.
    pub async fn info(
        &self,
        ids: &[SubmissionId],
        class: RequestClass,
    ) -> Result<InfoPage, SourceError> {
        self.info_until(ids, class, None).await
    }

    /// [`Reddit::info`] for callers that wait for their turn until `deadline` at most. A request
    /// that was sent by then ends by its own time limit: what it cost and told is not thrown away.
    ///
    /// # Errors
    /// As [`Reddit::info`]; where no turn came in time, [`SourceError::Wait`] with
    /// [`WaitCause::Budget`].
    pub async fn info_before(
        &self,
        ids: &[SubmissionId],
        class: RequestClass,
        deadline: Instant,
    ) -> Result<InfoPage, SourceError> {
        self.info_until(ids, class, Some(deadline)).await
    }

    async fn info_until(
        &self,
        ids: &[SubmissionId],
        class: RequestClass,
        deadline: Option<Instant>,
    ) -> Result<InfoPage, SourceError> {
        if ids.is_empty() {
            return Ok(InfoPage::nothing(transport::now_ms()));
        }
        let url = info::info_url(&self.inner.api_url, ids)?;
        self.ask(Endpoint::Info, url, class, deadline, |answer, _| {
            listing::read(answer).map(InfoPage::from)
        })
        .await
    }

    /// Waits for the one place for a walk that has to hold much of what was answered.
    pub async fn hold_much(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.inner.deep).acquire_owned().await.ok()
    }

    /// As [`Reddit::hold_much`], where nobody has that place.
    pub fn try_hold_much(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.deep).try_acquire_owned().ok()
    }

    /// Has the origin of every answer that gives out submissions admitted before it is used; once.
    pub fn admitted_by(&self, admission: Arc<dyn Admission>) {
        self.inner.transport.admitted_by(admission);
    }

    /// Whether an answer so far said of itself that it comes from the simulated Reddit.
    pub fn simulated(&self) -> Arc<AtomicBool> {
        self.inner.transport.simulated()
    }

    /// How Reddit fares, as its answers show.
    pub fn dependency(&self) -> &Dependency {
        self.inner.gate.dependency()
    }

    /// What its requests are counted by.
    pub fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    /// Reddit's clock as its last answer told it, seconds since the epoch: to be shown, and no evidence.
    pub fn its_time(&self) -> i64 {
        self.inner.clock.heard()
    }

    /// The time as far as Reddit's clock and ours agree, seconds since the epoch. No evidence.
    pub fn now(&self) -> i64 {
        self.inner.clock.now()
    }

    /// Notes a moment (seconds since the epoch) of which it was proven before that it has passed.
    pub fn has_passed(&self, moment: i64) {
        self.inner.clock.has_passed(moment);
    }

    /// By how many seconds Reddit's clock is ahead of ours, while the two keep disagreeing.
    pub fn clock_skew(&self) -> Option<i64> {
        self.inner.clock.skew()
    }

    /// Returns once requests are held back because the last ones failed; at once while they are.
    pub async fn held_back(&self) {
        self.inner.gate.shut().await;
    }

    /// For how long requests are held back.
    pub fn held_back_for(&self) -> Duration {
        self.inner.gate.shut_for()
    }

    async fn ask<T: GivesOut>(
        &self,
        endpoint: Endpoint,
        url: Url,
        class: RequestClass,
        deadline: Option<Instant>,
        read: impl Fn(Answer, Sent) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut pass = turn(deadline, self.inner.gate.pass()).await?;
        let result = loop {
            let attempt = self.attempt(endpoint, &url, class, deadline, &pass);
            match attempt.await {
                Err(Held::Shut) => pass = turn(deadline, self.inner.gate.pass()).await?,
                Err(Held::Failed(error)) => break Err(error),
                Ok((answer, sent)) => {
                    let origin = answer.origin;
                    break match read(answer, sent) {
                        Ok(page) if page.gives_out() => {
                            let admitted = self.inner.transport.admit(origin).await;
                            admitted.map(|()| page)
                        }
                        other => other,
                    };
                }
            }
        };
        if self.doubtful {
            pass.settle_doubtful(result.as_ref().err());
        } else {
            pass.settle(result.as_ref().err());
        }
        result
    }

    async fn attempt(
        &self,
        endpoint: Endpoint,
        url: &Url,
        class: RequestClass,
        deadline: Option<Instant>,
        pass: &gate::Pass<'_>,
    ) -> Result<(Answer, Sent), Held> {
        let inner = &*self.inner;
        let mut renewed = false;
        // All the others wait for a probe: it takes the turn of what discovers.
        let class = if pass.probes() && class != RequestClass::Scan {
            RequestClass::Poll
        } else {
            class
        };
        loop {
            let wait = async {
                let token = inner.auth.token(&inner.transport, &inner.budget, deadline);
                let token = token.await?;
                let grant = turn(deadline, inner.transport.grant(&inner.budget, class));
                // A grant that comes while requests are held back would be lost.
                tokio::select! {
                    biased;
                    () = pass.until_overtaken() => Err(Held::Shut),
                    grant = grant => Ok::<_, Held>((token, grant??)),
                }
            };
            let (token, grant) = inner.budget.watched(|| self.moved.call(), wait).await?;
            // The wait for the budget may have been long.
            if token.expired() {
                continue;
            }
            if pass.overtaken() {
                return Err(Held::Shut);
            }
            let request = inner
                .transport
                .request(Method::GET, url.clone())
                .header(reqwest::header::AUTHORIZATION, token.header());
            let request = match self.limit {
                Some(limit) => request.timeout(limit),
                None => request,
            };
            self.granted.call();
            let sent = inner.clock.sent();
            let answer = inner.transport.exchange(endpoint.as_str(), request).await?;
            inner.clock.hear(&answer.headers);
            inner
                .transport
                .count_down(&inner.budget, &grant, &Quota::read(&answer.headers));
            if answer.status == StatusCode::UNAUTHORIZED && !renewed {
                // Another's renewal is waited for like a renewal of one's own.
                let forget = turn(deadline, inner.auth.forget(&token, &inner.transport));
                inner.budget.watched(|| self.moved.call(), forget).await?;
                renewed = true;
                continue;
            }
            decisions::decide(endpoint, url.path(), &answer)?;
            return Ok((answer, sent));
        }
    }
}

/// An answer that may hold submissions.
trait GivesOut {
    fn gives_out(&self) -> bool;
}

impl GivesOut for ListingPage {
    fn gives_out(&self) -> bool {
        !self.items.is_empty()
    }
}

impl GivesOut for InfoPage {
    fn gives_out(&self) -> bool {
        !self.items.is_empty()
    }
}

/// Waits for a turn, as long as the caller may wait for one.
async fn turn<T>(
    deadline: Option<Instant>,
    wait: impl Future<Output = T>,
) -> Result<T, SourceError> {
    match deadline {
        None => Ok(wait.await),
        Some(deadline) => timeout_at(deadline, wait)
            .await
            .map_err(|_| SourceError::wait(WaitCause::Budget, "no turn to ask came in time")),
    }
}

/// Why an attempt has no answer.
enum Held {
    /// The gate was shut while it waited for its grant; nothing was sent.
    Shut,
    Failed(SourceError),
}

impl<E: Into<SourceError>> From<E> for Held {
    fn from(error: E) -> Held {
        Held::Failed(error.into())
    }
}
