//! RADIUS as switches speak it before a call: packets read and written (RFC 2865, 2866, 5176), signed and checked
//! (RFC 3579), and what a voice switch's attributes mean. Pure: bytes and facts in, bytes and facts out; sockets, clocks and
//! secrets are the process's, and whether a call may begin is decided by `accounting`, the same for every door.

pub mod clients;
pub mod packet;
pub mod repeats;
pub mod sign;
pub mod voice;

pub use clients::{Client, ClientError, Clients, Extending, KeyFrom, UserIs};
pub use packet::{Attribute, Builder, Code, Malformed, Packet};
pub use repeats::{Repeats, Seen};
pub use sign::SignError;
pub use voice::{CallFacts, Session, Status};
