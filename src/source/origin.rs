//! Whose submissions a source gives out: real ones, or those that a simulated Reddit makes up.
//!
//! The simulated Reddit says so on every answer, wherever it runs and whatever it is called. Whoever uses a
//! source may have each answer that gives out submissions admitted by its origin before anything of it is used.

use super::InvalidOptions;
use super::transport::{TransportOptions, client};
use crate::network::Network;
use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::header::HeaderMap;
use std::fmt::Debug;
use std::time::Duration;

/// On every answer of the simulated Reddit.
const SIMULATED: &str = "x-simulated";
/// Where Reddit and the public archives are; nobody else has these names.
const REAL: [&str; 4] = [
    "reddit.com",
    "photon-reddit.com",
    "pullpush.io",
    "pushshift.io",
];

/// Whose submissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Made up by a simulated Reddit.
    Simulated,
    /// Real.
    Real,
}

/// Decides whether submissions of an origin may be used.
pub trait Admission: Debug + Send + Sync {
    /// Why not, in the words of an operator's error.
    fn admit(&self, origin: Origin) -> BoxFuture<'_, Result<(), String>>;
}

impl Origin {
    /// Of an answer with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Origin {
        if headers.contains_key(SIMULATED) {
            Origin::Simulated
        } else {
            Origin::Real
        }
    }

    /// As far as an address tells without asking: Reddit itself is real.
    pub fn of_address(url: &Url) -> Option<Origin> {
        let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
        let belongs = |domain: &str| {
            let rest = host.strip_suffix(domain);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        REAL.iter().any(|it| belongs(it)).then_some(Origin::Real)
    }
}

/// Whether an address is that of a simulated Reddit, by an answer of it within `patience`. Nothing secret is
/// sent.
///
/// # Errors
/// [`InvalidOptions`] where the network's options cannot work.
pub async fn is_simulated(
    url: &Url,
    user_agent: &str,
    network: &Network,
    patience: Duration,
) -> Result<bool, InvalidOptions> {
    let client = client(&TransportOptions {
        source: "probe",
        endpoints: &[],
        classes: &[],
        user_agent,
        request_timeout: patience,
        connect_timeout: patience,
        max_body_bytes: 0,
        network,
    })?;
    let answer = tokio::time::timeout(patience, client.get(url.clone()).send()).await;
    Ok(matches!(answer, Ok(Ok(answer)) if Origin::of(answer.headers()) == Origin::Simulated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reddit_and_the_archives_are_real_by_their_names() {
        for (url, expected) in [
            ("https://oauth.reddit.com/", true),
            ("https://www.Reddit.com./x", true),
            ("https://reddit.com", true),
            ("https://arctic-shift.photon-reddit.com", true),
            ("https://notreddit.com", false),
            ("https://reddit.com.example", false),
            ("http://127.0.0.1:8090/", false),
            ("http://simulator:8090/", false),
            ("http://simulator.example:8090/", false),
        ] {
            let origin = Origin::of_address(&url.parse().unwrap());
            assert_eq!(origin == Some(Origin::Real), expected, "{url}");
        }
    }
}
