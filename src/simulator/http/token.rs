//! The token endpoint.
//!
//! As on Reddit, a wrong client is a 401, and everything wrong with the grant itself a 200 that
//! holds an `error`.

use super::answer;
use crate::simulator::Shared;
use crate::simulator::clock::millis;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::collections::HashMap;

const LONGEST_FORM: usize = 64 * 1024;
const INSTALLED_CLIENT: &str = "https://oauth.reddit.com/grants/installed_client";
/// The one device id of another length that Reddit takes.
const UNTRACKED_DEVICE: &str = "DO_NOT_TRACK_THIS_DEVICE";

pub(super) async fn grant(shared: &Shared, request: Request) -> Response {
    if request.method() != Method::POST {
        return answer::not_found();
    }
    let Some((id, secret)) = client(request.headers()) else {
        return answer::wrong_client();
    };
    let known = |(wanted_id, wanted_secret): &(String, String)| {
        // Installed apps have no secret, whatever the app of this id has.
        id == *wanted_id && (secret == *wanted_secret || secret.is_empty())
    };
    if id.is_empty() || !shared.credentials.as_ref().is_none_or(known) {
        return answer::wrong_client();
    }
    let Ok(body) = to_bytes(request.into_body(), LONGEST_FORM).await else {
        return answer::bad_request("BAD_REQUEST", "the form could not be read");
    };
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let device = field("device_id");
    match field("grant_type") {
        "client_credentials" if secret.is_empty() => refuse(
            "unauthorized_client",
            Some("a secret is needed for this grant"),
        ),
        "client_credentials" => give(shared, &id, None),
        "password" if secret.is_empty() => refuse(
            "unauthorized_client",
            Some("Only script apps may use password auth"),
        ),
        "password" => {
            let (user, password) = (field("username"), field("password"));
            let right = |account: &(String, String)| user == account.0 && password == account.1;
            if !user.is_empty() && shared.account.as_ref().is_none_or(right) {
                give(shared, &id, None)
            } else {
                refuse("invalid_grant", None)
            }
        }
        INSTALLED_CLIENT if (20..=30).contains(&device.len()) || device == UNTRACKED_DEVICE => {
            give(shared, &id, Some(device))
        }
        INSTALLED_CLIENT => refuse("invalid_request", Some("bad device_id")),
        _ => refuse("unsupported_grant_type", None),
    }
}

fn give(shared: &Shared, client: &str, device: Option<&str>) -> Response {
    let token = shared.gate().grant(
        client,
        shared.clock.service_ms(),
        millis(shared.token_lifetime),
    );
    let mut reply = json!({
        "access_token": token,
        "token_type": "bearer",
        "expires_in": shared.token_lifetime.as_secs(),
        "scope": "*",
    });
    if let Some(device) = device {
        reply["device_id"] = device.into();
    }
    answer::json(StatusCode::OK, &reply)
}

fn refuse(error: &str, description: Option<&str>) -> Response {
    let mut reply = json!({ "error": error });
    if let Some(description) = description {
        reply["error_description"] = description.into();
    }
    answer::json(StatusCode::OK, &reply)
}

/// Client id and secret of `Authorization: Basic …`.
fn client(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
