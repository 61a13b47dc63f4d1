//! The worlds to choose from.

use anyhow::bail;
use std::iter::Peekable;
use std::time::Duration;

/// Late approvals, removals, accounts that go away, edits; none of what only tests how broken answers are
/// taken.
const LIFE: &str = "late=0.02,removed=0.12,authors_gone=0.012,edited=0.08,growing,vanished_anchors";

/// Submissions a second.
const ALL_OF_REDDIT: f64 = 18.0;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) subreddits: u32,
    pub(crate) per_second: f64,
    /// How much past its listings show.
    pub(crate) history: &'static str,
    pub(crate) requests_per_minute: u32,
    /// Between two polls; of freshet the objective.
    pub(crate) interval_s: i64,
    pub(crate) oddities: String,
    /// Further options of the simulated Reddit.
    pub(crate) simulate: Vec<String>,
    /// Further settings of freshet.
    pub(crate) freshet: Vec<&'static str>,
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
    /// Every name of a world, for the help.
    pub(crate) const NAMES: &str = "busy, burst, faults, killed, small-budget, quiet, many, huge, \
scan-500, scan-1000, scan-5000, everything";

    pub(crate) fn named(name: &str) -> anyhow::Result<World> {
        let busy = World {
            subreddits: 50,
            per_second: 5.0,
            history: "100m",
            requests_per_minute: 100,
            interval_s: 20,
            oddities: LIFE.to_owned(),
            simulate: Vec::new(),
            freshet: Vec::new(),
            happens: Vec::new(),
        };
        let wide = |subreddits, per_second| World {
            subreddits,
            per_second,
            history: "24h",
            interval_s: 60,
            freshet: vec!["--discover-id-scan=off"],
            ..busy.clone()
        };
        // Ids are those of all of Reddit, of which these subreddits have a part.
        let scanned = |subreddits, per_second: f64| World {
            history: "1h",
            simulate: dense(ALL_OF_REDDIT - per_second),
            freshet: vec!["--discover-id-scan=on"],
            ..wide(subreddits, per_second)
        };
        Ok(match name {
            "busy" => busy,
            "burst" => World {
                // From the 30th to the 45th second, after as long a silence.
                simulate: vec!["--burst-every=45s".to_owned()],
                ..busy
            },
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
            "scan-500" => scanned(500, 0.3),
            "scan-1000" => scanned(1_000, 2.0),
            "scan-5000" => scanned(5_000, 10.0),
            "everything" => World {
                requests_per_minute: 40,
                freshet: vec!["--discover-id-scan=on", "--discover-scope=all"],
                ..scanned(1_000, ALL_OF_REDDIT)
            },
            other => bail!("{other} is no world; there are: {}", World::NAMES),
        })
    }

    pub(crate) fn events(&self) -> Peekable<impl Iterator<Item = (Duration, Event)>> {
        let happens = self.happens.iter();
        happens
            .map(|(at, event)| (Duration::from_secs(*at), *event))
            .peekable()
    }
}

/// Options of a simulated Reddit that numbers as the real one does, with so many submissions a second of
/// subreddits that are none of its own.
fn dense(rest_per_second: f64) -> Vec<String> {
    vec![
        "--dense-ids".to_owned(),
        "--unused-ids=0.015".to_owned(),
        format!("--rest-per-second={rest_per_second}"),
    ]
}
