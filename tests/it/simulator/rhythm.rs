//! When submissions come.

use super::client::{busy, oddities};
use freshet::simulator::{Bursts, Simulator, SimulatorOptions};
use std::time::Duration;

/// Submissions of twenty days that came by night, and from 11 to 23 o'clock (UTC), around which every
/// subreddit's day is.
async fn halves(steady: bool) -> (usize, usize) {
    let options = SimulatorOptions {
        steady,
        history: Duration::from_secs(20 * 86_400),
        ..busy(5, oddities("none"))
    };
    let simulator = Simulator::start(options).await.unwrap();
    let truth = simulator.control().truth();
    let by_day = |created: i64| (11 * 3_600..23 * 3_600).contains(&created.rem_euclid(86_400));
    let day = truth.iter().filter(|it| by_day(it.created_utc)).count();
    (truth.len() - day, day)
}

#[tokio::test]
async fn days_are_busier_than_nights_unless_the_world_is_steady() {
    let (night, day) = halves(false).await;
    assert!(day > night * 5 / 4, "{night} by night, {day} by day");
    let (night, day) = halves(true).await;
    let both = night + day;
    assert!(
        night.abs_diff(day) < both / 10,
        "{night} by night, {day} by day"
    );
}

#[tokio::test]
async fn a_silence_is_followed_by_a_burst_and_that_by_the_usual_rate() {
    let options = SimulatorOptions {
        steady: true,
        starts_at_ms: Some(1_790_000_000_000),
        speed: 0.0,
        history: Duration::from_secs(600),
        bursts: Some(Bursts {
            every: Duration::from_secs(600),
            lasts: Duration::from_secs(60),
            factor: 10.0,
        }),
        ..SimulatorOptions::world(3, 2, 1_800.0)
    };
    let simulator = Simulator::start(options).await.unwrap();
    let control = simulator.control();
    control.advance(Duration::from_secs(1_200));
    let truth = control.truth();
    let between = |from: i64, until: i64| {
        let of = |at: i64| (from..until).contains(&(at - 1_790_000_000));
        truth.iter().filter(|it| of(it.created_utc)).count()
    };
    // One a second, in the past as well.
    for begin in [0, 600] {
        assert_eq!(between(begin + 481, begin + 540), 0);
        assert!((420..=780).contains(&between(begin + 540, begin + 600)));
        assert!((360..=600).contains(&between(begin, begin + 480)));
    }
    assert!((450..=750).contains(&between(-600, 0)));
}
