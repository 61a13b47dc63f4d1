//! How servers are reached: addresses whose secrets are read again, who is trusted to vouch for a
//! server, and the proxy.
//!
//! Owns what an address may hold. Opens no connection and reads no environment, but for the
//! certificates that the system trusts.

mod address;
mod large;
mod proxy;
mod secret;
mod trust;

pub use address::{Address, check, display, is_in_memory, is_redis};
pub use large::{Large, LargeAnswers};
pub use proxy::Proxy;
pub use secret::{Secret, read_file};
pub use trust::Trust;

/// What every request over HTTP goes through, and whom it trusts.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// None: straight to the server.
    pub proxy: Option<Proxy>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Shared by every client of the process.
    pub large: LargeAnswers,
}
