//! The receiving half of one reliable channel.

use std::collections::VecDeque;

use super::wire::SliceIndex;
use crate::error::WireError;
use crate::limits::{ASSEMBLIES, CHANNEL_WINDOW, CHANNEL_WINDOW_BYTES, SLICE_BYTES};
use crate::sequence::expand;

#[derive(Debug, Default)]
enum Incoming {
    #[default]
    Nothing,
    Partial {
        slices: Vec<Option<Vec<u8>>>,
    },
    Whole(Vec<u8>),
    Delivered,
}

#[derive(Debug)]
pub(super) struct Receiver {
    ordered: bool,
    /// Id of `window[0]`, the oldest message that was not delivered.
    next: u64,
    window: VecDeque<Incoming>,
    /// Bytes held in `window`.
    held: usize,
    /// Messages in `window` that lack slices.
    partial: usize,
    /// Ids of unordered messages that are complete and not delivered, in the order of their
    /// completion.
    whole: VecDeque<u64>,
}

impl Receiver {
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            next: 0,
            window: VecDeque::new(),
            held: 0,
            partial: 0,
            whole: VecDeque::new(),
        }
    }

    /// Stores one slice of a message; repeats are ignored.
    pub(super) fn take(
        &mut self,
        id: u16,
        slice: SliceIndex,
        bytes: Vec<u8>,
    ) -> Result<(), WireError> {
        let id = expand(id, self.next);
        let Some(at) = id.checked_sub(self.next) else {
            return Ok(());
        };
        if at >= u64::from(CHANNEL_WINDOW) {
            return Err(WireError::Misbehaving(
                "message beyond the channel's window",
            ));
        }
        if slice.at >= slice.count || (slice.at + 1 < slice.count && bytes.len() != SLICE_BYTES) {
            return Err(WireError::Malformed("slice out of shape"));
        }
        let at = at as usize;
        if self.window.len() <= at {
            self.window.resize_with(at + 1, Incoming::default);
        }
        let message = &mut self.window[at];
        if self.held + bytes.len() > CHANNEL_WINDOW_BYTES && !message.has(slice.at) {
            return Err(WireError::Misbehaving(
                "more bytes than the channel's window",
            ));
        }
        let begins = slice.count > 1 && matches!(message, Incoming::Nothing);
        if begins && self.partial == ASSEMBLIES {
            return Err(WireError::Misbehaving(
                "more sliced messages than are put together at once",
            ));
        }
        let (was_whole, grown) = (message.is_whole(), message.add(slice, bytes)?);
        self.held += grown;
        self.partial += usize::from(begins);
        if message.is_whole() && !was_whole {
            self.partial -= usize::from(slice.count > 1);
            if !self.ordered {
                self.whole.push_back(id);
            }
        }
        Ok(())
    }

    /// Returns the next message that may be delivered.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let at = if self.ordered {
            0
        } else {
            (self.whole.pop_front()? - self.next) as usize
        };
        let ready = self
            .window
            .get_mut(at)
            .filter(|incoming| incoming.is_whole())?;
        let Incoming::Whole(bytes) = std::mem::replace(ready, Incoming::Delivered) else {
            return None;
        };
        self.held -= bytes.len();
        while matches!(self.window.front(), Some(Incoming::Delivered)) {
            self.window.pop_front();
            self.next += 1;
        }
        Some(bytes)
    }
}

impl Incoming {
    fn has(&self, slice: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::Partial { slices } => slices.get(slice).is_some_and(Option::is_some),
            Self::Whole(_) | Self::Delivered => true,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Adds a slice and returns the number of bytes that it added.
    fn add(&mut self, slice: SliceIndex, bytes: Vec<u8>) -> Result<usize, WireError> {
        let grown = bytes.len();
        match self {
            Self::Whole(_) | Self::Delivered => return Ok(0),
            Self::Nothing if slice.count == 1 => {
                *self = Self::Whole(bytes);
                return Ok(grown);
            }
            Self::Nothing => {
                *self = Self::Partial {
                    slices: vec![None; slice.count],
                }
            }
            Self::Partial { .. } => {}
        }
        let Self::Partial { slices: held } = self else {
            return Ok(0);
        };
        if held.len() != slice.count {
            return Err(WireError::Malformed(
                "slices of one message disagree on their count",
            ));
        }
        if held[slice.at].is_some() {
            return Ok(0);
        }
        held[slice.at] = Some(bytes);
        if held.iter().all(Option::is_some) {
            *self = Self::Whole(held.iter_mut().filter_map(Option::take).flatten().collect());
        }
        Ok(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(
        receiver: &mut Receiver,
        id: u16,
        at: usize,
        count: usize,
        bytes: usize,
    ) -> Result<(), WireError> {
        receiver.take(id, SliceIndex { at, count }, vec![7; bytes])
    }

    #[test]
    fn line_28_a_slice_out_of_its_message_or_of_another_count_is_refused() {
        let mut receiver = Receiver::new(true);
        for (place, count) in [(3, 3), (4, 3), (0, 0)] {
            assert!(matches!(
                slice(&mut receiver, 0, place, count, SLICE_BYTES),
                Err(WireError::Malformed(_))
            ));
        }
        slice(&mut receiver, 0, 0, 3, SLICE_BYTES).unwrap();
        assert!(matches!(
            slice(&mut receiver, 0, 1, 4, SLICE_BYTES),
            Err(WireError::Malformed(_))
        ));
        assert!(matches!(
            slice(&mut receiver, 0, 1, 3, SLICE_BYTES - 1),
            Err(WireError::Malformed(_))
        ));
        slice(&mut receiver, 0, 1, 3, SLICE_BYTES).unwrap();
        slice(&mut receiver, 0, 2, 3, 1).unwrap();
        assert_eq!(
            receiver.pop().map(|message| message.len()),
            Some(2 * SLICE_BYTES + 1)
        );
    }

    #[test]
    fn line_29_no_more_than_four_messages_are_put_together_at_once() {
        let mut receiver = Receiver::new(false);
        for id in 0..ASSEMBLIES as u16 {
            slice(&mut receiver, id, 0, 2, SLICE_BYTES).unwrap();
        }
        assert!(matches!(
            slice(&mut receiver, 9, 0, 2, SLICE_BYTES),
            Err(WireError::Misbehaving(_))
        ));
        slice(&mut receiver, 2, 1, 2, 5).unwrap();
        slice(&mut receiver, 9, 0, 2, SLICE_BYTES).unwrap();
    }
}
