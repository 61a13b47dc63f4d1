//! Backfills from Reddit's own listing: as far as it reaches, and no word of what lies beyond.

use super::support::binary::{Finished, finish};
use super::support::past::{DAY, HOUR, NAME, On, Past, options, time};
use serde_json::Value;

/// Submissions that the listing shows.
const SHOWN: usize = 200;

async fn world(on: On) -> Past {
    let mut options = options(23, 20.0);
    options.listing_cap = SHOWN;
    // The archive has all of it, for the tests to look at.
    options.archive.lag = std::time::Duration::ZERO;
    Past::start(options, on).await
}

async fn listing(past: &Past, start: i64, end: i64) -> Finished {
    let (since, until) = (time(start), time(end));
    let line = [
        "backfill", NAME, "--source", "reddit", "--since", &since, "--until", &until,
    ];
    let done = finish(&mut past.with_key(&line)).await;
    let left_out = done.stdout.contains("the listing ends before it");
    done.ended_with(i32::from(left_out))
}

async fn brings_in_what_the_listing_shows_and_says_where_it_ended(on: On) {
    let past = world(on).await;
    let (start, end) = (past.now() - 3 * DAY, past.now());
    let done = listing(&past, start, end).await;
    assert_eq!(past.asked(), 0, "the archive was not asked");
    let shown: Vec<Value> = past.rows("id,created_utc").await;
    assert_eq!(shown.len(), SHOWN);
    let oldest = shown
        .iter()
        .map(|row| row["created_utc"].as_i64().unwrap())
        .min()
        .unwrap();
    let words = format!(
        "the listing ends at {}; an archive may have what is older",
        time(oldest).replace("+00:00", "Z")
    );
    assert!(done.stdout.contains(&words), "{words}: {}", done.stdout);
    // Of the oldest second some may lie beyond.
    let proven = past.proven(start, end).await;
    assert!(proven <= end - oldest, "{proven} since {oldest}");
    assert!(proven >= end - oldest - HOUR, "{proven} since {oldest}");
    let stored = past.stored().await;
    for id in past.truth(end - proven, end) {
        assert!(stored.contains(&id), "{id} is proven and not stored");
    }
    assert!(past.truth(start, end).len() > SHOWN);
    let told = past.status(1).await;
    assert_eq!(told["fresh"], SHOWN, "{told}");
    assert_eq!(told["seconds_proven"], proven, "{told}");

    // What lies beyond is left for the archive, which is asked for nothing else.
    let since = time(start);
    let until = time(end - proven);
    let rest = ["backfill", NAME, "--source", "arctic-shift"];
    let range = ["--since", since.as_str(), "--until", &until];
    past.run(&[rest, range].concat()).await;
    assert_eq!(past.stored().await, past.truth(start, end));
    assert_eq!(past.proven(start, end).await, end - start);
}

#[tokio::test]
async fn a_listing_is_brought_in_as_far_as_it_reaches_on_sqlite() {
    brings_in_what_the_listing_shows_and_says_where_it_ended(On::Sqlite).await;
}

#[tokio::test]
async fn a_listing_is_brought_in_as_far_as_it_reaches_on_postgres() {
    brings_in_what_the_listing_shows_and_says_where_it_ended(On::Postgres).await;
}

#[tokio::test]
async fn a_range_within_reach_is_proven_complete() {
    let past = world(On::Sqlite).await;
    let (start, end) = (past.now() - 4 * HOUR, past.now() - HOUR);
    let done = listing(&past, start, end).await;
    assert!(!done.stdout.contains("ends"), "{}", done.stdout);
    assert_eq!(past.stored().await, past.truth(start, end));
    assert_eq!(past.proven(start, end).await, end - start);
}

#[tokio::test]
async fn a_range_out_of_reach_brings_nothing_and_proves_nothing() {
    let past = world(On::Sqlite).await;
    let (start, end) = (past.now() - 3 * DAY, past.now() - 2 * DAY);
    let done = listing(&past, start, end).await;
    let words = "the listing ends before it; an archive may have it";
    assert!(done.stdout.contains(words), "{}", done.stdout);
    let store = past.store().await;
    let stored = store.count_submissions(NAME, 0, i64::MAX).await.unwrap();
    assert_eq!(stored, 0);
    let told = past.status(1).await;
    assert_eq!(
        (&told["fresh"], &told["seconds_proven"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn without_a_key_the_listing_is_refused_and_the_archive_chosen() {
    let past = world(On::Sqlite).await;
    let line = ["backfill", NAME, "--since", "3h", "--source", "reddit"];
    let refused = past.try_run(&line).await;
    refused
        .ended_with(2)
        .says(&["reddit.client_id", "--detach"]);
    let chosen = past.run(&line[..4]).await;
    chosen.says(&["Source: arctic-shift, since the archive needs no key"]);
    // Whoever runs has one.
    past.run(&[&line[..], &["--detach"]].concat()).await;
    let service = past.service("other");
    past.until_done(2, &service).await;
}
