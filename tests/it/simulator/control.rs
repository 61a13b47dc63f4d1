//! Commands and own endpoints over HTTP, and how it is run.

use super::client::{Reddit, START_MS, busy, still};
use freshet::simulator::{Oddities, RequestStats, Simulator, SimulatorOptions};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

async fn command(reddit: &Reddit, command: Value) -> (u16, Value) {
    let answer = reddit
        .http
        .post(format!("{}/simulator/control", reddit.simulator.url()))
        .body(command.to_string())
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn every_command_can_be_given_over_http() {
    let reddit = Reddit::start(still()).await;
    let publish = json!({"command": "publish", "subreddit": "kettles", "title": "By wire",
        "kind": "image", "held": true, "id": "abc123"});
    let (status, reply) = command(&reddit, publish.clone()).await;
    assert_eq!((status, &reply["id"]), (200, &"abc123".into()));
    for given in [
        json!({"command": "approve_late", "id": "abc123"}),
        json!({"command": "remove", "id": "abc123", "by": "reddit"}),
        json!({"command": "restore", "id": "abc123", "on_top": true}),
        json!({"command": "resurface", "id": "t3_abc123"}),
        json!({"command": "edit", "id": "abc123"}),
        json!({"command": "delete_author", "id": "abc123"}),
        json!({"command": "hide_from_info", "id": "abc123", "seconds": 5}),
        json!({"command": "set_subreddit", "name": "kettles", "state": "private"}),
        json!({"command": "set_subreddit", "name": "kettles", "state": {"renamed": "teapots"}}),
        json!({"command": "set_subreddit", "name": "kettles", "state": "public"}),
        json!({"command": "set_rate", "name": "clocks", "per_hour": 100.0}),
        json!({"command": "fault_chance", "chance": 0.0}),
        json!({"command": "outage", "fault": "reset"}),
        json!({"command": "outage", "fault": null}),
        json!({"command": "outage", "fault": {"date": {"ahead_seconds": -300}}}),
        json!({"command": "outage", "fault": null}),
        json!({"command": "fail_every", "every": 3, "endpoint": "archive_search",
            "faults": ["error_inside", "half_the_rows", "from_the_future", "no_date"]}),
        json!({"command": "fail_every", "every": 1, "faults": []}),
        json!({"command": "advance", "seconds": 36_000.5}),
        json!({"command": "fail_next", "count": 1, "endpoint": "listing",
            "fault": {"too_many_requests": {"retry_after": 2}}}),
    ] {
        let (status, reply) = command(&reddit, given.clone()).await;
        assert_eq!(
            (status, &reply["ok"]),
            (200, &true.into()),
            "{given}: {reply}"
        );
    }
    assert_eq!(reddit.simulator.control().now_ms(), START_MS + 36_000_500);
    assert_eq!(reddit.status("/r/kettles/new").await, 429);
    let page = reddit.listing("/r/kettles/new").await;
    assert_eq!(page.children()[0]["data"]["title"], "By wire");
    assert_eq!(page.children()[0]["data"]["post_hint"], "image");
    assert!(reddit.walk("clocks").await.len() > 200);
    command(&reddit, json!({"command": "revoke_tokens"})).await;
    assert_eq!(reddit.status("/r/kettles/new").await, 401);
}

#[tokio::test]
async fn wrong_commands_are_refused_with_a_reason() {
    let reddit = Reddit::start(still()).await;
    for (given, reason) in [
        (json!({"command": "explode"}), "explode"),
        (json!({"command": "remove", "id": "zzz"}), "zzz"),
        (json!({"command": "remove", "id": "a b"}), "a b"),
        (json!({"command": "publish", "subreddit": "no!"}), "no!"),
        (
            json!({"command": "publish", "subreddit": "ok", "kind": "song"}),
            "song",
        ),
        (
            json!({"command": "publish", "subreddit": "ok", "object": "{"}),
            "object",
        ),
        (
            json!({"command": "publish", "subreddit": "ok", "colour": 1}),
            "colour",
        ),
        (
            json!({"command": "set_subreddit", "name": "nowhere", "state": "gone"}),
            "nowhere",
        ),
        (json!({"command": "fault_chance", "chance": 2.0}), "2"),
        (json!({"command": "advance", "seconds": -1.0}), "-1"),
        (
            json!({"command": "fail_next", "count": 1, "fault": {"error_page": {"status": 7}}}),
            "7",
        ),
        (
            json!({"command": "fail_every", "every": 0, "faults": ["no_date"]}),
            "at least 1",
        ),
        (
            json!({"command": "fail_every", "every": 1, "faults": ["no_date", "error_inside"],
                "endpoint": "listing"}),
            "listing",
        ),
        (
            json!({"command": "outage", "fault": "half_the_rows"}),
            "listing",
        ),
        (
            json!({"command": "fail_next", "count": 1,
                "fault": {"date": {"ahead_seconds": i64::MIN}}}),
            "century",
        ),
    ] {
        let (status, reply) = command(&reddit, given.clone()).await;
        assert_eq!((status, &reply["ok"]), (400, &false.into()), "{given}");
        let error = reply["error"].as_str().unwrap();
        assert!(error.contains(reason), "{given}: {error}");
    }
    let taken = json!({"command": "publish", "subreddit": "kettles", "id": "abc"});
    assert_eq!(command(&reddit, taken.clone()).await.0, 200);
    assert_eq!(command(&reddit, taken).await.0, 400);
}

#[tokio::test]
async fn statistics_and_names_are_told_without_a_token() {
    let reddit = Reddit::start(busy(1, Oddities::none())).await;
    assert_eq!(reddit.status("/r/all/new").await, 200);
    let get = async |path: &str| {
        let request = reddit.http.get(format!("{}{path}", reddit.simulator.url()));
        request.send().await.unwrap()
    };
    let stats: RequestStats = get("/simulator/stats").await.json().await.unwrap();
    assert_eq!(stats, reddit.simulator.control().stats());
    assert_eq!(stats.submissions, 25);
    let health: Value = get("/simulator/health").await.json().await.unwrap();
    assert_eq!(
        (&health["simulated"], &health["now_ms"]),
        (&true.into(), &START_MS.into())
    );
    let names: Vec<String> = get("/simulator/subreddits").await.json().await.unwrap();
    assert_eq!(names, ["kettles", "harbours", "lanterns"]);
    let requests: Value = get("/simulator/requests").await.json().await.unwrap();
    assert_eq!(requests[1]["uri"], "/r/all/new");
}

#[tokio::test]
async fn an_object_can_be_published_byte_for_byte() {
    let reddit = Reddit::start(still()).await;
    let object = r#"{ "id":"abc","created_utc":1780499467.0,  "title":"<&>" ,"x":[1 ,2]}"#;
    let publish = json!({"command": "publish", "subreddit": "kettles", "id": "abc",
        "object": object});
    assert_eq!(command(&reddit, publish).await.0, 200);
    for path in ["/r/kettles/new", "/api/info?id=t3_abc"] {
        let text = reddit.response(path).await.text().await.unwrap();
        assert!(text.contains(object), "{text}");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    for gzip in [true, false] {
        let reddit = Reddit::start(SimulatorOptions {
            gzip,
            ..busy(1, Oddities::none())
        })
        .await;
        let plain = reqwest::Client::builder()
            .no_gzip()
            .no_proxy()
            .build()
            .unwrap();
        let answer = plain
            .get(format!("{}/r/all/new", reddit.simulator.url()))
            .bearer_auth(&reddit.token)
            .header("accept-encoding", "gzip")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers().contains_key("content-encoding"), gzip);
        assert_eq!(reddit.listing("/r/all/new").await.ids().len(), 25);
        // A stream of unknown length, to its end.
        let truth = reddit.response("/simulator/truth").await.text().await;
        let expected = reddit.simulator.control().truth().len();
        assert_eq!(truth.unwrap().lines().count(), expected);
    }
}

#[tokio::test]
async fn it_serves_on_a_given_listener_until_told_to_stop() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/simulator/health", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = tokio::spawn(Simulator::serve(still(), listener, stop.clone()));
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
    stop.cancel();
    server.await.unwrap().unwrap();
    assert!(reqwest::get(&url).await.is_err());
}
