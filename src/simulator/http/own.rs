//! What the real service does not have: the truth, statistics, control.

use super::answer;
use crate::simulator::control::{Command, Control};
use crate::submission::SubredditName;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;

/// Truths looked up at a time, so that the world is never held for long.
const TRUTHS_AT_A_TIME: usize = 1000;

/// `GET /simulator/health`
pub(super) async fn health(State(control): State<Control>) -> Response {
    let (now_ms, submissions) = {
        let world = control.shared.world();
        (world.now_ms(), world.len())
    };
    answer::json(
        StatusCode::OK,
        &json!({"simulated": true, "now_ms": now_ms, "submissions": submissions}),
    )
}

fn serialised(value: &impl serde::Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => answer::json(StatusCode::OK, &value),
        Err(error) => refused(&error),
    }
}

fn refused(error: &impl ToString) -> Response {
    answer::json(
        StatusCode::BAD_REQUEST,
        &json!({"ok": false, "error": error.to_string()}),
    )
}

/// `GET /simulator/stats`
pub(super) async fn stats(State(control): State<Control>) -> Response {
    serialised(&control.stats())
}

/// `GET /simulator/requests`: the last ten thousand, oldest first.
pub(super) async fn requests(State(control): State<Control>) -> Response {
    serialised(&control.requests())
}

/// `GET /simulator/subreddits`: every subreddit's name.
pub(super) async fn subreddits(State(control): State<Control>) -> Response {
    let names = control.subreddits();
    let names: Vec<&str> = names.iter().map(SubredditName::as_str).collect();
    serialised(&names)
}

/// Which truths.
#[derive(Debug, Deserialize)]
pub(super) struct TruthQuery {
    /// Of this subreddit alone.
    subreddit: Option<String>,
    /// Created then or later; whole seconds since the epoch.
    since: Option<i64>,
    /// How many submissions to pass over, in the order of making, fitting or not.
    #[serde(default)]
    offset: usize,
    /// How many at most.
    limit: Option<usize>,
}

/// `GET /simulator/truth`: newline-delimited, in the order of making.
pub(super) async fn truth(
    State(control): State<Control>,
    Query(query): Query<TruthQuery>,
) -> Response {
    let subreddit: Option<SubredditName> =
        match query.subreddit.as_deref().map(str::parse).transpose() {
            Ok(subreddit) => subreddit,
            Err(error) => return refused(&error),
        };
    let since = query.since.unwrap_or(i64::MIN);
    let start = Some((query.offset, query.limit.unwrap_or(usize::MAX)));
    let lines = futures::stream::unfold(start, move |state| {
        let (control, subreddit) = (control.clone(), subreddit.clone());
        async move {
            let (from, left) = state?;
            let at_most = left.min(TRUTHS_AT_A_TIME);
            let (truths, next) =
                control
                    .shared
                    .world()
                    .truth(subreddit.as_ref(), since, from, at_most);
            let mut chunk = Vec::new();
            for truth in &truths {
                // A truth is plain data, which always serialises.
                if serde_json::to_writer(&mut chunk, truth).is_ok() {
                    chunk.push(b'\n');
                }
            }
            let left = left - truths.len();
            let state = next.filter(|_| left > 0).map(|next| (next, left));
            Some((Ok::<_, Infallible>(Bytes::from(chunk)), state))
        }
    });
    // Compression asks on after the end.
    let mut response = Response::new(Body::from_stream(lines.fuse()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}

/// `POST /simulator/control`: a [`Command`] as JSON.
pub(super) async fn control(State(control): State<Control>, body: Bytes) -> Response {
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(error) => return refused(&error),
    };
    match control.apply(command) {
        Ok(id) => answer::json(
            StatusCode::OK,
            &json!({"ok": true, "id": id.map(|id| id.to_string())}),
        ),
        Err(error) => refused(&error),
    }
}
