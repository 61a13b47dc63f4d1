//! Flags over environment over file over defaults: which value counts, and where it came from.

use super::{ConfigError, KEYS, Key};
use crate::network::read_file;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where values may come from, handed in so that tests need no real environment.
#[derive(Debug, Default)]
pub struct Inputs {
    /// `--config`, which must exist; else `FRESHET_CONFIG`; else `freshet.toml` if it exists.
    pub file: Option<PathBuf>,
    /// The text of that file, where it need not be read.
    pub file_text: Option<String>,
    /// Environment variables; only those that start with `FRESHET_` are looked at, and those that name
    /// a proxy where the configuration says so.
    pub environment: Vec<(String, String)>,
    /// Flags that were given: key and value.
    pub flags: Vec<(&'static str, String)>,
    /// A command's own defaults, where they differ from the keys': key and value.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl Inputs {
    /// The process's own environment, with these flags.
    pub fn from_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Inputs {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads it"
        )]
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Inputs {
            file,
            file_text: None,
            environment,
            flags,
            defaults: &[],
        }
    }
}

impl Inputs {
    /// Variables that begin like keys and are none, in the order of their names; each with the key's
    /// that it may have been meant to be.
    pub fn ignored(&self) -> Vec<String> {
        let names = self.environment.iter().map(|(name, _)| name);
        let ours = names.filter(|name| {
            // The file's own place, and the log filter, are no keys of the file.
            let rest = name.strip_prefix("FRESHET_");
            rest.is_some_and(|it| {
                !it.contains("__") && !matches!(it, "CONFIG" | "LOG" | "REVISION")
            })
        });
        let mut ignored: Vec<String> = ours.map(|name| ignored(name)).collect();
        ignored.sort();
        ignored
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `--flag`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// The configuration file.
    File(PathBuf),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(formatter, "the flag --{flag}"),
            Origin::Variable(name) => write!(formatter, "the environment variable {name}"),
            Origin::File(path) => write!(formatter, "the file {}", path.display()),
            Origin::Default => formatter.write_str("the default"),
        }
    }
}

/// The value that counts for each key that has one.
pub(super) struct Settings {
    values: HashMap<&'static str, (String, Origin)>,
    /// The files that some of them came from.
    files: HashMap<&'static str, PathBuf>,
}

impl Settings {
    /// With all that is wrong in the layers; of such keys a lower layer's value counts.
    pub(super) fn gather(inputs: Inputs) -> (Settings, Vec<ConfigError>) {
        let mut wrong = Vec::new();
        let mut settings = Settings {
            values: HashMap::new(),
            files: HashMap::new(),
        };
        for key in KEYS {
            if let Some(default) = key.default {
                settings
                    .values
                    .insert(key.name, (default.to_owned(), Origin::Default));
            }
        }
        for (name, value) in inputs.defaults {
            wrong.extend(
                settings
                    .set(name, (*value).to_owned(), Origin::Default)
                    .err(),
            );
        }
        if let Some(path) = file_to_read(&inputs) {
            settings.read_file(&path, inputs.file_text, &mut wrong);
        }
        settings.read_environment(&inputs.environment, &mut wrong);
        for (name, value) in inputs.flags {
            let flag = name.replace(['.', '_'], "-");
            wrong.extend(settings.set(name, value, Origin::Flag(flag)).err());
        }
        (settings, wrong)
    }

    /// Puts its default in a value's place; false where that is there already.
    pub(super) fn forget(&mut self, name: &'static str) -> bool {
        self.files.remove(name);
        let default = known(name).and_then(|key| key.default);
        let before = match default {
            Some(default) => self
                .values
                .insert(name, (default.to_owned(), Origin::Default)),
            None => self.values.remove(name),
        };
        before.is_some_and(|(_, origin)| origin != Origin::Default)
    }

    pub(super) fn get(&self, name: &str) -> Option<(&str, &Origin)> {
        self.values
            .get(name)
            .map(|(value, origin)| (value.as_str(), origin))
    }

    /// The file that its value came from.
    pub(super) fn file_of(&self, name: &str) -> Option<PathBuf> {
        self.files.get(name).cloned()
    }

    fn read_file(&mut self, path: &Path, text: Option<String>, wrong: &mut Vec<ConfigError>) {
        let sections = match sections(path, text) {
            Ok(sections) => sections,
            Err(error) => return wrong.push(error),
        };
        let origin = Origin::File(path.to_owned());
        for (section, content) in sections {
            let toml::Value::Table(content) = content else {
                wrong.push(unknown(&section, origin.clone()));
                continue;
            };
            for (key, value) in content {
                let name = format!("{section}.{key}");
                let value = match value {
                    toml::Value::String(text) => Ok(text),
                    toml::Value::Integer(number) => Ok(number.to_string()),
                    toml::Value::Boolean(_)
                    | toml::Value::Float(_)
                    | toml::Value::Datetime(_)
                    | toml::Value::Array(_)
                    | toml::Value::Table(_) => Err(match known(&name) {
                        Some(key) => ConfigError::Invalid {
                            key: key.name,
                            problem: "expected a text in quotes or a whole number".to_owned(),
                            origin: origin.clone(),
                        },
                        None => unknown(&name, origin.clone()),
                    }),
                };
                let set = value.and_then(|value| self.set(&name, value, origin.clone()));
                wrong.extend(set.err());
            }
        }
    }

    fn read_environment(&mut self, variables: &[(String, String)], wrong: &mut Vec<ConfigError>) {
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix("FRESHET_") else {
                continue;
            };
            // Kubernetes sets some for each service: FRESHET_PORT, FRESHET_SERVICE_HOST, …
            if !name.contains("__") {
                continue;
            }
            let name = name.to_ascii_lowercase().replacen("__", ".", 1);
            let set = self.set(&name, value.clone(), Origin::Variable(variable.clone()));
            wrong.extend(set.err());
        }
    }

    fn set(&mut self, name: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        if let Some(key) = known(name) {
            return self.insert(key, value, origin);
        }
        let Some(key) = KEYS.iter().find(|key| key.file == Some(name)) else {
            return Err(unknown(name, origin));
        };
        let path = Path::new(&value);
        let text = read_file(path).map_err(|error| ConfigError::Invalid {
            key: key.name,
            problem: format!("the file {value} that should hold it cannot be read: {error}"),
            origin: origin.clone(),
        })?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.insert(key, text, origin)?;
        self.files.insert(key.name, path);
        Ok(())
    }

    /// Over a lower layer's value. One layer may set a key once, as itself or as a file.
    fn insert(&mut self, key: &Key, value: String, origin: Origin) -> Result<(), ConfigError> {
        if let Some((_, earlier)) = self.values.get(key.name)
            && *earlier != Origin::Default
            && std::mem::discriminant(earlier) == std::mem::discriminant(&origin)
        {
            return Err(ConfigError::Invalid {
                key: key.name,
                problem: format!("it is set twice, the first time by {earlier}"),
                origin,
            });
        }
        self.values.insert(key.name, (value, origin));
        self.files.remove(key.name);
        Ok(())
    }
}

/// The tables of a file.
fn sections(path: &Path, text: Option<String>) -> Result<toml::Table, ConfigError> {
    let wrong = |problem: String| ConfigError::File {
        path: path.to_owned(),
        problem,
    };
    let text = match text {
        Some(text) => text,
        None => read_file(path).map_err(|error| wrong(error.to_string()))?,
    };
    text.parse().map_err(|error: toml::de::Error| {
        // The error's own text quotes the line, which may hold a secret.
        let line = error.span().map_or(1, |span| {
            text.get(..span.start)
                .unwrap_or_default()
                .matches('\n')
                .count()
                + 1
        });
        wrong(format!("line {line} is not TOML: {}", error.message()))
    })
}

fn file_to_read(inputs: &Inputs) -> Option<PathBuf> {
    let named = || {
        let variable = inputs
            .environment
            .iter()
            .find(|(name, _)| name == "FRESHET_CONFIG");
        let path = variable
            .map(|(_, path)| path)
            .filter(|path| !path.is_empty());
        path.map(PathBuf::from)
    };
    let usual = || Some(PathBuf::from("freshet.toml")).filter(|path| path.exists());
    inputs.file.clone().or_else(named).or_else(usual)
}

fn known(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// A variable that is no key, and the key's that it may have been meant to be.
fn ignored(variable: &str) -> String {
    let squeezed = |name: &str| name.replace("__", "_").to_ascii_uppercase();
    let files = KEYS.iter().filter_map(|key| key.file);
    let names = KEYS.iter().map(|key| key.name).chain(files);
    let variables = names.map(|name| {
        let name = name.replace('.', "__").to_ascii_uppercase();
        format!("FRESHET_{name}")
    });
    let near = variables
        .map(|it| (edit_distance(&squeezed(&it), &squeezed(variable)), it))
        .min_by_key(|(far, _)| *far);
    match near {
        Some((0..=2, meant)) => format!("{variable} (did you mean {meant}?)"),
        _ => variable.to_owned(),
    }
}

fn unknown(name: &str, origin: Origin) -> ConfigError {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let near = KEYS
        .iter()
        .map(|key| (edit_distance(key.name, name), key))
        .min_by_key(|(far, _)| *far);
    let same_end = KEYS.iter().find(|key| last(key.name) == last(name));
    let hint = match (near, same_end) {
        (Some((far, key)), _) if far <= 3 => format!(" (did you mean {}?)", key.name),
        (_, Some(key)) => format!(" (did you mean {}?)", key.name),
        _ => String::new(),
    };
    ConfigError::Unknown {
        key: name.to_owned(),
        origin,
        hint,
    }
}

/// Edits from one name to the other (Levenshtein).
pub fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, left) in from.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, right) in to.iter().enumerate() {
            let changed = corner + usize::from(left != *right);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}
