//! A simulated Reddit for the program to run against, without oddities but those a test asks for.

use super::binary::{Home, PATIENCE};
use freshet::simulator::{Control, Endpoint, Fault, Simulator, SimulatorOptions};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The only credentials that get a token.
pub const CLIENT: (&str, &str) = ("the-client-id", "the-client-secret");

pub struct World {
    simulator: Simulator,
}

impl World {
    /// r/rust with about so many submissions of the last hour, and no more to come.
    pub async fn with(submissions: u32) -> World {
        let world = World::start(SimulatorOptions {
            subreddits: vec![("rust".parse().unwrap(), 0.0)],
            ..SimulatorOptions::default()
        })
        .await;
        let now = world.control().now_ms() / 1000;
        for number in 0..submissions {
            let at = now - 60 - i64::from(number) * 2;
            world.publish("rust", Some(at));
        }
        world
    }

    /// Without limits, and with these credentials unless the options have others.
    pub async fn start(options: SimulatorOptions) -> World {
        let (id, secret) = CLIENT;
        let usual = (id.to_owned(), secret.to_owned());
        let options = SimulatorOptions {
            credentials: options.credentials.or(Some(usual)),
            requests_per_minute: None,
            listing_cap: 0,
            ..options
        };
        World {
            simulator: Simulator::start(options).await.unwrap(),
        }
    }

    pub fn control(&self) -> &Control {
        self.simulator.control()
    }

    pub fn url(&self) -> String {
        self.simulator.url()
    }

    /// A new submission; its id.
    pub fn publish(&self, subreddit: &str, created_utc: Option<i64>) -> String {
        let publication = freshet::simulator::Publication {
            subreddit: subreddit.to_owned(),
            created_utc,
            ..Default::default()
        };
        self.control().publish(publication).unwrap().to_string()
    }

    /// The ids of what is listed, sorted.
    pub fn visible(&self) -> Vec<String> {
        let mut ids: Vec<String> = self
            .control()
            .truth()
            .into_iter()
            .map(|truth| truth.id)
            .collect();
        ids.sort();
        ids
    }

    /// The file that points the program at it, with the key, as fast as it goes.
    pub fn configuration(&self) -> String {
        let (url, (id, secret)) = (self.url(), CLIENT);
        format!(
            "[reddit]\napi_url = \"{url}\"\nauth_url = \"{url}\"\nclient_id = \"{id}\"\n\
             client_secret = \"{secret}\"\nrequests_per_minute = 100000\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[discover]\ninterval = \"1s\"\n"
        )
    }

    /// A folder with that file.
    pub fn home(&self) -> Home {
        let home = Home::new();
        home.write("freshet.toml", &self.configuration());
        home
    }

    /// Every answer takes so many milliseconds.
    pub fn slow(&self, delay_ms: u32) {
        self.outage(Fault::Slow { delay_ms });
    }

    /// Every request fares so from now on.
    pub fn outage(&self, fault: Fault) {
        self.control().outage_as(Some(fault)).unwrap();
    }

    /// Everything is answered well again.
    pub fn quick(&self) {
        self.control().outage(false);
    }

    /// Requests of this kind that were answered.
    pub fn answered(&self, endpoint: Endpoint) -> u64 {
        self.control().stats().of(endpoint)
    }

    /// Waits until requests of this kind were answered and none is any more.
    pub async fn until_quiet(&self, endpoint: Endpoint) {
        let begun = Instant::now();
        loop {
            let before = self.answered(endpoint);
            sleep(Duration::from_millis(400)).await;
            if before > 0 && before == self.answered(endpoint) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: quiet");
        }
    }

    /// Waits for a condition of this Reddit.
    pub async fn until(&self, what: &str, condition: impl Fn(&Control) -> bool) {
        let begun = Instant::now();
        while !condition(self.control()) {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}
