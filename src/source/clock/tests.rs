//! Clocks that are ahead, behind, absent or jump, against the true time.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::time::Duration;

const TRUE: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

thread_local! {
    static WALL: Cell<i64> = const { Cell::new(TRUE) };
}

fn wall_ms() -> i64 {
    WALL.with(Cell::get) * 1_000
}

fn clock() -> EvidenceClock {
    WALL.with(|wall| wall.set(TRUE));
    EvidenceClock::new("reddit", wall_ms, Arc::new(Metrics::new()))
}

fn dated(date: i64) -> Dated {
    Dated {
        date: Some(date),
        age: Some(0),
    }
}

const UNDATED: Dated = Dated {
    date: None,
    age: Some(0),
};

fn read(clock: &EvidenceClock, wall: i64, dated: Dated, items: &[(&str, i64)]) -> Moment {
    WALL.with(|it| it.set(wall));
    clock.read(clock.sent(), dated, items.iter().copied())
}

/// Monotonic time goes on for a second at most while a test runs.
fn about(time: i64) -> std::ops::RangeInclusive<i64> {
    time..=time + 5
}

#[test]
fn a_date_ahead_extends_nothing_once_or_always() {
    let clock = clock();
    for ahead in [20 * 3_600, 300, 61, DAY * 400, 300, 300, 300] {
        let moment = read(&clock, TRUE, dated(TRUE + ahead), &[]);
        assert_eq!(moment.proves, Some(TRUE));
    }
}

#[test]
fn a_machine_ahead_extends_nothing_with_dates_or_without() {
    let clock = clock();
    let ours = TRUE + 3 * DAY;
    assert_eq!(read(&clock, ours, dated(TRUE), &[]).proves, Some(TRUE));
    assert_eq!(read(&clock, ours, UNDATED, &[]).proves, None);
    let items = [("new", TRUE - 5), ("old", TRUE - 60)];
    let moment = read(&clock, ours, UNDATED, &items);
    assert!(about(TRUE - 60).contains(&moment.proves.unwrap()));
    let future = [("odd", TRUE + 2 * DAY), ("newer", TRUE - 1)];
    let moment = read(&clock, ours, UNDATED, &future);
    assert!(
        about(TRUE - 5).contains(&moment.proves.unwrap()),
        "one item alone is not believed"
    );
}

#[test]
fn a_clock_set_back_is_outvoted_by_what_both_agreed_on_before() {
    let clock = clock();
    read(&clock, TRUE, dated(TRUE), &[]);
    let moment = read(&clock, TRUE - 3_600, dated(TRUE + 1), &[]);
    assert!(about(TRUE).contains(&moment.proves.unwrap()));
    // And so is a machine that was ahead while the server agreed.
    let moment = read(&clock, TRUE + 3_600, dated(TRUE + 1), &[]);
    assert_eq!(moment.proves, Some(TRUE + 1));
}

#[test]
fn a_cached_answer_is_as_old_as_it_says_and_moves_nothing_forward() {
    let clock = clock();
    let cached = |age| Dated {
        date: Some(TRUE),
        age,
    };
    assert_eq!(
        read(&clock, TRUE, cached(Some(600)), &[]).proves,
        Some(TRUE - 600)
    );
    assert_eq!(read(&clock, TRUE, cached(None), &[]).proves, None);
    assert_eq!(clock.known.lock().unwrap().agreed, None);
    let mut headers = HeaderMap::new();
    assert_eq!(Dated::read(&headers), UNDATED);
    headers.append(AGE, "7".parse().unwrap());
    headers.append(AGE, "12".parse().unwrap());
    assert_eq!(Dated::read(&headers).age, Some(12));
    for unreadable in ["-1", "soon", ""] {
        headers.insert(AGE, unreadable.parse().unwrap());
        assert_eq!(Dated::read(&headers).age, None, "{unreadable:?}");
    }
}

#[test]
fn one_odd_answer_is_no_skew_and_three_in_a_row_are_until_the_clocks_agree_for_a_while() {
    let clock = clock();
    read(&clock, TRUE, dated(TRUE + 300), &[]);
    read(&clock, TRUE, dated(TRUE), &[]);
    assert_eq!(clock.skew(), None);
    for _ in 0..3 {
        read(&clock, TRUE, dated(TRUE + 300), &[]);
    }
    assert_eq!(clock.skew(), Some(300));
    let gauge = clock.metrics.api.clock_skew.with_label_values(&["reddit"]);
    assert!((gauge.get() - 300.0).abs() < 0.1);
    read(&clock, TRUE, dated(TRUE), &[]);
    assert_eq!(clock.skew(), Some(300));
    for _ in 0..10 {
        read(&clock, TRUE, dated(TRUE), &[]);
    }
    assert_eq!(clock.skew(), None);
}

#[test]
fn every_third_answer_ahead_is_a_skew_after_a_while() {
    let clock = clock();
    for answer in 0..20 {
        let ahead = if answer % 3 == 0 { 300 } else { 0 };
        let moment = read(&clock, TRUE, dated(TRUE + ahead), &[]);
        assert_eq!(moment.proves, Some(TRUE));
    }
    assert!(clock.skew().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever some of the answers say, the server's own time is not passed, though it is behind ours.
    #[test]
    fn no_moment_is_proven_before_it_comes_though_the_clocks_are_a_little_apart(
        began_ms in 0_i64..1_000,
        behind_ms in 0_i64..60_000,
        passes_ms in prop::collection::vec((0_u64..3_000, 0_u8..4), 1..12),
    ) {
        let clock = clock();
        let mut passed_ms = 0;
        // Without one honest answer nobody could know by how much the server is behind.
        for (pass_ms, kind) in std::iter::once((0, 3)).chain(passes_ms) {
            passed_ms += pass_ms;
            let wall_ms = TRUE * 1_000 + began_ms + passed_ms.cast_signed();
            let sent = Sent { wall_ms, at: clock.started + Duration::from_millis(passed_ms) };
            let now = (wall_ms - behind_ms).div_euclid(1_000);
            let date = match kind {
                0 => None,
                1 => Some(now + 72_000),
                _ => Some(now),
            };
            let items = [("one", now), ("other", now)];
            let told = Dated { date, age: Some(0) };
            let moment = clock.read(sent, told, items.into_iter());
            prop_assert!(moment.proves.unwrap() <= now, "{:?} at {}", moment, now);
        }
    }
}

#[test]
fn one_date_far_behind_makes_no_future_of_the_present() {
    let clock = clock();
    read(&clock, TRUE, dated(TRUE), &[]);
    let moment = read(&clock, TRUE, dated(0), &[]);
    assert_eq!(moment.proves, Some(0));
    assert!(moment.latest >= TRUE);
    // Where it goes on, what is listed shows that it is not so early.
    for _ in 0..5 {
        let items = [("a", TRUE - 10), ("b", TRUE - 20)];
        assert!(read(&clock, TRUE, dated(0), &items).latest >= TRUE - 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// With one clock right, whatever the other says, nothing of the future is ever proven; and where
    /// both are right, all of the past is.
    #[test]
    fn nothing_of_the_future_is_proven_while_one_clock_is_right(
        server_lies in any::<bool>(),
        answers in prop::collection::vec(
            (prop::option::weighted(0.7, -200_000i64..200_000), 0i64..600, -100i64..4_000, any::<bool>()), 1..20),
    ) {
        let clock = clock();
        let mut now = TRUE;
        for (number, (lie, step, item, true_date)) in answers.into_iter().enumerate() {
            now += step;
            let (wall, date) = match (server_lies, lie) {
                (true, lie) => (now, lie.map(|lie| now + lie)),
                // The server tells the truth, or nothing.
                (false, Some(lie)) => (now + lie.max(0), true_date.then_some(now)),
                (false, None) => (now, Some(now)),
            };
            let items = [(format!("i{number}"), now - 100), (format!("j{number}"), now - 200), (format!("future{number}"), if number == 0 { now + item } else { now })];
            let items = items.iter().map(|(id, created)| (id.as_str(), *created));
            WALL.with(|it| it.set(wall));
            let moment = clock.read(clock.sent(), Dated { date, age: Some(0) }, items);
            // The test is over within seconds.
            prop_assert!(moment.proves.is_none_or(|proves| proves <= now + 5), "{moment:?} at {now}");
            if date == Some(now) && wall == now {
                prop_assert!(moment.proves.is_some_and(|proves| proves >= now), "{moment:?} at {now}");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_before_the_first_answer_is_outvoted_by_the_date_and_the_time_since_the_start()
 {
    let clock = clock();
    for _ in 0..5 {
        let moment = read(&clock, TRUE - 3_600, dated(TRUE + 1), &[]);
        assert!(about(TRUE).contains(&moment.proves.unwrap()), "{moment:?}");
    }
}

#[test]
fn a_clock_behind_what_was_proven_before_the_start_is_outvoted_where_the_date_is_not() {
    for (wall, proven, proves) in [
        // An hour behind, ten minutes after the last proof.
        (TRUE - 3_600, TRUE - 600, TRUE - 600),
        // A minute behind is agreement; a last proof of long ago tells nothing.
        (TRUE - 50, TRUE - 10, TRUE - 50),
        (TRUE - 3_600, TRUE - DAY, TRUE - 3_600),
        // What two wrong clocks proved of the future is no witness.
        (TRUE - 3_600, TRUE + DAY, TRUE - 3_600),
    ] {
        WALL.with(|it| it.set(wall));
        let clock = EvidenceClock::new("reddit", wall_ms, Arc::new(Metrics::new()));
        clock.has_passed(proven);
        for _ in 0..5 {
            let moment = read(&clock, wall, dated(TRUE), &[]);
            let found = moment.proves.unwrap();
            assert!(about(proves).contains(&found), "{moment:?} of {proves}");
        }
    }
}
