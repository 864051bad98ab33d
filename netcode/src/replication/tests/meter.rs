//! Every bit of a packet is accounted for.

use super::super::client_view::ClientView;
use super::crowd::{Crowd, interest};
use crate::bits::BitWriter;
use crate::client::inspect::Inspector;
use crate::coding::Part;
use crate::connection::{Connection, Messages};
use crate::messages::Body;
use crate::time::Timestamp;

#[test]
fn the_bits_of_all_parts_make_the_packet() {
    let (mut crowd, mut view) = (Crowd::new(), ClientView::new());
    let now = Timestamp::from_millis(1);
    let mut connection = Connection::new(1, now);
    let (mut inspector, mut fields) = (Inspector::default(), 0);
    for tick in 0..40u64 {
        crowd.step(if tick < 30 { 0..200 } else { 0..150 }, true);
        let masks = crowd.masks();
        let begin = |writer: &mut BitWriter| {
            connection.begin(writer, now, Messages::BesideState);
            writer.write(Body::Snapshot as u32, Body::BITS);
        };
        for (sequence, payload) in crowd.send_behind(&mut view, &interest(&masks), tick * 20, begin)
        {
            let breakdown = inspector.take(&crowd.schema, &payload).unwrap();
            let parts = breakdown.header_bits + breakdown.message_bits + breakdown.body_bits;
            assert_eq!(parts, payload.len() * 8);
            let snapshot = breakdown.snapshot.unwrap();
            assert_eq!(snapshot.failed, None);
            let streams: f64 = snapshot
                .ledger
                .bit_costs
                .iter()
                .map(|bit_cost| bit_cost.bits)
                .sum();
            // Two bits of tag, sixteen of hash. The length of a stream differs from its information
            // by less than a byte.
            let told = (2 + snapshot.header_bits + snapshot.units_bits + 16) as f64 + streams;
            let slack = 8.0 * (snapshot.header.block_deltas.len() + 3) as f64;
            assert!(
                (breakdown.body_bits as f64 - told).abs() < slack,
                "{told} of {}",
                breakdown.body_bits
            );
            let entities = &snapshot.ledger.entities;
            for bit_cost in &snapshot.ledger.bit_costs {
                assert_eq!(bit_cost.entity.is_none(), bit_cost.part == Part::Mask);
                assert!(bit_cost.entity.is_none_or(|at| at < entities.len()));
                fields += usize::from(matches!(bit_cost.part, Part::Field(_)));
            }
            view.packet_acked(sequence);
        }
    }
    assert!(
        fields > 1_000 && inspector.buffer().entities().count() == 150,
        "{fields}"
    );
}
