//! What a submission says, before anything happens to it.

use super::words;
use crate::submission::Kind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A field of a type that it seldom has; all of them but [`OddType::AuthorNull`] occur in recorded traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum OddType {
    CreatedText,
    CreatedInteger,
    EditedTrue,
    ReportsNegative,
    PollFalse,
    /// Libraries stop at it, and Reddit says `[deleted]`.
    AuthorNull,
    UrlNull,
    RatioInteger,
    ScoreNull,
}

impl OddType {
    pub(in crate::simulator) const ALL: [OddType; 9] = [
        OddType::CreatedText,
        OddType::CreatedInteger,
        OddType::EditedTrue,
        OddType::ReportsNegative,
        OddType::PollFalse,
        OddType::AuthorNull,
        OddType::UrlNull,
        OddType::RatioInteger,
        OddType::ScoreNull,
    ];
}

/// An escape in the text that databases or Rust strings cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum OddText {
    Nul,
    LoneSurrogate,
}

impl OddText {
    pub(super) fn escape(self) -> &'static str {
        match self {
            OddText::Nul => "\\u0000",
            OddText::LoneSurrogate => "\\ud83d",
        }
    }
}

/// What a submission is made from. Small: the text itself is drawn from `seed` when it is needed.
#[derive(Debug, Clone)]
pub(in crate::simulator) struct Draft {
    pub(in crate::simulator) seed: u64,
    pub(in crate::simulator) kind: Kind,
    pub(in crate::simulator) odd_type: Option<OddType>,
    pub(in crate::simulator) odd_text: Option<OddText>,
    /// Whether a crosspost's `url` is a path.
    pub(in crate::simulator) relative_url: bool,
    /// What was asked for instead of what the seed says.
    pub(in crate::simulator) title: Option<Box<str>>,
    pub(in crate::simulator) selftext: Option<Box<str>>,
    pub(in crate::simulator) author: Option<Box<str>>,
    pub(in crate::simulator) over_18: Option<bool>,
}

impl Draft {
    pub(in crate::simulator) fn new(seed: u64, kind: Kind) -> Draft {
        Draft {
            seed,
            kind,
            odd_type: None,
            odd_text: None,
            relative_url: false,
            title: None,
            selftext: None,
            author: None,
            over_18: None,
        }
    }

    /// A kind, as often as each is posted.
    pub(in crate::simulator) fn random_kind(rng: &mut ChaCha8Rng) -> Kind {
        match rng.random_range(0..100) {
            0..46 => Kind::SelfPost,
            46..64 => Kind::Image,
            64..79 => Kind::Link,
            79..88 => Kind::Video,
            88..95 => Kind::Gallery,
            95..97 => Kind::Poll,
            _ => Kind::Crosspost,
        }
    }

    /// The text that the seed says, with what was asked for in its place.
    pub(super) fn words(&self) -> Words {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let title = words::title(&mut rng);
        let author = words::author(&mut rng);
        // Many are a line or two, a few run to pages.
        let sentences = match rng.random_range(0..20) {
            0..3 => 0,
            3..13 => rng.random_range(1..5),
            13..19 => rng.random_range(5..16),
            _ => rng.random_range(16..120),
        };
        let drawn = words::text(&mut rng, sentences);
        let selftext = match (&self.selftext, self.kind) {
            (Some(text), _) => text.to_string(),
            (None, Kind::SelfPost | Kind::Poll) => drawn,
            (None, _) => String::new(),
        };
        Words {
            title: self.title.as_deref().map_or(title, str::to_owned),
            author: self.author.as_deref().map_or(author, str::to_owned),
            selftext,
            over_18: self.over_18.unwrap_or_else(|| rng.random_bool(0.06)),
            spoiler: rng.random_bool(0.02),
            stickied: rng.random_bool(0.003),
            locked: rng.random_bool(0.02),
            link_flair: rng.random_bool(0.45).then(|| words::flair(&mut rng)),
            author_flair: rng.random_bool(0.12).then(|| words::slug(&mut rng)),
            account: rng.random_range(60_000_000..3_000_000_000_000),
            rng,
        }
    }
}

/// A draft's text, and the generator to draw the rest from.
pub(super) struct Words {
    pub(super) title: String,
    pub(super) author: String,
    pub(super) selftext: String,
    pub(super) over_18: bool,
    pub(super) spoiler: bool,
    pub(super) stickied: bool,
    pub(super) locked: bool,
    pub(super) link_flair: Option<&'static str>,
    pub(super) author_flair: Option<String>,
    /// The number in the account's `t2_` name.
    pub(super) account: u64,
    pub(super) rng: ChaCha8Rng,
}
