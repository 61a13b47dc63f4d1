//! One slice of time by its ids, for all subreddits at once: every id of the counter that was given to
//! anything in that time is asked for, a hundred in a request.
//!
//! It is complete once each id is accounted for: given out and stored, given out and of a subreddit that is
//! not watched, or left out so late and so often that its absence is believed ([`judge`]). Until then the slice waits.

mod begin;
mod failing;
mod judge;
mod record;
mod search;

pub use begin::{IDS, IdRepair, IdRepairs, ids_under_way, repair_by_ids, repair_gaps_by_ids};

use super::handler::{Broken, Step, discover_of};
use super::{Backfiller, LEASE_MS};
use crate::config::Scope;
use crate::discover::{Discover, IdsAnswer, IdsUnknown, LEAST_SHARE, request_ids, top_of_ids};
use crate::source::{InfoPage, MAX_INFO_IDS, RequestClass, SourceError};
use crate::store::{AbsentId, IdSlice, IdSliceEnd, IdSliceStep, Interval, Recent, SliceClaim};
use judge::{MARGIN, due_ms, is_disorder, is_late_enough, strays};
use search::{Search, Side, ids_at, time_at};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tokio::sync::Mutex;

/// Ids that were given out lately, in each request: an answer without these says nothing.
const WITNESSES: usize = 3;
const EACH: usize = MAX_INFO_IDS - WITNESSES;
/// A slice that waits is looked at this often.
const LOOK_MS: i64 = 600_000;
/// By so much our clock may be ahead of the newest submissions.
const LAG: i64 = 7_200;
/// Submissions of a subreddit of which one must be given out for Reddit to show it to us, and so many
/// subreddits in one request.
const SHOWN_BY: u32 = 5;
const NAMES: usize = MAX_INFO_IDS / SHOWN_BY as usize;
/// Ids a second that no counter of submissions reaches.
const MOST_A_SECOND: i64 = 1_000;

const SPARSE: &str = "too few ids exist; freshet gaps repair asks the archive instead";

impl From<IdsUnknown> for Broken {
    fn from(error: IdsUnknown) -> Broken {
        match error {
            IdsUnknown::Source(error) => error.into(),
            IdsUnknown::Store(error) => error.into(),
        }
    }
}

/// The top of the counter, and ids there that were given out.
struct Top {
    id: i64,
    /// When it was created, seconds.
    created: i64,
    witnesses: Vec<i64>,
}

/// What an attempt at a slice knows.
struct Pass<'a> {
    backfiller: &'a Backfiller,
    discover: &'a Discover,
    claim: &'a SliceClaim,
    step: &'a Step<'a>,
    slice: IdSlice,
    witnesses: Vec<i64>,
    reached: i64,
    /// Of the slice, ids for which requests failed when they were asked for last.
    failing: BTreeSet<i64>,
    /// What it brought before.
    recent: Mutex<Recent>,
}

/// Asks for the ids of the slice and stores what lies within, as far as that goes now.
pub(super) async fn bring_in(
    backfiller: &Backfiller,
    claim: &SliceClaim,
    step: &Step<'_>,
) -> Result<(), Broken> {
    let discover = discover_of(backfiller)?;
    let store = &backfiller.store;
    let known = store.id_slice(claim.id).await?;
    let now_ms = (backfiller.now_ms)();
    if let Some(known) = known.as_ref().filter(|known| known.next >= known.end) {
        // Not a request before one is due.
        may_be_due(known, claim, now_ms)?;
    }
    let top = top(discover).await?;
    if now_ms.div_euclid(1000) > top.created + LAG {
        return Err(waits(
            now_ms + LOOK_MS,
            "the newest submission is hours old, or this machine's clock is ahead".to_owned(),
        ));
    }
    let slice = match known {
        Some(known) => known,
        None => begin_slice(backfiller, discover, claim, step, &top).await?,
    };
    let mut pass = Pass {
        backfiller,
        discover,
        claim,
        step,
        slice,
        witnesses: top.witnesses,
        reached: claim.reached,
        failing: BTreeSet::new(),
        recent: Mutex::default(),
    };
    pass.walk().await?;
    pass.ask_again().await?;
    pass.end().await
}

/// Whether there is anything to ask for again, or to end.
fn may_be_due(slice: &IdSlice, claim: &SliceClaim, now_ms: i64) -> Result<(), Broken> {
    let due = slice
        .absent
        .iter()
        .filter_map(|it| due_ms(it, claim.slice_end));
    match due.min() {
        Some(due) if due > now_ms => {
            let all = slice.absent.iter().filter_map(|it| last_due_ms(it, claim));
            let until = all.max().unwrap_or(due).div_euclid(1000);
            Err(waits(
                due.min(now_ms + LOOK_MS),
                format!(
                    "{} ids of it are absent and may appear late; they are asked for again until {}",
                    slice.absent.len(),
                    time(until)
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// About when the absence of an id is believed.
fn last_due_ms(absent: &AbsentId, claim: &SliceClaim) -> Option<i64> {
    let mut absent = *absent;
    let mut last = None;
    while let Some(due) = due_ms(&absent, claim.slice_end) {
        last = Some(due);
        absent.asked_ms = due;
        absent.tries += 1;
    }
    last
}

fn waits(due_ms: i64, reason: String) -> Broken {
    Broken::Waits { due_ms, reason }
}

/// Seconds in RFC 3339.
fn time(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

async fn top(discover: &Discover) -> Result<Top, Broken> {
    let Some(id) = top_of_ids(discover).await? else {
        return Err(sparse());
    };
    let first = (id - ids_at(0).end + 1).max(0);
    let page = ask(discover, ids_at(first)).await?;
    let created = created(&page);
    match time_at(first, &created) {
        Some(time) => Ok(Top {
            id,
            created: time,
            witnesses: created.keys().rev().take(WITNESSES).copied().collect(),
        }),
        None => Err(sparse()),
    }
}

fn sparse() -> Broken {
    Broken::Refused(SPARSE.to_owned())
}

async fn ask(discover: &Discover, ids: impl Iterator<Item = i64>) -> Result<InfoPage, SourceError> {
    let answer = request_ids(discover, ids, &[], RequestClass::Repair).await?;
    Ok(answer.page)
}

/// When each submission was created.
fn created(page: &InfoPage) -> BTreeMap<i64, i64> {
    let items = page.items.iter().map(|item| &item.submission);
    items
        .filter_map(|it| Some((it.id.number()?, it.created_utc)))
        .collect()
}

/// Finds the slice's ids and notes them, with whose gaps it is for.
async fn begin_slice(
    backfiller: &Backfiller,
    discover: &Discover,
    claim: &SliceClaim,
    step: &Step<'_>,
    top: &Top,
) -> Result<IdSlice, Broken> {
    let now_ms = (backfiller.now_ms)();
    let end = claim.slice_end.saturating_add(MARGIN);
    let latest = top.created.min(now_ms.div_euclid(1000));
    if end > latest {
        let due_ms = now_ms + (end - latest).saturating_mul(1000).clamp(5_000, LOOK_MS);
        return Err(waits(due_ms, "it is not over by a minute".to_owned()));
    }
    let mut found = Vec::new();
    for (time, side) in [
        (claim.slice_start.saturating_sub(MARGIN), Side::Start),
        (end, Side::End),
    ] {
        let mut search = Search::new(time, side, top.id);
        while let Some(places) = search.places() {
            step.may_go_on()?;
            let ids = places.iter().flat_map(|place| ids_at(*place));
            let page = ask(discover, ids).await?;
            if !search.answer(&places, &created(&page)) {
                return Err(sparse());
            }
        }
        found.push(search.found());
    }
    let &[start, end] = found.as_slice() else {
        return Err(sparse());
    };
    let ids = Interval {
        start: start.id,
        end: end.id.max(start.id + 1),
    };
    let seconds = claim.slice_end - claim.slice_start + 2 * MARGIN;
    if ids.end - ids.start > seconds.saturating_mul(MOST_A_SECOND) {
        return Err(sparse());
    }
    let store = &backfiller.store;
    if !store.begin_id_slice(claim, ids, start.known).await? {
        return Err(Broken::Lost);
    }
    let begun = store.id_slice(claim.id).await?;
    begun.ok_or(Broken::Lost)
}

impl<'a> Pass<'a> {
    /// Asks for every id once.
    async fn walk(&mut self) -> Result<(), Broken> {
        while self.slice.next < self.slice.end {
            self.step.may_go_on()?;
            let next = self.slice.end.min(self.slice.next + EACH as i64);
            let ids: Vec<i64> = (self.slice.next..next).collect();
            let (page, given_out) = self.ask(&ids).await?;
            let asked_ms = (self.backfiller.now_ms)();
            let (failing, known): (Vec<i64>, Vec<i64>) =
                ids.iter().partition(|id| self.failing.contains(id));
            let (given_out, absent): (Vec<i64>, Vec<i64>) =
                known.into_iter().partition(|id| given_out.contains(id));
            let items: Vec<(i64, i64)> = created(&page)
                .into_iter()
                .filter(|(id, _)| (self.slice.next..next).contains(id))
                .collect();
            if let Some((_, middle)) = items.get(items.len() / 2) {
                let (from, until) = (self.claim.slice_start, self.claim.slice_end);
                self.reached = self.reached.max((*middle).clamp(from, until));
            }
            let record = IdSliceStep {
                next,
                absent: absent.clone(),
                failing: failing.clone(),
                asked_ms,
                given_out: i64::try_from(given_out.len()).unwrap_or(0),
                strays: strays(&items),
                ..self.nothing()
            };
            self.record(&page, record.clone()).await?;
            self.slice.next = next;
            self.slice.given_out += record.given_out;
            self.slice.strays += record.strays;
            let open = absent.iter().chain(&failing).map(|id| AbsentId {
                id: *id,
                tries: 0,
                asked_ms,
            });
            self.slice.absent.extend(open);
        }
        Ok(())
    }

    /// Asks again for what was left out, as far as that is due.
    async fn ask_again(&mut self) -> Result<(), Broken> {
        let now_ms = (self.backfiller.now_ms)();
        let end = self.claim.slice_end;
        let is_due = |it: &&AbsentId| due_ms(it, end).is_some_and(|due| due <= now_ms);
        let due: Vec<i64> = self
            .slice
            .absent
            .iter()
            .filter(is_due)
            .map(|it| it.id)
            .collect();
        for ids in due.chunks(EACH) {
            self.step.may_go_on()?;
            let (page, given_out) = self.ask(ids).await?;
            let asked_ms = (self.backfiller.now_ms)();
            let (failing, known): (Vec<i64>, Vec<i64>) =
                ids.iter().partition(|id| self.failing.contains(id));
            let (appeared, absent): (Vec<i64>, Vec<i64>) =
                known.into_iter().partition(|id| given_out.contains(id));
            let record = IdSliceStep {
                absent: absent.clone(),
                failing: failing.clone(),
                appeared: appeared.clone(),
                asked_ms,
                ..self.nothing()
            };
            self.record(&page, record).await?;
            self.slice.absent.retain(|it| !appeared.contains(&it.id));
            for known in &mut self.slice.absent {
                if absent.contains(&known.id) {
                    known.tries += 1;
                    known.asked_ms = asked_ms;
                }
                if failing.contains(&known.id) {
                    known.tries = 0;
                    known.asked_ms = asked_ms;
                }
            }
        }
        // What fails to the last is not waited for: the time around it stays open.
        let failing = &self.failing;
        let fails_to_the_last =
            |it: &AbsentId| failing.contains(&it.id) && is_late_enough(it.asked_ms, end);
        self.slice.absent.retain(|it| !fails_to_the_last(it));
        may_be_due(&self.slice, self.claim, (self.backfiller.now_ms)())?;
        match self.slice.absent.iter().any(|it| due_ms(it, end).is_some()) {
            true => Err(Broken::TurnOver),
            false => Ok(()),
        }
    }

    /// Every id is accounted for.
    async fn end(&mut self) -> Result<(), Broken> {
        let IdSlice {
            first,
            end,
            given_out,
            strays,
            whole,
            ..
        } = self.slice;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = given_out as f64 / (end - first).max(1) as f64;
        let unproven = if !whole {
            Some("nothing older was given out, so it may begin before the ids that are known")
        } else if share < LEAST_SHARE {
            Some("too few of its ids exist")
        } else if is_disorder(strays, given_out) {
            Some("its ids are not in the order of creation")
        } else {
            None
        };
        let (shown, unknown) = match unproven {
            Some(_) => (Vec::new(), Some(Vec::new())),
            None => (self.shown().await?, self.unknown().await?),
        };
        let unproven = match &unknown {
            None => Some("whatever request asks for some of its ids fails, while others succeed"),
            Some(_) => unproven,
        };
        let ending = IdSliceEnd {
            claim: self.claim,
            shown: &shown,
            failing: &self.failing,
            unknown: &unknown.unwrap_or_default(),
            unproven,
            now_ms: (self.backfiller.now_ms)(),
        };
        let ended = loop {
            match self
                .during(self.backfiller.store.end_id_slice(&ending))
                .await
            {
                Err(error) if error.is_outage() => self.store_is_away(&error).await?,
                ended => break ended?.ok_or(Broken::Lost)?,
            }
        };
        let repaired = &self.backfiller.metrics.discover.gaps_repaired;
        repaired
            .with_label_values(&["ids"])
            .inc_by(ended.gaps_repaired);
        tracing::info!(
            from = self.claim.slice_start,
            until = self.claim.slice_end,
            ids = end - first,
            given_out,
            gaps = ended.gaps_repaired,
            subreddits = ended.proven,
            left_open = ended.left,
            unproven,
            "All ids of a time are accounted for"
        );
        Ok(())
    }

    /// Of whose submissions some are given out now: what is private or banned is left out as if it had never been.
    async fn shown(&self) -> Result<Vec<String>, Broken> {
        let mut shown = HashSet::new();
        for names in self.slice.members.chunks(NAMES) {
            self.step.may_go_on()?;
            let mut ids = Vec::new();
            for name in names {
                ids.extend(self.backfiller.store.newest_of(name, SHOWN_BY).await?);
            }
            if ids.is_empty() {
                continue;
            }
            let page = ask(self.discover, ids.into_iter()).await?;
            let of = page
                .items
                .iter()
                .filter_map(|it| it.submission.subreddit.as_deref());
            shown.extend(of.map(str::to_ascii_lowercase));
        }
        let members = self.slice.members.iter();
        Ok(members
            .filter(|name| shown.contains(*name))
            .cloned()
            .collect())
    }

    /// Asks for these beside witnesses.
    async fn ask(&mut self, ids: &[i64]) -> Result<(InfoPage, HashSet<i64>), Broken> {
        let asked: HashSet<i64> = ids.iter().chain(&self.witnesses).copied().collect();
        let mut asked: Vec<i64> = asked.into_iter().collect();
        asked.sort_unstable();
        let answer = request_ids(
            self.discover,
            asked.into_iter(),
            &self.witnesses,
            RequestClass::Repair,
        );
        let IdsAnswer { page, failing } = answer.await?;
        self.failing.retain(|id| !ids.contains(id));
        self.failing
            .extend(failing.iter().filter(|id| ids.contains(id)));
        let given_out = page.numbers();
        if given_out.is_empty() {
            let reason = "Reddit gave out nothing, not even what it gave out before";
            return Err(Broken::Unanswered(reason.to_owned()));
        }
        let seen: Vec<i64> = ids
            .iter()
            .rev()
            .filter(|id| given_out.contains(id))
            .copied()
            .collect();
        if seen.len() >= WITNESSES {
            self.witnesses = seen.into_iter().take(WITNESSES).collect();
        }
        Ok((page, given_out))
    }

    /// A step that changes nothing.
    fn nothing(&self) -> IdSliceStep<'a> {
        IdSliceStep {
            claim: self.claim,
            observations: &[],
            undecodable: &[],
            store_all: self.discover.config.scope == Scope::All,
            next: self.slice.next,
            reached: self.reached,
            absent: Vec::new(),
            failing: Vec::new(),
            appeared: Vec::new(),
            asked_ms: 0,
            given_out: 0,
            strays: 0,
            claimed_until_ms: (self.backfiller.now_ms)() + LEASE_MS,
            now_ms: (self.backfiller.now_ms)(),
        }
    }
}
