//! What the log says of outages: one line at the start of each and one at its end.
//!
//! Several dependencies may be one server, such as the queue and the rate budget in one Redis. An outage
//! of the server fails all of them, and is logged once, in the name of the first that was announced. What
//! a user may not do is not the server's fault: that is logged in the name of whatever is refused.

use super::{Class, Service, Trouble};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The outages of one server.
#[derive(Debug)]
pub(super) struct OutageLog {
    server: Service,
    outages: Mutex<Vec<Outage>>,
}

#[derive(Debug)]
struct Outage {
    name: Service,
    class: Class,
    began: Instant,
    failing: Vec<Service>,
}

impl Outage {
    fn is_about_rights(&self) -> bool {
        self.class == Class::NoPermission
    }
}

impl OutageLog {
    pub(super) fn new(server: Service) -> OutageLog {
        OutageLog {
            server,
            outages: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begins(&self, service: Service, trouble: &Trouble, began: Instant) {
        let mut outages = self.lock();
        let about_rights = trouble.class == Class::NoPermission;
        let same = |it: &&mut Outage| it.is_about_rights() == about_rights;
        if let Some(outage) = outages.iter_mut().find(same) {
            outage.failing.push(service);
            tracing::debug!(
                dependency = service.as_str(),
                class = trouble.class.as_str(),
                error = trouble.error,
                "Dependency is failing, too"
            );
            return;
        }
        let name = if about_rights { service } else { self.server };
        tracing::warn!(
            dependency = name.as_str(),
            class = trouble.class.as_str(),
            error = trouble.error,
            remedy = trouble.remedy,
            "Dependency is failing; retrying until it works"
        );
        outages.push(Outage {
            name,
            class: trouble.class,
            began,
            failing: vec![service],
        });
    }

    pub(super) fn ends(&self, service: Service) {
        let mut outages = self.lock();
        for outage in &mut *outages {
            outage.failing.retain(|it| *it != service);
        }
        outages.retain(|outage| {
            if outage.failing.is_empty() {
                tracing::info!(
                    dependency = outage.name.as_str(),
                    class = outage.class.as_str(),
                    seconds = outage.began.elapsed().as_secs(),
                    "Dependency recovered"
                );
            }
            !outage.failing.is_empty()
        });
    }
}
