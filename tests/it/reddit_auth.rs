//! Getting, renewing and losing the access token.

use crate::reddit_decisions::{Meaning, meaning};
use crate::support::canned::{Answer, Server, listing, page, plenty, token};
use freshet::metrics::Metrics;
use freshet::source::{Login, Reddit, RequestClass, WaitCause};
use futures::future::join_all;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn is_token(path: &str) -> bool {
    path == "/api/v1/access_token"
}

#[tokio::test]
async fn the_application_asks_for_a_token_in_its_own_name() {
    let server = Server::start(|_| listing(&[], None)).await;
    page(&server.reddit()).await.unwrap();
    let asked = server.asked().remove(0);
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.path, "/api/v1/access_token");
    // the-client:the-secret
    assert_eq!(
        asked.headers["authorization"],
        "Basic dGhlLWNsaWVudDp0aGUtc2VjcmV0"
    );
    assert_eq!(
        asked.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        asked.headers["user-agent"],
        "linux:freshet:test (by /u/nobody)"
    );
    assert_eq!(asked.body, "grant_type=client_credentials");
}

#[tokio::test]
async fn an_installed_application_which_has_no_secret_asks_in_its_own_way() {
    let server = Server::start(|_| listing(&[], None)).await;
    let mut options = server.options();
    options.client_secret = String::new().into();
    page(&server.reddit_with(options)).await.unwrap();
    assert_eq!(
        server.asked()[0].body,
        "grant_type=https%3A%2F%2Foauth.reddit.com%2Fgrants%2Finstalled_client\
         &device_id=DO_NOT_TRACK_THIS_DEVICE"
    );
}

#[tokio::test]
async fn a_login_is_sent_as_a_form_whatever_its_characters() {
    let server = Server::start(|_| listing(&[], None)).await;
    let mut options = server.options();
    options.login = Some(Login {
        username: "some one".to_owned(),
        password: "p&ss=wörd+".into(),
    });
    page(&server.reddit_with(options)).await.unwrap();
    assert_eq!(
        server.asked()[0].body,
        "grant_type=password&username=some+one&password=p%26ss%3Dw%C3%B6rd%2B"
    );
}

#[tokio::test]
async fn a_valid_token_is_used_again_and_callers_share_one_request_for_it() {
    let server = Server::start(|_| listing(&[], None)).await;
    let reddit = server.reddit();
    let pages = join_all((0..50).map(|_| page(&reddit))).await;
    assert!(pages.iter().all(Result::is_ok));
    assert_eq!(server.tokens_asked(), 1);
    assert_eq!(server.asked_api().len(), 50);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let server = Server::raw(|asked| {
        if is_token(&asked.path) {
            // Too short for the usual margin: renewed after half of it.
            token("t", 2)
        } else {
            listing(&[], None)
        }
    })
    .await;
    let reddit = server.reddit();
    page(&reddit).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    page(&reddit).await.unwrap();
    assert_eq!(server.tokens_asked(), 2);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_by_all_callers_together() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let server = Server::raw(move |asked| {
        if is_token(&asked.path) {
            let number = tokens.fetch_add(1, Ordering::SeqCst);
            return token(&format!("token-{number}"), 3_600);
        }
        match asked.headers["authorization"].to_str().unwrap() {
            "Bearer token-0" => Answer::html(401, "<html>expired</html>"),
            _ => listing(&[], None),
        }
    })
    .await;
    let reddit = server.reddit();
    let pages = join_all((0..20).map(|_| page(&reddit))).await;
    assert!(pages.iter().all(Result::is_ok));
    assert_eq!(server.tokens_asked(), 2);
}

#[tokio::test]
async fn a_token_that_stays_refused_is_renewed_exactly_once() {
    let server =
        Server::start(|_| Answer::json(401, r#"{"message":"Unauthorized","error":401}"#)).await;
    let result = page(&server.reddit()).await;
    assert_eq!(meaning(&result), Meaning::Wait(WaitCause::Authentication));
    assert_eq!((server.tokens_asked(), server.asked_api().len()), (2, 2));
}

#[tokio::test]
async fn each_answer_of_the_token_endpoint_means_what_the_table_says() {
    let block = "<body>whoa there, pardner!</body>";
    for (answer, cause) in [
        (
            Answer::json(200, r#"{"error":"invalid_grant"}"#),
            WaitCause::Authentication,
        ),
        (
            Answer::json(200, r#"{"error":400}"#),
            WaitCause::Authentication,
        ),
        (
            Answer::json(200, r#"{"error":"new","access_token":"t"}"#),
            WaitCause::Authentication,
        ),
        (
            Answer::json(401, r#"{"message":"Unauthorized","error":401}"#),
            WaitCause::Authentication,
        ),
        (Answer::json(400, ""), WaitCause::Authentication),
        (Answer::new(404, ""), WaitCause::Authentication),
        (
            Answer::new(302, "").with("location", "/login"),
            WaitCause::Authentication,
        ),
        (Answer::json(403, "{}"), WaitCause::Authentication),
        (Answer::html(403, block), WaitCause::Blocked),
        (Answer::json(429, "{}"), WaitCause::RateLimited),
        (Answer::html(429, block), WaitCause::RateLimited),
        (Answer::html(503, block), WaitCause::ServerError(503)),
        (Answer::html(200, block), WaitCause::BrokenBody),
        (Answer::json(200, "{"), WaitCause::BrokenBody),
        (Answer::json(200, "{}"), WaitCause::BrokenBody),
        (
            Answer::json(200, r#"{"access_token":""}"#),
            WaitCause::BrokenBody,
        ),
        (
            Answer::json(200, r#"{"access_token":"a\nb"}"#),
            WaitCause::BrokenBody,
        ),
    ] {
        let server = Server::raw({
            let answer = answer.clone();
            move |_| answer.clone()
        })
        .await;
        let result = page(&server.reddit()).await;
        assert_eq!(meaning(&result), Meaning::Wait(cause), "{answer:?}");
        assert_eq!(server.asked().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn the_age_and_the_end_of_the_token_are_shown_while_there_is_one() {
    let tokens = AtomicUsize::new(0);
    let server = Server::raw(move |asked| {
        match asked.path.as_str() {
            "/api/info" => return Answer::new(401, ""),
            path if !is_token(path) => return listing(&[], None),
            _ => {}
        }
        match tokens.fetch_add(1, Ordering::SeqCst) {
            0 => token("t", 3_600),
            _ => Answer::new(503, ""),
        }
    })
    .await;
    let metrics = Arc::new(Metrics::new());
    let reddit = Reddit::new(server.options(), plenty(), metrics.clone()).unwrap();
    let shown = || {
        let issued = metrics.api.token_issued.with_label_values(&["reddit"]);
        let expiry = metrics.api.token_expiry.with_label_values(&["reddit"]);
        (issued.get(), expiry.get())
    };
    assert_eq!(shown(), (0.0, 0.0));
    page(&reddit).await.unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let (issued, expiry) = shown();
    assert!((now - 30.0..=now).contains(&issued), "{issued} {now}");
    assert_eq!(expiry, issued + 3_600.0);
    let ids = ["a".parse().unwrap()];
    let refused = reddit.info(&ids, RequestClass::Fetch).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    assert_eq!(shown(), (0.0, 0.0));
}

#[tokio::test]
async fn callers_that_wait_for_a_failing_renewal_share_its_failure() {
    let server = Server::raw(|_| Answer::json(200, r#"{"error":"invalid_grant"}"#)).await;
    let reddit = server.reddit();
    let pages = join_all((0..20).map(|_| page(&reddit))).await;
    let waits = |it: &_| meaning(it) == Meaning::Wait(WaitCause::Authentication);
    assert!(pages.iter().all(waits));
    assert_eq!(server.tokens_asked(), 1);
}

#[tokio::test]
async fn an_early_renewal_that_fails_leaves_the_old_token_in_service() {
    let tokens = AtomicUsize::new(0);
    let server = Server::raw(move |asked| {
        if !is_token(&asked.path) {
            return listing(&[], None);
        }
        match tokens.fetch_add(1, Ordering::SeqCst) {
            0 => token("t", 8),
            _ => Answer::new(503, ""),
        }
    })
    .await;
    let reddit = server.reddit();
    page(&reddit).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_100)).await;
    page(&reddit).await.unwrap();
    page(&reddit).await.unwrap();
    assert_eq!(server.tokens_asked(), 2);
}

#[tokio::test]
async fn token_requests_pass_the_budget_and_their_headers_do_not() {
    let server = Server::raw(|asked| {
        if is_token(&asked.path) {
            // Another bucket, which is empty.
            token("t", 3_600)
                .with("x-ratelimit-remaining", "0")
                .with("x-ratelimit-reset", "600")
        } else {
            listing(&[], None)
        }
    })
    .await;
    let begun = Instant::now();
    let budget = freshet::source::Budget::local(NonZeroU32::new(600).unwrap());
    let reddit = Reddit::new(server.options(), budget.clone(), Arc::new(Metrics::new())).unwrap();
    page(&reddit).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    // The bucket starts empty, so that two grants take two intervals; a slow machine adds to them.
    let two_intervals = Duration::from_millis(195);
    assert!(asked[1].at - begun >= two_intervals);
}

#[tokio::test]
async fn options_that_cannot_work_are_named_without_their_values() {
    let server = Server::start(|_| listing(&[], None)).await;
    let build = |options| Reddit::new(options, plenty(), Arc::new(Metrics::new()));
    for (option, url) in [
        ("api_url", "http://user:hidden@localhost/"),
        ("auth_url", "ftp://localhost/"),
        ("api_url", "http://localhost/?hidden=1"),
    ] {
        let mut options = server.options();
        match option {
            "api_url" => options.api_url = url.parse().unwrap(),
            _ => options.auth_url = url.parse().unwrap(),
        }
        let error = build(options).unwrap_err();
        assert_eq!(error.option, option);
        assert!(!error.to_string().contains("hidden"));
    }
    let mut options = server.options();
    options.user_agent = "two\nlines".to_owned();
    assert_eq!(build(options).unwrap_err().option, "user_agent");
}
