//! Listings of 1,000 places under bursts, over a million hours.

use super::*;

const HOURS: f64 = 1e6;
/// What a listing shows.
const PLACES: u32 = 1_000;
/// A burst of five times the usual rate comes once a week in the mean, and lasts longer than a listing takes to
/// overflow.
const FACTOR: f64 = 5.0;
const EVERY: f64 = 14.0 * 86_400.0;
const LASTS: f64 = 12.0 * 3_600.0;

/// Bursts of one subreddit, as they come.
struct Bursts {
    begins: f64,
}

impl Bursts {
    /// Arrivals between two moments, in seconds of the usual rate.
    fn usual_seconds(&mut self, from: f64, to: f64, rng: &mut StdRng) -> f64 {
        let mut extra = 0.0;
        loop {
            let burst = (to.min(self.begins + LASTS) - from.max(self.begins)).max(0.0);
            extra += burst * (FACTOR - 1.0);
            if self.begins + LASTS > to {
                return to - from + extra;
            }
            self.begins += LASTS - EVERY * (1.0 - rng.random::<f64>()).ln();
        }
    }
}

#[test]
fn no_listing_overflows_in_a_million_hours_of_bursts() {
    // Each alone, at rates of which the slowest comes near to its bound within the objective.
    let rates: Vec<(SubredditName, f64)> = [0.006, 0.008, 0.011, 0.013, 0.016]
        .into_iter()
        .map(|rate| {
            (
                format!("at{}", rate * 1e3)
                    .replace('.', "_")
                    .parse()
                    .unwrap(),
                rate,
            )
        })
        .collect();
    let mut planner = Planner::new(Limits {
        max_names: 1,
        objective: Duration::from_secs(10 * 3_600),
        ..limits()
    });
    // What the bounds need, and as much for what bursts.
    planner.set_budget(
        rates
            .iter()
            .map(|(_, rate)| rate * FACTOR / 800.0)
            .sum::<f64>()
            * 2.0,
    );
    let known: Vec<Member> = rates
        .iter()
        .map(|(name, rate)| Member {
            name: name.clone(),
            rate: *rate,
            alone: false,
        })
        .collect();
    planner.set_members(&known, 0.0);
    let mut world = World::new(&rates, 11);
    let mut bursts: HashMap<SubredditName, Bursts> = HashMap::new();
    let (mut now, mut polls, mut most) = (0.0_f64, 0_u64, 0);
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let until = HOURS * 3_600.0 / rates.len() as f64;
    while now < until {
        let poll = next_poll(&mut planner, &mut now);
        polls += 1;
        let name = poll.names[0].clone();
        let since = world.listed.insert(name.clone(), now).unwrap_or(now);
        let begins = now + EVERY * world.rng.random::<f64>();
        let bursts = bursts.entry(name.clone()).or_insert(Bursts { begins });
        let usual = bursts.usual_seconds(since, now, &mut world.rng);
        let arrived = world.poisson(world.rates[&name] * usual);
        most = most.max(arrived);
        assert!(arrived < PLACES, "{arrived} in {} s at {now}", now - since);
        planner.answered(&poll, &answer(&[(name.as_str(), arrived)], None), now);
    }
    assert!(
        polls > 100_000 && most > PLACES * 3 / 4,
        "{polls} {most}: hardly a trial"
    );
}
