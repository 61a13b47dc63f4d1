//! Every status and body that means something, and what it is taken to mean.

use crate::support::canned::{Answer, Server, listing, page};
use freshet::metrics::Metrics;
use freshet::source::{Reddit, RequestClass, SourceError, UnavailableReason, WaitCause};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A decision without its words.
#[derive(Debug, PartialEq, Clone)]
pub enum Meaning {
    Fine,
    Wait(WaitCause),
    Unavailable(UnavailableReason),
    Refused,
}

pub fn meaning<T>(result: &Result<T, SourceError>) -> Meaning {
    match result {
        Ok(_) => Meaning::Fine,
        Err(SourceError::Wait { cause, .. }) => Meaning::Wait(*cause),
        Err(SourceError::Unavailable { reason, .. }) => Meaning::Unavailable(reason.clone()),
        Err(SourceError::Refused { .. }) => Meaning::Refused,
    }
}

use Meaning::{Refused, Unavailable, Wait};
use UnavailableReason::{
    Banned, Forbidden, Gated, Legal, Nonexistent, NotFound, Private, Quarantined, Renamed,
};
use WaitCause::{Authentication, Blocked, BrokenBody, RateLimited, ServerError, Timeout};

fn forbidden(reason: &str) -> Answer {
    Answer::json(
        403,
        &format!(r#"{{"reason":"{reason}","message":"Forbidden","error":403}}"#),
    )
}

/// A good listing, and this beside it.
fn with_beside(fields: &str) -> Answer {
    let listing = r#""kind":"Listing","data":{"after":null,"children":[]}"#;
    Answer::json(200, &format!("{{{listing},{fields}}}"))
}

fn to(status: u16, location: &str) -> Answer {
    Answer::html(status, "<html>").with("location", location)
}

/// Answer, what it means for a listing, what it means for ids.
fn table() -> Vec<(Answer, Meaning, Meaning)> {
    let block = "<body>whoa there, pardner!</body>";
    let scope = r#"Bearer realm="reddit", error="insufficient_scope""#;
    vec![
        (forbidden("private"), Unavailable(Private), Refused),
        (forbidden("banned"), Unavailable(Banned), Refused),
        (forbidden("quarantined"), Unavailable(Quarantined), Refused),
        (forbidden("gated"), Unavailable(Gated), Refused),
        (
            Answer::json(403, r#"{"error":403}"#),
            Unavailable(Forbidden),
            Wait(Authentication),
        ),
        (
            Answer::json(403, r#"{"reason":5}"#),
            Unavailable(Forbidden),
            Wait(Authentication),
        ),
        (
            Answer::new(403, ""),
            Unavailable(Forbidden),
            Wait(Authentication),
        ),
        (
            Answer::json(403, "{}").with("www-authenticate", scope),
            Wait(Authentication),
            Wait(Authentication),
        ),
        (Answer::html(403, block), Wait(Blocked), Wait(Blocked)),
        (Answer::new(403, block), Wait(Blocked), Wait(Blocked)),
        (
            Answer::json(
                404,
                r#"{"reason":"banned","message":"Not Found","error":404}"#,
            ),
            Unavailable(Banned),
            Refused,
        ),
        (
            Answer::json(404, r#"{"message":"Not Found","error":404}"#),
            Unavailable(NotFound),
            Refused,
        ),
        (Answer::html(404, "<html>"), Unavailable(NotFound), Refused),
        (Answer::new(451, ""), Unavailable(Legal), Refused),
        (
            to(302, "https://oauth.reddit.com/subreddits/search?q=rust"),
            Unavailable(Nonexistent),
            Refused,
        ),
        (
            to(302, "/subreddits/search.json?q=rust"),
            Unavailable(Nonexistent),
            Refused,
        ),
        (
            to(301, "/subreddits/search/?q=rust"),
            Unavailable(Nonexistent),
            Refused,
        ),
        (
            to(302, "https://oauth.reddit.com/r/macmini/.json"),
            Refused,
            Refused,
        ),
        (to(302, "/r/x/?next=/subreddits/search"), Refused, Refused),
        (
            to(302, "/r/Kettles/new?raw_json=1&limit=100"),
            Unavailable(Renamed("kettles".parse().unwrap())),
            Refused,
        ),
        (
            to(301, "https://oauth.reddit.com/r/kettles/new.json"),
            Unavailable(Renamed("kettles".parse().unwrap())),
            Refused,
        ),
        (
            to(301, "https://www.reddit.com/r/Rust/new/"),
            Refused,
            Refused,
        ),
        (to(302, "/r/_/new"), Refused, Refused),
        (
            to(301, "https://oauth.reddit.com/r/t:bird/"),
            Refused,
            Refused,
        ),
        (Answer::new(302, ""), Refused, Refused),
        (Answer::new(304, ""), Refused, Refused),
        (
            Answer::json(400, r#"{"message":"Bad Request","error":400}"#),
            Refused,
            Refused,
        ),
        (
            Answer::html(400, "<h1>400 Bad request</h1>"),
            Refused,
            Refused,
        ),
        (Answer::new(413, ""), Refused, Refused),
        (
            Answer::new(414, "Error: URI Too Long").with("retry-after", "0"),
            Refused,
            Refused,
        ),
        (Answer::new(418, ""), Refused, Refused),
        (Answer::new(408, ""), Wait(Timeout), Wait(Timeout)),
        (
            Answer::html(429, "<html>"),
            Wait(RateLimited),
            Wait(RateLimited),
        ),
        (Answer::new(429, ""), Wait(RateLimited), Wait(RateLimited)),
        (
            Answer::html(503, "Ow! -- reddit.com"),
            Wait(ServerError(503)),
            Wait(ServerError(503)),
        ),
        (
            Answer::new(500, ""),
            Wait(ServerError(500)),
            Wait(ServerError(500)),
        ),
        (
            Answer::new(520, ""),
            Wait(ServerError(520)),
            Wait(ServerError(520)),
        ),
        (
            Answer::new(522, ""),
            Wait(ServerError(522)),
            Wait(ServerError(522)),
        ),
        (
            Answer::new(999, ""),
            Wait(ServerError(999)),
            Wait(ServerError(999)),
        ),
        (Answer::new(204, ""), Wait(BrokenBody), Wait(BrokenBody)),
        (
            Answer::html(200, "<html>"),
            Wait(BrokenBody),
            Wait(BrokenBody),
        ),
        // Whatever is listed beside it.
        (
            with_beside(r#""error":500,"message":"Internal Server Error""#),
            Wait(BrokenBody),
            Wait(BrokenBody),
        ),
        (
            with_beside(r#""reason":"timeout""#),
            Wait(BrokenBody),
            Wait(BrokenBody),
        ),
        (
            with_beside(r#""success":false"#),
            Wait(BrokenBody),
            Wait(BrokenBody),
        ),
        (
            with_beside(r#""errors":[],"error":null"#),
            Meaning::Fine,
            Meaning::Fine,
        ),
        (
            Answer::html(401, "<html>"),
            Wait(Authentication),
            Wait(Authentication),
        ),
        (listing(&[], None), Meaning::Fine, Meaning::Fine),
    ]
}

#[tokio::test]
async fn each_answer_means_what_the_table_says() {
    for (answer, for_page, for_ids) in table() {
        let server = Server::start({
            let answer = answer.clone();
            move |_| answer.clone()
        })
        .await;
        let ids = ["a".parse().unwrap()];
        // A client each: the first failure holds the second request back.
        let info = server.reddit().info(&ids, RequestClass::Fetch).await;
        assert_eq!(
            meaning(&page(&server.reddit()).await),
            for_page,
            "{answer:?}"
        );
        assert_eq!(meaning(&info), for_ids, "ids: {answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let server = Server::start(|_| to(302, "/elsewhere")).await;
    page(&server.reddit()).await.unwrap_err();
    assert_eq!(server.asked_api().len(), 1);
}

#[tokio::test]
async fn retry_after_is_believed_above_zero_on_429_and_503_alone() {
    let later = (chrono::Utc::now() + Duration::from_secs(100)).to_rfc2822();
    let later = later.replace("+0000", "GMT");
    for (status, header, expected) in [
        (429, "4", Some(4..=4)),
        (503, "2.5", Some(2..=2)),
        (429, later.as_str(), Some(95..=100)),
        (429, "86400", Some(900..=900)),
        (429, "0", None),
        (429, "-3", None),
        (429, "NaN", None),
        (429, "soon", None),
        (429, "Sat, 11 Apr 2015 06:35:11 GMT", None),
        (500, "4", None),
    ] {
        let header_ = header.to_owned();
        let server =
            Server::start(move |_| Answer::html(status, "").with("retry-after", &header_)).await;
        let Err(SourceError::Wait { retry_after, .. }) = page(&server.reddit()).await else {
            panic!("{status} is a reason to wait");
        };
        match expected {
            None => assert_eq!(retry_after, None, "{status} {header}"),
            Some(range) => {
                let seconds = retry_after.unwrap().as_secs();
                assert!(range.contains(&seconds), "{header}: {seconds}");
            }
        }
    }
}

/// A server that takes a request and then does as told with the connection.
async fn rude(answer: &'static [u8], hang: bool) -> Server {
    let mut server = Server::start(|_| Answer::new(500, "")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server
        .url
        .set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer).await;
            if hang {
                held.push(stream);
            }
        }
    });
    server
}

async fn rude_page(answer: &'static [u8], hang: bool) -> Meaning {
    let polite = Server::start(|_| Answer::new(500, "")).await;
    let mut options = polite.options();
    options.api_url = rude(answer, hang).await.url;
    // The token is to come in time on a busy machine, too.
    options.request_timeout = Duration::from_secs(if hang { 3 } else { 30 });
    meaning(&page(&polite.reddit_with(options)).await)
}

#[tokio::test]
async fn trouble_below_http_is_a_reason_to_wait() {
    assert_eq!(rude_page(b"", false).await, Wait(WaitCause::Network));
    assert_eq!(
        rude_page(b"\x15\x03\x03\x00\x02", false).await,
        Wait(WaitCause::Network)
    );
    assert_eq!(rude_page(b"", true).await, Wait(Timeout));
    let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"kind\"";
    assert_eq!(rude_page(begun, true).await, Wait(Timeout));
    assert_eq!(rude_page(begun, false).await, Wait(BrokenBody));
    // A server that never stops introducing itself.
    let headers: String = (0..200).map(|it| format!("x-{it}: 1\r\n")).collect();
    let headers = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\n{{}}");
    assert_eq!(
        rude_page(headers.leak().as_bytes(), true).await,
        Wait(WaitCause::Network)
    );
    let unpacked = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n{{{{";
    assert_eq!(rude_page(unpacked, false).await, Wait(BrokenBody));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reason_to_wait() {
    let polite = Server::start(|_| Answer::new(500, "")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = polite.options();
    options.api_url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let error = page(&polite.reddit_with(options)).await;
    assert_eq!(meaning(&error), Wait(WaitCause::Network));
    let error = error.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn requests_are_counted_by_endpoint_and_status() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/api/info" => Answer::new(400, ""),
        _ => listing(&[], None)
            .with("x-ratelimit-remaining", "595.0")
            .with("x-ratelimit-reset", "300"),
    })
    .await;
    let metrics = Arc::new(Metrics::new());
    let budget = crate::support::canned::plenty();
    let reddit = Reddit::new(server.options(), budget, metrics.clone()).unwrap();
    page(&reddit).await.unwrap();
    reddit
        .info(&["a".parse().unwrap()], RequestClass::Fetch)
        .await
        .unwrap_err();
    let text = metrics.render();
    for line in [
        r#"freshet_api_requests_total{endpoint="new",source="reddit",status="200"} 1"#,
        r#"freshet_api_requests_total{endpoint="info",source="reddit",status="400"} 1"#,
        r#"freshet_api_requests_total{endpoint="token",source="reddit",status="200"} 1"#,
        r#"freshet_api_request_seconds_count{endpoint="new",source="reddit"} 1"#,
        r#"freshet_rate_budget_limit{source="reddit"} 10000000"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let remaining = metrics
        .api
        .budget_remaining
        .with_label_values(&["reddit"])
        .get();
    assert!((593.0..=595.0).contains(&remaining), "{remaining}");
    // The second answer tells none: it is the window of the first.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let reset = metrics
        .api
        .budget_reset
        .with_label_values(&["reddit"])
        .get();
    assert!((290.0..=301.0).contains(&(reset - now)), "{reset} {now}");
}

#[tokio::test]
async fn what_may_be_asked_and_refused_is_counted_from_the_start() {
    let server = Server::start(|_| listing(&[], None)).await;
    let metrics = Arc::new(Metrics::new());
    let budget = crate::support::canned::plenty();
    let _reddit = Reddit::new(server.options(), budget, metrics.clone()).unwrap();
    let text = metrics.render();
    for endpoint in ["new", "info", "token"] {
        for status in ["200", "429"] {
            let line = format!(
                r#"freshet_api_requests_total{{endpoint="{endpoint}",source="reddit",status="{status}"}} 0"#
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}
