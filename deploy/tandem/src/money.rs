//! Money and limits by order of a person: payments, refunds, vouchers, corrections, reversals, credit for a time, caps;
//! and what has become of an account: its statement, its balance at another time, its holds. From the command line and
//! over HTTP (`POST /v1/payments`) by the same code. What may be booked is `accounting`'s to say; this never decides it.

use crate::history;
use crate::node::{Node, wall_micros};
use crate::ops::{Answer, instant};
use crate::output::Failure;
use crate::tables;
use accounting::vouchers::VOUCHER;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use facts::entry::EntryKind;
use facts::ids::OriginId;
use facts::{OccurredAt, Side};
use ledger::api::{CapsOrder, GrantOrder, ScopeCapsOrder};
use ledger::{LedgerView, Order, OrderError, Payment, Receipt};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};
use std::sync::Arc;

/// Notices that are looked through at most.
const NOTICES_MAX: u64 = 100_000;

/// A payment, refund, voucher or correction, as people write it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentText {
    /// Its own id; the same id again books nothing again. A voucher's is its code.
    pub id: SmolStr,
    /// `payment` (default), `refund`, `correction`, `voucher`.
    pub kind: SmolStr,
    pub account: SmolStr,
    /// `sell` (default): as our customer; `buy`: as our vendor.
    pub side: Side,
    pub amount: SmolStr,
    /// Empty = the account's.
    pub currency: SmolStr,
    /// RFC 3339; empty = now.
    pub occurred_at: String,
    pub by: SmolStr,
    pub reason: SmolStr,
    pub adjusts: Option<OriginId>,
    pub product: SmolStr,
    pub destination: SmolStr,
}

/// One order or question of the command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "money", rename_all = "snake_case")]
pub enum MoneyOp {
    Book(PaymentText),
    Reverse {
        origin: String,
        by: String,
        reason: String,
    },
    /// More credit beside the configured limit, or less.
    Grant {
        id: String,
        account: String,
        amount: String,
        until: String,
        by: String,
        approved_by: String,
        reason: String,
    },
    Caps(CapsOrder),
    ScopeCaps(ScopeCapsOrder),
    /// Entries with the running balance, over all sites held here or of one; `before` and `after`: a cursor that an
    /// answer gave, or a booked time.
    Statement {
        account: String,
        limit: usize,
        #[serde(default)]
        before: String,
        #[serde(default)]
        after: String,
        #[serde(default)]
        site: Option<String>,
    },
    /// Balance at another time: one of both is given.
    AsOf {
        account: String,
        booked: String,
        occurred: String,
        #[serde(default)]
        site: Option<String>,
    },
    Holds {
        account: Option<String>,
    },
    Limits {
        account: Option<String>,
    },
    /// What the exposure of accounts consists of.
    Exposure {
        carrier: Option<String>,
    },
    /// What was told on the topic of notices.
    Notices {
        account: Option<String>,
        limit: u64,
    },
}

/// Carries out one of them.
pub fn execute(node: &Node, op: &MoneyOp) -> Result<Answer, Failure> {
    match op {
        MoneyOp::Book(text) => placed(node, Order::Pay(payment(node, text).map_err(Failure::Usage)?)),
        MoneyOp::Reverse { origin, by, reason } => {
            let origin_id = OriginId::parse(origin)
                .ok_or_else(|| Failure::Usage(format!("{origin:?} is no origin id (32 hexadecimal digits)")))?;
            let (by, reason, occurred_at) = (by.into(), reason.into(), OccurredAt(wall_micros()));
            placed(node, Order::Reverse { origin_id, occurred_at, by, reason })
        }
        MoneyOp::Grant { id, account, amount, until, by, approved_by, reason } => {
            let config = node.config.current();
            let terms = config.accounts.get(account.as_str()).ok_or_else(|| no_account(account))?;
            placed(
                node,
                Order::Grant(GrantOrder {
                    id: id.into(),
                    account: account.into(),
                    amount: amount.parse().map_err(Failure::usage)?,
                    currency: terms.currency,
                    at: OccurredAt(wall_micros()),
                    until: instant("until", until)?.map(OccurredAt),
                    by: by.into(),
                    approved_by: approved_by.into(),
                    reason: reason.into(),
                }),
            )
        }
        MoneyOp::Caps(order) => placed(node, Order::Caps(CapsOrder { at: OccurredAt(wall_micros()), ..order.clone() })),
        MoneyOp::ScopeCaps(order) => {
            placed(node, Order::ScopeCaps(ScopeCapsOrder { at: OccurredAt(wall_micros()), ..order.clone() }))
        }
        MoneyOp::Statement { account, limit, before, after, site } => {
            history::statement(node, account, history::part(before, after)?, *limit, site.as_deref())
        }
        MoneyOp::AsOf { account, booked, occurred, site } => {
            history::as_of(node, account, booked, occurred, site.as_deref())
        }
        MoneyOp::Holds { account } => {
            let rows = node.view.holds(account.as_deref()).map_err(Failure::broken)?;
            Ok(Answer::of(tables::holds(&rows)))
        }
        MoneyOp::Limits { account } => {
            let rows = node.view.limits(account.as_deref()).map_err(Failure::broken)?;
            Ok(Answer::of(tables::limits(&rows)))
        }
        MoneyOp::Exposure { carrier } => exposure(node, carrier.as_deref()).map(Answer::of),
        MoneyOp::Notices { account, limit } => {
            let (mut told, limit) = (Vec::new(), (*limit).clamp(1, NOTICES_MAX));
            let wanted = |notice: &facts::notice::Notice| account.as_ref().is_none_or(|name| notice.account == *name);
            let read = if account.is_some() { NOTICES_MAX } else { limit };
            ledger::newest_notices(&*node.bus, &node.ids, &node.settings.site, read, |notice| {
                if wanted(&notice) {
                    told.push(notice);
                }
            })
            .map_err(Failure::broken)?;
            let skip = told.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(Answer::of(tables::notices(&told[skip..])))
        }
    }
}

/// Parts of exposure, of a carrier's accounts or of all.
pub fn exposure(node: &Node, carrier: Option<&str>) -> Result<console::source::Table, Failure> {
    let config = node.config.current();
    if let Some(carrier) = carrier.filter(|carrier| !config.carriers.contains_key(*carrier)) {
        return Err(Failure::Usage(format!("carrier {carrier:?} is not in the configuration")));
    }
    let parts = crate::peers::sums::exposure(node, carrier)?;
    let lines = node.settings.credit.net_positions().unwrap_or_default();
    Ok(tables::exposure(&parts, &config, &lines, wall_micros()))
}

fn no_account(account: &str) -> Failure {
    Failure::Usage(format!("account {account:?} is not in the configuration"))
}

/// What is ordered, or why it cannot be read.
fn payment(node: &Node, text: &PaymentText) -> Result<Payment, String> {
    let config = node.config.current();
    let terms = config
        .accounts
        .get(&text.account)
        .ok_or_else(|| format!("account {:?} is not in the configuration", text.account))?;
    let (kind, id) = match text.kind.as_str() {
        "" | "payment" => (EntryKind::Payment, text.id.clone()),
        "refund" => (EntryKind::Refund, text.id.clone()),
        "correction" => (EntryKind::Correction, text.id.clone()),
        // A code serves once, whoever brings it: an id of its own kind.
        "voucher" => (EntryKind::Payment, format_smolstr!("{VOUCHER}{}", text.id)),
        other => return Err(format!("there is no kind {other:?}; use payment, refund, correction or voucher")),
    };
    if text.id.trim().is_empty() {
        return Err("id is missing; say it".to_owned());
    }
    let reason = match (text.kind.as_str(), text.reason.is_empty()) {
        ("voucher", true) => SmolStr::new_static("voucher"),
        // The ledger keeps no codes: by its reason an entry is known as a voucher's.
        ("voucher", false) => format_smolstr!("voucher: {}", text.reason),
        _ => text.reason.clone(),
    };
    let currency = match text.currency.as_str() {
        "" => terms.currency,
        code => facts::Currency::new(code).map_err(|error| error.to_string())?,
    };
    let occurred_at = match text.occurred_at.as_str() {
        "" => wall_micros(),
        at => facts::time::parse_rfc3339(at)
            .ok_or_else(|| format!("occurred_at {at:?} is no time with offset, as 2026-01-31T00:00:00Z"))?,
    };
    Ok(Payment {
        id,
        kind,
        account: text.account.clone(),
        side: text.side,
        amount: text.amount.parse().map_err(|error: facts::money::MoneyError| error.to_string())?,
        currency,
        occurred_at: OccurredAt(occurred_at),
        by: text.by.clone(),
        reason,
        adjusts: text.adjusts,
        product: text.product.clone(),
        destination: text.destination.clone(),
    })
}

fn place(node: &Node, order: Order) -> Result<Receipt, OrderError> {
    match &node.orders {
        Some(orders) => orders.place(order),
        None => Err(OrderError::Unknown("this process does not run the ledger; ask the one that does".to_owned())),
    }
}

/// Places an order and says what came of it.
pub fn placed(node: &Node, order: Order) -> Result<Answer, Failure> {
    let receipt = place(node, order).map_err(|error| match error {
        OrderError::Refused(why) => Failure::Usage(why.to_string()),
        other => Failure::broken(other),
    })?;
    let repeated = if receipt.repeated { " (booked before; nothing was booked again)" } else { "" };
    let note = format!(
        "entry {} (origin {}) at {} frame {} item {}{repeated}",
        receipt.entry_id, receipt.origin_id, receipt.stream, receipt.seq, receipt.index
    );
    Ok(Answer { json: serde_json::to_value(&receipt).ok(), notes: vec![note], ..Answer::default() })
}

/// `POST /v1/payments`.
pub fn router(node: &Arc<Node>) -> Router {
    Router::new().route("/v1/payments", post(pay)).with_state(node.clone())
}

async fn pay(State(node): State<Arc<Node>>, Json(text): Json<PaymentText>) -> Response {
    let known = node.config.current().accounts.contains_key(&text.account);
    let done = tokio::task::spawn_blocking(move || match payment(&node, &text) {
        Err(why) if known => failure(StatusCode::UNPROCESSABLE_ENTITY, "bad_request", &why),
        Err(why) => failure(StatusCode::NOT_FOUND, "unknown_account", &why),
        Ok(payment) => match place(&node, Order::Pay(payment)) {
            Ok(receipt) => Json(receipt).into_response(),
            Err(error) => ledger::http::failure(error),
        },
    });
    let failed = |error: String| failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error);
    done.await.unwrap_or_else(|error| failed(error.to_string()))
}

fn failure(status: StatusCode, code: &str, error: &str) -> Response {
    (status, Json(serde_json::json!({ "code": code, "error": error }))).into_response()
}
