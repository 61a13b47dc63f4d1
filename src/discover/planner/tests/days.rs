//! Days: subreddits of all time zones, each with a rhythm of its own.

use super::*;
use std::f64::consts::TAU;

const DAY: f64 = 86_400.0;
/// How far the rate of a subreddit swings about its mean.
const SWING: f64 = 0.8;

/// What a rate is multiplied by at that time, for a subreddit whose noon is so many seconds after the first's.
fn rhythm(noon: f64, at: f64) -> f64 {
    1.0 + SWING * (TAU * (at - noon) / DAY).cos()
}

/// Arrivals in seconds of the mean rate: the integral of the rhythm.
fn mean_seconds(noon: f64, from: f64, to: f64) -> f64 {
    let sum = |at: f64| (TAU * (at - noon) / DAY).sin();
    to - from + SWING * DAY / TAU * (sum(to) - sum(from))
}

#[test]
fn the_mean_wait_is_near_the_optimum_at_every_hour_of_the_day() {
    let rates = zipf(1_000, 2.0);
    let noons: HashMap<SubredditName, f64> = rates
        .iter()
        .enumerate()
        .map(|(index, (name, _))| (name.clone(), (index * 7 % 24) as f64 * 3_600.0))
        .collect();
    let mut world = World::new(&rates, 5);
    let mut planner = Planner::new(limits());
    planner.set_budget(0.5);
    planner.set_members(&members(&rates), 0.0);
    let (mut now, mut ready) = (0.0_f64, 0.0_f64);
    let mut hours = vec![(0.0, 0.0); 30];
    while now < 1.25 * DAY {
        let poll = next_poll(&mut planner, &mut now);
        now = now.max(ready);
        ready = now + 2.0;
        let mut new = HashMap::new();
        for name in &poll.names {
            let Some(since) = world.listed.insert(name.clone(), now) else {
                continue;
            };
            let expected = world.rates[name] * mean_seconds(noons[name], since, now);
            let arrived = world.poisson(expected);
            if arrived > 0 {
                new.insert(name.to_string(), arrived);
                let (waits, count) = &mut hours[(now / 3_600.0) as usize % 30];
                *waits += f64::from(arrived) * (now - since) / 2.0;
                *count += f64::from(arrived);
            }
        }
        let answer = Answer {
            new,
            ..answer(&[], None)
        };
        planner.answered(&poll, &answer, now);
    }
    // A round of polls takes twenty seconds. The first twelve hours are for learning.
    for (hour, (waits, count)) in hours.into_iter().enumerate().skip(12) {
        let at = (hour as f64 + 0.5) * 3_600.0;
        let then: Vec<(SubredditName, f64)> = rates
            .iter()
            .map(|(name, rate)| (name.clone(), rate * rhythm(noons[name], at)))
            .collect();
        let (mean, best) = (waits / count, optimum(&then, 0.5));
        // Without any rhythm it is 1.06 to 1.10: a profile of the day could gain four hundredths.
        assert!(
            mean < best * 1.17,
            "hour {hour}: {mean:.2} s, at best {best:.2} s"
        );
    }
}
