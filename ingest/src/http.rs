//! `POST /v1/call-events`: single events or batches, JSON or Avro; and, for switches that post their own records
//! (FreeSWITCH `mod_json_cdr`), `?switch=ID` reads the body in that switch's format. An answer is given only when every
//! accepted item is durable; the same request again changes nothing. Who may call is decided by the token check given
//! from outside.
//!
//! | content type | body |
//! |---|---|
//! | `application/json` | one event or an array of them; with `?switch=ID` the switch's own format |
//! | `avro/binary` | one record in Confluent wire format |
//! | `avro/binary; framing=length` | many, each preceded by its length as u32 BE |

use crate::error::IngestError;
use crate::import::{Feed, reject_of};
use crate::raw_store::{Hash, RawStore};
use crate::writer::{CallEventWriter, Outgoing};
use crate::{Shared, SwitchLookup};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bus::murmur2_partition;
use facts::call::{BusRecord, CallEvent, EventKind, RawRef};
use facts::config::Switch;
use facts::ids::DedupeKey;
use schemas::SchemaIds;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smol_str::{SmolStr, format_smolstr};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use switch_formats::{Decoded, Place, Rejected};

/// Largest body.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// Most items of one request.
pub const ITEMS_MAX: usize = 10_000;
/// How long a request waits for its records to become durable.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells whether the bearer token of a request (none: no header) may post call events.
pub type TokenCheck = Arc<dyn Fn(Option<&str>) -> bool + Send + Sync>;

/// What the routes need.
#[derive(Clone)]
pub struct HttpState {
    pub(crate) shared: Shared,
    pub allowed: TokenCheck,
}

/// The routes, to be mounted where the process listens.
pub fn router(state: HttpState) -> Router {
    Router::new()
        .route("/v1/call-events", post(call_events))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    switch: String,
}

/// What became of one item.
#[derive(Serialize, Debug)]
struct ItemAnswer {
    index: usize,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<SmolStr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize, Debug)]
struct Answer {
    accepted: usize,
    rejected: usize,
    items: Vec<ItemAnswer>,
}

/// A request that is refused as a whole.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl From<IngestError> for Refused {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::UnknownSwitch(_) => Self::new(StatusCode::NOT_FOUND, "unknown_switch", error.to_string()),
            IngestError::Format(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_switch", error.to_string()),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_durable", error.to_string()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": { "code": self.code, "message": self.message } }).to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}

async fn call_events(
    State(state): State<HttpState>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !(state.allowed)(token) {
        let message = "a token that may post call events is needed: Authorization: Bearer TOKEN";
        return Refused::new(StatusCode::UNAUTHORIZED, "unauthorised", message).into_response();
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("the body is larger than {BODY_BYTES_MAX} bytes; send smaller batches");
            return Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message).into_response();
        }
        Err(rejection) => return Refused::new(rejection.status(), "bad_body", rejection.body_text()).into_response(),
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    // Reading, the raw store and waiting for durability block: not on the threads that serve sockets.
    let done = tokio::task::spawn_blocking(move || receive(&state.shared, &params.switch, &kind, &body)).await;
    match done {
        Ok(Ok(answer)) => {
            let status = if answer.rejected > 0 && answer.accepted == 0 {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::OK
            };
            let text = serde_json::to_string(&answer).unwrap_or_default();
            (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Ok(Err(refused)) => refused.into_response(),
        Err(error) => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()).into_response(),
    }
}

/// One item as it was understood.
type Item = Result<CallEvent, Rejected>;

fn receive(shared: &Shared, switch: &str, content_type: &str, body: &[u8]) -> Result<Answer, Refused> {
    if body.is_empty() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "empty", "the body is empty; send one event or more"));
    }
    let mut parts = content_type.split(';').map(str::trim);
    let items = match parts.next().unwrap_or_default() {
        "application/json" | "text/json" | "application/x-ndjson" => {
            let given = (!switch.is_empty()).then(|| known(&shared.switches, switch)).transpose()?;
            let foreign = given.as_ref().filter(|switch| switch.format != "tandem");
            let hash = shared.raw.put(body)?;
            match foreign {
                Some(switch) => foreign_items(switch, hash, body)?,
                None => json_items(shared, given.as_ref(), hash, body)?,
            }
        }
        "avro/binary" => {
            let framed = parts.any(|part| part == "framing=length");
            avro_items(shared, body, framed)?
        }
        other => {
            let message = format!("content type {other:?} is not read; use application/json or avro/binary");
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
        }
    };
    if items.len() > ITEMS_MAX {
        let message = format!("{} items are more than {ITEMS_MAX}; send smaller batches", items.len());
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many", message));
    }
    deliver(&shared.writer, switch, items)
}

/// Writes the items, waits, and answers for each.
fn deliver(writer: &CallEventWriter, switch: &str, items: Vec<Item>) -> Result<Answer, Refused> {
    let mut answer = Answer { accepted: 0, rejected: 0, items: Vec::with_capacity(items.len()) };
    let mut batch = Vec::with_capacity(items.len());
    let source = if switch.is_empty() { SmolStr::new_static("http") } else { format_smolstr!("http:{switch}") };
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Ok(event) => {
                answer.accepted += 1;
                let call_id = Some(event.call_id().to_string());
                answer.items.push(ItemAnswer {
                    index,
                    status: "accepted",
                    call_id,
                    field: None,
                    reason: None,
                    advice: None,
                });
                batch.push(Outgoing::Event(event));
            }
            Err(rejected) => {
                answer.rejected += 1;
                batch.push(Outgoing::Reject(reject_of(&source, None, &rejected, None)));
                answer.items.push(ItemAnswer {
                    index,
                    status: "rejected",
                    call_id: None,
                    field: Some(rejected.field).filter(|field| !field.is_empty()),
                    reason: Some(rejected.reason),
                    advice: Some(rejected.advice),
                });
            }
        }
    }
    writer.write(batch, PATIENCE)?;
    Ok(answer)
}

fn known(switches: &SwitchLookup, id: &str) -> Result<Switch, IngestError> {
    switches(id).ok_or_else(|| IngestError::UnknownSwitch(id.to_owned()))
}

/// The body in a switch's own format.
fn foreign_items(switch: &Switch, hash: Hash, body: &[u8]) -> Result<Vec<Item>, Refused> {
    let mut reader = switch_formats::reader(&switch.format, switch).map_err(IngestError::from)?;
    let mut items = Vec::new();
    let mut take = |decoded| match decoded {
        Decoded::Record(record) | Decoded::Event(record) => {
            let mut event = record.event;
            event.raw = Some(raw_ref(hash, record.place));
            items.push(Ok(event));
        }
        Decoded::Reject(rejected) => items.push(Err(rejected)),
        Decoded::Skip { .. } => {}
    };
    reader.feed(body, &mut take);
    reader.finish(&mut take);
    Ok(items)
}

fn raw_ref(hash: Hash, place: Place) -> RawRef {
    RawRef { hash, offset: place.byte, length: u32::try_from(place.length).unwrap_or(u32::MAX) }
}

/// Our own events as JSON.
fn json_items(shared: &Shared, given: Option<&Switch>, hash: Hash, body: &[u8]) -> Result<Vec<Item>, Refused> {
    let bad = |error: String| {
        Refused::new(StatusCode::BAD_REQUEST, "bad_json", format!("{error}; send one event or an array of events"))
    };
    let text = std::str::from_utf8(body).map_err(|e| bad(format!("the body is not UTF-8: {e}")))?;
    let texts: Vec<&RawValue> = match text.trim_start().as_bytes().first() {
        Some(b'[') => serde_json::from_str(text).map_err(|e| bad(e.to_string()))?,
        _ => vec![serde_json::from_str(text).map_err(|e| bad(e.to_string()))?],
    };
    let mut equal: BTreeMap<&str, u32> = BTreeMap::new();
    Ok(texts
        .into_iter()
        .map(|raw| {
            let text = raw.get();
            let offset = text.as_ptr() as usize - body.as_ptr() as usize;
            let place = Place { line: 0, byte: offset as u64, length: text.len() as u64 };
            let ordinal = *equal.entry(text).and_modify(|n| *n += 1).or_insert(0);
            let item = json_item(shared, given, text, ordinal);
            item.map(|event| CallEvent { raw: Some(raw_ref(hash, place)), ..event })
                .map_err(|(field, reason, advice)| Rejected { place, field, reason, advice })
        })
        .collect())
}

type Fault = (SmolStr, String, String);

fn fault(field: &str, reason: impl Into<String>, advice: &str) -> Fault {
    (field.into(), reason.into(), advice.to_owned())
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    switch: Option<std::borrow::Cow<'a, str>>,
}

fn json_item(shared: &Shared, given: Option<&Switch>, text: &str, ordinal: u32) -> Result<CallEvent, Fault> {
    let named: Named<'_> = serde_json::from_str(text)
        .map_err(|e| fault("", format!("this is no call event: {e}"), switch_formats::EVENT_ADVICE))?;
    let own;
    let switch = match (named.switch.as_deref().filter(|id| !id.is_empty()), given) {
        (Some(id), Some(given)) if id != given.id => {
            return Err(fault(
                "switch",
                format!("{id} is not the switch of the request, {}", given.id),
                "name one of them",
            ));
        }
        (_, Some(given)) => given,
        (Some(id), None) => {
            own = known(&shared.switches, id).map_err(|e| fault("switch", e.to_string(), "check the switch's name"))?;
            &own
        }
        (None, None) => return Err(fault("switch", "the event names no switch", "add \"switch\" or ?switch=ID")),
    };
    // Options of a switch belong to its file format; events in our own shape have none.
    let plain = Switch { options: BTreeMap::new(), ..switch.clone() };
    let (mut event, record_id) = switch_formats::event_from_json(text, &plain)?;
    if event.id.node.is_empty() {
        let key = match record_id.as_str() {
            "" => DedupeKey::of_raw(&event.switch, text.as_bytes(), ordinal),
            id => DedupeKey::of_record_id(&event.id_domain, &event.switch, id),
        };
        event.dedupe = Some(key);
        if event.call_key.is_empty() {
            event.call_key = key.to_string().into();
        }
    }
    check(shared, event, switch)
}

/// What holds for every event that somebody hands in.
fn check(shared: &Shared, event: CallEvent, switch: &Switch) -> Result<CallEvent, Fault> {
    let domain = if switch.id_domain.is_empty() { &switch.id } else { &switch.id_domain };
    if event.id_domain != *domain {
        let reason = format!("{} is not the id domain of switch {}, {domain}", event.id_domain, switch.id);
        return Err(fault("id_domain", reason, "leave it out, or change the switch's configuration"));
    }
    if event.call_key.is_empty() {
        return Err(fault("call_key", "call_key is missing", switch_formats::EVENT_ADVICE));
    }
    let writer = &shared.writer;
    if !event.id.node.is_empty() {
        let partition = murmur2_partition(event.call_key.as_bytes(), writer.partitions());
        if event.id.partition != partition {
            let reason = format!("the id names partition {}, the call key belongs to {partition}", event.id.partition);
            return Err(fault("id", reason, "partition = murmur2(call_key) mod the number of partitions"));
        }
        if event.id.node == writer.node() {
            return Err(fault(
                "id",
                format!("node {} is this process itself", event.id.node),
                "give each node a name of its own",
            ));
        }
    } else if event.dedupe.is_none() {
        return Err(fault("dedupe", "the event has neither an id nor a dedupe key", "repeats could not be told"));
    }
    Ok(event)
}

fn avro_items(shared: &Shared, body: &[u8], framed: bool) -> Result<Vec<Item>, Refused> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let (start, end) = if framed {
            let head = body.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize);
            match head.and_then(|len| (at + 4).checked_add(len)).filter(|end| *end <= body.len()) {
                Some(end) => (at + 4, end),
                None => {
                    let message = format!("the length at byte {at} goes beyond the body; nothing was taken");
                    return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_framing", message));
                }
            }
        } else {
            (0, body.len())
        };
        let place = Place { line: 0, byte: start as u64, length: (end - start) as u64 };
        let item = avro_item(shared, &body[start..end], &shared.ids);
        items.push(item.map_err(|(field, reason, advice)| Rejected { place, field, reason, advice }));
        at = end;
    }
    Ok(items)
}

fn avro_item(shared: &Shared, record: &[u8], ids: &SchemaIds) -> Result<CallEvent, Fault> {
    let advice = "a call-event record in Confluent wire format is expected";
    let event = match schemas::bus_record::decode(record, ids) {
        Ok(BusRecord::Event(event)) => *event,
        Ok(_) => return Err(fault("", "this record is no call event", advice)),
        Err(error) => return Err(fault("", error.to_string(), advice)),
    };
    let switch = known(&shared.switches, &event.switch)
        .map_err(|e| fault("switch", e.to_string(), "check the switch's name"))?;
    if event.kind == EventKind::Record && event.started_at.is_none() {
        return Err(fault("started_at", "the record has no start", switch_formats::EVENT_ADVICE));
    }
    check(shared, event, &switch)
}

/// Feeds one stored object of a switch to the bus and waits; used where records come without a file.
pub(crate) fn feed_object(
    shared: &Shared,
    stop: &AtomicBool,
    switch: &Switch,
    raw: &RawStore,
    object: &[u8],
) -> Result<u64, IngestError> {
    let hash = raw.put(object)?;
    let sink = crate::import::Sink { raw, writer: &shared.writer, stop };
    let mut feed = Feed::new(sink, switch.id.clone(), None, hash);
    let mut reader = switch_formats::reader(&switch.format, switch)?;
    let mut take = |decoded| feed.take(with_own_id(decoded));
    reader.feed(object, &mut take);
    reader.finish(&mut take);
    feed.flush()?;
    Ok(feed.sent.iter().sum())
}

/// A stream has no file whose equal rows could be counted: what has no id of its own cannot be told from a repeat.
fn with_own_id(decoded: Decoded) -> Decoded {
    match decoded {
        Decoded::Record(record) | Decoded::Event(record)
            if record.record_id.is_empty() && record.event.id.node.is_empty() =>
        {
            Decoded::Reject(Rejected {
                place: record.place,
                field: "id".into(),
                reason: "a record of a stream needs an id of its own, or repeats could not be told".into(),
                advice: "let the switch send its record id".into(),
            })
        }
        other => other,
    }
}
