//! A wire to a server that a test can cut and mend.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port of its own that leads to the server's.
pub struct Wire {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(server: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (whole, seen) = watch::channel(true);
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    // While it is cut a connection ends as soon as it is made.
                    let cut = async { seen.wait_for(|whole| !whole).await.map(drop) };
                    let carry = async {
                        if let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await {
                            let _ = copy_bidirectional(&mut near, &mut far).await;
                        }
                    };
                    tokio::select! { biased; _ = cut => {} () = carry => {} }
                });
            }
        });
        Wire { port, whole }
    }

    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// The same address, over the wire.
    pub fn lead(&self, url: &str) -> String {
        let mut url: reqwest::Url = url.parse().unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.to_string()
    }
}

/// The port in a server's address.
pub fn port(url: &str) -> u16 {
    let url: reqwest::Url = url.parse().unwrap();
    url.port().unwrap()
}
