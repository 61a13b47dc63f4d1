//! Keeps what is made up apart from what is real: a database that holds one is never filled with the other.

use crate::source::ArcticShift;
use crate::store::{Store, StoreError};
use std::sync::atomic::Ordering;

const SIMULATED_HERE: &str = "the database holds submissions of a simulated Reddit, and this source is real: \
     choose another database (database.url), or point the source (arctic_shift.url, reddit.api_url) at \
     freshet simulate";
const REAL_HERE: &str = "the database holds real submissions, and this source is a simulated one: choose another \
     database (database.url), or the real source (arctic_shift.url, reddit.api_url)";

/// Whose submissions a source gives out, as far as its answers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Made up.
    Simulated,
    /// Real.
    Real,
}

impl Source {
    /// Of an archive that has answered.
    pub fn of_archive(archive: &ArcticShift) -> Source {
        if archive.simulated().load(Ordering::Relaxed) {
            Source::Simulated
        } else {
            Source::Real
        }
    }

    /// Notes in the database whose submissions it holds from now on; why not where it holds the others.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn mark(self, store: &Store) -> Result<Result<(), &'static str>, StoreError> {
        match self {
            Source::Simulated if store.is_real().await? => return Ok(Err(REAL_HERE)),
            Source::Simulated => store.mark_simulated().await?,
            Source::Real if store.is_simulated().await? => return Ok(Err(SIMULATED_HERE)),
            Source::Real => store.mark_real().await?,
        }
        Ok(Ok(()))
    }
}

/// Why a source must not even be asked: it is out in the world, where nothing is simulated, and the database
/// holds what is.
///
/// # Errors
/// As the database answers.
pub async fn before_any_request(
    store: &Store,
    url: &reqwest::Url,
) -> Result<Result<(), &'static str>, StoreError> {
    if is_out_in_the_world(url) && store.is_simulated().await? {
        return Ok(Err(SIMULATED_HERE));
    }
    Ok(Ok(()))
}

/// A simulated Reddit runs on this machine or beside it: at a private address or under a bare name.
fn is_out_in_the_world(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(it)) => {
            !(it.is_loopback() || it.is_private() || it.is_link_local())
        }
        Ok(std::net::IpAddr::V6(it)) => !(it.is_loopback() || it.is_unique_local()),
        Err(_) => bare.contains('.') && !bare.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_name_or_address_in_the_world_is_out_there() {
        for (url, expected) in [
            ("https://arctic-shift.photon-reddit.com", true),
            ("https://oauth.reddit.com/", true),
            ("http://8.8.8.8:80/", true),
            ("http://127.0.0.1:8090/", false),
            ("http://[::1]:8090/", false),
            ("http://simulator:8090/", false),
            ("http://localhost/", false),
            ("http://10.0.0.7/", false),
        ] {
            assert_eq!(
                is_out_in_the_world(&url.parse().unwrap()),
                expected,
                "{url}"
            );
        }
    }
}
