//! A secret, and the file that it is read from again: whoever rotates it replaces the file.

use secrecy::{ExposeSecret, SecretString};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Nobody writes more by hand; a device or a dump that was named by mistake is not read to its end.
const LONGEST_FILE: u64 = 1024 * 1024;

/// A secret as it was at the start. [`Secret::now`] reads its file again where it has one.
#[derive(Debug, Clone, Default)]
pub struct Secret {
    value: SecretString,
    file: Option<PathBuf>,
}

impl Secret {
    /// A secret that stays as it is, or one that this file held.
    pub fn new(value: SecretString, file: Option<PathBuf>) -> Secret {
        Secret { value, file }
    }

    /// Whether it may change.
    pub fn is_from_file(&self) -> bool {
        self.file.is_some()
    }

    /// As its file has it now; as it was at the start where there is no file, or the file cannot be
    /// read or is empty.
    pub fn now(&self) -> SecretString {
        let read = self.file.as_ref().and_then(|file| read_file(file).ok());
        match read.filter(|text| !text.trim().is_empty()) {
            Some(text) => SecretString::from(text),
            None => self.value.clone(),
        }
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.value.expose_secret()
    }
}

impl From<SecretString> for Secret {
    fn from(value: SecretString) -> Secret {
        Secret::new(value, None)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Secret {
        SecretString::from(value).into()
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Secret {
        SecretString::from(value).into()
    }
}

/// The text of a small file, which may be a pipe or a device, without the line break that editors and
/// `echo` put at its end.
///
/// # Errors
/// As the system says, or where it is too long.
pub fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.take(LONGEST_FILE + 1).read_to_string(&mut text)? as u64 > LONGEST_FILE {
        let problem = format!("it is longer than {LONGEST_FILE} bytes");
        return Err(std::io::Error::other(problem));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_as_its_file_has_it_now_and_as_it_was_where_that_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let secret = Secret::new("first".into(), Some(file.clone()));
        let now = || secret.now().expose_secret().to_owned();
        assert_eq!(now(), "first", "there is no file");
        for (text, expected) in [("second\n", "second"), ("third", "third"), ("\n", "first")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(now(), expected);
        }
        assert!(!format!("{secret:?}").contains("first"));
    }
}
