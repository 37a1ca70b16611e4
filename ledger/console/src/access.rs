//! Who may look: a first-run token for people and programs, sessions for browsers. Nothing but health and login is
//! answered without one of them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use std::sync::{Arc, Mutex};

/// Most sessions kept; the oldest is logged out beyond it.
const SESSIONS_MAX: usize = 1_000;
/// Name of the session's cookie.
const COOKIE: &str = "tandem_session";

/// Token and sessions of one process.
pub struct Access {
    token: String,
    sessions: Mutex<Vec<Session>>,
}

/// A browser that is logged in, and what its forms carry.
struct Session {
    id: String,
    form_token: String,
}

impl Access {
    /// `token` stands in the data folder, readable by its owner only.
    pub fn new(token: String) -> Arc<Self> {
        Arc::new(Self { token, sessions: Mutex::new(Vec::new()) })
    }

    /// A fresh session where the token is right.
    pub fn login(&self, token: &str) -> Option<String> {
        if !same(token.trim().as_bytes(), self.token.as_bytes()) {
            return None;
        }
        let (session, form_token) = (random_hex().ok()?, random_hex().ok()?);
        let mut sessions = self.sessions.lock().ok()?;
        if sessions.len() >= SESSIONS_MAX {
            sessions.remove(0);
        }
        sessions.push(Session { id: session.clone(), form_token });
        Some(session)
    }

    pub fn logout(&self, headers: &HeaderMap) {
        if let (Some(session), Ok(mut sessions)) = (cookie(headers), self.sessions.lock()) {
            sessions.retain(|known| known.id != session);
        }
    }

    /// A bearer token or a known session.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        if let Some(token) = bearer(headers) {
            return same(token.as_bytes(), self.token.as_bytes());
        }
        let Some(session) = cookie(headers) else { return false };
        self.sessions
            .lock()
            .is_ok_and(|sessions| sessions.iter().any(|known| same(known.id.as_bytes(), session.as_bytes())))
    }

    /// What the forms of this session carry; empty for a program that sends the token itself.
    pub fn form_token(&self, headers: &HeaderMap) -> String {
        let (Some(session), Ok(sessions)) = (cookie(headers), self.sessions.lock()) else { return String::new() };
        let known = sessions.iter().find(|known| same(known.id.as_bytes(), session.as_bytes()));
        known.map(|known| known.form_token.clone()).unwrap_or_default()
    }

    /// Whether a form came from a page of the session that posts it; a bearer token needs no form.
    pub fn form_allowed(&self, headers: &HeaderMap, form_token: &str) -> bool {
        if bearer(headers).is_some() {
            return self.allows(headers);
        }
        let known = self.form_token(headers);
        !known.is_empty() && same(known.as_bytes(), form_token.as_bytes())
    }
}

/// The cookie that `login` sets.
pub fn session_cookie(session: &str) -> String {
    format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict")
}

/// 128 random bits as text, for tokens and sessions.
pub fn random_hex() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lets allowed requests pass; browsers are sent to the login page, programs get 401.
pub async fn require(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if access.allows(request.headers()) {
        // A form of another site must not act with this session: writes need our own origin or a bearer token.
        if request.method() != axum::http::Method::GET
            && bearer(request.headers()).is_none()
            && !same_origin(request.headers())
        {
            return (StatusCode::FORBIDDEN, "this request came from another site\n").into_response();
        }
        return next.run(request).await;
    }
    let accepts_html = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"));
    if accepts_html {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let next = if path.starts_with("/logout") { "/" } else { path };
        return Redirect::to(&format!("/login?next={}", encode(next))).into_response();
    }
    (StatusCode::UNAUTHORIZED, "a token is missing or wrong; send `Authorization: Bearer TOKEN` (see `tandem up`)\n")
        .into_response()
}

fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.rsplit("//").next() == Some(host),
        _ => false,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// Percent-encodes all but unreserved characters and `/`.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_or_a_live_session_opens_the_door() {
        let access = Access::new("secret".to_owned());
        assert!(access.login("wrong").is_none());
        let session = access.login("secret\n").unwrap();
        let mut headers = HeaderMap::new();
        assert!(!access.allows(&headers));
        headers.insert(header::COOKIE, format!("a=b; {COOKIE}={session}").parse().unwrap());
        assert!(access.allows(&headers));
        let form_token = access.form_token(&headers);
        let other = access.login("secret").unwrap();
        assert!(access.form_allowed(&headers, &form_token) && !access.form_allowed(&headers, ""));
        let mut others = HeaderMap::new();
        others.insert(header::COOKIE, format!("{COOKIE}={other}").parse().unwrap());
        assert!(!access.form_allowed(&others, &form_token), "a form of another session");
        access.logout(&headers);
        assert!(!access.allows(&headers) && !access.form_allowed(&headers, &form_token));
        headers.insert(header::AUTHORIZATION, "Bearer secret".parse().unwrap());
        assert!(access.allows(&headers));
    }
}
