//! One submission: what never changes of it, and what has become of it.

use super::listing::Key;
use crate::simulator::content::{Appearance, Counts, Draft, Place, Rendered, render};
use crate::simulator::removal::Removal;
use crate::submission::{Kind, SubmissionId, decode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::value::RawValue;
use std::sync::Arc;

pub(super) struct Item {
    pub(super) id: SubmissionId,
    pub(super) home: usize,
    /// Milliseconds since the epoch; objects show whole seconds.
    pub(super) created_ms: i64,
    pub(super) content: Content,
    pub(super) life: Life,
    pub(super) author_gone: bool,
    /// Whole seconds since the epoch.
    pub(super) edited_at: Option<i64>,
    pub(super) edited_text: Option<Box<str>>,
    pub(super) popularity: Popularity,
    /// World time until which `/api/info` leaves it out; `i64::MAX` is for ever.
    pub(super) info_from_ms: i64,
    /// Its place in its home's listing, which it keeps while it is hidden.
    pub(super) key: Option<Key>,
    /// When it stood in the listing: from, until (open while it does), milliseconds.
    pub(super) listed: Vec<(i64, Option<i64>)>,
    rendered: Option<Arc<Rendered>>,
}

pub(super) enum Content {
    Made(Box<Draft>),
    /// Served as they are: the first in listings, the last in `/api/info`. Never empty.
    Objects(Vec<Arc<Rendered>>),
}

impl Content {
    pub(super) fn objects(texts: Vec<Box<str>>) -> Content {
        let objects = texts.into_iter().map(Rendered::fixed).map(Arc::new);
        Content::Objects(objects.collect())
    }
}

/// Whether one may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Waits for a moderator.
    Held,
    Public,
    Removed(Removal),
}

/// How its numbers grow.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Popularity {
    score: u32,
    comments: u32,
    /// The time in which about two thirds of the votes come, seconds.
    pace_s: u32,
    upvote_percent: u8,
}

impl Popularity {
    pub(super) fn random(rng: &mut ChaCha8Rng) -> Popularity {
        // Most get little; one in some thousands gets tens of thousands.
        let luck: f64 = rng.random_range(0.0..1.0);
        let score = (0.6 / (1.0 - luck).powf(1.05)).min(90_000.0);
        let talk: f64 = rng.random_range(0.05..0.6);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and positive"
        )]
        Popularity {
            score: score as u32,
            comments: (score * talk + rng.random_range(0.0..6.0)) as u32,
            pace_s: rng.random_range(1_800..30_000),
            upvote_percent: rng.random_range(55..=100),
        }
    }

    fn counts(self, age_ms: i64, growing: bool) -> Counts {
        let share = if growing {
            #[expect(clippy::cast_precision_loss, reason = "ages are small")]
            let paces = age_ms.max(0) as f64 / 1000.0 / f64::from(self.pace_s.max(1));
            1.0 - (-paces).exp()
        } else {
            1.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 90,000")]
        let grown = |last: u32| (f64::from(last) * share) as i64;
        Counts {
            score: 1 + grown(self.score),
            comments: grown(self.comments),
            upvote_percent: self.upvote_percent,
        }
    }
}

/// A submission as it is served at one moment.
pub(in crate::simulator) struct View {
    pub(in crate::simulator) id: SubmissionId,
    pub(in crate::simulator) object: Arc<Rendered>,
    pub(in crate::simulator) counts: Counts,
}

impl Item {
    pub(super) fn new(id: SubmissionId, home: usize, created_ms: i64, content: Content) -> Item {
        Item {
            id,
            home,
            created_ms,
            content,
            life: Life::Public,
            author_gone: false,
            edited_at: None,
            edited_text: None,
            popularity: Popularity::default(),
            info_from_ms: i64::MIN,
            key: None,
            listed: Vec::new(),
            rendered: None,
        }
    }

    pub(super) fn is_made(&self) -> bool {
        matches!(self.content, Content::Made(_))
    }

    /// Whole seconds since the epoch.
    pub(super) fn created_utc(&self) -> i64 {
        self.created_ms.div_euclid(1000)
    }

    /// Whether its object takes memory that it could do without.
    pub(super) fn keeps_object(&self) -> bool {
        self.rendered.is_some()
    }

    /// Must follow every change of what the object shows.
    pub(super) fn changed(&mut self) {
        self.rendered = None;
    }

    /// As a listing shows it.
    pub(super) fn listed_view(&mut self, place: &Place, now_ms: i64, growing: bool) -> View {
        let object = match &self.content {
            Content::Objects(objects) => Arc::clone(&objects[0]),
            Content::Made(_) => self.object(place),
        };
        self.view(object, now_ms, growing)
    }

    /// As `/api/info` shows it.
    pub(super) fn info_view(&mut self, place: &Place, now_ms: i64, growing: bool) -> View {
        let object = self.object(place);
        self.view(object, now_ms, growing)
    }

    /// Its numbers at a moment.
    pub(super) fn counts(&self, at_ms: i64, growing: bool) -> Counts {
        let age_ms = at_ms.saturating_sub(self.created_ms);
        self.popularity.counts(age_ms, growing)
    }

    fn view(&self, object: Arc<Rendered>, now_ms: i64, growing: bool) -> View {
        View {
            id: self.id.clone(),
            object,
            counts: self.counts(now_ms, growing),
        }
    }

    /// The latest state's object; what is made is kept until [`Item::changed`].
    fn object(&mut self, place: &Place) -> Arc<Rendered> {
        let draft = match (&self.content, &self.rendered) {
            (Content::Objects(objects), _) => return Arc::clone(&objects[objects.len() - 1]),
            (Content::Made(_), Some(object)) => return Arc::clone(object),
            (Content::Made(draft), None) => draft,
        };
        let appearance = Appearance {
            created_utc: self.created_utc(),
            edited_at: self.edited_at,
            edited_text: self.edited_text.as_deref(),
            author_gone: self.author_gone,
            removal: match self.life {
                Life::Removed(removal) => Some(removal),
                Life::Held | Life::Public => None,
            },
        };
        let object = Arc::new(render(&self.id, draft, place, appearance));
        self.rendered = Some(Arc::clone(&object));
        object
    }

    /// What kind it is; objects that cannot be decoded are links.
    pub(super) fn kind(&self) -> Kind {
        match &self.content {
            Content::Made(draft) => draft.kind,
            Content::Objects(objects) => objects
                .last()
                .and_then(|object| RawValue::from_string(object.text().to_owned()).ok())
                .and_then(|raw| decode(raw, 0).ok())
                .map_or(Kind::Link, |seen| seen.submission.kind),
        }
    }

    /// A generator for what happens to it, apart from the one for what it says.
    pub(super) fn fate(seed: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        rng
    }
}
