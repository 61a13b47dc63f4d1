//! The simulated Reddit's state, and how it changes with time.
//!
//! A discrete-event simulation: what will happen stands in an agenda, and [`World::advance_to`]
//! lets everything due happen in order. So the state at a moment depends on the seed and on the
//! commands given, never on when or how often someone looked. Knows nothing of HTTP.

mod archive;
mod arrivals;
mod heartbeat;
mod home;
mod item;
mod life;
mod listing;
mod rhythm;
mod truth;

pub(super) use archive::{Kept, Span};
pub use home::SubredditState;
pub(super) use item::View;
pub(super) use life::{Body, Order};
pub(super) use listing::{Anchor, Page, PageRequest};
pub use truth::Truth;

use super::content::base36;
use super::corpus::CorpusMode;
use super::options::{Ids, SimulatorOptions};
use crate::submission::{SubmissionId, SubredditName};
use home::Home;
use item::{Content, Item};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Items whose objects are kept once they were asked for: about 100 MB of text. Those of others are made
/// anew, so that a world which is looked at for weeks does not grow by all that it ever showed.
const MOST_RENDERED: usize = 25_000;

/// Stands for all subreddits of [`Ids::rest_per_second`].
const REST: &str = "everything_else";

/// Everything there is, at one moment of world time.
pub(super) struct World {
    seed: u64,
    oddities: super::oddities::Oddities,
    /// How many ids one subreddit's listing holds.
    cap: usize,
    homes: Vec<Home>,
    by_name: HashMap<SubredditName, usize>,
    items: Vec<Item>,
    by_id: HashMap<SubmissionId, usize>,
    /// Items that keep their objects, the first to lose its own first, and how many there may be.
    rendered: VecDeque<usize>,
    most_rendered: usize,
    agenda: BinaryHeap<Reverse<Due>>,
    /// Tells things due in the same millisecond apart, and listing places too.
    order: u64,
    last_id: u64,
    ids: Ids,
    /// Which of the counter's ids are left out.
    unused: ChaCha8Rng,
    /// Objects of the corpus that have not appeared yet, the next one last.
    coming: Vec<super::corpus::Object>,
    corpus_gap_ms: f64,
    corpus_next_ms: f64,
    /// Where one is posted regularly, and after how many milliseconds the next.
    heartbeat: Option<(SubredditName, i64)>,
    /// When the history ended, world time in milliseconds.
    started_ms: i64,
    rhythm: rhythm::Rhythm,
    /// How far the archive is behind, milliseconds.
    archive_lag_ms: i64,
    now_ms: i64,
}

/// Something that will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at_ms: i64,
    order: u64,
    event: Event,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A submission is made in this home.
    Arrival(usize),
    /// The corpus's next object appears.
    CorpusArrival,
    /// A heartbeat is posted.
    Heartbeat,
    /// Something happens to a submission.
    Life(usize, life::Change),
}

impl World {
    /// The world at `starts_at_ms`, its history behind it.
    pub(super) fn new(options: SimulatorOptions, starts_at_ms: i64) -> World {
        let begins_at_ms = options.begins_at_ms(starts_at_ms);
        let mut world = World {
            seed: options.seed,
            oddities: options.oddities,
            cap: match options.listing_cap {
                0 => usize::MAX,
                cap => cap,
            },
            homes: Vec::new(),
            by_name: HashMap::new(),
            items: Vec::new(),
            by_id: HashMap::new(),
            rendered: VecDeque::new(),
            most_rendered: MOST_RENDERED,
            agenda: BinaryHeap::new(),
            order: 0,
            last_id: 0,
            ids: options.ids,
            unused: ChaCha8Rng::seed_from_u64(options.seed),
            coming: Vec::new(),
            corpus_gap_ms: 0.0,
            corpus_next_ms: 0.0,
            heartbeat: None,
            started_ms: starts_at_ms,
            rhythm: rhythm::Rhythm::new(options.steady, options.bursts, starts_at_ms),
            archive_lag_ms: super::clock::millis(options.archive.lag),
            now_ms: begins_at_ms,
        };
        for (name, per_hour) in options.subreddits {
            let home = world.home(&name);
            world.homes[home].set_rate(per_hour);
            world.plan_arrival(home, world.now_ms);
        }
        if let Some((corpus, mode)) = options.corpus {
            world.add_corpus(corpus, mode, starts_at_ms);
        }
        world.advance_to(starts_at_ms);
        if options.ids.rest_per_second > 0.0 {
            let home = world.home(&REST.parse().expect("it is a valid name"));
            world.homes[home].set_rate(options.ids.rest_per_second * 3_600.0);
            world.plan_arrival(home, starts_at_ms);
        }
        if let Some((name, every)) = options.heartbeat {
            world.start_heartbeat(name, every);
        }
        world
    }

    fn add_corpus(&mut self, corpus: super::corpus::Corpus, mode: CorpusMode, starts_at_ms: i64) {
        let mut objects = corpus.objects;
        objects.sort_by_key(|object| object.created_utc);
        match mode {
            CorpusMode::Listed => {
                for object in objects {
                    let place_ms = object.created_utc.saturating_mul(1000);
                    self.add_object(object, place_ms, starts_at_ms);
                }
            }
            CorpusMode::Arriving { per_second } => {
                for object in &objects {
                    self.home(&object.route);
                }
                objects.reverse();
                self.coming = objects;
                self.corpus_gap_ms = 1000.0 / per_second.max(f64::MIN_POSITIVE);
                #[expect(clippy::cast_precision_loss, reason = "milliseconds fit 53 bits")]
                {
                    self.corpus_next_ms = starts_at_ms as f64;
                }
                self.plan_corpus_arrival();
            }
        }
    }

    fn plan_corpus_arrival(&mut self) {
        if !self.coming.is_empty() {
            self.corpus_next_ms += self.corpus_gap_ms;
            #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
            self.plan(self.corpus_next_ms as i64, Event::CorpusArrival);
        }
    }

    fn add_object(&mut self, object: super::corpus::Object, place_ms: i64, at_ms: i64) {
        let home = self.home(&object.route);
        let (id, created_utc) = (object.id.clone(), object.created_utc);
        let content = Content::objects(object.into_texts());
        let item = Item::new(id, home, created_utc.saturating_mul(1000), content);
        if let Some(item) = self.insert(item) {
            self.list(item, place_ms, at_ms);
        }
    }

    /// Lets everything happen that is due until then. Time never goes back.
    pub(super) fn advance_to(&mut self, now_ms: i64) {
        while self
            .agenda
            .peek()
            .is_some_and(|Reverse(due)| due.at_ms <= now_ms)
        {
            let Some(Reverse(due)) = self.agenda.pop() else {
                break;
            };
            self.now_ms = self.now_ms.max(due.at_ms);
            match due.event {
                Event::Arrival(home) => self.arrive(home, due.at_ms),
                Event::CorpusArrival => {
                    if let Some(object) = self.coming.pop() {
                        self.add_object(object, due.at_ms, due.at_ms);
                    }
                    self.plan_corpus_arrival();
                }
                Event::Heartbeat => self.beat(due.at_ms),
                Event::Life(item, change) => {
                    // What no longer fits (an edit after a removal) falls away.
                    let _fitted = self.change(item, change, due.at_ms);
                }
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    fn plan(&mut self, at_ms: i64, event: Event) {
        let order = self.next_order();
        self.agenda.push(Reverse(Due {
            at_ms,
            order,
            event,
        }));
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// The home of this name, made where there is none.
    fn home(&mut self, name: &SubredditName) -> usize {
        if let Some(&home) = self.by_name.get(name) {
            return home;
        }
        let home = self.homes.len();
        self.homes.push(Home::new(name.clone(), self.seed));
        self.by_name.insert(name.clone(), home);
        home
    }

    /// Adds an item that is in no listing yet; nothing where its id is taken.
    fn insert(&mut self, item: Item) -> Option<usize> {
        let index = self.items.len();
        match self.by_id.entry(item.id.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => None,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(index);
                self.items.push(item);
                Some(index)
            }
        }
    }

    /// The next id at a moment: ids grow with time as they do on Reddit, and always grow.
    fn next_id(&mut self, at_ms: i64) -> u64 {
        // An id and its time, from recorded traffic; and the mean rate of 2026-01.
        const KNOWN_ID: i64 = 3_983_689_053; // 1tvsa59
        const KNOWN_MS: i64 = 1_780_499_467_000;
        const PER_SECOND: i64 = 17;
        let by_time = KNOWN_ID + (at_ms - KNOWN_MS) / 1000 * PER_SECOND;
        let mut next = self.last_id + 1;
        if !self.ids.counter || self.last_id == 0 {
            next = next.max(u64::try_from(by_time).unwrap_or(0));
        }
        while self.ids.unused > 0.0 && self.unused.random_bool(self.ids.unused.min(0.9)) {
            next += 1;
        }
        self.last_id = next;
        next
    }

    fn text_id(number: u64) -> SubmissionId {
        base36(number)
            .parse()
            .expect("base 36 of 64 bits is a valid id")
    }

    /// The item of an id.
    pub(super) fn find(&self, id: &SubmissionId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// World time, milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// An item as it is served now; whether by a listing or by `/api/info`.
    fn view(&mut self, index: usize, listed: bool) -> View {
        let (now_ms, growing) = (self.now_ms, self.oddities.growing);
        let item = &mut self.items[index];
        let place = &self.homes[item.home].place;
        let kept = item.keeps_object();
        let view = if listed {
            item.listed_view(place, now_ms, growing)
        } else {
            item.info_view(place, now_ms, growing)
        };
        if !kept && item.keeps_object() {
            self.rendered.push_back(index);
            if self.rendered.len() > self.most_rendered
                && let Some(first) = self.rendered.pop_front()
            {
                self.items[first].changed();
            }
        }
        view
    }

    /// How many submissions there are, visible or not.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Every subreddit's name, in the order of making.
    pub(super) fn names(&self) -> impl Iterator<Item = &SubredditName> {
        self.homes.iter().map(|home| &home.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_is_made_again_on_the_same_day_has_the_same_past() {
        const HOUR_MS: i64 = 3_600_000;
        let options = || SimulatorOptions {
            whole_days: true,
            history: std::time::Duration::from_secs(8 * 3_600),
            oddities: crate::simulator::Oddities::realistic(),
            ..SimulatorOptions::world(1, 5, 30.0)
        };
        let noon = 1_780_012_800_000 - 1_780_012_800_000 % (24 * HOUR_MS) + 12 * HOUR_MS;
        let past = |world: &World| -> Vec<(SubmissionId, i64)> {
            let items = world.items.iter();
            items
                .map(|item| (item.id.clone(), item.created_ms))
                .collect()
        };
        // One goes on, the other is made an hour later.
        let mut first = World::new(options(), noon);
        let before = past(&first);
        first.advance_to(noon + HOUR_MS);
        let second = World::new(options(), noon + HOUR_MS);
        assert!(before.len() > 500, "{}", before.len());
        assert!(past(&first).len() > before.len());
        assert_eq!(past(&first), past(&second));
    }

    #[test]
    fn what_was_shown_long_ago_is_made_anew_byte_for_byte_and_takes_no_memory_meanwhile() {
        let mut world = World::new(SimulatorOptions::world(1, 3, 60.0), 1_780_000_000_000);
        world.most_rendered = 5;
        let count = world.len();
        assert!(count > 50, "{count}");
        let kept = |world: &World| {
            world
                .items
                .iter()
                .filter(|item| item.keeps_object())
                .count()
        };
        let look = |world: &mut World| -> Vec<String> {
            let mut texts = Vec::new();
            for index in 0..count {
                let view = world.view(index, index % 2 == 0);
                texts.push(view.object.text().to_owned());
                assert!(kept(world) <= 5);
            }
            texts
        };
        let first = look(&mut world);
        assert_eq!(kept(&world), 5);
        assert_eq!(look(&mut world), first);
    }
}
