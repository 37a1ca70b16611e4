//! Cisco Unified CM: CDR flat files with a line of names, a line of SQL types, then records; CMR files (call quality)
//! are recognised and passed over.
//!
//! One record is one conversation of two parties; a transferred call has several with one global call id. Therefore
//! `call_key` = cluster, call manager, global call id, origin leg, origination second: the id counts on over restarts
//! and wraps only after years. `attempt_key` = destination leg. Record id = `pkid`. Times are Unix seconds.
//! Recording legs (to a recorder, never connected) are flagged; option `recording_legs = "skip"` leaves them out.

use crate::decoded::{Fault, Flags, FormatError};
use crate::framer::Shape;
use crate::instant::{duration, epoch};
use crate::reader::{Decoder, Item, Options, Origin, required};
use crate::text::{Fields, q850, signed_le_ip};
use facts::call::{Endpoint, Leg};
use smol_str::{SmolStr, format_smolstr};

/// Cisco's code of the recording feature in the `...OnBehalfOf` columns, and of its redirect reason.
const RECORDING: &str = "27";
const RECORDING_REASON: &str = "354";

macro_rules! columns {
    ($($id:ident $name:literal $need:literal;)*) => {
        #[derive(Clone, Copy)]
        enum Column { $($id),* }
        const NAMES: &[(&str, bool)] = &[$(($name, $need)),*];
    };
}

columns! {
    Cluster "globalCallId_ClusterID" false;
    Manager "globalCallID_callManagerId" true;
    CallId "globalCallID_callId" true;
    OrigLeg "origLegCallIdentifier" true;
    Origination "dateTimeOrigination" true;
    OrigIp "origIpAddr" false;
    OrigAddr "origIpv4v6Addr" false;
    Caller "callingPartyNumber" true;
    OrigCause "origCause_value" false;
    DestLeg "destLegIdentifier" false;
    DestIp "destIpAddr" false;
    DestAddr "destIpv4v6Addr" false;
    Dialled "originalCalledPartyNumber" false;
    Called "finalCalledPartyNumber" true;
    DestCause "destCause_value" false;
    Connect "dateTimeConnect" true;
    Disconnect "dateTimeDisconnect" true;
    Pkid "pkid" true;
    Duration "duration" true;
    OrigDevice "origDeviceName" false;
    DestDevice "destDeviceName" false;
    Redirect "origCalledPartyRedirectOnBehalfOf" false;
    Join "joinOnBehalfOf" false;
    Reason "origCalledPartyRedirectReason" false;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Cdr,
    Cmr,
}

pub(crate) struct Cucm {
    origin: Origin,
    skip_recording: bool,
    fields: Fields,
    kind: Kind,
    /// Index of each column in this file.
    at: Vec<Option<usize>>,
    width: usize,
}

impl Cucm {
    pub fn new(options: &Options<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            origin: options.origin(),
            skip_recording: options.choice("recording_legs", &["keep", "skip"])? == "skip",
            fields: Fields::new(b','),
            kind: Kind::Unknown,
            at: Vec::new(),
            width: 0,
        })
    }

    /// The line of names: which kind of file, and where each column stands.
    fn names(&mut self) -> Result<Item, Fault> {
        let names: Vec<&str> = (0..self.fields.len()).map(|i| self.fields.get(i).trim()).collect();
        self.at = NAMES.iter().map(|(name, _)| names.iter().position(|n| n == name)).collect();
        self.width = names.len();
        if names.contains(&"numberPacketsSent") && !names.contains(&"dateTimeConnect") {
            self.kind = Kind::Cmr;
            return Ok(Item::Nothing);
        }
        let missing = NAMES.iter().zip(&self.at).find(|((_, need), at)| *need && at.is_none());
        if let Some(((name, _), _)) = missing {
            self.kind = Kind::Unknown;
            let reason = format!("the line of names has no column {name}");
            return Err(Fault::new(name, reason, "this is no CUCM CDR file, or columns were taken out of it"));
        }
        self.kind = Kind::Cdr;
        Ok(Item::Nothing)
    }

    fn get(&self, column: Column) -> &str {
        self.at.get(column as usize).copied().flatten().map_or("", |at| self.fields.get(at))
    }

    fn is_recording(&self) -> bool {
        self.get(Column::Join) == RECORDING
            || self.get(Column::Redirect) == RECORDING
            || self.get(Column::Reason) == RECORDING_REASON
    }

    fn address(&self, new: Column, old: Column) -> SmolStr {
        match self.get(new) {
            "" => signed_le_ip(self.get(old)).map_or_else(SmolStr::default, |ip| format_smolstr!("{ip}")),
            text => text.into(),
        }
    }

    fn record(&self) -> Result<Item, Fault> {
        let mut flags = Flags::default();
        if self.is_recording() {
            if self.skip_recording {
                return Ok(Item::Skip("recording leg"));
            }
            flags |= Flags::RECORDING_LEG;
        }
        let started_at = epoch("dateTimeOrigination", self.get(Column::Origination))?;
        let started_at = required("dateTimeOrigination", started_at)?;
        let (manager, call) = (self.get(Column::Manager), self.get(Column::CallId));
        required("globalCallID_callId", (!call.is_empty()).then_some(()))?;
        let key = format_smolstr!(
            "{}-{manager}-{call}-{}-{}",
            self.get(Column::Cluster),
            self.get(Column::OrigLeg),
            self.get(Column::Origination)
        );
        let mut event = self.origin.record(&key, started_at);
        event.answered_at = epoch("dateTimeConnect", self.get(Column::Connect))?;
        event.ended_at = epoch("dateTimeDisconnect", self.get(Column::Disconnect))?;
        event.duration = Some(duration("duration", self.get(Column::Duration))?);
        event.caller = self.get(Column::Caller).into();
        let (dialled, called) = (self.get(Column::Dialled), self.get(Column::Called));
        event.called = if called.is_empty() { dialled } else { called }.into();
        if !dialled.is_empty() && dialled != event.called {
            flags |= Flags::REDIRECTED;
        }
        event.inbound = Endpoint {
            trunk: self.get(Column::OrigDevice).into(),
            ip: self.address(Column::OrigAddr, Column::OrigIp),
            ..Endpoint::default()
        };
        if !matches!(self.get(Column::DestLeg), "" | "0") {
            event.leg = Leg::Both;
            event.attempt_key = self.get(Column::DestLeg).into();
            event.outbound = Endpoint {
                trunk: self.get(Column::DestDevice).into(),
                ip: self.address(Column::DestAddr, Column::DestIp),
                ..Endpoint::default()
            };
        }
        // The side that cleared the call names the cause, the other one says 0.
        let origin = q850(self.get(Column::OrigCause), &mut flags);
        let destination = q850(self.get(Column::DestCause), &mut flags);
        event.q850 = origin.or(destination);
        let record_id = required("pkid", Some(self.get(Column::Pkid)).filter(|id| !id.is_empty()))?.into();
        Ok(Item::Record { event: Box::new(event), record_id, flags })
    }
}

impl Decoder for Cucm {
    fn shape(&self) -> Shape {
        Shape::Csv(b',')
    }

    fn decode(&mut self, text: &str) -> Result<Item, Fault> {
        self.fields.read(text)?;
        let first = self.fields.get(0).trim();
        if first == "cdrRecordType" {
            return self.names();
        }
        if self.kind == Kind::Unknown {
            return Err(Fault::new(
                "cdrRecordType",
                "no usable line of names stands before this record",
                "a CUCM file begins with the names of its columns: get the whole file again",
            ));
        }
        if first == "INTEGER" {
            return Ok(Item::Nothing);
        }
        if self.fields.len() != self.width {
            return Err(Fault::new(
                "",
                format!("the record has {} columns, the line of names {}", self.fields.len(), self.width),
                "the record is cut off or damaged: get the file again",
            ));
        }
        match (self.kind, first) {
            (Kind::Cmr, _) => Ok(Item::Skip("call quality record (CMR)")),
            (_, "1") => self.record(),
            (_, "2") => Ok(Item::Skip("call quality record (CMR)")),
            (_, other) => Err(Fault::new("cdrRecordType", format!("record type {other:?} is unknown"), "1 is a call")),
        }
    }
}
