//! The whole system in one thread under virtual time: server, bots and network, from one seed.

pub mod sim;
