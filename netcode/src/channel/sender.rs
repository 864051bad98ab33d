//! The sending half of one reliable channel.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;

use super::wire::{PacketSpace, SliceIndex, slice_bits};
use crate::limits::{
    ASSEMBLIES, CHANNEL_QUEUE_BYTES, CHANNEL_WINDOW, CHANNEL_WINDOW_BYTES, MESSAGE_BYTES,
    MESSAGE_COST, SLICE_BYTES,
};
use crate::mutant::{Mutant, is_planted};
use crate::sequence::Sequence;
use crate::time::Timestamp;

/// Why a message was not queued for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Overflow {
    /// The message is larger than its channel allows, which is the caller's error. The session
    /// continues as if it had not been sent.
    #[error("message too large for its channel")]
    MessageTooLarge,
    /// The peer acknowledges too slowly; the session must end.
    #[error("reliable queue full: the peer acknowledges too slowly")]
    QueueFull,
}

/// When a piece is sent again although its packet is not known to be lost.
#[derive(Clone, Copy, Debug)]
pub struct SendWindow {
    /// Time without an acknowledgement after which a piece is due again, from
    /// [`crate::rtt::RttEstimator::resend_after`].
    pub resend_after: Duration,
}

/// One slice of one message, as the record of a sent packet refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceRef {
    pub(super) channel: usize,
    id: u64,
    slice: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Waiting,
    Flying {
        sequence: Sequence,
        since: Timestamp,
    },
    Done,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Outgoing {
    fn slice(&self, index: usize) -> &[u8] {
        let start = index * SLICE_BYTES;
        &self.bytes[start..(start + SLICE_BYTES).min(self.bytes.len())]
    }
}

#[derive(Debug, Default)]
pub(super) struct Sender {
    /// Id of `messages[0]`, the oldest message that is not fully acknowledged.
    base: u64,
    messages: VecDeque<Outgoing>,
    bytes: usize,
}

/// Returns the bytes that a message counts for in windows and queues.
pub(super) fn cost(bytes: usize) -> usize {
    bytes + MESSAGE_COST
}

/// Checks that a queue of `count` messages with `bytes` bytes in all has space for another message.
pub(super) fn check_queue(count: usize, bytes: usize, message: &[u8]) -> Result<(), Overflow> {
    if message.len() > MESSAGE_BYTES {
        return Err(Overflow::MessageTooLarge);
    }
    let queued = bytes + count * MESSAGE_COST;
    if queued + cost(message.len()) > CHANNEL_QUEUE_BYTES {
        Err(Overflow::QueueFull)
    } else {
        Ok(())
    }
}

impl Sender {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the number of messages that are not fully acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.messages.len()
    }

    /// Returns the bytes of messages that are not fully acknowledged.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) -> Result<(), Overflow> {
        check_queue(self.messages.len(), self.bytes, &bytes)?;
        self.bytes += bytes.len();
        let slices = bytes.len().div_ceil(SLICE_BYTES).max(1);
        self.messages.push_back(Outgoing {
            bytes,
            pieces: vec![Piece::Waiting; slices],
        });
        Ok(())
    }

    pub(super) fn is_due(&self, now: Timestamp, window: SendWindow) -> bool {
        self.in_window()
            .any(|(_, message)| message.pieces.iter().any(|piece| due(*piece, now, window)))
    }

    /// Returns the bytes of the pieces that are due, with their headers.
    pub(super) fn due_bytes(&self, now: Timestamp, window: SendWindow) -> usize {
        if self.messages.is_empty() {
            return 0;
        }
        let pieces = self.in_window().flat_map(|(_, message)| {
            let due = message
                .pieces
                .iter()
                .enumerate()
                .filter(move |(_, piece)| due(**piece, now, window));
            due.map(|(at, _)| slice_bits(message.slice(at), message.pieces.len()))
        });
        pieces.sum::<usize>().div_ceil(8)
    }

    fn in_window(&self) -> impl Iterator<Item = (usize, &Outgoing)> {
        let (mut bytes, mut assemblies) = (0, 0);
        let window = if is_planted(Mutant::NarrowWindow) {
            64
        } else {
            usize::from(CHANNEL_WINDOW)
        };
        self.messages
            .iter()
            .take(window)
            .enumerate()
            .take_while(move |(_, message)| {
                bytes += cost(message.bytes.len());
                let open = message.pieces.len() > 1
                    && message.pieces.iter().any(|piece| *piece != Piece::Done);
                assemblies += usize::from(open);
                bytes <= CHANNEL_WINDOW_BYTES && assemblies <= ASSEMBLIES
            })
    }

    /// Writes the due pieces into a packet until it is full, and adds them to `pieces`. `channel`
    /// is the index of this sender.
    pub(super) fn write(
        &self,
        space: &mut PacketSpace<'_>,
        now: Timestamp,
        window: SendWindow,
        channel: usize,
        pieces: &mut Vec<PieceRef>,
    ) {
        for (at, message) in self.in_window() {
            let id = self.base + at as u64;
            for (slice, piece) in message.pieces.iter().enumerate() {
                if !due(*piece, now, window) {
                    continue;
                }
                let place = SliceIndex {
                    at: slice,
                    count: message.pieces.len(),
                };
                if !space.write_slice(channel, id, place, message.slice(slice)) {
                    return;
                }
                pieces.push(PieceRef { channel, id, slice });
            }
        }
    }

    pub(super) fn sent(&mut self, piece: PieceRef, sequence: Sequence, now: Timestamp) {
        if let Some(state) = self.piece(piece) {
            *state = Piece::Flying {
                sequence,
                since: now,
            };
        }
    }

    pub(super) fn acked(&mut self, piece: PieceRef) {
        if let Some(state) = self.piece(piece) {
            *state = Piece::Done;
        }
        while self
            .messages
            .front()
            .is_some_and(|m| m.pieces.iter().all(|p| *p == Piece::Done))
        {
            self.bytes -= self.messages.pop_front().map_or(0, |m| m.bytes.len());
            self.base += 1;
        }
    }

    /// Only the loss of the newest packet that carried a piece makes the piece due again.
    pub(super) fn lost(&mut self, piece: PieceRef, lost: Sequence) {
        if is_planted(Mutant::ForgetReliable) {
            return self.acked(piece);
        }
        if let Some(state) = self.piece(piece)
            && matches!(state, Piece::Flying { sequence, .. } if *sequence == lost)
        {
            *state = Piece::Waiting;
        }
    }

    fn piece(&mut self, piece: PieceRef) -> Option<&mut Piece> {
        let at = usize::try_from(piece.id.checked_sub(self.base)?).ok()?;
        self.messages.get_mut(at)?.pieces.get_mut(piece.slice)
    }
}

fn due(piece: Piece, now: Timestamp, window: SendWindow) -> bool {
    match piece {
        Piece::Waiting => true,
        Piece::Flying { since, .. } => now.since(since) >= window.resend_after,
        Piece::Done => false,
    }
}
