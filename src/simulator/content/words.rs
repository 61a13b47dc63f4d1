//! The word lists and sentence patterns that everything is made of.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const ADJECTIVES: &[&str] = &[
    "quiet",
    "amber",
    "northern",
    "hollow",
    "paper",
    "copper",
    "early",
    "gentle",
    "crooked",
    "silver",
    "patient",
    "distant",
    "woollen",
    "narrow",
    "bright",
    "salted",
    "tidal",
    "humble",
    "curious",
    "frosted",
    "velvet",
    "wandering",
    "square",
    "idle",
    "marble",
    "rainy",
];
const NOUNS: &[&str] = &[
    "kettle",
    "harbour",
    "lantern",
    "orchard",
    "umbrella",
    "bicycle",
    "teapot",
    "ladder",
    "meadow",
    "engine",
    "notebook",
    "window",
    "garden",
    "bridge",
    "telescope",
    "keyboard",
    "violin",
    "loaf",
    "mountain",
    "ferry",
    "blanket",
    "clock",
    "mushroom",
    "staircase",
    "radio",
    "workbench",
    "beehive",
    "canoe",
    "typewriter",
    "greenhouse",
];
const VERBS: &[&str] = &[
    "repair",
    "paint",
    "clean",
    "measure",
    "carry",
    "sharpen",
    "grow",
    "restore",
    "sketch",
    "calibrate",
    "sort",
    "label",
    "rebuild",
    "photograph",
    "bake",
    "tune",
];
const PLACES: &[&str] = &[
    "the attic",
    "my workshop",
    "a flea market",
    "the allotment",
    "the coast",
    "our kitchen",
    "the old mill",
    "a night train",
    "the valley",
    "the roof terrace",
    "my first flat",
];
const FLAIRS: &[&str] = &[
    "Discussion",
    "Question",
    "Help",
    "Showcase",
    "News",
    "Guide",
    "Weekly thread",
    "Solved",
    "Original work",
    "Meta",
];
const DOMAINS: &[&str] = &[
    "example.org",
    "notes.example.net",
    "thelanternpost.example",
    "blog.example.com",
    "harbourgazette.example",
    "video.example.org",
    "papers.example.edu",
    "code.example.dev",
];
const SENTENCES: &[&str] = &[
    "I started with the {a} {n} because it was the easiest to {v}.",
    "Nobody at {p} could tell me how old it is.",
    "Has anyone here tried to {v} a {n} without taking it apart first?",
    "The {n} still works, but the {a} part makes a faint ticking sound.",
    "After three weekends I gave up and bought a second {n}.",
    "My neighbour says you should never {v} anything before the first frost.",
    "It took 45 minutes & two cups of tea.",
    "Measurements below: height < 30 cm, width > 12 cm.",
    "There is a longer write-up with [pictures](https://blog.example.com/{n}) for those who like detail.",
    "**Update:** the {a} one arrived this morning.",
    "I would rather {v} it myself than send it away.",
    "For context, I found it in {p} under a {a} {n}.",
    "Thanks to everyone who helped me {v} the last one – you were right.",
    "Am I missing something obvious about the {n}?",
    "It isn\u{2019}t perfect, yet I\u{2019}m happy with it.",
];
const TITLES: &[&str] = &[
    "How do you {v} a {a} {n}?",
    "Found this {a} {n} in {p}",
    "My {n} after a year in {p}",
    "A short guide: {v} your {n} & keep it {a}",
    "Is it normal for a {n} to be this {a}?",
    "[Question] Which {n} would you take to {p}?",
    "Finally managed to {v} the {a} {n}!",
    "PSA: do not {v} a {n} indoors",
    "The {a} {n} of {p}, a small history",
    "Looking for someone who can {v} a {n} \u{1f527}",
    "Before & after: the {a} {n}",
    "\u{201c}Just {v} it,\u{201d} they said",
    "I made a {a} {n} from scratch (very long build log inside)",
    "Weekly thread: what did you {v}?",
    "{a} {n}",
];

fn pick<'a>(rng: &mut ChaCha8Rng, list: &[&'a str]) -> &'a str {
    list[rng.random_range(0..list.len())]
}

/// Fills a pattern's places.
fn fill(rng: &mut ChaCha8Rng, pattern: &str, out: &mut String) {
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(match name {
            "a" => pick(rng, ADJECTIVES),
            "n" => pick(rng, NOUNS),
            "v" => pick(rng, VERBS),
            _ => pick(rng, PLACES),
        });
        rest = after;
    }
    out.push_str(rest);
}

pub(super) fn title(rng: &mut ChaCha8Rng) -> String {
    let mut title = String::new();
    let pattern = pick(rng, TITLES);
    fill(rng, pattern, &mut title);
    title
}

/// Markdown of about so many sentences, in paragraphs.
pub(super) fn text(rng: &mut ChaCha8Rng, sentences: usize) -> String {
    let mut text = String::new();
    for at in 0..sentences {
        if at > 0 {
            text.push_str(if rng.random_bool(0.25) { "\n\n" } else { " " });
        }
        let pattern = pick(rng, SENTENCES);
        fill(rng, pattern, &mut text);
    }
    text
}

pub(super) fn author(rng: &mut ChaCha8Rng) -> String {
    let (adjective, noun) = (pick(rng, ADJECTIVES), pick(rng, NOUNS));
    match rng.random_range(0..3) {
        0 => format!("{adjective}_{noun}{}", rng.random_range(1..100)),
        1 => format!("{adjective}-{noun}-{}", rng.random_range(1000..10_000)),
        _ => format!("{noun}{}", rng.random_range(1..1000)),
    }
}

pub(super) fn flair(rng: &mut ChaCha8Rng) -> &'static str {
    pick(rng, FLAIRS)
}

pub(super) fn domain(rng: &mut ChaCha8Rng) -> &'static str {
    pick(rng, DOMAINS)
}

/// One or two words for a path.
pub(super) fn slug(rng: &mut ChaCha8Rng) -> String {
    format!("{}-{}", pick(rng, ADJECTIVES), pick(rng, NOUNS))
}

/// Letters and digits, as media ids are.
pub(super) fn token(rng: &mut ChaCha8Rng, length: usize) -> String {
    (0..length)
        .map(|_| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[rng.random_range(0..36)]))
        .collect()
}

/// The name of the `index`th subreddit of a generated world; each index has its own.
pub(in crate::simulator) fn subreddit_name(index: usize) -> String {
    // Nouns first: the names of a small world are short.
    let noun = NOUNS[index % NOUNS.len()];
    let round = index / NOUNS.len();
    match round {
        0 => format!("{noun}s"),
        round if round <= ADJECTIVES.len() => format!("{}_{noun}", ADJECTIVES[round - 1]),
        round => format!("{noun}_{round}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::SubredditName;
    use rand::SeedableRng;
    use std::collections::HashSet;

    #[test]
    fn a_worlds_subreddits_have_valid_names_of_their_own() {
        let names: HashSet<SubredditName> = (0..2_000)
            .map(|index| subreddit_name(index).parse().unwrap())
            .collect();
        assert_eq!(names.len(), 2_000);
    }

    #[test]
    fn no_pattern_keeps_a_place_unfilled() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            let written = title(&mut rng) + &text(&mut rng, 3);
            assert!(!written.contains(['{', '}']), "{written}");
        }
    }
}
