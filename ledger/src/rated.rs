//! Rated calls as posting needs them, straight from an item's public part: private parts may be sealed or destroyed
//! and the ledger still books and proves.

use accounting::{PricedCall, PricedSide};
use facts::ids::{OriginId, RevId};
use facts::stream::Input;
use facts::xdr::{Position, Revision};
use facts::{Amount, CallId, OccurredAt, XdrId};
use schemas::DecodeError;
use schemas::wire::{RatedCallRevision, Xdr, XdrsItem, XdrsItemItem};
use smol_str::SmolStr;

/// Reads the public part of an item of an xdrs frame into `into`; false when it is no rated call.
pub fn read(public: &[u8], into: &mut PricedCall) -> Result<bool, DecodeError> {
    let XdrsItemItem::RatedCall(call) = XdrsItem::decode(public)?.item else { return Ok(false) };
    let position = |seq, index| Position { seq, index };
    into.call_id = CallId(call.call_id);
    into.started_at = OccurredAt(call.started_at);
    into.revision = match &call.revision {
        RatedCallRevision::Null => Revision::First,
        RatedCallRevision::LateRevision(x) => {
            Revision::Late { trigger: x.trigger, based_on: position(x.based_on_seq, x.based_on_index) }
        }
        RatedCallRevision::RunRevision(x) => {
            Revision::Run { run: x.run, based_on: position(x.based_on_seq, x.based_on_index) }
        }
    };
    into.base = SmolStr::default();
    into.hold_id = call.hold_id.map(OriginId);
    into.estimated = call.estimated;
    into.sides.clear();
    into.sides.extend(call.xdrs.iter().map(side));
    Ok(true)
}

/// The stream that the items of this frame are based on: that of its one input, in a run; empty in a rater's frame,
/// which is made from events.
pub fn base_of(inputs: &[Input]) -> SmolStr {
    match inputs {
        [Input::Stream { stream, .. }] => stream.clone(),
        _ => SmolStr::default(),
    }
}

fn side(x: &Xdr<'_>) -> PricedSide {
    PricedSide {
        xdr_id: XdrId(x.xdr_id),
        rev_id: RevId(x.rev_id),
        side: x.side,
        provisional: x.unrated.is_some() || x.provisional.is_some(),
        account: x.account.into(),
        product: x.product.into(),
        destination: x.rate.as_ref().map(|rate| rate.destination.into()).unwrap_or_default(),
        rated_at: OccurredAt(x.rated_at),
        amount: Amount(x.amount),
        gross: Amount(x.gross.unwrap_or(x.amount)),
        currency: x.currency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounting::sample::{late, provisional, rated, run};

    /// Two readers of one item: the lean one must see what the whole one sees.
    #[test]
    fn what_is_posted_is_what_the_whole_call_says() {
        let call = rated("c1", ("acme", "0.10"), &[("carrier-x", "0.07"), ("carrier-y", "0")]);
        let at = Position { seq: 7, index: 9 };
        let mut gross = provisional(call.clone(), 0, "3");
        gross.xdrs[0].gross = "3.57".parse().unwrap();
        for call in [call.clone(), gross, late(call.clone(), 1, at), run(call, 2, at)] {
            let (mut public, mut private) = (Vec::new(), Vec::new());
            schemas::xdrs::encode_call(&call, &mut public, &mut private);
            let mut lean = PricedCall::default();
            assert!(read(&public, &mut lean).unwrap());
            assert_eq!(lean, PricedCall::from(&call));
        }
    }
}
