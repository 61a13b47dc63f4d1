//! How submissions come: a Poisson process for each subreddit, busier by day than by night.

use super::item::{Content, Item, Life, Popularity};
use super::life::Change;
use super::{Event, World};
use crate::simulator::content::{Draft, OddText, OddType};
use crate::simulator::removal::Removal;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SECOND_MS: f64 = 1_000.0;
const MINUTE_MS: f64 = 60.0 * SECOND_MS;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const DAY_MS: f64 = 24.0 * HOUR_MS;
/// How many the `equal_timestamps` oddity adds to one at most: several pages of a search.
const MOST_TOGETHER: u32 = 300;

/// Where more objects than these have odd types, that is asked for, and some are as no real one is.
const MOST_REAL: f64 = 0.05;

impl World {
    /// Puts a home's next arrival on the agenda.
    pub(super) fn plan_arrival(&mut self, home: usize, from_ms: i64) {
        let place = &mut self.homes[home];
        let most = place.rate_per_ms * self.rhythm.most();
        if most <= 0.0 {
            return;
        }
        // Thinning: candidates at the highest rate, each kept as often as its hour is busy.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit 53 bits")]
        let mut at = from_ms as f64;
        loop {
            at += -place.rng.random_range(f64::MIN_POSITIVE..1.0).ln() / most;
            if place.rng.random_range(0.0..self.rhythm.most()) < self.rhythm.at(at, place.busiest) {
                break;
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        self.plan(at.ceil() as i64, Event::Arrival(home));
    }

    /// Makes a submission, and decides what will become of it.
    pub(super) fn arrive(&mut self, home: usize, at_ms: i64) {
        let seed = self.homes[home].rng.next_u64();
        self.plan_next(home, at_ms, seed);
        let mut fate = Item::fate(seed);
        let draft = self.draft(seed, &mut fate);
        let id = self.id_for(at_ms, &mut fate);
        let is_text = draft.kind == crate::submission::Kind::SelfPost;
        let mut item = Item::new(id, home, at_ms, Content::Made(Box::new(draft)));
        item.popularity = Popularity::random(&mut fate);
        item.info_from_ms = self.info_from(at_ms, &mut fate);
        let place_ms = self.place_for(at_ms, &mut fate);
        let late = fate.random_bool(self.oddities.late);
        if late {
            item.life = Life::Held;
        }
        let Some(index) = self.insert(item) else {
            return;
        };
        let listed_at_ms = if late {
            let listed_at_ms = at_ms + spread(&mut fate, MINUTE_MS, 6.0 * HOUR_MS);
            self.plan(listed_at_ms, Event::Life(index, Change::Approve));
            listed_at_ms
        } else {
            self.list(index, place_ms, at_ms);
            at_ms
        };
        self.plan_fate(index, listed_at_ms, is_text, &mut fate);
    }

    /// Puts what comes after an arrival on the agenda: at the same time, or after a pause.
    fn plan_next(&mut self, home: usize, at_ms: i64, seed: u64) {
        // A generator of its own: where the oddity is off, every world stays what it is.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(2);
        let place = &mut self.homes[home];
        if place.together < MOST_TOGETHER && rng.random_bool(self.oddities.equal_timestamps) {
            place.together += 1;
            self.plan(at_ms, Event::Arrival(home));
        } else {
            place.together = 0;
            self.plan_arrival(home, at_ms);
        }
    }

    fn draft(&self, seed: u64, fate: &mut ChaCha8Rng) -> Draft {
        let kind = Draft::random_kind(fate);
        let mut draft = Draft::new(seed, kind);
        draft.relative_url = self.oddities.relative_urls;
        // Drawn whether needed or not: one switch must not change what another draws.
        let (odd_type, odd_text) = (
            fate.random_range(0..OddType::ALL.len()),
            fate.random_bool(0.5),
        );
        draft.odd_type = fate
            .random_bool(self.oddities.odd_types)
            .then(|| OddType::ALL[odd_type])
            .filter(|it| *it != OddType::AuthorNull || self.oddities.odd_types > MOST_REAL);
        draft.odd_text = fate
            .random_bool(self.oddities.odd_text)
            .then_some(if odd_text {
                OddText::Nul
            } else {
                OddText::LoneSurrogate
            });
        draft
    }

    /// Mostly the next id; that of weeks ago for what was scheduled.
    fn id_for(&mut self, at_ms: i64, fate: &mut ChaCha8Rng) -> crate::submission::SubmissionId {
        let scheduled = fate.random_bool(self.oddities.scheduled);
        let weeks_of_ids = fate.random_range(10_000_000..60_000_000);
        let next = self.next_id(at_ms);
        if scheduled {
            let old = World::text_id(next.saturating_sub(weeks_of_ids));
            if self.find(&old).is_none() {
                return old;
            }
        }
        World::text_id(next)
    }

    /// Where it stands: at its time, or some seconds off.
    fn place_for(&self, at_ms: i64, fate: &mut ChaCha8Rng) -> i64 {
        let reordered = fate.random_bool(self.oddities.reordered);
        let off_ms = fate.random_range(1_000..120_000);
        if reordered { at_ms - off_ms } else { at_ms }
    }

    fn info_from(&self, at_ms: i64, fate: &mut ChaCha8Rng) -> i64 {
        let never = fate.random_bool(self.oddities.info_omits);
        let later = fate.random_bool(self.oddities.info_delays);
        let delay_ms = spread(fate, MINUTE_MS, 30.0 * MINUTE_MS);
        match (never, later) {
            (true, _) => i64::MAX,
            (false, true) => at_ms + delay_ms,
            (false, false) => i64::MIN,
        }
    }

    fn plan_fate(&mut self, item: usize, from_ms: i64, is_text: bool, fate: &mut ChaCha8Rng) {
        let removal = match fate.random_range(0..100) {
            0..50 => Removal::Reddit,
            50..84 => Removal::Moderator,
            84..98 => Removal::AutomodFiltered,
            98 => Removal::CopyrightTakedown,
            _ => Removal::AntiEvilOps,
        };
        let removed_ms = from_ms + spread(fate, 20.0 * SECOND_MS, DAY_MS);
        let restored_ms = removed_ms + spread(fate, 5.0 * MINUTE_MS, 12.0 * HOUR_MS);
        let others = [
            (
                self.oddities.deleted,
                Change::Remove(Removal::Deleted),
                DAY_MS,
            ),
            (self.oddities.authors_gone, Change::LoseAuthor, 3.0 * DAY_MS),
            (self.oddities.resurfaced, Change::Resurface, 2.0 * DAY_MS),
            (
                if is_text { self.oddities.edited } else { 0.0 },
                Change::Edit,
                DAY_MS,
            ),
        ];
        let removed = fate.random_bool(self.oddities.removed);
        let restored = fate.random_bool(self.oddities.restored);
        if removed {
            self.plan(removed_ms, Event::Life(item, Change::Remove(removal)));
        }
        if removed && restored {
            self.plan(restored_ms, Event::Life(item, Change::Restore));
        }
        for (chance, change, longest_ms) in others {
            let happens = fate.random_bool(chance);
            let at_ms = from_ms + spread(fate, MINUTE_MS, longest_ms);
            if happens {
                self.plan(at_ms, Event::Life(item, change));
            }
        }
    }
}

/// A delay between two bounds, as often a short as a long one on a logarithmic scale.
fn spread(rng: &mut ChaCha8Rng, least_ms: f64, most_ms: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "at most days")]
    let delay_ms = rng.random_range(least_ms.ln()..most_ms.ln()).exp() as i64;
    delay_ms
}
