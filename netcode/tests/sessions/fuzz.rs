//! A smoke run of every fuzz target of sessions: first its corpus, then random inputs.

#![allow(
    clippy::disallowed_methods,
    reason = "reads and writes files of its own"
)]

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fuzz_targets::TARGETS;

/// Number of random inputs per target.
const INPUTS: u32 = 20_000;

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let corpus: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!corpus.is_empty(), "{} is empty", folder.display());
        corpus.iter().for_each(|input| target(input));
    }
}

#[test]
fn every_target_takes_random_inputs() {
    for (name, target) in TARGETS {
        let config = Config {
            cases: INPUTS,
            failure_persistence: None,
            ..Config::default()
        };
        let run =
            TestRunner::new(config).run(&proptest::collection::vec(any::<u8>(), 0..400), |input| {
                target(&input);
                Ok(())
            });
        run.unwrap_or_else(|error| panic!("target {name}: {error}"));
    }
}
