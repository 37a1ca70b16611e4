//! Records of the topic `notices.SITE`: an account has passed a threshold.

use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::notice::Notice;
use facts::{Amount, OccurredAt};

/// Appends a record in Confluent wire format. Key of the record on the topic: the account.
pub fn encode(notice: &Notice, ids: &SchemaIds, out: &mut Vec<u8>) {
    ids.put_prefix(Schema::Notice, out);
    let record = wire::Notice {
        site: &notice.site,
        account: &notice.account,
        currency: notice.currency,
        kind: notice.kind,
        at: notice.at.0,
        threshold: notice.threshold.0,
        value: notice.value.0,
    };
    record.encode(out);
}

/// Reads what [`encode`] wrote.
pub fn decode(record: &[u8], ids: &SchemaIds) -> Result<Notice, DecodeError> {
    let (schema, body) = ids.split(record)?;
    if schema != Schema::Notice {
        return Err(DecodeError::new("record", Problem::WrongSchema(schema.name())));
    }
    let x = wire::Notice::decode(body)?;
    Ok(Notice {
        site: x.site.into(),
        account: x.account.into(),
        currency: x.currency,
        kind: x.kind,
        at: OccurredAt(x.at),
        threshold: Amount(x.threshold),
        value: Amount(x.value),
    })
}
