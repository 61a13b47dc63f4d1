//! When submissions come.

use super::client::{busy, oddities};
use freshet::simulator::{Simulator, SimulatorOptions};
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
