//! What a fault looks like on the wire.

use super::answer;
use crate::simulator::endpoint::Endpoint;
use crate::simulator::fault::Fault;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use std::io;

/// Marks an answer whose bytes no layer may change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Untouched;

/// What the `Date` of an answer tells that is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum WrongDate {
    /// So many seconds ahead of the time; below 0 behind it.
    Ahead(i64),
    Unreadable,
}

/// The answer that a fault gives in place of the good one, where it does.
pub(super) fn instead(fault: Fault, endpoint: Endpoint) -> Option<Response> {
    let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Some(match fault {
        Fault::TooManyRequests { retry_after } => answer::too_many_requests(retry_after),
        Fault::ErrorPage { status: code } => answer::page(status(code), "Ow! -- reddit.com"),
        Fault::ErrorEmpty { status: code } => answer::empty(status(code)),
        Fault::PageInstead => answer::page(StatusCode::OK, "reddit: the front page"),
        Fault::BrokenJson => answer::json_bytes(b"{".to_vec(), 0),
        Fault::Blocked => answer::page(StatusCode::FORBIDDEN, "whoa there, pardner!"),
        Fault::Reset => answer::empty(StatusCode::OK),
        Fault::Nothing if endpoint.is_archive() => {
            answer::json_bytes(br#"{"data":[]}"#.to_vec(), 0)
        }
        Fault::Nothing => answer::json_bytes(
            br#"{"kind":"Listing","data":{"after":null,"children":[]}}"#.to_vec(),
            0,
        ),
        Fault::CutBody
        | Fault::WrongLength
        | Fault::LostToken
        | Fault::Slow { .. }
        | Fault::NoRateHeaders
        | Fault::Date { .. }
        | Fault::NoDate
        | Fault::ErrorInside
        | Fault::HalfTheRows
        | Fault::FromTheFuture => return None,
    })
}

/// The good answer, as a fault lets it arrive.
pub(super) async fn spoil(mut response: Response, fault: Fault) -> Response {
    let wrong_date = match fault {
        Fault::Date { ahead_seconds } => Some(WrongDate::Ahead(ahead_seconds)),
        Fault::NoDate => Some(WrongDate::Unreadable),
        _ => None,
    };
    if let Some(wrong_date) = wrong_date {
        response.extensions_mut().insert(wrong_date);
    }
    if !matches!(fault, Fault::CutBody | Fault::WrongLength) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let whole = match to_bytes(body, usize::MAX).await {
        Ok(whole) => whole,
        // Bodies are made in memory, so none fails; an empty one would be cut to nothing anyway.
        Err(_) => Bytes::new(),
    };
    parts.extensions.insert(Untouched);
    let cut = whole.slice(..whole.len() / 2);
    let body = if fault == Fault::CutBody {
        Body::from(cut)
    } else {
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
        // A stream, because a body of known length would correct the header. It pauses before it
        // fails, and the server uses the pause to send what it has.
        Body::from_stream(stream::iter([Ok(cut)]).chain(stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        })))
    };
    Response::from_parts(parts, body)
}
