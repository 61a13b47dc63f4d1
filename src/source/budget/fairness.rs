//! The shares of the budget, tried on random demands of several processes.

use super::promise::{busiest_minute, pace};
use super::{BudgetState, Decision, Pace, RequestClass};
use proptest::prelude::*;

/// One line of callers: one class in one process.
#[derive(Debug, Clone, Copy)]
struct Line {
    class: RequestClass,
    demand: Demand,
}

#[derive(Debug, Clone, Copy)]
enum Demand {
    /// Always one more request.
    Greedy,
    /// A request each time that so many refill intervals have passed.
    Every(f64),
    /// Is killed at that refill interval, if it waits then or later.
    KilledAt(f64),
}

#[derive(Debug, Default)]
struct Run {
    grants: Vec<(i64, RequestClass)>,
    /// The longest wait of a request of a line that is not greedy, in refill intervals.
    longest: f64,
    /// The most that lay in the bucket while somebody was told to wait.
    unused: f64,
}

impl Run {
    fn of(&self, class: RequestClass) -> f64 {
        self.grants.iter().filter(|it| it.1 == class).count() as f64
    }

    /// The lines ask the shared state, each as late after its time as `late` says in turn.
    fn simulate(pace: &Pace, lines: &[Line], late: &[i64], intervals: f64) -> Run {
        let interval = 1.0 / pace.per_ms();
        let ms = |intervals: f64| (intervals * interval) as i64;
        let start = 1_790_000_000_000;
        let mut state = BudgetState::empty(start);
        // When each line asks, and since when its request waits.
        let mut asks: Vec<(i64, i64)> = lines.iter().map(|_| (start, start)).collect();
        let mut late = late.iter().cycle();
        let mut run = Run::default();
        while let Some(index) = (0..lines.len()).min_by_key(|it| asks[*it].0) {
            let (now, since) = asks[index];
            if now - start > ms(intervals) {
                break;
            }
            let line = lines[index];
            let late = *late.next().unwrap();
            asks[index] = match state.take(pace, now, line.class, 1) {
                Decision::Granted { .. } => {
                    run.grants.push((now, line.class));
                    match line.demand {
                        Demand::Greedy | Demand::KilledAt(_) => (now + late.min(1), now),
                        Demand::Every(gap) => {
                            // In the beginning all are equally entitled, and one request of the smallest share takes 25.
                            if since > start + ms(60.0) {
                                run.longest = run.longest.max((now - since) as f64 / interval);
                            }
                            let next = now.max(since + ms(gap));
                            (next, next)
                        }
                    }
                }
                Decision::WaitUntil(until) => {
                    assert!(until > now);
                    run.unused = run.unused.max(state.tokens());
                    match line.demand {
                        Demand::KilledAt(at) if now - start >= ms(at) => (i64::MAX, 0),
                        _ => (until.min(now + 10_000) + late, since),
                    }
                }
            };
        }
        run
    }
}

fn class() -> impl Strategy<Value = RequestClass> {
    (0..RequestClass::COUNT).prop_map(|it| RequestClass::ALL[it])
}

/// The part that a class is guaranteed beside these.
fn guaranteed(class: RequestClass, lines: &[Line]) -> f64 {
    let scanned = lines.iter().any(|it| it.class == RequestClass::Scan);
    if scanned {
        class.share().min(class.share_beside_scan())
    } else {
        class.share()
    }
}

fn lines(demand: impl Strategy<Value = Demand>) -> impl Strategy<Value = Vec<Line>> {
    let line = (class(), demand).prop_map(|(class, demand)| Line { class, demand });
    prop::collection::vec(line, 1..12)
}

fn any_demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        3 => Just(Demand::Greedy),
        2 => (0.2_f64..40.0).prop_map(Demand::Every),
        1 => (0.0_f64..100.0).prop_map(Demand::KilledAt),
    ]
}

/// How late a line wakes up, milliseconds.
fn lateness() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(0_i64..30, 1..40)
}

/// The rates at which a grant is taken at a time.
fn rates() -> impl Strategy<Value = u32> {
    prop_oneof![Just(100_u32), 1_u32..30, 30_u32..600]
}

proptest! {
    #![proptest_config(ProptestConfig { fork: false, timeout: 0, ..ProptestConfig::with_cases(80) })]

    #[test]
    fn a_class_that_always_demands_gets_its_share_whatever_the_others_do(
        rpm in rates(), lines in lines(any_demand()), greedy in class(), late in lateness(),
    ) {
        let pace = pace(rpm);
        let mut lines = lines;
        lines.push(Line { class: greedy, demand: Demand::Greedy });
        let run = Run::simulate(&pace, &lines, &late, 400.0);
        for line in lines.iter().filter(|it| matches!(it.demand, Demand::Greedy)) {
            let (got, share) = (run.of(line.class), guaranteed(line.class, &lines));
            // Where a refill takes hardly longer than waking up, turns are lost.
            let kept = if rpm <= 300 { 0.95 } else { 0.7 };
            prop_assert!(got >= kept * share * 400.0 - 2.0, "{:?}: {got}", line.class);
        }
        let times: Vec<_> = run.grants.iter().map(|it| (it.0, 1)).collect();
        prop_assert!(busiest_minute(&times) <= u64::from(rpm));
    }

    #[test]
    fn nothing_lies_unused_while_somebody_waits(
        rpm in rates(), lines in lines(any_demand()), greedy in class(), late in lateness(),
    ) {
        let pace = pace(rpm);
        let mut lines = lines;
        lines.push(Line { class: greedy, demand: Demand::Greedy });
        let run = Run::simulate(&pace, &lines, &late, 400.0);
        // A grant, one more refill interval, and what is gained while the one whose turn it is wakes up
        // or is found to have been killed.
        let waking = 200.0 * pace.per_ms();
        prop_assert!(run.unused <= 2.0 + waking, "{}", run.unused);
        let all = run.grants.len() as f64;
        let killed = lines.iter().filter(|it| matches!(it.demand, Demand::KilledAt(_))).count() as f64;
        let lost = 2.0 + killed + waking + 0.05 * 400.0;
        prop_assert!(all >= 400.0 - lost, "{all}");
    }

    #[test]
    fn a_class_that_demands_alone_gets_everything(
        rpm in rates(), class in class(), processes in 1_usize..4, late in lateness(),
    ) {
        let pace = pace(rpm);
        let lines = vec![Line { class, demand: Demand::Greedy }; processes];
        let run = Run::simulate(&pace, &lines, &late, 400.0);
        prop_assert!(run.of(class) >= 400.0 - 2.0 - 60.0 * pace.per_ms(), "{}", run.of(class));
    }

    #[test]
    fn what_discovers_gets_every_second_request_while_it_waits(
        rpm in 1_u32..150, lines in lines(any_demand()), late in lateness(), scan in any::<bool>(),
    ) {
        let pace = pace(rpm);
        let mut lines = lines;
        let discovers = if scan { RequestClass::Scan } else { RequestClass::Poll };
        if !scan {
            lines.retain(|line| line.class != RequestClass::Scan);
        }
        lines.push(Line { class: discovers, demand: Demand::Greedy });
        let run = Run::simulate(&pace, &lines, &late, 400.0);
        let granted = run.grants.iter().filter(|it| it.1 == discovers);
        let times: Vec<i64> = granted.map(|it| it.0).collect();
        let longest = times.windows(2).map(|it| it[1] - it[0]).max().unwrap();
        let longest = longest as f64 * pace.per_ms();
        prop_assert!(longest <= 2.0 + 200.0 * pace.per_ms(), "{longest}");
    }

    #[test]
    fn a_request_of_a_class_below_its_share_waits_two_refills_at_most(
        rpm in 1_u32..400, class in class(), greedy in prop::collection::vec(class(), 1..16),
        slower in 1.2_f64..5.0, late in lateness(),
    ) {
        let pace = pace(rpm);
        let greedy = greedy.into_iter().filter(|it| *it != class);
        let mut lines: Vec<Line> = greedy.map(|class| Line { class, demand: Demand::Greedy }).collect();
        let gap = slower / guaranteed(class, &lines);
        lines.push(Line { class, demand: Demand::Every(gap) });
        let run = Run::simulate(&pace, &lines, &late, 400.0);
        prop_assert!(run.longest <= 2.0 + 200.0 * pace.per_ms(), "{}", run.longest);
    }
}

#[test]
fn a_class_that_was_idle_is_owed_one_request_and_no_more() {
    let pace = pace(100);
    let mut state = BudgetState::empty(0);
    let mut now = 0;
    let take = |state: &mut BudgetState, now: i64, class| {
        matches!(state.take(&pace, now, class, 1), Decision::Granted { .. })
    };
    // For ten minutes polls have everything.
    while now < 600_000 {
        take(&mut state, now, RequestClass::Poll);
        now += 10;
    }
    // Then fetches want everything, too.
    let (mut polls, mut fetches) = (0, 0);
    while polls + fetches < 26 {
        fetches += u32::from(take(&mut state, now, RequestClass::Fetch));
        polls += u32::from(take(&mut state, now, RequestClass::Poll));
        now += 10;
    }
    assert!((8..=10).contains(&fetches), "{fetches} of 26");
}

#[test]
fn at_high_rates_blocks_are_shared_too() {
    for rpm in [6_000, 60_000, 600_000, 10_000_000] {
        let pace = pace(rpm);
        let mut state = BudgetState::empty(0);
        let classes = [
            RequestClass::Poll,
            RequestClass::Fetch,
            RequestClass::Backfill,
        ];
        let mut granted = [0.0; 3];
        for now in 0..20_000 {
            // Whoever asks first in a millisecond is no better off for it.
            for (index, class) in classes.into_iter().enumerate().rev() {
                let wanted = pace.block();
                if let Decision::Granted { count, .. } = state.take(&pace, now, class, wanted) {
                    granted[index] += f64::from(count);
                }
            }
        }
        let all: f64 = granted.iter().sum();
        let gained = 20_000.0 * pace.per_ms();
        assert!(all >= 0.9 * gained, "{rpm}: {all} of {gained}");
        for (class, got) in classes.into_iter().zip(granted) {
            assert!(
                got >= 0.95 * class.share() * all,
                "{rpm} {class:?}: {got} of {all}"
            );
        }
    }
}

#[test]
fn two_versions_may_share_a_state() {
    let pace = pace(100);
    let before = r#"{"tokens":2.5,"updated_ms":1000,"granted":7,"window":null}"#;
    for shares in [
        "[]",
        "[{}]",
        "[{},{},{},{},{},{},{},{}]",
        r#"[{"passed":true}]"#,
        r#"[{"lead":1e300,"waits":true,"asks_ms":9223372036854775807},{"new":1}]"#,
    ] {
        let json = before.replace("}", &format!(r#","shares":{shares}}}"#));
        let mut state: BudgetState = serde_json::from_str(&json).unwrap();
        for class in RequestClass::ALL.into_iter().rev() {
            let (mut now, mut asked) = (1_000, 0);
            while let Decision::WaitUntil(until) = state.take(&pace, now, class, 1) {
                now = until;
                asked += 1;
                assert!(asked < 10, "{shares} {class:?}");
            }
        }
    }
    let mut old: BudgetState = serde_json::from_str(before).unwrap();
    let taken = old.take(&pace, 1_000, RequestClass::Backfill, 1);
    assert!(matches!(taken, Decision::Granted { first: 8, .. }));
}

#[test]
fn waiting_is_noted_once_and_not_at_each_question() {
    let pace = pace(100);
    let mut state = BudgetState::empty(0);
    state.take(&pace, 0, RequestClass::Poll, 1);
    let noted = state.clone();
    for now in 1..100 {
        state.take(&pace, now, RequestClass::Poll, 1);
        assert!(state.waits_as(&noted), "{now}");
    }
    state.take(&pace, 100, RequestClass::Fetch, 1);
    assert!(!state.waits_as(&noted));
}

#[test]
fn what_a_class_that_needs_little_leaves_is_divided_among_the_others_by_their_shares() {
    let line = |class, demand| Line { class, demand };
    let lines = [
        line(RequestClass::Repair, Demand::Greedy),
        line(RequestClass::Poll, Demand::Every(3.48)),
        line(RequestClass::Fetch, Demand::Greedy),
    ];
    for late in [0, 5, 25] {
        let run = Run::simulate(&pace(195), &lines, &[late], 4_000.0);
        let (repairs, fetches) = (run.of(RequestClass::Repair), run.of(RequestClass::Fetch));
        let left = repairs + fetches;
        let fair = RequestClass::Repair.share()
            / (RequestClass::Repair.share() + RequestClass::Fetch.share());
        assert!(
            (repairs / left - fair).abs() < 0.1 * fair,
            "{repairs} of {left}, where {fair:.2} of them are fair"
        );
    }
}
