//! Sending one request and reading its answer whole, within limits.
//!
//! Owns the HTTP client and the request metrics. Knows no meaning of any status.

use super::budget::{Budget, BudgetError, Grant, Quota, RequestClass};
use super::clock::date;
use super::error::{SourceError, WaitCause};
use super::options::InvalidOptions;
use super::origin::{Admission, Origin};
use crate::metrics::Metrics;
use crate::network::{Large, LargeAnswers, Network};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Reddit sends about forty.
const MAX_HEADERS: usize = 128;
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Beyond this an answer is read and understood alone, since it takes several times its size meanwhile.
const LARGE: usize = 1 << 20;
/// A wait for that place that may be why an answer was not read in time.
const LONG: Duration = Duration::from_secs(1);

/// Whom to ask, as whom, and within what limits.
pub(super) struct TransportOptions<'a> {
    /// The `source` label of every metric written here.
    pub(super) source: &'static str,
    /// Every value of the `endpoint` label.
    pub(super) endpoints: &'a [&'static str],
    /// Every value of the `class` label.
    pub(super) classes: &'a [RequestClass],
    pub(super) user_agent: &'a str,
    /// From a request to the end of its answer.
    pub(super) request_timeout: Duration,
    /// For a new connection, TLS included.
    pub(super) connect_timeout: Duration,
    /// Bytes of a body after decompression; a longer one is broken.
    pub(super) max_body_bytes: usize,
    /// The proxy, and whom to trust.
    pub(super) network: &'a Network,
}

#[derive(Debug)]
pub(super) struct Transport {
    source: &'static str,
    client: Client,
    metrics: Arc<Metrics>,
    max_body_bytes: usize,
    request_timeout: Duration,
    /// See [`LARGE`].
    large: LargeAnswers,
    simulated: Arc<AtomicBool>,
    admission: OnceLock<Arc<dyn Admission>>,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) origin: Origin,
    pub(super) headers: HeaderMap,
    /// Decompressed, and made text by [`text`].
    pub(super) body: String,
    /// No other large answer is read while this is held.
    pub(super) large: Option<Large>,
    /// By our clock, milliseconds since the epoch.
    pub(super) asked_ms: i64,
    pub(super) received_ms: i64,
    /// By its `Date`, else by our clock; seconds since the epoch. No evidence of anything.
    pub(super) served_at: i64,
    /// From the request to the end of the answer.
    pub(super) seconds: f64,
}

impl Transport {
    pub(super) fn new(
        options: &TransportOptions<'_>,
        metrics: Arc<Metrics>,
    ) -> Result<Transport, InvalidOptions> {
        let client = client(options)?;
        let transport = Transport {
            source: options.source,
            client,
            metrics,
            max_body_bytes: options.max_body_bytes,
            request_timeout: options.request_timeout,
            large: options.network.large.clone(),
            simulated: Arc::default(),
            admission: OnceLock::new(),
        };
        transport.start_at_zero(options);
        Ok(transport)
    }

    /// Shows how many requests a minute the budget allows.
    pub(super) fn show_limit(&self, budget: &Budget) {
        let limit = self
            .metrics
            .api
            .budget_limit
            .with_label_values(&[self.source]);
        limit.set(f64::from(budget.requests_per_minute().get()));
    }

    /// Has the origin of every answer admitted from now on.
    pub(super) fn admitted_by(&self, admission: Arc<dyn Admission>) {
        // Whoever was asked first decides.
        let _ = self.admission.set(admission);
    }

    /// Set once an answer said of itself that it is made up.
    pub(super) fn simulated(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.simulated)
    }

    /// Series with known labels exist from the start, so that a rate over them has a first point.
    fn start_at_zero(&self, options: &TransportOptions<'_>) {
        let api = &self.metrics.api;
        for class in options.classes {
            let labels = [self.source, class.as_str()];
            api.budget_grants.with_label_values(&labels).inc_by(0);
            api.budget_wait_seconds.with_label_values(&labels);
        }
        for endpoint in options.endpoints {
            for status in ["200", "429"] {
                let requests = api
                    .requests
                    .with_label_values(&[self.source, endpoint, status]);
                requests.inc_by(0);
            }
        }
        api.budget_reset.with_label_values(&[self.source]).set(0.0);
    }

    /// Shows when the access token was asked for, seconds since the epoch, and when it expires.
    pub(super) fn token(&self, issued: f64, lifetime: Duration) {
        let (api, expiry) = (&self.metrics.api, issued + lifetime.as_secs_f64());
        api.token_issued
            .with_label_values(&[self.source])
            .set(issued);
        api.token_expiry
            .with_label_values(&[self.source])
            .set(expiry);
    }

    /// Shows that there is no access token.
    pub(super) fn no_token(&self) {
        self.token(0.0, Duration::ZERO);
    }

    /// Waits for the right to make one request, and counts it.
    pub(super) async fn grant(
        &self,
        budget: &Budget,
        class: RequestClass,
    ) -> Result<Grant, BudgetError> {
        let started = Instant::now();
        let grant = budget.acquire(class).await?;
        let api = &self.metrics.api;
        let labels = [self.source, class.as_str()];
        api.budget_grants.with_label_values(&labels).inc();
        api.budget_wait_seconds
            .with_label_values(&labels)
            .observe(started.elapsed().as_secs_f64());
        Ok(grant)
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request for which a grant was taken, and reads the answer to its end.
    pub(super) async fn exchange(
        &self,
        endpoint: &'static str,
        request: RequestBuilder,
    ) -> Result<Answer, SourceError> {
        let mut counted = Counted {
            metrics: &self.metrics,
            source: self.source,
            endpoint,
            started: Instant::now(),
            status: "cancelled".to_owned(),
        };
        let result = self.whole(request).await;
        counted.status = match &result {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(_) => "error".to_owned(),
        };
        result
    }

    async fn whole(&self, request: RequestBuilder) -> Result<Answer, SourceError> {
        let (asked_ms, started) = (now_ms(), Instant::now());
        let mut response = request.send().await.map_err(failed)?;
        let origin = Origin::of(response.headers());
        // What says nothing of it may come from what stands in between, as long as it gives out nothing.
        if origin == Origin::Simulated {
            self.admit(origin).await?;
        }
        let simulated = origin == Origin::Simulated;
        self.simulated.fetch_or(simulated, Ordering::Relaxed);
        let served_at = date(response.headers()).unwrap_or(asked_ms.div_euclid(1_000));
        let (body, large) = self.body(&mut response).await?;
        Ok(Answer {
            status: response.status(),
            origin,
            headers: std::mem::take(response.headers_mut()),
            body,
            large,
            asked_ms,
            received_ms: now_ms(),
            served_at,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Whether submissions of this origin may be used.
    pub(super) async fn admit(&self, origin: Origin) -> Result<(), SourceError> {
        let Some(admission) = self.admission.get() else {
            return Ok(());
        };
        let admitted = admission.admit(origin).await;
        admitted.map_err(|why| SourceError::wait(WaitCause::OtherOrigin, why))
    }

    async fn body(&self, response: &mut Response) -> Result<(String, Option<Large>), SourceError> {
        let mut bytes = Vec::new();
        let mut large = None;
        let mut waited = Duration::ZERO;
        let too_long = || {
            SourceError::wait(
                WaitCause::BrokenBody,
                format!("the body is longer than {} bytes", self.max_body_bytes),
            )
        };
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // It had to wait for its place, and the request's time ran out meanwhile.
                Err(error) if waited >= LONG && error.is_timeout() => return Err(crowded()),
                Err(error) => return Err(failed(error)),
            };
            let length = bytes.len() + chunk.len();
            if length > self.max_body_bytes {
                return Err(too_long());
            }
            if length > LARGE && large.is_none() {
                let begun = Instant::now();
                large = Some(self.place_for_large().await?);
                waited = begun.elapsed();
            }
            // Grows by doubling, but never beyond what a body may have.
            if length > bytes.capacity() {
                let room = length.max(bytes.capacity() * 2).min(self.max_body_bytes);
                bytes.reserve_exact(room - bytes.len());
            }
            bytes.extend_from_slice(&chunk);
        }
        if !is_text(&bytes) && text_length(&bytes) > self.max_body_bytes {
            return Err(too_long());
        }
        Ok((text(bytes), large))
    }

    async fn place_for_large(&self) -> Result<Large, SourceError> {
        let place = self.large.place(self.request_timeout).await;
        place.ok_or_else(crowded)
    }

    /// Tells budget and gauges what the headers of an API answer say. Those of a token endpoint
    /// count another window and are not for this.
    pub(super) fn count_down(&self, budget: &Budget, grant: &Grant, quota: &Quota) {
        budget.observe(grant, quota);
        let api = &self.metrics.api;
        let remaining = quota.remaining.or(grant.remaining());
        api.budget_remaining
            .with_label_values(&[self.source])
            .set(remaining.unwrap_or(grant.tokens().floor()));
        let window = quota.window().or(grant.window());
        #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
        let ends = window.map(|it| now_ms() as f64 / 1_000.0 + it.as_secs_f64());
        let reset = api.budget_reset.with_label_values(&[self.source]);
        reset.set(ends.unwrap_or(0.0));
    }
}

/// The HTTP client of a source.
pub(super) fn client(options: &TransportOptions<'_>) -> Result<Client, InvalidOptions> {
    let invalid = |option, problem: String| InvalidOptions { option, problem };
    let agent = HeaderValue::from_str(options.user_agent)
        .map_err(|error| invalid("user_agent", error.to_string()))?;
    let mut client = Client::builder()
        .default_headers(HeaderMap::from_iter([(USER_AGENT, agent)]))
        // A redirect is an answer: that of a subreddit which does not exist leads to an empty
        // success. And the token goes to the configured host alone.
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy is configuration: none is taken from the environment unasked.
        .no_proxy()
        // Every request has its own grant; a hidden repetition would have none.
        .retry(retry::never())
        .gzip(true)
        .timeout(options.request_timeout)
        .connect_timeout(options.connect_timeout)
        .http1_max_headers(MAX_HEADERS)
        .http2_max_header_list_size(MAX_HEADER_BYTES);
    let unusable =
        |error: reqwest::Error| invalid("the HTTP client", error.without_url().to_string());
    if let Some(own) = options.network.trust.own() {
        let own = reqwest::Certificate::from_pem_bundle(own.as_bytes()).map_err(unusable)?;
        client = client.tls_certs_merge(own);
    }
    if let Some(proxy) = &options.network.proxy {
        client = proxy.apply(client).map_err(unusable)?;
    }
    client.build().map_err(unusable)
}

/// Counts a request at its end, however it ends: one that nobody waits for any more cost quota too.
struct Counted<'a> {
    metrics: &'a Metrics,
    source: &'static str,
    endpoint: &'static str,
    started: Instant,
    status: String,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let api = &self.metrics.api;
        api.request_seconds
            .with_label_values(&[self.source, self.endpoint])
            .observe(self.started.elapsed().as_secs_f64());
        api.requests
            .with_label_values(&[self.source, self.endpoint, &self.status])
            .inc();
    }
}

impl Answer {
    /// By its own word or by its looks.
    pub(super) fn is_html(&self) -> bool {
        let says_so = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .is_some_and(|it| it.to_ascii_lowercase().contains("html"));
        let body = self.body.trim_start();
        body.starts_with('<') || (says_so && !body.starts_with('{'))
    }
}

/// Whether [`text`] leaves it as it is.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| is_stray((*byte).into())) && std::str::from_utf8(bytes).is_ok()
}

/// How long [`text`] makes it: what is no text grows.
fn text_length(bytes: &[u8]) -> usize {
    let replaced = char::REPLACEMENT_CHARACTER.len_utf8();
    let stray = bytes
        .iter()
        .filter(|byte| is_stray((**byte).into()))
        .count();
    let chunks = bytes.utf8_chunks().map(|chunk| match chunk.invalid() {
        [] => chunk.valid().len(),
        _ => chunk.valid().len() + replaced,
    });
    chunks.sum::<usize>() + stray * (replaced - 1)
}

fn is_stray(it: char) -> bool {
    it < ' ' && !matches!(it, '\t' | '\n' | '\r')
}

/// Bytes that are no text cost themselves and nothing else: what is no UTF-8, and control characters
/// that JSON may hold nowhere, become U+FFFD.
pub(super) fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.bytes().any(|byte| is_stray(byte.into())) {
        text.replace(is_stray, "\u{fffd}")
    } else {
        text
    }
}

/// An address below the configured one, which may have a path of its own.
pub(super) fn below(base: &Url, segments: &[&str]) -> Result<Url, SourceError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| SourceError::unsent("the configured address has no path"))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// Our clock, milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn failed(error: reqwest::Error) -> SourceError {
    let (cause, detail) = if error.is_timeout() {
        let detail = "no whole answer within the time limit".to_owned();
        (WaitCause::Timeout, detail)
    } else if error.is_body() || error.is_decode() {
        let detail = "the answer's body ends or breaks off early".to_owned();
        (WaitCause::BrokenBody, detail)
    } else if error.is_connect() {
        let why = refusal(&error).map_or(String::new(), |why| format!(": {why}"));
        (WaitCause::Network, format!("no connection{why}"))
    } else if causes(&error).any(|it| it.to_string() == HEAD_TOO_LARGE) {
        let detail = "the answer's headers are too many or too long".to_owned();
        (WaitCause::Network, detail)
    } else {
        let detail = "the connection broke before an answer".to_owned();
        (WaitCause::Network, detail)
    };
    SourceError::Wait {
        cause,
        retry_after: None,
        detail,
        source: Some(Arc::new(error.without_url())),
    }
}

fn crowded() -> SourceError {
    let detail = "other large answers took all the time there was";
    SourceError::wait(WaitCause::Crowded, detail)
}

/// As hyper says it, whose error type is not reqwest's to show.
const HEAD_TOO_LARGE: &str = "message head is too large";

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |it| Error::source(*it))
}

/// Why there is no connection, as the system or TLS says it: refused, unknown host, a certificate
/// that is not to be trusted. Neither has heard a secret by then.
fn refusal(error: &reqwest::Error) -> Option<String> {
    let lowest = causes(error).filter_map(|it| it.downcast_ref::<std::io::Error>());
    lowest.last().map(ToString::to_string)
}
