//! Keeps what is made up apart from what is real: a database that holds one is never filled with the other.
//!
//! Every source that a process asks is admitted by its answers, before anything of them is stored:
//! the first one marks the database, and one of the other kind is refused and ends the process. What an
//! address alone tells is checked before any request.

use crate::config::{Config, display_url};
use crate::source::{Admission, ArcticShift, Origin, Reddit, is_simulated};
use crate::store::{Mark, Store, StoreError};
use anyhow::{Context, anyhow, bail};
use futures::future::BoxFuture;
use reqwest::Url;
use secrecy::ExposeSecret;
use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::watch;

/// How long a server is waited for that may be a simulated Reddit.
const PATIENCE: Duration = Duration::from_secs(3);

/// A source that is asked: the key that names it, and its address.
pub type Asked<'a> = (&'static str, &'a Url);

/// Admits to one database what is of its kind.
#[derive(Debug, Clone)]
pub struct Unmixed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// As it is shown.
    database: String,
    /// Whose submissions were admitted first.
    admitted: watch::Sender<Option<Origin>>,
    /// Why others were refused.
    refused: watch::Sender<Option<String>>,
}

impl Unmixed {
    /// For this database, once nothing that the configuration alone tells of the sources that are to be
    /// asked speaks against it.
    ///
    /// # Errors
    /// Where the database holds what is made up and a source is real, or as the database answers.
    pub async fn check(
        config: &Config,
        store: &Store,
        sources: &[Asked<'_>],
    ) -> anyhow::Result<Unmixed> {
        let unmixed = Unmixed::new(config, store);
        if !store.is_simulated().await.context(UNREADABLE)? {
            return Ok(unmixed);
        }
        for (key, url) in sources {
            if Origin::of_address(url).is_none() && !is_out_in_the_world(url) {
                continue;
            }
            let (agent, network) = (&config.reddit.user_agent, &config.network);
            let simulated = Origin::of_address(url).is_none()
                && is_simulated(url, agent, network, PATIENCE).await?;
            if !simulated {
                bail!(unmixed.refusal(Origin::Real, &format!("{url} ({key})")));
            }
        }
        Ok(unmixed)
    }

    fn new(config: &Config, store: &Store) -> Unmixed {
        Unmixed(Arc::new(Inner {
            store: store.clone(),
            database: display_url(config.database.url.expose_secret()),
            admitted: watch::Sender::new(None),
            refused: watch::Sender::new(None),
        }))
    }

    /// Has the answers of these admitted.
    pub fn guard(&self, reddit: Option<&Reddit>, archive: Option<&ArcticShift>) {
        if let Some(reddit) = reddit {
            reddit.admitted_by(Arc::clone(&self.0) as Arc<dyn Admission>);
        }
        if let Some(archive) = archive {
            archive.admitted_by(Arc::clone(&self.0) as Arc<dyn Admission>);
        }
    }

    /// Marks the database as filled from files, which hold what is real.
    ///
    /// # Errors
    /// Where it holds what is made up, or as it answers.
    pub async fn files(config: &Config, store: &Store) -> anyhow::Result<()> {
        let marked = store.mark_unless(Mark::Real, Mark::Simulated).await;
        if marked.context(UNREADABLE)? {
            return Ok(());
        }
        bail!(Unmixed::new(config, store).refusal(Origin::Real, "files (--source)"))
    }

    /// Ends once an answer was refused, with the error that says so.
    pub async fn refused(self) -> anyhow::Error {
        let mut refused = self.0.refused.subscribe();
        match refused.wait_for(Option::is_some).await {
            Ok(why) => anyhow!(why.clone().unwrap_or_default()),
            Err(_) => std::future::pending().await,
        }
    }

    /// Does something that asks sources, and ends early where an answer is refused.
    ///
    /// # Errors
    /// Its own, or the refusal.
    pub async fn unless_refused<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            refused = self.clone().refused() => Err(refused),
            done = work => match self.0.refused.borrow().clone() {
                Some(refused) => Err(anyhow!(refused)),
                None => done,
            },
        }
    }

    fn refusal(&self, origin: Origin, source: &str) -> String {
        self.0.refusal(origin, source)
    }
}

const UNREADABLE: &str = "whether the database holds what is real or made up cannot be read";

impl Inner {
    fn refusal(&self, origin: Origin, source: &str) -> String {
        let database = &self.database;
        match origin {
            Origin::Real => format!(
                "the database at {database} holds submissions of a simulated Reddit, and {source} holds real \
                 ones, which are not mixed\n  Choose another database (database.url) for what is real, or point \
                 the sources (reddit.api_url, reddit.auth_url, arctic_shift.url) at freshet simulate."
            ),
            Origin::Simulated => format!(
                "the database at {database} holds real submissions, and {source} is a simulated Reddit, which are \
                 not mixed\n  Choose another database (database.url) for what is simulated, or the real sources \
                 (reddit.api_url, reddit.auth_url, arctic_shift.url)."
            ),
        }
    }

    async fn try_admit(&self, origin: Origin) -> Result<bool, StoreError> {
        let (mark, other) = match origin {
            Origin::Simulated => (Mark::Simulated, Mark::Real),
            Origin::Real => (Mark::Real, Mark::Simulated),
        };
        self.store.mark_unless(mark, other).await
    }
}

impl Admission for Inner {
    fn admit(&self, origin: Origin) -> BoxFuture<'_, Result<(), String>> {
        let admitted = *self.admitted.borrow();
        if admitted == Some(origin) {
            return Box::pin(std::future::ready(Ok(())));
        }
        Box::pin(async move {
            let admits = match admitted {
                Some(_) => false,
                None => self.try_admit(origin).await.map_err(|error| {
                    format!(
                        "{UNREADABLE}, so that the answer is not used: {}",
                        error.told()
                    )
                })?,
            };
            if !admits {
                let refusal = self.refusal(origin, "what answers");
                self.refused.send_replace(Some(refusal.clone()));
                return Err(refusal);
            }
            let first = self.admitted.send_replace(Some(origin)).is_none();
            if first && origin == Origin::Simulated {
                warn_of_simulation("SIMULATED: what is stored is made up by a simulated Reddit");
            }
            Ok(())
        })
    }
}

/// Once in a process: whoever knows it first says it.
pub fn warn_of_simulation(text: &'static str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("{text}"));
}

/// A simulated Reddit runs on this machine or beside it: at a private address or under a bare name.
fn is_out_in_the_world(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(it)) => !(it.is_loopback() || it.is_private() || it.is_link_local()),
        Ok(IpAddr::V6(it)) => !(it.is_loopback() || it.is_unique_local()),
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
