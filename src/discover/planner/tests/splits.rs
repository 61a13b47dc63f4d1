//! Groups that are split, and requests that are too long.

use super::*;

#[test]
fn one_that_spoils_a_shared_listing_is_separated_and_the_others_are_polled() {
    let mut planner = Planner::new(limits());
    let list: Vec<Member> = (0..40)
        .map(|index| member(&format!("name{index}")))
        .collect();
    planner.set_members(&list, 0.0);
    let mut polled = HashSet::new();
    let mut now = 0.0;
    // Another listing is answered all the while.
    for _ in 0..400 {
        now += 1.0;
        if let Next::Poll(poll) = planner.next(now) {
            if poll.names.iter().any(|name| name.as_str() == "name13") {
                planner.failed(&poll, true, now);
            } else {
                polled.extend(poll.names.iter().map(ToString::to_string));
                planner.answered(&poll, &answer(&[], None), now);
            }
        }
    }
    assert_eq!(polled.len(), 39);
}

#[test]
fn what_a_group_has_not_followed_is_followed_by_the_groups_that_it_is_split_into() {
    let mut planner = Planner::new(limits());
    planner.set_members(&[member("kettles"), member("rust")], 0.0);
    let mut now = 0.0;
    for (shown_at, after) in [(1_000, None), (1_010, Some("t3_a"))] {
        now += 10.0;
        let poll = poll(&mut planner, now);
        let answer = Answer {
            shown_at,
            ..answer(&[("rust", 100)], after)
        };
        planner.answered(&poll, &answer, now);
    }
    let mut halves: HashMap<String, Vec<_>> = HashMap::new();
    for _ in 0..40 {
        now += 20.0;
        let Next::Poll(poll) = planner.next(now) else {
            continue;
        };
        if poll.names.len() == 2 {
            planner.failed(&poll, true, now);
            continue;
        }
        // A page of the half reaches no further down.
        let reaches = !poll.unfollowed || poll.after.is_some();
        let half = halves.entry(poll.names[0].to_string()).or_default();
        half.push((poll.since, poll.unfollowed, poll.after.clone()));
        planner.answered(&poll, &answer(&[], (!reaches).then_some("t3_b")), now);
    }
    assert_eq!(halves.len(), 2);
    for polls in halves.values() {
        let below = (Some(1_000), true, Some("t3_b".to_owned()));
        assert_eq!(polls[0], (Some(1_000), true, None));
        assert_eq!(polls.iter().filter(|poll| **poll == below).count(), 1);
        assert_eq!(polls.iter().filter(|poll| poll.1).count(), 2);
    }
}

/// Polls for a while through a server that answers 414 where `refused` says so; what was polled, and how often
/// the server refused.
fn through(refused: impl Fn(&[SubredditName]) -> bool) -> (HashSet<String>, usize) {
    let mut planner = Planner::new(Limits {
        max_names: 300,
        max_chars: 4_000,
        ..limits()
    });
    let list: Vec<Member> = (0..700).map(|it| member(&format!("name{it:07}"))).collect();
    planner.set_members(&list, 0.0);
    let (mut polled, mut refusals, mut now) = (HashSet::new(), 0, 0.0);
    for _ in 0..400 {
        now += 1.0;
        let Next::Poll(poll) = planner.next(now) else {
            continue;
        };
        if refused(&poll.names) {
            refusals += 1;
            planner.too_long(&poll, now);
        } else {
            polled.extend(poll.names.iter().map(ToString::to_string));
            planner.answered(&poll, &answer(&[], None), now);
        }
    }
    (polled, refusals)
}

#[test]
fn requests_become_as_short_as_the_server_wants_them() {
    for bound in [600, 1_000, 1_955, 2_048, 3_000, usize::MAX] {
        let (polled, refusals) = through(|names| form::chars(names) > bound);
        assert_eq!(polled.len(), 700, "{bound}");
        assert!(refusals <= 6, "{bound}: {refusals}");
    }
}

#[test]
fn one_for_which_every_request_is_refused_as_too_long_costs_the_others_nothing() {
    let (polled, _) = through(|names| names.iter().any(|name| name.as_str() == "name0000013"));
    assert_eq!(polled.len(), 699);
}

#[test]
fn an_outage_splits_nothing() {
    let mut planner = Planner::new(limits());
    planner.set_members(&[member("kettles"), member("rust")], 0.0);
    let mut now = 0.0;
    for _ in 0..20 {
        now += 20.0;
        let poll = poll(&mut planner, now);
        assert_eq!(poll.names.len(), 2);
        planner.failed(&poll, false, now);
    }
}

#[test]
fn one_failure_puts_no_poll_off_and_more_in_a_row_do() {
    let mut planner = Planner::new(limits());
    planner.set_members(&[member("kettles")], 0.0);
    planner.set_budget(10.0);
    let first = poll(&mut planner, 0.0);
    planner.failed(&first, false, 0.0);
    let again = poll(&mut planner, 0.2);
    planner.failed(&again, false, 0.2);
    let Next::WaitUntil(until) = planner.next(0.4) else {
        panic!("twice in a row is no chance");
    };
    assert!(until > 2.0, "{until}");
}
