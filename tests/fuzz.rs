//! A smoke run of every fuzz target: first its corpus, then random inputs.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use truetick_server::files::read_folder;
use truetick_tests::fuzz_targets::TARGETS;

/// Number of random inputs per target.
const INPUTS: u32 = 3_000;

#[test]
fn every_target_takes_its_corpus() {
    for (name, target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let corpus =
            read_folder(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        assert!(!corpus.is_empty(), "{} is empty", folder.display());
        corpus.iter().for_each(|input| target(input));
    }
}

#[test]
fn every_target_takes_random_inputs() {
    for (name, target, longest) in TARGETS {
        let config = Config {
            cases: INPUTS,
            failure_persistence: None,
            ..Config::default()
        };
        let run = TestRunner::new(config).run(
            &proptest::collection::vec(any::<u8>(), 0..longest),
            |input| {
                target(&input);
                Ok(())
            },
        );
        run.unwrap_or_else(|error| panic!("target {name}: {error}"));
    }
}
