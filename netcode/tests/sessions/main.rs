//! Tests of sessions without sockets: bad input row by row, and fuzz targets with their corpus.

mod bad_input;
mod bad_tokens;
mod copies;
mod early;
mod fuzz;
mod fuzz_targets;
mod keys;
mod places;
mod purposes;
mod secured;
mod tickets;
mod world;
