//! Tests of the versions that a room keeps of its entities.

use super::super::entity;
use super::*;
use crate::limits::RING_TICKS;

const ID: NetId = NetId {
    slot: 3,
    generation: 1,
};

fn meta(id: NetId) -> ReplicaMeta {
    ReplicaMeta {
        id,
        kind: KindId(0),
        owner: None,
        team: 0,
    }
}

fn state(x: u32, dice: u32) -> Vec<u32> {
    let mut numbers = [0; entity::tests::FIELDS];
    (numbers[0], numbers[4]) = (x, dice);
    entity::tests::fitted(&numbers)
}

fn record(ring: &mut StateRing, schema: &Schema, tick: u32, x: u32) {
    ring.begin_tick(Tick(tick));
    ring.record(schema, meta(ID), &state(x, 0));
}

fn in_force(ring: &StateRing, tick: u32) -> Option<u32> {
    Some(ring.entry(3)?.at(Tick(tick))?.tick.0)
}

#[test]
fn a_version_is_named_by_its_change_and_kept_while_current() {
    let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
    record(&mut ring, &schema, 10, 1);
    for tick in 11..5_000 {
        record(&mut ring, &schema, tick, 1);
    }
    assert_eq!(ring.entry(3).unwrap().current().tick, Tick(10));
    assert_eq!(
        (in_force(&ring, 4_000), in_force(&ring, 9)),
        (Some(10), None)
    );
}

#[test]
fn a_superseded_version_stays_for_the_ring_and_then_goes() {
    let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
    record(&mut ring, &schema, 10, 1);
    for tick in 0..=RING_TICKS {
        record(&mut ring, &schema, 1_000 + tick, 2 + tick);
    }
    assert_eq!(in_force(&ring, 900), Some(10));
    record(&mut ring, &schema, 1_001 + RING_TICKS, 9_000);
    assert_eq!(
        (in_force(&ring, 900), in_force(&ring, 1_000)),
        (None, Some(1_000))
    );
}

#[test]
fn the_hash_sees_server_fields_and_identity() {
    let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
    record(&mut ring, &schema, 10, 1);
    let before = ring.world_hash();
    ring.begin_tick(Tick(11));
    ring.record(&schema, meta(ID), &state(1, 7));
    assert_ne!(ring.world_hash(), before);
    ring.remove(ID);
    ring.record(
        &schema,
        meta(NetId {
            generation: 2,
            ..ID
        }),
        &state(1, 0),
    );
    assert_ne!(ring.world_hash(), before);
    assert_eq!(ring.gone(), [ID]);
}

#[test]
fn what_only_the_server_sees_changes_nothing_for_clients() {
    let (schema, mut ring) = (entity::tests::schema(), StateRing::new());
    record(&mut ring, &schema, 10, 1);
    ring.begin_tick(Tick(11));
    ring.record(&schema, meta(ID), &state(1, 7));
    assert_eq!(ring.entry(3).unwrap().current().tick, Tick(11));
    for audience in [Audience::Others, Audience::Team, Audience::Owner] {
        assert_eq!(ring.blocks()[0].changed(ID.slot, audience), Tick(10));
    }
    assert_eq!(
        ring.blocks()[0].changed_after(Tick(10), Audience::Others) & ring.blocks()[0].live,
        0
    );
}
