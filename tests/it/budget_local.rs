//! The budget of one process: who is served first, and what a cancelled caller leaves behind.

use freshet::source::budget::Quota;
use freshet::source::{Budget, Priority};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;

fn local(requests_per_minute: u32) -> Budget {
    Budget::local(NonZeroU32::new(requests_per_minute).unwrap())
}

#[tokio::test]
async fn whoever_is_more_urgent_is_served_first_however_late_they_come() {
    let budget = local(1_200);
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    // The bucket starts empty: all are in line before the first grant.
    for priority in [Priority::Backfill, Priority::Fetch, Priority::Poll] {
        for number in 0..4 {
            let (budget, served) = (budget.clone(), served.clone());
            tasks.spawn(async move {
                let _grant = budget.acquire(priority).await.unwrap();
                served.lock().unwrap().push((priority, number));
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let served = served.lock().unwrap().clone();
    let mut sorted = served.clone();
    sorted.sort_unstable();
    assert_eq!(
        served, sorted,
        "by priority, and within one in order of arrival"
    );
}

#[tokio::test]
async fn callers_that_give_up_are_in_nobodys_way() {
    let budget = local(600);
    for priority in [Priority::Poll, Priority::Fetch, Priority::Backfill] {
        let calls = (0..20).map(|_| timeout(Duration::from_millis(5), budget.acquire(priority)));
        futures::future::join_all(calls).await;
    }
    // A backfill is served, so nobody is believed to be ahead of it.
    let grant = timeout(Duration::from_secs(120), budget.acquire(Priority::Backfill)).await;
    assert!(grant.unwrap().is_ok());
}

#[tokio::test]
async fn the_end_of_the_servers_window_is_known_once_it_was_said() {
    let budget = local(60_000);
    let grant = budget.acquire(Priority::Poll).await.unwrap();
    assert_eq!(grant.window(), None);
    let quota = Quota {
        remaining: Some(500.0),
        used: Some(100.0),
        reset: Some(300.0),
    };
    budget.observe(&grant, &quota);
    assert_eq!(grant.window(), None, "it was given before");
    let next = budget.acquire(Priority::Poll).await.unwrap();
    let left = next.window().unwrap();
    assert!((295.0..=301.0).contains(&left.as_secs_f64()), "{left:?}");
    // As answers say, the window may end sooner, and not later.
    let reset = |seconds| Quota {
        reset: Some(seconds),
        ..quota
    };
    budget.observe(&next, &reset(600.0));
    let next = budget.acquire(Priority::Poll).await.unwrap();
    assert!(next.window().unwrap() <= left);
    budget.observe(&next, &reset(0.0));
    // The last second of it is that by which the header may be rounded.
    let next = budget.acquire(Priority::Poll).await.unwrap();
    assert!(next.window() <= Some(Duration::from_secs(1)));
    let ends = async {
        let window = async || budget.acquire(Priority::Poll).await.unwrap().window();
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
                let _grant = budget.acquire(Priority::Poll).await.unwrap();
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
