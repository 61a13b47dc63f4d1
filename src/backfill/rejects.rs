//! The file in which lines are kept that are no submission. It is made, or goes on where it is one already:
//! nothing is ever written through a link, or into a file of another kind.

use super::files::FileLoad;
use crate::source::Rejected;
use rustix::fs::OFlags;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Refused lines are kept up to here, bytes of the file that they are kept in.
const MAX_REJECTS: u64 = 64 << 20;
/// Longer than any line that is kept: each byte of a text may need six.
const LONGEST_LINE: u64 = 1 << 20;

/// Lines that are no submission, kept for whoever wants to mend them: an object a line, with the
/// file's name, the line's number, the reason and the text (up to 64 KiB of it). Of very many, the first are
/// kept, and the others are counted.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    bytes: u64,
    /// How many there were.
    pub found: u64,
    /// How many of them were kept.
    pub kept: u64,
}

impl Rejects {
    /// A file that is made once there is something to keep.
    pub fn new(path: PathBuf) -> Rejects {
        Rejects {
            path,
            file: None,
            bytes: 0,
            found: 0,
            kept: 0,
        }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether they can be kept there, before hours of loading end with it. Makes nothing.
    ///
    /// # Errors
    /// Where it is no such file.
    pub fn check(path: &Path) -> io::Result<()> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => open(path).map(drop),
        }
    }

    pub(super) fn keep(&mut self, name: &str, rejected: &[Rejected]) -> Result<(), FileLoad> {
        let kept = self.try_keep(name, rejected);
        kept.map_err(|source| FileLoad::Rejects {
            path: self.path.clone(),
            source,
        })
    }

    fn try_keep(&mut self, name: &str, rejected: &[Rejected]) -> io::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(BufWriter::new(open(&self.path)?));
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        for one in rejected {
            let text = String::from_utf8_lossy(&one.text);
            let object =
                json!({ "file": name, "line": one.line, "reason": one.reason, "text": text })
                    .to_string();
            self.found += 1;
            if self.bytes > MAX_REJECTS {
                continue;
            }
            writeln!(file, "{object}")?;
            self.kept += 1;
            self.bytes += object.len() as u64 + 1;
            if self.bytes > MAX_REJECTS {
                let note =
                    "this file is full: further lines that are no submission are counted alone";
                writeln!(file, "{}", json!({ "note": note }))?;
            }
        }
        // Before the batch counts as done: a line is kept twice rather than lost.
        file.flush()
    }
}

/// Opens it for more, makes it, or says what it is instead.
fn open(path: &Path) -> io::Result<File> {
    let other = |what: &str| {
        let advice = "nothing is written there; name another file with --rejects";
        io::Error::other(format!("it is {what}: {advice}"))
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => return Err(other("a symbolic link")),
        // /dev/null, say: nobody's data.
        Ok(found) if !found.is_file() => return File::options().append(true).open(path),
        _ => {}
    }
    #[expect(clippy::cast_possible_wrap, reason = "flags, as the system takes them")]
    let no_link = OFlags::NOFOLLOW.bits() as i32;
    let mut options = File::options();
    options.create(true).append(true).read(true);
    let file = options.custom_flags(no_link).open(path)?;
    if is_of_rejects(&file)? {
        Ok(file)
    } else {
        Err(other("a file of another kind"))
    }
}

/// Whether a file is empty, or begins with a line that was kept.
fn is_of_rejects(file: &File) -> io::Result<bool> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether they are there counts")]
    struct Kept {
        file: String,
        line: u64,
        reason: String,
        text: IgnoredAny,
    }
    let mut first = Vec::new();
    let mut start = BufReader::new(file.take(LONGEST_LINE));
    start.read_until(b'\n', &mut first)?;
    Ok(first.is_empty() || serde_json::from_slice::<Kept>(&first).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(path: &Path) -> io::Result<()> {
        let one = Rejected {
            line: 7,
            reason: "it is none".to_owned(),
            text: b"x".to_vec(),
            comment: false,
        };
        Rejects::new(path.to_owned()).try_keep("a.zst", &[one])
    }

    #[test]
    fn only_a_file_of_rejects_is_written_into() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for (name, content) in [
            ("notes", "my notes\n"),
            ("no_line", "my notes"),
            ("data", "{\"id\":\"a\",\"text\":\"b\"}\n"),
            ("blank", "\n"),
            ("bytes", "\u{0}\u{1}"),
        ] {
            std::fs::write(path(name), content).unwrap();
            std::os::unix::fs::symlink(path(name), path(&format!("{name}_link"))).unwrap();
            for name in [name.to_owned(), format!("{name}_link")] {
                Rejects::check(&path(&name)).unwrap_err();
                let error = reject(&path(&name)).unwrap_err().to_string();
                assert!(error.contains("--rejects"), "{name}: {error}");
            }
            assert_eq!(std::fs::read_to_string(path(name)).unwrap(), content);
        }
        std::os::unix::fs::symlink(path("nothing"), path("dangling")).unwrap();
        Rejects::check(&path("dangling")).unwrap_err();
        reject(&path("dangling")).unwrap_err();
        assert!(!path("nothing").exists());

        Rejects::check(&path("new")).unwrap();
        assert!(!path("new").exists());
        for lines in 1..4 {
            reject(&path("new")).unwrap();
            Rejects::check(&path("new")).unwrap();
            let text = std::fs::read_to_string(path("new")).unwrap();
            assert_eq!(text.lines().count(), lines);
        }
        std::os::unix::fs::symlink(path("new"), path("new_link")).unwrap();
        reject(&path("new_link")).unwrap_err();
        reject(Path::new("/dev/null")).unwrap();
    }
}
