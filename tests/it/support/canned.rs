//! A server on a free port that answers as a test says and writes down what it was asked.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response};
use freshet::metrics::Metrics;
use freshet::source::{Budget, Reddit, RedditOptions, RequestClass};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::net::TcpListener;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

/// An answer to be given.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn json(status: u16, body: &str) -> Answer {
        Answer::new(status, body).with("content-type", "application/json; charset=UTF-8")
    }

    pub fn html(status: u16, body: &str) -> Answer {
        Answer::new(status, body).with("content-type", "text/html; charset=UTF-8")
    }

    pub fn new(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).unwrap()
    }
}

/// What to answer; called for each request, the token endpoint's too.
type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The requests so far.
type Log = Arc<Mutex<Vec<Asked>>>;

#[derive(Clone)]
pub struct Server {
    pub url: reqwest::Url,
    asked: Log,
}

impl Server {
    /// Answers the token endpoint with a token, everything else by `script`.
    pub async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        Server::raw(move |asked| {
            if asked.path.ends_with("/access_token") {
                return token("secret-token", 86_400);
            }
            script(asked)
        })
        .await
    }

    pub async fn raw(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let asked = Log::default();
        let script: Arc<Script> = Arc::new(script);
        let app = Router::new()
            .fallback(serve)
            .with_state((script, asked.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // It ends with the runtime of the test.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Server {
            url: url.parse().unwrap(),
            asked,
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests that were not for a token.
    pub fn asked_api(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|it| !it.path.ends_with("/access_token"));
        asked
    }

    pub fn tokens_asked(&self) -> usize {
        self.asked().len() - self.asked_api().len()
    }

    pub fn options(&self) -> RedditOptions {
        RedditOptions::new(
            self.url.clone(),
            self.url.clone(),
            "the-client".to_owned(),
            "the-secret".into(),
            "linux:freshet:test (by /u/nobody)".to_owned(),
        )
    }

    pub fn reddit(&self) -> Reddit {
        self.reddit_with(self.options())
    }

    pub fn reddit_with(&self, options: RedditOptions) -> Reddit {
        Reddit::new(options, plenty(), Arc::new(Metrics::new())).unwrap()
    }
}

/// A budget that is never the bottleneck.
pub fn plenty() -> Budget {
    Budget::local(NonZeroU32::new(10_000_000).unwrap())
}

pub fn token(token: &str, lifetime: i64) -> Answer {
    Answer::json(
        200,
        &format!(
            r#"{{"access_token": "{token}", "token_type": "bearer", "expires_in": {lifetime}, "scope": "*"}}"#
        ),
    )
}

/// A listing of these children.
pub fn listing(children: &[String], after: Option<&str>) -> Answer {
    let after = after.map_or("null".to_owned(), |it| format!("\"{it}\""));
    Answer::json(
        200,
        &format!(
            r#"{{"kind":"Listing","data":{{"modhash":null,"dist":{},"after":{after},"before":null,"children":[{}]}}}}"#,
            children.len(),
            children.join(",")
        ),
    )
}

pub fn submission(id: &str) -> String {
    format!(
        r#"{{"kind":"t3","data":{{"id":"{id}","name":"t3_{id}","created_utc":1.0,"title":"a"}}}}"#
    )
}

/// One page of r/rust, as a poll.
pub async fn page(
    reddit: &Reddit,
) -> Result<freshet::source::ListingPage, freshet::source::SourceError> {
    let names = ["rust".parse().unwrap()];
    reddit.new_page(&names, None, 100, RequestClass::Poll).await
}

async fn serve(
    State((script, asked)): State<(Arc<Script>, Log)>,
    request: Request,
) -> Response<Body> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let one = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
        at,
    };
    asked.lock().unwrap().push(one.clone());
    script(&one).into_response()
}
