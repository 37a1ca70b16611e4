//! Orders of people on their way to the ledger's thread, and the answers back: given only when durable.

use accounting::PayRefusal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::api::{Order, Receipt};

/// Orders that may wait for the ledger's thread.
pub const WAITING_MAX: usize = 1024;
/// How long an answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why there is no receipt.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OrderError {
    #[error(transparent)]
    Refused(#[from] PayRefusal),
    #[error("{WAITING_MAX} orders are waiting already; send it again later with the same id")]
    Busy,
    /// It may or may not have been booked; the same id finds out.
    #[error("no answer from the ledger: {0}; send it again with the same id to learn whether it was booked")]
    Unknown(String),
}

/// Where an answer goes.
pub type Reply = SyncSender<Result<Receipt, OrderError>>;

/// An order and where its answer goes.
pub struct Waiting {
    pub order: Order,
    pub reply: Reply,
}

/// Places orders; clone it freely.
#[derive(Clone, Debug)]
pub struct Orders(SyncSender<Waiting>);

impl Orders {
    /// The sending half for everybody, the receiving half for the ledger's thread.
    pub fn channel() -> (Self, Receiver<Waiting>) {
        let (send, receive) = sync_channel(WAITING_MAX);
        (Self(send), receive)
    }

    /// Places an order and waits until it is durable or refused.
    pub fn place(&self, order: Order) -> Result<Receipt, OrderError> {
        let (reply, answer) = sync_channel(1);
        match self.0.try_send(Waiting { order, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(OrderError::Busy),
            Err(TrySendError::Disconnected(_)) => {
                return Err(OrderError::Unknown("its thread has ended".into()));
            }
        }
        match answer.recv_timeout(ANSWER_WITHIN) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                Err(OrderError::Unknown(format!("nothing within {} s", ANSWER_WITHIN.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(OrderError::Unknown("its thread has ended".into())),
        }
    }
}
