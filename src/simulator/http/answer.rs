//! Answers as Reddit words them: errors, redirects, JSON.

use crate::simulator::world::SubredditState;
use crate::submission::SubredditName;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

const JSON: &str = "application/json; charset=UTF-8";
const HTML: &str = "text/html; charset=UTF-8";

/// How many submissions an answer holds; set on the response for the statistics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Submissions(pub(super) usize);

fn response(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    with(response, header::CONTENT_TYPE, kind)
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A JSON answer from its bytes.
pub(super) fn json_bytes(body: Vec<u8>, submissions: usize) -> Response {
    let mut response = response(StatusCode::OK, JSON, body);
    response.extensions_mut().insert(Submissions(submissions));
    response
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    response(status, JSON, body.to_string())
}

/// An HTML page of about a kilobyte, as errors of the network's edge are.
pub(super) fn page(status: StatusCode, title: &str) -> Response {
    let style = "body{font:small verdana,arial,helvetica,sans-serif;width:600px;margin:0 auto}\
                 h1{height:40px;background:transparent no-repeat scroll top right}";
    let body = format!(
        "<!doctype html>\n<html>\n  <head>\n    <title>{title}</title>\n    <style>{style}</style>\n  \
         </head>\n  <body>\n    <h1>{title}</h1>\n    <p>This is a page of a simulated Reddit. It \
         stands where the real service shows one for people, whether or not the client wants \
         JSON.</p>\n    <p>If you are not a browser, wait a little and try again.</p>\n  </body>\n</html>\n"
    );
    response(status, HTML, body)
}

/// A status without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    response(status, JSON, Body::empty())
}

pub(super) fn not_found() -> Response {
    json(
        StatusCode::NOT_FOUND,
        &json!({"message": "Not Found", "error": 404}),
    )
}

pub(super) fn bad_request(reason: &str, explanation: &str) -> Response {
    json(
        StatusCode::BAD_REQUEST,
        &json!({"explanation": explanation, "message": "Bad Request", "reason": reason, "error": 400}),
    )
}

pub(super) fn uri_too_long() -> Response {
    response(
        StatusCode::URI_TOO_LONG,
        "text/plain",
        "Error: URI Too Long",
    )
}

/// 401 for a token that is unknown or expired; recorded bodies are JSON or a page.
pub(super) fn invalid_token(as_page: bool) -> Response {
    let response = if as_page {
        page(StatusCode::UNAUTHORIZED, "reddit.com: page not found")
    } else {
        json(
            StatusCode::UNAUTHORIZED,
            &json!({"message": "Unauthorized", "error": 401}),
        )
    };
    with(
        response,
        header::WWW_AUTHENTICATE,
        r#"Bearer realm="reddit", error="invalid_token""#,
    )
}

/// 401 for a wrong client id or secret.
pub(super) fn wrong_client() -> Response {
    let response = json(
        StatusCode::UNAUTHORIZED,
        &json!({"message": "Unauthorized", "error": 401}),
    );
    with(
        response,
        header::WWW_AUTHENTICATE,
        r#"Basic realm="reddit""#,
    )
}

/// 429 as recorded: a page, and `Retry-After` as the only hint.
pub(super) fn too_many_requests(retry_after: u32) -> Response {
    let response = page(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
    with(response, header::RETRY_AFTER, &retry_after.to_string())
}

fn redirect(location: &str) -> Response {
    let response = page(StatusCode::FOUND, "302 Found");
    with(response, header::LOCATION, location)
}

/// What a subreddit that is not public answers. `rest` is the path below it, with its query.
pub(super) fn closed(name: &SubredditName, state: &SubredditState, rest: &str) -> Response {
    let forbidden = |reason: &str| {
        json(
            StatusCode::FORBIDDEN,
            &json!({"reason": reason, "message": "Forbidden", "error": 403}),
        )
    };
    match state {
        SubredditState::Public => not_found(),
        SubredditState::Private => forbidden("private"),
        SubredditState::Banned => json(
            StatusCode::NOT_FOUND,
            &json!({"reason": "banned", "message": "Not Found", "error": 404}),
        ),
        SubredditState::Quarantined => json(
            StatusCode::FORBIDDEN,
            &json!({
                "reason": "quarantined",
                "quarantine_message": "This community is quarantined.",
                "quarantine_message_html": "<!-- SC_OFF --><div class=\"md\"><p>This community is quarantined.</p>\n</div><!-- SC_ON -->",
                "message": "Forbidden",
                "error": 403
            }),
        ),
        SubredditState::Gated => json(
            StatusCode::FORBIDDEN,
            &json!({
                "reason": "gated",
                "interstitial_warning_message": "This community is gated.",
                "message": "Forbidden",
                "error": 403
            }),
        ),
        SubredditState::Gone => redirect(&format!("/subreddits/search?q={name}")),
        SubredditState::Renamed(to) => redirect(&format!("/r/{to}{rest}")),
    }
}
