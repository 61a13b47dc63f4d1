//! Observations on their way into columns: one for each id, with a hash of its content, and free of
//! what a column cannot hold.

use super::Status;
use super::lasting::{fill, lasting};
use super::submissions::Part;
use crate::submission::{Completeness, Observation, Submission};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Half of a SHA-256: nobody can make two different objects that count as the same.
pub(super) type Hash = [u8; 16];

pub(super) fn hash(raw: &RawValue) -> Hash {
    let mut half = Hash::default();
    half.copy_from_slice(&Sha256::digest(raw.get().as_bytes())[..16]);
    half
}

/// What is nested deeper is stored as a string of its JSON: parsers are recursive, and Postgres' refuses a few
/// thousand levels, SQLite's one thousand. Reddit's own objects nest about ten.
const DEEPEST: usize = 500;

/// An object as every engine takes it.
fn shallow(raw: &RawValue) -> Cow<'_, RawValue> {
    if !too_deep(raw) {
        return Cow::Borrowed(raw);
    }
    let json = raw.get();
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let (mut depth, mut text, mut escaped, mut copied) = (0_usize, false, false, 0);
    for (at, byte) in json.bytes().enumerate() {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (false, b'{' | b'[') => {
                if depth == DEEPEST {
                    out.push_str(&json[copied..at]);
                    copied = at;
                }
                depth += 1;
            }
            (false, b'}' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == DEEPEST {
                    let inner = serde_json::to_string(&json[copied..=at]);
                    out.push_str(&inner.unwrap_or_else(|_| "null".to_owned()));
                    copied = at + 1;
                }
            }
            _ => {}
        }
    }
    out.push_str(&json[copied..]);
    RawValue::from_string(out).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// Whether an object nests too deep for every engine.
fn too_deep(raw: &RawValue) -> bool {
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

/// One row's worth of observations: the copy that is the most complete, and what was seen last.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// The place in the batch of what was seen last.
    pub index: usize,
    /// What the author wrote as the copy shows it; the rest as seen last.
    pub fields: Cow<'a, Submission>,
    /// The copy, as deep as is stored.
    pub raw: Cow<'a, RawValue>,
    pub hash: Hash,
    pub content_ms: i64,
    pub completeness: Completeness,
    /// What was seen last; mostly the copy itself.
    pub seen_raw: Cow<'a, RawValue>,
    pub seen_hash: Hash,
    pub observed_ms: i64,
    /// Whether what was seen last shows a removal.
    pub removed: bool,
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

    /// Whether the copy is what was seen last.
    pub fn is_one(&self) -> bool {
        self.hash == self.seen_hash
    }

    /// Which of the columns it has that every submission has, one bit each.
    pub fn has(&self) -> i32 {
        lasting(&self.fields)
    }

    /// When the copy was seen, as a statement that writes this part stores it.
    pub fn stored_content_ms(&self, part: Part) -> Option<i64> {
        (part != Part::All || !self.is_one()).then_some(self.content_ms)
    }

    /// What was seen last, as a statement that writes this part stores it: where it is not the copy.
    pub fn stored_removal(&self, part: Part) -> Option<(&Hash, &RawValue)> {
        (part != Part::All || !self.is_one()).then_some((&self.seen_hash, self.seen_raw.as_ref()))
    }

    /// Bytes of its long texts: what a statement copies, rather less than more.
    pub fn text_bytes(&self) -> usize {
        let texts = [&self.fields.title, &self.fields.selftext, &self.fields.url];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let removal = if self.is_one() {
            0
        } else {
            self.seen_raw.get().len()
        };
        texts + self.raw.get().len() + removal
    }

    /// When it was last seen removed.
    pub fn removed_ms(&self) -> Option<i64> {
        self.removed.then_some(self.observed_ms)
    }
}

/// Texts of one statement, but for a single row: drivers copy them, some twice.
const STATEMENT_BYTES: usize = 2 << 20;

/// Whether one statement may carry these rows.
pub(super) fn fit_one_statement(rows: &[&Content<'_>]) -> bool {
    rows.len() <= 1 || rows.iter().map(|row| row.text_bytes()).sum::<usize>() <= STATEMENT_BYTES
}

/// The rows in parts for one statement each, of `most` rows at most.
pub(super) fn by_statement<'c, 'a>(
    mut rows: &'c [&'c Content<'a>],
    most: usize,
) -> impl Iterator<Item = &'c [&'c Content<'a>]> {
    std::iter::from_fn(move || {
        let (mut count, mut bytes) = (0, 0);
        for row in rows.iter().take(most) {
            bytes += row.text_bytes();
            if count > 0 && bytes > STATEMENT_BYTES {
                break;
            }
            count += 1;
        }
        let (part, rest) = rows.split_at_checked(count)?;
        rows = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// What a batch comes down to.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// What was observed of each id, ordered by id, so that all transactions take their locks in one
    /// order.
    pub newest: Vec<Content<'a>>,
    /// Places of the others.
    pub superseded: Vec<usize>,
}

impl Batch<'_> {
    /// Places of the newest observations of these ids, ascending.
    pub fn places_of(&self, ids: &HashSet<String>) -> Vec<usize> {
        let rows = self.newest.iter().filter(|row| ids.contains(row.id()));
        let mut places: Vec<usize> = rows.map(|row| row.index).collect();
        places.sort_unstable();
        places
    }
}

/// Of one id in a batch: the place of what was seen last, and of the most complete copy.
#[derive(Clone, Copy)]
struct Places {
    seen: usize,
    copy: usize,
}

/// Prepares a batch; `strip_nul` for an engine whose text cannot hold U+0000.
pub(super) fn prepare(observations: &[Observation], strip_nul: bool) -> Batch<'_> {
    let mut batch = Batch::default();
    let mut places: HashMap<&str, Places> = HashMap::with_capacity(observations.len());
    let completeness = |place: usize| {
        let observation = &observations[place];
        (
            observation.submission.completeness(),
            observation.observed_ms,
        )
    };
    for (index, observation) in observations.iter().enumerate() {
        let place = places
            .entry(observation.submission.id.as_str())
            .or_insert(Places {
                seen: index,
                copy: index,
            });
        if place.seen == index {
            continue;
        }
        if completeness(place.copy) <= completeness(index) {
            place.copy = index;
        }
        let older = if observations[place.seen].observed_ms <= observation.observed_ms {
            std::mem::replace(&mut place.seen, index)
        } else {
            index
        };
        batch.superseded.push(older);
    }
    let mut others: HashMap<&str, Vec<&Observation>> = HashMap::new();
    for place in &batch.superseded {
        let other = &observations[*place];
        let id = other.submission.id.as_str();
        others.entry(id).or_default().push(other);
    }
    for others in others.values_mut() {
        others.sort_by_key(|other| Reverse(other.observed_ms));
    }
    batch.newest = places
        .into_iter()
        .map(|(id, places)| {
            let others = others.get(id).map_or(&[][..], Vec::as_slice);
            content(places, observations, others, strip_nul)
        })
        .collect();
    batch.newest.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    batch
}

/// `others` of the same id may have what the copy leaves out.
fn content<'a>(
    places: Places,
    observations: &'a [Observation],
    others: &[&Observation],
    strip_nul: bool,
) -> Content<'a> {
    let (copy, seen) = (&observations[places.copy], &observations[places.seen]);
    let mut fields = Cow::Borrowed(&copy.submission);
    if places.copy != places.seen {
        let fields = fields.to_mut();
        let Submission {
            // What an author or a removal changes is the copy's.
            id: _,
            subreddit: _,
            author: _,
            title: _,
            selftext: _,
            url: _,
            permalink: _,
            domain: _,
            created_utc: _,
            is_self: _,
            edited: _,
            edited_at: _,
            kind: _,
            score,
            num_comments,
            upvote_ratio,
            over_18,
            spoiler,
            stickied,
            locked,
            link_flair_text,
            removed_by,
        } = seen.submission.clone();
        fields.score = score;
        fields.num_comments = num_comments;
        fields.upvote_ratio = upvote_ratio;
        fields.over_18 = over_18;
        fields.spoiler = spoiler;
        fields.stickied = stickied;
        fields.locked = locked;
        fields.link_flair_text = link_flair_text;
        fields.removed_by = removed_by;
    }
    for other in [seen].into_iter().chain(others.iter().copied()) {
        let other = &other.submission;
        if lasting(other) & !lasting(&fields) != 0
            && other.completeness() == copy.submission.completeness()
        {
            fill(fields.to_mut(), other);
        }
    }
    let subreddit = fields.subreddit.as_ref();
    if subreddit.is_some_and(|name| name.len() > LONGEST_SUBREDDIT) {
        fields.to_mut().subreddit = None;
    }
    let nul_stripped = strip_nul && texts(&fields).into_iter().flatten().any(has_nul);
    if nul_stripped {
        strip(fields.to_mut());
    }
    let copy_hash = hash(&copy.raw);
    Content {
        index: places.seen,
        fields,
        raw: shallow(&copy.raw),
        hash: copy_hash,
        content_ms: copy.observed_ms,
        completeness: copy.submission.completeness(),
        seen_raw: shallow(&seen.raw),
        seen_hash: if places.copy == places.seen {
            copy_hash
        } else {
            hash(&seen.raw)
        },
        observed_ms: seen.observed_ms,
        removed: !seen.submission.completeness().is_whole(),
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

/// By how much the counters change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deltas {
    pub discovered: i64,
    pub fetched: i64,
    pub unavailable: i64,
    pub undecodable: i64,
    pub undecodable_bytes: i64,
    pub fetches: i64,
}

impl Deltas {
    pub fn is_zero(&self) -> bool {
        let Deltas {
            discovered,
            fetched,
            unavailable,
            undecodable,
            undecodable_bytes,
            fetches,
        } = *self;
        [
            discovered,
            fetched,
            unavailable,
            undecodable,
            undecodable_bytes,
            fetches,
        ] == [0; 6]
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

    #[test]
    fn what_is_nested_too_deep_becomes_a_string_of_itself() {
        let nested = |levels: usize, inner: &str| {
            let (open, close) = (r#"{"a":["]}","#, "]}");
            format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
        };
        let half = DEEPEST / 2;
        let fits = raw(nested(half, "7"));
        assert_eq!(shallow(&fits).get(), fits.get());
        for inner in [nested(1, "7"), nested(90_000, r#""\"é""#), "[]".to_owned()] {
            let deep = raw(nested(half, &format!("{inner},{inner}")));
            let text = serde_json::to_string(&inner).unwrap();
            let expected = nested(half, &format!("{text},{text}"));
            assert_eq!(shallow(&deep).get(), expected);
        }
    }
}
