//! `/metrics`, `/healthz`, `/readyz` and `/api/v1/…`: reading only.

use super::connections::{self, Connections, Limits};
use super::dependencies::DependencyStatus;
use super::front;
use super::hosts::{self, Hosts};
use super::rendered::{Rendered, Room};
use super::status::Live;
use crate::liveness::Liveness;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::Store;
use axum::Router;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A dependency that takes longer than this to answer does not answer.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// What the endpoints read.
#[derive(Debug)]
pub struct Health {
    /// Pinged by `/readyz`, read by `/api/v1/status`.
    pub store: Store,
    /// Pinged by `/readyz`, read by `/api/v1/status`.
    pub queue: Queue,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What only this process knows.
    pub live: Arc<Live>,
    /// Set once the process stops: it answers, but is not ready any more.
    pub stopping: AtomicBool,
    /// Whether the parts of this process make progress.
    pub liveness: Liveness,
    /// The clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
}

/// A process from its first moment on: what the endpoints read, once it is there.
#[derive(Debug)]
pub struct Opening {
    metrics: Arc<Metrics>,
    waits_for: Mutex<&'static str>,
    health: OnceLock<Arc<Health>>,
}

impl Opening {
    /// Nothing is there yet but the metrics.
    pub fn new(metrics: Arc<Metrics>) -> Opening {
        Opening {
            metrics,
            waits_for: Mutex::new("start"),
            health: OnceLock::new(),
        }
    }

    /// Says what is waited for now, such as `database`.
    pub fn waits_for(&self, what: &'static str) {
        *self.lock() = what;
    }

    /// Everything is there.
    pub fn opened(&self, health: Arc<Health>) {
        // Nobody opens twice; the first stays.
        let _ = self.health.set(health);
    }

    fn lock(&self) -> MutexGuard<'_, &'static str> {
        self.waits_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is once everything is open; until then the answer is 503, and says what is waited for.
struct Open(Arc<Health>);

impl FromRequestParts<Arc<Opening>> for Open {
    type Rejection = Response;

    async fn from_request_parts(
        _: &mut Parts,
        opening: &Arc<Opening>,
    ) -> Result<Open, Self::Rejection> {
        opening.health.get().cloned().map(Open).ok_or_else(|| {
            let waits = format!("starting: waits for the {}", *opening.lock());
            let checks = BTreeMap::from([("process", waits)]);
            (StatusCode::SERVICE_UNAVAILABLE, Json(checks)).into_response()
        })
    }
}

/// Pages that may be large.
#[derive(Debug, Default)]
struct Pages {
    room: Room,
    front: Rendered,
    metrics: Rendered,
    status: Rendered,
}

/// A page that all who asked for it at the same time share.
async fn page<E>(
    kind: &'static str,
    (rendered, room): (&Rendered, &Room),
    render: impl AsyncFnOnce() -> Result<Vec<Vec<u8>>, E>,
) -> Result<Response, E> {
    let page = rendered.get(room, render).await?;
    Ok(match page {
        Some(page) => page.into_response(kind),
        None => (StatusCode::SERVICE_UNAVAILABLE, BUSY).into_response(),
    })
}

const BUSY: &str = "Others do not take what they asked for; ask again.\n";

/// Serves until told to stop: 64 connections at once. One more takes the place of the slowest. `hosts`
/// are names by which it may be addressed, beside its own.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    opening: Arc<Opening>,
    listener: TcpListener,
    hosts: Vec<String>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let connections = Connections::default();
    let pages = Arc::new(Pages {
        room: Room::new(connections.clone()),
        ..Pages::default()
    });
    let hosts = Arc::new(Hosts::new(listener.local_addr()?.ip(), hosts));
    let routes = Router::new()
        .route("/", get(front_page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .with_state(opening)
        .layer(Extension(pages))
        .layer(middleware::from_fn_with_state(hosts, hosts::check));
    connections::serve(listener, routes, connections, Limits::USUAL, stop).await;
    Ok(())
}

async fn front_page(Open(health): Open, Extension(pages): Extension<Arc<Pages>>) -> Response {
    let render = async || {
        let now_ms = (health.now_ms)();
        let (live, most) = (&health.live, front::MAX_SUBREDDITS + 1);
        let read = super::status::read_part(&health.store, &health.queue, live, most, now_ms);
        let status = tokio::time::timeout(PING_LIMIT, read).await;
        let status = status.ok().and_then(Result::ok);
        let process = process(&health);
        let page = front::page(live, &process, status.as_ref(), now_ms.div_euclid(1000));
        // Nothing in it can fail to be written.
        Ok(vec![page.unwrap_or_default().into_bytes()])
    };
    let kind = "text/html; charset=utf-8";
    let answer: Result<Response, Infallible> =
        page(kind, (&pages.front, &pages.room), render).await;
    answer.into_response()
}

async fn metrics(
    State(opening): State<Arc<Opening>>,
    Extension(pages): Extension<Arc<Pages>>,
) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let render = async || Ok(vec![opening.metrics.render().into_bytes()]);
    let answer: Result<Response, Infallible> =
        page(kind, (&pages.metrics, &pages.room), render).await;
    answer.into_response()
}

async fn alive(State(opening): State<Arc<Opening>>) -> Response {
    if let Some(stuck) = opening
        .health
        .get()
        .and_then(|health| health.liveness.stuck())
    {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{stuck}\n")).into_response();
    }
    "alive\n".into_response()
}

/// `ok`, or why it is not.
fn process(health: &Health) -> String {
    let stopping = health.stopping.load(Ordering::Relaxed);
    match health.liveness.stuck() {
        _ if stopping => "stopping".to_owned(),
        Some(stuck) => stuck.to_string(),
        None => "ok".to_owned(),
    }
}

async fn ready(Open(health): Open) -> Response {
    let told = |result: Result<Result<(), String>, _>| match result {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => error,
        Err(_) => format!("no answer within {} s", PING_LIMIT.as_secs()),
    };
    let store = async { health.store.ping().await.map_err(|error| error.told()) };
    let queue = async { health.queue.ping().await.map_err(|error| error.told()) };
    let (store, queue) = tokio::join!(
        tokio::time::timeout(PING_LIMIT, store),
        tokio::time::timeout(PING_LIMIT, queue)
    );
    let mut checks = BTreeMap::from([
        ("database", told(store)),
        ("queue", told(queue)),
        ("process", process(&health)),
    ]);
    let mut ready = checks.values().all(|check| check == "ok");
    for state in health.live.dependencies().states() {
        let works = checks.entry(state.service.as_str());
        works.or_insert_with(|| "ok".to_owned());
    }
    // They know more than whether it answers.
    for (service, needed, complaint) in health.live.dependencies().complaints() {
        ready &= !needed;
        checks.insert(service.as_str(), complaint);
    }
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(checks)).into_response()
}

async fn status(Open(health): Open, Extension(pages): Extension<Arc<Pages>>) -> Response {
    let render = async || {
        let (store, queue) = (&health.store, Some(&health.queue));
        super::status::render(store, queue, Some(&health.live), (health.now_ms)()).await
    };
    match page("application/json", (&pages.status, &pages.room), render).await {
        Ok(answer) => answer,
        Err(error) => {
            let body = Away {
                error: error.told(),
                dependencies: health.live.dependency_states(),
            };
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// All that can be told while the database is away.
#[derive(Serialize)]
struct Away {
    error: String,
    dependencies: Vec<DependencyStatus>,
}
