//! Nothing secret in any log, error or debug output, at the most talkative level.

use crate::support::canned::{Answer, Server, page, plenty};
use freshet::metrics::Metrics;
use freshet::source::{Login, Reddit};
use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Written;

    fn make_writer(&self) -> Written {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_ever_written_anywhere() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(written.clone())
        .finish();
    // This runtime has one thread: everything that it runs is heard.
    let _heard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("heard");

    // A server that echoes what it was sent, in every way it can.
    let echo = |status, asked: &crate::support::canned::Asked| {
        let sent = asked.headers["authorization"].to_str().unwrap().to_owned();
        let body = format!(
            r#"{{"error":"{sent}","reason":"{sent}","message":"{sent} {}"}}"#,
            asked.body
        );
        Answer::json(status, &body).with("location", &format!("/?token={sent}"))
    };
    let secrets = [
        "the-secret",
        "dGhlLWNsaWVudDp0aGUtc2VjcmV0",
        "hunter2",
        "secret-token",
    ];
    let mut outputs = Vec::new();
    for status in [200, 302, 400, 401, 403, 404, 429, 500] {
        for token_fails in [false, true] {
            let server = Server::raw(move |asked| {
                if asked.path.ends_with("/access_token") && !token_fails {
                    crate::support::canned::token("secret-token", 3_600)
                } else {
                    echo(status, asked)
                }
            })
            .await;
            let mut options = server.options();
            options.login = Some(Login {
                username: "someone".to_owned(),
                password: "hunter2".into(),
            });
            outputs.push(format!("{options:?}"));
            let reddit = Reddit::new(options, plenty(), Arc::new(Metrics::new())).unwrap();
            let error = page(&reddit).await.unwrap_err();
            tracing::error!(?error, %error, "as an application might");
            outputs.push(format!("{reddit:?} {error:?} {error}"));
            let mut source = error.source();
            while let Some(cause) = source {
                outputs.push(format!("{cause:?} {cause}"));
                source = cause.source();
            }
        }
    }
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("heard") && log.contains("as an application might"));
    outputs.push(log);
    for output in &outputs {
        for secret in secrets {
            assert!(!output.contains(secret), "{secret} is in {output}");
        }
    }
    assert!(outputs.iter().any(|it| it.contains("REDACTED")));
}

/// The credentials that a request carries: in its headers, its address, its body.
fn carried(asked: &crate::support::canned::Asked) -> (Vec<&str>, String) {
    let headers = asked.headers.iter();
    let kinds = headers.filter(|(_, value)| {
        let value = value.to_str().unwrap_or_default();
        value.starts_with("Basic ") || value.contains("secret")
    });
    let kinds = kinds.map(|(name, _)| name.as_str()).collect();
    (kinds, format!("{}?{}", asked.path, asked.query))
}

#[tokio::test]
async fn credentials_go_to_the_configured_hosts_alone_and_only_in_a_header() {
    use crate::support::canned::{listing, token};
    let account = || Login {
        username: "someone".to_owned(),
        password: "hunter2".into(),
    };
    let logins = [None, Some(account)];
    for (status, login) in [200, 301, 302, 303, 307, 308]
        .into_iter()
        .flat_map(|status| logins.map(|login| (status, login)))
    {
        let stranger = Server::start(|_| listing(&[], None)).await;
        let elsewhere = stranger.url.join("/r/rust/new").unwrap().to_string();
        let answer = move |good: Answer| match status {
            200 => good,
            status => Answer::html(status, "Moved").with("location", &elsewhere),
        };
        let moved = answer.clone();
        let api = Server::raw(move |_| answer(listing(&[], None))).await;
        for token_moves in [false, true] {
            let moved = moved.clone();
            let auth = Server::raw(move |_| {
                let good = token("secret-token", 3_600);
                if token_moves { moved(good) } else { good }
            })
            .await;
            let mut options = auth.options();
            options.api_url = api.url.clone();
            options.login = login.map(|account| account());
            let reddit = auth.reddit_with(options);
            let before = api.asked().len();
            let _ = page(&reddit).await;
            assert_eq!(auth.asked().len(), 1);
            for asked in auth.asked() {
                let (headers, address) = carried(&asked);
                assert_eq!(headers, ["authorization"]);
                assert!(
                    asked.headers["authorization"]
                        .to_str()
                        .unwrap()
                        .starts_with("Basic ")
                );
                assert_eq!(address, "/api/v1/access_token?");
                let body = match login {
                    None => "grant_type=client_credentials",
                    Some(_) => "grant_type=password&username=someone&password=hunter2",
                };
                assert_eq!(asked.body, body);
            }
            let gets_a_token = status == 200 || !token_moves;
            assert_eq!(api.asked().len() - before, usize::from(gets_a_token));
        }
        for asked in api.asked() {
            let (headers, address) = carried(&asked);
            assert_eq!(headers, ["authorization"]);
            assert_eq!(asked.headers["authorization"], "Bearer secret-token");
            assert_eq!(address, "/r/rust/new?raw_json=1&limit=100");
            assert_eq!(asked.body, "");
        }
        assert!(stranger.asked().is_empty(), "HTTP {status} was followed");
    }
}
