//! The archive: what is asked of it, and what its answers are taken to mean.

use crate::support::canned::{Answer, Asked, Server, plenty};
use freshet::metrics::Metrics;
use freshet::source::{
    ArchivePage, ArcticShift, ArcticShiftOptions, Order, SourceError, WaitCause,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SLOW: &str = r#"{"data":null,"error":"Timeout. Maybe slow down a bit"}"#;

fn client(server: &Server) -> ArcticShift {
    client_with(ArcticShiftOptions::new(
        server.url.clone(),
        "freshet-test".to_owned(),
    ))
}

fn client_with(options: ArcticShiftOptions) -> ArcticShift {
    ArcticShift::new(options, plenty(), Arc::new(Metrics::new())).unwrap()
}

async fn page(client: &ArcticShift) -> Result<ArchivePage, SourceError> {
    let name = "rust".parse().unwrap();
    client.page(&name, 100, 200, Order::OldestFirst, 1).await
}

fn row(id: &str, created: i64) -> String {
    format!(r#"{{"id":"{id}","created_utc":{created},"title":"a","retrieved_on":150}}"#)
}

fn rows(rows: &[String]) -> Answer {
    Answer::json(200, &format!(r#"{{"data":[{}]}}"#, rows.join(",")))
}

fn query(asked: &Asked) -> BTreeMap<String, String> {
    let pairs = url::form_urlencoded::parse(asked.query.as_bytes());
    pairs.into_owned().collect()
}

fn number(asked: &Asked, key: &str) -> Option<i64> {
    query(asked).get(key).map(|it| it.parse().unwrap())
}

fn limits(server: &Server) -> Vec<i64> {
    let asked = server.asked();
    asked
        .iter()
        .map(|it| number(it, "limit").unwrap())
        .collect()
}

fn ids(page: &ArchivePage) -> Vec<&str> {
    let items = page.items.iter();
    items.map(|it| it.submission.id.as_str()).collect()
}

/// The cause and the server's wish, where it is one to wait.
fn wait(result: Result<ArchivePage, SourceError>) -> (WaitCause, Option<Duration>) {
    match result {
        Err(SourceError::Wait {
            cause, retry_after, ..
        }) => (cause, retry_after),
        other => panic!("it is no reason to wait: {other:?}"),
    }
}

fn refusal(result: Result<ArchivePage, SourceError>) -> (Option<u16>, String) {
    match result {
        Err(SourceError::Refused { status, detail }) => (status, detail),
        other => panic!("it is no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn an_interval_is_whole_whether_its_bounds_belong_to_the_answer_or_not() {
    for inclusive in [false, true] {
        let server = Server::raw(move |asked| {
            let (after, before) = (number(asked, "after"), number(asked, "before"));
            let given = [98, 99, 100, 199, 200, 201].into_iter().filter(|at| {
                let (after, before) = (after.unwrap(), before.unwrap());
                if inclusive {
                    (after..=before).contains(at)
                } else {
                    after < *at && *at < before
                }
            });
            let given: Vec<String> = given.map(|at| row(&format!("a{at}"), at)).collect();
            rows(&given)
        })
        .await;
        let page = page(&client(&server)).await.unwrap();
        assert_eq!(ids(&page), ["a100", "a199"], "inclusive: {inclusive}");
        assert!(!page.full && page.undecodable.is_empty());
        assert_eq!((page.asked_for, page.requests), (100, 1));
    }
}

#[tokio::test]
async fn what_is_asked_names_subreddit_interval_order_and_size() {
    let server = Server::raw(|_| rows(&[])).await;
    let url = server.url.join("/an/archive/").unwrap();
    let client = client_with(ArcticShiftOptions::new(url, "freshet-test".to_owned()));
    let name = "AskReddit".parse().unwrap();
    let newest = client.page(&name, 100, 200, Order::NewestFirst, 1).await;
    assert!(newest.unwrap().items.is_empty());
    // All of the past, and a future that the archive would read as milliseconds.
    let all = client.page(&name, i64::MIN, i64::MAX, Order::OldestFirst, 1);
    all.await.unwrap();
    let nothing = client.page(&name, 200, 200, Order::OldestFirst, 1).await;
    assert_eq!(nothing.unwrap().requests, 0);
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "an empty interval costs nothing");
    assert_eq!(asked[0].path, "/an/archive/api/posts/search");
    assert_eq!(asked[0].headers["user-agent"], "freshet-test");
    let expected = [
        ("after", "99"),
        ("before", "200"),
        ("limit", "100"),
        ("sort", "desc"),
        ("subreddit", "askreddit"),
    ];
    let told = query(&asked[0]);
    let told: Vec<(&str, String)> = told
        .iter()
        .map(|(key, value)| (key.as_str(), value.to_ascii_lowercase()))
        .collect();
    assert_eq!(told, expected.map(|(key, value)| (key, value.to_owned())));
    let told = query(&asked[1]);
    assert!(!told.contains_key("after") && !told.contains_key("before"));
    assert_eq!(told["sort"], "asc");
}

#[tokio::test]
async fn an_odd_row_costs_only_itself_and_counts_as_one() {
    let server = Server::raw(|asked| {
        let mut given: Vec<String> = ["7", "null", r#"{"id":"a b","created_utc":150}"#, "[[]]"]
            .map(str::to_owned)
            .to_vec();
        given.push(row("out", 99));
        let limit = usize::try_from(number(asked, "limit").unwrap()).unwrap();
        while given.len() < limit {
            given.push(row(&format!("a{}", given.len()), 120));
        }
        rows(&given)
    })
    .await;
    let page = page(&client(&server)).await.unwrap();
    assert_eq!((page.items.len(), page.undecodable.len()), (95, 4));
    assert_eq!(
        page.undecodable[2].raw.get(),
        r#"{"id":"a b","created_utc":150}"#
    );
    assert!(page.full, "more may lie beyond");
    assert!(page.items.iter().all(|it| it.observed_ms == 150_000));
}

#[tokio::test]
async fn a_slow_archive_is_asked_for_less_and_in_time_for_more_again() {
    let server = Server::raw(|asked| {
        if number(asked, "limit").unwrap() > 50 {
            Answer::json(422, SLOW)
        } else {
            rows(&[row("a", 150)])
        }
    })
    .await;
    let client = client(&server);
    let moved = Arc::new(AtomicUsize::new(0));
    let telling = client.telling({
        let moved = Arc::clone(&moved);
        move || {
            moved.fetch_add(1, Ordering::SeqCst);
        }
    });
    let first = page(&telling).await.unwrap();
    assert_eq!((first.asked_for, first.requests), (50, 2));
    assert!(moved.load(Ordering::SeqCst) >= 1);
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));
    // 55 is too much again; and a clone knows what the other has learnt.
    let second = page(&client).await.unwrap();
    assert_eq!((second.asked_for, second.requests), (27, 2));
    page(&telling).await.unwrap();
    assert_eq!(limits(&server), [100, 50, 55, 27, 32]);
}

#[tokio::test]
async fn as_many_rows_as_must_be_are_asked_for_however_slow_the_archive_is() {
    let first = AtomicBool::new(true);
    let server = Server::raw(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            Answer::json(422, SLOW)
        } else {
            rows(&[])
        }
    })
    .await;
    let name = "rust".parse().unwrap();
    let page = client(&server)
        .page(&name, 100, 200, Order::OldestFirst, 5_000)
        .await
        .unwrap();
    assert_eq!((page.asked_for, page.requests), (100, 2));
    assert_eq!(limits(&server), [100, 100]);
}

#[tokio::test]
async fn an_archive_that_stays_slow_is_a_reason_to_wait_after_three_tries() {
    let server = Server::raw(|_| Answer::json(422, SLOW)).await;
    let started = Instant::now();
    let (cause, wish) = wait(page(&client(&server)).await);
    assert_eq!(
        (cause, wish),
        (WaitCause::Timeout, Some(Duration::from_secs(4)))
    );
    assert_eq!(limits(&server), [100, 50, 25]);
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_wish_for_a_long_pause_is_handed_on_and_not_slept_through() {
    let server = Server::raw(|_| Answer::json(422, SLOW).with("retry-after", "120")).await;
    let started = Instant::now();
    let (cause, wish) = wait(page(&client(&server)).await);
    assert_eq!(
        (cause, wish),
        (WaitCause::Timeout, Some(Duration::from_secs(120)))
    );
    assert_eq!(server.asked().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_request_without_an_answer_is_asked_again_for_less() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tries = Arc::new(AtomicUsize::new(0));
    let app = axum::Router::new().fallback({
        let tries = Arc::clone(&tries);
        move |request: axum::extract::Request| async move {
            if tries.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            assert!(request.uri().query().unwrap().ends_with("limit=50"));
            r#"{"data":[]}"#
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut options = ArcticShiftOptions::new(url.parse().unwrap(), "freshet-test".to_owned());
    options.request_timeout = Duration::from_secs(3);
    let page = page(&client_with(options)).await.unwrap();
    assert_eq!((page.asked_for, page.requests), (50, 2));
}

#[tokio::test]
async fn a_refusal_repeats_the_servers_words_shortened() {
    let long = format!(r#"{{"data":null,"error":"Bad\n{}"}}"#, "x".repeat(5_000));
    for (status, body, words) in [
        (
            400,
            r#"{"data":null,"error":"'sort' is wrong"}"#,
            "'sort' is wrong",
        ),
        (
            422,
            r#"{"data":null,"error":"limit must be a number"}"#,
            "limit must",
        ),
        (422, long.as_str(), "Bad xxx"),
        (422, "{", "422"),
    ] {
        let body = body.to_owned();
        let server = Server::raw(move |_| Answer::json(status, &body)).await;
        let (told, detail) = refusal(page(&client(&server)).await);
        assert_eq!(told, Some(status));
        assert!(detail.contains(words), "{detail}");
        assert!(detail.len() < 300, "{detail}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_address_without_an_archive_is_refused_with_the_key_to_check() {
    for answer in [
        Answer::html(404, "<html>nothing here"),
        Answer::new(301, "").with("location", "https://elsewhere.example/"),
    ] {
        let status = answer.status;
        let server = Server::raw(move |_| answer.clone()).await;
        let (told, detail) = refusal(page(&client(&server)).await);
        assert_eq!(told, Some(status));
        for part in ["127.0.0.1", "arctic_shift.url"] {
            assert!(detail.contains(part), "{detail}");
        }
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_either_header_says() {
    let now = chrono::Utc::now().timestamp();
    let in_a_minute = (Duration::from_secs(50), Duration::from_secs(60));
    for (header, value, (least, most)) in [
        (
            "retry-after",
            "7".to_owned(),
            (Duration::from_secs(7), Duration::from_secs(7)),
        ),
        ("x-ratelimit-reset", "60".to_owned(), in_a_minute),
        ("x-ratelimit-reset", (now + 60).to_string(), in_a_minute),
        (
            "x-ratelimit-reset",
            ((now + 60) * 1_000).to_string(),
            in_a_minute,
        ),
    ] {
        let told = value.clone();
        let server = Server::raw(move |_| {
            Answer::json(429, r#"{"data":null,"error":"Too many"}"#).with(header, &told)
        })
        .await;
        let (cause, wish) = wait(page(&client(&server)).await);
        assert_eq!(cause, WaitCause::RateLimited);
        let wish = wish.unwrap();
        assert!(
            (least..=most).contains(&wish),
            "{header}: {value}: {wish:?}"
        );
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn broken_answers_are_a_reason_to_wait() {
    let many = format!(r#"{{"data":[{}1]}}"#, "1,".repeat(10_000));
    for (status, body, cause) in [
        (200, "", WaitCause::BrokenBody),
        (200, "<html>", WaitCause::BrokenBody),
        (200, "{}", WaitCause::BrokenBody),
        (200, r#"{"data":7}"#, WaitCause::BrokenBody),
        (200, r#"{"data":[{"id":"a","crea"#, WaitCause::BrokenBody),
        (
            200,
            r#"{"data":null,"error":"no luck"}"#,
            WaitCause::BrokenBody,
        ),
        (
            200,
            r#"{"data":[],"metadata":{"total_results":4200}}"#,
            WaitCause::BrokenBody,
        ),
        (200, r#"{"data":[],"count":3}"#, WaitCause::BrokenBody),
        (
            200,
            r#"{"metadata":{"es":1,"count":"2"},"data":[{"id":"a","created_utc":110}]}"#,
            WaitCause::BrokenBody,
        ),
        (
            200,
            r#"{"data":[{"id":"a","created_utc":110},{"id":"a","created_utc":111}]}"#,
            WaitCause::BrokenBody,
        ),
        (200, many.as_str(), WaitCause::BrokenBody),
        (204, "", WaitCause::BrokenBody),
        (403, "<html>no</html>", WaitCause::Blocked),
        (502, "<html>bad gateway", WaitCause::ServerError(502)),
    ] {
        let given = body.to_owned();
        let server = Server::raw(move |_| Answer::new(status, &given)).await;
        let result = page(&client(&server)).await;
        let start: String = body.chars().take(40).collect();
        assert_eq!(wait(result).0, cause, "{status} {start}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_broken_and_an_outage_holds_all_clones_back() {
    let large = AtomicBool::new(true);
    let server = Server::raw(move |_| {
        if large.swap(false, Ordering::SeqCst) {
            rows(&[format!("\"{}\"", "x".repeat(20_000))])
        } else {
            rows(&[])
        }
    })
    .await;
    let mut options = ArcticShiftOptions::new(server.url.clone(), "freshet-test".to_owned());
    options.max_body_bytes = 10_000;
    let client = client_with(options);
    assert_eq!(wait(page(&client).await).0, WaitCause::BrokenBody);
    page(&client.clone()).await.unwrap();
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(185));
}

#[tokio::test]
async fn what_is_left_is_shown_and_kept_to() {
    let reset = (chrono::Utc::now().timestamp() + 3) * 1_000;
    let server = Server::raw(move |_| {
        rows(&[])
            .with("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", &reset.to_string())
    })
    .await;
    let metrics = Arc::new(Metrics::new());
    let options = ArcticShiftOptions::new(server.url.clone(), "freshet-test".to_owned());
    let client = ArcticShift::new(options, plenty(), Arc::clone(&metrics)).unwrap();
    page(&client).await.unwrap();
    let (api, source) = (&metrics.api, "arctic-shift");
    let remaining = api.budget_remaining.with_label_values(&[source]);
    assert!(remaining.get().abs() < 0.5, "{}", remaining.get());
    let limit = api.budget_limit.with_label_values(&[source]);
    assert!((limit.get() - 10_000_000.0).abs() < 0.5);
    let requests = api
        .requests
        .with_label_values(&[source, "posts_search", "200"]);
    assert_eq!(requests.get(), 1);
    page(&client).await.unwrap();
    let asked = server.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(1_500));
    assert_eq!(requests.get(), 2);
}

#[test]
fn options_that_cannot_work_are_named() {
    let invalid = |url: &str, change: fn(&mut ArcticShiftOptions)| {
        let mut options = ArcticShiftOptions::new(url.parse().unwrap(), "a".to_owned());
        change(&mut options);
        let made = ArcticShift::new(options, plenty(), Arc::new(Metrics::new()));
        made.unwrap_err().option
    };
    let fine = "https://archive.example";
    assert_eq!(invalid("ftp://archive.example", |_| ()), "url");
    assert_eq!(invalid("https://me:secret@archive.example", |_| ()), "url");
    assert_eq!(invalid("https://archive.example?a=b", |_| ()), "url");
    let agent = invalid(fine, |it| it.user_agent = "a\nb".to_owned());
    assert_eq!(agent, "user_agent");
    let timeout = invalid(fine, |it| it.request_timeout = Duration::ZERO);
    assert_eq!(timeout, "request_timeout");
}
