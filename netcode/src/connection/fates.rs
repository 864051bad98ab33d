//! The fates of sent packets: delivered, lost, or too old to be known.

use std::time::Duration;

use super::{Connection, Sent};
use crate::channel::PieceRef;
use crate::limits::{ACK_WINDOW, REORDER_PACKETS};
use crate::packet::Acks;
use crate::rtt::RoundTrip;
use crate::sequence::Sequence;
use crate::time::Timestamp;

impl Connection {
    /// Records which packets an acknowledgement names, and declares losses.
    pub(super) fn learn_fates(&mut self, acks: Acks, now: Timestamp) {
        // The loop visits only the open packets: most of what the mask names is known already.
        let mut at = 0;
        while at < self.sent.len() && self.sent[at].sequence <= acks.newest {
            let sequence = self.sent[at].sequence;
            let Some(sent) = acks
                .accepts(sequence)
                .then(|| self.sent.remove(at))
                .flatten()
            else {
                at += 1;
                continue;
            };
            if sequence == acks.newest {
                let held = Duration::from_micros(u64::from(acks.held) * 128);
                let time = now.since(sent.at).saturating_sub(held);
                self.rtt.sample(RoundTrip {
                    time,
                    bytes: sent.bytes,
                });
            }
            self.channels.acked(&sent.pieces);
            self.rtt.delivered(sent.bytes);
            self.acked.push_back(sequence);
        }
        self.declare_losses(acks.newest);
    }

    /// Declares packets lost that are [`REORDER_PACKETS`] behind the newest acknowledged one, and
    /// forgets those that are out of reach of an acknowledgement.
    fn declare_losses(&mut self, newest: Sequence) {
        while self
            .sent
            .front()
            .is_some_and(|sent| sent.sequence + ACK_WINDOW <= newest)
        {
            if let Some(sent) = self.sent.pop_front() {
                self.give_up(sent);
            }
        }
        for at in 0..self.sent.len() {
            let sent = &mut self.sent[at];
            if sent.sequence + REORDER_PACKETS > newest {
                break;
            }
            if !sent.lost {
                sent.lost = true;
                let (sequence, pieces) = (sent.sequence, std::mem::take(&mut sent.pieces));
                self.note_lost(sequence, &pieces);
                self.sent[at].pieces = pieces;
            }
        }
    }

    /// Forgets the packets that are too old for any acknowledgement to name them.
    pub(super) fn forget_ancient(&mut self) {
        while self.sent.len() as u64 > ACK_WINDOW * 4 {
            if let Some(sent) = self.sent.pop_front() {
                self.give_up(sent);
            }
        }
    }

    fn give_up(&mut self, sent: Sent) {
        if !sent.lost {
            self.note_lost(sent.sequence, &sent.pieces);
        }
    }

    fn note_lost(&mut self, sequence: Sequence, pieces: &[PieceRef]) {
        self.channels.lost(pieces, sequence);
        self.rtt.lost();
    }
}
