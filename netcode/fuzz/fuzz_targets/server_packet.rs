#![no_main]
#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../../tests/sessions/fuzz_targets.rs"]
mod fuzz_targets;
#[path = "../../tests/sessions/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::server_packet(data));
