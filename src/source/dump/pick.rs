//! Which lines can be of one subreddit, told without parsing them.

use crate::submission::SubredditName;
use memchr::memmem::Finder;

const KEY: &[u8] = br#""subreddit""#;

/// Looks for one subreddit's lines.
pub(super) struct Picker {
    key: Finder<'static>,
    name: SubredditName,
}

impl Picker {
    pub(super) fn new(name: &SubredditName) -> Picker {
        Picker {
            key: Finder::new(KEY),
            name: name.clone(),
        }
    }

    pub(super) fn name(&self) -> &SubredditName {
        &self.name
    }

    /// Whether the line must be parsed: it may be of the subreddit, or is no whole object that tells
    /// one. The objects that it holds (what a crosspost shows) may be of another.
    pub(super) fn worth_parsing(&self, line: &[u8]) -> bool {
        if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
            return true;
        }
        let mut told = false;
        let mut rest = line;
        while let Some(at) = self.key.find(rest) {
            rest = &rest[at + KEY.len()..];
            // Without a colon it is a text of this name, not a key.
            if let Some(value) = skip_spaces(rest).strip_prefix(b":") {
                told = true;
                if self.may_be_named(skip_spaces(value)) {
                    return true;
                }
            }
        }
        !told
    }

    /// Whether a JSON value is the name, in any spelling, or one that only a parser can read: what names
    /// no subreddit may be told of one by other fields.
    fn may_be_named(&self, value: &[u8]) -> bool {
        let Some(text) = value.strip_prefix(b"\"") else {
            return true;
        };
        let name = self.name.as_str().as_bytes();
        if let Some((start, [b'"', ..])) = text.split_at_checked(name.len())
            && start.eq_ignore_ascii_case(name)
        {
            return true;
        }
        // Another name ends as it began. No writer of dumps escapes letters, but they may be.
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let end = text.iter().position(|byte| !plain(byte));
        !end.is_some_and(|end| end > 0 && text[end] == b'"')
    }
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let count = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    &text[count..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_may_be_of_the_subreddit_are_worth_parsing() {
        let picker = Picker::new(&"rust".parse().unwrap());
        for line in [
            r#"{"id":"a","subreddit":"rust"}"#,
            r#"{"subreddit" : "RuSt","id":"a"}"#,
            r#"{"subreddit":"java","crosspost_parent_list":[{"subreddit":"rust"}]}"#,
            r#"{"subreddit":"ru\u0073t"}"#,
            r#"{"title":"subreddit","id":"a"}"#,
            r#"{"id":"a"}"#,
            r#"{"subreddit":null}"#,
            r#"{"subreddit":["java"]}"#,
            r#"{"subreddit":""}"#,
            r#"{"subreddit":" rust"}"#,
            r#"{"subreddit":"r/rust"}"#,
            r#"{"subreddit":"java""#,
            r#"subreddit":"java"}"#,
            "",
        ] {
            assert!(picker.worth_parsing(line.as_bytes()), "{line}");
        }
        for line in [
            r#"{"subreddit":"java"}"#,
            r#"{"subreddit":"rustlings"}"#,
            r#"{"subreddit":"rus"}"#,
            r#"{"subreddit":"java","selftext":"{\"subreddit\":\"rust\"}"}"#,
            r#"{"subreddit":"java","title":"\"rust\" rust"}"#,
        ] {
            assert!(!picker.worth_parsing(line.as_bytes()), "{line}");
        }
    }
}
