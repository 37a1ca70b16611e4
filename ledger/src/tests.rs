//! The ledger process on the embedded bus: killed at every frame, fenced, restarted from snapshots, tampered with.

mod copies;
mod credit;
mod damage;
mod house;
mod kill;
pub(crate) mod orders;
mod proof;
mod prove;
mod refold;
mod runs;
mod sites;
mod standing;
mod strangers;
mod upgrade;
mod view;
pub(crate) mod world;
mod worlds;
