//! Submissions by id: up to a hundred in one request.

use super::listing::ListingPage;
use crate::source::error::SourceError;
use crate::source::transport::below;
use crate::submission::{Observation, SubmissionId, Undecodable};
use reqwest::Url;

/// Reddit answers more with an error.
const MOST_IDS: usize = 100;

/// What `/api/info` gave out.
#[derive(Debug, Clone)]
pub struct InfoPage {
    /// The submissions; those that Reddit no longer gives out are left out.
    pub items: Vec<Observation>,
    /// What is no submission, or cannot be named and dated.
    pub undecodable: Vec<Undecodable>,
    /// The fullnames of all children that have one, in the answer's order: an id in here was not
    /// left out, even where it could not be decoded.
    pub order: Vec<String>,
    /// When the answer was made, seconds since the epoch: by its `Date`, else by our clock.
    pub served_at: i64,
    /// When it was asked for, milliseconds since the epoch.
    pub asked_ms: i64,
    /// From the request to the end of the answer, without the wait for the budget.
    pub seconds: f64,
}

impl InfoPage {
    /// The answer to a question for nothing, made long ago.
    pub fn empty() -> InfoPage {
        InfoPage::nothing(0)
    }

    /// The answer to a question for nothing.
    pub(super) fn nothing(now_ms: i64) -> InfoPage {
        InfoPage {
            items: Vec::new(),
            undecodable: Vec::new(),
            order: Vec::new(),
            served_at: now_ms.div_euclid(1_000),
            asked_ms: now_ms,
            seconds: 0.0,
        }
    }
}

impl From<ListingPage> for InfoPage {
    fn from(page: ListingPage) -> InfoPage {
        InfoPage {
            items: page.items,
            undecodable: page.undecodable,
            order: page.order,
            served_at: page.moment.shown,
            asked_ms: page.asked_ms,
            seconds: page.seconds,
        }
    }
}

/// The address that asks for these ids.
pub(super) fn info_url(api_url: &Url, ids: &[SubmissionId]) -> Result<Url, SourceError> {
    if ids.len() > MOST_IDS {
        return Err(SourceError::unsent(format!(
            "{} ids in one request; Reddit takes {MOST_IDS}",
            ids.len()
        )));
    }
    let ids: Vec<String> = ids.iter().map(SubmissionId::fullname).collect();
    let mut url = below(api_url, &["api", "info"])?;
    url.set_query(Some(&format!("raw_json=1&id={}", ids.join(","))));
    Ok(url)
}
