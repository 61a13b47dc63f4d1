//! Recorded responses, where a checkout has them.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/reddit")
        .join(file);
    let Ok(text) = fs::read_to_string(&path) else {
        println!("left out: not present: {file} of the recorded traffic");
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
