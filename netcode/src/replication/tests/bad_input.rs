//! Input that no honest server or client sends.

use super::super::NetId;
use super::super::block_delta::{Identity, begin, code_identity};
use super::super::client_view::ClientView;
use super::super::entity::tests::{Body, FIELDS, Mind, fitted, schema};
use super::super::snapshot::{Deferred, Feedback, SnapshotHeader};
use super::super::state_ring::ReplicaMeta;
use super::crowd::{Crowd, interest};
use crate::bits::{BitReader, BitWriter};
use crate::client::snapshot_buffer::{SnapshotBuffer, SnapshotError};
use crate::coding::range::{Contexts, RangeDecoder, RangeEncoder};
use crate::error::WireError;
use crate::schema::{Audience, KindId, Schema};
use crate::tick::Tick;

#[test]
fn line_31_a_packet_that_claims_a_world_is_read_no_further_than_it_goes() {
    for claimed in [20_000, 1_000_000, u32::MAX / 2] {
        let header = SnapshotHeader {
            tick: Tick(9),
            index: 1,
            last: true,
            feedback: Feedback::default(),
            removals: vec![],
            deferred: Deferred::None,
            individual_items: claimed,
            has_own: false,
            individual_bytes: 4,
            block_deltas: vec![],
        };
        for byte in [0, 0x55, 0xff] {
            let mut writer = BitWriter::new();
            header.write(&mut writer);
            writer.pad_to_byte();
            writer.write_bytes(&[byte, byte, byte, 1]);
            writer.write(0, 16);
            writer.pad_to_byte();
            let mut buffer = SnapshotBuffer::new();
            assert!(
                buffer
                    .take(&schema(), BitReader::new(writer.bytes()))
                    .is_err(),
                "{claimed} {byte}"
            );
            assert_eq!(buffer.entities().count(), 0);
        }
    }
}

fn identity(generation: u16, kind: KindId) -> Identity {
    Identity {
        audience: Audience::Others,
        generation,
        kind,
    }
}

#[test]
fn line_33_an_unknown_kind_is_refused() {
    let schema = schema();
    let (mut contexts, mut bytes) = (Contexts::default(), Vec::new());
    let mut encoder = RangeEncoder::new(&mut bytes, &mut contexts, schema.tables(0));
    begin(&mut encoder);
    // An encoder that is given an unknown kind fails after it has written it.
    let _ = code_identity(&mut encoder, &schema, identity(3, KindId(7)));
    encoder.finish();
    let mut decoder = RangeDecoder::new(&bytes, &mut contexts, schema.tables(0));
    begin(&mut decoder);
    let read = code_identity(&mut decoder, &schema, identity(0, KindId(0)));
    assert_eq!(read, Err(WireError::Malformed("unknown entity kind")));
}

#[test]
fn line_42_a_packet_of_an_old_generation_does_not_bring_it_back() {
    let (mut crowd, mut view, mut buffer) =
        (Crowd::new(), ClientView::new(), SnapshotBuffer::new());
    let mut sent = Vec::new();
    for (tick, generation) in [0u16, 0, 1, 1].into_iter().enumerate() {
        crowd.tick = crowd.tick.next();
        crowd.ring.begin_tick(crowd.tick);
        let meta = ReplicaMeta {
            id: NetId {
                slot: 3,
                generation,
            },
            kind: KindId(0),
            owner: None,
            team: 0,
        };
        crowd
            .ring
            .record(&crowd.schema, meta, &fitted(&[tick as u32; FIELDS]));
        crowd.cache.begin_tick(&crowd.ring);
        let masks = crowd.masks();
        sent.extend(crowd.send(&mut view, &interest(&masks), tick as u64 * 20));
    }
    for at in [0, 2, 1, 3, 0] {
        buffer
            .take(&crowd.schema, BitReader::new(&sent[at].1))
            .unwrap();
        let generation = u16::from(at != 0 || buffer.newest() != Some(Tick(1_001)));
        assert_eq!(
            buffer.entity(3).unwrap().id.generation,
            generation,
            "packet {at}"
        );
    }
}

/// One entity first has one kind, then another one with more or fewer fields, which no honest
/// server sends.
#[test]
fn an_entity_whose_kind_changes_is_another() {
    let mut schema = Schema::new();
    let parts = [
        schema.add_component::<Body>().unwrap(),
        schema.add_component::<Mind>().unwrap(),
    ];
    schema.add_kind("body", &parts[..1]).unwrap();
    schema.add_kind("thing", &parts).unwrap();
    for kinds in [[0, 1], [1, 0]] {
        for later in [0, 1] {
            let mut buffer = SnapshotBuffer::new();
            for (kind, tick) in kinds.into_iter().zip([1_001, 1_001 + later]) {
                let mut crowd = Crowd {
                    schema: schema.clone(),
                    tick: Tick(tick),
                    ..Crowd::new()
                };
                crowd.ring.begin_tick(crowd.tick);
                let id = NetId {
                    slot: 3,
                    generation: 0,
                };
                let fields = &fitted(&[9; FIELDS])[..schema.kind(KindId(kind)).fields.len()];
                crowd.ring.record(
                    &schema,
                    ReplicaMeta {
                        id,
                        kind: KindId(kind),
                        owner: None,
                        team: 0,
                    },
                    fields,
                );
                crowd.cache.begin_tick(&crowd.ring);
                let masks = crowd.masks();
                let sent = crowd.send(&mut ClientView::new(), &interest(&masks), 0);
                buffer.take(&schema, BitReader::new(&sent[0].1)).unwrap();
                let held = buffer.entity(3).unwrap();
                assert_eq!(
                    (held.kind, held.newest().fields.len()),
                    (KindId(kind), fields.len())
                );
            }
        }
    }
}

#[test]
fn line_45_an_acknowledgement_of_what_is_not_kept_any_more_is_built_upon_by_nothing() {
    let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
    for tick in 0..400u64 {
        crowd.step(0..20, true);
        let masks = crowd.masks();
        let packets = crowd.send(&mut view, &interest(&masks), tick);
        assert_eq!(packets.len(), 1);
    }
    view.packet_acked(3);
    assert_eq!(
        view.acked(NetId {
            slot: 3,
            generation: 0
        }),
        None
    );
    // A known entity whose baseline the world has dropped since has no baseline: it is sent whole.
    view.packet_acked(399);
    for _ in 0..200 {
        crowd.step(0..20, true);
    }
    let masks = crowd.masks();
    let packets = crowd.send(&mut view, &interest(&masks), 400);
    let mut stranger = SnapshotBuffer::new();
    let taken = stranger.take(&crowd.schema, BitReader::new(&packets[0].1));
    assert!(!matches!(taken, Err(SnapshotError::Baseline)), "{taken:?}");
    assert_eq!(stranger.entities().count(), 20);
}
