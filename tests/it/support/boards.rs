//! The project's rules and dashboards, as their files hold them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Files of a folder with this ending, by name.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(path(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(ending))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{folder}");
    names
}

pub fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files of rules, by name.
pub fn rule_files() -> BTreeMap<String, Value> {
    let files = files("prometheus/rules", ".yml").into_iter();
    files.map(|file| (file.clone(), yaml(&file))).collect()
}

/// All rules of a kind (`alert` or `record`): name → rule.
pub fn rules(kind: &str) -> BTreeMap<String, Value> {
    let mut rules = BTreeMap::new();
    for file in rule_files().values() {
        for group in file["groups"].as_array().unwrap() {
            for rule in group["rules"].as_array().unwrap() {
                let Some(name) = rule[kind].as_str() else {
                    continue;
                };
                let before = rules.insert(name.to_owned(), rule.clone());
                assert!(before.is_none(), "{name} stands twice");
            }
        }
    }
    assert!(rules.len() > 20, "{kind}: {}", rules.len());
    rules
}

pub fn dashboards() -> BTreeMap<String, Value> {
    let read = |file: String| {
        let board: Value = serde_json::from_str(&text(&file)).unwrap();
        (file, board)
    };
    files("grafana/dashboards", ".json")
        .into_iter()
        .map(read)
        .collect()
}

/// The panels of a dashboard, those in rows that are closed among them.
pub fn panels(board: &Value) -> Vec<&Value> {
    let mut panels = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        panels.push(panel);
        panels.extend(panel["panels"].as_array().into_iter().flatten());
    }
    panels
}

/// Every string of a value under a key of this name.
pub fn under<'a>(value: &'a Value, key: &str, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == key => into.push(text),
                    other => under(other, key, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| under(item, key, into)),
        _ => {}
    }
}

/// What a regular expression of words names: `A|B` and `Pre(A|B)`.
pub fn alternatives(expression: &str) -> BTreeSet<String> {
    let (prefix, rest) = expression.split_once('(').unwrap_or(("", expression));
    let rest = rest.strip_suffix(')').unwrap_or(rest);
    let words = rest.split('|').map(|word| format!("{prefix}{word}"));
    words
        .inspect(|word| assert!(word.chars().all(char::is_alphanumeric), "{expression}"))
        .collect()
}
