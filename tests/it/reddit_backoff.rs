//! The back-off that callers of one process share, and what a cancelled call leaves behind.

use crate::support::canned::{Answer, Server, listing, page, plenty};
use freshet::metrics::Metrics;
use freshet::source::{Budget, Reddit, RequestClass, SourceError, WaitCause};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Answers 503 while `down`, else an empty listing.
async fn failing(down: Arc<AtomicBool>) -> Server {
    Server::start(move |_| {
        if down.load(Ordering::SeqCst) {
            Answer::html(503, "Ow! -- reddit.com")
        } else {
            listing(&[], None)
        }
    })
    .await
}

#[tokio::test]
async fn after_a_failure_the_next_request_holds_for_a_moment() {
    let down = Arc::new(AtomicBool::new(true));
    let server = failing(down.clone()).await;
    let reddit = server.reddit();
    page(&reddit).await.unwrap_err();
    down.store(false, Ordering::SeqCst);
    for _ in 0..6 {
        page(&reddit).await.unwrap();
    }
    let asked = server.asked_api();
    let held = asked[1].at - asked[0].at;
    assert!(held >= Duration::from_millis(185), "{held:?}");
    // The others are not held, though a busy machine may take its time for some of them.
    let others = asked[1..].windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(others.min().unwrap() < Duration::from_millis(180));
}

#[tokio::test]
async fn an_outage_is_probed_by_one_caller_at_a_time() {
    let down = Arc::new(AtomicBool::new(true));
    let server = failing(down.clone()).await;
    let reddit = server.reddit();
    // The first shuts the gate; thirty more come while it is shut.
    page(&reddit).await.unwrap_err();
    let callers =
        join_all((0..30).map(|_| timeout(Duration::from_millis(2_500), page(&reddit)))).await;
    let failed = callers.iter().filter(|it| matches!(it, Ok(Err(_)))).count();
    // Probes after a quarter of a second, half a second and a second; the next at the earliest 2.8 s from
    // the start. The last may have been given up while it was under way.
    assert!(failed <= 3, "{failed}");
    let asked = server.asked_api().len() - 1;
    assert!((failed..=failed + 1).contains(&asked), "{asked} {failed}");
    assert!(asked >= 1);
    down.store(false, Ordering::SeqCst);
    // The callers above were cancelled while they held; nothing of them remains.
    let pages = timeout(
        Duration::from_secs(120),
        join_all((0..30).map(|_| page(&reddit))),
    )
    .await;
    assert!(pages.unwrap().iter().all(Result::is_ok));
}

#[tokio::test]
async fn the_servers_wish_to_wait_is_granted_to_it_by_everyone() {
    let first = AtomicBool::new(true);
    let server = Server::start(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            Answer::html(429, "<html>").with("retry-after", "2")
        } else {
            listing(&[], None)
        }
    })
    .await;
    let reddit = server.reddit();
    let Err(SourceError::Wait { retry_after, .. }) = page(&reddit).await else {
        panic!("429 is a reason to wait");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(2)));
    page(&reddit.clone()).await.unwrap();
    let asked = server.asked_api();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn many_that_fail_together_are_one_failure() {
    let down = Arc::new(AtomicBool::new(false));
    let server = failing(down.clone()).await;
    let reddit = server.reddit();
    // With a token at hand they all ask at once.
    page(&reddit).await.unwrap();
    down.store(true, Ordering::SeqCst);
    let failed = join_all((0..20).map(|_| page(&reddit))).await;
    let failed = failed.iter().filter(|it| it.is_err()).count();
    down.store(false, Ordering::SeqCst);
    page(&reddit).await.unwrap();
    assert!(failed >= 1);
    // Twenty doublings would be ten seconds.
    let asked = server.asked_api();
    let held = asked[asked.len() - 1].at - asked[asked.len() - 2].at;
    assert!(held < Duration::from_secs(7), "{held:?}");
}

#[tokio::test]
async fn the_budget_pays_for_no_request_that_a_failure_holds_back() {
    let served = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let number = served.fetch_add(1, Ordering::SeqCst);
        if number % 4 == 3 {
            Answer::html(503, "Ow! -- reddit.com")
        } else {
            listing(&[], None)
        }
    })
    .await;
    // One in a tenth of a second: most callers wait for a grant when a failure comes.
    let budget = Budget::local(600.try_into().unwrap());
    let metrics = Arc::new(Metrics::new());
    let reddit = Reddit::new(server.options(), budget, Arc::clone(&metrics)).unwrap();
    let classes = RequestClass::ALL.into_iter().take(4);
    join_all(classes.map(async |class| {
        for _ in 0..10 {
            let names = ["kettles".parse().unwrap()];
            let _ = reddit.new_page(&names, None, 100, class).await;
        }
    }))
    .await;
    let grants = RequestClass::ALL.into_iter().map(|class| {
        let labels = ["reddit", class.as_str()];
        metrics.api.budget_grants.with_label_values(&labels).get()
    });
    let grants = grants.sum::<u64>();
    let sent = server.asked().len() as u64;
    // A grant may come in the same instant as the failure.
    assert!(grants <= sent + 2, "{grants} grants, {sent} requests");
}

#[tokio::test]
async fn an_answer_that_refuses_holds_nobody_back() {
    let server = Server::start(|_| Answer::json(403, r#"{"reason":"private","error":403}"#)).await;
    let reddit = server.reddit();
    let started = Instant::now();
    for _ in 0..5 {
        page(&reddit).await.unwrap_err();
    }
    // As failures they would take more than eleven seconds.
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Answers everything, once for each permit of the gate.
async fn gated(gate: &Arc<Semaphore>, passed: &Arc<AtomicUsize>) -> reqwest::Url {
    let app = axum::Router::new().fallback({
        let (gate, passed) = (gate.clone(), passed.clone());
        move |request: axum::extract::Request| async move {
            gate.acquire().await.unwrap().forget();
            passed.fetch_add(1, Ordering::SeqCst);
            if request.uri().path().ends_with("/access_token") {
                r#"{"access_token":"t","expires_in":3600}"#
            } else {
                r#"{"kind":"Listing","data":{"children":[]}}"#
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url.parse().unwrap()
}

#[tokio::test]
async fn a_deadline_bounds_the_wait_for_a_turn_and_not_a_request_that_was_sent() {
    let (gate, passed) = (Arc::new(Semaphore::new(1)), Arc::default());
    let url = gated(&gate, &passed).await;
    let server = Server::start(|_| Answer::new(500, "")).await;
    let mut options = server.options();
    (options.api_url, options.auth_url) = (url.clone(), url);
    let reddit = server.reddit_with(options);
    let ids = ["a".parse().unwrap()];
    let soon = || tokio::time::Instant::now() + Duration::from_millis(2_000);
    // Sent at once, answered long after the deadline.
    let (answer, ()) = tokio::join!(
        reddit.info_before(&ids, RequestClass::Fetch, soon()),
        async {
            tokio::time::sleep(Duration::from_millis(2_200)).await;
            gate.add_permits(1);
        }
    );
    assert!(answer.is_ok(), "{answer:?}");

    // While Reddit is out there is no turn.
    let reddit = server.reddit();
    reddit.info(&ids, RequestClass::Fetch).await.unwrap_err();
    let now = tokio::time::Instant::now();
    let answer = reddit.info_before(&ids, RequestClass::Fetch, now).await;
    let Err(SourceError::Wait { cause, .. }) = answer else {
        panic!("there was a turn: {answer:?}");
    };
    assert_eq!(cause, WaitCause::Budget);
    assert_eq!(server.asked_api().len(), 1);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_is_counted() {
    let (gate, passed) = (Arc::new(Semaphore::new(1)), Arc::default());
    let url = gated(&gate, &passed).await;
    let server = Server::start(|_| Answer::new(500, "")).await;
    let mut options = server.options();
    (options.api_url, options.auth_url) = (url.clone(), url);
    let metrics = Arc::new(Metrics::new());
    let reddit = Reddit::new(options, plenty(), metrics.clone()).unwrap();
    let call = timeout(Duration::from_secs(3), page(&reddit)).await;
    assert!(call.is_err());
    let counted = |endpoint, status| {
        let requests = &metrics.api.requests;
        requests
            .with_label_values(&["reddit", endpoint, status])
            .get()
    };
    assert_eq!(counted("token", "200"), 1);
    assert_eq!(counted("new", "cancelled"), 1);
}

#[tokio::test]
async fn a_call_may_be_cancelled_at_any_point_and_leaves_nothing_behind() {
    let gate = Arc::new(Semaphore::new(0));
    let passed = Arc::new(AtomicUsize::new(0));
    let url = gated(&gate, &passed).await;
    let server = Server::start(|_| Answer::new(500, "")).await;
    let mut options = server.options();
    (options.api_url, options.auth_url) = (url.clone(), url);
    let reddit = server.reddit_with(options);

    // Cancelled during the token request, among others that wait for it.
    for _ in 0..3 {
        let calls =
            join_all((0..5).map(|_| timeout(Duration::from_millis(20), page(&reddit)))).await;
        assert!(calls.iter().all(Result::is_err));
    }
    // Whether the server noticed that these were given up is its affair.
    gate.add_permits(5);
    page(&reddit).await.unwrap();
    gate.forget_permits(5);
    // Cancelled during the request itself.
    let calls = join_all((0..5).map(|_| timeout(Duration::from_millis(20), page(&reddit)))).await;
    assert!(calls.iter().all(Result::is_err));
    gate.add_permits(100);
    timeout(Duration::from_secs(120), page(&reddit))
        .await
        .unwrap()
        .unwrap();
    assert!(passed.load(Ordering::SeqCst) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_the_budget_is_told_of_and_one_for_an_answer_is_not() {
    let told = Arc::new(AtomicUsize::new(0));
    let telling = |reddit: Reddit| {
        let told = Arc::clone(&told);
        reddit.telling(move || {
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    let server = Server::start(|_| listing(&[], None)).await;
    // One in three seconds.
    let budget = Budget::local(20.try_into().unwrap());
    let metrics = Arc::new(Metrics::new());
    let reddit = telling(Reddit::new(server.options(), budget, metrics).unwrap());
    let begun = Instant::now();
    let pages = futures::future::join_all((0..3).map(|_| page(&reddit))).await;
    assert!(pages.iter().all(Result::is_ok), "{pages:?}");
    let waited = begun.elapsed().as_secs();
    assert!(waited >= 5, "{waited}");
    let count = told.swap(0, Ordering::SeqCst);
    assert!(count >= 2, "{count} times in {waited} s");

    let slow = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(3));
        listing(&[], None)
    })
    .await;
    assert!(page(&telling(slow.reddit())).await.is_ok());
    assert_eq!(told.load(Ordering::SeqCst), 0);
}
