//! Going on from snapshots of the other sites' copies after a restart, so that it costs what came since and not the whole
//! of their history. What a snapshot does not hold comes from the copy's start, as without any.

use bus::stream::StreamReader;
use facts::stream::StreamState;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::LedgerOptions;
use super::doubles::{Ended, EndedRow};
use super::sites::Sites;
use crate::fold::Fold;
use crate::sites::Double;
use crate::snapshot::{self, Store};
use crate::streams::source_of;

/// What a snapshot keeps beside the folds.
#[derive(Serialize, Deserialize, Default)]
struct Notes {
    ended: Vec<EndedRow>,
    doubles: Vec<((u8, [u8; 16]), Double)>,
    alarms: VecDeque<String>,
    #[serde(default)]
    settled: VecDeque<Double>,
}

impl Sites {
    /// Goes on from the folds of the others' copies that belong to the snapshot this ledger goes on from: `inputs` names
    /// them. One that is not there, or does not fit its copy, is made from the copy's start.
    pub fn resume(&mut self, options: &LedgerOptions, inputs: &[(StreamState, u64)], notes: &[u8], fold: &mut Fold) {
        let (bus, ids) = (&options.bus, &options.ids);
        let mut all = true;
        for peer in &mut self.peers {
            let known = inputs.iter().find(|(state, _)| *state.stream() == peer.stream);
            let kept = known.and_then(|(state, _)| {
                let kept = Store::new(&options.data_dir, &peer.stream).at(state.seq())?;
                let source = source_of(&peer.stream);
                (kept.state == *state && snapshot::fits(&kept, bus, ids, &source)).then_some(kept)
            });
            let opened = kept.and_then(|kept| {
                let reader = StreamReader::resume(&**bus, ids, kept.state, kept.next_offset).ok()?;
                Some((reader, kept.fold))
            });
            let Some((reader, other)) = opened else {
                all = false;
                continue;
            };
            self.rules.set_folded(peer.number, reader.state().seq());
            fold.others.insert(peer.number, other);
            peer.reader = Some(reader);
        }
        self.look_at_all = true;
        // Whatever is read again from its start lists its doubles again.
        if let Ok(notes) = serde_json::from_slice::<Notes>(notes)
            && all
        {
            self.ended = Ended::from_rows(notes.ended);
            (self.doubles, self.alarms) = (notes.doubles.into_iter().collect(), notes.alarms);
            self.settled = notes.settled;
        }
    }

    /// The others' ledgers as folded here: number, fold of the stream, offset to go on from. None that has stopped.
    pub fn folded_peers(&self) -> impl Iterator<Item = (u16, &StreamState, u64)> {
        let whole = self.peers.iter().filter(|peer| !peer.halted);
        whole.filter_map(|peer| peer.reader.as_ref().map(|reader| (peer.number, reader.state(), reader.offset())))
    }

    /// For the snapshot.
    pub fn notes(&self) -> Vec<u8> {
        let doubles = self.doubles.iter().map(|(key, double)| (*key, double.clone())).collect();
        let (alarms, settled) = (self.alarms.clone(), self.settled.clone());
        let notes = Notes { ended: self.ended.rows(), doubles, alarms, settled };
        // Without them less is remembered, as after a death of the process.
        serde_json::to_vec(&notes).unwrap_or_default()
    }
}
