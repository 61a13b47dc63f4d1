//! A SQLite file under its open connections: whether the path still names the file that they hold.
//!
//! A connection goes on reading and writing a file that was deleted or replaced, and what it writes
//! is lost. Each connection is therefore compared with the path before it is used. The file is never
//! opened for that: closing it would drop the locks of all connections of this process.

use super::{Class, Fault, Trouble, Validity};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The file of a pool of connections.
#[derive(Debug)]
pub struct DatabaseFile {
    path: PathBuf,
    identity: Mutex<Option<(u64, u64)>>,
    /// Connections that were opened before hold another file, or saw it damaged.
    validity: Validity,
}

impl DatabaseFile {
    /// The path need not exist yet.
    pub fn new(path: &Path) -> DatabaseFile {
        DatabaseFile {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            identity: Mutex::new(identity(path)),
            validity: Validity::new(),
        }
    }

    /// Whether a connection that was opened so long ago holds the file at the path.
    pub fn is_held(&self, age: Duration) -> bool {
        let mut known = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let found = identity(&self.path);
        if found.is_none() {
            return false;
        }
        if *known != found {
            // The first look after the file was made is no replacement.
            let replaced = std::mem::replace(&mut *known, found).is_some();
            if replaced {
                self.validity.replace();
            }
        }
        self.validity.covers(age)
    }

    /// Connections of now are not to be used again: what they read was damaged.
    pub fn distrust(&self) {
        self.validity.revoke();
    }

    /// A fault of this file, with its path.
    pub fn suffers(&self, fault: Fault, error: &str) -> Trouble {
        Trouble::new(fault, format!("{error} ({})", self.path.display()))
    }

    /// What an SQLite error means for the database's file; none where it is the statement's own.
    pub fn trouble(&self, code: i32, error: &str) -> Option<Trouble> {
        let class = match sqlite_class(code, error)? {
            Class::MissingFile if self.path.exists() => Class::NoPermission,
            class => class,
        };
        Some(self.suffers(Fault::of_database_file(class), error))
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// By the low byte of the result code, <https://www.sqlite.org/rescode.html>.
pub fn sqlite_class(code: i32, error: &str) -> Option<Class> {
    Some(match code & 0xff {
        1 if error.contains("no such table") || error.contains("no such column") => {
            Class::MissingSchema
        }
        3 | 23 => Class::NoPermission,
        5 | 6 | 15 => Class::Locked,
        8 => Class::ReadOnly,
        10 => Class::IoError,
        11 | 26 => Class::Corrupt,
        13 => Class::Full,
        14 => Class::MissingFile,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_holds_the_file_until_it_is_deleted_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let file = DatabaseFile::new(&path);
        std::fs::write(&path, "one").unwrap();
        assert!(file.is_held(Duration::ZERO), "made after the look");
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        assert!(!file.is_held(Duration::ZERO));
        std::fs::rename(folder.path().join("away"), &path).unwrap();
        assert!(file.is_held(Duration::ZERO), "it is the same file again");
        std::fs::write(folder.path().join("other"), "two").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(!file.is_held(Duration::from_millis(1)), "it is another one");
        assert!(file.is_held(Duration::ZERO), "opened since");
        assert!(!file.is_held(Duration::from_secs(1)), "opened before");
    }

    #[test]
    fn what_sqlite_says_has_a_class_unless_it_is_the_statements_own_fault() {
        for (code, error, class) in [
            (1, "no such table: submissions", Some(Class::MissingSchema)),
            (1, "near \"x\": syntax error", None),
            (19, "UNIQUE constraint failed", None),
            (5, "database is locked", Some(Class::Locked)),
            (
                1032,
                "attempt to write a readonly database",
                Some(Class::ReadOnly),
            ),
            (4874, "disk I/O error", Some(Class::IoError)),
            (11, "database disk image is malformed", Some(Class::Corrupt)),
            (26, "file is not a database", Some(Class::Corrupt)),
            (13, "database or disk is full", Some(Class::Full)),
            (14, "unable to open database file", Some(Class::MissingFile)),
        ] {
            assert_eq!(sqlite_class(code, error), class, "{code}");
        }
    }
}
