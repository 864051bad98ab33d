//! The whole system in one thread under virtual time: server, bots and network, from one seed.

pub mod faults;
pub mod second_game;
pub mod sim;
pub mod tap;
