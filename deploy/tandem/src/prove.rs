//! `tandem ledger certificate|prove|key`: what customers and auditors get to check for themselves. The construction is
//! `ledger::prove`'s; this only asks for it.

use crate::node::Node;
use crate::ops::Answer;
use crate::output::Failure;
use facts::ids::{CallId, XdrId};
use ledger::{LedgerView, ProveError, Prover, Wish};
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum ProofOp {
    Key,
    Certificate,
    Prove {
        xdr: String,
        /// Without it the log is read.
        call: Option<String>,
        /// Its entries may name accounts beside each other.
        with_others: bool,
    },
}

/// The prover of a node's ledger.
pub fn prover(node: &Node) -> Prover {
    Prover::new(node.bus.clone(), node.ids.clone(), node.view.clone(), node.settings.data.clone())
}

/// Carries it out: JSON on stdout in both modes, since it is a file for somebody else.
pub fn execute(node: &Node, op: &ProofOp) -> Result<Answer, Failure> {
    let (prover, orders) = (prover(node), node.orders.as_ref());
    match op {
        ProofOp::Key => {
            let key = prover.public_key().map_err(failure)?;
            let json = serde_json::json!({ "key": key, "algorithm": "ed25519" });
            let bytes = Some(format!("ed25519:{key}\n").into_bytes());
            Ok(Answer { json: Some(json), bytes, ..Answer::default() })
        }
        ProofOp::Certificate => {
            let signed = prover.certify(orders).map_err(failure)?;
            let note = format!("{} is signed up to frame {}", signed.stream, signed.seq);
            file(&signed, vec![note])
        }
        ProofOp::Prove { xdr, call, with_others } => {
            let id =
                |what: &str, text: &str| Failure::Usage(format!("{text:?} is no {what} id: 32 hexadecimal digits"));
            let xdr = XdrId::parse(xdr).ok_or_else(|| id("xdr", xdr))?;
            let call = call.as_ref().map(|call| CallId::parse(call).ok_or_else(|| id("call", call))).transpose()?;
            let proof = prover.prove(&Wish { xdr, call, with_others: *with_others }, orders);
            let proof = proof.map_err(|error| failure(booked_elsewhere(node, xdr, call).unwrap_or(error)))?;
            let note = format!(
                "{} entries up to frame {} of {}; check it with: tandem-verify FILE --key KEY",
                proof.entries.len(),
                proof.certificate.seq,
                proof.certificate.stream
            );
            file(&proof, vec![note])
        }
    }
}

/// A site signs its own books only: where the entry stands in another one's, as far as that is copied here.
fn booked_elsewhere(node: &Node, xdr: XdrId, call: Option<CallId>) -> Option<ProveError> {
    let call = call?;
    let holds = |view: &ledger::View| {
        view.entries_for_call(call).is_ok_and(|rows| rows.iter().any(|row| row.xdr_id == Some(xdr)))
    };
    if holds(&node.view) {
        return None;
    }
    let site = node.others.iter().find(|other| holds(&other.view))?.name.clone();
    Some(ProveError::Elsewhere { xdr, site })
}

fn file(content: &impl Serialize, notes: Vec<String>) -> Result<Answer, Failure> {
    let json = serde_json::to_value(content).map_err(Failure::broken)?;
    let mut text = serde_json::to_vec_pretty(content).map_err(Failure::broken)?;
    text.push(b'\n');
    Ok(Answer { json: Some(json), bytes: Some(text), notes, ..Answer::default() })
}

fn failure(error: ProveError) -> Failure {
    match error {
        ProveError::Unknown(_) | ProveError::Elsewhere { .. } | ProveError::Empty(_) | ProveError::Others { .. } => {
            Failure::Usage(error.to_string())
        }
        other => Failure::broken(other),
    }
}
