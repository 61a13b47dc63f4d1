//! Servers behind TLS, with certificates that are to be trusted or not.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::io::InspectReader;

/// Who vouches for servers; nobody trusts it who is not told to.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// How a server of this name shows itself.
    fn vouch_for(&self, host: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that hears what is said to it behind TLS, answers one thing, and hangs up.
pub struct Secured {
    pub port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    overheard: Arc<Mutex<Vec<u8>>>,
}

impl Secured {
    /// A server on this machine with a certificate for `host`. `preamble` is what a client says in the
    /// open before it begins TLS, and what it is told.
    pub async fn start(
        authority: &Authority,
        host: &str,
        preamble: Option<(usize, &'static [u8])>,
        answer: &'static [u8],
    ) -> Secured {
        let acceptor = authority.vouch_for(host);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let overheard = Arc::new(Mutex::new(Vec::new()));
        let (into, raw) = (Arc::clone(&heard), Arc::clone(&overheard));
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let raw = Arc::clone(&raw);
                let mut stream = InspectReader::new(stream, move |bytes: &[u8]| {
                    raw.lock().unwrap().extend_from_slice(bytes);
                });
                if let Some((length, told)) = preamble {
                    let mut said = vec![0; length];
                    if stream.read_exact(&mut said).await.is_err()
                        || stream.write_all(told).await.is_err()
                    {
                        continue;
                    }
                }
                let Ok(mut secured) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut said = vec![0; 4096];
                if let Ok(length @ 1..) = secured.read(&mut said).await {
                    into.lock().unwrap().extend_from_slice(&said[..length]);
                    let _ = secured.write_all(answer).await;
                }
                let _ = secured.shutdown().await;
            }
        });
        Secured {
            port,
            heard,
            overheard,
        }
    }

    /// Every byte that was sent to it, as it went over the wire.
    pub fn overheard(&self) -> String {
        String::from_utf8_lossy(&self.overheard.lock().unwrap()).into_owned()
    }

    /// Everything that was said to it behind TLS.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}
