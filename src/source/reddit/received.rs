//! An answer from anywhere, judged as the client judges those of a server.

use super::decisions::decide;
use super::{Endpoint, InfoPage, ListingPage, auth, listing};
use crate::source::clock::date;
use crate::source::error::SourceError;
use crate::source::origin::Origin;
use crate::source::transport::{Answer, now_ms, text};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// What a server once sent: recorded, made up, or spoilt on purpose.
#[derive(Debug, Clone)]
pub struct Received {
    /// The status.
    pub status: StatusCode,
    /// All headers; those that speak of a transfer are not looked at.
    pub headers: HeaderMap,
    /// After decompression; any bytes.
    pub body: Vec<u8>,
}

impl Received {
    /// As the answer to [`super::Reddit::new_page`] where `path` was asked for (`/r/rust/new`).
    ///
    /// # Errors
    /// As there.
    pub fn listing(self, path: &str) -> Result<ListingPage, SourceError> {
        let answer = self.answer();
        decide(Endpoint::New, path, &answer)?;
        listing::read(answer)
    }

    /// As the answer to [`super::Reddit::info`].
    ///
    /// # Errors
    /// As there.
    pub fn info(self) -> Result<InfoPage, SourceError> {
        let answer = self.answer();
        decide(Endpoint::Info, "/api/info", &answer)?;
        listing::read(answer).map(InfoPage::from)
    }

    /// As the answer of the token endpoint: how long its token lives. The token itself stays here.
    ///
    /// # Errors
    /// [`SourceError::Wait`] where there is none that can be used.
    pub fn token_lifetime(self) -> Result<Duration, SourceError> {
        auth::read(&self.answer()).map(|(_, lifetime)| lifetime)
    }

    fn answer(self) -> Answer {
        let now_ms = now_ms();
        Answer {
            status: self.status,
            origin: Origin::of(&self.headers),
            served_at: date(&self.headers).unwrap_or(now_ms.div_euclid(1_000)),
            headers: self.headers,
            body: text(self.body),
            large: None,
            asked_ms: now_ms,
            received_ms: now_ms,
            seconds: 0.0,
        }
    }
}
