//! Bytes to messages and back.
//!
//! Two levels: [`Message`] is tolerant (ordered raw header fields over one buffer, unknown ones kept), the types of
//! [`header`] and [`uri`] are strict and parsed on demand. What can be typed can be written and is read back equal.
//! [`frame`] cuts a byte stream into messages; [`mod@write`] builds what is sent; [`check`] is what a user agent refuses
//! without knowing any state.

pub mod check;
mod class;
pub mod frame;
mod grammar;
mod head;
pub mod header;
mod message;
mod method;
mod name;
mod rebuild;
mod scan;
mod start_line;
mod status;
pub mod uri;
pub mod write;

pub(crate) use message::is_over_limit;
pub use message::{Kind, Message, MessageLimits};
pub use method::Method;
pub use name::HeaderName;
pub use rebuild::rebuild;
pub use status::StatusCode;
