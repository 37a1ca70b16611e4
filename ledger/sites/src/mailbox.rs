//! Messages between the ledgers of sites: sent at once, at most once, and given up after two seconds. Whoever sends must
//! not rest safety on one (rights.md: a message may be lost, repeated and come late).

use crate::client::Client;
use crate::wire::MAIL_BYTES_MAX;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Older messages are not worth sending.
const WORTH: Duration = Duration::from_secs(2);
/// Messages that may wait to be sent to one peer; further ones are lost.
const OUT_MAX: usize = 256;
/// Messages that may wait to be read here; the oldest are lost.
const IN_MAX: usize = 4_096;

/// A message and when it was sent.
type Letter = (Instant, Vec<u8>);

/// What has come and was not read yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    letters: Mutex<VecDeque<(u16, Vec<u8>)>>,
}

impl Inbox {
    pub(crate) fn put(&self, from: u16, message: Vec<u8>) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.len() >= IN_MAX {
            letters.pop_front();
        }
        letters.push_back((from, message));
    }

    pub(crate) fn take(&self) -> Option<(u16, Vec<u8>)> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The way to one peer.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Sender<Letter>);

impl Outbox {
    pub(crate) fn new() -> (Self, Receiver<Letter>) {
        let (sender, receiver) = channel(OUT_MAX);
        (Self(sender), receiver)
    }

    /// False: too many wait already, or it is too large; it is lost.
    pub(crate) fn send(&self, message: Vec<u8>) -> bool {
        message.len() <= MAIL_BYTES_MAX && self.0.try_send((Instant::now(), message)).is_ok()
    }
}

/// Sends what is put into the outbox until that is dropped.
pub(crate) async fn carry(mut letters: Receiver<Letter>, mut client: Client) {
    while let Some((at, message)) = letters.recv().await {
        let Some(left) = WORTH.checked_sub(at.elapsed()) else { continue };
        // Lost is lost; the watchdog says that the peer is gone.
        let _ = client.post("/v1/mail", message, 1 << 10, left).await;
    }
}
