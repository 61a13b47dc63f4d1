//! By which names the server may be addressed.
//!
//! A page from elsewhere can let its own name stand for a loopback address (DNS rebinding), and a
//! browser would then let it read what is served there. Its name in `Host` gives it away.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// What `Host` may be. Addresses, names without a dot, such as those of services in a network of
/// containers, and names below `localhost` are no names that anybody else could own.
#[derive(Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
    /// Who listens for other machines knows by what names these call it only where it is told.
    any: bool,
}

impl Hosts {
    /// `allowed` in lower case; `*` allows every name.
    pub(super) fn new(listen: IpAddr, allowed: Vec<String>) -> Hosts {
        let any = match &allowed[..] {
            [] => !listen.is_loopback(),
            names => names.iter().any(|name| name == "*"),
        };
        Hosts {
            names: allowed,
            any,
        }
    }

    fn allow(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        self.any
            || address.parse::<IpAddr>().is_ok()
            || (!host.is_empty() && !host.contains('.'))
            || host.ends_with(".localhost")
            || self.names.iter().any(|name| name == host)
    }
}

const UNKNOWN: &str = "This server does not go by the name in the Host header. Ask for its address or \
                       localhost, or add the name to http.allowed_hosts.\n";

/// Refuses requests that name another host.
pub(super) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let mut named = request.headers().get_all(header::HOST).iter();
    let host = named.next();
    if named.next().is_some() || (host.is_none() && request.version() >= Version::HTTP_11) {
        return (
            StatusCode::BAD_REQUEST,
            "Exactly one Host header is needed.\n",
        )
            .into_response();
    }
    let in_target = request.uri().authority().map(Authority::as_str);
    let in_header = host.map(|host| host.to_str().unwrap_or_default());
    let mut given = in_target.into_iter().chain(in_header);
    if given.all(|host| hosts.allow(host)) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, UNKNOWN).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str, allowed: &[&str]) -> Hosts {
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(listen.parse().unwrap(), allowed)
    }

    const OWN: [&str; 9] = [
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "127.0.0.1:8080",
        "[::1]:8080",
        "[::1]",
        "192.168.1.2:80",
        "scheduler:8080",
        "freshet.localhost:8080",
    ];
    const STRANGE: [&str; 8] = [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost.example",
        "",
        "a b",
        "127.0.0.1:8080/evil.example",
    ];

    #[test]
    fn on_loopback_only_names_that_nobody_else_can_own_are_answered() {
        for listen in ["127.0.0.1", "::1", "127.3.2.1"] {
            let hosts = hosts(listen, &[]);
            for host in OWN {
                assert!(hosts.allow(host), "{host}");
            }
            for host in STRANGE {
                assert!(!hosts.allow(host), "{host}");
            }
        }
    }

    #[test]
    fn names_that_are_configured_are_answered_and_then_no_others_wherever_it_listens() {
        for listen in ["127.0.0.1", "0.0.0.0", "::"] {
            let hosts = hosts(listen, &["metrics.example"]);
            for host in OWN
                .into_iter()
                .chain(["metrics.example", "Metrics.Example:8080"])
            {
                assert!(hosts.allow(host), "{host}");
            }
            for host in STRANGE {
                assert!(!hosts.allow(host), "{host}");
            }
            assert!(!hosts.allow("x.metrics.example"));
        }
    }

    #[test]
    fn whoever_listens_for_other_machines_or_says_so_takes_every_name() {
        for hosts in [hosts("0.0.0.0", &[]), hosts("127.0.0.1", &["*"])] {
            for host in OWN.into_iter().chain(["evil.example:8080"]) {
                assert!(hosts.allow(host), "{host}");
            }
        }
    }
}
