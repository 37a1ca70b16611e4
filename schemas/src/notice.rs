//! Records of the topic `notices.SITE`: an account has passed a threshold.

use crate::error::{DecodeError, Problem};
use crate::ids::{Schema, SchemaIds};
use crate::wire;
use facts::ids::{CallId, OriginId};
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
        days: notice.days,
        call_id: notice.call_id.map(|id| id.0),
        id: notice.id.map(|id| id.0),
        frame: notice.frame,
    };
    record.encode(out);
}

/// Reads what [`encode`] wrote.
pub fn decode(record: &[u8], ids: &SchemaIds) -> Result<Notice, DecodeError> {
    let (schema, body) = ids.split(record)?;
    let x = match schema {
        Schema::Notice => wire::Notice::decode(body)?,
        Schema::NoticeV2 => wire::old::decode_notice_v2(body)?,
        Schema::NoticeV1 => wire::old::decode_notice_v1(body)?,
        _ => return Err(DecodeError::new("record", Problem::WrongSchema(schema.name()))),
    };
    Ok(Notice {
        site: x.site.into(),
        account: x.account.into(),
        currency: x.currency,
        kind: x.kind,
        at: OccurredAt(x.at),
        threshold: Amount(x.threshold),
        value: Amount(x.value),
        days: x.days,
        call_id: x.call_id.map(CallId),
        id: x.id.map(OriginId),
        frame: x.frame,
    })
}
