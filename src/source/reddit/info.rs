//! Submissions by id: up to a hundred in one request.

use super::listing::ListingPage;
use crate::network::Large;
use crate::source::error::SourceError;
use crate::source::transport::below;
use crate::submission::{Observation, SubmissionId, Undecodable};
use reqwest::Url;
use std::collections::HashSet;

/// Reddit answers more with an error.
pub const MAX_INFO_IDS: usize = 100;

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
    /// Keeps other large answers waiting until this one is stored.
    pub large: Option<Large>,
}

impl InfoPage {
    /// The ids that were given out, as numbers, whether they could be decoded or not.
    pub fn numbers(&self) -> HashSet<i64> {
        let named = self.order.iter().filter_map(|name| {
            let id: SubmissionId = name.strip_prefix("t3_")?.parse().ok()?;
            id.number()
        });
        let items = self.items.iter();
        named
            .chain(items.filter_map(|item| item.submission.id.number()))
            .collect()
    }

    /// The same answer without what it gave out: as one that leaves out whatever was asked for.
    #[must_use]
    pub fn emptied(self) -> InfoPage {
        InfoPage {
            served_at: self.served_at,
            asked_ms: self.asked_ms,
            seconds: self.seconds,
            ..InfoPage::empty()
        }
    }

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
            large: None,
        }
    }
}

impl From<ListingPage> for InfoPage {
    fn from(mut page: ListingPage) -> InfoPage {
        let large = page.take_large();
        InfoPage {
            large,
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
    if ids.len() > MAX_INFO_IDS {
        return Err(SourceError::unsent(format!(
            "{} ids in one request; Reddit takes {MAX_INFO_IDS}",
            ids.len()
        )));
    }
    let ids: Vec<String> = ids.iter().map(SubmissionId::fullname).collect();
    let mut url = below(api_url, &["api", "info"])?;
    url.set_query(Some(&format!("raw_json=1&id={}", ids.join(","))));
    Ok(url)
}
