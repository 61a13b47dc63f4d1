//! A plain client, and worlds to point it at.

use freshet::simulator::{Oddities, Publication, Simulator, SimulatorOptions};
use freshet::submission::{SubmissionId, SubredditName};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// 2026-06-03T15:11:07Z
pub const START_MS: i64 = 1_780_499_467_000;

/// No subreddits, no oddities, no quota, a clock that stands still.
pub fn still() -> SimulatorOptions {
    SimulatorOptions {
        starts_at_ms: Some(START_MS),
        speed: 0.0,
        requests_per_minute: None,
        gzip: false,
        // Worlds are moved on by days; tokens are another matter.
        token_lifetime: Duration::from_secs(86_400 * 3_650),
        ..SimulatorOptions::default()
    }
}

/// A few busy subreddits with a day of history, and a clock that stands still.
pub fn busy(seed: u64, oddities: Oddities) -> SimulatorOptions {
    SimulatorOptions {
        oddities,
        ..SimulatorOptions {
            subreddits: SimulatorOptions::world(seed, 3, 20.0).subreddits,
            seed,
            ..still()
        }
    }
}

pub fn oddities(list: &str) -> Oddities {
    list.parse().unwrap()
}

pub fn subreddit(name: &str) -> SubredditName {
    name.parse().unwrap()
}

/// A simulated Reddit, and a client with a token.
pub struct Reddit {
    pub simulator: Simulator,
    pub http: reqwest::Client,
    pub token: String,
}

impl Reddit {
    pub async fn start(options: SimulatorOptions) -> Reddit {
        let simulator = Simulator::start(options).await.unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(120))
            .no_proxy()
            .build()
            .unwrap();
        let token = token(&http, &simulator.url()).await;
        Reddit {
            simulator,
            http,
            token,
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("{}{path}", self.simulator.url()))
            .bearer_auth(&self.token)
    }

    pub async fn response(&self, path: &str) -> Response {
        self.get(path).send().await.unwrap()
    }

    pub async fn status(&self, path: &str) -> StatusCode {
        self.response(path).await.status()
    }

    /// The `data` of a listing.
    pub async fn listing(&self, path: &str) -> Page {
        let response = self.response(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["kind"], "Listing");
        Page(body["data"].clone())
    }

    /// Every id of a listing, page by page, in the order shown.
    pub async fn walk(&self, names: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .listing(&format!("/r/{names}/new?limit=100&raw_json=1{after}"))
                .await;
            ids.extend(page.ids());
            match page.after() {
                Some(name) => after = format!("&after={name}"),
                None => return ids,
            }
        }
    }

    /// Publishes so many in `r/kettles`, a second apart; newest last.
    pub fn fill(&self, count: usize) -> Vec<SubmissionId> {
        (0..count).map(|_| self.publish("kettles")).collect()
    }

    pub fn publish(&self, name: &str) -> SubmissionId {
        let control = self.simulator.control();
        control.advance(Duration::from_secs(1));
        let publication = Publication::to(&subreddit(name));
        control.publish(publication).unwrap()
    }
}

pub async fn token(http: &reqwest::Client, url: &str) -> String {
    let reply: Value = http
        .post(format!("{url}/api/v1/access_token"))
        .basic_auth("id", Some("secret"))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    reply["access_token"].as_str().unwrap().to_owned()
}

/// The `data` of a listing.
pub struct Page(pub Value);

impl Page {
    pub fn children(&self) -> &Vec<Value> {
        let children = self.0["children"].as_array().unwrap();
        assert_eq!(self.0["dist"], children.len());
        children
    }

    pub fn ids(&self) -> Vec<String> {
        self.children()
            .iter()
            .map(|child| child["data"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub fn after(&self) -> Option<&str> {
        self.0["after"].as_str()
    }

    pub fn before(&self) -> Option<&str> {
        self.0["before"].as_str()
    }
}

/// Ids as text, newest first.
pub fn newest_first(ids: &[SubmissionId]) -> Vec<String> {
    ids.iter().rev().map(ToString::to_string).collect()
}
