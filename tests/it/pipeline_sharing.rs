//! Many subreddits in few requests: what sharing costs, who is split off, and who polls whom.

use crate::support::discovery::{START_MS, World, clock_readings};
use crate::support::pipeline::until;
use freshet::simulator::{
    Endpoint, Fault, Oddities, Publication, SimulatorOptions, SubredditState as Access,
};
use freshet::store::{Subreddit, SubredditState, WindowOutcome};
use freshet::submission::SubredditName;
use std::collections::HashMap;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn names(count: usize) -> Vec<SubredditName> {
    let name = |number| format!("quiet_{number}").parse().unwrap();
    (0..count).map(name).collect()
}

/// So many subreddits, with this many submissions an hour each.
async fn quiet(count: usize, per_hour: impl Fn(usize) -> f64, oddities: Oddities) -> World {
    let subreddits = names(count).into_iter().enumerate();
    let options = SimulatorOptions {
        subreddits: subreddits
            .map(|(place, name)| (name, per_hour(place)))
            .collect(),
        oddities,
        ..SimulatorOptions::default()
    };
    let mut world = World::new(
        options,
        &[
            ("discover.first_window", "6h"),
            ("discover.concurrency", "16"),
        ],
        0,
    )
    .await;
    world.watch(&names(count)).await;
    world.start_scheduler();
    world.settle(|| {}).await;
    world
}

fn listings(world: &World) -> u64 {
    world.simulator.control().stats().of(Endpoint::Listing)
}

async fn row(world: &World, name: &SubredditName) -> Subreddit {
    let rows = world.store.subreddits().await.unwrap();
    rows.into_iter().find(|row| row.name == *name).unwrap()
}

#[tokio::test]
async fn five_hundred_quiet_subreddits_leave_room_in_the_budget_of_every_minute() {
    // From one submission in three days to two an hour.
    let world = quiet(
        500,
        |place| 2.0 * 0.99_f64.powi(i32::try_from(place).unwrap()),
        Oddities::none(),
    )
    .await;
    // Those that their group does not show are listed alone, and believed to be empty the third time.
    for _ in 0..4 {
        world.advance(MINUTE);
        world.settle(|| {}).await;
    }
    let mut minutes = Vec::new();
    for _ in 0..45 {
        let before = listings(&world);
        world.advance(MINUTE);
        world.settle(|| {}).await;
        minutes.push(listings(&world) - before);
    }
    let (most, sum) = (minutes.iter().max().unwrap(), minutes.iter().sum::<u64>());
    println!("requests a minute: {minutes:?}");
    // The budget has no bound here, so all are proven each minute: some 25 groups, and those that their group did
    // not show for half an hour.
    assert!(*most <= 80, "{most} requests in one of {minutes:?}");
    assert!(sum <= 45 * 45, "{sum} requests in 45 minutes");
    let now = world.now_ms() / 1000;
    for row in world.store.subreddits().await.unwrap() {
        let covered = row.covered_until.unwrap_or(0);
        assert!(now - covered <= 1860, "proven half an hour ago: {row:?}");
        assert!(row.seen_until.is_some_and(|seen| seen == now), "{row:?}");
    }
    let stored = world.stored().await;
    let truth = world.simulator.control().truth();
    let since = START_MS / 1000 - 6 * 3600;
    let missed: Vec<_> = truth
        .iter()
        .filter(|truth| (since..now).contains(&truth.created_utc) && !stored.contains(&truth.id))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Makes three of sixty unavailable; says how many requests the first round took and in which round
/// each was found.
async fn split_off(oddities: Oddities) -> (u64, [Option<u32>; 3]) {
    let world = quiet(60, |_| 1.0, oddities).await;
    world.advance(MINUTE);
    world.settle(|| {}).await;
    let control = world.simulator.control();
    let names = names(60);
    let closed = [
        (&names[7], Access::Private, "private"),
        (&names[30], Access::Banned, "banned"),
        (
            &names[31],
            Access::Renamed("louder".to_owned()),
            "renamed to louder",
        ),
    ];
    for (name, state, _) in &closed {
        control.set_subreddit_state(name, state.clone()).unwrap();
    }
    let before = listings(&world);
    let mut first_round = 0;
    let mut found = [None; 3];
    for round in 0..34 {
        // All of them in the round that counts, then few, for they are to stay quiet.
        let open = names
            .iter()
            .filter(|name| closed.iter().all(|(closed, ..)| closed != name))
            .step_by(if round == 0 { 1 } else { 20 });
        let news: Vec<String> = open
            .map(|name| control.publish(Publication::to(name)).unwrap().to_string())
            .collect();
        world.advance(MINUTE);
        world.settle(|| {}).await;
        let stored = world.stored().await;
        let held_up: Vec<_> = news.iter().filter(|id| !stored.contains(*id)).collect();
        assert!(held_up.is_empty(), "held up in round {round}: {held_up:?}");
        for ((name, _, reason), found) in closed.iter().zip(&mut found) {
            let row = row(&world, name).await;
            if row.state == SubredditState::Unavailable {
                assert_eq!(row.reason.as_deref(), Some(*reason));
                found.get_or_insert(round);
            }
        }
        if round == 0 {
            first_round = listings(&world) - before;
        }
    }
    for (name, ..) in &closed {
        control.set_subreddit_state(name, Access::Public).unwrap();
        control.publish(Publication::to(name)).unwrap();
    }
    world.advance(Duration::from_secs(6 * 3600));
    world.settle(|| {}).await;
    for (name, ..) in &closed {
        let row = row(&world, name).await;
        assert_eq!(row.state, SubredditState::Active, "{row:?}");
        assert_eq!(row.covered_until, Some(world.now_ms() / 1000), "{row:?}");
    }
    (first_round, found)
}

#[tokio::test]
async fn members_that_spoil_a_shared_listing_are_split_off_in_the_round_that_shows_them() {
    let (requests, [private, banned, renamed]) = split_off(Oddities::none()).await;
    println!("{requests} requests; {private:?} {banned:?} {renamed:?}");
    assert_eq!((private, banned), (Some(0), Some(0)));
    assert!(renamed.is_some_and(|round| round <= 31), "{renamed:?}");
    assert!(requests <= 40, "{requests} requests to find two of sixty");
}

#[tokio::test]
async fn members_that_a_shared_listing_leaves_out_are_found_within_half_an_hour() {
    let (_, found) = split_off(Oddities {
        lenient_multis: true,
        ..Oddities::none()
    })
    .await;
    let in_time = |round: &Option<u32>| round.is_some_and(|round| round <= 31);
    assert!(found.iter().all(in_time), "{found:?}");
}

/// One of twenty spoils whatever listing it is in; the others are polled in the same round, and in few
/// requests from then on.
async fn one_spoils_its_listing(fault: Fault) {
    let world = quiet(20, |_| 1.0, Oddities::none()).await;
    let control = world.simulator.control();
    let names = names(20);
    let (bad, good) = (&names[6], &names[11]);
    control.poison(bad.as_str(), Some(fault)).unwrap();
    for round in 0..4 {
        let id = control.publish(Publication::to(good)).unwrap().to_string();
        let before = listings(&world);
        world.advance(MINUTE);
        world.settle(|| {}).await;
        let asked = listings(&world) - before;
        assert!(world.stored().await.contains(&id), "round {round}");
        let most = if round == 0 { 20 } else { 6 };
        assert!(
            asked <= most,
            "{fault:?}: {asked} requests in round {round}"
        );
        for name in &names {
            let row = row(&world, name).await;
            let seen = row.seen_until == Some(world.now_ms() / 1000);
            assert_eq!(seen, name != bad, "{fault:?}: {row:?} in round {round}");
        }
        let windows = world.store.poll_windows(bad, 1).await.unwrap();
        assert_eq!(windows[0].window.outcome, WindowOutcome::Failed);
    }
    control.poison(bad.as_str(), None).unwrap();
    for _ in 0..2 {
        world.advance(MINUTE);
        world.settle(|| {}).await;
    }
    let row = row(&world, bad).await;
    assert_eq!(row.covered_until, Some(world.now_ms() / 1000), "{row:?}");
    let suspects = world
        .rows("SELECT name, suspect FROM subreddits WHERE suspect")
        .await;
    assert_eq!(suspects, []);
}

#[tokio::test]
async fn a_member_for_which_the_server_fails_is_listed_alone_and_the_others_together() {
    one_spoils_its_listing(Fault::ErrorEmpty { status: 500 }).await;
}

#[tokio::test]
async fn a_member_for_which_the_answer_is_broken_is_listed_alone_and_the_others_together() {
    one_spoils_its_listing(Fault::CutBody).await;
}

#[tokio::test]
async fn a_member_for_which_the_request_is_refused_is_listed_alone_and_the_others_together() {
    one_spoils_its_listing(Fault::ErrorEmpty { status: 414 }).await;
}

#[tokio::test]
async fn a_member_for_which_the_server_says_too_many_requests_is_listed_alone_and_the_others_together()
 {
    one_spoils_its_listing(Fault::TooManyRequests { retry_after: 0 }).await;
}

#[tokio::test]
async fn an_outage_makes_no_member_of_a_shared_listing_a_suspect() {
    let world = quiet(5, |_| 1.0, Oddities::none()).await;
    let control = world.simulator.control();
    let fault = Fault::ErrorEmpty { status: 500 };
    control.outage_as(Some(fault)).unwrap();
    world.advance(MINUTE);
    let before = listings(&world);
    until("it was halved", Duration::from_secs(120), async || {
        listings(&world) >= before + 4
    })
    .await;
    control.outage_as(None).unwrap();
    world.settle(|| {}).await;
    for name in &names(5) {
        let row = row(&world, name).await;
        assert_eq!(row.seen_until, Some(world.now_ms() / 1000), "{row:?}");
    }
    let suspects = world
        .rows("SELECT name, suspect FROM subreddits WHERE suspect")
        .await;
    assert_eq!(suspects, []);
}

#[tokio::test]
async fn a_listing_of_another_name_alone_is_a_rename() {
    let world = quiet(3, |_| 0.0, Oddities::none()).await;
    let name = &names(1)[0];
    let control = world.simulator.control();
    let publish = |id: &str, subreddit: &str| {
        let publication = Publication {
            id: Some(id.to_owned()),
            created_utc: Some(START_MS / 1000),
            object: Some(format!(
                r#"{{"id":"{id}","created_utc":{},"subreddit":"{subreddit}"}}"#,
                START_MS / 1000
            )),
            ..Publication::to(name)
        };
        control.publish(publication).unwrap();
    };
    publish("a1", "LouderNow");
    publish("a2", "LouderNow");
    for _ in 0..32 {
        world.advance(MINUTE);
        world.settle(|| {}).await;
    }
    let found = row(&world, name).await;
    assert_eq!(found.state, SubredditState::Unavailable);
    assert_eq!(found.reason.as_deref(), Some("renamed to loudernow"));
    assert!(world.stored().await.contains("a1"));
    publish("a3", name.as_str());
    world.advance(Duration::from_secs(6 * 3600));
    world.settle(|| {}).await;
    assert_eq!(row(&world, name).await.state, SubredditState::Active);
}

#[tokio::test]
async fn of_several_schedulers_only_one_polls_a_subreddit_when_it_is_due() {
    let per_hour = |place: usize| if place < 5 { 300.0 } else { 1.0 };
    let mut world = quiet(40, per_hour, Oddities::none()).await;
    for _ in 0..3 {
        world.start_scheduler();
    }
    let mut logged = world.simulator.control().requests().len();
    for round in 0..12 {
        world.advance(MINUTE);
        world.settle(|| {}).await;
        let requests = world.simulator.control().requests();
        let mut polls: HashMap<&str, u32> = HashMap::new();
        for request in &requests[logged..] {
            let walk_begins = request.uri.contains("limit=100") && !request.uri.contains("after=");
            let listed = request.uri.split('/').nth(2).unwrap();
            if request.endpoint == Endpoint::Listing && walk_begins {
                for name in listed.split('+') {
                    *polls.entry(name).or_default() += 1;
                }
            }
        }
        assert_eq!(polls.len(), 40, "round {round}: {polls:?}");
        assert!(polls.values().all(|count| *count == 1), "{polls:?}");
        logged = requests.len();
    }
    for name in &names(5) {
        let windows = world.store.poll_windows(name, 100).await.unwrap();
        let mut ends: Vec<i64> = windows.iter().map(|poll| poll.window.window_end).collect();
        let polls = ends.len();
        ends.dedup();
        assert_eq!((polls, ends.len()), (13, 13), "r/{name}");
    }
}

#[tokio::test]
async fn what_a_killed_scheduler_held_is_taken_over_when_its_lease_ends() {
    let mut world = quiet(3, |_| 1.0, Oddities::none()).await;
    let control = world.simulator.control().clone();
    let slow = Fault::Slow { delay_ms: 600_000 };
    control.fail_next(1, slow, Some(Endpoint::Listing)).unwrap();
    world.advance(MINUTE);
    until("it asks", Duration::from_secs(10), async || {
        control.stats().under_way == 1
    })
    .await;
    world.kill_scheduler();
    world.start_scheduler();
    let asked = listings(&world);
    world.advance(Duration::from_secs(10));
    let claimed = world.store.subreddits().await.unwrap();
    assert!(claimed.iter().all(|row| row.claimed_by.is_some()));
    // Two looks at what is due: nothing is, as long as the lease lasts.
    let before = clock_readings();
    until("it looks twice", Duration::from_secs(10), async || {
        clock_readings() >= before + 2
    })
    .await;
    assert_eq!(listings(&world), asked);
    world.advance(Duration::from_secs(11));
    world.settle(|| {}).await;
    assert!(listings(&world) > asked);
    for name in names(3) {
        let row = row(&world, &name).await;
        assert_eq!(row.seen_until, Some(world.now_ms() / 1000), "{row:?}");
    }
}

#[tokio::test]
async fn schedulers_whose_clocks_differ_do_not_poll_in_turns() {
    let mut world = quiet(3, |_| 1.0, Oddities::none()).await;
    world.start_scheduler_behind();
    let looks = async |count: u64| {
        let before = clock_readings();
        until("they look", Duration::from_secs(60), async || {
            clock_readings() >= before + count
        })
        .await;
    };
    let mut asked = listings(&world);
    for minute in 0..6 {
        world.advance(MINUTE);
        world.settle(|| {}).await;
        looks(30).await;
        let polls = listings(&world) - asked;
        assert!(polls <= 3, "{polls} listings in minute {minute}");
        asked = listings(&world);
    }
    // The one whose clock is ahead is gone: the other goes on, though its clock says that it is early.
    world.kill_scheduler();
    for _ in 0..12 {
        world.advance(MINUTE / 4);
        looks(4).await;
    }
    let polls = listings(&world) - asked;
    assert!(
        (1..=6).contains(&polls),
        "{polls} listings in three minutes"
    );
}
