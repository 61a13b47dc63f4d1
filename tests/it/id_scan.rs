//! Discovery by id, against a simulated Reddit whose submissions are numbered by one counter.

use crate::support::discovery::{World, our_clock};
use crate::support::pipeline::until;
use freshet::simulator::{Endpoint, Fault, Ids, Oddities, Publication, SimulatorOptions, Truth};
use freshet::store::Status;
use freshet::submission::{SubmissionId, SubredditName};
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// For things that take moments.
const SOON: Duration = Duration::from_secs(60);

/// Subreddits that get 60 submissions an hour each in the mean, among a rest that gets one a second.
fn options(count: usize, unused: f64) -> SimulatorOptions {
    SimulatorOptions {
        ids: Ids {
            counter: true,
            unused,
            rest_per_second: 1.0,
        },
        oddities: Oddities::none(),
        steady: true,
        history: HOUR / 6,
        ..SimulatorOptions::world(7, count, 60.0)
    }
}

const ON: (&str, &str) = ("discover.id_scan", "on");

/// A world whose ids are scanned, and the names that are watched: all but the first.
async fn scanned(options: SimulatorOptions, settings: &[(&'static str, &str)]) -> World {
    let mut world = World::new(options, &[&[ON], settings].concat(), 0).await;
    let names = watched(&world);
    world.watch(&names).await;
    world.start_id_scan();
    running(&world).await;
    world
}

fn watched(world: &World) -> Vec<SubredditName> {
    let names = world.simulator.control().subreddits();
    let names = names.into_iter().skip(1);
    names
        .filter(|name| name.as_str() != "everything_else")
        .collect()
}

async fn running(world: &World) {
    let running = &world.metrics.discover.ids.running;
    until("a scan runs", SOON, async || running.get() == 1).await;
    // The head is known from then on.
    let seen = async || world.store.id_ledger().await.unwrap().is_some();
    until("there is a ledger", SOON, seen).await;
}

/// The world's last id.
fn last_id(world: &World) -> i64 {
    let truth = world.simulator.control().truth();
    let ids = truth.iter().map(|truth| number(&truth.id));
    ids.max().unwrap()
}

fn number(id: &str) -> i64 {
    id.parse::<SubmissionId>().unwrap().number().unwrap()
}

/// Waits until the head has come to the last id that is given out.
async fn caught_up(world: &World) {
    let last = last_id(world);
    until("the head is at the top", SOON, async || {
        let ledger = world.store.id_ledger().await.unwrap().unwrap();
        ledger.head >= last
    })
    .await;
}

/// What lies above the scan's first id, of watched subreddits.
async fn wanted(world: &World) -> BTreeSet<String> {
    let first = world.store.id_ledger().await.unwrap().unwrap().first;
    let names = watched(world);
    let is_wanted = |truth: &Truth| {
        number(&truth.id) >= first && names.iter().any(|name| name.as_str() == truth.subreddit)
    };
    let truth = world.simulator.control().truth().into_iter();
    truth.filter(is_wanted).map(|truth| truth.id).collect()
}

async fn stored(world: &World) -> BTreeSet<String> {
    world.stored().await.into_iter().collect()
}

/// No id between the first and the head is missing in the ledger.
async fn is_whole(world: &World) {
    let ledger = world.store.id_ledger().await.unwrap().unwrap();
    let all = ledger.head + 1 - ledger.first;
    let pending = i64::try_from(ledger.retries.len()).unwrap();
    assert_eq!(ledger.seen + ledger.absent + pending, all, "{ledger:?}");
    assert_eq!(ledger.runs.len(), 1, "{ledger:?}");
}

#[tokio::test]
async fn an_id_for_which_every_request_fails_costs_nobody_but_itself() {
    for fault in [
        Fault::ErrorEmpty { status: 500 },
        Fault::Reset,
        Fault::Nothing,
        Fault::ErrorEmpty { status: 400 },
    ] {
        let mut world = scanned(options(6, 0.015), &[]).await;
        println!("{fault:?}");
        let control = world.simulator.control();
        // The one that comes next, and one that comes soon.
        let last = last_id(&world);
        let bad = [last + 1, last + 40].map(|id| SubmissionId::from_number(id).to_string());
        for id in &bad {
            control.poison(id, Some(fault)).unwrap();
        }
        for _ in 0..10 {
            world.advance(20 * MINUTE / 60);
            caught_up(&world).await;
        }
        let mut wanted = wanted(&world).await;
        wanted.retain(|id| !bad.contains(id));
        let found = stored(&world).await;
        let lost: Vec<_> = wanted.difference(&found).collect();
        assert!(lost.is_empty(), "{fault:?}: {lost:?}");
        is_whole(&world).await;
        let failed = world
            .metrics
            .discover
            .ids
            .ids
            .with_label_values(&["failed"]);
        assert!(
            (2..=6).contains(&failed.get()),
            "{fault:?}: {}",
            failed.get()
        );
        let asked = control.stats().of(Endpoint::Info);
        assert!(asked < 400, "{fault:?}: {asked} requests");
        world.stop().await;
    }
}

#[tokio::test]
async fn every_new_submission_of_a_watched_subreddit_is_stored_as_fetched_and_no_other() {
    let mut world = scanned(options(6, 0.015), &[]).await;
    for _ in 0..30 {
        world.advance(20 * MINUTE / 60);
        caught_up(&world).await;
    }
    let (wanted, found) = (wanted(&world).await, stored(&world).await);
    assert!(wanted.len() > 10, "{}", wanted.len());
    assert_eq!(found, wanted);
    for id in &wanted {
        let row = world.store.submission(&id.parse().unwrap()).await.unwrap();
        assert_eq!(row.unwrap().status, Status::Fetched);
    }
    assert_eq!(world.store.totals().await.unwrap().discovered, 0);
    let fetches = world.rows("SELECT 'fetches', count(*) FROM fetches").await;
    assert_eq!(fetches, [("fetches".to_owned(), 0)]);
    is_whole(&world).await;
    assert!(world.metrics.discover.ids.lag.get() < 60.0);
    world.stop().await;
}

#[tokio::test]
async fn where_everything_is_in_scope_everything_is_stored() {
    let mut world = scanned(options(2, 0.0), &[("discover.scope", "all")]).await;
    for _ in 0..10 {
        world.advance(Duration::from_secs(20));
        caught_up(&world).await;
    }
    let ledger = world.store.id_ledger().await.unwrap().unwrap();
    let all = world.simulator.control().truth().into_iter();
    let all: BTreeSet<String> = all
        .map(|truth| truth.id)
        .filter(|id| number(id) >= ledger.first)
        .collect();
    assert!(all.len() > 100, "{}", all.len());
    assert_eq!(stored(&world).await, all);
    world.stop().await;
}

#[tokio::test]
async fn what_appears_late_is_found_by_a_retry_and_what_never_does_is_accounted_for_at_the_end() {
    let mut world = scanned(options(4, 0.03), &[]).await;
    let name = watched(&world).remove(0);
    let publish = |held: bool| {
        let publication = Publication {
            held,
            ..Publication::to(&name)
        };
        world.simulator.control().publish(publication).unwrap()
    };
    // By how much each is late, in minutes.
    let lateness = [0_u64, 1, 5, 14, 60, 300, 600, 2_000];
    let late: Vec<SubmissionId> = lateness.iter().map(|_| publish(true)).collect();
    let hidden = publish(false);
    let control = world.simulator.control();
    control.hide_from_info(&hidden, None).unwrap();
    world.advance(Duration::from_secs(60));
    still(&world);
    publish(false);
    caught_up(&world).await;
    let mut passed = 0;
    for (id, minutes) in late.iter().zip(lateness) {
        world.advance(MINUTE * u32::try_from(minutes - passed).unwrap());
        passed = minutes;
        control.approve_late(id).unwrap();
        settled(&world).await;
    }
    // The last retry comes a day and a half after the first time that an id was absent.
    for _ in 0..8 {
        world.advance(5 * HOUR);
        settled(&world).await;
    }
    let found = stored(&world).await;
    for id in &late {
        assert!(found.contains(id.as_str()), "{id}");
    }
    assert!(!found.contains(hidden.as_str()));
    assert_eq!(world.store.pending_ids().await.unwrap(), 0);
    is_whole(&world).await;
    let ids = &world.metrics.discover.ids;
    let count = |outcome: &str| ids.ids.with_label_values(&[outcome]).get();
    assert!(count("absent_for_good") > 0);
    assert_eq!(count("late"), u64::try_from(late.len()).unwrap());
    assert_eq!(
        ids.invisible_seconds.get_sample_count(),
        count("seen") + count("late")
    );
    world.stop().await;
}

/// Waits until nothing is left to be asked for again by now.
async fn settled(world: &World) {
    until("nothing is due", SOON, async || {
        let ledger = world.store.id_ledger().await.unwrap().unwrap();
        let now_ms = our_clock();
        ledger.retries.iter().all(|retry| retry.due_ms > now_ms)
    })
    .await;
}

/// Nothing new comes any more.
fn still(world: &World) {
    let control = world.simulator.control();
    for name in control.subreddits() {
        control.set_rate(&name, 0.0).unwrap();
    }
}

#[tokio::test]
async fn a_scan_that_was_killed_goes_on_where_it_was_and_new_ids_come_before_those_it_missed() {
    let mut world = scanned(options(6, 0.01), &[]).await;
    for missed in [MINUTE / 2, 40 * MINUTE, MINUTE / 6] {
        world.advance(MINUTE / 2);
        world.kill_id_scan();
        world.advance(missed);
        world.start_id_scan();
        running(&world).await;
        caught_up(&world).await;
    }
    let ids = &world.metrics.discover.ids;
    until("nothing is skipped", SOON, async || ids.skipped.get() == 0).await;
    let runs = async || world.store.id_ledger().await.unwrap().unwrap().runs.len() == 1;
    until("it is one run", SOON, runs).await;
    assert_eq!(stored(&world).await, wanted(&world).await);
    is_whole(&world).await;
    world.stop().await;
}

#[tokio::test]
async fn of_two_processes_one_scans_and_the_other_takes_over() {
    let mut world = scanned(options(3, 0.0), &[]).await;
    world.start_id_scan();
    world.advance(MINUTE);
    caught_up(&world).await;
    world.kill_id_scan();
    for _ in 0..3 {
        world.advance(MINUTE / 2);
        caught_up(&world).await;
    }
    assert_eq!(stored(&world).await, wanted(&world).await);
    is_whole(&world).await;
    world.stop().await;
}

#[tokio::test]
async fn an_outage_of_reddit_loses_no_id() {
    let mut world = scanned(options(6, 0.01), &[]).await;
    for _ in 0..3 {
        world.simulator.control().outage(true);
        world.advance(MINUTE);
        let before = world.simulator.control().stats().of(Endpoint::Info);
        let asked = async || world.simulator.control().stats().of(Endpoint::Info) > before;
        until("ids are asked for in vain", SOON, asked).await;
        world.simulator.control().outage(false);
        // What holds requests back after failures goes by real time.
        caught_up(&world).await;
    }
    assert_eq!(stored(&world).await, wanted(&world).await);
    is_whole(&world).await;
    world.stop().await;
}

/// Whether it scans by itself, with so many watched in such a world.
async fn scans_by_itself(count: usize, counter: bool) -> bool {
    let options = SimulatorOptions {
        ids: Ids {
            counter,
            ..Ids::default()
        },
        ..options(count, 0.0)
    };
    let mut world = World::new(options, &[], 0).await;
    world.watch(&watched(&world)).await;
    world.start_id_scan();
    let running = &world.metrics.discover.ids.running;
    // It looks at the listings for a place to begin, unless few are watched.
    let decided = async || {
        let requests = world.simulator.control().stats();
        count < 150 || running.get() == 1 || requests.of(Endpoint::Info) > 0
    };
    until("it is decided", SOON, decided).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let running = running.get() == 1;
    world.stop().await;
    running
}

#[tokio::test]
async fn by_itself_it_scans_where_many_are_watched_and_ids_are_dense() {
    assert!(scans_by_itself(170, true).await);
    assert!(!scans_by_itself(100, true).await);
    assert!(!scans_by_itself(170, false).await);
}

#[tokio::test]
async fn a_scan_that_no_longer_pays_is_given_up() {
    let mut world = World::new(options(170, 0.0), &[], 0).await;
    world.watch(&watched(&world)).await;
    world.start_id_scan();
    running(&world).await;
    world.advance(MINUTE);
    caught_up(&world).await;
    // From now on hardly any is given out.
    let control = world.simulator.control();
    for _ in 0..4 {
        world.advance(4 * MINUTE);
        for truth in control.truth().iter().rev().take(600).skip(3) {
            if number(&truth.id) % 20 != 0 {
                control
                    .hide_from_info(&truth.id.parse().unwrap(), None)
                    .unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let running = &world.metrics.discover.ids.running;
    until("it is given up", SOON, async || running.get() == 0).await;
    world.stop().await;
}
