//! The simulator finds planted defects: each within a stated number of seeds of the standard mix, none where none
//! is planted.

use truetick_netcode::mutant::{Mutant, plant};
use truetick_tests::plan::Plan;
use truetick_tests::run::run;

/// Seeds within which each defect shows.
const WITHIN: u64 = 40;

fn first_caught(mutant: Option<Mutant>) -> Option<(u64, Vec<String>)> {
    plant(mutant);
    let caught = (1..=WITHIN).find_map(|seed| {
        let wrong = run(&Plan::standard(seed), None).wrong;
        (!wrong.is_empty()).then_some((seed, wrong))
    });
    plant(None);
    caught
}

#[test]
fn every_planted_defect_is_caught_and_nothing_else() {
    assert_eq!(first_caught(None), None);
    for (mutant, says) in [
        (Mutant::TakeRepeats, "taken twice"),
        (Mutant::ApplyTwice, "nothing explains"),
        (Mutant::AcceptUndecoded, "lacks baseline"),
    ] {
        let (seed, wrong) = first_caught(Some(mutant)).unwrap_or_else(|| panic!("{mutant:?} got away"));
        println!("{mutant:?}: seed {seed}: {wrong:?}");
        assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{mutant:?}: {wrong:?}");
    }
}
