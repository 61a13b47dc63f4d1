//! Whatever a server sends: a clear answer or a clear error, soon, and nothing else is lost.

use crate::fuzzed;
use crate::support::capture::recorded;
use crate::support::mutate::{Spoiler, listing};
use crate::support::world::{CLIENT, World};
use freshet::simulator::{Oddities, SimulatorOptions};
use freshet::source::Received;
use rand::RngExt;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// More than any input takes, also in a debug build on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// Every kept input of the fuzz targets, which holds what they once found.
#[test]
fn inputs_that_were_kept_are_judged_well() {
    type Judge = fn(&[u8]);
    let judges: [(&str, Judge); 6] = [
        ("listing", fuzzed::listing),
        ("info", fuzzed::info),
        ("token", fuzzed::token),
        ("error_body", fuzzed::error_body),
        ("ids", fuzzed::ids),
        ("configuration", fuzzed::configuration),
    ];
    for (target, judge) in judges {
        let inputs = kept(target);
        assert!(!inputs.is_empty(), "{target}");
        inputs.iter().for_each(|input| judge(input));
    }
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Children of real answers: the simulated Reddit's with all its oddities, and recorded ones where
/// a checkout has them.
async fn children() -> Vec<Value> {
    let world = World::start(SimulatorOptions {
        oddities: Oddities::none(),
        ..SimulatorOptions::world(3, 6, 60.0)
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token: Value = serde_json::from_str(
        &client
            .post(format!("{}/api/v1/access_token", world.url()))
            .basic_auth(CLIENT.0, Some(CLIENT.1))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    let names: BTreeSet<String> = world
        .control()
        .truth()
        .into_iter()
        .map(|it| it.subreddit)
        .collect();
    let mut children = Vec::new();
    for name in names {
        let url = format!("{}/r/{name}/new?raw_json=1&limit=30", world.url());
        let request = client
            .get(url)
            .bearer_auth(token["access_token"].as_str().unwrap());
        let body = request.send().await.unwrap().text().await.unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        children.extend(page["data"]["children"].as_array().unwrap().clone());
    }
    assert!(children.len() > 50, "{}", children.len());
    for file in ["listing_new.ndjson", "info.ndjson"] {
        for answer in recorded(file) {
            let recorded = answer.body["data"]["children"].as_array();
            children.extend(recorded.into_iter().flatten().take(20).cloned());
        }
    }
    children
}

/// What came of the mutations.
#[derive(Debug, Default)]
struct Tally {
    inputs: u64,
    read: u64,
    kept_raw: u64,
    refused: u64,
    slowest: Duration,
}

/// One spoilt child among good ones: the others are read as they were, and it is read or kept raw.
fn one_spoilt(spoiler: &mut Spoiler, children: &[Value], tally: &mut Tally) {
    let mut page: Vec<Vec<u8>> = (0..spoiler.0.random_range(2..6))
        .map(|_| spoiler.any(children).to_string().into_bytes())
        .collect();
    let place = spoiler.0.random_range(0..page.len());
    let child = spoiler.any(children);
    page[place] = spoiler.child(child);
    let shown = || {
        String::from_utf8_lossy(&page[place])
            .chars()
            .take(400)
            .collect::<String>()
    };
    let answer = Received {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: listing(&page),
    };
    let read = answer.listing("/r/rust/new");
    let read = read.unwrap_or_else(|error| panic!("{error}: {}", shown()));
    assert_eq!(
        read.items.len() + read.undecodable.len(),
        page.len(),
        "{}",
        shown()
    );
    let raw: Vec<&str> = read.items.iter().map(|it| it.raw.get()).collect();
    for (index, child) in page.iter().enumerate().filter(|(index, _)| *index != place) {
        let child: Value = serde_json::from_slice(child).unwrap();
        if child["kind"] == "t3" {
            let data = child["data"].to_string();
            assert!(
                raw.contains(&data.as_str()),
                "child {index} beside {}",
                shown()
            );
        }
    }
    tally.read += read.items.len() as u64;
    tally.kept_raw += read.undecodable.len() as u64;
}

/// Any bytes changed in a whole answer of any kind.
fn any_bytes(spoiler: &mut Spoiler, answers: &[Vec<u8>], tally: &mut Tally) {
    let answer = spoiler.any(answers);
    let bytes = spoiler.bytes(answer);
    fuzzed::info(&bytes);
    fuzzed::token(&bytes);
    fuzzed::error_body(&bytes);
    let whole = fuzzed::received(&bytes).listing("/r/rust/new");
    match fuzzed::judged(whole) {
        Some(page) => {
            tally.read += page.items.len() as u64;
            tally.kept_raw += page.undecodable.len() as u64;
        }
        None => tally.refused += 1,
    }
}

fn mutate(seed: u64, inputs: u64, children: &[Value], answers: &[Vec<u8>]) -> Tally {
    let mut spoiler = Spoiler::new(seed);
    let mut tally = Tally::default();
    for input in 0..inputs {
        let begun = Instant::now();
        if input % 2 == 0 {
            one_spoilt(&mut spoiler, children, &mut tally);
        } else {
            any_bytes(&mut spoiler, answers, &mut tally);
        }
        tally.inputs += 1;
        tally.slowest = tally.slowest.max(begun.elapsed());
        assert!(
            tally.slowest < SOON,
            "seed {seed}, input {input}: {:?}",
            tally.slowest
        );
    }
    tally
}

async fn many(inputs: u64) {
    let children = children().await;
    let mut answers: Vec<Vec<u8>> = ["listing", "info", "token", "error_body"]
        .iter()
        .flat_map(|target| kept(target))
        .collect();
    let page = |few: &[Value]| {
        listing(
            &few.iter()
                .map(|it| it.to_string().into_bytes())
                .collect::<Vec<_>>(),
        )
    };
    answers.extend(children.chunks(3).map(page));
    for file in ["errors.ndjson", "token.ndjson"] {
        answers.extend(recorded(file).iter().map(|it| it.text().into_bytes()));
    }
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|seed| {
                scope.spawn({
                    let (children, answers) = (&children, &answers);
                    move || mutate(seed, inputs.div_ceil(threads), children, answers)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|it| it.join().expect("no mutation panics"))
            .collect()
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    println!(
        "{} mutations of {} children and {} answers: {} submissions read, {} kept raw, {} answers refused; slowest {:?}",
        sum(|it| it.inputs),
        children.len(),
        answers.len(),
        sum(|it| it.read),
        sum(|it| it.kept_raw),
        sum(|it| it.refused),
        tallies
            .iter()
            .map(|it| it.slowest)
            .max()
            .unwrap_or_default(),
    );
    for part in [
        sum(|it| it.read),
        sum(|it| it.kept_raw),
        sum(|it| it.refused),
    ] {
        assert!(part > inputs / 100, "the mutations reach every outcome");
    }
}

#[test]
fn a_page_of_more_children_than_any_is_refused_whatever_their_size() {
    for (count, wanted) in [(2_000, true), (2_001, false), (1_000_000, false)] {
        let answer = Received {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: listing(&vec![b"0".to_vec(); count]),
        };
        let read = answer.listing("/r/rust/new");
        assert_eq!(read.is_ok(), wanted, "{count}");
    }
}

#[tokio::test]
async fn spoilt_answers_cost_what_is_spoilt_and_nothing_else() {
    many(20_000).await;
}

/// `scripts/fuzz --mutations`.
#[tokio::test]
#[ignore = "takes minutes, and measures the memory of the whole process"]
async fn a_million_spoilt_answers_cost_what_is_spoilt_and_no_memory() {
    many(1_000_000).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap()
        .trim();
    println!("peak memory {peak}");
    let kilobytes: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 1_000_000, "{peak}");
}
