//! Orders of people and questions about calls on their way to the ledger's thread, and the answers back: given only when
//! durable.

use accounting::attempts::AttemptWish;
use accounting::authorise::{Refusal, Wish};
use accounting::{PayRefusal, TrialRow};
use facts::entry::Hold;
use facts::ids::OriginId;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

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

/// Where the answer about a call goes.
pub type CreditReply = oneshot::Sender<Result<CreditAnswer, CreditError>>;

/// What waits for the ledger's thread, and where its answer goes.
pub enum Waiting {
    Order {
        order: Order,
        reply: Reply,
    },
    Credit {
        ask: CreditAsk,
        reply: CreditReply,
    },
    /// A state root now, and what the books come to there.
    Certify {
        reply: SyncSender<BooksNow>,
    },
}

/// The books as of the last frame before a certificate in the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BooksNow {
    /// Last frame that they have; 0 = none.
    pub seq: u64,
    pub root: [u8; 32],
    pub entries: u64,
    /// By account of the chart and currency.
    pub totals: Vec<TrialRow>,
}

/// A question about a call.
#[derive(Clone, Debug)]
pub enum CreditAsk {
    /// May it begin? The time of the hold is the ledger's own.
    Authorise(Box<Wish>),
    /// May this vendor be tried? The time of the hold is the ledger's own.
    Attempt(Box<AttemptWish>),
    /// May it go on? Whoever asks knows of `held` seconds.
    Extend { hold_id: OriginId, held: u32 },
    /// There is no call.
    Release { hold_id: OriginId },
}

/// The answer, given when what it says is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CreditAnswer {
    Held {
        hold: Box<Hold>,
        /// Advice, at least the seconds held.
        allowed: u32,
        /// The same was asked and held before.
        repeated: bool,
    },
    Released {
        /// The hold had ended before.
        repeated: bool,
    },
}

/// Why a call may not begin or go on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreditError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{WAITING_MAX} questions are waiting already; send it again later")]
    Busy,
    /// It may or may not have been held; the same question finds out.
    #[error("no answer from the ledger: {0}; ask again, the same call is held once")]
    Unknown(String),
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

    /// Asks about a call. The receiver has the answer when it is durable or refused.
    pub fn ask(&self, ask: CreditAsk) -> Result<oneshot::Receiver<Result<CreditAnswer, CreditError>>, CreditError> {
        let (reply, answer) = oneshot::channel();
        match self.0.try_send(Waiting::Credit { ask, reply }) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(CreditError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(CreditError::Unknown("its thread has ended".into())),
        }
    }

    /// Asks about a call and waits for the answer, at most [`ANSWER_WITHIN`].
    pub async fn credit(&self, ask: CreditAsk) -> Result<CreditAnswer, CreditError> {
        match tokio::time::timeout(ANSWER_WITHIN, self.ask(ask)?).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CreditError::Unknown("its thread has ended".into())),
            Err(_) => Err(CreditError::Unknown(format!("nothing within {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    /// Has a certificate written into the stream and waits until it is durable.
    pub fn certify(&self) -> Result<BooksNow, OrderError> {
        let (reply, answer) = sync_channel(1);
        self.0.try_send(Waiting::Certify { reply }).map_err(|error| match error {
            TrySendError::Full(_) => OrderError::Busy,
            TrySendError::Disconnected(_) => OrderError::Unknown("its thread has ended".into()),
        })?;
        let why = |error| match error {
            RecvTimeoutError::Timeout => format!("nothing within {} s", ANSWER_WITHIN.as_secs()),
            RecvTimeoutError::Disconnected => "its thread has ended".into(),
        };
        answer.recv_timeout(ANSWER_WITHIN).map_err(|error| OrderError::Unknown(why(error)))
    }

    /// Places an order and waits until it is durable or refused.
    pub fn place(&self, order: Order) -> Result<Receipt, OrderError> {
        let (reply, answer) = sync_channel(1);
        match self.0.try_send(Waiting::Order { order, reply }) {
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
