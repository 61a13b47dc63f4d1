//! One walk of a `/new` listing, as a state machine without I/O: which page to ask for next, and
//! what the pages so far have proven.
//!
//! The listing is neither ordered nor complete: late approvals stand below newer items, old posts
//! reappear on top, an anchor that has left the listing is answered with an empty page, and any
//! page may be cut short. So the walk never believes a single item or a single answer:
//!
//! - *Older ground* is reached when the last [`OLD_RUN`] items in a row are older, not one.
//! - *The end* of the listing is believed when further requests, from other anchors, show it too.
//! - *The cap* explains an end after about 1,000 items; it proves nothing about what lies below.

use super::unread::{Placed, times};
use crate::store::Interval;
use crate::submission::{Observation, SubmissionId, SubredditName, Undecodable, Unread};
use std::collections::HashSet;

/// Items in a row, at the end of what was listed, that must be older. Old posts that reappear come
/// in ones and twos; so many in a row are the listing's own order.
pub const OLD_RUN: usize = 10;
/// The same, where the listing also says that it ends there.
const OLD_RUN_AT_END: usize = 3;
/// A listing ends at about 1,000 items, removed ones among them, so fewer may be visible. An end
/// after this many is taken for the cap: a real end so far down, all of it inside the window, is
/// rare, and believing in it wrongly would lose submissions.
const CAP_SUSPECTED: usize = 500;
/// From here on the cap needs no second look.
const CAP_CERTAIN: usize = 1000;
/// Distances from the end of the anchors that are tried when an answer is in doubt. An anchor that
/// was removed takes its neighbours with it only if they were removed too.
const RETRY_DISTANCES: [usize; 5] = [1, 4, 12, 36, 90];
/// Answers in a row that must agree on where a listing ends, the first one included. Few walks come
/// to an end before they come to older ground, so the looks cost little.
const END_LOOKS: usize = 3;
/// Pages that no walk exceeds, whatever the listing answers.
const MOST_PAGES: u32 = 60;
/// Bytes of memory that no walk exceeds: 1,000 usual submissions come to some 7 MB, 1,000 long stories to
/// some 35.
pub(super) const MOST_BYTES: usize = 40 << 20;

/// What stands further below its place than this, in seconds, says nothing of its neighbours.
const MOST_DISORDER: i64 = 900;

/// A fullname, as often as a walk keeps it.
const NAME_BYTES: usize = 256;

/// What to ask for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Fullname to continue after; none for the top.
    pub after: Option<String>,
    /// Items asked for. A repeated look varies it, so that no cache answers for the listing.
    pub limit: u32,
}

/// One page, as far as a walk cares.
#[derive(Debug, Default)]
pub struct Page {
    /// Fullnames in the listing's order, of every child.
    pub order: Vec<String>,
    /// The decoded ones.
    pub items: Vec<Observation>,
    /// The others.
    pub undecodable: Vec<Undecodable>,
    /// What of those may be submissions, each with the number of items above it.
    pub unread: Vec<(usize, Unread)>,
    /// Where the listing says that it goes on.
    pub after: Option<String>,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The last items in a row were older than asked for.
    Older,
    /// The listing's real end, shown more than once.
    End,
    /// About 1,000 items: what lies below is not shown.
    Cap,
    /// No anchor near the end of what was listed was still there.
    AnchorVanished,
    /// More pages, or more bytes, than any listing has.
    PageLimit,
}

impl Page {
    /// Bytes of memory that this takes, rather too many than too few.
    pub fn held_bytes(&self) -> usize {
        let items = self.items.iter().map(Observation::held_bytes);
        let undecodable = self.undecodable.iter().map(Undecodable::held_bytes);
        let names = self.order.len() * NAME_BYTES;
        items.chain(undecodable).sum::<usize>() + names
    }
}

/// A walk under way.
#[derive(Debug)]
pub struct Walk {
    /// Seconds since the epoch: all that is newer is to be listed.
    reach: i64,
    /// Items in a row at the end that must be older.
    run: usize,
    /// Whose submissions count; those of everybody where it is empty.
    names: Vec<SubredditName>,
    order: Vec<String>,
    /// Creation times of the decoded items that count, in the listing's order.
    times: Vec<i64>,
    seen: HashSet<String>,
    listed: Vec<Observation>,
    undecodable: Vec<Undecodable>,
    unread: Vec<Placed>,
    pages: u32,
    bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Going down page by page.
    Down {
        after: Option<String>,
    },
    /// An answer was in doubt; looking again. `tries` looks so far, and the last `agreed` answers
    /// showed the same end.
    Doubt {
        tries: usize,
        agreed: usize,
    },
    Done(Ended),
}

impl Walk {
    /// A walk from the top of the listing down to `reach`, in seconds since the epoch.
    pub fn new(reach: i64) -> Walk {
        Walk {
            reach,
            run: OLD_RUN,
            names: Vec::new(),
            order: Vec::new(),
            times: Vec::new(),
            seen: HashSet::new(),
            listed: Vec::new(),
            undecodable: Vec::new(),
            unread: Vec::new(),
            pages: 0,
            bytes: 0,
            state: State::Down { after: None },
        }
    }

    /// The same, of a listing of these subreddits: what else stands in it, as advertisements and what an
    /// answer for others would show, is listed and shows nothing of how far the walk has come.
    #[must_use]
    pub fn of(mut self, names: &[SubredditName]) -> Walk {
        let everything = |name: &SubredditName| matches!(name.as_str(), "all" | "popular");
        if !names.iter().any(everything) {
            self.names = names.to_vec();
        }
        self
    }

    /// Goes down to here instead: once the first answer has told Reddit's time, before it is taken.
    pub fn aim(&mut self, reach: i64) {
        self.reach = reach;
    }

    /// The next request, or how the walk ended.
    pub fn next(&self) -> Result<PageRequest, Ended> {
        match &self.state {
            State::Done(ended) => Err(*ended),
            State::Down { after } => Ok(PageRequest {
                after: after.clone(),
                limit: 100,
            }),
            State::Doubt { tries, .. } => {
                #[expect(clippy::cast_possible_truncation, reason = "a handful of tries")]
                let limit = 99 - *tries as u32;
                Ok(PageRequest {
                    after: self.doubted_anchor(*tries).cloned(),
                    limit,
                })
            }
        }
    }

    /// Bytes of memory that this would take with one more page.
    pub fn held_with(&self, page: &Page) -> usize {
        self.bytes.saturating_add(page.held_bytes())
    }

    /// Ends here, since no more can be held; what was taken stays.
    fn give_up(&mut self) {
        self.state = State::Done(Ended::PageLimit);
    }

    /// Takes the answer to [`Walk::next`].
    pub fn take(&mut self, page: Page) {
        if self.held_with(&page) > MOST_BYTES {
            return self.give_up();
        }
        self.pages += 1;
        let shows_last = self
            .order
            .last()
            .is_some_and(|last| page.order.contains(last));
        let empty = page.order.is_empty();
        // There is nothing to anchor on: the listing itself may be empty.
        let nothing_at_all = empty && self.order.is_empty();
        let after = page.after.clone();
        let added = self.add(page);
        // A listing that also says that it ends needs fewer witnesses.
        self.run = if after.is_none() && !empty {
            OLD_RUN_AT_END
        } else {
            OLD_RUN
        };
        self.state = if self.ground() <= self.reach {
            State::Done(Ended::Older)
        } else if self.pages >= MOST_PAGES {
            State::Done(Ended::PageLimit)
        } else {
            match (&self.state, after) {
                // More came, and more is promised.
                (_, Some(after)) if added => State::Down { after: Some(after) },
                // More came, and it is said to be the last.
                (_, None) if added => self.doubt(0, 1),
                (State::Doubt { tries, agreed }, None) if shows_last || nothing_at_all => {
                    if agreed + 1 >= END_LOOKS {
                        State::Done(self.end())
                    } else {
                        self.doubt(tries + 1, agreed + 1)
                    }
                }
                (State::Doubt { tries, .. }, _) => self.doubt(tries + 1, 0),
                // An empty page, or only what is known: the anchor vanished, or this is the end.
                _ => self.doubt(0, usize::from(nothing_at_all)),
            }
        };
    }

    /// Everything at least as new as this was listed, as far as the walk has come: one second after
    /// the newest creation time in the last run of items, `i64::MAX` before there are so many, and
    /// the beginning of time once the listing has shown its end.
    pub fn ground(&self) -> i64 {
        if let State::Done(Ended::End) = self.state {
            return i64::MIN;
        }
        let run = self
            .times
            .len()
            .checked_sub(self.run)
            .and_then(|start| self.times.get(start..));
        run.and_then(|run| run.iter().max())
            .map_or(i64::MAX, |newest| newest.saturating_add(1))
    }

    /// How far below the end of what was listed, in seconds, there may stand one that belongs above it:
    /// twice as far as any stood below its place, since the farthest need not be among those listed.
    pub fn disorder(&self) -> i64 {
        // Old items that reappear on top stand above their place, in ones and twos: the middle one of
        // those above knows of neither.
        let below = self.times.windows(OLD_RUN + 1).filter_map(|run| {
            let (item, above) = run.split_last()?;
            let mut above = above.to_vec();
            above.sort_unstable();
            Some(item - above[OLD_RUN / 2])
        });
        let farthest = below.max().unwrap_or(0);
        farthest.saturating_mul(2).clamp(0, MOST_DISORDER)
    }

    /// Submissions that are expected down to where the walk goes, at the pace of what was listed so far.
    pub fn expected(&self, served_at: i64) -> f64 {
        let Some(oldest) = self.times.iter().min() else {
            return 0.0;
        };
        let span = served_at.saturating_sub(*oldest).max(1);
        let reach = served_at.saturating_sub(self.reach);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let expected = self.times.len() as f64 * reach as f64 / span as f64;
        expected
    }

    /// Pages taken so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// What was listed, each once, in the listing's order.
    pub fn listed(&self) -> &[Observation] {
        &self.listed
    }

    /// What was listed of the subreddits that the listing is of.
    pub fn own(&self) -> impl DoubleEndedIterator<Item = &Observation> {
        self.listed.iter().filter(|item| self.is_own(item))
    }

    /// Whether it is of one of those.
    pub fn is_own(&self, item: &Observation) -> bool {
        let own = |name: &str| {
            let mut names = self.names.iter();
            names.any(|own| own.as_str().eq_ignore_ascii_case(name))
        };
        self.names.is_empty() || item.submission.subreddit.as_deref().is_some_and(own)
    }

    /// What was listed and could not be decoded.
    pub fn undecodable(&self) -> &[Undecodable] {
        &self.undecodable
    }

    fn add(&mut self, page: Page) -> bool {
        let known = self.order.len();
        for fullname in page.order {
            if self.seen.insert(fullname.clone()) {
                self.bytes += NAME_BYTES;
                self.order.push(fullname);
            }
        }
        self.place(page.unread, &page.items);
        let new: HashSet<&String> = self.order[known..].iter().collect();
        for item in page.items {
            if new.contains(&item.submission.id.fullname()) {
                self.bytes += item.held_bytes();
                if self.is_own(&item) {
                    self.times.push(item.submission.created_utc);
                }
                self.listed.push(item);
            }
        }
        let undecodable = page.undecodable.iter();
        self.bytes += undecodable.map(Undecodable::held_bytes).sum::<usize>();
        self.undecodable.extend(page.undecodable);
        self.order.len() > known
    }

    /// Notes where in a page there stood what cannot be read.
    fn place(&mut self, unread: Vec<(usize, Unread)>, items: &[Observation]) {
        if unread.is_empty() {
            return;
        }
        let own = items.iter().enumerate().filter(|(_, it)| self.is_own(it));
        let own: Vec<(usize, SubmissionId)> =
            own.map(|(at, it)| (at, it.submission.id.clone())).collect();
        let before = self.times.len();
        let placed = unread.into_iter();
        let placed = placed.map(|(place, it)| Placed::new(it, place, &own, before));
        self.unread.extend(placed);
    }

    /// What was listed and cannot be read though it may be a submission, each with the time (seconds) in
    /// which it was created.
    pub fn unread(&self) -> Vec<(Unread, Interval)> {
        times(&self.unread, self.own(), self.disorder())
    }

    /// The state of looking again for the `tries`-th time, unless looking has an end.
    fn doubt(&self, tries: usize, agreed: usize) -> State {
        if self.order.len() >= CAP_CERTAIN {
            State::Done(Ended::Cap)
        } else if tries >= RETRY_DISTANCES.len() {
            State::Done(Ended::AnchorVanished)
        } else {
            State::Doubt { tries, agreed }
        }
    }

    /// The anchor of a second look: some way before the end; the top where there is none.
    fn doubted_anchor(&self, tries: usize) -> Option<&String> {
        let back = RETRY_DISTANCES[tries.min(RETRY_DISTANCES.len() - 1)];
        let end = self.order.len();
        end.checked_sub(back + 1)
            .and_then(|index| self.order.get(index))
    }

    fn end(&self) -> Ended {
        if self.order.len() >= CAP_SUSPECTED {
            Ended::Cap
        } else {
            Ended::End
        }
    }
}

#[cfg(test)]
mod tests;
