//! What the program holds, measured from outside: everything that others can make it hold, at once.

use super::support::binary::{Home, PATIENCE, Process};
use super::support::canned::{Answer, Asked, Server};
use sqlx::{Connection, SqliteConnection};
use std::io::{BufReader, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// As SECURITY.md says it.
const LIMIT_KB: u64 = 300 * 1024;
const WATCHED: u32 = 100_000;
/// Connections of clients that read nothing; as many as there may be.
const CLIENTS: usize = 64;
/// Pages of each kind that are asked for, and answers that nobody reads, before it is measured.
const PAGES: usize = 40;
const UNREAD: usize = 300;

/// The greatest amount of memory so far.
fn peak_kb(run: &Process) -> u64 {
    peak_kb_of(run.pid()).unwrap()
}

/// None of a process that has ended.
fn peak_kb_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

/// Pages that never end and are as expensive as pages can be.
#[derive(Default)]
struct Hostile {
    listings: AtomicUsize,
    infos: AtomicUsize,
    items: AtomicUsize,
}

impl Hostile {
    fn answer(&self, asked: &Asked) -> Answer {
        if asked.path.ends_with("/access_token") {
            let token =
                r#"{"access_token":"t","token_type":"bearer","expires_in":86400,"scope":"*"}"#;
            return Answer::json(200, token);
        }
        let number = match asked.path.contains("/info") {
            true => self.infos.fetch_add(1, Ordering::SeqCst),
            false => self.listings.fetch_add(1, Ordering::SeqCst),
        };
        Answer::json(200, &self.page(number))
    }

    fn page(&self, number: usize) -> String {
        let now = chrono::Utc::now().timestamp();
        let first = self.items.fetch_add(2_000, Ordering::SeqCst);
        let child = |number: usize, more: &str| {
            let id = base36(36_usize.pow(5) + first + number);
            format!(r#"{{"kind":"t3","data":{{"id":"{id}","created_utc":{now}{more}}}}}"#)
        };
        let (count, more) = match number % 4 {
            // As many as are taken, and as small as can be.
            0 | 1 => (2_000, String::new()),
            // As large as is taken.
            2 => (90, format!(r#","selftext":"{}""#, "x".repeat(170_000))),
            // Nested as deep as anybody likes.
            _ => (
                90,
                format!(r#","x":{}{}"#, "[".repeat(50_000), "]".repeat(50_000)),
            ),
        };
        let children: Vec<String> = (0..count).map(|number| child(number, &more)).collect();
        let after = base36(36_usize.pow(5) + first + count - 1);
        let children = children.join(",");
        format!(r#"{{"kind":"Listing","data":{{"after":"t3_{after}","children":[{children}]}}}}"#)
    }
}

fn base36(mut number: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
        number /= 36;
    }
    digits.reverse();
    String::from_utf8(digits).unwrap()
}

async fn watch_many(home: &Home) {
    home.run(&["migrate"]).await.ended_with(0);
    let url = format!("sqlite://{}", home.path().join("freshet.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                  INSERT INTO subreddits (name, state, added_at, next_poll_ms, claim_token)
                  SELECT 'subreddit_' || i, 'active', 0, 0, i FROM n";
    sqlx::query(insert)
        .bind(WATCHED)
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

/// Asks for the longest answers and reads none of them.
async fn read_nothing(address: SocketAddr, asked: Arc<AtomicUsize>) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            return;
        };
        let number = asked.fetch_add(1, Ordering::SeqCst);
        let path = ["/api/v1/status", "/metrics"][number % 2];
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_others_can_make_it_hold_at_once_fits_into_its_containers_limit() {
    let hostile = Arc::new(Hostile::default());
    let server = Server::start({
        let hostile = Arc::clone(&hostile);
        move |asked| hostile.answer(asked)
    })
    .await;
    let home = Home::new();
    watch_many(&home).await;
    let url = server.options().api_url;
    home.write(
        "freshet.toml",
        &format!(
            "[reddit]\napi_url = \"{url}\"\nauth_url = \"{url}\"\nclient_id = \"a\"\nclient_secret = \"b\"\n\
             requests_per_minute = 100000\n[http]\nlisten = \"127.0.0.1:0\"\n"
        ),
    );
    let mut command = home.command(&["run"]);
    // As the image does: what is free is given back at once.
    let image = include_str!("../../Dockerfile");
    assert!(image.contains("\nENV MIMALLOC_PURGE_DELAY=0\n"));
    command.env("MIMALLOC_PURGE_DELAY", "0");
    let mut run = Process::start(&mut command);
    let address = run.address().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(read_nothing(address, Arc::clone(&asked)));
    }
    let begun = Instant::now();
    let enough = || {
        let counted = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        counted(&hostile.listings) >= PAGES && counted(&asked) >= UNREAD
    };
    while !enough() {
        assert!(!run.has_ended(), "{}", run.stderr());
        assert!(begun.elapsed() < PATIENCE * 3, "not in time");
        let peak = peak_kb(&run);
        assert!(peak < LIMIT_KB, "{peak} kB");
        sleep(Duration::from_millis(100)).await;
    }
    let peak = peak_kb(&run);
    println!(
        "peak {peak} kB, {} listings, {} infos, {} answers unread",
        hostile.listings.load(Ordering::SeqCst),
        hostile.infos.load(Ordering::SeqCst),
        asked.load(Ordering::SeqCst)
    );
    assert!(peak < LIMIT_KB, "{peak} kB");
    clients.abort_all();
    run.until_code("/healthz", 200).await;
}

/// A frame of so many bytes, of a pattern that repeats.
fn frame(bytes: u64, pattern: &'static [u8]) -> Vec<u8> {
    struct Repeated(&'static [u8], usize);
    impl Read for Repeated {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            for byte in into.iter_mut() {
                *byte = self.0[self.1];
                self.1 = (self.1 + 1) % self.0.len();
            }
            Ok(into.len())
        }
    }
    let source = BufReader::new(Repeated(pattern, 0).take(bytes));
    zstd::stream::encode_all(source, 1).unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_small_file_unfolds_to_is_read_within_the_same_limit() {
    const LARGE: u64 = 48 << 20;
    let files = [
        ("brackets", frame(LARGE, b"[\n")),
        ("one line", frame(LARGE, b"x")),
        ("one text", frame(LARGE, b"\"x")),
        ("empty lines", frame(LARGE, b"\n")),
        ("no objects", frame(LARGE / 4, b"{}\n")),
        (
            "odd objects",
            frame(LARGE / 4, b"{\"id\":[],\"created_utc\":1}\n"),
        ),
        ("a list", frame(LARGE, b"[[[[[[[[1],")),
        ("nested", frame(LARGE, b"{\"a\":")),
    ];
    for (name, bytes) in files {
        let home = Home::new();
        std::fs::write(home.path().join("file.zst"), &bytes).unwrap();
        let mut read = home.start(&["backfill", "rust", "--source", "file.zst"]);
        let (begun, mut peak) = (Instant::now(), 0);
        while !read.has_ended() {
            peak = peak.max(peak_kb_of(read.pid()).unwrap_or(0));
            assert!(peak < LIMIT_KB, "{name}: {peak} kB");
            assert!(begun.elapsed() < PATIENCE * 3, "{name}: not in time");
            sleep(Duration::from_millis(20)).await;
        }
        let written: u64 = std::fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        println!("{name}: {peak} kB, {written} bytes in the folder");
        assert!(peak > 0 && written < LARGE / 2, "{name}: {written} bytes");
    }
}
