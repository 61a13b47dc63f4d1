//! A way to a server that can be cut, closed and listened in on.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Takes connections on a loopback port of its own and hands them on.
pub struct Proxy {
    address: SocketAddr,
    /// Of connections to come.
    target: Arc<Mutex<SocketAddr>>,
    tap: Arc<Mutex<Option<Tap>>>,
    /// Its own, of the connections that it hands on.
    ports: Arc<Mutex<HashSet<u16>>>,
    /// Cancelled to end the connections and the listening of now.
    open: CancellationToken,
    /// Bound and never listening: keeps the port while nobody listens on it.
    _holder: TcpSocket,
}

/// What is listened for in what clients send.
#[derive(Clone)]
struct Tap {
    words: Vec<u8>,
    /// What holds the words goes no further while this is true.
    hold: watch::Receiver<bool>,
    heard: watch::Sender<u64>,
}

/// What a proxy hears.
pub struct Hearing {
    /// How often.
    pub heard: watch::Receiver<u64>,
    hold: watch::Sender<bool>,
}

impl Hearing {
    /// Lets what was held back go on.
    pub fn release(&self) {
        self.hold.send_replace(false);
    }
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Proxy {
        let holder = socket("127.0.0.1:0".parse().unwrap());
        let mut proxy = Proxy {
            address: holder.local_addr().unwrap(),
            target: Arc::new(Mutex::new(target)),
            tap: Arc::default(),
            ports: Arc::default(),
            open: CancellationToken::new(),
            _holder: holder,
        };
        proxy.open();
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands new connections on to another server; those that are open stay where they are.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// Cuts every connection and refuses new ones; how many it cut.
    pub fn close(&self) -> usize {
        let cut = self.ports().len();
        self.open.cancel();
        cut
    }

    /// Under which the server knows the connections that are open now.
    pub fn ports(&self) -> HashSet<u16> {
        self.ports.lock().unwrap().clone()
    }

    /// Takes connections again.
    pub fn open(&mut self) {
        self.open = CancellationToken::new();
        let listener = socket(self.address).listen(1024).unwrap();
        let (open, tap) = (self.open.clone(), Arc::clone(&self.tap));
        let target = Arc::clone(&self.target);
        let ports = Arc::clone(&self.ports);
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = open.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((client, _)) = accepted else { continue };
                let target = *target.lock().unwrap();
                let (open, tap, ports) = (open.clone(), Arc::clone(&tap), Arc::clone(&ports));
                tokio::spawn(async move {
                    // What is cut is reset, not ended in good order.
                    let _ = client.set_zero_linger();
                    let Ok(server) = TcpStream::connect(target).await else {
                        return;
                    };
                    let port = server.local_addr().unwrap().port();
                    ports.lock().unwrap().insert(port);
                    tokio::select! {
                        () = open.cancelled() => {}
                        () = hand_on(client, server, &tap) => {}
                    }
                    ports.lock().unwrap().remove(&port);
                });
            }
        });
    }

    /// Counts how often clients send these words, and holds back what holds them.
    pub fn listen_for(&self, words: &str) -> Hearing {
        let (heard, hearing) = watch::channel(0);
        let (release, hold) = watch::channel(true);
        let words = words.as_bytes().to_vec();
        *self.tap.lock().unwrap() = Some(Tap { words, hold, heard });
        Hearing {
            heard: hearing,
            hold: release,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

/// Shares its port, so that it stays taken from one listening to the next.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// Until either side ends.
async fn hand_on(mut client: TcpStream, mut server: TcpStream, tap: &Mutex<Option<Tap>>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asking = async {
        let mut buffer = vec![0; 1 << 16];
        // The end of what was sent, in case the words are torn apart.
        let mut before: Vec<u8> = Vec::new();
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let tap = tap.lock().unwrap().clone();
            if let Some(Tap {
                words,
                mut hold,
                heard,
            }) = tap
            {
                before.extend_from_slice(&buffer[..length]);
                if before.windows(words.len()).any(|part| part == words) {
                    before.clear();
                    heard.send_modify(|count| *count += 1);
                    // Nobody releases it where the other end is gone.
                    let _ = hold.wait_for(|held| !held).await;
                }
                before.drain(..before.len().saturating_sub(words.len() - 1));
            }
            if to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = asking => {} () = answering => {} }
}
