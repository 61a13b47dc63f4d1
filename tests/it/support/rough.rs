//! A server that breaks every rule of a conversation, at the level of bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GIGABYTE: usize = 1 << 30;
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rough {
    /// A body of a gigabyte, of known length.
    Huge,
    /// The same in chunks, without a known end.
    HugeChunked,
    /// A list of millions of children.
    ManyChildren,
    /// A megabyte that inflates to a gigabyte.
    GzipBomb,
    /// The same, compressed again.
    GzipTwice,
    /// Said to be compressed, and is not.
    GzipGarbage,
    /// One header of a megabyte.
    LongHeader,
    /// One header after the other.
    EndlessHeaders,
    /// A byte of the body every tenth of a second.
    Trickle,
    /// The same from the first byte on.
    TrickleHead,
    /// Never a byte.
    Silence,
    /// Closes after half of the head.
    CutHead,
    /// Promises more than it sends.
    ShortBody,
    /// Sends more than it promises, so that what was promised is no JSON.
    LongBody,
    /// A chunk's length that is no number.
    ChunkedGarbage,
    /// Another protocol.
    NoHttp,
}

impl Rough {
    pub const ALL: [Rough; 16] = [
        Rough::Huge,
        Rough::HugeChunked,
        Rough::ManyChildren,
        Rough::GzipBomb,
        Rough::GzipTwice,
        Rough::GzipGarbage,
        Rough::LongHeader,
        Rough::EndlessHeaders,
        Rough::Trickle,
        Rough::TrickleHead,
        Rough::Silence,
        Rough::CutHead,
        Rough::ShortBody,
        Rough::LongBody,
        Rough::ChunkedGarbage,
        Rough::NoHttp,
    ];

    /// Whether it takes as long as it is let.
    pub fn dawdles(self) -> bool {
        matches!(self, Rough::Trickle | Rough::TrickleHead | Rough::Silence)
    }

    /// Answers so; an error says that the other side has had enough.
    async fn answer(self, to: &mut TcpStream, bomb: &[u8]) -> std::io::Result<()> {
        let megabyte = vec![b' '; 1 << 20];
        match self {
            Rough::Huge => {
                to.write_all(format!("{JSON}content-length: {GIGABYTE}\r\n\r\n").as_bytes())
                    .await?;
                for _ in 0..1024 {
                    to.write_all(&megabyte).await?;
                }
            }
            Rough::HugeChunked => {
                to.write_all(format!("{JSON}transfer-encoding: chunked\r\n\r\n").as_bytes())
                    .await?;
                for _ in 0..1024 {
                    to.write_all(b"100000\r\n").await?;
                    to.write_all(&megabyte).await?;
                    to.write_all(b"\r\n").await?;
                }
            }
            Rough::ManyChildren => {
                let mut body = br#"{"kind":"Listing","data":{"children":[0"#.to_vec();
                body.extend(b",0".repeat(9_000_000));
                body.extend(b"]}}");
                whole(to, "", &body).await?;
            }
            Rough::GzipBomb => whole(to, "content-encoding: gzip\r\n", bomb).await?,
            Rough::GzipTwice => whole(to, "content-encoding: gzip, gzip\r\n", bomb).await?,
            Rough::GzipGarbage => {
                whole(to, "content-encoding: gzip\r\n", b"{\"kind\":\"Listing\"}").await?
            }
            Rough::LongHeader => {
                to.write_all(format!("{JSON}x-long: ").as_bytes()).await?;
                to.write_all(&vec![b'a'; 1 << 20]).await?;
                to.write_all(b"\r\ncontent-length: 2\r\n\r\n{}").await?;
            }
            Rough::EndlessHeaders => {
                to.write_all(JSON.as_bytes()).await?;
                for number in 0_u64.. {
                    to.write_all(format!("x-{number}: a\r\n").as_bytes())
                        .await?;
                }
            }
            Rough::Trickle => {
                to.write_all(format!("{JSON}content-length: {GIGABYTE}\r\n\r\n").as_bytes())
                    .await?;
                trickle(to, b"{").await?;
            }
            Rough::TrickleHead => trickle(to, JSON.as_bytes()).await?,
            Rough::Silence => std::future::pending().await,
            Rough::CutHead => to.write_all(&JSON.as_bytes()[..30]).await?,
            Rough::ShortBody => {
                to.write_all(format!("{JSON}content-length: 100\r\n\r\n{{\"kind\"").as_bytes())
                    .await?;
            }
            Rough::LongBody => {
                to.write_all(
                    format!("{JSON}content-length: 5\r\n\r\n{{\"kind\":\"Listing\"}}").as_bytes(),
                )
                .await?;
            }
            Rough::ChunkedGarbage => {
                to.write_all(
                    format!("{JSON}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n").as_bytes(),
                )
                .await?;
            }
            Rough::NoHttp => to.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await?,
        }
        to.shutdown().await
    }
}

async fn whole(to: &mut TcpStream, header: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("{JSON}{header}content-length: {}\r\n\r\n", body.len());
    to.write_all(head.as_bytes()).await?;
    to.write_all(body).await
}

/// These bytes and then spaces, one at a time, for ever.
async fn trickle(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().copied().chain(std::iter::repeat(b' ')) {
        to.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A gzip file of about a megabyte that holds a gigabyte of zeros.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    // It ends on a whole byte and refers to nothing before it, so it can stand there any number of
    // times.
    let block = encoder.get_ref().clone();
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bomb.extend(block.repeat(1024));
    bomb
}

/// Says for the path of a request how it is answered: roughly, or as the server behind it answers.
type Script = dyn Fn(&str) -> Option<Rough> + Send + Sync;

/// Stands before a server, and answers in its place where the script says so.
pub struct Roughly {
    pub url: String,
    /// What was answered roughly: path and manner.
    pub done: Arc<Mutex<Vec<(String, Rough)>>>,
}

impl Roughly {
    pub async fn before(
        server: u16,
        script: impl Fn(&str) -> Option<Rough> + Send + Sync + 'static,
    ) -> Roughly {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let done = Arc::new(Mutex::new(Vec::new()));
        let (script, bomb): (Arc<Script>, Arc<Vec<u8>>) = (Arc::new(script), Arc::new(bomb()));
        let told = Arc::clone(&done);
        // It ends with the runtime of the test.
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (script, bomb, told) =
                    (Arc::clone(&script), Arc::clone(&bomb), Arc::clone(&told));
                tokio::spawn(async move { serve(near, server, &*script, &bomb, &told).await });
            }
        });
        Roughly { url, done }
    }

    pub fn done(&self) -> Vec<(String, Rough)> {
        self.done.lock().unwrap().clone()
    }
}

/// One request a connection, so that each is asked of the script.
async fn serve(
    mut near: TcpStream,
    server: u16,
    script: &Script,
    bomb: &[u8],
    told: &Mutex<Vec<(String, Rough)>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    if let Some(rough) = script(&path) {
        told.lock().unwrap().push((path, rough));
        // What stays unread when it closes would cut the answer off.
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1);
        let length = length.and_then(|it| it.split("\r\n").next()?.parse().ok());
        near.read_exact(&mut vec![0; length.unwrap_or(0)]).await?;
        return rough.answer(&mut near, bomb).await;
    }
    let mut far = TcpStream::connect(("127.0.0.1", server)).await?;
    let closing = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    far.write_all(closing.as_bytes()).await?;
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    tokio::select! {
        // A request's body, where it has one.
        _ = tokio::io::copy(&mut near_in, &mut far_out) => {}
        _ = tokio::io::copy(&mut far_in, &mut near_out) => {}
    }
    near_out.shutdown().await
}
