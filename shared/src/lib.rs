//! The rules that both sides run: components and their schema, commands, the pure step.
//!
//! Knows no socket, no clock and no file.

pub mod arena;
pub mod auction;
