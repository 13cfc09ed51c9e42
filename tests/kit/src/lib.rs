//! A kit for tests of SIP applications, sansip's own and others'.
//!
//! - [`frontend`]: a registrar and forking proxy as a pure machine.
//! - [`vectors`]: where shared test vectors are found.

pub mod frontend;
pub mod vectors;
