//! An object's text with holes for the numbers that grow.
//!
//! Writes JSON the way Reddit does: a space after `:` and `,`, and nothing but ASCII.

use std::fmt::Write as _;
use std::io::Write as _;

/// The numbers of a submission at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct Counts {
    pub(in crate::simulator) score: i64,
    pub(in crate::simulator) comments: i64,
    /// Upvotes out of a hundred votes.
    pub(in crate::simulator) upvote_percent: u8,
}

#[derive(Debug, Clone, Copy)]
enum Hole {
    Score,
    Comments,
    UpvoteRatio,
}

/// An object as it is served, but for its counts.
#[derive(Debug)]
pub(in crate::simulator) struct Rendered {
    text: Box<str>,
    holes: Box<[(u32, Hole)]>,
}

impl Rendered {
    /// A text without holes, served byte for byte.
    pub(in crate::simulator) fn fixed(text: Box<str>) -> Rendered {
        Rendered {
            text,
            holes: Box::default(),
        }
    }

    /// The text, its holes closed.
    pub(in crate::simulator) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text is served as it came.
    pub(in crate::simulator) fn is_fixed(&self) -> bool {
        self.holes.is_empty()
    }

    /// An upper bound of the bytes that [`Rendered::write`] adds.
    pub(in crate::simulator) fn len(&self) -> usize {
        self.text.len() + self.holes.len() * 20
    }

    /// Adds the object with these counts.
    pub(in crate::simulator) fn write(&self, counts: Counts, out: &mut Vec<u8>) {
        let bytes = self.text.as_bytes();
        let mut done = 0;
        for &(at, hole) in &self.holes {
            let at = at as usize;
            out.extend_from_slice(&bytes[done..at]);
            done = at;
            let written = match hole {
                Hole::Score => write!(out, "{}", counts.score),
                Hole::Comments => write!(out, "{}", counts.comments),
                Hole::UpvoteRatio => write!(out, "{}", ratio(counts.upvote_percent)),
            };
            written.expect("a vector takes every byte");
        }
        out.extend_from_slice(&bytes[done..]);
    }
}

/// `0.97`, `0.9`, `1.0`: how Python prints such a float.
fn ratio(percent: u8) -> String {
    match percent {
        100.. => "1.0".to_owned(),
        percent if percent % 10 == 0 => format!("0.{}", percent / 10),
        percent => format!("0.{percent:02}"),
    }
}

/// Collects the fields of one object.
pub(super) struct ObjectWriter {
    text: String,
    holes: Vec<(u32, Hole)>,
}

impl ObjectWriter {
    pub(super) fn new() -> ObjectWriter {
        ObjectWriter {
            text: String::with_capacity(3072),
            holes: Vec::with_capacity(4),
        }
    }

    fn key(&mut self, key: &str) {
        self.text
            .push_str(if self.text.is_empty() { "{\"" } else { ", \"" });
        self.text.push_str(key);
        self.text.push_str("\": ");
    }

    /// A field whose value is JSON already.
    pub(super) fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push_str(value);
    }

    /// Fields that share one literal value.
    pub(super) fn all(&mut self, keys: &[&str], value: &str) {
        for key in keys {
            self.json(key, value);
        }
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(value, &mut self.text);
    }

    /// A string with an escape inserted before its end that no Rust string can hold.
    pub(super) fn string_with(&mut self, key: &str, value: &str, escape: &str) {
        self.string(key, value);
        self.text.insert_str(self.text.len() - 1, escape);
    }

    pub(super) fn string_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(key, value),
            None => self.json(key, "null"),
        }
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.json(key, if value { "true" } else { "false" });
    }

    pub(super) fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        write!(self.text, "{value}").expect("a string takes every character");
    }

    pub(super) fn score(&mut self, key: &str) {
        self.hole(key, Hole::Score);
    }

    pub(super) fn comments(&mut self, key: &str) {
        self.hole(key, Hole::Comments);
    }

    pub(super) fn upvote_ratio(&mut self, key: &str) {
        self.hole(key, Hole::UpvoteRatio);
    }

    fn hole(&mut self, key: &str, hole: Hole) {
        self.key(key);
        // No object reaches four gigabytes; one that did would lose its later holes, not its text.
        if let Ok(at) = u32::try_from(self.text.len()) {
            self.holes.push((at, hole));
        }
    }

    pub(super) fn finish(mut self) -> Rendered {
        self.text
            .push_str(if self.text.is_empty() { "{}" } else { "}" });
        Rendered {
            text: self.text.into_boxed_str(),
            holes: self.holes.into_boxed_slice(),
        }
    }
}

/// Adds `text` as a JSON string, in ASCII.
pub(in crate::simulator) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if matches!(character, ' '..='~') && !matches!(character, '"' | '\\') {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + character.len_utf8();
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string takes every character");
                }
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_quoting_in_ascii() {
        for text in [
            "",
            "plain",
            "a\"b\\c\nd\te\u{1}",
            "naïve – 😀 <b>&amp;",
            "\u{7f}",
        ] {
            let mut json = String::new();
            quote(text, &mut json);
            assert!(json.is_ascii());
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn counts_are_set_into_their_holes() {
        let mut object = ObjectWriter::new();
        object.score("score");
        object.string("title", "x");
        object.comments("num_comments");
        object.upvote_ratio("upvote_ratio");
        let rendered = object.finish();
        let write = |score, comments, upvote_percent| {
            let mut out = Vec::new();
            rendered.write(
                Counts {
                    score,
                    comments,
                    upvote_percent,
                },
                &mut out,
            );
            assert!(out.len() <= rendered.len());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            write(12, 3, 97),
            r#"{"score": 12, "title": "x", "num_comments": 3, "upvote_ratio": 0.97}"#
        );
        assert!(write(0, 0, 100).ends_with("1.0}"));
        assert!(write(0, 0, 90).ends_with("0.9}"));
        assert!(write(0, 0, 5).ends_with("0.05}"));
    }
}
