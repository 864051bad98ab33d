//! Clients decode whatever a game writes into its components: values out of range are clamped and
//! reported.

use std::time::Duration;

use proptest::prelude::*;
use truetick_netcode::client::snapshot_buffer::SnapshotError;
use truetick_netcode::schema::Replicate;
use truetick_netcode::session::Role;
use truetick_netcode::time::Timestamp;
use truetick_server::game_fault::GameFault;
use truetick_server::registry::{OutOfRange, RangePolicy};
use truetick_server::room::{Room, RoomConfig};
use truetick_server::world_access::WorldAccess;
use truetick_server::world_room::WorldRoom;
use truetick_tests::loopback_client::LoopbackClient;
use truetick_tests::written_game::{Adrift, NUMBERS, Script, Wild, Writer, Written};

fn room(script: Vec<Vec<Written>>, policy: RangePolicy) -> WorldRoom<Writer> {
    let game = Writer {
        script: Script(script),
        policy,
    };
    WorldRoom::new(game, RoomConfig::default(), Timestamp::from_millis(1_000)).unwrap()
}

fn number() -> impl Strategy<Value = u32> {
    let near = (0u32..=32, -2i32..=2)
        .prop_map(|(bits, by)| (1u64 << bits).wrapping_add_signed(by.into()) as u32);
    let limits =
        (0..NUMBERS, 0u32..3).prop_map(|(at, by)| (Wild::FIELDS[at].max - 1).wrapping_add(by));
    prop_oneof![
        any::<u32>(),
        near,
        limits,
        0u32..200,
        Just(u32::MAX),
        (1i32..200).prop_map(|n| -n as u32)
    ]
}

fn float() -> impl Strategy<Value = f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        -0.0,
    ];
    prop_oneof![
        any::<f32>(),
        proptest::sample::select(special.to_vec()),
        -1_200f32..1_200.0
    ]
}

fn written() -> impl Strategy<Value = Written> {
    let wild = proptest::array::uniform15(number()).prop_map(Wild);
    let adrift = proptest::array::uniform8(float()).prop_map(Adrift);
    (wild, adrift).prop_map(|(wild, adrift)| Written { wild, adrift })
}

/// A player and a spectator follow a room; some packets are lost. Every received packet must
/// decode, and the copies must equal the server's state.
fn follow(script: &[Vec<Written>], lost: &[bool]) -> Result<(), TestCaseError> {
    let mut room = room(script.to_vec(), RangePolicy::Clamp);
    let schema = room.simulation().registry().schema().clone();
    let mut now = Timestamp::from_millis(1_000);
    let roles = [Role::Player, Role::Spectator];
    let mut clients =
        [1, 2].map(|client| LoopbackClient::join(&mut room, client, roles[client as usize - 1]));
    let mut lost = lost.iter().copied().chain(std::iter::repeat(false));
    for tick in 0..script.len() + 2 {
        room.simulate(now);
        for client in &mut clients {
            let mut all_came = true;
            for payload in client.payloads(&mut room, now) {
                if tick > 1 && lost.next() == Some(true) {
                    all_came = false;
                    continue;
                }
                match client.take(&schema, &payload, now) {
                    Ok(_) => {}
                    Err(SnapshotError::Baseline) => all_came = false,
                    Err(error) => {
                        return Err(TestCaseError::fail(format!("{error} at tick {tick}")));
                    }
                }
            }
            client.answer(&mut room, now);
            if !all_came {
                continue;
            }
            for entry in room.ring().entries() {
                let held = client.held().public(entry.id.slot);
                prop_assert!(held.is_some(), "{} is not held", entry.id);
                let state = held.unwrap().newest();
                let kind = schema.kind(entry.kind);
                for ((field, own), theirs) in kind
                    .fields
                    .iter()
                    .zip(&*entry.current().fields)
                    .zip(state.fields)
                {
                    prop_assert!(*own <= field.max);
                    let sees = held.unwrap().audience.sees(field.visibility);
                    prop_assert_eq!(if sees { *own } else { 0 }, *theirs, "{}", field.name);
                }
            }
        }
        now += Duration::from_micros(16_667);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_client_decodes_whatever_a_game_writes(
        script in proptest::collection::vec(proptest::collection::vec(written(), 3), 1..12),
        lost in proptest::collection::vec(proptest::bool::weighted(0.2), 0..30),
    ) {
        follow(&script, &lost)?;
    }
}

/// One entity's numbers with one of them changed.
fn one(at: usize, value: u32) -> Vec<Vec<Written>> {
    let mut wild = Wild::default();
    wild.0[at] = value;
    vec![vec![Written {
        wild,
        ..Written::default()
    }]]
}

const HEALTH: usize = 5;

#[test]
fn a_value_out_of_range_is_clamped_counted_and_named() {
    let mut room = room(one(HEALTH, 120), RangePolicy::Clamp);
    let now = Timestamp::from_millis(1_000);
    let mut client = LoopbackClient::join(&mut room, 1, Role::Player);
    let schema = room.simulation().registry().schema().clone();
    room.simulate(now);
    let payloads = client.payloads(&mut room, now);
    assert!(
        !payloads.is_empty()
            && payloads
                .iter()
                .all(|payload| client.take(&schema, payload, now).is_ok())
    );
    assert_eq!(
        client.held().public(0).unwrap().newest().fields[HEALTH],
        100
    );
    let report = OutOfRange {
        component: "wild",
        field: "health",
        value: 120,
        max: 100,
    };
    assert_eq!(
        room.poll_fault(now),
        Some((GameFault::OutOfRange(report), 1))
    );
    assert_eq!(room.metrics().fields_clamped, 1);
    let text = GameFault::OutOfRange(report).to_string();
    assert!(
        ["wild", "health", "120", "100"]
            .iter()
            .all(|word| text.contains(word)),
        "{text}"
    );
    // The clamped value is the component's from then on, so it is reported once.
    room.simulate(now + Duration::from_secs(2));
    assert_eq!(room.poll_fault(now + Duration::from_secs(2)), None);
}

#[test]
fn every_kind_of_field_goes_to_its_nearest_value() {
    for (at, field) in Wild::FIELDS
        .iter()
        .enumerate()
        .filter(|(_, field)| field.max < u32::MAX)
    {
        for value in [field.max + 1, u32::MAX] {
            let mut room = room(one(at, value), RangePolicy::Clamp);
            room.simulate(Timestamp::from_millis(1_000));
            let kept = room.ring().entry(0).unwrap().current().fields[at];
            // A direction wraps round the turn.
            let nearest = if field.name == "heading" {
                value & field.max
            } else {
                field.max
            };
            assert_eq!(kept, nearest, "{}", field.name);
            assert_eq!(room.metrics().fields_clamped, 1, "{}", field.name);
        }
    }
}

#[test]
#[should_panic(expected = "component `wild`, field `health`: 120")]
fn a_value_out_of_range_panics_where_that_is_asked_for() {
    room(one(HEALTH, 120), RangePolicy::Panic).simulate(Timestamp::from_millis(1_000));
}

#[test]
fn builds_with_debug_assertions_panic_by_default() {
    let expected = if cfg!(debug_assertions) {
        RangePolicy::Panic
    } else {
        RangePolicy::Clamp
    };
    assert_eq!(RangePolicy::default(), expected);
}

#[cfg(truetick_mutants)]
#[test]
fn a_capture_that_keeps_values_out_of_range_is_caught() {
    use truetick_netcode::mutant::{Mutant, plant};

    plant(Some(Mutant::KeepOutOfRange));
    let wrong = follow(&one(HEALTH, 120), &[]);
    plant(None);
    assert!(wrong.is_err());
}
