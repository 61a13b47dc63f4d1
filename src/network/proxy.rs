//! The proxy that requests over HTTP go through.

use reqwest::{ClientBuilder, NoProxy};
use secrecy::{ExposeSecret, SecretString};

/// Never sent through a proxy: it would reach its own machine instead of this one.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Where requests go instead of straight to the server. The addresses may hold a password.
#[derive(Debug, Clone, Default)]
pub struct Proxy {
    /// For `https://`; the proxy sees names, nothing else.
    pub https: Option<SecretString>,
    /// For `http://`; the proxy sees everything.
    pub http: Option<SecretString>,
    /// Names and networks that are reached without it, separated by commas.
    pub except: String,
}

impl Proxy {
    /// One for everything.
    pub fn one(url: SecretString) -> Proxy {
        Proxy {
            https: Some(url.clone()),
            http: Some(url),
            except: String::new(),
        }
    }

    /// What is wrong with a proxy's address; never the address, which may hold a password.
    ///
    /// # Errors
    /// A few words.
    pub fn check(url: &str) -> Result<(), &'static str> {
        let parsed =
            url::Url::parse(url).map_err(|_| "it is no address such as http://proxy:3128")?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(
                "a proxy's address begins with http:// or https:// (SOCKS is not supported)",
            );
        }
        let bare = matches!(parsed.path(), "" | "/");
        if !parsed.has_host() || !bare || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err("a proxy's address is http://host:port, and nothing behind it");
        }
        Ok(())
    }

    /// Makes a client go through it.
    ///
    /// # Errors
    /// Where an address is none.
    pub fn apply(&self, mut client: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
        let except = format!("{LOOPBACK},{}", self.except);
        let exempt = || NoProxy::from_string(&except);
        if let Some(url) = &self.https {
            let proxy = reqwest::Proxy::https(url.expose_secret())?;
            client = client.proxy(proxy.no_proxy(exempt()));
        }
        if let Some(url) = &self.http {
            let proxy = reqwest::Proxy::http(url.expose_secret())?;
            client = client.proxy(proxy.no_proxy(exempt()));
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_proxy_is_a_host_and_a_port() {
        for good in [
            "http://proxy:3128",
            "https://me:hush@proxy.example/",
            "http://[::1]:1",
        ] {
            assert_eq!(Proxy::check(good), Ok(()), "{good}");
        }
        for bad in [
            "proxy:3128",
            "",
            "socks5://proxy:1080",
            "http://proxy/x",
            "http://p/?a=b",
        ] {
            assert!(Proxy::check(bad).is_err(), "{bad}");
        }
    }
}
