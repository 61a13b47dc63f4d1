//! The domain: a submission as Reddit shows it, and an observation of one.
//!
//! Owns the meaning of every field and the decoding of real payloads of all generations. Knows no
//! network, no database and no clock.

mod completeness;
mod decode;
mod entities;
mod fields;
mod fingerprint;
mod identity;
mod lenient;
mod names;
mod refusal;
mod unread;

pub use completeness::{Completeness, Shown};
pub use decode::{Undecodable, decode, decode_archived, made_up};
pub use fingerprint::fingerprint;
pub use names::{InvalidName, SubmissionId, SubredditName};
pub use refusal::Refusal;
pub use unread::Unread;

use serde_json::value::RawValue;

/// Where the demo's simulated Reddit posts regularly, so that it can be seen whether submissions come
/// through.
pub const HEARTBEAT_SUBREDDIT: &str = "freshet_heartbeat";

/// A submission's typed fields: what the columns of `submissions` hold.
///
/// A field is `None` where the payload leaves it out, holds `null`, or holds something of a type
/// that this field has never had; the raw object keeps what was there.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Base 36, without `t3_`.
    pub id: SubmissionId,
    /// The display name, in Reddit's own spelling (`AskReddit`); promoted items have none.
    pub subreddit: Option<String>,
    /// Account name; `[deleted]` once the account or the author's claim to it is gone.
    pub author: Option<String>,
    /// May be empty, hold newlines, or be any script.
    pub title: Option<String>,
    /// Markdown; empty for links; `[removed]` or `[deleted]` after a removal.
    pub selftext: Option<String>,
    /// May be relative (crossposts) or empty.
    pub url: Option<String>,
    /// Path below the site, with slashes at both ends.
    pub permalink: Option<String>,
    /// `self.rust`, `i.redd.it`, …
    pub domain: Option<String>,
    /// Whole seconds since the epoch.
    pub created_utc: i64,
    /// Up- minus downvotes; listings never show less than zero.
    pub score: Option<i64>,
    /// Number of comments.
    pub num_comments: Option<i64>,
    /// 0 to 1; absent before mid-2020.
    pub upvote_ratio: Option<f64>,
    /// Adult content.
    pub over_18: Option<bool>,
    /// Marked as a spoiler.
    pub spoiler: Option<bool>,
    /// Pinned to the top of its subreddit.
    pub stickied: Option<bool>,
    /// Closed to comments.
    pub locked: Option<bool>,
    /// A text post.
    pub is_self: Option<bool>,
    /// Flair as shown.
    pub link_flair_text: Option<String>,
    /// Whether it was edited; very old posts say `true` without a time.
    pub edited: Option<bool>,
    /// When it was edited, whole seconds since the epoch.
    pub edited_at: Option<i64>,
    /// Who removed it: `moderator`, `reddit`, `automod_filtered`, `deleted`, `author`, …
    pub removed_by: Option<String>,
    /// What it is, derived from the fields above and a few that have no column.
    pub kind: Kind,
}

/// What a submission is; the `kind` label of `freshet_submissions_stored_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A text post.
    SelfPost,
    /// A link to elsewhere.
    Link,
    /// One picture.
    Image,
    /// A video hosted by Reddit or embedded.
    Video,
    /// Several pictures.
    Gallery,
    /// A poll.
    Poll,
    /// Another submission, posted again.
    Crosspost,
}

impl Kind {
    /// Every kind, in a fixed order.
    pub const ALL: [Kind; 7] = [
        Kind::SelfPost,
        Kind::Link,
        Kind::Image,
        Kind::Video,
        Kind::Gallery,
        Kind::Poll,
        Kind::Crosspost,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::SelfPost => "self",
            Kind::Link => "link",
            Kind::Image => "image",
            Kind::Video => "video",
            Kind::Gallery => "gallery",
            Kind::Poll => "poll",
            Kind::Crosspost => "crosspost",
        }
    }
}

/// One submission as it was seen at one moment.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The typed fields.
    pub submission: Submission,
    /// The object as Reddit sent it, byte for byte.
    pub raw: Box<RawValue>,
    /// When the answer that held it was asked for, milliseconds since the epoch. The moment of
    /// asking, not of answering: of two overlapping requests, the later asked is surely not older
    /// than the earlier answered.
    pub observed_ms: i64,
}

/// What one item takes beside its texts: the allocations of its fields and its place in maps.
const ITEM_OVERHEAD: usize = 512;

impl Observation {
    /// Bytes of memory that this takes, rather too many than too few: a page of tiny objects takes far
    /// more than its text.
    pub fn held_bytes(&self) -> usize {
        let it = &self.submission;
        let texts = [
            &it.subreddit,
            &it.author,
            &it.title,
            &it.selftext,
            &it.url,
            &it.permalink,
            &it.domain,
            &it.link_flair_text,
            &it.removed_by,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::capacity).sum();
        size_of::<Observation>() + ITEM_OVERHEAD + self.raw.get().len() + texts
    }
}
