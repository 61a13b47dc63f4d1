//! The address of a database or a Redis: what it may hold, how it is shown, and the Redis client that
//! it makes.

use super::{Secret, Trust};
use redis::{Client, IntoConnectionInfo, RedisError, TlsCertificates};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// What the driver of Postgres understands. It logs others, with their values.
const POSTGRES: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];
/// Other spellings of the same, and the form `options[name]`.
const POSTGRES_TOO: &[&str] = &["ssl-mode", "ssl-root-cert", "ssl-ca", "ssl-cert", "ssl-key"];
const REDIS: &[&str] = &["protocol"];
const REDIS_SOCKET: &[&str] = &["db", "user", "pass", "protocol"];

/// An address with its secrets, and who may vouch for the server that answers there.
#[derive(Debug, Clone)]
pub struct Address {
    secret: Secret,
    trust: Trust,
}

impl Address {
    /// An address, and those who may vouch for its server.
    pub fn new(secret: Secret, trust: Trust) -> Address {
        Address { secret, trust }
    }

    /// Whose certificates are believed there.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether it may change: it comes from a file.
    pub fn may_change(&self) -> bool {
        self.secret.is_from_file()
    }

    /// As it was at the start.
    pub fn first(&self) -> &str {
        self.secret.expose_secret()
    }

    /// As its file has it now. What cannot be an address there is none: then as it was.
    pub fn now(&self) -> SecretString {
        let now = self.secret.now();
        let text = now.expose_secret().trim();
        let kind = |url: &str| url.split_once(':').map(|(scheme, _)| scheme.to_owned());
        if check(text).is_ok() && kind(text) == kind(self.first()) {
            SecretString::from(text)
        } else {
            SecretString::from(self.first())
        }
    }

    /// A client of the Redis there, with the secrets as they are now.
    ///
    /// # Errors
    /// Where it is no address of a Redis. The error holds no secret.
    pub fn redis(&self) -> Result<Client, RedisError> {
        let url = self.now();
        let url = url.expose_secret();
        if !url.starts_with("rediss://") {
            return Client::open(url);
        }
        // Two providers are linked in, and rustls panics rather than choose. An error only says
        // that somebody named one before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: self.trust.all().map(String::into_bytes),
        };
        Client::build_with_tls(url.into_connection_info()?, certificates)
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Address {
        Address::new(url.into(), Trust::default())
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Address {
        url.as_str().into()
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

/// Whether it is no server and no file, but the memory of the process that works with it.
pub fn is_in_memory(url: &str) -> bool {
    url == "memory"
}

/// Whether the server there is a Redis, over the network or a socket of this machine.
pub fn is_redis(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    matches!(scheme, Some("redis" | "rediss" | "redis+unix" | "unix"))
}

/// Whether it is understood whole. What is wrong is told without a value, which may be a secret.
///
/// # Errors
/// A few words.
pub fn check(url: &str) -> Result<(), String> {
    if url.starts_with("sqlite:") {
        return Ok(());
    }
    let not_a_url = "it is not a URL (is a character of its password not escaped?)";
    let parsed = Url::parse(url).map_err(|_| not_a_url.to_owned())?;
    let socket = matches!(parsed.scheme(), "redis+unix" | "unix");
    let (known, too) = match parsed.scheme() {
        _ if socket => (REDIS_SOCKET, &[][..]),
        "redis" | "rediss" => (REDIS, &[][..]),
        _ => (POSTGRES, POSTGRES_TOO),
    };
    if socket && (parsed.has_host() || parsed.path().len() < 2) {
        return Err(
            "the path of a socket follows three slashes, such as redis+unix:///run/redis.sock"
                .to_owned(),
        );
    }
    if parsed.fragment().is_some_and(|it| it != "insecure") {
        return Err(format!("it has a part behind a # {ESCAPED}"));
    }
    let query = parsed.query().unwrap_or_default();
    if query.contains('@') {
        return Err(format!("it has an @ behind a ? {ESCAPED}"));
    }
    for pair in query.split('&') {
        if pair.is_empty() {
            continue;
        }
        let name = pair.split_once('=').map(|(name, _)| name);
        let Some(name) = name.filter(|name| is_name(name)) else {
            return Err(format!(
                "it has a part behind a ? that is no parameter {ESCAPED}"
            ));
        };
        let option = known == POSTGRES && name.starts_with("options[");
        if !known.contains(&name) && !too.contains(&name) && !option {
            return Err(format!(
                "it has the parameter {name}, which is not understood: take it out (understood are {})",
                known.join(", ")
            ));
        }
    }
    Ok(())
}

const ESCAPED: &str = "(is a character of its password not escaped?)";

/// A word that can be nothing but a name, and so is no piece of a password.
fn is_name(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    (1..=40).contains(&text.len()) && text.bytes().all(part)
}

/// An address as it may be shown: without user, password and parameters.
pub fn display(url: &str) -> String {
    if url.starts_with("sqlite:") || is_in_memory(url) {
        return url.to_owned();
    }
    let Ok(mut parsed) = Url::parse(url) else {
        return "…".to_owned();
    };
    parsed.set_query(None);
    parsed.set_fragment(None);
    if !parsed.has_host() {
        let socket = matches!(parsed.scheme(), "redis+unix" | "unix");
        return if socket {
            parsed.into()
        } else {
            "…".to_owned()
        };
    }
    if parsed.set_username("").is_ok() && parsed.set_password(None).is_ok() {
        parsed.into()
    } else {
        format!("{}://…", parsed.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named_and_its_value_is_not() {
        for (url, named) in [
            ("postgres://h/d?sslpassword=hush", "sslpassword"),
            (
                "postgres://h/d?sslmode=require&channel_binding=hush",
                "channel_binding",
            ),
            ("postgresql://h/d?connect_timeout=hush", "connect_timeout"),
            ("redis://h/?password=hush", "password"),
            ("rediss://h/1?ssl_cert_reqs=hush", "ssl_cert_reqs"),
            ("redis+unix:///s.sock?password=hush", "password"),
            ("unix:///s.sock?auth=hush", "auth"),
            // What is left of a password is no name of a parameter.
            ("postgres://u:12?hush@host/db", "escaped"),
            ("postgres://u:12?hush=x@host/db&hush", "escaped"),
            ("postgres://u:12#hush@host/db", "escaped"),
            ("redis://:12?hush@host/0", "not a URL"),
            ("unix://hush/s.sock", "three slashes"),
        ] {
            let problem = check(url).unwrap_err();
            assert!(problem.contains(named), "{url}: {problem}");
            assert!(!problem.contains("hush"), "{url}: {problem}");
        }
    }

    #[test]
    fn what_the_drivers_understand_passes() {
        for url in [
            "sqlite://freshet.db?mode=rwc",
            "postgres://u:p@h/d?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x",
            "postgres:///d?host=/run/postgresql&user=me&password=p%26q&options[search_path]=f",
            "redis://:p@h:1/2?protocol=resp3",
            "rediss://u:p@h",
            "redis+unix:///run/redis.sock?db=1&user=me&pass=hush",
            "unix:///run/redis.sock",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
            assert!(
                url.starts_with("sqlite") || !display(url).contains("hush"),
                "{url}"
            );
        }
        assert_eq!(display("memory"), "memory");
        assert_eq!(
            display("unix:///run/r.sock?pass=hush"),
            "unix:///run/r.sock"
        );
    }
}
