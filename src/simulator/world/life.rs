//! What can happen to a submission, and what that does to its listing.

use super::home::{Home, SubredditState};
use super::item::{Content, Item, Life, Popularity};
use super::{Event, World};
use crate::simulator::content::Draft;
use crate::simulator::removal::Removal;
use crate::submission::{Kind, SubmissionId, SubredditName};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// A held one is let in, at the place of its creation.
    Approve,
    Remove(Removal),
    /// A removed one is let in again, at the place where it was.
    Restore,
    /// It moves to the top.
    Resurface,
    Edit,
    /// Its author's account goes away.
    LoseAuthor,
}

/// A submission to make on command.
pub(in crate::simulator) struct Order {
    pub(in crate::simulator) subreddit: SubredditName,
    pub(in crate::simulator) id: Option<SubmissionId>,
    pub(in crate::simulator) created_ms: Option<i64>,
    pub(in crate::simulator) held: bool,
    pub(in crate::simulator) body: Body,
}

/// What a submission made on command consists of.
pub(in crate::simulator) enum Body {
    /// A made-up one of this kind; the function puts into the draft what was asked for.
    Made(Kind, Box<dyn FnOnce(&mut Draft)>),
    /// This text, served as it is.
    Object(Box<str>),
}

impl World {
    /// Puts an item into its home's listing, and opens its listed interval.
    pub(super) fn list(&mut self, index: usize, place_ms: i64, at_ms: i64) {
        let key = (place_ms, self.next_order());
        let item = &mut self.items[index];
        item.key = Some(key);
        item.listed.push((at_ms, None));
        let home = &mut self.homes[item.home];
        home.listing.insert(key, index);
        home.seen.insert((item.created_utc(), index));
    }

    /// Lets a change happen; whether it could.
    pub(super) fn change(&mut self, index: usize, change: Change, at_ms: i64) -> bool {
        let item = &mut self.items[index];
        let was = item.life;
        match (change, was) {
            (Change::Approve, Life::Held) => {
                item.life = Life::Public;
                let created_ms = item.created_ms;
                self.list(index, created_ms, at_ms);
            }
            (Change::Remove(removal), Life::Held | Life::Public) => {
                item.life = Life::Removed(removal);
                if let Some((_, until @ None)) = item.listed.last_mut() {
                    *until = Some(at_ms);
                }
            }
            (Change::Restore, Life::Removed(_)) => {
                item.life = Life::Public;
                if item.key.is_some() {
                    item.listed.push((at_ms, None));
                } else {
                    let created_ms = item.created_ms;
                    self.list(index, created_ms, at_ms);
                }
            }
            (Change::Resurface, Life::Public) => {
                let Some(old) = item.key else {
                    return false;
                };
                let home = item.home;
                let key = (at_ms, self.next_order());
                self.homes[home].listing.remove(old);
                self.homes[home].listing.insert(key, index);
                self.items[index].key = Some(key);
            }
            (Change::Edit, Life::Held | Life::Public) if item.is_made() => {
                item.edited_at = Some(at_ms.div_euclid(1000));
            }
            (Change::LoseAuthor, _) if item.is_made() && !item.author_gone => {
                item.author_gone = true;
            }
            _ => return false,
        }
        self.items[index].changed();
        true
    }

    /// Makes a submission now; nothing where the id is taken.
    pub(in crate::simulator) fn publish(&mut self, order: Order) -> Option<SubmissionId> {
        let now_ms = self.now_ms;
        let created_ms = order.created_ms.unwrap_or(now_ms);
        let home = self.home(&order.subreddit);
        let number = self.next_id(now_ms);
        let id = order.id.unwrap_or_else(|| World::text_id(number));
        let seed = self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (content, popularity) = match order.body {
            Body::Object(text) => (Content::objects(vec![text]), Popularity::default()),
            Body::Made(kind, ask) => {
                let mut draft = Draft::new(seed, kind);
                draft.relative_url = self.oddities.relative_urls;
                ask(&mut draft);
                let popularity = Popularity::random(&mut Item::fate(seed));
                (Content::Made(Box::new(draft)), popularity)
            }
        };
        let mut item = Item::new(id.clone(), home, created_ms, content);
        item.popularity = popularity;
        if order.held {
            item.life = Life::Held;
        }
        let index = self.insert(item)?;
        if !order.held {
            self.list(index, created_ms, now_ms);
        }
        Some(id)
    }

    /// Edits a made-up submission now, with this text or one of its own; whether it could.
    pub(in crate::simulator) fn edit(&mut self, item: usize, text: Option<String>) -> bool {
        let edited = self.change(item, Change::Edit, self.now_ms);
        if edited && let Some(text) = text {
            self.items[item].edited_text = Some(text.into());
        }
        edited
    }

    pub(in crate::simulator) fn remove(&mut self, item: usize, removal: Removal) -> bool {
        self.change(item, Change::Remove(removal), self.now_ms)
    }

    /// Lets a removed submission in again: where it was, or on top.
    pub(in crate::simulator) fn restore(&mut self, item: usize, on_top: bool) -> bool {
        let now_ms = self.now_ms;
        let restored = self.change(item, Change::Restore, now_ms);
        if restored && on_top {
            self.change(item, Change::Resurface, now_ms);
        }
        restored
    }

    pub(in crate::simulator) fn approve(&mut self, item: usize) -> bool {
        self.change(item, Change::Approve, self.now_ms)
    }

    pub(in crate::simulator) fn lose_author(&mut self, item: usize) -> bool {
        self.change(item, Change::LoseAuthor, self.now_ms)
    }

    pub(in crate::simulator) fn resurface(&mut self, item: usize) -> bool {
        self.change(item, Change::Resurface, self.now_ms)
    }

    /// Keeps a submission out of `/api/info` until then (world time, milliseconds).
    pub(in crate::simulator) fn hide_from_info(&mut self, item: usize, until_ms: i64) {
        self.items[item].info_from_ms = until_ms;
    }

    /// Makes a subreddit where there is none, or changes how many submissions it gets.
    pub(in crate::simulator) fn set_rate(&mut self, name: &SubredditName, per_hour: f64) {
        let home = self.home(name);
        let idle = self.homes[home].rate_per_ms <= 0.0;
        self.homes[home].set_rate(per_hour);
        if idle && !self.has_arrival(home) {
            self.plan_arrival(home, self.now_ms);
        }
    }

    fn has_arrival(&self, home: usize) -> bool {
        self.agenda
            .iter()
            .any(|std::cmp::Reverse(due)| due.event == Event::Arrival(home))
    }

    /// Changes whom a subreddit lets in; whether there is one.
    pub(in crate::simulator) fn set_state(
        &mut self,
        name: &SubredditName,
        state: SubredditState,
    ) -> bool {
        let Some(&home) = self.by_name.get(name) else {
            return false;
        };
        self.homes[home].state = state;
        true
    }

    pub(in crate::simulator) fn state(&self, name: &SubredditName) -> Option<&SubredditState> {
        let home = self.by_name.get(name)?;
        Some(&self.homes[*home].state)
    }

    pub(super) fn home_of(&self, item: &Item) -> &Home {
        &self.homes[item.home]
    }
}
