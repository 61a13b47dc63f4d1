//! The simulated Reddit as a process of its own, and the commands to it.

use crate::support::binary::{Home, Process};
use freshet::simulator::{
    Command, Endpoint, Fault, Publication, RequestRecord, RequestStats, Truth,
};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Each with its own pace; the busiest gets a quarter.
const SUBREDDITS: u32 = 8;
/// Submissions an hour, all together.
const PER_HOUR: u32 = 10_800;

pub struct Reddit {
    url: String,
    client: reqwest::Client,
    pub subreddits: Vec<String>,
    _process: Process,
    _home: Home,
}

impl Reddit {
    /// With an hour of past, counts that grow and texts that are edited, and no other oddity.
    pub async fn start(seed: u64, requests_per_minute: u32) -> Reddit {
        let home = Home::new();
        // At night there would not be the load that a run needs.
        let mut arguments = vec!["simulate".to_owned(), "--steady".to_owned()];
        let options = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--seed", seed.to_string()),
            ("--subreddits", SUBREDDITS.to_string()),
            ("--per-hour", PER_HOUR.to_string()),
            ("--history", "1h".to_owned()),
            ("--oddities", "growing,edited=0.3".to_owned()),
            ("--requests-per-minute", requests_per_minute.to_string()),
        ];
        arguments.extend(options.into_iter().flat_map(|(k, v)| [k.to_owned(), v]));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = home.start(&arguments);
        let line = process.logged("SIMULATED Reddit").await;
        let mut reddit = Reddit {
            url: line["url"].as_str().unwrap().to_owned(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            subreddits: Vec::new(),
            _process: process,
            _home: home,
        };
        let subreddits = reddit.get("subreddits").await;
        reddit.subreddits = serde_json::from_str(&subreddits).unwrap();
        reddit
    }

    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").parse().unwrap()
    }

    async fn get(&self, what: &str) -> String {
        let url = format!("{}/simulator/{what}", self.url);
        let answer = self.client.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Has a command carried out; the answer.
    pub async fn tell(&self, command: &Command) -> serde_json::Value {
        let url = format!("{}/simulator/control", self.url);
        let body = serde_json::to_string(command).unwrap();
        let answer = self.client.post(url).body(body).send().await.unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(answer["ok"], true, "{command:?}: {answer}");
        answer
    }

    /// A submission of now; its id.
    pub async fn publish(&self, subreddit: &str, id: Option<&str>) -> String {
        let publication = Publication {
            subreddit: subreddit.to_owned(),
            id: id.map(str::to_owned),
            ..Publication::default()
        };
        let answer = self.tell(&Command::Publish(publication)).await;
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Its time, milliseconds since the epoch.
    pub async fn now_ms(&self) -> i64 {
        let health: serde_json::Value = serde_json::from_str(&self.get("health").await).unwrap();
        health["now_ms"].as_i64().unwrap()
    }

    /// Of all that listings have shown.
    pub async fn truth(&self) -> Vec<Truth> {
        let truth = self.get("truth").await;
        let truth = truth
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        truth
            .filter(|truth: &Truth| !truth.listed_ms.is_empty())
            .collect()
    }

    pub async fn stats(&self) -> RequestStats {
        serde_json::from_str(&self.get("stats").await).unwrap()
    }

    /// Answers that were broken or slow.
    pub async fn broken(&self) -> usize {
        let requests: Vec<RequestRecord> =
            serde_json::from_str(&self.get("requests").await).unwrap();
        requests.iter().filter(|it| it.fault.is_some()).count()
    }

    /// The lies in the archive's answers to searches.
    pub async fn told(&self) -> Vec<Fault> {
        let requests: Vec<RequestRecord> =
            serde_json::from_str(&self.get("requests").await).unwrap();
        let searches = requests
            .into_iter()
            .filter(|it| it.endpoint == Endpoint::ArchiveSearch);
        searches.filter_map(|it| it.fault).collect()
    }

    /// How often each submission was asked for and given out.
    pub async fn fetches(&self) -> HashMap<String, u32> {
        let requests: Vec<RequestRecord> =
            serde_json::from_str(&self.get("requests").await).unwrap();
        let mut fetches = HashMap::new();
        for request in requests {
            if request.endpoint != Endpoint::Info || request.status != 200 {
                continue;
            }
            for word in request
                .uri
                .replace("%2C", ",")
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            {
                if let Some(id) = word.strip_prefix("t3_") {
                    *fetches.entry(id.to_owned()).or_default() += 1;
                }
            }
        }
        fetches
    }
}
