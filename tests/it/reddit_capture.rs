//! The recorded traffic of two decades, over the wire.

use crate::reddit_decisions::{Meaning, meaning};
use crate::support::canned::{Answer, Server, page};
use crate::support::capture::{Recorded, recorded};
use freshet::source::{UnavailableReason, WaitCause};

fn answer(recorded: &Recorded) -> Answer {
    Answer {
        status: recorded.status.unwrap_or(200),
        headers: recorded.headers(),
        body: recorded.text().into(),
    }
}

fn is_token(recorded: &Recorded) -> bool {
    recorded.url.contains("/api/v1/access_token")
}

#[tokio::test]
async fn no_child_of_a_recorded_listing_is_lost() {
    let (mut pages, mut submissions) = (0, 0);
    for file in ["listing_new.ndjson", "listing_other.ndjson", "info.ndjson"] {
        for recorded in recorded(file) {
            let Some(children) = recorded.body["data"]["children"].as_array().cloned() else {
                // Two answers to /random hold two listings each.
                assert!(recorded.body.is_array(), "{}", recorded.url);
                continue;
            };
            let answer = answer(&recorded);
            let server = Server::start(move |_| answer.clone()).await;
            let page = page(&server.reddit()).await.unwrap();
            let names: Vec<_> = children
                .iter()
                .filter_map(|it| it["data"]["name"].as_str())
                .collect();
            let links = children.iter().filter(|it| it["kind"] == "t3").count();
            assert_eq!(
                page.items.len() + page.undecodable.len(),
                children.len(),
                "{}",
                recorded.url
            );
            assert_eq!(
                page.items.len(),
                links,
                "every submission decodes: {}",
                recorded.url
            );
            assert_eq!(page.order, names, "{}", recorded.url);
            assert_eq!(
                page.after.as_deref(),
                recorded.body["data"]["after"].as_str()
            );
            pages += 1;
            submissions += links;
        }
    }
    println!("{pages} recorded pages, {submissions} submissions");
}

/// What the facts call for, by status and kind of body.
fn expected(recorded: &Recorded) -> Meaning {
    let header = |name: &str| {
        let headers = recorded.headers();
        let found = headers
            .into_iter()
            .find(|it| it.0.eq_ignore_ascii_case(name));
        found.map(|it| it.1).unwrap_or_default()
    };
    let status = recorded.status.unwrap();
    let body = match &recorded.body {
        body if body.is_object() => body["reason"].as_str().unwrap_or("json"),
        _ if recorded.text().trim_start().starts_with('<') => "html",
        _ if recorded.text().is_empty() => "empty",
        _ => "text",
    };
    let note = if header("location").contains("/subreddits/search") {
        "search"
    } else if header("www-authenticate").contains("insufficient_scope") {
        "scope"
    } else {
        ""
    };
    match (is_token(recorded), status, body, note) {
        (false, 200, "html", "") => Meaning::Wait(WaitCause::BrokenBody),
        (false, 301 | 302, "html" | "empty", "") => Meaning::Refused,
        (false, 302, "html" | "empty", "search") => {
            Meaning::Unavailable(UnavailableReason::Nonexistent)
        }
        (false, 400, "json" | "PARAMETER_REQUIRED" | "USER_DOESNT_EXIST", "") => Meaning::Refused,
        (_, 401, "json" | "html", "") => Meaning::Wait(WaitCause::Authentication),
        (false, 403, "quarantined", "") => Meaning::Unavailable(UnavailableReason::Quarantined),
        (false, 403, "json" | "WIKI_DISABLED", "") => {
            Meaning::Unavailable(UnavailableReason::Forbidden)
        }
        (false, 403, "json", "scope") => Meaning::Wait(WaitCause::Authentication),
        (false, 404, "json" | "PAGE_NOT_FOUND", "") => {
            Meaning::Unavailable(UnavailableReason::NotFound)
        }
        (true, 429, "json", "") => Meaning::Wait(WaitCause::RateLimited),
        (false, 500 | 502 | 522, "json" | "empty", "") => {
            Meaning::Wait(WaitCause::ServerError(status))
        }
        case => panic!(
            "the table has no line for {case:?}: {} {}",
            recorded.method, recorded.url
        ),
    }
}

#[tokio::test]
async fn every_recorded_error_leads_to_the_decision_that_the_facts_call_for() {
    let errors = recorded("errors.ndjson");
    for recorded in &errors {
        let expected = expected(recorded);
        let answer = answer(recorded);
        let result = if is_token(recorded) {
            let server = Server::raw(move |_| answer.clone()).await;
            meaning(&page(&server.reddit()).await)
        } else {
            let server = Server::start(move |_| answer.clone()).await;
            let result = meaning(&page(&server.reddit()).await);
            let renewals = usize::from(recorded.status == Some(401));
            assert_eq!(server.asked_api().len(), 1 + renewals, "{}", recorded.url);
            assert_eq!(server.tokens_asked(), 1 + renewals, "{}", recorded.url);
            result
        };
        assert_eq!(result, expected, "{:?} {}", recorded.status, recorded.url);
    }
    println!("{} recorded errors", errors.len());
}

#[tokio::test]
async fn every_recorded_answer_of_the_token_endpoint_is_understood() {
    let tokens = recorded("token.ndjson");
    for recorded in &tokens {
        let expected = match recorded.body["error"].as_str() {
            None => Meaning::Fine,
            Some("invalid_grant" | "invalid_request" | "unauthorized_client") => {
                Meaning::Wait(WaitCause::Authentication)
            }
            Some(other) => panic!("the table has no line for {other}"),
        };
        let answer = answer(recorded);
        let server = Server::raw(move |asked| {
            if asked.path.ends_with("/access_token") {
                answer.clone()
            } else {
                crate::support::canned::listing(&[], None)
            }
        })
        .await;
        let reddit = server.reddit();
        assert_eq!(meaning(&page(&reddit).await), expected, "{}", recorded.body);
        if expected == Meaning::Fine {
            let sent = server.asked_api()[0].headers["authorization"].clone();
            let token = recorded.body["access_token"].as_str().unwrap();
            assert_eq!(sent.to_str().unwrap(), format!("Bearer {token}"));
        }
    }
    println!("{} recorded token answers", tokens.len());
}
