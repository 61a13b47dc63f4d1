//! The access token: got when needed, renewed ahead of time, shared by all callers.
//!
//! Owns the credentials. Nothing here is ever printed: the token is a header that is marked as
//! sensitive, the rest are secret strings, and a failure's detail holds only short words of the
//! answer.

use super::options::RedditOptions;
use super::{Endpoint, turn};
use crate::source::budget::{Budget, RequestClass};
use crate::source::error::{SourceError, WaitCause, retry_after};
use crate::source::transport::{Answer, Transport, below};
use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Where the answer does not say; the shortest lifetime that Reddit has used.
const USUAL_LIFETIME: Duration = Duration::from_secs(3_600);

/// A token is renewed while a tenth of its life, and at least this, is left.
const MARGIN: Duration = Duration::from_secs(60);

/// Reddit's are below 2,000 characters. It goes into a header of every request.
const LONGEST_TOKEN: usize = 8 * 1024;

/// After a renewal that failed while the old token still served.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

const INSTALLED_CLIENT: &str = "https://oauth.reddit.com/grants/installed_client";
/// What Reddit wants to hear from a client that tells its devices not apart.
const UNTRACKED_DEVICE: &str = "DO_NOT_TRACK_THIS_DEVICE";

#[derive(Debug)]
pub(super) struct Auth {
    options: RedditOptions,
    /// Held during a renewal, so that there is one at a time.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// The last renewal's failure and when it was known, for those who waited for that renewal.
    failure: Option<(Instant, SourceError)>,
}

/// A token in use. Its `Debug` shows no token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    header: HeaderValue,
    renew_at: Instant,
    expires_at: Instant,
}

impl Token {
    /// The value of `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    pub(super) fn expired(&self) -> bool {
        self.expires_at <= Instant::now()
    }
}

impl Auth {
    pub(super) fn new(options: RedditOptions) -> Auth {
        Auth {
            options,
            held: Mutex::default(),
        }
    }

    /// A valid token, renewed if that is due. Whoever waits for another's renewal gets its outcome.
    /// `deadline` bounds the wait for a turn to renew it, not the renewal.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        budget: &Budget,
        deadline: Option<Instant>,
    ) -> Result<Token, SourceError> {
        let came = Instant::now();
        let mut held = turn(deadline, self.held.lock()).await?;
        if let Some(token) = &held.token
            && Instant::now() < token.renew_at
        {
            return Ok(token.clone());
        }
        if let Some((at, failure)) = &held.failure
            && *at >= came
        {
            return Err(failure.clone());
        }
        // Everyone waits for it, so it has the largest share. That one caller may wait no longer is no failure
        // of the renewal: the next one goes on.
        let granted = turn(deadline, transport.grant(budget, RequestClass::Poll)).await?;
        let renewed = match granted {
            Ok(_) => self.renew(transport).await,
            Err(error) => Err(error.into()),
        };
        match renewed {
            Ok(token) => {
                held.failure = None;
                held.token = Some(token.clone());
                Ok(token)
            }
            Err(failure) => {
                if let Some(token) = &mut held.token
                    && !token.expired()
                {
                    tracing::warn!(
                        error = %failure,
                        "The access token could not be renewed ahead of time; the old one serves on"
                    );
                    token.renew_at = Instant::now() + RENEWAL_PAUSE;
                    return Ok(token.clone());
                }
                held.failure = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Drops a token that was refused, unless another caller has already replaced it.
    pub(super) async fn forget(&self, refused: &Token, transport: &Transport) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().map(|it| &it.header) == Some(&refused.header) {
            held.token = None;
            transport.no_token();
        }
    }

    /// Asks for a token; the grant for it was taken.
    async fn renew(&self, transport: &Transport) -> Result<Token, SourceError> {
        let options = &self.options;
        let url = below(&options.auth_url, &["api", "v1", "access_token"])?;
        // As they are now: whoever rotates them replaces their files.
        let client_secret = options.client_secret.now();
        let request = transport
            .request(Method::POST, url)
            .basic_auth(&options.client_id, Some(client_secret.expose_secret()));
        let request = match &options.login {
            // Installed applications have no secret to prove themselves with, and a grant of their own.
            None if client_secret.expose_secret().is_empty() => request.form(&[
                ("grant_type", INSTALLED_CLIENT),
                ("device_id", UNTRACKED_DEVICE),
            ]),
            None => request.form(&[("grant_type", "client_credentials")]),
            Some(login) => request.form(&[
                ("grant_type", "password"),
                ("username", login.username.as_str()),
                ("password", login.password.now().expose_secret()),
            ]),
        };
        let asked = Instant::now();
        let answer = transport
            .exchange(Endpoint::Token.as_str(), request)
            .await?;
        let (header, lifetime) = read(&answer)?;
        #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
        let asked_at = answer.asked_ms as f64 / 1_000.0;
        transport.token(asked_at, lifetime);
        Ok(Token {
            header,
            renew_at: asked + serves(lifetime),
            expires_at: asked + lifetime,
        })
    }
}

#[derive(Deserialize)]
struct Body {
    access_token: Option<String>,
    expires_in: Option<Value>,
    error: Option<Value>,
}

/// The header and how long it lasts, or why there is none.
pub(super) fn read(answer: &Answer) -> Result<(HeaderValue, Duration), SourceError> {
    let code = answer.status.as_u16();
    let wait = |cause, detail: String| {
        Err(SourceError::Wait {
            cause,
            retry_after: retry_after(answer.status, &answer.headers, answer.received_ms),
            detail,
            source: None,
        })
    };
    let answered = format!("the token endpoint answered HTTP {}", answer.status);
    match code {
        200 => {}
        403 if answer.is_html() => return wait(WaitCause::Blocked, answered),
        408 => return wait(WaitCause::Timeout, answered),
        429 => return wait(WaitCause::RateLimited, answered),
        300..=499 => return wait(WaitCause::Authentication, answered),
        201..=299 => return wait(WaitCause::BrokenBody, answered),
        _ => return wait(WaitCause::ServerError(code), answered),
    }
    let Ok(body) = serde_json::from_str::<Body>(&answer.body) else {
        return wait(
            WaitCause::BrokenBody,
            format!("{answered} and no JSON object"),
        );
    };
    if let Some(error) = body.error {
        let detail = match known_error(&error) {
            Some(known) => format!("the token endpoint says {known}"),
            None => "the token endpoint says that there is an error".to_owned(),
        };
        return wait(WaitCause::Authentication, detail);
    }
    let header = body
        .access_token
        .filter(|it| (1..=LONGEST_TOKEN).contains(&it.len()))
        .and_then(|it| HeaderValue::try_from(format!("Bearer {it}")).ok());
    let Some(mut header) = header else {
        let detail = format!("{answered} and no token that can be sent");
        return wait(WaitCause::BrokenBody, detail);
    };
    header.set_sensitive(true);
    Ok((header, lifetime(body.expires_in.as_ref())))
}

/// The errors that OAuth and Reddit know, with what they mean here. No other word of the answer is
/// passed on: it could be an echo of what was sent.
fn known_error(error: &Value) -> Option<&'static str> {
    Some(match error.as_str()? {
        "invalid_grant" => "invalid_grant: wrong username or password, or a two-factor login",
        "invalid_request" => "invalid_request",
        "invalid_client" => "invalid_client: wrong client id or secret",
        "unauthorized_client" => {
            "unauthorized_client: only script applications may use a username and password"
        }
        "unsupported_grant_type" => "unsupported_grant_type",
        "invalid_scope" => "invalid_scope",
        "access_denied" => "access_denied",
        _ => return None,
    })
}

/// How long a token is used before it is renewed; half of a life that is shorter than the margin.
fn serves(lifetime: Duration) -> Duration {
    lifetime - (lifetime / 10).max(MARGIN).min(lifetime / 2)
}

fn lifetime(expires_in: Option<&Value>) -> Duration {
    expires_in
        .and_then(|it| it.as_f64().or_else(|| it.as_str()?.trim().parse().ok()))
        .filter(|it| *it >= 1.0)
        .map_or(USUAL_LIFETIME, |it| {
            // A month is longer than any token lives.
            Duration::from_secs_f64(it.min(30.0 * 86_400.0))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_renewed_while_a_tenth_of_its_life_and_a_minute_are_left() {
        let serves = |seconds| serves(Duration::from_secs(seconds)).as_secs();
        assert_eq!(serves(86_400), 77_760);
        assert_eq!(serves(3_600), 3_240);
        assert_eq!(serves(300), 240);
        assert_eq!(serves(100), 50);
    }

    #[test]
    fn a_lifetime_is_read_in_any_spelling_and_assumed_where_it_is_nonsense() {
        let seconds = |value: Value| lifetime(Some(&value)).as_secs();
        assert_eq!(seconds(json!(86_400)), 86_400);
        assert_eq!(seconds(json!(3600.0)), 3_600);
        assert_eq!(seconds(json!("86400")), 86_400);
        assert_eq!(seconds(json!(1e300)), 2_592_000);
        for nonsense in [
            json!(0),
            json!(-5),
            json!(null),
            json!("NaN"),
            json!("soon"),
            json!([]),
        ] {
            assert_eq!(seconds(nonsense), 3_600);
        }
        assert_eq!(lifetime(None).as_secs(), 3_600);
    }
}
