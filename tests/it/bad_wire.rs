//! Servers that break the rules of the wire: a clear error within bounded time and memory, and the
//! next good answer is used.

use crate::support::binary::{PATIENCE, Process};
use crate::support::canned::{Server, listing, page, submission};
use crate::support::rough::{Rough, Roughly};
use crate::support::wire::port;
use crate::support::world::World;
use freshet::source::{RequestClass, SourceError, WaitCause};
use futures::StreamExt;
use futures::future::join_all;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(3);

/// What an operator reads.
fn expected(rough: Rough, endpoint: &str) -> (WaitCause, &'static str) {
    let broken = WaitCause::BrokenBody;
    match rough {
        Rough::Huge | Rough::HugeChunked | Rough::GzipBomb => {
            (broken, "longer than 18874368 bytes")
        }
        Rough::ManyChildren if endpoint == "token" => (broken, "no token"),
        Rough::ManyChildren => (broken, "a listing of 9000001 children"),
        Rough::GzipGarbage | Rough::ShortBody | Rough::ChunkedGarbage => {
            (broken, "breaks off early")
        }
        Rough::GzipTwice | Rough::LongBody if endpoint == "token" => (broken, "no JSON object"),
        Rough::GzipTwice | Rough::LongBody => (broken, "no listing"),
        Rough::LongHeader | Rough::EndlessHeaders => {
            (WaitCause::Network, "headers are too many or too long")
        }
        Rough::CutHead | Rough::NoHttp => (WaitCause::Network, "broke before an answer"),
        Rough::Trickle | Rough::TrickleHead | Rough::Silence => {
            (WaitCause::Timeout, "no whole answer within")
        }
    }
}

/// One bad answer and then only good ones.
async fn once(rough: Rough, endpoint: &'static str) {
    let part = match endpoint {
        "token" => "/api/v1/access_token",
        "info" => "/api/info",
        _ => "/r/rust/new",
    };
    let good = Server::start(|_| listing(&[submission("a")], None)).await;
    let left = Mutex::new(Some(rough));
    let server = Roughly::before(port(good.url.as_str()), move |path| {
        left.lock().unwrap().take_if(|_| path == part)
    })
    .await;
    let mut options = good.options();
    (options.api_url, options.auth_url) =
        (server.url.parse().unwrap(), server.url.parse().unwrap());
    if rough.dawdles() {
        options.request_timeout = LIMIT;
    }
    let reddit = good.reddit_with(options);
    let ask = async || match endpoint {
        "info" => reddit
            .info(&["a".parse().unwrap()], RequestClass::Fetch)
            .await
            .map(|it| it.items),
        _ => page(&reddit).await.map(|it| it.items),
    };
    let begun = Instant::now();
    let error = ask().await.expect_err(&format!("{rough:?} of {endpoint}"));
    let (cause, words) = expected(rough, endpoint);
    assert!(
        matches!(&error, SourceError::Wait { cause: found, .. } if *found == cause),
        "{rough:?} of {endpoint}: {error:?}"
    );
    assert!(
        error.to_string().contains(words),
        "{rough:?} of {endpoint}: {error}"
    );
    if rough.dawdles() {
        assert!(begun.elapsed() >= LIMIT, "{rough:?} of {endpoint}");
    }
    assert!(
        begun.elapsed() < PATIENCE,
        "{rough:?} of {endpoint}: {:?}",
        begun.elapsed()
    );
    // On a machine that is busy the good answer may take longer than the limit.
    let items = loop {
        match ask().await {
            Ok(items) => break items,
            Err(error) => assert!(
                begun.elapsed() < PATIENCE,
                "after {rough:?} of {endpoint}: {error}"
            ),
        }
    };
    assert_eq!(items.len(), 1, "after {rough:?} of {endpoint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_against_the_rules_is_a_clear_error_and_the_next_one_is_used() {
    let all =
        ["listing", "info", "token"].map(|endpoint| Rough::ALL.map(|rough| (rough, endpoint)));
    let (dawdling, heavy): (Vec<_>, Vec<_>) =
        all.into_iter().flatten().partition(|it| it.0.dawdles());
    // Those that take time take it together; of those that take memory there are a few at a time.
    join_all(
        dawdling
            .into_iter()
            .map(|(rough, endpoint)| once(rough, endpoint)),
    )
    .await;
    let heavy = futures::stream::iter(heavy);
    let heavy = heavy.map(|(rough, endpoint)| once(rough, endpoint));
    heavy.buffer_unordered(4).collect::<()>().await;
}

/// Kilobytes that the process held at most.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn the_program_keeps_its_memory_and_everything_else_whatever_it_is_sent() {
    let world = World::with(250).await;
    let heavy = [
        Rough::Huge,
        Rough::GzipBomb,
        Rough::LongHeader,
        Rough::HugeChunked,
        Rough::ManyChildren,
        Rough::EndlessHeaders,
        Rough::GzipTwice,
    ];
    // The token endpoint answers badly three times in a row, the others every other time.
    let asked = Arc::new(Mutex::new((0, 0, 0)));
    let server = Roughly::before(port(&world.url()), move |path| {
        let mut asked = asked.lock().unwrap();
        let (count, every) = match path {
            "/api/v1/access_token" => (&mut asked.0, 1),
            "/api/info" => (&mut asked.1, 2),
            _ => (&mut asked.2, 2),
        };
        let turn = *count;
        *count += 1;
        let most = if every == 1 { 3 } else { heavy.len() };
        if turn % every != 0 || turn / every >= most {
            None
        } else {
            Some(heavy[turn / every])
        }
    })
    .await;
    let home = crate::support::binary::Home::new();
    home.write(
        "freshet.toml",
        &world.configuration().replace(&world.url(), &server.url),
    );
    let run = home.start(&["run", "rust"]);
    let mut published = 250;
    let expected = heavy.len() * 2 + 3;
    let begun = Instant::now();
    while server.done().len() < expected {
        assert!(
            begun.elapsed() < 3 * PATIENCE,
            "{:?}\n{}",
            server.done(),
            run.stderr()
        );
        world.publish("rust", None);
        published += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    run.until_status("everything is fetched", |it| {
        it["fetched"].as_i64() == Some(published)
    })
    .await;
    let paths: HashSet<String> = server.done().into_iter().map(|it| it.0).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    let kilobytes = peak(&run);
    println!(
        "peak memory of the program: {kilobytes} kB, after {:?}",
        begun.elapsed()
    );
    assert!(kilobytes < 300_000, "{kilobytes} kB");
    let status = run.status().await;
    assert_eq!(status["queue"]["dead"], 0, "{status}");
    assert_eq!(status["undecodable"], 0, "{status}");
}
