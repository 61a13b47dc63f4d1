//! What every client's options share: what can be wrong with them.

use reqwest::Url;
use std::time::Duration;

/// An option that cannot work, by its name; never its value, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} cannot be used: {problem}")]
pub struct InvalidOptions {
    /// The field of the options.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// An address that carries nothing but where to go; it may have a path.
pub(super) fn check_url(option: &'static str, url: &Url) -> Result<(), InvalidOptions> {
    let problem = if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        "it is no http or https address"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it carries credentials"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it has a query or a fragment"
    } else {
        return Ok(());
    };
    Err(invalid(option, problem))
}

pub(super) fn check_timeouts(request: Duration, connect: Duration) -> Result<(), InvalidOptions> {
    if request.is_zero() || connect.is_zero() {
        let problem = "a timeout of zero lets nothing pass";
        return Err(invalid("request_timeout", problem));
    }
    Ok(())
}

pub(super) fn invalid(option: &'static str, problem: &str) -> InvalidOptions {
    InvalidOptions {
        option,
        problem: problem.to_owned(),
    }
}
