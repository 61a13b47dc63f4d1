//! Subreddits as people paste them: names, paths and addresses, several at once.

use crate::submission::SubredditName;
use std::collections::HashSet;
use std::str::FromStr;

/// What is accepted, for error messages.
const ACCEPTED: &str = "give a name (rust), a path (r/rust, u/name for a profile) or an address \
                        (https://www.reddit.com/r/rust/); several with + or a comma";

/// What may follow a subreddit's name in an address without naming something else.
const SUBREDDIT_PAGES: &[&str] = &[
    "new",
    "hot",
    "top",
    "rising",
    "controversial",
    "best",
    "gilded",
    "about",
    "wiki",
    "submit",
    "search",
    "comments",
    "w",
];
/// The same for a profile.
const PROFILE_PAGES: &[&str] = &["submitted", "overview", "posts", "about"];

/// One or several subreddits in one argument: `rust`, `r/a+b`, `u/name`, `https://www.reddit.com/r/rust/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subreddits(pub(super) Vec<SubredditName>);

impl FromStr for Subreddits {
    type Err = String;

    fn from_str(text: &str) -> Result<Subreddits, String> {
        let mut names = Vec::new();
        for part in parts(text) {
            names.extend(several(part)?);
        }
        if names.is_empty() {
            return Err(format!(
                "{:?} names no subreddit; {ACCEPTED}",
                shortened(text)
            ));
        }
        let mut seen = HashSet::new();
        names.retain(|name: &SubredditName| seen.insert(name.clone()));
        Ok(Subreddits(names))
    }
}

/// What surrounds a name in a text: quotation marks, brackets, and what nobody sees.
pub(super) fn is_around(character: char) -> bool {
    character.is_whitespace()
        || "\"'`<>()[]{}*«»".contains(character)
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2018}'..='\u{201f}' | '\u{2060}' | '\u{feff}')
}

/// The same at its end, where the punctuation of a sentence may stand.
fn is_behind(character: char) -> bool {
    is_around(character) || ".,;:!?".contains(character)
}

/// What commas separate. Within the query of an address a comma separates nothing, unless a space or
/// another address follows.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (comma, _) in text.match_indices([',', ';']) {
        let (part, next) = (&text[start..comma], &text[comma + 1..]);
        let apart = next.starts_with(char::is_whitespace) || next.starts_with("http");
        if apart || !part.contains(['?', '#']) {
            parts.push(part);
            start = comma + 1;
        }
    }
    parts.push(&text[start..]);
    let parts = parts.into_iter();
    parts
        .map(|it| it.trim_start_matches(is_around).trim_end_matches(is_behind))
        .filter(|it| !it.is_empty())
}

/// All of several arguments, each once.
pub(super) fn all(given: Vec<Subreddits>) -> Vec<SubredditName> {
    let mut seen = HashSet::new();
    let names = given.into_iter().flat_map(|Subreddits(names)| names);
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// Exactly one subreddit.
pub(super) fn one(text: &str) -> Result<SubredditName, String> {
    let Subreddits(names) = text.parse()?;
    let count = names.len();
    let mut names = names.into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(format!("one subreddit is expected here, not {count}")),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The names of one path or address, which may join several with `+`.
fn several(text: &str) -> Result<Vec<SubredditName>, String> {
    let wrong = |why: &str| format!("{:?} {why}; {ACCEPTED}", shortened(text));
    let path = path_of(text).map_err(|why| wrong(&why))?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments: Vec<&str> = path.split('/').filter(|it| !it.is_empty()).collect();
    let lower = segments.first().map(|it| it.to_ascii_lowercase());
    let profile = match lower.as_deref() {
        Some("r") => false,
        Some("u" | "user") => true,
        _ if segments.len() == 1 && !path.starts_with('/') && !is_address(text) => {
            segments.insert(0, "r");
            false
        }
        _ => return Err(wrong("is no subreddit")),
    };
    let Some(given) = segments.get(1) else {
        return Err(wrong("names no subreddit"));
    };
    let pages = if profile {
        PROFILE_PAGES
    } else {
        SUBREDDIT_PAGES
    };
    if let Some(page) = segments.get(2) {
        let page = page.to_ascii_lowercase();
        if matches!(page.as_str(), "comments" | "s") && segments.len() > 3 {
            return Err(wrong(
                "is the address of a submission or comment, not of a subreddit",
            ));
        }
        if page == "m" && profile {
            return Err(wrong("is a multireddit; name its subreddits"));
        }
        if !pages.contains(&without_suffix(&page)) && !without_suffix(&page).is_empty() {
            return Err(wrong("is not the address of a subreddit"));
        }
    }
    let given = without_suffix(given)
        .to_ascii_lowercase()
        .replace("%2b", "+");
    let parts = given.split('+').map(str::trim).filter(|it| !it.is_empty());
    let names: Result<Vec<SubredditName>, String> = parts
        .map(|name| {
            let name = if profile {
                format!("u_{name}")
            } else {
                // Within a list each may have a prefix of its own: r/a+r/b is no path, u_a is.
                name.to_owned()
            };
            name.parse().map_err(|_| {
                wrong("is no subreddit's name (2 to 21 letters, digits or underscores)")
            })
        })
        .collect();
    let names = names?;
    if names.is_empty() {
        return Err(wrong("names no subreddit"));
    }
    Ok(names)
}

/// `new.json` → `new`, `.rss` → nothing; `reddit.com` stays.
fn without_suffix(segment: &str) -> &str {
    let suffixes = [".json", ".rss", ".xml", ".compact"];
    let mut suffixes = suffixes.iter();
    suffixes
        .find_map(|it| segment.strip_suffix(it))
        .unwrap_or(segment)
}

fn is_address(text: &str) -> bool {
    path_of(text).is_ok_and(|path| path.len() != text.len())
}

/// What follows the host of an address of Reddit; the text itself where it is no address.
fn path_of(text: &str) -> Result<&str, String> {
    let lower = text.to_ascii_lowercase();
    let schemes = ["https://", "http://", "//"];
    let scheme = schemes.iter().find(|scheme| lower.starts_with(**scheme));
    let rest = scheme.map_or(text, |scheme| &text[scheme.len()..]);
    let (host, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host.to_ascii_lowercase();
    let host = host.split(':').next().unwrap_or_default();
    let short = host == "redd.it" || host == "www.redd.it";
    let names_one = short && path.to_ascii_lowercase().starts_with("/r/");
    let reddit = host == "reddit.com" || host.ends_with(".reddit.com") || names_one;
    if scheme.is_none() && (path.is_empty() || path == "/" && host == "reddit.com") {
        // A name, or r/reddit.com.
        return Ok(text);
    }
    if reddit {
        return Ok(path);
    }
    if host == "redd.it" || host.ends_with(".redd.it") {
        return Err("is the address of a submission or of a file, not of a subreddit".to_owned());
    }
    if scheme.is_some() || host.contains('.') && !host.is_empty() {
        return Err("is not an address of Reddit".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<String> {
        let Subreddits(names) = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_people_paste_is_read() {
        for text in [
            "rust",
            "Rust",
            " rust ",
            "r/rust",
            "R/Rust",
            "/r/rust",
            "/r/rust/",
            "r/rust/",
            "rust/",
            "rust,",
            "https://www.reddit.com/r/rust/",
            "https://www.reddit.com/r/rust",
            "HTTPS://WWW.REDDIT.COM/R/RUST",
            "http://old.reddit.com/r/rust/new?x",
            "http://old.reddit.com/r/rust/top/?sort=top&t=all",
            "reddit.com/r/rust",
            "www.reddit.com/r/rust/",
            "https://reddit.com/r/rust#top",
            "old.reddit.com/r/Rust",
            "https://www.reddit.com/r/rust/new/",
            "https://www.reddit.com/r/rust/new.json?limit=100",
            "https://www.reddit.com/r/rust.json",
            "https://www.reddit.com/r/rust/.rss",
            "https://np.reddit.com/r/rust",
            "https://www.reddit.com/r/rust/wiki/index",
            "https://www.reddit.com/r/rust/about/",
            "//reddit.com/r/rust",
            "https://www.reddit.com:443/r/rust/",
            "/r/rust/hot",
            "r/rust,r/Rust",
            "https://sh.reddit.com/r/rust/?a=b,c",
            "<https://www.reddit.com/r/rust>",
            "<https://www.reddit.com/r/rust/>.",
            "\"rust\"",
            "'r/rust'",
            "`r/rust`",
            "“r/rust”",
            "‘rust’,",
            "(r/rust)",
            "[rust]",
            "**r/rust**",
            "r/rust.",
            "r/rust;",
            "r/rust:",
            "r/rust!",
            "rust?",
            "\u{200b}r/rust\u{200b}",
            "\u{feff}rust",
            "\u{a0}rust\u{a0}",
            "/r/rust/new/?sort=new",
            "https://www.reddit.com/r/rust/new/?sort=new",
            "https://www.reddit.com/r/rust/?rdt=12345",
            "https://m.reddit.com/r/rust",
            "i.reddit.com/r/rust/.compact",
            "https://www.reddit.com/r/rust/comments/",
            "https://redd.it/r/rust",
            "redd.it/r/Rust/",
            "https://old.reddit.com/r/rust)",
        ] {
            assert_eq!(read(text), ["rust"], "{text}");
        }
        for text in [
            "u/some-one",
            "/u/some-one",
            "/user/some-one",
            "user/some-one/",
            "U/Some-One",
            "u_some-one",
            "r/u_some-one",
            "https://www.reddit.com/user/some-one/",
            "https://www.reddit.com/u/some-one",
            "reddit.com/user/some-one/submitted/",
        ] {
            assert_eq!(read(text), ["u_some-one"], "{text}");
        }
        for text in [
            "ab+cd",
            "ab,cd",
            "ab, cd",
            " ab , r/cd ",
            "r/ab+cd",
            "/r/ab+cd/new",
            "r/ab,r/cd",
            "ab; cd",
            "\"ab\", \"cd\"",
            "['ab', 'cd']",
            "(r/ab, r/cd).",
            "<https://reddit.com/r/ab>, <https://reddit.com/r/cd>",
            "ab+cd+ab",
            "https://www.reddit.com/r/ab+cd/",
            "https://old.reddit.com/r/ab%2Bcd",
            "reddit.com/r/ab, reddit.com/r/cd",
            "https://reddit.com/r/ab, https://reddit.com/r/cd",
            "https://reddit.com/r/ab,https://reddit.com/r/cd",
            "reddit.com/r/ab?sort=x,y, reddit.com/r/cd?z,",
            "https://reddit.com/r/ab?x=1,2,http://reddit.com/r/cd#a,b",
        ] {
            assert_eq!(read(text), ["ab", "cd"], "{text}");
        }
        assert_eq!(read("reddit.com"), ["reddit.com"]);
        assert_eq!(read("https://www.reddit.com/r/reddit.com/"), ["reddit.com"]);
    }

    #[test]
    fn what_names_no_subreddit_is_refused_with_what_is_accepted() {
        for (text, says) in [
            ("", "names no subreddit"),
            (" , ", "names no subreddit"),
            ("\"\"", "names no subreddit"),
            ("…", "no subreddit's name"),
            ("r/", "names no subreddit"),
            ("a", "no subreddit's name"),
            ("über", "no subreddit's name"),
            ("a b", "no subreddit's name"),
            ("x?y=z&", "no subreddit's name"),
            ("ab/cd", "is no subreddit"),
            ("../x", "not an address of Reddit"),
            ("https://www.reddit.com/", "is no subreddit"),
            (
                "https://www.reddit.com/r/rust/comments/1abc23/a_title/",
                "a submission or comment",
            ),
            (
                "https://www.reddit.com/r/rust/s/AbCdEf",
                "a submission or comment",
            ),
            (
                "https://www.reddit.com/user/name/comments/1abc23/x",
                "a submission or comment",
            ),
            ("https://www.reddit.com/user/name/m/multi", "multireddit"),
            ("https://redd.it/1abc23", "a submission"),
            ("https://i.redd.it/x.png", "a submission or of a file"),
            ("https://example.org/r/rust", "not an address of Reddit"),
            ("example.org/r/rust", "not an address of Reddit"),
            (
                "https://reddit.com.example.org/r/rust",
                "not an address of Reddit",
            ),
            ("https://notreddit.com/r/rust", "not an address of Reddit"),
            ("ftp://reddit.com/r/rust", "is no subreddit"),
            ("r/rust/unknown", "not the address of a subreddit"),
        ] {
            let refused = text.parse::<Subreddits>().unwrap_err();
            assert!(refused.contains(says), "{text:?}: {refused}");
            assert!(
                refused.contains("https://www.reddit.com/r/rust/"),
                "{refused}"
            );
        }
        assert!(one("ab,cd").unwrap_err().contains("not 2"));
        assert_eq!(one(" r/Rust/ ").unwrap().as_str(), "rust");
    }

    proptest! {
        #[test]
        fn whatever_is_pasted_is_read_or_refused(text in any::<String>()) {
            let _ = text.parse::<Subreddits>();
        }

        #[test]
        fn each_name_that_comes_of_an_address_is_one_that_stands_in_it(
            text in "(https?://)?((www|old)\\.)?(reddit\\.com|redd\\.it)?/?(r|R|u|user)?/?[a-zA-Z0-9_+,%./?# é-]{0,30}"
        ) {
            if let Ok(Subreddits(names)) = text.parse::<Subreddits>() {
                let lower = text.to_ascii_lowercase();
                for name in names {
                    let name = name.as_str();
                    let person = name.strip_prefix("u_").unwrap_or(name);
                    prop_assert!(lower.contains(name) || lower.contains(person), "{text} {name}");
                }
            }
        }
    }
}
