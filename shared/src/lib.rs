//! The rules that server and clients share: components and their schema, commands and the pure
//! step.
//!
//! It uses no socket, no clock and no file.

pub mod arena;
pub mod auction;
