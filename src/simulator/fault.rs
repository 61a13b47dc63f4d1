//! Ways in which an answer fails, and the plan of when.
//!
//! Owns the choice of the fault for a request. How a fault looks on the wire is `http`'s business.

use super::endpoint::Endpoint;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// One way for an answer to fail. Statuses and bodies are those seen in recorded traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429 as an HTML page with `Retry-After` in whole seconds, and no rate limit headers.
    TooManyRequests {
        /// What `Retry-After` says, seconds.
        retry_after: u32,
    },
    /// This status with an HTML page (meant for 5xx).
    ErrorPage {
        /// The HTTP status.
        status: u16,
    },
    /// This status with an empty body (meant for 5xx).
    ErrorEmpty {
        /// The HTTP status.
        status: u16,
    },
    /// 200 with an HTML page.
    PageInstead,
    /// 200 with the body `{`, said to be JSON.
    BrokenJson,
    /// The good body cut in the middle, with a length that fits the cut.
    CutBody,
    /// The good body with a larger `Content-Length`: the connection ends before it is reached.
    WrongLength,
    /// The connection is reset before anything is answered.
    Reset,
    /// The token is forgotten: 401 with an HTML page.
    LostToken,
    /// 403 with an HTML page, as a network block shows it.
    Blocked,
    /// The good answer, after so many milliseconds of real time.
    Slow {
        /// The delay, milliseconds.
        delay_ms: u32,
    },
    /// The good answer without rate limit headers.
    NoRateHeaders,
    /// 200 with a listing of nothing, or from the archive no rows.
    Nothing,
    /// The good answer with a `Date` that is so much ahead of the time, or behind it.
    Date {
        /// By how much; below 0 it is behind. Seconds, at most a century.
        ahead_seconds: i64,
    },
    /// The good answer with a `Date` that cannot be read, which tells no more than none.
    NoDate,
    /// Of the archive: 200 with the first half of the rows, and beside them an error.
    ErrorInside,
    /// Of the archive: 200 with the first half of the rows, as though there were no more.
    HalfTheRows,
    /// Of the archive: the good answer, and before its rows one that was created in 2030.
    FromTheFuture,
}

impl Fault {
    /// Whether it can befall this endpoint: the archive takes no tokens, and Reddit has no rows.
    pub(super) fn fits(self, endpoint: Endpoint) -> bool {
        match self {
            Fault::LostToken => !endpoint.is_archive(),
            Fault::ErrorInside | Fault::HalfTheRows | Fault::FromTheFuture => endpoint.is_archive(),
            _ => true,
        }
    }

    /// One of the failures that the `faults` oddity draws from.
    pub(super) fn random_for(endpoint: Endpoint, rng: &mut ChaCha8Rng) -> Fault {
        loop {
            let fault = Fault::random(rng);
            if fault.fits(endpoint) {
                return fault;
            }
        }
    }

    /// One of the wrong dates that the `wrong_dates` oddity draws from.
    pub(super) fn random_date(rng: &mut ChaCha8Rng) -> Fault {
        let wrong = [300, 72_000, 400_000][rng.random_range(0..3)];
        match rng.random_range(0..3) {
            0 => Fault::NoDate,
            1 => Fault::Date {
                ahead_seconds: wrong,
            },
            _ => Fault::Date {
                ahead_seconds: -wrong,
            },
        }
    }

    fn random(rng: &mut ChaCha8Rng) -> Fault {
        let status = [500, 502, 503, 504, 520, 522][rng.random_range(0..6)];
        match rng.random_range(0..15) {
            0 | 1 => Fault::TooManyRequests {
                retry_after: rng.random_range(1..=4),
            },
            2..=4 => Fault::ErrorPage { status },
            5 => Fault::ErrorEmpty { status },
            6 => Fault::PageInstead,
            7 => Fault::BrokenJson,
            8 => Fault::CutBody,
            9 => Fault::WrongLength,
            10 => Fault::Reset,
            11 => Fault::Blocked,
            12 => Fault::Slow {
                delay_ms: rng.random_range(200..3_000),
            },
            13 => Fault::NoRateHeaders,
            _ => Fault::LostToken,
        }
    }
}

/// Requests that fail again and again, with others between them that do not.
#[derive(Debug)]
pub(super) struct Recurring {
    /// One in so many, at least 1.
    pub(super) every: u32,
    /// In these ways in turn.
    pub(super) faults: Vec<Fault>,
    /// Those to this endpoint; to any otherwise.
    pub(super) endpoint: Option<Endpoint>,
    /// Requests so far.
    seen: u32,
    /// Of those, how many failed.
    failed: usize,
}

impl Recurring {
    /// None where there is nothing to recur.
    pub(super) fn new(
        every: u32,
        faults: Vec<Fault>,
        endpoint: Option<Endpoint>,
    ) -> Option<Recurring> {
        (every > 0 && !faults.is_empty()).then_some(Recurring {
            every,
            faults,
            endpoint,
            seen: 0,
            failed: 0,
        })
    }

    /// The fault of this request, if it is its turn.
    fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let wanted = self.endpoint.is_none_or(|wanted| wanted == endpoint);
        let fits = self.faults.iter().filter(|fault| fault.fits(endpoint));
        let fits: Vec<Fault> = fits.copied().collect();
        if !wanted || fits.is_empty() {
            return None;
        }
        self.seen += 1;
        if self.seen < self.every {
            return None;
        }
        self.seen = 0;
        let fault = fits[self.failed % fits.len()];
        self.failed = self.failed.wrapping_add(1);
        Some(fault)
    }
}

/// Which requests fail, apart from chance: an outage first, then what is queued for the endpoint, then
/// what recurs.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    /// Of Reddit.
    pub(super) outage: Option<Fault>,
    /// Of the archive.
    pub(super) archive_outage: Option<Fault>,
    queued: VecDeque<(Option<Endpoint>, Fault, u32)>,
    pub(super) recurring: Option<Recurring>,
    /// Ids and subreddits that spoil every request which asks for them.
    poison: Vec<(String, Fault)>,
}

impl FaultPlan {
    /// The next `count` requests (to `endpoint`, or to any) fail so.
    pub(super) fn fail_next(&mut self, count: u32, fault: Fault, endpoint: Option<Endpoint>) {
        if count > 0 {
            self.queued.push_back((endpoint, fault, count));
        }
    }

    /// Every request that asks for this id or subreddit fails so, or no longer does.
    pub(super) fn poison(&mut self, word: &str, fault: Option<Fault>) {
        self.poison.retain(|(known, _)| known != word);
        self.poison
            .extend(fault.map(|fault| (word.to_owned(), fault)));
    }

    pub(super) fn poisons_nothing(&self) -> bool {
        self.poison.is_empty()
    }

    /// The fault of an answer by what it gives out.
    pub(super) fn poisoned_row(&self, body: &str) -> Option<Fault> {
        let mut poison = self.poison.iter();
        poison.find_map(|(word, fault)| {
            let names = [format!("\"id\":\"{word}\""), format!("\"id\": \"{word}\"")];
            let given = names.iter().any(|name| body.contains(name.as_str()));
            given.then_some(*fault)
        })
    }

    /// The fault of a request by what it asks for.
    pub(super) fn poisoned(&self, uri: &str) -> Option<Fault> {
        let mut words = uri.split(['/', '?', '&', '=', ',', '+', '.']);
        words.find_map(|word| {
            let word = word.strip_prefix("t3_").unwrap_or(word);
            let mut poison = self.poison.iter();
            poison.find_map(|(known, fault)| (known == word).then_some(*fault))
        })
    }

    /// The fault planned for a request to `endpoint`, which is thereby used up.
    pub(super) fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let outage = if endpoint.is_archive() {
            self.archive_outage
        } else {
            self.outage
        };
        if outage.is_some() {
            return outage;
        }
        let place = self.queued.iter().position(|(wanted, fault, _)| {
            wanted.is_none_or(|wanted| wanted == endpoint) && fault.fits(endpoint)
        });
        let Some(place) = place else {
            return self.recurring.as_mut()?.take(endpoint);
        };
        let (_, fault, left) = &mut self.queued[place];
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            self.queued.remove(place);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_faults_are_used_up_in_order_and_by_endpoint() {
        let mut plan = FaultPlan::default();
        plan.fail_next(1, Fault::Reset, Some(Endpoint::Info));
        plan.fail_next(2, Fault::CutBody, None);
        plan.fail_next(0, Fault::BrokenJson, None);
        assert_eq!(plan.take(Endpoint::Listing), Some(Fault::CutBody));
        assert_eq!(plan.take(Endpoint::Info), Some(Fault::Reset));
        assert_eq!(plan.take(Endpoint::Info), Some(Fault::CutBody));
        assert_eq!(plan.take(Endpoint::Info), None);
    }

    #[test]
    fn every_third_request_of_those_meant_fails_in_turn_behind_what_is_queued() {
        let ways = vec![Fault::NoDate, Fault::HalfTheRows, Fault::Nothing];
        let mut plan = FaultPlan {
            recurring: Recurring::new(3, ways.clone(), None),
            ..FaultPlan::default()
        };
        plan.fail_next(1, Fault::Reset, None);
        assert_eq!(plan.take(Endpoint::Listing), Some(Fault::Reset));
        let listing: Vec<_> = (0..9).map(|_| plan.take(Endpoint::Listing)).collect();
        let turns =
            |all: &[Option<Fault>]| -> Vec<Fault> { all.iter().flatten().copied().collect() };
        // Reddit has no rows to leave out.
        assert_eq!(turns(&listing), [ways[0], ways[2], ways[0]]);
        assert_eq!((listing[2], listing[3]), (Some(ways[0]), None));
        plan.recurring = Recurring::new(1, ways.clone(), Some(Endpoint::ArchiveSearch));
        assert_eq!(plan.take(Endpoint::Listing), None);
        let archive: Vec<_> = (0..4).map(|_| plan.take(Endpoint::ArchiveSearch)).collect();
        assert_eq!(turns(&archive), [ways[0], ways[1], ways[2], ways[0]]);
        assert!(Recurring::new(0, ways, None).is_none());
        assert!(Recurring::new(1, Vec::new(), None).is_none());
    }

    #[test]
    fn the_archive_and_reddit_fail_apart() {
        let mut plan = FaultPlan {
            archive_outage: Some(Fault::Reset),
            ..FaultPlan::default()
        };
        plan.fail_next(1, Fault::LostToken, None);
        assert_eq!(plan.take(Endpoint::ArchiveSearch), Some(Fault::Reset));
        plan.archive_outage = None;
        plan.outage = Some(Fault::CutBody);
        assert_eq!(plan.take(Endpoint::ArchiveIds), None);
        assert_eq!(plan.take(Endpoint::Info), Some(Fault::CutBody));
        plan.outage = None;
        assert_eq!(plan.take(Endpoint::Info), Some(Fault::LostToken));
    }

    #[test]
    fn an_outage_uses_nothing_up() {
        let mut plan = FaultPlan::default();
        plan.fail_next(1, Fault::CutBody, None);
        plan.outage = Some(Fault::Reset);
        assert_eq!(plan.take(Endpoint::Token), Some(Fault::Reset));
        plan.outage = None;
        assert_eq!(plan.take(Endpoint::Token), Some(Fault::CutBody));
    }
}
