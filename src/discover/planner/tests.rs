//! The plan against worlds of Poisson arrivals.

mod days;
mod overflow;
mod splits;

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Subreddits that post as often as on Reddit: a few post most.
fn zipf(count: usize, total: f64) -> Vec<(SubredditName, f64)> {
    let weights: Vec<f64> = (1..=count).map(|rank| 1.0 / rank as f64).collect();
    let sum: f64 = weights.iter().sum();
    let names = weights.iter().enumerate().map(|(index, weight)| {
        // Names in another order than rates.
        let name = format!("s{:05}", (index * 7_919) % 100_003);
        (name.parse().unwrap(), total * weight / sum)
    });
    names.collect()
}

fn limits() -> Limits {
    Limits {
        max_names: 100,
        max_chars: 1_700,
        fastest: Duration::from_secs(1),
        objective: Duration::from_secs(3_600),
    }
}

struct World {
    rates: HashMap<SubredditName, f64>,
    rng: StdRng,
    /// When each subreddit was last listed.
    listed: HashMap<SubredditName, f64>,
}

impl World {
    fn new(rates: &[(SubredditName, f64)], seed: u64) -> World {
        World {
            rates: rates.iter().cloned().collect(),
            rng: StdRng::seed_from_u64(seed),
            listed: HashMap::new(),
        }
    }

    /// So many arrivals, by Knuth, or where there are many as a normal distribution.
    fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 50.0 {
            let uniform = (0..12).map(|_| self.rng.random::<f64>()).sum::<f64>() - 6.0;
            return (mean + uniform * mean.sqrt()).round().max(0.0) as u32;
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.rng.random::<f64>(), 0);
        while product > limit {
            product *= self.rng.random::<f64>();
            count += 1;
        }
        count
    }

    /// What a poll lists, and the sum of the waits that it ends with their number.
    fn list(&mut self, poll: &Poll, now: f64) -> (Answer, f64, f64) {
        let (mut new, mut waits, mut count) = (HashMap::new(), 0.0, 0.0);
        let mut listed = HashMap::new();
        let span = 3_600.0;
        for name in &poll.names {
            let rate = self.rates[name];
            let since = self.listed.insert(name.clone(), now);
            match since {
                Some(since) => {
                    let arrived = self.poisson(rate * (now - since));
                    if arrived > 0 {
                        new.insert(name.to_string(), arrived);
                    }
                    waits += f64::from(arrived) * (now - since) / 2.0;
                    count += f64::from(arrived);
                }
                None => {
                    let shown = self.poisson(rate * span);
                    listed.insert(name.to_string(), shown);
                }
            }
        }
        let answer = Answer {
            shown_at: 0,
            new,
            lost: false,
            joined: true,
            after: None,
            span,
            listed,
        };
        (answer, waits, count)
    }
}

fn members(rates: &[(SubredditName, f64)]) -> Vec<Member> {
    let members = rates.iter().map(|(name, rate)| Member {
        name: name.clone(),
        // Nobody learns forty thousand rates within an hour: those are known from days before.
        rate: if rates.len() > 10_000 { *rate } else { 0.0 },
        alone: false,
    });
    members.collect()
}

/// Waits for the next poll; there always is one.
fn next_poll(planner: &mut Planner, now: &mut f64) -> Poll {
    loop {
        match planner.next(*now) {
            Next::Poll(poll) => return poll,
            Next::WaitUntil(at) => *now = at.max(*now + 1e-6),
            Next::Idle => panic!("nothing to poll"),
        }
    }
}

/// Runs a plan; the mean wait after the warm-up and the longest time between two polls of a subreddit.
fn run(rates: &[(SubredditName, f64)], limits: Limits, budget: f64, seconds: f64) -> (f64, f64) {
    let mut world = World::new(rates, 7);
    let mut planner = Planner::new(limits);
    planner.set_budget(budget);
    planner.set_members(&members(rates), 0.0);
    let warm_up = seconds / 3.0;
    let (mut now, mut ready, mut waits, mut count, mut longest) =
        (0.0_f64, 0.0_f64, 0.0, 0.0, 0.0_f64);
    while now < seconds {
        let poll = next_poll(&mut planner, &mut now);
        // A grant comes each 1/budget seconds.
        now = now.max(ready);
        ready = now + 1.0 / budget;
        if now > warm_up {
            for name in &poll.names {
                longest = longest.max(now - world.listed.get(name).copied().unwrap_or(0.0));
            }
        }
        let (answer, waited, found) = world.list(&poll, now);
        if now > warm_up {
            waits += waited;
            count += found;
        }
        planner.answered(&poll, &answer, now);
    }
    (waits / count, longest)
}

/// The least mean wait of groups of a hundred by rate, (Σ√Λ)²/(2BΣΛ), where no bound holds.
fn optimum(rates: &[(SubredditName, f64)], budget: f64) -> f64 {
    let mut sorted: Vec<f64> = rates.iter().map(|(_, rate)| *rate).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let groups: Vec<f64> = sorted.chunks(100).map(|chunk| chunk.iter().sum()).collect();
    let roots: f64 = groups.iter().map(|rate| rate.sqrt()).sum();
    roots * roots / (2.0 * budget * groups.iter().sum::<f64>())
}

#[test]
fn the_mean_wait_is_near_the_optimum_in_worlds_of_every_size() {
    for (count, total, budget, seconds) in [
        (10, 0.5, 0.5, 3_000.0),
        (300, 0.5, 1.0, 3_000.0),
        (1_000, 2.0, 1.0, 6_000.0),
        (5_000, 10.0, 1.0, 6_000.0),
        (40_000, 18.0, 2.0, 4_500.0),
    ] {
        let rates = zipf(count, total);
        let limits = Limits {
            max_chars: usize::MAX,
            fastest: Duration::from_millis(1),
            ..limits()
        };
        let (mean, _) = run(&rates, limits, budget, seconds);
        let best = optimum(&rates, budget);
        assert!(
            mean < best * 1.10,
            "{count}: {mean:.2} s, at best {best:.2} s"
        );
    }
}

#[test]
fn no_subreddit_waits_longer_than_the_objective_where_the_budget_suffices() {
    let rates = zipf(1_000, 2.0);
    let limits = Limits {
        objective: Duration::from_secs(30),
        ..limits()
    };
    // Ten groups: the objective alone needs a third of a request a second.
    let (_, longest) = run(&rates, limits, 1.0, 1_200.0);
    assert!(longest <= 31.5, "{longest}");
    let mut planner = Planner::new(limits);
    planner.set_budget(1.0);
    planner.set_members(&members(&rates), 0.0);
    assert!(planner.outlook().longest <= 30.0);
    // And where it does not, the plan says what would.
    planner.set_budget(0.1);
    let outlook = planner.outlook();
    assert!(
        outlook.longest > 30.0 && (0.3..0.5).contains(&outlook.needed),
        "{outlook:?}"
    );
}

#[test]
fn spare_budget_makes_polls_faster_down_to_the_fastest_and_no_further() {
    let rates = zipf(50, 5.0);
    let (mean, longest) = run(&rates, limits(), 1.5, 300.0);
    assert!(
        mean < 0.6 && (0.99..1.4).contains(&longest),
        "{mean} {longest}"
    );
}

#[test]
fn however_long_no_price_fits_the_budget_the_right_one_is_found_once_one_does() {
    let rates = zipf(30, 1.0);
    let one = |budget| {
        let mut planner = Planner::new(Limits {
            max_names: 3,
            objective: Duration::from_secs(10),
            ..limits()
        });
        planner.set_members(&members(&rates), 0.0);
        planner.set_budget(budget);
        planner
    };
    // Too little for the objective, and then more than is ever needed.
    for (long, then) in [(0.01, 2.0), (1e6, 2.0)] {
        let mut planner = one(long);
        for _ in 0..5_000 {
            planner.price();
        }
        planner.set_budget(then);
        let (found, wanted) = (planner.outlook(), one(then).outlook());
        assert!(
            (found.longest / wanted.longest - 1.0).abs() < 0.01,
            "{found:?} {wanted:?}"
        );
        assert!(
            (found.mean_wait / wanted.mean_wait - 1.0).abs() < 0.01,
            "{found:?} {wanted:?}"
        );
    }
}

#[test]
fn a_listing_is_polled_before_a_burst_overflows_it() {
    let rates = zipf(20, 3.0);
    let (_, longest) = run(&rates, limits(), 0.05, 6_000.0);
    assert!(
        longest > 800.0 / (5.0 * 3.0) * 0.3,
        "the budget is scarce: {longest}"
    );
    let (_, longest) = run(&rates, limits(), 0.2, 6_000.0);
    assert!(longest <= 800.0 / (5.0 * 3.0) * 1.05, "{longest}");
}

fn poll(planner: &mut Planner, now: f64) -> Poll {
    match planner.next(now) {
        Next::Poll(poll) => poll,
        other => panic!("{other:?} at {now}"),
    }
}

fn answer(new: &[(&str, u32)], after: Option<&str>) -> Answer {
    Answer {
        shown_at: 0,
        new: new
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        joined: after.is_none(),
        lost: false,
        after: after.map(str::to_owned),
        span: 60.0,
        listed: HashMap::new(),
    }
}

fn member(name: &str) -> Member {
    Member {
        name: name.parse().unwrap(),
        rate: 0.01,
        alone: false,
    }
}

#[test]
fn a_thousand_new_subreddits_are_all_requested_before_any_is_requested_again() {
    let rates = zipf(1_000, 2.0);
    let mut planner = Planner::new(limits());
    planner.set_members(&members(&rates), 0.0);
    planner.set_budget(2.0);
    let mut seen = HashSet::new();
    for step in 0..10 {
        let now = f64::from(step) * 0.6;
        let poll = poll(&mut planner, now);
        assert!(poll.first && poll.after.is_none());
        for name in &poll.names {
            assert!(seen.insert(name.clone()), "{name} came twice");
        }
        planner.answered(&poll, &answer(&[], None), now);
    }
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn what_a_page_does_not_join_is_followed_below_while_the_top_is_polled_on() {
    let mut planner = Planner::new(limits());
    planner.set_members(&[member("kettles")], 0.0);
    let first = poll(&mut planner, 0.0);
    planner.answered(&first, &answer(&[("kettles", 100)], Some("t3_a")), 0.0);
    let mut tops = 0;
    let mut anchors = Vec::new();
    for step in 1..8 {
        let now = f64::from(step);
        let poll = poll(&mut planner, now);
        let more = match poll.after.as_deref() {
            None => {
                tops += 1;
                None
            }
            Some("t3_a") => Some("t3_b"),
            Some(_) => None,
        };
        anchors.extend(poll.after.clone());
        planner.answered(&poll, &answer(&[("kettles", 9)], more), now);
    }
    assert_eq!(anchors, ["t3_a", "t3_b"]);
    assert_eq!(tops, 5);
}

#[test]
fn a_chain_whose_anchor_is_gone_is_begun_again_at_the_top_a_few_times() {
    let mut planner = Planner::new(limits());
    planner.set_members(&[member("kettles")], 0.0);
    let mut now = 0.0;
    let mut again = 0;
    for step in 0..40 {
        now += 2.0;
        let poll = poll(&mut planner, now);
        again += u32::from(poll.unfollowed && poll.after.is_none());
        let lost = poll.after.is_some();
        // The second poll joins nothing, and no page is found below it.
        let after = (step == 1 || poll.unfollowed).then_some("t3_a");
        let answer = Answer {
            shown_at: 1_000 + step,
            lost,
            joined: after.is_none() && !lost,
            ..answer(&[], after.filter(|_| !lost))
        };
        planner.answered(&poll, &answer, now);
    }
    assert_eq!(again, 3);
}

#[test]
fn a_poll_that_fails_once_is_made_again_before_the_next_round() {
    let mut planner = Planner::new(Limits {
        max_names: 1,
        ..limits()
    });
    let list: Vec<Member> = (0..20).map(|it| member(&format!("name{it}"))).collect();
    planner.set_members(&list, 0.0);
    let mut now = 0.0;
    let mut failed_at = None;
    for step in 0..200 {
        now += 1.0;
        let poll = poll(&mut planner, now);
        match failed_at {
            None if step > 100 => {
                failed_at = Some((poll.names.clone(), now));
                planner.failed(&poll, true, now);
                continue;
            }
            Some((ref names, at)) if *names == poll.names => {
                assert!(now - at <= 4.0, "{} s later", now - at);
                return;
            }
            _ => planner.answered(&poll, &answer(&[], None), now),
        }
    }
    panic!("it was not made again");
}

#[test]
fn a_burst_is_polled_faster_within_a_few_polls() {
    let mut planner = Planner::new(limits());
    let quiet: Vec<Member> = (0..300)
        .map(|index| member(&format!("name{index:03}")))
        .collect();
    planner.set_members(&quiet, 0.0);
    planner.set_budget(0.2);
    let mut now = 0.0;
    let mut last: Option<f64> = None;
    let mut gaps = Vec::new();
    for _ in 0..4_000 {
        now += 0.5;
        let Next::Poll(poll) = planner.next(now) else {
            continue;
        };
        let bursts = poll.names.iter().any(|name| name.as_str() == "name007");
        let since = last.unwrap_or(now);
        let mut new = Vec::new();
        if bursts {
            gaps.push(now - since);
            if now > 1_000.0 {
                new.push(("name007", ((now - since) * 2.0) as u32));
            }
            last = Some(now);
        }
        planner.answered(&poll, &answer(&new, None), now);
    }
    let (before, after) = gaps.split_at(gaps.len() / 2);
    let usual = before
        .iter()
        .skip(2)
        .copied()
        .fold(0.0, f64::max)
        .min(before[3]);
    let later = after.last().unwrap();
    assert!(
        *later < usual * 0.7,
        "{usual} s before, {later} s in the burst"
    );
}
