//! One binary for all targets: the environment variable `TARGET` names the one to run.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use truetick_tests::fuzz_targets::{TARGETS, Target};

fn target() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(of, ..)| *of == name);
        let names: Vec<&str> = TARGETS.iter().map(|(name, ..)| *name).collect();
        found.map(|(_, target, _)| *target).unwrap_or_else(|| panic!("set TARGET to one of {names:?}"))
    })
}

fuzz_target!(|data: &[u8]| target()(data));
