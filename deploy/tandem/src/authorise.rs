//! `POST /v1/authorise`, `/v1/attempt`, `/v1/extend`, `/v1/release`: whether a call may begin or a vendor be tried, for how
//! long, and that it will not. Prices
//! the call by the tariffs in force, asks the ledger, and answers when the ledger's answer is durable. Holds no state.

use crate::node::{ConfigHub, Node, wall_micros};
use accounting::attempts::AttemptWish;
use accounting::authorise::{Offered, Wish};
use accounting::credit::Offer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use facts::call::Endpoint;
use facts::config::Config;
use facts::entry::Hold;
use facts::ids::{CallId, OriginId};
use facts::time::{parse_rfc3339, rfc3339};
use facts::{E164, OccurredAt};
use ledger::{CreditAnswer, CreditAsk, CreditError, Orders};
use rating::Tariffs;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::sync::{Arc, Mutex, PoisonError};

/// How far the time of a call may be from ours, microseconds: an hour. It chooses the rate.
const CLOCKS_APART: i64 = 3_600_000_000;

/// A call that may begin.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Question {
    /// Of the configuration.
    pub switch: SmolStr,
    /// The switch's own id of the call; the same on its call events or records.
    pub call_key: SmolStr,
    /// Who calls: the facts that identification rules of trunks look at.
    pub account: SmolStr,
    pub trunk: SmolStr,
    pub ip: SmolStr,
    pub port: u16,
    pub digest_user: SmolStr,
    pub tech_prefix: SmolStr,
    pub called: SmolStr,
    pub caller: SmolStr,
    /// Routing number, where it has been looked up.
    pub rn: SmolStr,
    /// RFC 3339; none = now.
    pub time: Option<String>,
    /// False: the switch cannot extend, and wants one hold for the whole call.
    pub extend: Option<bool>,
    /// `/v1/attempt` only: the switch's own id of the B leg; the same on its call events or records.
    pub attempt_key: SmolStr,
}

/// What is held.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    pub hold_id: OriginId,
    pub call_id: CallId,
    /// Bind: cut the call at their end unless extended.
    pub seconds_held: u32,
    /// Advice.
    pub seconds_allowed: u32,
    /// When to ask for a further hold, seconds after the answer; none where that is not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_after: Option<u32>,
    /// When the hold ends by itself, whatever was lost.
    pub until: String,
    pub repeated: bool,
    /// One for each level that the call is sold to.
    pub lines: Vec<HeldLine>,
}

#[derive(Debug, Clone, Serialize)]
pub struct HeldLine {
    pub account: SmolStr,
    pub level: u8,
    pub amount: String,
    pub currency: SmolStr,
    /// The rate it was counted with, as an upper bound of the charge.
    pub rate: RateLine,
}

#[derive(Debug, Clone, Serialize)]
pub struct RateLine {
    pub deck: SmolStr,
    pub version: u32,
    pub prefix: String,
    pub destination: SmolStr,
    /// Fees and first interval.
    pub first: String,
    pub first_seconds: u32,
    /// One further interval.
    pub next: String,
    pub next_seconds: u32,
}

/// Why there is no hold.
#[derive(Debug, Clone)]
pub enum Denied {
    /// The question itself is wrong.
    Question(String),
    /// A word of the closed set, and a sentence.
    Refused(&'static str, String),
    Busy(String),
    /// Nobody knows whether it is held; asking again finds out.
    Unknown(String),
}

impl From<CreditError> for Denied {
    fn from(error: CreditError) -> Self {
        match error {
            CreditError::Refused(refusal) => Self::Refused(refusal.code(), refusal.to_string()),
            CreditError::Busy => Self::Busy(error.to_string()),
            CreditError::Unknown(_) => Self::Unknown(error.to_string()),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, code, error) = match self {
            Self::Question(why) => (StatusCode::BAD_REQUEST, "bad_request", why),
            Self::Refused(code, why) => (StatusCode::FORBIDDEN, code, why),
            Self::Busy(why) => (StatusCode::TOO_MANY_REQUESTS, "busy", why),
            Self::Unknown(why) => (StatusCode::SERVICE_UNAVAILABLE, "unknown", why),
        };
        (status, Json(serde_json::json!({ "code": code, "error": error }))).into_response()
    }
}

/// A configuration and the tariffs compiled from it.
type Compiled = (Arc<Config>, Arc<Tariffs>);

/// Answers questions about calls.
#[derive(Clone)]
pub struct Gate {
    config: Arc<ConfigHub>,
    orders: Orders,
    /// The tariffs last used.
    last: Arc<Mutex<Option<Compiled>>>,
}

impl Gate {
    /// `None` where this process does not write the ledger.
    pub fn of(node: &Node) -> Option<Self> {
        Some(Self::new(node.config.clone(), node.orders.clone()?))
    }

    /// Asks the ledger behind `orders`, by the configuration in force.
    pub fn new(config: Arc<ConfigHub>, orders: Orders) -> Self {
        Self { config, orders, last: Arc::default() }
    }

    async fn tariffs(&self) -> Result<Compiled, Denied> {
        let now = self.config.current();
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|(config, _)| Arc::ptr_eq(config, &now)) {
            return Ok(known);
        }
        // A deck of a million codes takes seconds to compile; once for each version of the configuration.
        let config = now.clone();
        let compiled = tokio::task::spawn_blocking(move || rater::tariffs::tariffs_of(&config)).await;
        let compiled = (now, compiled.map_err(|error| Denied::Unknown(error.to_string()))?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(compiled.clone());
        Ok(compiled)
    }

    /// May this call begin?
    pub async fn authorise(&self, question: &Question) -> Result<Held, Denied> {
        let (config, tariffs) = self.tariffs().await?;
        let wish = wish(question, &config, &tariffs)?;
        self.held(CreditAsk::Authorise(Box::new(wish))).await
    }

    /// May this vendor be tried?
    pub async fn attempt(&self, question: &Question) -> Result<Held, Denied> {
        let (config, tariffs) = self.tariffs().await?;
        let wish = attempt_wish(question, &config, &tariffs)?;
        self.held(CreditAsk::Attempt(Box::new(wish))).await
    }

    /// May it go on?
    pub async fn extend(&self, hold_id: OriginId, held: u32) -> Result<Held, Denied> {
        self.held(CreditAsk::Extend { hold_id, held }).await
    }

    async fn held(&self, ask: CreditAsk) -> Result<Held, Denied> {
        match self.orders.credit(ask).await? {
            CreditAnswer::Held { hold, allowed, repeated } => Ok(shown(&hold, allowed, repeated)),
            CreditAnswer::Released { .. } => Err(Denied::Unknown("the ledger answered another question".to_owned())),
        }
    }

    /// There is no call. True where the hold had ended before.
    pub async fn release(&self, hold_id: OriginId) -> Result<bool, Denied> {
        match self.orders.credit(CreditAsk::Release { hold_id }).await? {
            CreditAnswer::Released { repeated } => Ok(repeated),
            CreditAnswer::Held { .. } => Err(Denied::Unknown("the ledger answered another question".to_owned())),
        }
    }
}

fn wish(question: &Question, config: &Config, tariffs: &Tariffs) -> Result<Wish, Denied> {
    if !question.attempt_key.is_empty() {
        return Err(Denied::Question("attempt_key belongs to /v1/attempt; leave it out".to_owned()));
    }
    let (call_id, priced) = priced(question, config)?;
    let offers = tariffs.offers(&priced).map_err(unpriced)?;
    Ok(Wish {
        call_id,
        at: OccurredAt(wall_micros()),
        called: offers.number,
        trunk: offers.trunk,
        extendable: question.extend.unwrap_or(true),
        lines: offers.levels.into_iter().map(offered).collect(),
    })
}

fn attempt_wish(question: &Question, config: &Config, tariffs: &Tariffs) -> Result<AttemptWish, Denied> {
    if question.attempt_key.is_empty() {
        return Err(Denied::Question("attempt_key is missing; say it".to_owned()));
    }
    let (call_id, priced) = priced(question, config)?;
    let offers = tariffs.vendor_offer(&priced).map_err(unpriced)?;
    let line = offers.levels.into_iter().next().map(offered);
    Ok(AttemptWish {
        call_id,
        attempt_key: question.attempt_key.clone(),
        at: OccurredAt(wall_micros()),
        extendable: question.extend.unwrap_or(true),
        line: line.ok_or_else(|| unpriced(facts::Unrated::UnknownAccount))?,
    })
}

fn unpriced(unrated: facts::Unrated) -> Denied {
    Denied::Refused(unrated.as_str(), format!("the call cannot be priced: {}", unrated.as_str()))
}

/// The call's id, and what its price is looked up by.
fn priced(question: &Question, config: &Config) -> Result<(CallId, rating::Wish), Denied> {
    let wrong = |why: String| Denied::Question(why);
    if question.call_key.is_empty() || question.called.is_empty() {
        let missing = if question.called.is_empty() { "called" } else { "call_key" };
        return Err(wrong(format!("{missing} is missing; say it")));
    }
    let switch = config.switches.get(&question.switch).ok_or_else(|| {
        let known: Vec<&str> = config.switches.keys().map(SmolStr::as_str).collect();
        wrong(format!("switch {:?} is not in the configuration; it has: {}", question.switch, known.join(", ")))
    })?;
    let now = wall_micros();
    let at = match &question.time {
        None => now,
        Some(text) => parse_rfc3339(text)
            .filter(|at| (at - now).abs() <= CLOCKS_APART)
            .ok_or_else(|| wrong(format!("time {text:?} is no RFC 3339 instant within an hour of now")))?,
    };
    let number = |text: &str| E164::normalise(text).ok().filter(|number| !number.is_empty());
    let inbound = Endpoint {
        trunk: question.trunk.clone(),
        ip: question.ip.clone(),
        port: question.port,
        digest_user: question.digest_user.clone(),
        tech_prefix: question.tech_prefix.clone(),
        account: question.account.clone(),
    };
    let domain = if switch.id_domain.is_empty() { &switch.id } else { &switch.id_domain };
    let priced = rating::Wish {
        switch: question.switch.clone(),
        inbound,
        called: question.called.clone(),
        called_number: number(&question.called),
        caller_number: number(&question.caller),
        rn: number(&question.rn),
        at: OccurredAt(at),
    };
    Ok((CallId::new(domain, &question.switch, &question.call_key), priced))
}

fn offered(level: rating::LevelOffer) -> Offered {
    Offered {
        account: level.account,
        level: level.level,
        currency: level.currency,
        offer: Offer {
            first: level.first,
            first_seconds: level.first_seconds,
            next: level.next,
            next_seconds: level.next_seconds,
            decimals: level.decimals,
        },
        minute: level.minute,
        deck: level.rate.deck,
        deck_version: level.rate.deck_version,
        prefix: level.rate.prefix,
        destination: level.rate.destination,
    }
}

fn shown(hold: &Hold, allowed: u32, repeated: bool) -> Held {
    let lines = hold.lines.iter().map(|line| HeldLine {
        account: line.account.clone(),
        level: line.level,
        amount: line.amount.to_string(),
        currency: line.currency.as_str().into(),
        rate: RateLine {
            deck: line.deck.clone(),
            version: line.deck_version,
            prefix: line.prefix.to_string(),
            destination: line.destination.clone(),
            first: line.first.to_string(),
            first_seconds: line.first_seconds,
            next: line.next.to_string(),
            next_seconds: line.next_seconds,
        },
    });
    let after = u64::from(hold.seconds) * u64::from(accounting::authorise::EXTEND_AT_PERCENT) / 100;
    Held {
        hold_id: hold.hold_id,
        call_id: hold.call_id,
        seconds_held: hold.seconds,
        seconds_allowed: allowed,
        extend_after: hold.extendable.then_some(after as u32),
        until: rfc3339(hold.until.0),
        repeated,
        lines: lines.collect(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtendText {
    hold_id: OriginId,
    /// Seconds held so far, as the last answer said.
    seconds_held: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseText {
    hold_id: OriginId,
}

/// The paths; `None` where this process does not write the ledger.
pub fn router(node: &Node) -> Option<Router> {
    let gate = Gate::of(node)?;
    let paths = Router::new()
        .route("/v1/authorise", post(authorise))
        .route("/v1/attempt", post(attempt))
        .route("/v1/extend", post(extend))
        .route("/v1/release", post(release));
    Some(paths.with_state(gate))
}

async fn authorise(State(gate): State<Gate>, Json(question): Json<Question>) -> Result<Json<Held>, Denied> {
    gate.authorise(&question).await.map(Json)
}

async fn attempt(State(gate): State<Gate>, Json(question): Json<Question>) -> Result<Json<Held>, Denied> {
    gate.attempt(&question).await.map(Json)
}

async fn extend(State(gate): State<Gate>, Json(text): Json<ExtendText>) -> Result<Json<Held>, Denied> {
    gate.extend(text.hold_id, text.seconds_held).await.map(Json)
}

async fn release(State(gate): State<Gate>, Json(text): Json<ReleaseText>) -> Result<Json<serde_json::Value>, Denied> {
    let repeated = gate.release(text.hold_id).await?;
    Ok(Json(serde_json::json!({ "hold_id": text.hold_id, "repeated": repeated })))
}
