//! Listings: the order of `/new`, its cap, and what an anchor means.
//!
//! As in Reddit's code, a subreddit's listing is a list of at most 1,000 ids. A removed submission
//! keeps its place among them without being shown, so fewer may be visible.

use super::item::{Item, Life, View};
use super::{SubredditState, World};
use crate::submission::{SubmissionId, SubredditName};
use std::collections::{BTreeMap, BinaryHeap};

/// A place: larger stands higher. Milliseconds since the epoch, and a number that tells equals apart.
pub(super) type Key = (i64, u64);

#[derive(Default)]
pub(super) struct Listing {
    places: BTreeMap<Key, usize>,
    /// The lowest place within the cap, until something changes.
    floor: Option<Key>,
}

impl Listing {
    pub(super) fn insert(&mut self, key: Key, item: usize) {
        self.places.insert(key, item);
        self.floor = None;
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.places.remove(&key);
        self.floor = None;
    }

    /// The lowest place that still counts.
    fn floor(&mut self, cap: usize) -> Key {
        if self.places.len() <= cap {
            return (i64::MIN, 0);
        }
        *self.floor.get_or_insert_with(|| {
            self.places
                .keys()
                .rev()
                .nth(cap.saturating_sub(1))
                .copied()
                .unwrap_or((i64::MIN, 0))
        })
    }
}

/// Where a page begins.
#[derive(Debug, Clone)]
pub(in crate::simulator) enum Anchor {
    /// At the top; also where the anchor given is no submission.
    Top,
    /// Below this one.
    After(SubmissionId),
    /// Just above this one.
    Before(SubmissionId),
}

/// What a page is asked with.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct PageRequest {
    pub(in crate::simulator) anchor: Anchor,
    pub(in crate::simulator) limit: usize,
}

/// A page of one or several listings, or why there is none.
pub(in crate::simulator) enum Page {
    /// Newest first.
    Views(Vec<View>),
    /// This is what the subreddit is instead of public, and its name.
    Closed(SubredditName, SubredditState),
    /// Several names, and none exists.
    NoneExists,
}

impl World {
    /// A page of `/r/{names}/new`.
    pub(in crate::simulator) fn page(&mut self, names: &[&str], request: &PageRequest) -> Page {
        let homes = match self.members(names) {
            Ok(homes) => homes,
            Err(page) => return page,
        };
        let (bound, newer) = match &request.anchor {
            Anchor::Top => (None, false),
            Anchor::After(id) | Anchor::Before(id) => match self.place(&homes, id) {
                Place::Unknown => (None, false),
                Place::Vanished => return Page::Views(Vec::new()),
                Place::At(key) => (Some(key), matches!(request.anchor, Anchor::Before(_))),
            },
        };
        let mut found = self.select(&homes, bound, newer, request.limit);
        if newer {
            found.reverse();
        }
        let views = found
            .into_iter()
            .map(|item| self.view(item, true))
            .collect();
        Page::Views(views)
    }

    /// The homes that a listing's names stand for.
    fn members(&self, names: &[&str]) -> Result<Vec<usize>, Page> {
        if let &["all" | "popular"] = names {
            let public = |home: &usize| self.homes[*home].is_public();
            return Ok((0..self.homes.len()).filter(public).collect());
        }
        let mut homes = Vec::with_capacity(names.len());
        for name in names {
            let known = name.parse::<SubredditName>().ok();
            let Some(&home) = known.and_then(|name| self.by_name.get(&name)) else {
                continue;
            };
            let member = &self.homes[home];
            // What does not exist (any more under this name) is left out without a word.
            let missing = matches!(
                member.state,
                SubredditState::Gone | SubredditState::Renamed(_)
            );
            let lenient = names.len() > 1 && (missing || self.oddities.lenient_multis);
            if member.is_public() {
                if !homes.contains(&home) {
                    homes.push(home);
                }
            } else if !lenient {
                return Err(Page::Closed(member.name.clone(), member.state.clone()));
            }
        }
        if homes.is_empty() {
            return Err(match names.first().and_then(|name| name.parse().ok()) {
                Some(name) if names.len() == 1 => Page::Closed(name, SubredditState::Gone),
                _ => Page::NoneExists,
            });
        }
        Ok(homes)
    }

    fn place(&mut self, homes: &[usize], id: &SubmissionId) -> Place {
        let Some(index) = self.find(id) else {
            return Place::Unknown;
        };
        let item = &self.items[index];
        let hidden = item.life != Life::Public;
        let home = item.home;
        match item.key {
            Some(_) if hidden && self.oddities.vanished_anchors => Place::Vanished,
            Some(key)
                if homes.contains(&home) && key >= self.homes[home].listing.floor(self.cap) =>
            {
                Place::At(key)
            }
            _ => Place::Vanished,
        }
    }

    /// Up to `limit` visible items on one side of a place, nearest to it first.
    fn select(
        &mut self,
        homes: &[usize],
        bound: Option<Key>,
        newer: bool,
        limit: usize,
    ) -> Vec<usize> {
        let cap = self.cap;
        let floors: Vec<Key> = homes
            .iter()
            .map(|home| self.homes[*home].listing.floor(cap))
            .collect();
        // The heap holds each member's next place; which is nearest depends on the direction.
        let mut walks: Vec<Box<dyn Iterator<Item = (Key, usize)> + '_>> = Vec::new();
        for (home, floor) in homes.iter().zip(floors) {
            let places = &self.homes[*home].listing.places;
            let pair = |(key, item): (&Key, &usize)| (*key, *item);
            walks.push(match (bound, newer) {
                (Some(bound), true) => Box::new(
                    places
                        .range(bound.max(floor)..)
                        .skip_while(move |(key, _)| **key <= bound)
                        .map(pair),
                ),
                (Some(bound), false) if floor < bound => {
                    Box::new(places.range(floor..bound).rev().map(pair))
                }
                (Some(_), false) => Box::new(std::iter::empty()),
                (None, _) => Box::new(places.range(floor..).rev().map(pair)),
            });
        }
        // Not negation: the lowest of all times has no negative.
        let rank = |key: Key| if newer { (!key.0, !key.1) } else { key };
        let mut heap: BinaryHeap<(Key, usize, usize)> = BinaryHeap::new();
        for (walk, places) in walks.iter_mut().enumerate() {
            if let Some((key, item)) = places.next() {
                heap.push((rank(key), walk, item));
            }
        }
        let mut found = Vec::with_capacity(limit);
        while found.len() < limit
            && let Some((_, walk, item)) = heap.pop()
        {
            if self.items[item].life == Life::Public {
                found.push(item);
            }
            if let Some((key, item)) = walks[walk].next() {
                heap.push((rank(key), walk, item));
            }
        }
        found
    }

    /// What `/api/info` gives out for these ids, in their order; the others are left out.
    pub(in crate::simulator) fn info(&mut self, ids: &[SubmissionId]) -> Vec<View> {
        let mut views = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(index) = self.find(id) else {
                continue;
            };
            let item = &self.items[index];
            if self.home_of(item).is_public() && shown(item, self.now_ms) {
                views.push(self.view(index, false));
            }
        }
        views
    }

    /// `data` of `/r/{name}/about`, for a public subreddit.
    pub(in crate::simulator) fn about(&self, name: &SubredditName) -> Option<serde_json::Value> {
        let home = &self.homes[*self.by_name.get(name)?];
        let place = &home.place;
        Some(serde_json::json!({
            "display_name": place.display,
            "display_name_prefixed": format!("r/{}", place.display),
            "name": place.fullname,
            "id": place.fullname.trim_start_matches("t5_"),
            "title": place.display,
            "url": format!("/r/{}/", place.display),
            "subscribers": place.subscribers,
            "subreddit_type": "public",
            "over18": false,
            "quarantine": false,
            "created_utc": 1_300_000_000.0,
            "public_description": "A made-up subreddit of a simulated Reddit.",
            "lang": "en",
        }))
    }
}

enum Place {
    /// No submission at all.
    Unknown,
    /// A submission that the listing no longer holds.
    Vanished,
    At(Key),
}

/// Held ones and those left out are not given out; removed ones are, unless they cannot show it.
fn shown(item: &Item, now_ms: i64) -> bool {
    let hidden = match item.life {
        Life::Held => true,
        Life::Removed(_) => !item.is_made(),
        Life::Public => false,
    };
    !hidden && item.info_from_ms <= now_ms
}
