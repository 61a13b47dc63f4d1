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

/// Something that Grafana asks Prometheus.
#[derive(Debug, Clone)]
pub struct Query {
    /// `dashboard's uid: panel's title, query's letter`, or what it is instead of a panel.
    pub place: String,
    /// With Grafana's variables filled in.
    pub expr: String,
}

impl Query {
    /// Whether it reads a metric whose name begins so.
    pub fn reads(&self, prefix: &str) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let mut words = self.expr.split(|c| !word(c));
        words.any(|name| name.starts_with(prefix))
    }
}

/// Every query of every dashboard: of panels, annotations and variables.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for board in dashboards().values() {
        let uid = board["uid"].as_str().unwrap();
        let mut found = |what: &str, target: &Value| {
            let expr = target["expr"].as_str().unwrap();
            queries.push(Query {
                place: format!("{uid}: {what}"),
                expr: filled(expr, board),
            });
        };
        for panel in panels(board) {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().into_iter().flatten() {
                let letter = target["refId"].as_str().unwrap();
                found(&format!("{title}, {letter}"), target);
            }
        }
        for annotation in board["annotations"]["list"].as_array().unwrap() {
            let name = annotation["name"].as_str().unwrap();
            found(&format!("annotation {name}"), &annotation["target"]);
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            if variable["type"] != "query" {
                continue;
            }
            let name = variable["name"].as_str().unwrap();
            let asked = variable["query"]["query"].as_str().unwrap();
            // The one function of Grafana's that is used.
            let inner = asked.strip_prefix("label_values(").unwrap();
            let (metric, label) = inner.trim_end_matches(')').rsplit_once(',').unwrap();
            let expr = format!("count by ({}) ({metric})", label.trim());
            queries.push(Query {
                place: format!("{uid}: variable {name}"),
                expr: filled(&expr, board),
            });
        }
    }
    assert!(queries.len() > 100, "{}", queries.len());
    queries
}

/// The query of a panel, by its place.
pub fn query(place: &str) -> Query {
    let mut queries = queries().into_iter();
    let found = queries.find(|query| query.place == place);
    found.unwrap_or_else(|| panic!("no panel asks {place:?}"))
}

/// As Grafana would send it, of the last five minutes and with everything chosen.
fn filled(expr: &str, board: &Value) -> String {
    let mut expr = expr.to_owned();
    for (name, span) in [
        ("__rate_interval", "30s"),
        ("__interval", "15s"),
        ("__range_s", "300"),
        ("__range", "5m"),
    ] {
        expr = put(&expr, name, span);
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let all = variable["allValue"].as_str();
        let chosen = all.or(variable["current"]["value"].as_str());
        if let Some(chosen) = chosen {
            expr = put(&expr, name, chosen);
        }
    }
    assert!(!expr.contains('$'), "{}: {expr}", board["uid"]);
    expr
}

fn put(expr: &str, name: &str, value: &str) -> String {
    let expr = expr.replace(&format!("${{{name}}}"), value);
    expr.replace(&format!("${name}"), value)
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
