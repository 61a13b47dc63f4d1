//! Whose certificates are believed: the system's authorities (or those that `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name in their place), and beside them those of a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;
use std::sync::Arc;

/// How each certificate begins in a file of them.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Own authorities, beside the system's.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    own: Option<Arc<str>>,
}

impl Trust {
    /// With the certificates of this file.
    ///
    /// # Errors
    /// Where it cannot be read or holds none that can be used.
    pub fn with(file: &Path) -> Result<Trust, String> {
        let shown = file.display();
        let text = super::read_file(file)
            .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
        let usable = reqwest::Certificate::from_pem_bundle(text.as_bytes());
        if !usable.is_ok_and(|certificates| !certificates.is_empty()) {
            return Err(format!(
                "the file {shown} holds no certificate (PEM: it begins with {BEGIN})"
            ));
        }
        Ok(Trust {
            own: Some(text.into()),
        })
    }

    /// The own authorities alone, where there are any: for clients that know the system's.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// All of them, for clients that do not know the system's; none where there are none.
    pub fn all(&self) -> Option<String> {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "Some of the system's certificates cannot be read");
        }
        let mut all = String::new();
        for certificate in system.certs {
            all.push_str(BEGIN);
            all.push('\n');
            all.push_str(&STANDARD.encode(&certificate));
            all.push_str(&format!("\n{END}\n"));
        }
        all.push_str(self.own().unwrap_or_default());
        Some(all).filter(|all| !all.is_empty())
    }
}
