//! Text → values, with an error that names the key and says what would be right.

use super::ConfigError;
use super::layers::Settings;
use crate::network::{Proxy, Secret, Trust, check, is_in_memory};
use secrecy::SecretString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

impl Settings {
    /// The value, if it is set and not blank.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<String>, ConfigError> {
        let value = self.get(key).map(|(value, _)| value.trim().to_owned());
        let value = value.filter(|value| !value.is_empty());
        if value
            .as_ref()
            .is_some_and(|value| value.chars().any(char::is_control))
        {
            return Err(self.invalid(key, "it holds a line break or another control character"));
        }
        Ok(value)
    }

    pub(super) fn required(&self, key: &'static str) -> Result<String, ConfigError> {
        self.text(key)?
            .ok_or_else(|| self.invalid(key, "it must not be empty"))
    }

    /// What one of a few words stands for.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let value = self.required(key)?;
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == value) {
            return Ok(*choice);
        }
        let mut words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let last = words.pop().unwrap_or_default();
        let problem = format!("it is {} or {last}", words.join(", "));
        Err(self.invalid(key, problem))
    }

    /// The value as it is: a password may begin or end with a space.
    pub(super) fn secret(&self, key: &'static str) -> Result<Option<Secret>, ConfigError> {
        let value = self.text(key)?.and_then(|_| self.get(key));
        let secret = |(value, _): (&str, _)| {
            Secret::new(SecretString::from(value.to_owned()), self.file_of(key))
        };
        Ok(value.map(secret))
    }

    /// Authorities beside the system's.
    pub(super) fn trust(&self, key: &'static str) -> Result<Trust, ConfigError> {
        match self.text(key)? {
            Some(file) => Trust::with(Path::new(&file)).map_err(|it| self.invalid(key, it)),
            None => Ok(Trust::default()),
        }
    }

    /// A proxy, or the word that has it taken from these variables.
    pub(super) fn proxy(
        &self,
        key: &'static str,
        environment: &[(String, String)],
    ) -> Result<Option<Proxy>, ConfigError> {
        let Some(value) = self.text(key)? else {
            return Ok(None);
        };
        if value != "environment" {
            Proxy::check(&value).map_err(|problem| self.invalid(key, problem))?;
            return Ok(Some(Proxy::one(value.into())));
        }
        let of = |names: &[&'static str]| {
            let set = |name: &&'static str| {
                let (_, value) = environment.iter().find(|(it, _)| it == name)?;
                Some((*name, value.trim().to_owned())).filter(|(_, value)| !value.is_empty())
            };
            names.iter().find_map(set)
        };
        let proxy = |names: &[&'static str]| match of(names) {
            None => Ok(None),
            Some((name, value)) => {
                let bare = !value.contains("://");
                let url = if bare {
                    format!("http://{value}")
                } else {
                    value
                };
                Proxy::check(&url)
                    .map_err(|problem| self.invalid(key, format!("{name}: {problem}")))?;
                Ok(Some(SecretString::from(url)))
            }
        };
        let except = of(&["NO_PROXY", "no_proxy"]).map(|(_, value)| value);
        Ok(Some(Proxy {
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            http: proxy(&["http_proxy", "ALL_PROXY", "all_proxy"])?,
            except: except.unwrap_or_default(),
        }))
    }

    /// A text that can stand in a header.
    pub(super) fn printable(&self, key: &'static str) -> Result<String, ConfigError> {
        let value = self.required(key)?;
        if value.is_ascii() {
            Ok(value)
        } else {
            Err(self.invalid(
                key,
                "it holds a letter that no header may hold, outside ASCII",
            ))
        }
    }

    /// A whole number between the two, both included.
    pub(super) fn number(
        &self,
        key: &'static str,
        least: u32,
        most: u32,
    ) -> Result<u32, ConfigError> {
        let value = self.required(key)?;
        value
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                self.invalid(
                    key,
                    format!("{value:?} is not a whole number from {least} to {most}"),
                )
            })
    }

    /// A whole number from 1.
    pub(super) fn count(&self, key: &'static str, most: u32) -> Result<NonZeroU32, ConfigError> {
        let number = self.number(key, 1, most)?;
        NonZeroU32::new(number).ok_or_else(|| self.invalid(key, "it must not be 0"))
    }

    /// A length of time such as `60s`, `15m` or `1h 30m`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        least: Duration,
    ) -> Result<Duration, ConfigError> {
        let value = self.required(key)?;
        let duration = humantime::parse_duration(&value).map_err(|error| {
            self.invalid(
                key,
                format!("{value:?} is not a length of time such as 60s, 15m or 24h: {error}"),
            )
        })?;
        if duration < least {
            let least = humantime::format_duration(least);
            return Err(self.invalid(key, format!("{value} is too short: at least {least}")));
        }
        // A century: sums with it stay far from every limit.
        if duration > Duration::from_secs(3_155_760_000) {
            return Err(self.invalid(key, format!("{value} is too long: at most 100 years")));
        }
        Ok(duration)
    }

    pub(super) fn address(&self, key: &'static str) -> Result<SocketAddr, ConfigError> {
        let value = self.required(key)?;
        let resolved = value
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next());
        resolved.ok_or_else(|| {
            self.invalid(
                key,
                format!("{value:?} is not an address and port such as 127.0.0.1:8080"),
            )
        })
    }

    /// Names of hosts, separated by commas; in lower case.
    pub(super) fn host_names(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let text = self.text(key)?.unwrap_or_default().to_ascii_lowercase();
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let is_name = |name: &str| {
            let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            name == "*" || name.bytes().all(usual)
        };
        names
            .map(|name| match is_name(name) {
                true => Ok(name.to_owned()),
                false => {
                    let problem = format!(
                        "{name:?} is not a host name such as metrics.example (no port, no scheme)"
                    );
                    Err(self.invalid(key, problem))
                }
            })
            .collect()
    }

    /// Folders, separated by commas.
    pub(super) fn folders(&self, key: &'static str) -> Result<Vec<PathBuf>, ConfigError> {
        let text = self.text(key)?.unwrap_or_default();
        let names = text.split(',').map(str::trim);
        let folders = names.filter(|name| !name.is_empty()).map(PathBuf::from);
        let folders: Vec<PathBuf> = folders.collect();
        match folders.iter().find(|folder| !folder.is_dir()) {
            Some(none) => {
                let problem = format!("{} is not a folder that can be read", none.display());
                Err(self.invalid(key, problem))
            }
            None => Ok(folders),
        }
    }

    pub(super) fn http_url(&self, key: &'static str) -> Result<Url, ConfigError> {
        let value = self.required(key)?;
        let url = Url::parse(&value)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                // Not repeated: somebody may have put a password into it.
                self.invalid(key, "it is not a URL that starts with https:// or http://")
            })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.invalid(key, "it carries a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(self.invalid(key, "it has a query or a fragment"));
        }
        Ok(url)
    }

    /// Where jobs are carried: in the process's memory, or at a URL.
    pub(super) fn queue_url(&self, key: &'static str) -> Result<Secret, ConfigError> {
        let value = self.required(key)?;
        if is_in_memory(&value) {
            return Ok(Secret::new(value.into(), self.file_of(key)));
        }
        self.store_url(key, &["sqlite", "redis", "rediss", "redis+unix", "unix"])
            .map_err(|error| match error {
                ConfigError::Invalid {
                    key,
                    problem,
                    origin,
                } => ConfigError::Invalid {
                    key,
                    problem: format!("it is not memory, and {problem}"),
                    origin,
                },
                error => error,
            })
    }

    /// A URL of a database or queue. The value is not repeated: it may hold a password.
    pub(super) fn store_url(
        &self,
        key: &'static str,
        schemes: &[&str],
    ) -> Result<Secret, ConfigError> {
        let value = self.required(key)?;
        let scheme = value.split_once("://").map(|(scheme, _)| scheme);
        let rest = value.split_once("://").map_or("", |(_, rest)| rest);
        let expected = || {
            schemes
                .iter()
                .map(|scheme| format!("{scheme}://"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match scheme {
            Some("sqlite") if rest.contains(":memory:") || rest.contains("mode=memory") => {
                Err(self.invalid(
                    key,
                    "what is in memory is lost with the process; give sqlite:// a path",
                ))
            }
            Some(scheme) if schemes.contains(&scheme) && !rest.is_empty() => {
                check(&value).map_err(|problem| self.invalid(key, problem))?;
                Ok(Secret::new(value.into(), self.file_of(key)))
            }
            Some(scheme) if schemes.contains(&scheme) => {
                Err(self.invalid(key, format!("nothing follows {scheme}://")))
            }
            Some(scheme) => {
                Err(self.invalid(key, format!("{scheme}:// is none of {}", expected())))
            }
            None => Err(self.invalid(key, format!("it does not start with one of {}", expected()))),
        }
    }

    pub(super) fn invalid(&self, key: &'static str, problem: impl Into<String>) -> ConfigError {
        let origin = self
            .get(key)
            .map_or(super::Origin::Default, |(_, origin)| origin.clone());
        ConfigError::Invalid {
            key,
            problem: problem.into(),
            origin,
        }
    }
}
