//! What a site gives to its peers: new records of the topics they ask for, and an ear for the ledgers' messages. Only
//! pinned certificates get as far as a request, and each is answered under the name it is pinned by. It changes no log.

use crate::Shared;
use crate::wire::{ANSWER_BYTES_MAX, Head, MAIL_BYTES_MAX, Request, Sent, TopicEnd, VERSION, WANT_MAX, pack, put};
use bus::{Batch, BusError, Reader};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A connection has to be agreed on within this.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Largest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Longest a request may wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two looks for something new.
const LOOK: Duration = Duration::from_millis(3);
/// How long the list of topics is remembered.
const TOPICS: Duration = Duration::from_millis(500);

/// What is remembered of a peer between its requests: open readers, by topic.
type Session = HashMap<String, Box<dyn Reader>>;

/// Answers peers.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    sessions: Mutex<HashMap<u16, Arc<Mutex<Session>>>>,
    topics: Mutex<Option<(Instant, Arc<Vec<TopicEnd>>)>>,
}

/// A refusal: status and words.
type Refusal = (StatusCode, String);

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, sessions: Mutex::default(), topics: Mutex::default() })
    }

    /// Takes connections until the process ends.
    pub(crate) async fn listen(self: Arc<Self>, listener: TcpListener, tls: Arc<ServerConfig>) {
        loop {
            match listener.accept().await {
                Ok((tcp, from)) => {
                    let (desk, tls) = (self.clone(), TlsAcceptor::from(tls.clone()));
                    tokio::spawn(async move { desk.talk(tcp, &from.to_string(), tls).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection of a peer could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn talk(self: Arc<Self>, tcp: TcpStream, from: &str, tls: TlsAcceptor) {
        // Without it, answers of a few bytes wait for an acknowledgement; where it fails they do.
        let _ = tcp.set_nodelay(true);
        let tls = match tokio::time::timeout(HANDSHAKE, tls.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return self.shared.stranger(from, &error.to_string()),
            Err(_) => return,
        };
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let Some(peer) = shown.and_then(|shown| self.shared.peer_of(shown)) else {
            return self.shared.stranger(from, "it showed no certificate of a peer");
        };
        let serve = service_fn(move |request| {
            let desk = self.clone();
            async move { Ok::<_, std::convert::Infallible>(desk.answer(peer, request).await) }
        });
        // What ends a connection is the peer's to notice; it asks again.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), serve).await;
    }

    async fn answer(self: Arc<Self>, peer: usize, request: hyper::Request<Incoming>) -> Response<Full<Bytes>> {
        self.shared.heard(peer);
        let path = request.uri().path().to_owned();
        let max = if path == "/v1/mail" { MAIL_BYTES_MAX } else { REQUEST_BYTES_MAX };
        let answered = match Limited::new(request.into_body(), max).collect().await {
            Err(error) => Err((StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            Ok(body) => self.route(peer, &path, body.to_bytes()).await,
        };
        let (status, bytes) = match answered {
            Ok(bytes) if bytes.is_empty() => (StatusCode::NO_CONTENT, bytes),
            Ok(bytes) => (StatusCode::OK, bytes),
            Err((status, why)) => (status, why.into_bytes()),
        };
        let mut response = Response::new(Full::new(Bytes::from(bytes)));
        *response.status_mut() = status;
        response
    }

    async fn route(self: Arc<Self>, peer: usize, path: &str, body: Bytes) -> Result<Vec<u8>, Refusal> {
        match path {
            "/v1/mail" => {
                self.shared.received(peer, body.to_vec());
                Ok(Vec::new())
            }
            "/v1/pull" => {
                let request: Request = serde_json::from_slice(&body)
                    .map_err(|error| (StatusCode::BAD_REQUEST, format!("the request is none: {error}")))?;
                let work = tokio::task::spawn_blocking(move || self.pull(peer, &request)).await;
                work.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
            }
            "/v1/order" => {
                let shared = self.shared.clone();
                let work = tokio::task::spawn_blocking(move || {
                    let Some(orders) = shared.orders.get() else {
                        let why = "this process is starting, or carries out no orders of other sites".to_owned();
                        return Err((StatusCode::SERVICE_UNAVAILABLE, why));
                    };
                    Ok(orders(&shared.options.peers[peer].name, &body))
                });
                work.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?
            }
            _ => Err((StatusCode::NOT_FOUND, "there is no such path between sites".to_owned())),
        }
    }

    fn pull(&self, peer: usize, request: &Request) -> Result<Vec<u8>, Refusal> {
        let known = &self.shared.options.peers[peer];
        if request.version != VERSION {
            let why = format!("this site speaks version {VERSION} between sites, not {}", request.version);
            return Err((StatusCode::CONFLICT, why));
        }
        if request.site != known.name || request.number != known.number {
            let why = format!(
                "the certificate is that of site {} (number {}), the request says {} (number {})",
                known.name, known.number, request.site, request.number
            );
            return Err((StatusCode::FORBIDDEN, why));
        }
        if request.want.len() > WANT_MAX {
            return Err((StatusCode::BAD_REQUEST, format!("more than {WANT_MAX} topics in one request")));
        }
        self.shared.asked(peer, &request.want);
        let session = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.entry(known.number).or_default().clone()
        };
        let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, problems) = self.collect(&mut session, request);
        let head = Head {
            version: VERSION,
            site: self.shared.options.site.clone(),
            number: self.shared.options.number,
            partitions: self.shared.options.partitions,
            fold: self.shared.options.fold,
            now: crate::wall_micros(),
            topics: self.offered().map_err(broken)?.to_vec(),
            problems,
            said: self.shared.said(),
            ids: self.shared.given_ids(),
        };
        pack(&head, &records).map_err(broken)
    }

    /// Records of the topics asked for, in their order, as soon as there are any.
    fn collect(&self, session: &mut Session, request: &Request) -> (Vec<u8>, Vec<(String, String)>) {
        let until = Instant::now() + Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
        let max = request.max_bytes.min(ANSWER_BYTES_MAX);
        let (mut out, mut batch, compiled) = (Vec::new(), Batch::new(), schemas::SchemaIds::default());
        let mut problems: Vec<(String, String)> = Vec::new();
        session.retain(|topic, _| request.want.iter().any(|(wanted, _)| wanted == topic));
        loop {
            for (place, (topic, from)) in request.want.iter().enumerate() {
                if out.len() >= max || problems.iter().any(|(known, _)| known == topic) {
                    continue;
                }
                let polled = self.poll(session, topic, *from, max - out.len(), &mut batch);
                if let Err(BusError::Stopped) = polled {
                    // This site is being stopped, which is no fault of a topic: the peer hears no more of it.
                    return (out, problems);
                }
                if let Err(error) = polled {
                    session.remove(topic);
                    problems.push((topic.clone(), error.to_string()));
                    continue;
                }
                for record in batch.iter() {
                    // A record whose schema we do not know goes out as it is and is judged there.
                    let value = self.shared.ids.translate(record.value, &compiled);
                    let value = value.unwrap_or_else(|_| record.value.to_vec());
                    let (offset, timestamp_ms, key) = (record.offset, record.timestamp_ms, record.key);
                    // At most WANT_MAX topics.
                    put(&mut out, Sent { topic: place as u16, offset, timestamp_ms, key, value: &value });
                }
            }
            let done = !out.is_empty() || Instant::now() >= until || !problems.is_empty();
            if done || request.want.is_empty() || self.shared.stop.load(Ordering::Relaxed) {
                return (out, problems);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn poll(
        &self,
        session: &mut Session,
        topic: &str,
        from: u64,
        max: usize,
        batch: &mut Batch,
    ) -> Result<usize, BusError> {
        if !session.contains_key(topic) {
            if !self.offered()?.iter().any(|offered| offered.name == topic) {
                return Err(BusError::UnknownTopic { topic: topic.to_owned() });
            }
            session.insert(topic.to_owned(), self.shared.bus.reader(topic, 0, from)?);
        }
        let Some(reader) = session.get_mut(topic) else { return Ok(0) };
        if reader.position() != from {
            reader.seek(from)?;
        }
        reader.poll(batch, max, Duration::ZERO)
    }

    /// Streams, orders of runs and the configuration; never `call-events` and never what others put on the bus.
    fn offered(&self) -> Result<Arc<Vec<TopicEnd>>, BusError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = &*topics
            && at.elapsed() < TOPICS
        {
            return Ok(known.clone());
        }
        let bus = &self.shared.bus;
        let mut all = Vec::new();
        for name in bus.topics()?.into_iter().filter(|name| crate::is_ours(name)) {
            let (begin, end) = (bus.begin(&name, 0)?, bus.end(&name, 0)?);
            all.push(TopicEnd { name, begin, end });
        }
        let all = Arc::new(all);
        *topics = Some((Instant::now(), all.clone()));
        Ok(all)
    }
}

fn broken(error: impl ToString) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
