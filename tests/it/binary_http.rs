//! Who reaches the program over HTTP, and what they can do there.

use super::support::binary::{Home, Process};
use super::support::world::World;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every path that the server knows, as its source has them; each must be for reading alone.
fn routes() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/observe/http.rs");
    let source = std::fs::read_to_string(file).unwrap();
    let routes: Vec<String> = source
        .split(".route(")
        .skip(1)
        .map(|it| {
            let (path, rest) = it.split_once(',').unwrap();
            assert!(
                rest.trim_start().starts_with("get("),
                "{path} is for more than reading"
            );
            path.trim().trim_matches('"').to_owned()
        })
        .collect();
    assert!(routes.len() >= 5, "{routes:?}");
    for way in [
        ".fallback",
        ".nest",
        ".merge",
        "any(",
        "post(",
        "put(",
        "delete(",
        "patch(",
        ".on(",
    ] {
        assert!(!source.contains(way), "{way}");
    }
    routes
}

/// The status that a request of this method gets.
async fn status(run: &Process, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(run.address().await).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn nothing_can_be_changed_over_http() {
    let world = World::with(1).await;
    let home = world.home();
    let run = home.start(&["run", "rust"]);
    run.until_code("/readyz", 200).await;
    for path in routes() {
        // A parameter of a path may be anything.
        let path = path.split('{').next().unwrap();
        for method in ["GET", "HEAD"] {
            assert!(status(&run, method, path).await < 405, "{method} {path}");
        }
        if status(&run, "GET", path).await == 404 {
            continue;
        }
        for method in [
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PURGE",
        ] {
            assert_eq!(status(&run, method, path).await, 405, "{method} {path}");
        }
    }
    assert_eq!(status(&run, "POST", "/api/v1/subreddits").await, 404);
}

/// The first line of the answer to a request with these lines after the first.
async fn first_line(run: &Process, request: &str) -> String {
    let mut stream = TcpStream::connect(run.address().await).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_page_that_lets_its_own_name_stand_for_loopback_reads_nothing() {
    let world = World::with(1).await;
    let home = world.home();
    let run = home.start(&["run", "rust", "--http-allowed-hosts", "metrics.example"]);
    let port = run.address().await.port();
    let own = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        format!("scheduler:{port}"),
        "Metrics.Example".to_owned(),
    ];
    let strange = [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
    ];
    for path in [
        "/",
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/status",
        "/none",
    ] {
        let end = "connection: close\r\n\r\n";
        for host in &own {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{end}");
            let line = first_line(&run, &request).await;
            assert!(
                !line.contains(" 421 ") && !line.contains(" 400 "),
                "{host}: {line}"
            );
        }
        for host in strange {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{end}");
            let line = first_line(&run, &request).await;
            assert!(line.contains(" 421 "), "{host}: {line}");
            let target = format!("http://evil.example{path}");
            let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{end}");
            let line = first_line(&run, &request).await;
            assert!(line.contains(" 421 "), "{target}: {line}");
        }
        for hosts in ["", "host: localhost\r\nhost: evil.example\r\n"] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}{end}");
            let line = first_line(&run, &request).await;
            assert!(line.contains(" 400 "), "{hosts:?}: {line}");
        }
        // What is as old as this may have none.
        let line = first_line(&run, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert!(!line.contains(" 421 ") && !line.contains(" 400 "), "{line}");
    }
}

#[tokio::test]
async fn clients_that_are_slow_or_silent_keep_nobody_from_asking_whether_it_is_well() {
    let world = World::with(1).await;
    let home = world.home();
    let run = home.start(&["run", "rust"]);
    let address = run.address().await;
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let said = [
            "",
            "GET /metrics HT",
            "GET /healthz HTTP/1.1\r\nhost: a\r\n",
        ][number % 3];
        stream.write_all(said.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for path in ["/healthz", "/metrics", "/api/v1/status"] {
        run.until_code(path, 200).await;
    }
    // As many as find a place, and what the process itself needs.
    let files = std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap();
    assert!(files.count() < 150);
}

/// Whether the log warns of an address that others reach; each line has it once.
fn warned(run: &Process) -> usize {
    run.stderr()
        .matches("reachable from other machines")
        .count()
}

#[tokio::test]
async fn an_address_that_others_reach_is_warned_of_and_is_never_the_default() {
    let world = World::with(1).await;
    let home = world.home();
    let own = home.start(&["run", "rust"]);
    own.until_code("/readyz", 200).await;
    assert_eq!(warned(&own), 0);
    // All of this machine's addresses, for as long as the test takes.
    let home = world.home();
    let open = home.start(&["run", "rust", "--http-listen", "0.0.0.0:0"]);
    open.said("reachable from other machines").await;
    open.until_code("/readyz", 200).await;
    assert_eq!(warned(&open), 1);
    let simulated = Home::new();
    let open = simulated.start(&["simulate", "--listen", "0.0.0.0:0", "--history", "1m"]);
    open.said("reachable from other machines").await;
    assert_eq!(warned(&open), 1);
    for command in ["run", "demo"] {
        let help = Home::new().run(&[command, "--help"]).await.ended_with(0);
        assert!(help.stdout.contains("127.0.0.1:8080"), "{}", help.stdout);
    }
    let help = Home::new().run(&["simulate", "--help"]).await.ended_with(0);
    assert!(help.stdout.contains("127.0.0.1:8090"), "{}", help.stdout);
}
