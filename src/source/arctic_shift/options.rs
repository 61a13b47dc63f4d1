//! What a client of the archive needs to be told. Reads no file and no environment.

use crate::network::Network;
use crate::source::options::{InvalidOptions, check_timeouts, check_url};
use reqwest::Url;
use std::time::Duration;

/// From a request to the end of its answer; the archive itself gives up sooner.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After decompression. A hundred submissions of the largest size seen (174 KB) are 17 MB.
const MAX_BODY_BYTES: usize = 18 * 1024 * 1024;

/// How to reach the archive and as whom.
#[derive(Debug, Clone)]
pub struct ArcticShiftOptions {
    /// `https://arctic-shift.photon-reddit.com`, or any server that speaks the same API. May have a
    /// path; may not carry credentials.
    pub url: Url,
    /// Says who asks, so that whoever runs the archive can tell.
    pub user_agent: String,
    /// From a request to the end of its answer.
    pub request_timeout: Duration,
    /// For a new connection, TLS included.
    pub connect_timeout: Duration,
    /// Bytes of a body after decompression; a longer one is broken.
    pub max_body_bytes: usize,
    /// The proxy, and whose certificates are believed.
    pub network: Network,
}

impl ArcticShiftOptions {
    /// Options with the usual limits.
    pub fn new(url: Url, user_agent: String) -> ArcticShiftOptions {
        ArcticShiftOptions {
            url,
            user_agent,
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
            network: Network::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidOptions> {
        check_url("url", &self.url)?;
        check_timeouts(self.request_timeout, self.connect_timeout)
    }
}
