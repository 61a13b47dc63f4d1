//! A wire to a server that a test can cut, mute and mend.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A port of its own that leads to the server's.
pub struct Wire {
    port: u16,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Every connection ends as soon as it is made.
    Cut,
    /// Every connection is taken, and nothing comes through it.
    Mute,
}

impl Wire {
    pub async fn to(server: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(State::Whole);
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut seen = seen.clone();
                tokio::spawn(async move {
                    let (mut muted, mut mended) = (seen.clone(), seen.clone());
                    let cut = async { seen.wait_for(|it| *it == State::Cut).await.map(drop) };
                    let carry = async {
                        // What was under way while it was mute is lost with its connection.
                        let heard = *muted.borrow() != State::Mute;
                        let broken = muted.wait_for(|it| *it == State::Mute);
                        if heard
                            && let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await
                        {
                            tokio::select! {
                                _ = copy_bidirectional(&mut near, &mut far) => return,
                                _ = broken => {}
                            }
                        }
                        let _ = mended.wait_for(|it| *it != State::Mute).await;
                    };
                    tokio::select! { biased; _ = cut => {} () = carry => {} }
                });
            }
        });
        Wire { port, state }
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub fn mute(&self) {
        self.state.send_replace(State::Mute);
    }

    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
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
