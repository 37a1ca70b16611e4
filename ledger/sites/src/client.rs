//! One connection to a peer: HTTP over TLS, made again when it breaks. It never sends a request twice by itself.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Reaching the peer and agreeing on keys.
const CONNECT: Duration = Duration::from_secs(3);

/// Why a peer gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    #[error("{address} cannot be reached: {reason}")]
    Away { address: String, reason: String },
    #[error("{address} is not who it should be: {reason}")]
    Stranger { address: String, reason: String },
    #[error("{address} refuses: {status} {reason}")]
    Refused { address: String, status: u16, reason: String },
}

/// Host and port of `https://HOST:PORT`.
pub fn address(url: &str) -> Result<(String, u16), String> {
    let rest = url.strip_prefix("https://").ok_or("it does not begin with https://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| "its port is no number")?),
        _ => (rest, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains('/') {
        return Err("it is not of the form https://HOST:PORT".to_owned());
    }
    Ok((host.to_owned(), port))
}

/// A connection that is made when it is needed.
pub(crate) struct Client {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(host: String, port: u16, tls: Arc<ClientConfig>) -> Self {
        Self { host, port, tls, open: None }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Posts `body` and takes an answer of at most `max` bytes within `limit`.
    pub(crate) async fn post(
        &mut self,
        path: &'static str,
        body: Vec<u8>,
        max: usize,
        limit: Duration,
    ) -> Result<Bytes, LinkError> {
        let away = |address: String, reason: String| LinkError::Away { address, reason };
        // Taken out, so that whatever fails half-way leaves no connection in an unknown state.
        let mut sender = match self.open.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let exchange = async {
            sender.ready().await.map_err(|e| e.to_string())?;
            let request = Request::post(path).header("host", &self.host).body(Full::new(Bytes::from(body)));
            let response = sender.send_request(request.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), max).collect().await.map_err(|e| e.to_string())?;
            Ok::<_, String>((status, body.to_bytes()))
        };
        let (status, bytes) = match timeout(limit, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(away(self.address(), reason)),
            Err(_) => return Err(away(self.address(), format!("no answer within {} s", limit.as_secs()))),
        };
        self.open = Some(sender);
        if status == StatusCode::OK || status == StatusCode::NO_CONTENT {
            return Ok(bytes);
        }
        let reason = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).trim().to_owned();
        Err(LinkError::Refused { address: self.address(), status: status.as_u16(), reason })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, LinkError> {
        let address = self.address();
        let away = |reason: String| LinkError::Away { address: self.address(), reason };
        let connecting = async {
            let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| away(e.to_string()))?;
            tcp.set_nodelay(true).map_err(|e| away(e.to_string()))?;
            let name = ServerName::try_from(self.host.clone()).map_err(|e| away(e.to_string()))?;
            let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await;
            let tls = tls.map_err(|error| match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) => {
                    LinkError::Stranger { address: self.address(), reason: other.0.to_string() }
                }
                Some(error) => LinkError::Stranger { address: self.address(), reason: error.to_string() },
                None => away(error.to_string()),
            })?;
            let (sender, connection) = handshake(TokioIo::new(tls)).await.map_err(|e| away(e.to_string()))?;
            tokio::spawn(async move {
                // What ends a connection is seen by the request that waits on it.
                let _ = connection.await;
            });
            Ok(sender)
        };
        match timeout(CONNECT, connecting).await {
            Ok(made) => made,
            Err(_) => Err(LinkError::Away { address, reason: format!("no answer within {} s", CONNECT.as_secs()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!(address("https://vienna.example:8443"), Ok(("vienna.example".to_owned(), 8443)));
        assert_eq!(address("https://10.0.0.2/"), Ok(("10.0.0.2".to_owned(), 443)));
        assert_eq!(address("https://[::1]:9"), Ok(("::1".to_owned(), 9)));
        assert!(address("http://x").is_err() && address("https://").is_err() && address("https://a:b").is_err());
    }
}
