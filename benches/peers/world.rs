//! The worlds to choose from.

use anyhow::bail;
use std::iter::Peekable;
use std::time::Duration;

/// Late approvals, removals, accounts that go away, edits; none of what only tests how broken answers are
/// taken.
const LIFE: &str = "late=0.02,removed=0.12,authors_gone=0.012,edited=0.08,growing,vanished_anchors";

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) subreddits: u32,
    pub(crate) per_hour: f64,
    /// How much past its listings show.
    pub(crate) history: &'static str,
    pub(crate) requests_per_minute: u32,
    /// Between two polls; of freshet the objective.
    pub(crate) interval_s: i64,
    pub(crate) oddities: String,
    happens: Vec<(u64, Event)>,
}

/// What happens, so many seconds after the start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Outage(bool),
    Kill,
    Restart,
}

impl World {
    pub(crate) fn named(name: &str) -> anyhow::Result<World> {
        let busy = World {
            subreddits: 50,
            per_hour: 18_000.0,
            history: "100m",
            requests_per_minute: 100,
            interval_s: 20,
            oddities: LIFE.to_owned(),
            happens: Vec::new(),
        };
        let wide = |subreddits, per_second: f64| World {
            subreddits,
            per_hour: per_second * 3_600.0,
            history: "24h",
            interval_s: 60,
            ..busy.clone()
        };
        Ok(match name {
            "busy" => busy,
            "small-budget" => World {
                requests_per_minute: 30,
                ..busy
            },
            "faults" => World {
                oddities: format!("{LIFE},faults=0.1"),
                happens: vec![(60, Event::Outage(true)), (80, Event::Outage(false))],
                ..busy
            },
            "killed" => World {
                happens: vec![(45, Event::Kill), (60, Event::Restart)],
                ..busy
            },
            "quiet" => wide(500, 0.3),
            "many" => wide(1_000, 2.0),
            "huge" => World {
                history: "1h",
                ..wide(5_000, 10.0)
            },
            other => bail!(
                "{other} is no world; there are: busy, small-budget, faults, killed, quiet, many, huge"
            ),
        })
    }

    pub(crate) fn events(&self) -> Peekable<impl Iterator<Item = (Duration, Event)>> {
        let happens = self.happens.iter();
        happens
            .map(|(at, event)| (Duration::from_secs(*at), *event))
            .peekable()
    }
}
