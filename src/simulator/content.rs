//! What submissions look like: made-up people, titles and texts, as objects of 2026's API.
//!
//! A submission's content is a pure function of its seed: it is drawn when first asked for, and
//! drawn again the same after a change of state. Knows nothing of listings, time or HTTP.

mod draft;
mod json;
mod media;
mod render;
mod words;

pub(super) use draft::{Draft, OddText, OddType};
pub(super) use json::{Counts, Rendered, quote};
pub(super) use render::{Appearance, Place, render};
pub(super) use words::subreddit_name;

/// A number as base 36 in lower case, as ids are written.
pub(super) fn base36(mut number: u64) -> String {
    let mut digits = Vec::with_capacity(13);
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_36_is_written_as_reddit_does() {
        for number in [0, 35, 36, 3_987_654_321, u64::MAX] {
            assert_eq!(u64::from_str_radix(&base36(number), 36), Ok(number));
        }
        assert_eq!(base36(35), "z");
    }
}
