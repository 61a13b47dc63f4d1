//! Observations on their way into columns: one for each id, with a hash of its content, and free of
//! what a column cannot hold.

use super::Status;
use crate::submission::{Observation, Submission};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;

/// Half of a SHA-256: nobody can make two different objects that count as the same.
pub(super) type Hash = [u8; 16];

pub(super) fn hash(raw: &RawValue) -> Hash {
    let mut half = Hash::default();
    half.copy_from_slice(&Sha256::digest(raw.get().as_bytes())[..16]);
    half
}

/// Objects nested deeper are kept as undecodable: Postgres' parser of JSON is recursive and refuses
/// a few thousand levels, which would cost the whole batch. Reddit's own objects nest about ten.
pub(super) const DEEPEST: usize = 500;

/// Whether an object nests too deep for every engine.
pub(super) fn too_deep(raw: &RawValue) -> bool {
    let json = raw.get().as_bytes();
    let opening = |byte: &&u8| matches!(byte, b'{' | b'[');
    // Counting is far cheaper than parsing, and nearly always enough.
    if json.iter().filter(opening).count() <= DEEPEST {
        return false;
    }
    let (mut depth, mut deepest, mut text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEEPEST
}

/// The longest text that an index entry holds with certainty. No subreddit's name is a tenth as
/// long; a longer text in that field is left to the raw object.
const LONGEST_SUBREDDIT: usize = 255;

/// One row's worth of an observation.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// Its place in the batch.
    pub index: usize,
    pub fields: Cow<'a, Submission>,
    pub raw: &'a RawValue,
    pub hash: Hash,
    pub observed_ms: i64,
    /// Whether a text lost a NUL.
    pub nul_stripped: bool,
}

impl Content<'_> {
    pub fn id(&self) -> &str {
        self.fields.id.as_str()
    }

    /// The subreddit's name as every table but `submissions` writes it.
    pub fn subreddit(&self) -> Option<String> {
        self.fields
            .subreddit
            .as_deref()
            .map(str::to_ascii_lowercase)
    }
}

/// What a batch comes down to.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// The newest observation of each id, ordered by id, so that all transactions take their locks
    /// in one order.
    pub newest: Vec<Content<'a>>,
    /// Places of the others.
    pub superseded: Vec<usize>,
    /// Places of those that nest too deep.
    pub too_deep: Vec<usize>,
}

/// Prepares a batch; `strip_nul` for an engine whose text cannot hold U+0000.
pub(super) fn prepare(observations: &[Observation], strip_nul: bool) -> Batch<'_> {
    let mut batch = Batch::default();
    let mut newest: HashMap<&str, usize> = HashMap::with_capacity(observations.len());
    for (index, observation) in observations.iter().enumerate() {
        if too_deep(&observation.raw) {
            batch.too_deep.push(index);
            continue;
        }
        let place = newest
            .entry(observation.submission.id.as_str())
            .or_insert(index);
        if *place != index {
            let older = if observations[*place].observed_ms <= observation.observed_ms {
                std::mem::replace(place, index)
            } else {
                index
            };
            batch.superseded.push(older);
        }
    }
    batch.newest = newest
        .into_values()
        .map(|index| content(index, &observations[index], strip_nul))
        .collect();
    batch.newest.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    batch
}

fn content(index: usize, observation: &Observation, strip_nul: bool) -> Content<'_> {
    let mut fields = Cow::Borrowed(&observation.submission);
    let subreddit = fields.subreddit.as_ref();
    if subreddit.is_some_and(|name| name.len() > LONGEST_SUBREDDIT) {
        fields.to_mut().subreddit = None;
    }
    let nul_stripped = strip_nul && texts(&fields).into_iter().flatten().any(has_nul);
    if nul_stripped {
        strip(fields.to_mut());
    }
    Content {
        index,
        fields,
        raw: &observation.raw,
        hash: hash(&observation.raw),
        observed_ms: observation.observed_ms,
        nul_stripped,
    }
}

fn has_nul(text: &String) -> bool {
    text.as_bytes().contains(&0)
}

fn texts(fields: &Submission) -> [&Option<String>; 9] {
    [
        &fields.subreddit,
        &fields.author,
        &fields.title,
        &fields.selftext,
        &fields.url,
        &fields.permalink,
        &fields.domain,
        &fields.link_flair_text,
        &fields.removed_by,
    ]
}

fn strip(fields: &mut Submission) {
    let texts = [
        &mut fields.subreddit,
        &mut fields.author,
        &mut fields.title,
        &mut fields.selftext,
        &mut fields.url,
        &mut fields.permalink,
        &mut fields.domain,
        &mut fields.link_flair_text,
        &mut fields.removed_by,
    ];
    for text in texts.into_iter().flatten() {
        text.retain(|character| character != '\0');
    }
}

/// What is stored about an id.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub status: Status,
    pub observed_ms: i64,
    pub hash: Vec<u8>,
}

/// By how much the counters change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deltas {
    pub discovered: i64,
    pub fetched: i64,
    pub unavailable: i64,
    pub undecodable: i64,
    pub fetches: i64,
}

impl Deltas {
    pub fn is_zero(&self) -> bool {
        let Deltas {
            discovered,
            fetched,
            unavailable,
            undecodable,
            fetches,
        } = *self;
        [discovered, fetched, unavailable, undecodable, fetches] == [0; 5]
    }

    /// A row comes into being, or goes from one status to another.
    pub fn moves(&mut self, from: Option<Status>, to: Status) {
        if let Some(from) = from {
            *self.of(from) -= 1;
        }
        *self.of(to) += 1;
    }

    fn of(&mut self, status: Status) -> &mut i64 {
        match status {
            Status::Discovered => &mut self.discovered,
            Status::Fetched => &mut self.fetched,
            Status::Unavailable => &mut self.unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: String) -> Box<RawValue> {
        RawValue::from_string(json).unwrap()
    }

    #[test]
    fn depth_is_counted_outside_of_texts_only() {
        let nested = |depth: usize| raw(format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(!too_deep(&nested(DEEPEST)));
        assert!(too_deep(&nested(DEEPEST + 1)));
        assert!(!too_deep(&raw(format!(
            "[\"\\\"{}\"]",
            "[{".repeat(DEEPEST)
        ))));
        assert!(!too_deep(&raw(format!("[{}[]]", "[],".repeat(DEEPEST)))));
    }
}
