//! Tokens, and subreddits that do not let everyone in.

use super::client::{Reddit, still, subreddit};
use freshet::simulator::{SimulatorOptions, SubredditState};
use reqwest::Response;
use serde_json::Value;
use std::time::Duration;

async fn ask(reddit: &Reddit, client: (&str, &str), form: &[(&str, &str)]) -> Response {
    reddit
        .http
        .post(format!("{}/api/v1/access_token", reddit.simulator.url()))
        .basic_auth(client.0, Some(client.1))
        .form(form)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn every_grant_is_given_as_on_reddit() {
    let reddit = Reddit::start(SimulatorOptions {
        credentials: Some(("id".into(), "secret".into())),
        account: Some(("someone".into(), "pass word".into())),
        token_lifetime: Duration::from_secs(3600),
        ..still()
    })
    .await;
    let installed = "https://oauth.reddit.com/grants/installed_client";
    let password = [
        ("grant_type", "password"),
        ("username", "someone"),
        ("password", "pass word"),
    ];
    let device = [
        ("grant_type", installed),
        ("device_id", "DO_NOT_TRACK_THIS_DEVICE"),
    ];
    for (secret, form) in [
        ("secret", &[("grant_type", "client_credentials")][..]),
        ("secret", &password),
        ("", &device),
    ] {
        let reply: Value = ask(&reddit, ("id", secret), form)
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(
            (&reply["token_type"], &reply["expires_in"]),
            (&"bearer".into(), &3600.into())
        );
        let token = reply["access_token"].as_str().unwrap();
        let request = reddit
            .http
            .get(format!("{}/r/all/new", reddit.simulator.url()));
        assert_eq!(
            request.bearer_auth(token).send().await.unwrap().status(),
            200
        );
    }
}

#[tokio::test]
async fn a_wrong_client_is_a_401_and_a_wrong_grant_a_200_with_an_error() {
    let reddit = Reddit::start(SimulatorOptions {
        credentials: Some(("id".into(), "secret".into())),
        account: Some(("someone".into(), "right".into())),
        ..still()
    })
    .await;
    let wrong = ask(
        &reddit,
        ("id", "wrong"),
        &[("grant_type", "client_credentials")],
    )
    .await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(
        wrong.headers()["www-authenticate"],
        "Basic realm=\"reddit\""
    );
    let password = [
        ("grant_type", "password"),
        ("username", "someone"),
        ("password", "wrong"),
    ];
    let device = [
        (
            "grant_type",
            "https://oauth.reddit.com/grants/installed_client",
        ),
        ("device_id", "short"),
    ];
    for (secret, form, error) in [
        ("secret", &password[..], "invalid_grant"),
        ("", &password, "unauthorized_client"),
        ("", &device, "invalid_request"),
        (
            "secret",
            &[("grant_type", "magic")],
            "unsupported_grant_type",
        ),
    ] {
        let reply = ask(&reddit, ("id", secret), form).await;
        assert_eq!(reply.status(), 200);
        let reply: Value = reply.json().await.unwrap();
        assert_eq!(reply["error"], error);
        assert!(reply.get("access_token").is_none());
    }
}

#[tokio::test]
async fn a_token_ends_with_its_lifetime_or_when_it_is_revoked() {
    let mut reddit = Reddit::start(SimulatorOptions {
        token_lifetime: Duration::from_secs(60),
        ..still()
    })
    .await;
    assert_eq!(reddit.status("/r/all/new").await, 200);
    reddit.simulator.control().advance(Duration::from_secs(61));
    let refused = reddit.response("/r/all/new").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.headers()["www-authenticate"],
        "Bearer realm=\"reddit\", error=\"invalid_token\""
    );
    assert!(!refused.headers().contains_key("x-ratelimit-used"));
    reddit.token = super::client::token(&reddit.http, &reddit.simulator.url()).await;
    assert_eq!(reddit.status("/r/all/new").await, 200);
    reddit.simulator.control().revoke_tokens();
    assert_eq!(reddit.status("/r/all/new").await, 401);
    reddit.token.clear();
    assert_eq!(reddit.status("/api/info?id=t3_a").await, 401);
}

#[tokio::test]
async fn each_closed_state_has_its_own_answer() {
    let reddit = Reddit::start(still()).await;
    reddit.publish("kettles");
    let control = reddit.simulator.control();
    for (state, status, reason) in [
        (SubredditState::Private, 403, "private"),
        (SubredditState::Quarantined, 403, "quarantined"),
        (SubredditState::Gated, 403, "gated"),
        (SubredditState::Banned, 404, "banned"),
    ] {
        control
            .set_subreddit_state(&subreddit("kettles"), state)
            .unwrap();
        for path in ["/r/kettles/new", "/r/kettles/about"] {
            let answer = reddit.response(path).await;
            assert_eq!(answer.status(), status);
            let body: Value = answer.json().await.unwrap();
            assert_eq!(
                (&body["reason"], &body["error"]),
                (&reason.into(), &status.into())
            );
        }
    }
    control
        .set_subreddit_state(&subreddit("kettles"), SubredditState::Public)
        .unwrap();
    let about: Value = reddit
        .response("/r/kettles/about")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&about["kind"], &about["data"]["display_name"]),
        (&"t5".into(), &"Kettles".into())
    );
}

#[tokio::test]
async fn what_does_not_exist_redirects_to_an_empty_search() {
    let reddit = Reddit::start(still()).await;
    for path in ["/r/nowhere/new", "/r/nowhere/about"] {
        let answer = reddit.response(path).await;
        assert_eq!(answer.status(), 302);
        assert!(!answer.headers().contains_key("x-ratelimit-used"));
        let location = answer.headers()["location"].to_str().unwrap();
        assert_eq!(location, "/subreddits/search?q=nowhere");
        assert!(reddit.listing(location).await.ids().is_empty());
    }
}

#[tokio::test]
async fn a_renamed_subreddit_redirects_with_path_and_query() {
    let reddit = Reddit::start(still()).await;
    reddit.publish("kettles");
    let renamed = SubredditState::Renamed("teapots".to_owned());
    let control = reddit.simulator.control();
    control
        .set_subreddit_state(&subreddit("kettles"), renamed)
        .unwrap();
    let answer = reddit.response("/r/kettles/new?limit=5").await;
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "/r/teapots/new?limit=5");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_not_found_and_long_ones_refused() {
    let reddit = Reddit::start(still()).await;
    for path in ["/", "/r/all/hot", "/api/v1/me", "/r/all/new/more"] {
        let body: Value = reddit.response(path).await.json().await.unwrap();
        assert_eq!(
            (&body["message"], &body["error"]),
            (&"Not Found".into(), &404.into())
        );
    }
    let long = format!("/r/{}/new", vec!["kettles"; 1_100].join("+"));
    let answer = reddit.response(&long).await;
    assert_eq!(answer.status(), 414);
    assert_eq!(answer.text().await.unwrap(), "Error: URI Too Long");
}

#[tokio::test]
async fn every_answer_is_marked_and_dated_in_world_time() {
    let reddit = Reddit::start(still()).await;
    for path in ["/r/all/new", "/nowhere", "/simulator/health"] {
        let answer = reddit.response(path).await;
        assert_eq!(answer.headers()["x-simulated"], "true");
        assert_eq!(answer.headers()["date"], "Wed, 03 Jun 2026 15:11:07 GMT");
    }
}
