//! The web console: server-rendered pages over one trait. It opens no log, no file and no engine of its own, and
//! every figure it prints is exact text from its source.

pub mod access;
mod deck_routes;
pub mod decks;
pub mod format;
mod import_routes;
pub mod imports;
pub mod jobs;
pub mod layout;
pub mod make;
mod make_routes;
pub mod pages;
pub mod price;
pub mod routes;
pub mod source;
mod timeline;

pub use access::{Access, random_hex};
pub use routes::router;
pub use source::Source;
