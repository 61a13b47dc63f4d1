//! What the archive holds: everything that was ever public, as it was when first retrieved.
//!
//! A submission comes in once it has been listed and the archive's lag has passed, and never leaves
//! again, whatever Reddit or its author does to it later. What was held back and approved late comes
//! in late, at the place of its creation. Real objects are kept as they are.

use super::World;
use super::item::{Content, Item, Life};
use crate::simulator::content::{Appearance, Counts, Draft, Place, Rendered, render};
use crate::submission::{SubmissionId, SubredditName, fingerprint};
use std::fmt::Write as _;
use std::sync::Arc;

/// Scores are fetched anew after this time.
const SECOND_LOOK_MS: i64 = 36 * 3_600_000;
/// A submission is retrieved within so many milliseconds: before anyone could remove it.
const FIRST_LOOK_MS: i64 = 15_000;

/// Which submissions of a subreddit.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulator) struct Span {
    /// Created then or later, whole seconds since the epoch.
    pub(in crate::simulator) start: i64,
    /// Created before then.
    pub(in crate::simulator) end: i64,
}

/// A submission as the archive has it; cheap to make, so that the world is not held meanwhile.
pub(in crate::simulator) enum Kept {
    /// A real object.
    Object(Arc<Rendered>),
    /// A made-up one.
    Made(Box<Made>),
}

pub(in crate::simulator) struct Made {
    id: SubmissionId,
    draft: Draft,
    place: Place,
    created_utc: i64,
    counts: Counts,
    retrieved_on: i64,
    /// What the second look found, as JSON.
    meta: Option<String>,
}

impl Kept {
    /// Adds the object's text.
    pub(in crate::simulator) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Kept::Object(object) => out.extend_from_slice(object.text().as_bytes()),
            Kept::Made(made) => made.write(out),
        }
    }
}

impl Made {
    fn write(&self, out: &mut Vec<u8>) {
        let appearance = Appearance {
            created_utc: self.created_utc,
            ..Appearance::default()
        };
        render(&self.id, &self.draft, &self.place, appearance).write(self.counts, out);
        // The last brace is written again behind what the archive adds.
        out.truncate(out.len().saturating_sub(1));
        let meta = self.meta.as_deref().unwrap_or("{}");
        let added = format!(
            r#", "retrieved_on": {}, "_meta": {meta}}}"#,
            self.retrieved_on
        );
        out.extend_from_slice(added.as_bytes());
    }
}

impl World {
    /// What the archive has of a subreddit, by time of creation; nothing of one that it never saw.
    pub(in crate::simulator) fn archived(
        &self,
        subreddit: &SubredditName,
        span: Span,
        newest_first: bool,
        at_most: usize,
    ) -> Vec<Kept> {
        let kept = |item: &Item| self.kept(item);
        match newest_first {
            true => self
                .archive(subreddit, span)
                .rev()
                .take(at_most)
                .map(kept)
                .collect(),
            false => self
                .archive(subreddit, span)
                .take(at_most)
                .map(kept)
                .collect(),
        }
    }

    /// What the archive has of these, in the order asked for.
    pub(in crate::simulator) fn archived_by_id(&self, ids: &[SubmissionId]) -> Vec<Kept> {
        ids.iter()
            .filter_map(|id| self.find(id))
            .map(|index| &self.items[index])
            .filter(|item| self.is_archived(item))
            .map(|item| self.kept(item))
            .collect()
    }

    /// The ids of all that the archive has of a span, oldest first.
    pub(in crate::simulator) fn archive_truth(
        &self,
        subreddit: &SubredditName,
        span: Span,
    ) -> Vec<SubmissionId> {
        self.archive(subreddit, span)
            .map(|item| item.id.clone())
            .collect()
    }

    fn archive(
        &self,
        subreddit: &SubredditName,
        span: Span,
    ) -> impl DoubleEndedIterator<Item = &Item> {
        // What is too young is passed over as a whole, however long the lag is.
        let newest_utc = (self.now_ms.saturating_sub(self.archive_lag_ms)).div_euclid(1000);
        let end = span.end.min(newest_utc.saturating_add(1)).max(span.start);
        self.by_name
            .get(subreddit)
            .into_iter()
            .flat_map(move |&home| self.homes[home].seen.range((span.start, 0)..(end, 0)))
            .map(|&(_, index)| &self.items[index])
            .filter(|item| self.is_archived(item))
    }

    fn is_archived(&self, item: &Item) -> bool {
        self.seen_ms(item)
            .is_some_and(|seen_ms| seen_ms.saturating_add(self.archive_lag_ms) <= self.now_ms)
    }

    /// When the archive could first see it.
    fn seen_ms(&self, item: &Item) -> Option<i64> {
        let (listed_ms, _) = *item.listed.first()?;
        // What was there from the start on has been there since its creation.
        Some(if listed_ms <= self.started_ms {
            item.created_ms
        } else {
            listed_ms.max(item.created_ms)
        })
    }

    fn kept(&self, item: &Item) -> Kept {
        let draft = match &item.content {
            Content::Objects(objects) => return Kept::Object(Arc::clone(&objects[0])),
            Content::Made(draft) => draft,
        };
        let seen_ms = self.seen_ms(item).unwrap_or(item.created_ms);
        // By its id, so that it is the same whenever somebody looks.
        let pause_ms = i64::try_from(fingerprint(item.id.as_str()) % FIRST_LOOK_MS.unsigned_abs());
        let retrieved_ms = seen_ms + pause_ms.unwrap_or(0).min(self.archive_lag_ms);
        let second_ms = retrieved_ms + SECOND_LOOK_MS;
        let again = second_ms <= self.now_ms;
        let counts = if again {
            item.counts(second_ms, self.oddities.growing)
        } else {
            Counts {
                score: 1,
                comments: 0,
                upvote_percent: 100,
            }
        };
        Kept::Made(Box::new(Made {
            id: item.id.clone(),
            draft: Draft::clone(draft),
            place: self.home_of(item).place.clone(),
            created_utc: item.created_utc(),
            counts,
            retrieved_on: retrieved_ms.div_euclid(1000),
            meta: again.then(|| meta(item, second_ms)),
        }))
    }
}

/// What became of a submission between the two looks.
fn meta(item: &Item, second_ms: i64) -> String {
    let second_on = second_ms.div_euclid(1000);
    let mut json = format!(r#"{{"retrieved_2nd_on": {second_on}"#);
    let gone_ms = item.listed.last().and_then(|(_, until)| *until);
    if let Life::Removed(removal) = item.life
        && gone_ms.is_some_and(|gone_ms| gone_ms <= second_ms)
    {
        let by = removal.as_str();
        write!(
            json,
            r#", "removal_type": "{by}", "was_deleted_later": true"#
        )
        .expect("a string takes every character");
    }
    if item
        .edited_at
        .is_some_and(|edited_at| edited_at <= second_on)
    {
        json.push_str(r#", "is_edited": true"#);
    }
    json.push('}');
    json
}
