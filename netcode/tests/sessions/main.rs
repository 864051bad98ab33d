//! Tests of sessions without sockets: bad input row by row, and fuzz targets with their corpus.

mod bad_input;
mod bad_tokens;
mod fuzz;
mod fuzz_targets;
mod keys;
mod purposes;
mod secured;
mod world;
