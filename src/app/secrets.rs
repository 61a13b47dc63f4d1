//! Follows the files that addresses come from, while the process runs.

use crate::network::Address;
use crate::store::Store;
use secrecy::ExposeSecret;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A small file of this machine, looked at this often.
const LOOK: Duration = Duration::from_secs(2);

/// Has the database's new connections made to the address that its file holds now.
pub(super) async fn follow(
    address: Address,
    store: Store,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut known = address.now();
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! { () = stop.cancelled() => return Ok(()), _ = look.tick() => {} }
        let now = address.now();
        if now.expose_secret() == known.expose_secret() {
            continue;
        }
        match store.renew(&address) {
            Ok(()) => tracing::info!("database.url has changed; new connections go by it"),
            Err(error) => tracing::warn!(%error, "database.url has changed, and cannot be used"),
        }
        known = now;
    }
}
