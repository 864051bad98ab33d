//! Tests of the server's side against the client's.

mod bad_input;
mod budget;
mod crowd;
mod lossy;
mod meter;
mod removals;
mod rest;
mod scatter;
mod schemas;

use super::NetId;

#[test]
fn a_reference_to_an_entity_returns() {
    for id in [
        NetId {
            slot: 0,
            generation: u16::MAX,
        },
        NetId {
            slot: 16_383,
            generation: 7,
        },
    ] {
        assert_eq!(NetId::from_bits(id.to_bits()), id);
        assert!(id.to_bits() >> NetId::BITS == 0);
    }
}
