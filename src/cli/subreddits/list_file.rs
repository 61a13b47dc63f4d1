//! A file of subreddits: one or several a line, comments, blank lines. All of it is checked before any is
//! used.

use crate::cli::Usage;
use crate::cli::pasted::{Subreddits, is_around};
use anyhow::Context;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

/// More than any list of subreddits holds.
const MAX_BYTES: u64 = 16 << 20;
/// Bad lines that are named one by one.
const MAX_NAMED: usize = 20;

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Subreddits>> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin())
    } else {
        let file = File::open(path);
        Box::new(file.with_context(|| format!("{} cannot be read", path.display()))?)
    };
    let mut bytes = Vec::new();
    input
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        let text = format!(
            "{} is longer than {limit} MB: is it a list of subreddits?",
            path.display()
        );
        return Err(Usage(text).into());
    }
    Ok(parse(&bytes).map_err(|problems| Usage(format!("{}: {problems}", path.display())))?)
}

fn parse(bytes: &[u8]) -> Result<Vec<Subreddits>, String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (mut names, mut problems) = (Vec::new(), Vec::new());
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let Ok(line) = std::str::from_utf8(line) else {
            problems.push(format!("line {number}: it is not UTF-8"));
            continue;
        };
        for word in uncommented(line).split([' ', '\t', '\r', ',']) {
            // The marks of a list, or the brackets around one.
            if word.chars().all(|it| is_around(it) || "-•–".contains(it)) {
                continue;
            }
            match word.parse::<Subreddits>() {
                Ok(read) => names.push(read),
                Err(problem) => {
                    // What is accepted need not be said for each of them.
                    let why = problem.split(" (").next().unwrap_or_default();
                    let why = why.split("; ").next().unwrap_or_default();
                    problems.push(format!("line {number}: {why}"));
                }
            }
        }
    }
    if problems.is_empty() {
        if names.is_empty() {
            return Err("it names no subreddit".to_owned());
        }
        return Ok(names);
    }
    let more = problems.len().saturating_sub(MAX_NAMED);
    problems.truncate(MAX_NAMED);
    let more = if more > 0 {
        format!("\n  and {more} more")
    } else {
        String::new()
    };
    Err(format!(
        "nothing was added, because of\n  {}{more}",
        problems.join("\n  ")
    ))
}

/// A comment begins the line or stands behind a space: addresses hold the character too.
fn uncommented(line: &str) -> &str {
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = character;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let read = parse(text.as_bytes())?;
        let names = read.iter().flat_map(|Subreddits(names)| names);
        Ok(names.map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_holds_names_addresses_comments_and_blank_lines() {
        let list = "\u{feff}# mine\nrust\r\n\n  r/zig   # good\t\nab cd,ef\nhttps://www.reddit.com/r/gh/#top\nij+kl\n#\n";
        assert_eq!(
            read(list).unwrap(),
            ["rust", "zig", "ab", "cd", "ef", "gh", "ij", "kl"]
        );
    }

    #[test]
    fn a_list_is_read_as_other_programs_write_it() {
        for list in [
            "rust\r\nzig\r\n",
            "rust\rzig\r",
            "- r/rust\n- r/zig\n",
            "* rust\n* zig,\n",
            "[\n  \"rust\",\n  \"zig\"\n]\n",
            "[\"rust\",\"zig\"]",
            "\u{feff}\"rust\",\n'r/zig';\n",
            "<https://www.reddit.com/r/rust>\n<https://old.reddit.com/r/zig/new/?sort=new>\n",
            "rust,\n\n\n  zig,  # the last\n",
        ] {
            assert_eq!(read(list).unwrap(), ["rust", "zig"], "{list:?}");
        }
    }

    #[test]
    fn every_bad_line_is_named_by_its_number() {
        let refused = read("rust\na\n# b\n\nzig über\nhttps://example.org/\n").unwrap_err();
        for word in [
            "nothing was added",
            "line 2: \"a\"",
            "line 5: \"über\"",
            "line 6: ",
        ] {
            assert!(refused.contains(word), "{refused}");
        }
        assert!(
            !refused.contains("line 1:") && !refused.contains("line 3:"),
            "{refused}"
        );
        assert!(read("# nothing\n\n").unwrap_err().contains("no subreddit"));
        assert!(
            parse(b"ok\n\xff\n")
                .unwrap_err()
                .contains("line 2: it is not UTF-8")
        );
        let many = "?\n".repeat(50);
        assert!(read(&many).unwrap_err().contains("and 30 more"));
    }

    proptest! {
        #[test]
        fn whatever_a_file_holds_it_is_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }
    }
}
