//! Connections that cost the process no more than they may.
//!
//! Whoever reaches the port may open connections and say nothing, say it slowly, or not read what they
//! asked for. Each holds a file descriptor, of which the database, the queue and Reddit need some too, so
//! there are only so many at once. One more takes the place of the one that has been slowest: whoever is
//! served at once, as a check of the process's health is, always finds a place.

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::serve::Listener;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Open at once.
    connections: usize,
    /// Without a request. Longer than Prometheus waits between two scrapes of one connection.
    idle: Duration,
    /// From the first byte of a request to its last.
    head: Duration,
    /// From the first byte of an answer to its last.
    answer: Duration,
    /// Without a byte of an answer being taken.
    stall: Duration,
}

impl Limits {
    pub(super) const USUAL: Limits = Limits {
        connections: 64,
        idle: Duration::from_secs(65),
        head: Duration::from_secs(10),
        answer: Duration::from_secs(60),
        stall: Duration::from_secs(10),
    };
}

/// Bytes of a request's head, and of what is kept of an answer beside its body.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// How often a connection's time is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of it.
    Head,
    /// Us.
    Answering,
    /// The client, to take the answer.
    Writing,
}

#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    cut: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    since: Instant,
    moved: Instant,
    /// Of an answer nothing is left to be handed over.
    whole: bool,
}

impl Line {
    fn new() -> Line {
        let now = Instant::now();
        let state = State {
            phase: Phase::Idle,
            since: now,
            moved: now,
            whole: false,
        };
        Line {
            state: Mutex::new(state),
            cut: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let now = Instant::now();
        let state = State {
            phase,
            since: now,
            moved: now,
            whole: false,
        };
        *self.lock() = state;
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.lock().phase == phase
    }

    fn has_written(&self) -> bool {
        let state = self.lock();
        state.phase == Phase::Writing && state.whole
    }

    fn is_overdue(&self, limits: &Limits) -> bool {
        let State {
            phase,
            since,
            moved,
            ..
        } = *self.lock();
        match phase {
            Phase::Idle => since.elapsed() > limits.idle,
            Phase::Head => since.elapsed() > limits.head,
            // What we wait for has limits of its own.
            Phase::Answering => false,
            Phase::Writing => since.elapsed() > limits.answer || moved.elapsed() > limits.stall,
        }
    }
}

/// The connections that are open.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Arc<Line>>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more, if need be that of the one which has kept us waiting for longest.
    fn admit(&self, limits: &Limits) -> (u64, Arc<Line>) {
        let line = Arc::new(Line::new());
        let mut table = self.lock();
        if table.open.len() >= limits.connections {
            table.cut_slowest(|_| true);
        }
        table.last += 1;
        let number = table.last;
        table.open.insert(number, Arc::clone(&line));
        (number, line)
    }

    fn left(&self, number: u64) {
        self.lock().open.remove(&number);
    }

    /// Ends the one whose client has been taking its answer for longest; whether there was any.
    pub(super) fn cut_slowest_reader(&self) -> bool {
        self.lock().cut_slowest(|phase| phase == Phase::Writing)
    }
}

impl Table {
    fn cut_slowest(&mut self, among: impl Fn(Phase) -> bool) -> bool {
        let slowest = self
            .open
            .iter()
            .map(|(number, line)| (*number, *line.lock()))
            .filter(|(_, state)| among(state.phase))
            // Those that wait for us come last.
            .min_by_key(|(_, state)| (state.phase == Phase::Answering, state.since));
        let cut = slowest.and_then(|(number, _)| self.open.remove(&number));
        cut.inspect(|line| line.cut.cancel()).is_some()
    }
}

/// Serves until told to stop, and then until what was asked by then is answered.
pub(super) async fn serve(
    mut listener: TcpListener,
    routes: Router,
    connections: Connections,
    limits: Limits,
    stop: CancellationToken,
) {
    let open = TaskTracker::new();
    loop {
        let (stream, _) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        let (number, line) = connections.admit(&limits);
        let (connections, routes, stop) = (connections.clone(), routes.clone(), stop.clone());
        open.spawn(async move {
            attend(stream, routes, &line, limits, stop).await;
            connections.left(number);
        });
    }
    open.close();
    open.wait().await;
}

async fn attend(
    stream: TcpStream,
    routes: Router,
    line: &Arc<Line>,
    limits: Limits,
    stop: CancellationToken,
) {
    let answering = Arc::clone(line);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (line, routes) = (Arc::clone(&answering), routes.clone());
        async move {
            line.enter(Phase::Answering);
            let answer = routes.oneshot(request).await;
            line.enter(Phase::Writing);
            answer.map(|answer| answer.map(|body| Tracked { body, line }))
        }
    });
    let io = TokioIo::new(Watched {
        stream,
        line: Arc::clone(line),
    });
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // Time is kept here.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut look = interval(LOOK.min(limits.head));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        tokio::select! {
            // Who breaks off is of no interest.
            _ = connection.as_mut() => return,
            () = line.cut.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                if line.is_in(Phase::Idle) {
                    return;
                }
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = look.tick() => if line.is_overdue(&limits) {
                return;
            }
        }
    }
}

/// An answer's body that notes when the last of it was handed over.
struct Tracked {
    body: Body,
    line: Arc<Line>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.line.lock().whole = true;
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes in which phase its connection is.
struct Watched {
    stream: TcpStream,
    line: Arc<Line>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before && self.line.is_in(Phase::Idle) {
            self.line.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.line.lock().moved = Instant::now();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.line.lock().moved = Instant::now();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called once everything that there was to write is written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.line.has_written() {
            self.line.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
