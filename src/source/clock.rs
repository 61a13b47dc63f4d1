//! Up to when an answer is evidence: never later than two independent clocks agree on.
//!
//! Owns the comparison of this machine's clock with the server's. The earlier of the two is the end
//! of what an answer may prove, so neither a server whose `Date` is ahead, nor a machine whose clock
//! is ahead, nor an item from the future extends a proof. A clock that is behind only delays proofs.

use crate::metrics::Metrics;
use reqwest::header::{AGE, DATE, HeaderMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Seconds by which the two clocks may differ and still agree.
const AGREED: i64 = 60;
/// An answer whose clock disagrees adds this much doubt, one that agrees takes one away: three in a row
/// are a disagreement that persists, and so is every third, after a while.
const DOUBT: u32 = 3;
const PERSISTS: u32 = 7;
const MOST_DOUBT: u32 = 9;

/// What the clocks say of the moment at which a page was made. Seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The end of what the page can prove: the earlier of the two clocks. None where only one tells.
    pub proves: Option<i64>,
    /// What lies after this is in the future, by both clocks, or where they keep disagreeing, by the
    /// one that the listed items do not contradict.
    pub latest: i64,
    /// By the server's clock where it tells, else by ours: good for paces, and no evidence.
    pub shown: i64,
}

/// When a request was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// By this machine's clock, milliseconds since the epoch.
    wall_ms: i64,
    at: Instant,
}

/// What the headers of an answer say of its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dated {
    /// The `Date`; none where it is missing or unreadable.
    pub(super) date: Option<i64>,
    /// Seconds in a cache; none where that cannot be read.
    pub(super) age: Option<i64>,
}

impl Dated {
    pub(super) fn read(headers: &HeaderMap) -> Dated {
        let mut ages = headers.get_all(AGE).iter().map(|age| {
            let age: Option<u32> = age.to_str().ok()?.trim().parse().ok();
            age.map(i64::from)
        });
        Dated {
            date: date(headers),
            age: ages.try_fold(0, |oldest: i64, age| Some(oldest.max(age?))),
        }
    }
}

/// When an answer was made, seconds since the epoch, where it tells: the earliest where it tells more
/// than once.
pub(super) fn date(headers: &HeaderMap) -> Option<i64> {
    let dates = headers.get_all(DATE).iter().filter_map(|date| {
        let date = chrono::DateTime::parse_from_rfc2822(date.to_str().ok()?).ok()?;
        Some(date.timestamp())
    });
    dates.min()
}

/// Compares this machine's clock with a server's, answer by answer.
#[derive(Debug)]
pub(super) struct EvidenceClock {
    source: &'static str,
    metrics: Arc<Metrics>,
    now_ms: fn() -> i64,
    started: Instant,
    /// This machine's clock at that moment, milliseconds since the epoch.
    started_ms: i64,
    known: Mutex<Known>,
}

/// What answers have told. All times are those at which this clock was started, so that what has passed
/// since is counted by the monotonic clock; in microseconds, since whole seconds of both would add up to one
/// that has not come yet.
#[derive(Debug, Default)]
struct Known {
    /// Both clocks, when they last agreed.
    agreed: Option<i64>,
    /// A moment that has passed: the end of what was proven before this process began.
    proven: Option<i64>,
    /// The server's, by its last answer.
    dated: Option<i64>,
    /// The same, also by answers that are no page: to be shown, and no evidence.
    heard: Option<i64>,
    /// The newest two items, each with its creation time: one alone may come from the future.
    items: Vec<(String, i64)>,
    doubt: u32,
    /// By how much the server's clock is ahead, while the clocks keep disagreeing.
    skew: Option<i64>,
}

impl EvidenceClock {
    pub(super) fn new(
        source: &'static str,
        now_ms: fn() -> i64,
        metrics: Arc<Metrics>,
    ) -> EvidenceClock {
        metrics.api.clock_skew.with_label_values(&[source]).set(0.0);
        EvidenceClock {
            source,
            metrics,
            now_ms,
            started: Instant::now(),
            started_ms: now_ms(),
            known: Mutex::default(),
        }
    }

    /// To be called when a request goes out.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            wall_ms: (self.now_ms)(),
            at: Instant::now(),
        }
    }

    /// Notes a moment (seconds since the epoch) of which it was proven, by two clocks, that it has passed: a
    /// clock of ours that shows less is behind.
    pub(super) fn has_passed(&self, moment: i64) {
        let elapsed = self.elapsed(Instant::now());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.proven = Some(micros(moment).saturating_sub(elapsed));
    }

    /// Notes the `Date` of any answer, to be shown.
    pub(super) fn hear(&self, headers: &HeaderMap) {
        if let Some(date) = date(headers) {
            let elapsed = self.elapsed(Instant::now());
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.heard = Some(micros(date).saturating_sub(elapsed));
        }
    }

    /// The server's clock as its last answer told it, else ours: to be shown.
    pub(super) fn heard(&self) -> i64 {
        let elapsed = self.elapsed(Instant::now());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = known.heard.map(|heard| later(heard, elapsed));
        heard.unwrap_or_else(|| (self.now_ms)().div_euclid(1_000))
    }

    /// Judges a page that was answered well. `items` are the ids and creation times that it lists.
    pub(super) fn read<'a>(
        &self,
        sent: Sent,
        dated: Dated,
        items: impl Iterator<Item = (&'a str, i64)>,
    ) -> Moment {
        let elapsed = self.elapsed(sent.at);
        let wall = sent.wall_ms.div_euclid(1_000);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(date) = dated.date.filter(|_| dated.age == Some(0)) {
            self.compare(&mut known, sent.wall_ms, date, elapsed);
        }
        // A clock that was set back is not believed as long as the two agreed before and would still.
        let agreed = known.agreed.map(|agreed| later(agreed, elapsed));
        let ours = agreed.map_or(wall, |agreed| agreed.max(wall));
        let listed = known.list(items, ours, elapsed);
        let other = dated.date.or(listed);
        let now = match dated.date {
            None => ours,
            Some(date) if known.skew.is_some() => ours.min(date).max(listed.unwrap_or(i64::MIN)),
            Some(date) => ours.max(date),
        };
        // Ours may be ahead of the server's by what still counts as agreement: where this answer does not
        // tell, those before it did.
        let agrees = |date: i64| date.saturating_sub(wall).abs() <= AGREED;
        let believed = match agreed {
            Some(agreed) if !dated.date.is_some_and(agrees) && wall - agreed <= 2 * AGREED => {
                agreed
            }
            _ => ours,
        };
        let proves = other
            .zip(dated.age)
            .map(|(other, age)| believed.min(other) - age);
        Moment {
            proves,
            latest: now,
            shown: dated.date.unwrap_or(ours),
        }
    }

    /// Seconds since the epoch, as far as the clocks agree: where there is no page to tell. Good for
    /// what may be missing, and no evidence.
    pub(super) fn now(&self) -> i64 {
        let elapsed = self.elapsed(Instant::now());
        let wall = (self.now_ms)().div_euclid(1_000);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (known.agreed, known.dated) {
            // A machine that slept has counted less than has passed.
            (Some(agreed), _) => later(agreed, elapsed).max(wall),
            (None, Some(dated)) => later(dated, elapsed).min(wall),
            (None, None) => wall,
        }
    }

    /// By how many seconds the server's clock is ahead of ours, while the two keep disagreeing.
    pub(super) fn skew(&self) -> Option<i64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.skew
    }

    fn compare(&self, known: &mut Known, wall_ms: i64, date: i64, elapsed: i64) {
        let ahead = date.saturating_sub(wall_ms.div_euclid(1_000));
        let gauge = self
            .metrics
            .api
            .clock_skew
            .with_label_values(&[self.source]);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge.set(ahead as f64);
        known.dated = Some(micros(date).saturating_sub(elapsed));
        if ahead.abs() <= AGREED {
            let wall = wall_ms.saturating_mul(1_000);
            known.agreed = Some(wall.min(micros(date)).saturating_sub(elapsed));
            known.doubt = known.doubt.saturating_sub(1);
        } else {
            known.doubt = known.doubt.saturating_add(DOUBT).min(MOST_DOUBT);
            if ahead > 0 && known.agreed.is_none() {
                known.agreed = self.outvoted(known, wall_ms, date, elapsed);
            }
        }
        if known.doubt >= PERSISTS {
            // The odd answer that agrees meanwhile does not say by how much they differ.
            if ahead.abs() > AGREED && known.skew.replace(ahead).is_none() {
                tracing::warn!(
                    source = self.source,
                    server_ahead_seconds = ahead,
                    "Clock skew: this machine's clock and the server's disagree, so nothing newer than \
                     the earlier of the two is reported as complete; check that NTP runs on this machine"
                );
            }
        } else if known.doubt == 0 && known.skew.take().is_some() {
            tracing::info!(source = self.source, "Clock skew has ended");
        }
    }

    /// When the two would have agreed, where ours is behind the server's before the two ever did: what ours
    /// showed at the start with the time since, or what was proven by then, says so too.
    fn outvoted(&self, known: &Known, wall_ms: i64, date: i64, elapsed: i64) -> Option<i64> {
        let start = self.started_ms.saturating_mul(1_000);
        if date.saturating_sub(later(start, elapsed)).abs() <= AGREED {
            return Some(start.min(micros(date).saturating_sub(elapsed)));
        }
        let wall = wall_ms.div_euclid(1_000);
        known.proven.filter(|proven| {
            let passed = later(*proven, elapsed);
            passed > wall + AGREED && date >= passed
        })
    }

    /// Microseconds from the start until then.
    fn elapsed(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.started).as_micros();
        i64::try_from(elapsed).unwrap_or(i64::MAX)
    }
}

fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000)
}

/// Whole seconds of a time so much later; both in microseconds.
fn later(at_start: i64, elapsed: i64) -> i64 {
    at_start.saturating_add(elapsed).div_euclid(1_000_000)
}

impl Known {
    /// The least that the server's clock can show, by the newest items that were ever listed. What is
    /// later than our own clock comes from the future and does not count.
    fn list<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a str, i64)>,
        ours: i64,
        elapsed: i64,
    ) -> Option<i64> {
        for (id, created) in items.filter(|(_, created)| *created <= ours) {
            let at_start = micros(created).saturating_sub(elapsed);
            match self.items.iter_mut().find(|(known, _)| known == id) {
                Some((_, known)) => *known = at_start.max(*known),
                None => self.items.push((id.to_owned(), at_start)),
            }
        }
        self.items
            .sort_by_key(|(_, at_start)| std::cmp::Reverse(*at_start));
        self.items.truncate(2);
        let (_, second) = self.items.get(1)?;
        Some(later(*second, elapsed))
    }
}

#[cfg(test)]
mod tests;
