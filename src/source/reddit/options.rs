//! What a client of Reddit needs to be told. Reads no file and no environment.

use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;

/// From a request to the end of its answer; the longest answers of the recorded traffic take a few
/// seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After decompression. A hundred submissions of the largest size seen (174 KB) are 17 MB.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

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
    pub client_secret: SecretString,
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
}

/// The account of a script application.
#[derive(Debug, Clone)]
pub struct Login {
    /// Without `/u/`.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

/// An option that cannot work, by its name; never its value, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} cannot be used: {problem}")]
pub struct InvalidOptions {
    /// The field of [`RedditOptions`].
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl RedditOptions {
    /// Options with the usual limits and no login.
    pub fn new(
        api_url: Url,
        auth_url: Url,
        client_id: String,
        client_secret: SecretString,
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
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidOptions> {
        let invalid = |option, problem: &str| {
            Err(InvalidOptions {
                option,
                problem: problem.to_owned(),
            })
        };
        for (option, url) in [("api_url", &self.api_url), ("auth_url", &self.auth_url)] {
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                return invalid(option, "it is no http or https address");
            }
            if !url.username().is_empty() || url.password().is_some() {
                return invalid(option, "it carries credentials");
            }
            if url.query().is_some() || url.fragment().is_some() {
                return invalid(option, "it has a query or a fragment");
            }
        }
        if self.client_id.is_empty() || self.client_id.contains(':') {
            return invalid("client_id", "it is empty or holds a colon");
        }
        if self.request_timeout.is_zero() || self.connect_timeout.is_zero() {
            return invalid("request_timeout", "a timeout of zero lets nothing pass");
        }
        Ok(())
    }
}
