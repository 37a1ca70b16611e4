//! Records of the topic `runs.SITE`: orders and reports of runs over past calls. Never decides what they mean.

use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::OccurredAt;
use facts::ids::RunId;
use facts::run::{RunAction, RunInput, RunKind, RunOrder, RunPlan, Selection};
use facts::xdr::Position;
use smol_str::SmolStr;

/// Appends a record in Confluent wire format.
pub fn encode(order: &RunOrder, ids: &SchemaIds, out: &mut Vec<u8>) {
    ids.put_prefix(Schema::RunOrder, out);
    let mut wire = wire::RunOrder {
        run: order.run.0,
        action: action_word(&order.action),
        at: order.at.0,
        by: &order.by,
        reason: &order.reason,
        kind: "",
        undoes: None,
        config_seq: 0,
        inputs: Vec::new(),
        agreements: Vec::new(),
        from: None,
        until: None,
        accounts: Vec::new(),
        destinations: Vec::new(),
        deck: "",
        deck_version: None,
        unrated: "",
        ledger_seq: 0,
        calls: 0,
        refused: 0,
    };
    match &order.action {
        RunAction::Preview(plan) => put_plan(plan, &mut wire),
        RunAction::Post { ledger_seq } => wire.ledger_seq = *ledger_seq,
        RunAction::Drop => {}
        RunAction::Done { calls, refused, ledger_seq } => {
            (wire.calls, wire.refused, wire.ledger_seq) = (*calls, *refused, *ledger_seq);
        }
    }
    wire.encode(out);
}

fn action_word(action: &RunAction) -> &'static str {
    match action {
        RunAction::Preview(_) => "preview",
        RunAction::Post { .. } => "post",
        RunAction::Drop => "drop",
        RunAction::Done { .. } => "done",
    }
}

fn put_plan<'a>(plan: &'a RunPlan, wire: &mut wire::RunOrder<'a>) {
    let texts = |list: &'a [SmolStr]| list.iter().map(SmolStr::as_str).collect();
    let chosen = &plan.selection;
    wire.kind = plan.kind.as_str();
    wire.undoes = plan.undoes.map(|run| run.0);
    wire.config_seq = plan.config_seq;
    wire.inputs = plan
        .inputs
        .iter()
        .map(|input| wire::RunInput { stream: &input.stream, to_seq: input.to.seq, to_index: input.to.index })
        .collect();
    wire.agreements = texts(&plan.agreements);
    (wire.from, wire.until) = (chosen.from.map(|at| at.0), chosen.until.map(|at| at.0));
    wire.accounts = texts(&chosen.accounts);
    wire.destinations = texts(&chosen.destinations);
    (wire.deck, wire.deck_version, wire.unrated) = (&chosen.deck, chosen.deck_version, &chosen.unrated);
    wire.calls = plan.calls;
}

/// Reads a record of the topic.
pub fn decode(record: &[u8], ids: &SchemaIds) -> Result<RunOrder, DecodeError> {
    let (schema, body) = ids.split(record)?;
    if schema != Schema::RunOrder {
        return Err(DecodeError::new("record", Problem::WrongSchema(schema.name())));
    }
    let wire = wire::RunOrder::decode(body)?;
    let action = match wire.action {
        "preview" => RunAction::Preview(Box::new(plan(&wire)?)),
        "post" => RunAction::Post { ledger_seq: wire.ledger_seq },
        "drop" => RunAction::Drop,
        "done" => RunAction::Done { calls: wire.calls, refused: wire.refused, ledger_seq: wire.ledger_seq },
        _ => return Err(DecodeError::new("RunOrder.action", Problem::OutOfRange)),
    };
    let (run, at) = (RunId(wire.run), OccurredAt(wire.at));
    Ok(RunOrder { run, at, by: wire.by.into(), reason: wire.reason.into(), action })
}

fn plan(wire: &wire::RunOrder<'_>) -> Result<RunPlan, DecodeError> {
    let texts = |list: &[&str]| list.iter().map(|text| SmolStr::from(*text)).collect();
    let kind = RunKind::parse(wire.kind).ok_or(DecodeError::new("RunOrder.kind", Problem::OutOfRange))?;
    let input = |input: &wire::RunInput<'_>| RunInput {
        stream: input.stream.into(),
        to: Position { seq: input.to_seq, index: input.to_index },
    };
    Ok(RunPlan {
        kind,
        undoes: wire.undoes.map(RunId),
        config_seq: wire.config_seq,
        inputs: wire.inputs.iter().map(input).collect(),
        selection: Selection {
            from: wire.from.map(OccurredAt),
            until: wire.until.map(OccurredAt),
            accounts: texts(&wire.accounts),
            destinations: texts(&wire.destinations),
            deck: wire.deck.into(),
            deck_version: wire.deck_version,
            unrated: wire.unrated.into(),
        },
        agreements: texts(&wire.agreements),
        calls: wire.calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_survives_the_bytes() {
        let plan = RunPlan {
            kind: RunKind::Undo,
            undoes: Some(RunId([9; 16])),
            config_seq: 41,
            inputs: vec![RunInput { stream: "xdrs.main.0".into(), to: Position { seq: 7, index: 3 } }],
            selection: Selection {
                from: Some(OccurredAt(-5)),
                until: Some(OccurredAt(9)),
                accounts: vec!["acme".into(), "beta".into()],
                destinations: vec!["Germany - Mobile".into()],
                deck: "acme-az".into(),
                deck_version: Some(3),
                unrated: "no_rate".into(),
            },
            agreements: vec!["acme-1".into()],
            calls: 12,
        };
        let actions = [
            RunAction::Preview(Box::new(plan)),
            RunAction::Post { ledger_seq: 1 << 40 },
            RunAction::Drop,
            RunAction::Done { calls: 1, refused: 2, ledger_seq: 3 },
        ];
        let ids = SchemaIds::default();
        for action in actions {
            let (by, reason) = ("ann".into(), "deck came late".into());
            let order = RunOrder { run: RunId([1; 16]), at: OccurredAt(8), by, reason, action };
            let mut bytes = Vec::new();
            encode(&order, &ids, &mut bytes);
            assert_eq!(decode(&bytes, &ids).unwrap(), order);
            assert!((0..bytes.len()).all(|cut| decode(&bytes[..cut], &ids).is_err()));
        }
    }
}
