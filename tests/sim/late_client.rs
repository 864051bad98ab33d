//! One client's snapshots on their own: packets are lost, and acknowledgements are late.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use truetick_netcode::bits::BitWriter;
use truetick_netcode::limits::PAYLOAD_BYTES;
use truetick_netcode::replication::client_view::{ClientView, Interest, Shared};
use truetick_netcode::replication::snapshot::Feedback;

/// A client that acknowledges each packet after a delay of its own, or never.
pub struct LateClient {
    view: ClientView,
    /// Sequence number of the next packet.
    next: u64,
    /// Ticks from a packet to its acknowledgement.
    delay: u64,
    acks: Vec<DueAck>,
}

/// An acknowledgement on its way.
struct DueAck {
    /// Tick at which it arrives.
    tick: u64,
    sequence: u64,
}

impl LateClient {
    /// Creates a client whose acknowledgements arrive `delay` ticks after their packets.
    pub fn new(delay: u64) -> Self {
        Self {
            view: ClientView::new(),
            next: 0,
            delay,
            acks: Vec::new(),
        }
    }

    /// Sends the snapshot of a tick, of which each third packet is lost, and receives the
    /// acknowledgements that are due.
    pub fn send(
        &mut self,
        tick: u64,
        shared: &mut Shared<'_>,
        masks: &[u64],
        rng: &mut Xoshiro256PlusPlus,
    ) {
        let interest = Interest {
            own: None,
            team: 0,
            masks,
            weights: None,
            budget: 8_000,
        };
        self.view.plan(shared, &interest);
        let mut more = true;
        while more {
            more = self.view.write_packet(
                shared,
                self.next,
                PAYLOAD_BYTES,
                Feedback::default(),
                &mut BitWriter::new(),
            );
            if rng.random_bool(2.0 / 3.0) {
                self.acks.push(DueAck {
                    tick: tick + self.delay,
                    sequence: self.next,
                });
            }
            self.next += 1;
        }
        for ack in self.acks.iter().filter(|ack| ack.tick == tick) {
            self.view.packet_acked(ack.sequence);
        }
    }
}
