//! Calls that go on, as a file in the data folder, so that a new start knows them: how their switch names them stands in no
//! ledger. A cache: whether a call goes on and for how long is what the ledger's open holds say; a line that was lost or
//! torn is a call that is not known, and its switch cuts it by itself at the seconds that it has.

use super::sessions::{Live, Sessions};
use facts::ids::OriginId;
use radius::{Clients, Session};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Lines that wait to be written; further ones are lost.
const WAITING: usize = 10_000;

/// A call as the file has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    hold: OriginId,
    client: String,
    key: String,
    accounts: Vec<SmolStr>,
    seconds: u32,
    target: SocketAddr,
    session: Vec<(u8, Vec<u8>)>,
    /// Microseconds since 1970.
    answered: Option<i64>,
    began: i64,
    extends: bool,
    until: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Call(Box<Kept>),
    End(OriginId),
}

/// Where lines go.
#[derive(Debug)]
pub struct Keeper {
    send: SyncSender<Vec<u8>>,
}

fn kept_of(live: &Live, clients: &Clients, now: (Instant, i64)) -> Option<Kept> {
    let since = |at: Instant| i64::try_from(now.0.saturating_duration_since(at).as_micros()).unwrap_or(0);
    Some(Kept {
        hold: live.hold,
        client: clients.get(live.client)?.name.clone(),
        key: live.key.clone(),
        accounts: live.accounts.clone(),
        seconds: live.seconds,
        target: live.target,
        session: live.session.parts().to_vec(),
        answered: live.answered.map(|at| now.1 - since(at)),
        began: live.began,
        extends: live.extends,
        until: live.until,
    })
}

impl Keeper {
    /// Notes a call as it is now.
    pub fn call(&self, live: &Live, clients: &Clients, wall: i64) {
        if let Some(kept) = kept_of(live, clients, (Instant::now(), wall)) {
            self.line(&Line::Call(Box::new(kept)));
        }
    }

    /// Notes that a call is over.
    pub fn end(&self, hold: OriginId) {
        self.line(&Line::End(hold));
    }

    fn line(&self, line: &Line) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        // Too many wait, or the disk is full: what is lost is a call that a new start does not know.
        let _ = self.send.try_send(bytes);
    }

    /// What the folder knows of calls whose holds are open (with the seconds held), and the file to go on with. `names`:
    /// the clients of today.
    pub fn open(
        folder: &Path,
        clients: &Clients,
        open: &HashMap<OriginId, u32>,
        wall: i64,
    ) -> std::io::Result<(Self, Sessions)> {
        fs::create_dir_all(folder)?;
        let path = folder.join("calls.jsonl");
        let mut sessions = Sessions::default();
        for kept in read(&path).into_values() {
            let Some(seconds) = open.get(&kept.hold).copied().filter(|_| kept.until > wall) else { continue };
            let Some(client) = clients.named(&kept.client) else { continue };
            sessions.allow(live_of(kept, client, seconds, wall));
        }
        // Anew, with what is left of it.
        let new = folder.join("calls.new");
        let mut file = File::create(&new)?;
        for live in sessions.iter() {
            let kept = kept_of(live, clients, (Instant::now(), wall));
            let line = kept.and_then(|kept| serde_json::to_vec(&Line::Call(Box::new(kept))).ok());
            file.write_all(&[line.unwrap_or_default(), b"\n".to_vec()].concat())?;
        }
        fs::rename(&new, &path)?;
        let (send, receive) = sync_channel(WAITING);
        std::thread::Builder::new().name("radius-calls".into()).spawn(move || write(file, &path, &receive))?;
        Ok((Self { send }, sessions))
    }
}

fn live_of(kept: Kept, client: usize, seconds: u32, wall: i64) -> Live {
    let answered = kept.answered.map(|at| Duration::from_micros(u64::try_from(wall - at).unwrap_or(0)));
    Live {
        hold: kept.hold,
        client,
        key: kept.key,
        accounts: kept.accounts,
        seconds: kept.seconds.max(seconds),
        target: kept.target,
        session: Session::from_parts(kept.session),
        answered: answered.and_then(|ago| Instant::now().checked_sub(ago)),
        began: kept.began,
        extends: kept.extends,
        until: kept.until,
        ending: false,
        again: None,
    }
}

fn read(path: &Path) -> HashMap<OriginId, Kept> {
    let mut calls = HashMap::new();
    let text = fs::read(path).unwrap_or_default();
    for line in text.split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Call(kept)) => drop(calls.insert(kept.hold, *kept)),
            Ok(Line::End(hold)) => drop(calls.remove(&hold)),
            // Torn by a death, or empty.
            Err(_) => {}
        }
    }
    calls
}

fn write(mut file: File, path: &Path, lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        if let Err(error) = file.write_all(&line) {
            tracing::warn!(path = %path.display(), %error, "calls that go on are not kept for the next start");
        }
    }
}
