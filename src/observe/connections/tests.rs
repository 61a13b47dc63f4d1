//! Clients that are slow on purpose.

use super::*;
use axum::routing::get;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(3_600);
const PATIENT: Limits = Limits {
    connections: 2,
    idle: LONG,
    head: LONG,
    answer: LONG,
    stall: LONG,
};
/// More than the system holds back for a client that does not read.
const LARGE: usize = 64 << 20;

async fn server(limits: Limits) -> (SocketAddr, Connections) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/large", get(|| async { "x".repeat(LARGE) }));
    let connections = Connections::default();
    // It ends with the test's runtime.
    tokio::spawn(serve(
        listener,
        routes,
        connections.clone(),
        limits,
        CancellationToken::new(),
    ));
    (address, connections)
}

async fn open(address: SocketAddr, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}

async fn ask(address: SocketAddr) -> String {
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut stream = open(address, request).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Whether the other side hangs up in time.
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut buffer = vec![0; 1 << 16];
    let end = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
    timeout(SOON, end).await.is_ok()
}

const WAYS: [&str; 4] = [
    "",
    "GET / HTTP/1.1\r\nhost: a\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /large HTTP/1.1\r\nhost: a\r\n\r\n",
];

#[tokio::test]
async fn however_many_are_slow_one_more_is_served_at_once() {
    for way in WAYS {
        let (address, connections) = server(PATIENT).await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            slow.push(open(address, way).await);
        }
        let answer = timeout(SOON, ask(address)).await.unwrap();
        assert!(answer.ends_with("here"), "{way:?}: {answer}");
        assert!(connections.lock().open.len() <= PATIENT.connections);
        assert!(is_cut(&mut slow[0]).await, "{way:?}: the slowest goes");
    }
}

#[tokio::test]
async fn who_is_slow_for_too_long_is_hung_up_on_in_every_phase() {
    let short = Duration::from_millis(50);
    let all = [
        (
            WAYS[0],
            Limits {
                idle: short,
                ..PATIENT
            },
        ),
        (
            WAYS[1],
            Limits {
                head: short,
                ..PATIENT
            },
        ),
        (
            WAYS[2],
            Limits {
                idle: short,
                ..PATIENT
            },
        ),
        (
            WAYS[3],
            Limits {
                answer: short,
                ..PATIENT
            },
        ),
        (
            WAYS[3],
            Limits {
                stall: short,
                ..PATIENT
            },
        ),
    ];
    for (way, limits) in all {
        let (address, connections) = server(limits).await;
        let _slow = open(address, way).await;
        let gone = async {
            // First it comes, then it goes.
            while connections.lock().last == 0 || !connections.lock().open.is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = timeout(SOON, gone).await;
        assert!(gone.is_ok(), "{way:?} stays with {limits:?}");
    }
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let (address, _) = server(PATIENT).await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}", "x: y\r\n".repeat(1_000));
    for head in [long, many] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // It may hang up before it has heard everything.
        let _ = stream.write_all(head.as_bytes()).await;
        assert!(is_cut(&mut stream).await);
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_one_by_one() {
    let (address, _) = server(PATIENT).await;
    let requests = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(9);
    let last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut stream = open(address, &format!("{requests}{last}")).await;
    let mut answers = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut answers)).await;
    read.unwrap().unwrap();
    assert_eq!(answers.matches("here").count(), 10);
}
