//! Names parsed once: whoever holds one of these types need not check it again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A subreddit's name, lower case, without `r/`.
///
/// Letters, digits and underscores, 2 to 21 of them (`u_` and a profile's name of up to 20, which
/// may hold hyphens); the one name with a dot is `reddit.com`. Clones share the text: of a long list each part of
/// the program that knows it would hold its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubredditName(Arc<str>);

/// A submission's id, base 36 in lower case, without `t3_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(String);

/// A name that Reddit could not have given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a subreddit's name.
    #[error(
        "{0:?} is not a subreddit's name: 2 to 21 letters, digits or underscores, with or without a leading r/"
    )]
    Subreddit(String),
    /// Not a submission's id.
    #[error(
        "{0:?} is not a submission's id: up to 13 letters and digits, with or without a leading t3_"
    )]
    Submission(String),
}

impl SubredditName {
    /// The name, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubredditName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::Subreddit(text.chars().take(40).collect());
        let lower = text.trim().to_ascii_lowercase();
        let name = lower.strip_prefix('/').unwrap_or(&lower);
        let name = name.strip_prefix("r/").unwrap_or(name);
        let name = name.strip_suffix('/').unwrap_or(name);
        let profile = name.strip_prefix("u_");
        let longest = if profile.is_some() { 22 } else { 21 };
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || byte == b'_'
                || (byte == b'-' && profile.is_some())
        };
        let well_formed = (2..=longest).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('_');
        if well_formed || name == "reddit.com" {
            Ok(SubredditName(name.into()))
        } else {
            Err(invalid())
        }
    }
}

impl SubmissionId {
    /// The id without `t3_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id with `t3_`, as the API wants it.
    pub fn fullname(&self) -> String {
        format!("t3_{}", self.0)
    }

    /// Its place in the counter that Reddit numbers submissions with; none where the id is larger than
    /// any that the counter will reach.
    pub fn number(&self) -> Option<i64> {
        i64::from_str_radix(&self.0, 36).ok()
    }

    /// The id at a place of the counter; places below the first are the first.
    pub fn from_number(number: i64) -> SubmissionId {
        let mut rest = number.max(0);
        let mut digits = Vec::new();
        loop {
            let digit = u32::try_from(rest % 36).unwrap_or_default();
            digits.extend(char::from_digit(digit, 36));
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        SubmissionId(digits.into_iter().rev().collect())
    }
}

impl FromStr for SubmissionId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let id = text.strip_prefix("t3_").unwrap_or(text);
        // 13 digits of base 36 hold any 64-bit number, which is what Reddit's ids are.
        if (1..=13).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(SubmissionId(id.to_ascii_lowercase()))
        } else {
            Err(InvalidName::Submission(text.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for SubredditName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subreddit_is_named_in_any_of_the_usual_ways() {
        for text in ["rust", "Rust", "r/rust", "/r/RUST/", " rust "] {
            assert_eq!(
                text.parse::<SubredditName>().unwrap().as_str(),
                "rust",
                "{text}"
            );
        }
        for text in [
            "u_some-one",
            "reddit.com",
            "a1",
            "Ask_Reddit_of_21_chars"[1..].into(),
        ] {
            assert!(text.parse::<SubredditName>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_subreddit_is_refused() {
        for text in [
            "", "r/", "a", "a+b", "a/b", "über", "a b", "../x", "_x", "a?b", "some-one",
        ] {
            assert!(text.parse::<SubredditName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(22).parse::<SubredditName>().is_err());
    }

    #[test]
    fn an_id_is_read_with_and_without_its_type() {
        assert_eq!(
            "t3_1TVSA59".parse::<SubmissionId>().unwrap().as_str(),
            "1tvsa59"
        );
        assert_eq!("2m".parse::<SubmissionId>().unwrap().fullname(), "t3_2m");
        for (text, number) in [("0", 0), ("z", 35), ("10", 36), ("1tvsa59", 3_983_689_053)] {
            let id: SubmissionId = text.parse().unwrap();
            assert_eq!(id.number(), Some(number));
            assert_eq!(SubmissionId::from_number(number), id);
        }
        let largest = SubmissionId::from_number(i64::MAX);
        assert_eq!(largest.number(), Some(i64::MAX));
        assert_eq!(
            "zzzzzzzzzzzzz".parse::<SubmissionId>().unwrap().number(),
            None
        );
        for text in ["", "t3_", "t1_abc", "a b", "a,b", "12345678901234"] {
            assert!(text.parse::<SubmissionId>().is_err(), "{text:?}");
        }
    }
}
