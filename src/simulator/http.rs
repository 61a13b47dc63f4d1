//! The simulated Reddit on the wire.
//!
//! Owns the order in which a request meets things, as on the real service: first what stands in
//! front of it (outages, errors of the network's edge), then the token, then the quota, then the
//! answer, and last what can go wrong with an answer on its way. The archive is met the same way, but
//! for the token.

mod answer;
mod archive;
mod broken;
mod line;
mod listings;
mod own;
mod query;
mod token;

use super::control::Control;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::gate::{Standing, Verdict};
use super::requests::{RequestRecord, UnderWay};
use answer::Submissions;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::Response;
use axum::routing::{get, post};
use broken::{Untouched, WrongDate};
use line::{Line, LineListener};
use rand::RngExt;
use std::io;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

/// Serves until told to stop.
pub(super) async fn serve(
    control: Control,
    listener: TcpListener,
    stop: CancellationToken,
) -> io::Result<()> {
    let gzip = control.shared.gzip;
    let mut router = Router::new()
        .route("/simulator/health", get(own::health))
        .route("/simulator/stats", get(own::stats))
        .route("/simulator/requests", get(own::requests))
        .route("/simulator/subreddits", get(own::subreddits))
        .route("/simulator/truth", get(own::truth))
        .route("/simulator/control", post(own::control))
        .fallback(reddit);
    if gzip {
        router = router.layer(CompressionLayer::new().compress_when(
            |_, _, _: &HeaderMap, extensions: &axum::http::Extensions| {
                extensions.get::<Untouched>().is_none()
            },
        ));
    }
    let router = router
        .layer(axum::middleware::map_response_with_state(
            control.clone(),
            sign,
        ))
        .with_state(control);
    axum::serve(
        LineListener::new(listener),
        router.into_make_service_with_connect_info::<Line>(),
    )
    .with_graceful_shutdown(stop.cancelled_owned())
    .await
}

/// Marks every answer as simulated, and dates it in world time, unless its `Date` is to be wrong.
async fn sign(State(control): State<Control>, mut response: Response) -> Response {
    let now_ms = control.now_ms();
    let now_ms = match response.extensions().get::<WrongDate>() {
        None => Some(now_ms),
        Some(WrongDate::Ahead(seconds)) => {
            Some(now_ms.saturating_add(seconds.saturating_mul(1000)))
        }
        Some(WrongDate::Unreadable) => None,
    };
    let headers = response.headers_mut();
    headers.insert("x-simulated", HeaderValue::from_static("true"));
    let date = match now_ms {
        Some(now_ms) => chrono::DateTime::from_timestamp_millis(now_ms)
            .map(|now| now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .and_then(|date| HeaderValue::try_from(date).ok()),
        // The server would add its own where there is none at all.
        None => Some(HeaderValue::from_static("unknown")),
    };
    if let Some(date) = date {
        headers.insert(header::DATE, date);
    }
    response
}

/// Answers a request as Reddit or the archive would.
async fn reddit(
    State(control): State<Control>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let shared = &control.shared;
    let _under_way = UnderWay::count(&shared.under_way);
    let uri = request.uri().clone();
    let endpoint = Endpoint::of(uri.path());
    let at_ms = shared.clock.service_ms();
    shared.requests().arrived(at_ms, endpoint);
    let fault = choose_fault(&control, endpoint, &uri);
    let delay_ms = match fault {
        Some(Fault::Slow { delay_ms }) => u64::from(delay_ms),
        _ => 0,
    };
    let delay = shared.latency + Duration::from_millis(delay_ms);
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.stop.cancelled() => {}
        }
    }
    let response = match fault.and_then(|fault| broken::instead(fault, endpoint)) {
        Some(response) => response,
        None => {
            let response = respond(&control, endpoint, &uri, request, fault).await;
            match fault {
                Some(fault) => broken::spoil(response, fault).await,
                None => response,
            }
        }
    };
    let (response, fault) = match fault {
        None if endpoint.is_archive() => poisoned_row(&control, endpoint, response).await,
        fault => (response, fault),
    };
    let reset = fault == Some(Fault::Reset);
    shared.requests().add(RequestRecord {
        at_ms,
        endpoint,
        uri: uri.to_string(),
        status: if reset { 0 } else { response.status().as_u16() },
        submissions: match response.extensions().get::<Submissions>() {
            Some(Submissions(count)) => *count,
            None => 0,
        },
        fault,
    });
    if reset {
        line.reset();
    }
    response
}

/// An answer of the archive fails if a row in it is poisoned.
async fn poisoned_row(
    control: &Control,
    endpoint: Endpoint,
    response: Response,
) -> (Response, Option<Fault>) {
    if control.shared.faults().plan.poisons_nothing() {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let fault = control.shared.faults().plan.poisoned_row(&text);
    let instead = fault.and_then(|fault| broken::instead(fault, endpoint));
    let response = instead.unwrap_or_else(|| Response::from_parts(parts, Body::from(body)));
    (response, fault)
}

/// What is planned for a request, or what chance says.
fn choose_fault(control: &Control, endpoint: Endpoint, uri: &Uri) -> Option<Fault> {
    let oddities = &control.shared.oddities;
    let mut faults = control.shared.faults();
    if let Some(planned) = faults.plan.take(endpoint) {
        return Some(planned);
    }
    if let Some(poisoned) = faults.plan.poisoned(&uri.to_string()) {
        return Some(poisoned);
    }
    let chance = faults.chance;
    let rng = &mut faults.rng;
    if rng.random_bool(chance) {
        return Some(Fault::random_for(endpoint, rng));
    }
    if rng.random_bool(oddities.slow) {
        return Some(Fault::Slow {
            delay_ms: rng.random_range(1_000..8_000),
        });
    }
    // Not drawn where it is off: the same seed is to give the same faults as before there was this one.
    if oddities.wrong_dates > 0.0 && rng.random_bool(oddities.wrong_dates) {
        return Some(Fault::random_date(rng));
    }
    (endpoint != Endpoint::Token && rng.random_bool(oddities.missing_rate_headers))
        .then_some(Fault::NoRateHeaders)
}

/// Token, quota, answer.
async fn respond(
    control: &Control,
    endpoint: Endpoint,
    uri: &Uri,
    request: Request,
    fault: Option<Fault>,
) -> Response {
    let shared = &control.shared;
    if uri.path_and_query().map_or(0, |text| text.as_str().len()) > shared.longest_url {
        return answer::uri_too_long();
    }
    if endpoint.is_archive() {
        return archive::answer(shared, endpoint, request.method(), uri, fault);
    }
    if endpoint == Endpoint::Token {
        return token::grant(shared, request).await;
    }
    let bearer = bearer(request.headers()).unwrap_or_default();
    if fault == Some(Fault::LostToken) {
        shared.gate().lose(bearer);
        return answer::invalid_token(true);
    }
    let verdict = shared.gate().pass(bearer, shared.clock.service_ms());
    let standing = match verdict {
        Verdict::Pass(standing) => standing,
        Verdict::NoToken => return answer::invalid_token(false),
        Verdict::Exhausted(reset_s) => {
            return answer::too_many_requests(u32::try_from(reset_s).unwrap_or(u32::MAX));
        }
    };
    let mut response = if request.method() == Method::GET {
        listings::answer(shared, endpoint, uri)
    } else {
        answer::not_found()
    };
    // Redirects never carry them.
    if !response.status().is_redirection() && fault != Some(Fault::NoRateHeaders) {
        add_rate_headers(response.headers_mut(), standing);
    }
    response
}

/// The token of `Authorization: bearer …`, in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// As they come from oauth.reddit.com: a float, and two whole numbers.
fn add_rate_headers(headers: &mut HeaderMap, standing: Standing) {
    let remaining = format!("{}.0", standing.remaining);
    for (name, text) in [
        ("x-ratelimit-remaining", remaining),
        ("x-ratelimit-used", standing.used.to_string()),
        ("x-ratelimit-reset", standing.reset_s.to_string()),
    ] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
