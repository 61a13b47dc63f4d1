//! Recorded responses, where a checkout has them.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::read_to_string;
use std::path::{Path, PathBuf};

/// One recorded response.
#[derive(Debug, Deserialize)]
pub struct Recorded {
    #[serde(default, deserialize_with = "or_nothing")]
    pub method: String,
    #[serde(default, deserialize_with = "or_nothing")]
    pub url: String,
    pub status: Option<u16>,
    response_headers: Option<BTreeMap<String, Value>>,
    pub body_is_json: bool,
    pub body: Value,
}

/// Where a recorder kept only the body.
fn or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Recorded {
    /// The body's text; JSON bodies were recorded as values.
    pub fn text(&self) -> String {
        match &self.body {
            Value::String(text) if !self.body_is_json => text.clone(),
            Value::Null if !self.body_is_json => String::new(),
            json => json.to_string(),
        }
    }

    /// The headers, but for those that speak of a transfer that is over.
    pub fn headers(&self) -> Vec<(String, String)> {
        let over = [
            "connection",
            "content-encoding",
            "content-length",
            "keep-alive",
            "transfer-encoding",
        ];
        self.response_headers
            .iter()
            .flatten()
            .filter(|(name, _)| !over.contains(&name.to_ascii_lowercase().as_str()))
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

/// The responses of one file; none, with a line that says so, where the folder is not present.
pub fn recorded(file: &str) -> Vec<Recorded> {
    let Ok(text) = fs::read_to_string(folder().join(file)) else {
        println!("left out: not present: {file} of the recorded traffic");
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The files of recorded submissions, one object a line; none, with a line that says so, where the
/// folder is not present.
pub fn recorded_submissions() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == "RS_sample.zst" || (name.starts_with("archive_") && name.ends_with(".json"))
        })
        .collect();
    files.sort();
    if files.is_empty() {
        println!("left out: not present: the recorded submissions");
    }
    files
}

/// The text of such a file, decompressed where it is compressed.
pub fn lines_of(file: &Path) -> String {
    let opened = fs::File::open(file).unwrap();
    if file.extension().is_some_and(|end| end == "zst") {
        let mut decoder = zstd::Decoder::new(opened).unwrap();
        decoder.window_log_max(31).unwrap();
        read_to_string(decoder).unwrap()
    } else {
        read_to_string(opened).unwrap()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/reddit")
}
