//! Backfills of random ranges, killed at random points, held against the simulated archive's truth.

use super::support::binary::{PATIENCE, Process};
use super::support::faketime::faketime;
use super::support::past::{DAY, HOUR, NAME, On, Past, options, time};
use freshet::simulator::ArchiveOptions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

const ROUNDS: u64 = 6;
/// After this all that a killed process had claimed is free again.
const LEASES_END: u64 = 40;

/// A world that goes on, with an archive that is now and then too busy.
async fn world(rng: &mut ChaCha8Rng, on: On) -> Past {
    let mut options = options(rng.random(), 40.0);
    options.speed = 1.0;
    options.latency = Duration::from_millis(rng.random_range(0..30));
    options.archive = ArchiveOptions {
        overload: 0.03,
        after_inclusive: rng.random(),
        before_inclusive: rng.random(),
        ..options.archive
    };
    Past::start(options, on).await
}

/// What is stored is all that there is of a range and nothing twice, all of it is proven, and what the
/// one backfill counted is that.
async fn it_is_whole(past: &Past, start: i64, end: i64, case: &str) {
    let (stored, truth) = (past.stored().await, past.truth(start, end));
    assert_eq!(stored, truth, "{case}");
    assert_eq!(past.proven(start, end).await, end - start, "{case}");
    let backfills = past.backfills().await;
    assert_eq!(backfills.len(), 1, "{case}: {backfills:?}");
    let told = &backfills[0];
    assert_eq!(told["state"], "done", "{case}: {told}");
    assert_eq!(told["slices_done"], told["slices"], "{case}: {told}");
    for count in ["fresh", "listed"] {
        assert_eq!(told[count], truth.len(), "{count}, {case}: {told}");
    }
    assert_eq!(told["renewed"], 0, "{case}: {told}");
    assert_eq!(told["seconds_proven"], end - start, "{case}: {told}");
}

/// One random range, killed one to three times, each after so many more requests.
async fn round(seed: u64, on: On) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let past = world(&mut rng, on).await;
    let end = past.now() - rng.random_range(2 * HOUR..DAY);
    let start = end - rng.random_range(HOUR..2 * DAY);
    let (since, until) = (time(start), time(end));
    let slices = rng.random_range(1..8u32).to_string();
    let order = if rng.random() { "newest" } else { "oldest" };
    let line = [
        "backfill",
        NAME,
        "--source",
        "arctic-shift",
        "--since",
        &since,
        "--until",
        &until,
        "--max-active",
        &slices,
        "--order",
        order,
    ];
    let kills = rng.random_range(1..=3);
    let mut case = format!("seed {seed} on {on:?}: {}, killed at", line.join(" "));
    for life in 0..=kills {
        let mut command = past.command(&line);
        // Whoever goes on comes when the leases of the killed have ended.
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME", format!("+{}s", life * LEASES_END))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut process = Process::start(&mut command);
        if life == kills {
            let ended = process.end(PATIENCE).await;
            assert!(ended.success(), "{case}: {}", process.stderr());
        } else {
            let more = rng.random_range(1..=14);
            past.until_asked(past.asked() + more, &mut process).await;
            if !process.has_ended() {
                process.signal("KILL");
            }
            process.end(PATIENCE).await;
            case.push_str(&format!(" {}", past.asked()));
        }
    }
    it_is_whole(&past, start, end, &case).await;
}

async fn rounds(on: On) {
    let seed: u64 = rand::rng().random();
    let rounds = (0..ROUNDS).map(|number| round(seed.wrapping_add(number), on));
    futures::future::join_all(rounds).await;
}

#[tokio::test]
async fn wherever_a_backfill_is_killed_it_goes_on_without_hole_or_double_on_sqlite() {
    rounds(On::Sqlite).await;
}

#[tokio::test]
async fn wherever_a_backfill_is_killed_it_goes_on_without_hole_or_double_on_postgres() {
    rounds(On::Postgres).await;
}

#[tokio::test]
async fn while_the_archive_is_away_a_backfill_says_so_and_waits_and_then_ends_whole() {
    let seed: u64 = rand::rng().random();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let past = world(&mut rng, On::Sqlite).await;
    let (start, end) = (past.now() - 2 * DAY, past.now() - DAY);
    let (since, until) = (time(start), time(end));
    let line = ["backfill", NAME, "--since", &since, "--until", &until];
    let mut process = past.begin(&line);
    process.said("begins").await;
    let more = rng.random_range(1..8);
    past.until_asked(past.asked() + more, &mut process).await;
    past.control().archive_outage(true);
    process.said("Waiting: ").await;
    let before = past.stored().await.len();
    past.control().archive_outage(false);
    let ended = process.end(PATIENCE).await;
    let said = process.stderr();
    assert!(ended.success(), "seed {seed}: {said}");
    let case = format!("seed {seed}, {before} stored before the outage");
    it_is_whole(&past, start, end, &case).await;
    assert!(before < past.truth(start, end).len(), "{case}: {said}");
}
