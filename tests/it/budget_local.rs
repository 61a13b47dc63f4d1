//! The budget of one process: whose turn it is, and what a cancelled caller leaves behind.

use crate::support::canned::{Server, listing};
use freshet::metrics::Metrics;
use freshet::source::budget::Quota;
use freshet::source::{Budget, Reddit, RequestClass};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

fn local(requests_per_minute: u32) -> Budget {
    Budget::local(NonZeroU32::new(requests_per_minute).unwrap())
}

#[tokio::test]
async fn whoever_of_a_class_comes_first_is_served_first() {
    let budget = local(1_200);
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    // The bucket starts empty: all are in line before the first grant.
    for class in RequestClass::ALL {
        for number in 0..4 {
            let (budget, served) = (budget.clone(), served.clone());
            tasks.spawn(async move {
                let _grant = budget.acquire(class).await.unwrap();
                served.lock().unwrap().push((class, number));
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let served = served.lock().unwrap().clone();
    for class in RequestClass::ALL {
        let numbers = served.iter().filter(|it| it.0 == class).map(|it| it.1);
        assert!(numbers.eq(0..4), "{class:?}: {served:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_class_gets_its_share_while_all_take_what_they_can() {
    let others = RequestClass::ALL.into_iter();
    let others: Vec<RequestClass> = others.filter(|it| *it != RequestClass::Scan).collect();
    all_take_what_they_can(&others, RequestClass::share).await;
    all_take_what_they_can(&RequestClass::ALL, RequestClass::share_beside_scan).await;
}

async fn all_take_what_they_can(classes: &[RequestClass], share: fn(RequestClass) -> f64) {
    let budget = local(12_000);
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for class in classes.iter().copied().rev() {
        // Many callers are worth no more than one.
        let callers = if class == RequestClass::Backfill {
            20
        } else {
            2
        };
        for _ in 0..callers {
            let (budget, served) = (budget.clone(), served.clone());
            tasks.spawn(async move {
                loop {
                    let _grant = budget.acquire(class).await.unwrap();
                    let mut served = served.lock().unwrap();
                    served.push(class);
                    if served.len() >= 400 {
                        break;
                    }
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let served = served.lock().unwrap()[..400].to_vec();
    for class in classes.iter().copied() {
        let got = served.iter().filter(|it| **it == class).count() as f64 / 400.0;
        assert!(got >= 0.85 * share(class), "{class:?}: {got}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_what_they_are_for() {
    let server = Server::start(|_| listing(&[], None)).await;
    let metrics = Arc::new(Metrics::new());
    let reddit = Reddit::new(server.options(), local(60_000), metrics.clone()).unwrap();
    let names = ["rust".parse().unwrap()];
    let proof = reddit.new_page(&names, None, 100, RequestClass::Proof);
    proof.await.unwrap();
    let ids = ["a".parse().unwrap()];
    reddit.info(&ids, RequestClass::Fetch).await.unwrap();
    let counted = RequestClass::ALL.map(|class| {
        let labels = ["reddit", class.as_str()];
        let waits = metrics.api.budget_wait_seconds.with_label_values(&labels);
        let granted = metrics.api.budget_grants.with_label_values(&labels).get();
        assert_eq!(waits.get_sample_count(), granted);
        granted
    });
    // The poll is the request for an access token.
    assert_eq!(counted, [1, 1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn callers_that_give_up_are_in_nobodys_way() {
    let budget = local(600);
    for class in [
        RequestClass::Poll,
        RequestClass::Fetch,
        RequestClass::Backfill,
    ] {
        let calls = (0..20).map(|_| timeout(Duration::from_millis(5), budget.acquire(class)));
        futures::future::join_all(calls).await;
    }
    // A backfill is served, so nobody is believed to be ahead of it.
    let grant = timeout(
        Duration::from_secs(120),
        budget.acquire(RequestClass::Backfill),
    )
    .await;
    assert!(grant.unwrap().is_ok());
}

#[tokio::test]
async fn the_end_of_the_servers_window_is_known_once_it_was_said() {
    let budget = local(60_000);
    let grant = budget.acquire(RequestClass::Poll).await.unwrap();
    assert_eq!(grant.window(), None);
    let quota = Quota {
        remaining: Some(500.0),
        used: Some(100.0),
        reset: Some(300.0),
    };
    budget.observe(&grant, &quota);
    assert_eq!(grant.window(), None, "it was given before");
    let next = budget.acquire(RequestClass::Poll).await.unwrap();
    let left = next.window().unwrap();
    assert!((295.0..=301.0).contains(&left.as_secs_f64()), "{left:?}");
    // As answers say, the window may end sooner, and not later.
    let reset = |seconds| Quota {
        reset: Some(seconds),
        ..quota
    };
    budget.observe(&next, &reset(600.0));
    let next = budget.acquire(RequestClass::Poll).await.unwrap();
    assert!(next.window().unwrap() <= left);
    budget.observe(&next, &reset(0.0));
    // The last second of it is that by which the header may be rounded.
    let next = budget.acquire(RequestClass::Poll).await.unwrap();
    assert!(next.window() <= Some(Duration::from_secs(1)));
    let ends = async {
        let window = async || budget.acquire(RequestClass::Poll).await.unwrap().window();
        while window().await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(120), ends).await.unwrap();
}

#[tokio::test]
async fn a_very_high_rate_is_no_bottleneck() {
    let budget = local(10_000_000);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let budget = budget.clone();
        tasks.spawn(async move {
            for _ in 0..200 {
                let _grant = budget.acquire(RequestClass::Poll).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    println!("20,000 grants in {:?}", started.elapsed());
    // 158 a millisecond, so at least 126 ms; an unoptimised build on a busy machine gets time.
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert!(started.elapsed() < Duration::from_secs(60));
}
