//! What a client of Reddit needs to be told. Reads no file and no environment.

use crate::network::{Network, Secret};
use crate::source::options::{InvalidOptions, check_timeouts, check_url, invalid};
use crate::source::transport::now_ms;
use reqwest::Url;
use std::time::Duration;

/// From a request to the end of its answer; the longest answers of the recorded traffic take a few
/// seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After decompression. A hundred submissions of the largest size seen (174 KB) are 17 MB.
const MAX_BODY_BYTES: usize = 18 * 1024 * 1024;

/// How to reach Reddit and as whom.
#[derive(Debug, Clone)]
pub struct RedditOptions {
    /// `https://oauth.reddit.com`, or any server that speaks the same API. May have a path; may not
    /// carry credentials.
    pub api_url: Url,
    /// The token endpoint is below it: `https://www.reddit.com`.
    pub auth_url: Url,
    /// Of the registered application.
    pub client_id: String,
    /// Empty for applications that have none.
    pub client_secret: Secret,
    /// With a login the password grant is used, else the application's own.
    pub login: Option<Login>,
    /// `<platform>:<app>:<version> (by /u/<name>)`, as Reddit's rules ask for.
    pub user_agent: String,
    /// From a request to the end of its answer.
    pub request_timeout: Duration,
    /// For a new connection, TLS included.
    pub connect_timeout: Duration,
    /// Bytes of a body after decompression; a longer one is broken.
    pub max_body_bytes: usize,
    /// The proxy, and whose certificates are believed.
    pub network: Network,
    /// This machine's clock, milliseconds since the epoch.
    pub now_ms: fn() -> i64,
}

/// The account of a script application.
#[derive(Debug, Clone)]
pub struct Login {
    /// Without `/u/`.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

impl RedditOptions {
    /// Options with the usual limits and no login.
    pub fn new(
        api_url: Url,
        auth_url: Url,
        client_id: String,
        client_secret: Secret,
        user_agent: String,
    ) -> RedditOptions {
        RedditOptions {
            api_url,
            auth_url,
            client_id,
            client_secret,
            login: None,
            user_agent,
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
            network: Network::default(),
            now_ms,
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidOptions> {
        check_url("api_url", &self.api_url)?;
        check_url("auth_url", &self.auth_url)?;
        if self.client_id.is_empty() || self.client_id.contains(':') {
            return Err(invalid("client_id", "it is empty or holds a colon"));
        }
        check_timeouts(self.request_timeout, self.connect_timeout)
    }
}
