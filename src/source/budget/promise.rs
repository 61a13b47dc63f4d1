//! The promise of the budget, tried on random schedules.

use super::{BudgetState, Decision, Pace, Quota, RequestClass};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::num::NonZeroU32;

pub(super) fn pace(rpm: u32) -> Pace {
    Pace::per_minute(NonZeroU32::new(rpm).unwrap())
}

/// The most grants in any closed interval of a minute.
pub(super) fn busiest_minute(times: &[(i64, u32)]) -> u64 {
    let mut inside = VecDeque::new();
    let (mut sum, mut most) = (0_u64, 0);
    for &(time, count) in times {
        inside.push_back((time, count));
        sum += u64::from(count);
        while inside.front().is_some_and(|it| time - it.0 > 60_000) {
            sum -= inside.pop_front().map_or(0, |it| u64::from(it.1));
        }
        most = most.max(sum);
    }
    most
}

/// A server that counts in fixed windows, as Reddit does, and answers late and out of order.
struct Server {
    window_ms: i64,
    quota: u32,
    used: u32,
    ends_ms: i64,
}

impl Server {
    fn count(&mut self, now_ms: i64) -> (bool, Quota) {
        if now_ms >= self.ends_ms {
            self.ends_ms += ((now_ms - self.ends_ms) / self.window_ms + 1) * self.window_ms;
            self.used = 0;
        }
        self.used += 1;
        let quota = Quota {
            remaining: Some(f64::from(self.quota) - f64::from(self.used)),
            used: Some(f64::from(self.used)),
            // Whole seconds, rounded down: the worse of both.
            reset: Some(((self.ends_ms - now_ms) / 1_000) as f64),
        };
        (self.used <= self.quota, quota)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { fork: false, timeout: 0, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_sliding_minute_holds_more_than_its_requests(
        rpm in prop_oneof![1_u32..30, 30_u32..400, 10_000_u32..10_000_000],
        steps in prop::collection::vec((prop_oneof![0_i64..3, 0_i64..900, 0_i64..70_000], 0..RequestClass::COUNT, 1_u32..5_000, 0_u8..40), 1..600),
    ) {
        let pace = pace(rpm);
        let (mut now, mut times) = (0, Vec::new());
        let mut state = BudgetState::empty(now);
        for (gap, class, wanted, fate) in steps {
            now += gap;
            if fate == 0 {
                // A restart, or a Redis that was emptied.
                state = BudgetState::empty(now);
            }
            if let Decision::Granted { count, .. } = state.take(&pace, now, RequestClass::ALL[class], wanted) {
                prop_assert!((1..=wanted).contains(&count));
                times.push((now, count));
            }
        }
        prop_assert!(busiest_minute(&times) <= u64::from(rpm));
    }

    #[test]
    fn the_servers_quota_is_never_overdrawn_and_is_put_to_use(
        rpm in 20_u32..200,
        quota in 30_u32..1_500,
        window_s in prop_oneof![Just(60_i64), Just(600)],
        latencies in prop::collection::vec(1_i64..800, 1..50),
        others in 0_i64..4,
    ) {
        let pace = pace(rpm);
        let window_ms = window_s * 1_000;
        let mut server = Server { window_ms, quota, used: 0, ends_ms: 17_345 };
        let mut state = BudgetState::empty(0);
        // (when it is back, what it says, which grant asked)
        let mut answers: Vec<(i64, Quota, u64)> = Vec::new();
        let (mut now, mut sent) = (0_i64, 0_usize);
        while now < 17_345 + 3 * window_ms {
            answers.sort_by_key(|it| std::cmp::Reverse(it.0));
            while answers.last().is_some_and(|it| it.0 <= now) {
                let (_, quota, sequence) = answers.pop().unwrap();
                state.observe(&pace, now, &quota, sequence);
            }
            match state.take(&pace, now, RequestClass::Poll, 1) {
                Decision::Granted { first, .. } => {
                    let (allowed, quota) = server.count(now);
                    prop_assert!(allowed, "overdrawn at {now}");
                    answers.push((now + latencies[sent % latencies.len()], quota, first));
                    sent += 1;
                    // Another program with the same client id, whose requests we learn of late.
                    if others > 0 && i64::try_from(sent).unwrap() % (100 * others) == 0 {
                        server.count(now);
                    }
                }
                Decision::WaitUntil(until) => {
                    prop_assert!(until > now, "it would wait for the past");
                    let back = answers.last().map_or(i64::MAX, |it| it.0);
                    now = until.min(back.max(now + 1));
                }
            }
        }
        let windows = 3.0 + 17_345.0 / window_ms as f64;
        let by_pace = pace.per_ms() * (17_345 + 3 * window_ms) as f64;
        let by_quota = f64::from(quota) * 0.96 * windows.floor() - 60.0;
        prop_assert!(sent as f64 >= 0.8 * by_pace.min(by_quota), "{sent} of {by_pace} or {by_quota}");
    }

    #[test]
    fn a_poll_never_waits_for_more_than_one_refill_while_others_take_all_they_can(
        rpm in 10_u32..5_000,
        greed in prop::collection::vec((1_i64..400, prop::bool::ANY), 50..400),
    ) {
        let pace = pace(rpm);
        let (mut now, mut state) = (0, BudgetState::empty(0));
        for (gap, fetch) in greed {
            now += gap;
            let greedy = if fetch { RequestClass::Fetch } else { RequestClass::Backfill };
            while let Decision::Granted { .. } = state.take(&pace, now, greedy, 1) {}
            if let Decision::WaitUntil(until) = state.clone().take(&pace, now, RequestClass::Poll, 1) {
                let longest = (1.0 / pace.per_ms()).ceil() as i64;
                prop_assert!(until - now <= longest, "{}", until - now);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_stalls_nobody_and_gives_nothing_away(
        rpm in 1_u32..1_000,
        back in prop_oneof![1_i64..5_000, Just(3_600_000), Just(10_000_000_000)],
        remaining in prop::option::of(0_u32..900),
    ) {
        let pace = pace(rpm);
        let start = 1_790_000_000_000;
        let mut state = BudgetState::empty(start);
        if let Some(remaining) = remaining {
            let quota = Quota { remaining: Some(remaining.into()), used: Some(1.0), reset: Some(300.0) };
            state.observe(&pace, start, &quota, 0);
        }
        let mut now = start - back;
        let mut asked = 0;
        while let Decision::WaitUntil(until) = state.take(&pace, now, RequestClass::Backfill, 1) {
            now = until;
            asked += 1;
            prop_assert!(asked < 1_000);
        }
        let waited = now - (start - back);
        prop_assert!(waited >= (1.0 / pace.per_ms()) as i64, "a gift after {waited} ms");
        prop_assert!(waited <= 301_000 + (pace.burst() / pace.per_ms()).ceil() as i64 + 2, "stalled for {waited} ms");
    }

    #[test]
    fn no_header_of_any_kind_stops_the_budget_for_good(
        headers in prop::collection::vec((prop::option::of(any::<f64>()), prop::option::of(any::<f64>()), prop::option::of(any::<f64>()), any::<u64>()), 1..20),
    ) {
        let pace = pace(100);
        let (mut now, mut state) = (0, BudgetState::empty(0));
        for (remaining, used, reset, sequence) in headers {
            let finite = |it: Option<f64>| it.filter(|it| it.is_finite());
            let quota = Quota { remaining: finite(remaining), used: finite(used), reset: finite(reset) };
            state.observe(&pace, now, &quota, sequence);
            let mut asked = 0;
            while let Decision::WaitUntil(until) = state.take(&pace, now, RequestClass::Backfill, 1) {
                now = until;
                asked += 1;
                prop_assert!(asked < 1_000);
            }
            prop_assert!(now <= 20 * 3_700_000);
        }
    }
}

#[test]
fn the_rest_of_the_servers_window_is_spread_and_not_burnt() {
    let pace = pace(100);
    let mut state = BudgetState::empty(0);
    let quota = Quota {
        remaining: Some(61.0),
        used: Some(39.0),
        reset: Some(599.0),
    };
    state.observe(&pace, 0, &quota, 0);
    let (mut now, mut times) = (0, Vec::new());
    while now < 600_000 {
        match state.take(&pace, now, RequestClass::Poll, 1) {
            Decision::Granted { .. } => times.push(now),
            Decision::WaitUntil(until) => now = until,
        }
    }
    let first_half = times.iter().filter(|it| **it < 300_000).count();
    assert!((28..=32).contains(&first_half), "{first_half}");
    assert!((58..=60).contains(&times.len()), "{}", times.len());
}

#[test]
fn answers_may_arrive_in_any_order_and_what_is_in_flight_counts() {
    let pace = pace(100);
    let mut state = BudgetState::empty(0);
    let quota = |remaining: f64, reset: f64| Quota {
        remaining: Some(remaining),
        used: None,
        reset: Some(reset),
    };
    let Decision::Granted { count, .. } = state.take(&pace, 60_000, RequestClass::Poll, 5) else {
        panic!("a full bucket grants");
    };
    assert_eq!(count, 5);
    // The answer to the first of five: four are not in its count.
    state.observe(&pace, 60_000, &quota(100.0, 300.0), 1);
    assert_eq!(state.remaining(), Some(96.0));
    // An older answer comes late, then a newer one.
    state.observe(&pace, 60_100, &quota(104.0, 300.0), 2);
    assert_eq!(state.remaining(), Some(96.0));
    state.observe(&pace, 60_200, &quota(90.0, 299.0), 5);
    assert_eq!(state.remaining(), Some(90.0));
    // The window has ended: the next answer is believed anew.
    state.observe(&pace, 400_000, &quota(999.0, 600.0), 5);
    assert_eq!(state.remaining(), Some(999.0));
}

#[test]
fn a_stretched_window_starves_no_class() {
    for rpm in [10, 100, 10_000_000] {
        for class in RequestClass::ALL {
            let pace = pace(rpm);
            let mut state = BudgetState::empty(0);
            let quota = Quota {
                remaining: Some(300.0),
                used: Some(300.0),
                reset: Some(600.0),
            };
            state.observe(&pace, 0, &quota, 0);
            let (mut now, mut granted) = (0, 0);
            while now < 60_000 {
                match state.take(&pace, now, class, 1) {
                    Decision::Granted { .. } => granted += 1,
                    Decision::WaitUntil(until) => now = until,
                }
            }
            let share = if rpm == 10 { 6 } else { 24 };
            assert!(granted >= share, "{rpm} {class:?}: {granted}");
        }
    }
}

#[test]
fn a_state_that_no_transition_makes_stalls_nobody() {
    for json in [
        r#"{"tokens":-1e300,"updated_ms":0,"granted":0}"#,
        r#"{"tokens":1e300,"updated_ms":0,"granted":18446744073709551615}"#,
        r#"{"tokens":1,"updated_ms":9223372036854775807,"granted":0}"#,
        r#"{"tokens":1,"updated_ms":-9223372036854775808,"granted":0}"#,
        r#"{"tokens":1,"updated_ms":0,"granted":0,"window":{"remaining":0,"headroom":1,"reset_ms":9223372036854775807}}"#,
        r#"{"tokens":1,"updated_ms":0,"granted":0,"window":{"remaining":-1e300,"headroom":1e300,"reset_ms":-9223372036854775808}}"#,
    ] {
        let pace = pace(100);
        let mut state: BudgetState = serde_json::from_str(json).unwrap();
        let (mut now, mut granted) = (1_790_000_000_000, 0);
        let end = now + 60_000;
        while now < end {
            match state.take(&pace, now, RequestClass::Poll, 1) {
                Decision::Granted { .. } => granted += 1,
                Decision::WaitUntil(until) => now = until,
            }
        }
        assert!((90..=100).contains(&granted), "{granted}: {json}");
    }
}

#[test]
fn a_full_bucket_does_not_overdraw_a_window_that_is_nearly_spent() {
    let pace = pace(100);
    let mut state = BudgetState::empty(0);
    let quota = Quota {
        remaining: Some(3.0),
        used: Some(97.0),
        reset: Some(300.0),
    };
    // A minute's rest fills the bucket with five.
    state.observe(&pace, 60_000, &quota, 0);
    let mut granted = 0;
    while let Decision::Granted { count, .. } = state.take(&pace, 60_000, RequestClass::Poll, 1) {
        granted += count;
    }
    assert_eq!(granted, 2, "three are left, one of them is headroom");
    let waits = state.take(&pace, 60_000, RequestClass::Poll, 1);
    assert_eq!(waits, Decision::WaitUntil(60_000 + 301_000));
}
