//! Removals of entities: how many packets name them, and how soon a client knows of them.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::block_delta::{bit_of, block_of};
use super::super::client_view::{ClientView, ManyRemovals};
use super::crowd::{Crowd, interest};
use crate::bits::BitReader;
use crate::client::snapshot_buffer::SnapshotBuffer;
use crate::sequence::Sequence;

/// A client with a round trip of several ticks, on a path without loss.
#[derive(Default)]
struct Distant {
    view: ClientView,
    buffer: SnapshotBuffer,
    acks: VecDeque<(u64, Sequence)>,
}

impl Distant {
    const ROUND_TRIP: u64 = 12;

    /// Decodes the packets of this tick; acknowledgements reach the view a round trip later.
    fn hear(&mut self, crowd: &mut Crowd, tick: u64) {
        let masks = crowd.masks();
        for (sequence, bytes) in crowd.send(&mut self.view, &interest(&masks), tick * 20) {
            self.buffer
                .take(&crowd.schema, BitReader::new(&bytes))
                .unwrap();
            self.acks.push_back((tick + Self::ROUND_TRIP, sequence));
        }
        while let Some((_, sequence)) = self.acks.pop_front_if(|(at, _)| *at <= tick) {
            self.view.packet_acked(sequence);
        }
    }
}

#[test]
fn four_hundred_removals_take_a_round_trip_and_not_four_hundred() {
    let (mut crowd, mut client) = (Crowd::new(), Distant::default());
    for tick in 0..120u64 {
        crowd.step(if tick < 60 { 0..400 } else { 0..0 }, false);
        client.hear(&mut crowd, tick);
        let expected = if tick < 60 {
            400
        } else {
            400usize.saturating_sub((tick as usize - 59) * 16)
        };
        assert_eq!(client.buffer.entities().count(), expected, "tick {tick}");
    }
}

#[test]
fn removals_do_not_pile_up_though_more_are_gone_in_each_tick_than_a_packet_names() {
    let (mut crowd, mut client) = (Crowd::new(), Distant::default());
    for tick in 0..300u64 {
        let first = 40 * tick as u16;
        crowd.step(first..first + 200, false);
        client.hear(&mut crowd, tick);
        assert!(!client.view.is_overwhelmed(), "tick {tick}");
        let held = client.buffer.entities().count();
        assert!(held < 200 + 1_000, "tick {tick}: {held}");
    }
}

/// Crowds leave the client's interest and return while their removals are being sent, on a path
/// that loses one packet in five.
#[test]
fn removals_in_several_packets_of_a_tick_are_what_one_packet_says() {
    let (mut crowd, mut view, mut buffer) =
        (Crowd::new(), ClientView::new(), SnapshotBuffer::new());
    view.many_removals = ManyRemovals(30);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let (mut acks, mut most) = (VecDeque::new(), 0);
    let mut masks = vec![u64::MAX; 8];
    for tick in 0..400u64 {
        let calm = tick >= 340;
        crowd.step(0..512, tick % 3 == 0);
        if !calm && rng.random_bool(0.5) {
            masks[rng.random_range(0..8usize)] = rng.random();
        }
        let packets = crowd.send(&mut view, &interest(&masks), tick * 20);
        most = most.max(packets.len());
        for (sequence, bytes) in packets {
            if calm || rng.random_bool(0.8) {
                buffer.take(&crowd.schema, BitReader::new(&bytes)).unwrap();
                acks.push_back((tick + rng.random_range(1..6), sequence));
            }
        }
        acks.retain(|(at, sequence)| {
            let is_due = *at <= tick;
            if is_due {
                view.packet_acked(*sequence);
            }
            !is_due
        });
    }
    assert!(most > 2, "{most} packets in a tick");
    let held: Vec<u16> = buffer.entities().map(|remote| remote.id.slot).collect();
    let seen: Vec<u16> = (0..512)
        .filter(|slot| masks[block_of(*slot)] & bit_of(*slot) != 0)
        .collect();
    assert_eq!(held, seen);
}
