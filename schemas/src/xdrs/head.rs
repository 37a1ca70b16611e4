//! The first facts of a rated call, read without the rest of it: whoever goes over many calls and needs few of them
//! whole decides by these.

use super::call::revision_to_facts;
use crate::codec::{Reader, Stop};
use crate::error::{DecodeError, Problem};
use crate::wire;
use facts::xdr::Revision;
use facts::{CallId, OccurredAt};

/// What stands at the front of a rated call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallHead {
    pub revision: Revision,
    pub call_id: CallId,
    pub started_at: OccurredAt,
}

/// The head of a rated call; `None`: the item is something else. What stands behind the head is not looked at.
pub fn call_head(public: &[u8]) -> Result<Option<CallHead>, DecodeError> {
    let Some((&branch, body)) = public.split_first() else {
        return Err(DecodeError::new("XdrsItem.item", Problem::Truncated));
    };
    if branch != wire::XdrsItemItem::RATED_CALL {
        return Ok(None);
    }
    let mut reader = Reader::new(body);
    read(&mut reader).map(Some).map_err(|Stop| reader.failure())
}

fn read(r: &mut Reader<'_>) -> Result<CallHead, Stop> {
    let revision = match r.branch(3, "RatedCall.revision")? {
        0 => wire::RatedCallRevision::Null,
        1 => wire::RatedCallRevision::LateRevision(wire::LateRevision::read(r)?),
        _ => wire::RatedCallRevision::RunRevision(wire::RunRevision::read(r)?),
    };
    let call_id = r.fixed::<16>("RatedCall.call_id")?;
    r.text("RatedCall.id_domain")?;
    r.text("RatedCall.switch")?;
    wire::Endpoint::read(r)?;
    let started_at = r.long("RatedCall.started_at")?;
    Ok(CallHead {
        revision: revision_to_facts(&revision),
        call_id: CallId(call_id),
        started_at: OccurredAt(started_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples;

    /// Two readers of one item: the quick one must see what the whole one sees.
    #[test]
    fn the_head_is_that_of_the_whole_call() {
        let mut seen = 0;
        for item in samples::xdr_items() {
            let (mut public, mut private) = (Vec::new(), Vec::new());
            super::super::encode_item(&item, &mut public, &mut private);
            let head = call_head(&public).unwrap();
            match &item {
                facts::xdr::XdrItem::Call(call) => {
                    let head = head.unwrap();
                    assert_eq!(head.revision, call.revision);
                    let first = call.revision == Revision::First;
                    assert_eq!(super::super::is_first_revision(&public), first);
                    assert_eq!((head.call_id, head.started_at), (call.call.call_id, call.call.started_at));
                    assert!((0..40).all(|cut| call_head(&public[..cut]).is_err()), "a cut head is none");
                    seen += 1;
                }
                _ => assert_eq!(head, None),
            }
        }
        assert!(seen > 0);
    }
}
