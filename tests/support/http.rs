//! Plain HTTP requests as a test makes them: any status is an answer, no answer is an error.
//!
//! Never follows anything beyond loopback: the tests' servers are all there.

use std::time::Duration;

use serde_json::Value;

/// Status and body of an answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body as text.
    pub body: String,
    /// The cookie that it sets, name and value.
    pub cookie: Option<String>,
}

impl Answer {
    /// The body as JSON; panics with the body when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.body))
    }
}

/// Sends `method url` with the headers and an optional JSON (or other) body.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Result<Answer, String> {
    send(method, url, headers, body.map(str::as_bytes))
}

/// The same with a body of any bytes.
pub fn request_bytes(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    send(method, url, headers, Some(body))
}

fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into();
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let sent = match body {
        Some(body) => builder.body(body.to_vec()).map(|request| agent.run(request)),
        None => builder.body(()).map(|request| agent.run(request)),
    };
    let answer = sent.map_err(|error| error.to_string())?;
    let mut response = answer.map_err(|error| format!("{method} {url}: {error}"))?;
    let cookie = response.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok()?.split(';').next());
    let (status, cookie) = (response.status().as_u16(), cookie.map(str::to_owned));
    let body = response.body_mut().with_config().limit(64 << 20).read_to_string();
    Ok(Answer { status, cookie, body: body.map_err(|error| format!("{method} {url}: {error}"))? })
}

/// `GET url`.
pub fn get(url: &str) -> Result<Answer, String> {
    request("GET", url, &[], None)
}

/// `POST url` with a JSON body.
pub fn post_json(url: &str, body: &Value) -> Result<Answer, String> {
    request("POST", url, &[("content-type", "application/json")], Some(&body.to_string()))
}
