//! Pages over the wire: what is asked, and what is made of the answer.

use crate::support::canned::{Answer, Server, listing, page, submission};
use freshet::source::{RequestClass, SourceError, WaitCause};

fn cause(error: &SourceError) -> Option<WaitCause> {
    match error {
        SourceError::Wait { cause, .. } => Some(*cause),
        _ => None,
    }
}

#[tokio::test]
async fn a_page_is_asked_for_by_name_anchor_and_limit_with_token_and_user_agent() {
    let server = Server::start(|_| listing(&[], None)).await;
    let names = ["Rust".parse().unwrap(), "u_some-one".parse().unwrap()];
    let reddit = server.reddit();
    reddit
        .new_page(&names, Some("t3_1abc"), 250, RequestClass::Fetch)
        .await
        .unwrap();
    let asked = server.asked_api().remove(0);
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.path, "/r/rust+u_some-one/new");
    assert_eq!(asked.query, "raw_json=1&after=t3_1abc&limit=100");
    assert_eq!(asked.headers["authorization"], "Bearer secret-token");
    assert_eq!(
        asked.headers["user-agent"],
        "linux:freshet:test (by /u/nobody)"
    );
    assert_eq!(asked.headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn an_address_with_a_path_keeps_it() {
    let server = Server::start(|_| listing(&[], None)).await;
    let mut options = server.options();
    options.api_url = server.url.join("/mirror/").unwrap();
    page(&server.reddit_with(options)).await.unwrap();
    assert_eq!(server.asked_api()[0].path, "/mirror/r/rust/new");
}

#[tokio::test]
async fn one_odd_child_costs_itself_and_stays_an_anchor() {
    let children = [
        submission("b"),
        r#"{"kind":"t1","data":{"id":"c","name":"t1_c"}}"#.to_owned(),
        r#"{"kind":"t3","data":{"id":"d","name":"t3_d","title":"without a time"}}"#.to_owned(),
        r#"{"kind":"more"}"#.to_owned(),
        r#"{"kind":7,"data":{}}"#.to_owned(),
        "null".to_owned(),
        submission("a"),
    ];
    let server = Server::start(move |_| {
        listing(&children, Some("t3_a")).with("date", "Sat, 11 Apr 2015 06:35:11 GMT")
    })
    .await;
    let reddit = server.reddit();
    let before = chrono::Utc::now().timestamp_millis();
    let page = page(&reddit).await.unwrap();
    let ids: Vec<_> = page
        .items
        .iter()
        .map(|it| it.submission.id.as_str())
        .collect();
    assert_eq!(ids, ["b", "a"]);
    assert_eq!(page.undecodable.len(), 5);
    assert!(page.undecodable[0].reason.contains("t1"));
    assert_eq!(page.undecodable[3].raw.get(), r#"{"kind":7,"data":{}}"#);
    assert_eq!(page.order, ["t3_b", "t1_c", "t3_d", "t3_a"]);
    assert_eq!(page.after.as_deref(), Some("t3_a"));
    assert_eq!(page.moment.shown, 1_428_734_111);
    assert_eq!(page.moment.proves, Some(1_428_734_111));
    assert!(
        page.moment.latest > 1_700_000_000,
        "one date alone is doubted"
    );
    let after = chrono::Utc::now().timestamp_millis();
    assert!((before..=after).contains(&page.asked_ms));
    assert!(page.items.iter().all(|it| it.observed_ms == page.asked_ms));
}

#[tokio::test]
async fn the_next_page_begins_behind_what_was_shown_whatever_is_suggested() {
    for (after, next) in [("t3_b", "t3_b"), ("t3_zz", "t3_a"), ("t3_a", "t3_a")] {
        let children = [submission("b"), submission("a")];
        let server = Server::start(move |_| listing(&children, Some(after))).await;
        let page = page(&server.reddit()).await.unwrap();
        assert_eq!(page.after.as_deref(), Some(next), "{after}");
    }
    // What nobody needs may be of any type.
    let body = r#"{"data":{"modhash":7,"before":false,"dist":null,"after":8,"children":[]}}"#;
    let server = Server::start(|_| Answer::json(200, body)).await;
    let page = page(&server.reddit()).await.unwrap();
    assert_eq!((page.after, page.items.len()), (None, 0));
}

#[tokio::test]
async fn ids_that_reddit_leaves_out_are_not_in_the_items() {
    let server = Server::start(|_| listing(&[submission("a"), submission("c")], None)).await;
    let ids = ["a", "b", "c"].map(|it| it.parse().unwrap());
    let found = server
        .reddit()
        .info(&ids, RequestClass::Fetch)
        .await
        .unwrap();
    assert_eq!(found.items.len(), 2);
    assert_eq!(found.order, ["t3_a", "t3_c"]);
    let asked = server.asked_api().remove(0);
    assert_eq!(asked.path, "/api/info");
    assert_eq!(asked.query, "raw_json=1&id=t3_a,t3_b,t3_c");
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_before_it_is_sent() {
    let server = Server::start(|_| listing(&[], None)).await;
    let reddit = server.reddit();
    let names = ["rust".parse().unwrap()];
    for anchor in ["", "t3_", "1abc", "t3_a&limit=1", "t3_ä", "T3_a"] {
        let refused = reddit
            .new_page(&names, Some(anchor), 100, RequestClass::Poll)
            .await;
        assert!(
            matches!(refused, Err(SourceError::Refused { status: None, .. })),
            "{anchor}"
        );
    }
    let many: Vec<_> = (0..101)
        .map(|it| format!("{it}").parse().unwrap())
        .collect();
    for refused in [
        reddit
            .new_page(&[], None, 100, RequestClass::Poll)
            .await
            .err(),
        reddit.info(&many, RequestClass::Fetch).await.err(),
    ] {
        assert!(matches!(
            refused,
            Some(SourceError::Refused { status: None, .. })
        ));
    }
    assert!(
        reddit
            .info(&[], RequestClass::Fetch)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_broken_success_is_a_reason_to_wait() {
    let cut = listing(&[submission("a")], None).body;
    let cut = String::from_utf8(cut[..cut.len() / 2].to_vec()).unwrap();
    for body in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "<html></html>",
        cut.as_str(),
        r#"{"kind":"Listing"}"#,
        r#"{"kind":"Listing","data":{}}"#,
        r#"{"kind":"Listing","data":{"dist":1,"children":[]}}"#,
        r#"{"data":{"children":[{"kind":"t3","data":{"id":"a","created_utc":1}}],"dist":"100"}}"#,
        r#"{"data":{"children":[],"error":"Timeout"}}"#,
    ] {
        let body = body.to_owned();
        let server = Server::start(move |_| Answer::json(200, &body)).await;
        let error = page(&server.reddit()).await.unwrap_err();
        assert_eq!(cause(&error), Some(WaitCause::BrokenBody), "{error}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_cost_only_themselves() {
    let mut body = listing(&[submission("a")], None).body.to_vec();
    let title = body
        .windows(9)
        .position(|it| it == b"\"title\":\"")
        .map(|it| it + 9);
    // The title's only letter.
    let title = title.or_else(|| {
        body.windows(8)
            .position(|it| it == b"\"title\":")
            .map(|it| it + 9)
    });
    body[title.unwrap()] = 0xff;
    let server = Server::start(move |_| Answer {
        body: body.clone().into(),
        ..Answer::json(200, "")
    })
    .await;
    let page = page(&server.reddit()).await.unwrap();
    assert_eq!(page.items[0].submission.title.as_deref(), Some("\u{fffd}"));
}

#[tokio::test]
async fn a_compressed_page_is_read_and_its_real_size_is_limited() {
    let children: Vec<String> = (0..2_000).map(|it| submission(&it.to_string())).collect();
    let plain = listing(&children, None).body;
    let body = plain.clone();
    let app = axum::Router::new()
        .fallback(move |request: axum::extract::Request| async move {
            if request.uri().path().ends_with("/access_token") {
                return r#"{"access_token":"t"}"#.into();
            }
            body
        })
        .layer(tower_http::compression::CompressionLayer::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: reqwest::Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let direct = reqwest::Client::builder()
        .no_gzip()
        .no_proxy()
        .build()
        .unwrap();
    let packed = direct
        .get(url.clone())
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() * 8 < plain.len());
    let server = Server::start(|_| Answer::new(500, "")).await;
    let mut options = server.options();
    (options.api_url, options.auth_url) = (url.clone(), url);
    options.max_body_bytes = plain.len();
    let whole = page(&server.reddit_with(options.clone())).await.unwrap();
    assert_eq!(whole.items.len(), 2_000);
    options.max_body_bytes = plain.len() - 1;
    let error = page(&server.reddit_with(options)).await.unwrap_err();
    assert_eq!(cause(&error), Some(WaitCause::BrokenBody), "{error}");
}
