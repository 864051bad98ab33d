//! Reliable messages on a connection with frames: all channels share one ordered stream and need no
//! pieces in packets.
//!
//! ```text
//! message    2:8  channel:8  bytes        numbered by their order, from 0
//! received   3:8  count:64                number of messages that its sender received
//! ```
//! A connection may be lost and its session resumed on another. Each side then first sends the
//! number of messages that it received, and resends those that the other side lacks. A message is
//! therefore kept until its receipt is known, and each is delivered once.

use std::collections::VecDeque;

use super::sender::{check_queue, cost};
use super::{Channel, Overflow, RELIABLE_CHANNELS};
use crate::error::WireError;
use crate::limits::{ACK_DELAY, CHANNEL_WINDOW_BYTES, DELIVERED_MESSAGES, MESSAGE_BYTES};
use crate::session::secured::FrameKind;
use crate::time::Timestamp;

/// Number of received messages after which a `received` frame is sent before [`ACK_DELAY`] has
/// passed.
const TELL_AFTER: u64 = 16;

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// Bytes of all messages that are not known to be received, those in flight included.
    bytes: usize,
    count: usize,
}

/// The reliable messages of one side of a session, sent and received as frames.
#[derive(Debug, Default)]
pub struct MessageStream {
    queues: [Queue; RELIABLE_CHANNELS],
    /// Messages in flight, oldest first, each with the index of its queue. The first has number
    /// `base`.
    flying: VecDeque<(usize, Vec<u8>)>,
    base: u64,
    /// Bytes that the messages in `flying` count for in the window.
    flying_cost: usize,
    /// Number of messages in `flying` that were sent on the current connection.
    left: usize,
    /// The connection is new: the number of messages that the peer received on the previous one is
    /// not known yet.
    asks: bool,
    /// The number of received messages must be sent before any other frame.
    announces: bool,
    received: u64,
    told: u64,
    /// Time since which a `received` frame is owed.
    owed_since: Option<Timestamp>,
    turn: usize,
    delivered: VecDeque<(Channel, Vec<u8>)>,
}

impl MessageStream {
    /// Queues a message of a reliable channel for sending.
    ///
    /// # Errors
    /// As for [`super::Channels::send`].
    ///
    /// # Panics
    /// If `channel` is the unreliable channel or an ordered stream that does not exist.
    pub fn send(&mut self, channel: Channel, bytes: Vec<u8>) -> Result<(), Overflow> {
        let queue = &mut self.queues[channel.index() - 1];
        check_queue(queue.count, queue.bytes, &bytes)?;
        queue.count += 1;
        queue.bytes += bytes.len();
        queue.messages.push_back(bytes);
        Ok(())
    }

    /// Returns the number of a channel's messages that are not known to be received.
    ///
    /// # Panics
    /// If `channel` is the unreliable channel or an ordered stream that does not exist.
    pub fn waiting(&self, channel: Channel) -> usize {
        self.queues[channel.index() - 1].count
    }

    /// Returns the bytes of all messages that are not known to be received.
    pub fn waiting_bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.bytes).sum()
    }

    /// Restarts the frames, because the session continues on another connection.
    pub(crate) fn begin_again(&mut self) {
        (self.left, self.asks, self.announces) = (0, true, true);
    }

    /// Returns the next frame to send now.
    pub fn poll(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let is_due = self
            .owed_since
            .is_some_and(|since| now.since(since) >= ACK_DELAY);
        if self.announces || is_due || self.received >= self.told + TELL_AFTER {
            return Some(self.tell());
        }
        if self.asks {
            return None;
        }
        if self.left == self.flying.len() {
            self.take_off()?;
        }
        let (channel, bytes) = self.flying.get(self.left)?;
        let frame = [&[FrameKind::Message as u8, *channel as u8], &bytes[..]].concat();
        self.left += 1;
        Some(frame)
    }

    fn tell(&mut self) -> Vec<u8> {
        (self.announces, self.owed_since, self.told) = (false, None, self.received);
        [
            &[FrameKind::Received as u8],
            &self.received.to_le_bytes()[..],
        ]
        .concat()
    }

    /// Moves the next message of the channel whose turn it is to `flying`; the session's own
    /// messages go first.
    fn take_off(&mut self) -> Option<()> {
        let session = super::SESSION;
        let waits = |index: &usize| !self.queues[*index].messages.is_empty();
        let others = (1..=RELIABLE_CHANNELS).map(|i| (self.turn + i) % RELIABLE_CHANNELS);
        let next = std::iter::once(session).chain(others).find(waits)?;
        let cost = cost(self.queues[next].messages.front()?.len());
        if self.flying_cost + cost > CHANNEL_WINDOW_BYTES {
            return None;
        }
        let message = self.queues[next].messages.pop_front()?;
        self.turn = if next == session { self.turn } else { next };
        self.flying_cost += cost;
        self.flying.push_back((next, message));
        Some(())
    }

    /// Processes a received frame.
    ///
    /// # Errors
    /// [`WireError::Malformed`] if it is no valid frame of messages, [`WireError::Misbehaving`] if
    /// it exceeds the limit of undelivered messages or acknowledges messages that were never sent.
    pub fn take(&mut self, frame: &[u8], now: Timestamp) -> Result<(), WireError> {
        match (FrameKind::of(frame), frame) {
            (Ok(FrameKind::Message), [_, channel, bytes @ ..]) => {
                self.take_message(*channel, bytes, now)
            }
            (Ok(FrameKind::Received), [_, count @ ..]) => {
                let count = count
                    .try_into()
                    .map_err(|_| WireError::Malformed("a count of 8 bytes"))?;
                self.take_count(u64::from_le_bytes(count))
            }
            _ => Err(WireError::Malformed("a frame that no session has")),
        }
    }

    fn take_message(&mut self, channel: u8, bytes: &[u8], now: Timestamp) -> Result<(), WireError> {
        let channel = Channel::from_index(u32::from(channel) + 1)?;
        if bytes.len() > MESSAGE_BYTES {
            return Err(WireError::Malformed("a message that is too long"));
        }
        if self.delivered.len() >= DELIVERED_MESSAGES {
            return Err(WireError::Misbehaving("more messages than are taken"));
        }
        self.received += 1;
        self.owed_since.get_or_insert(now);
        self.delivered.push_back((channel, bytes.to_vec()));
        Ok(())
    }

    fn take_count(&mut self, count: u64) -> Result<(), WireError> {
        let sent = if self.asks {
            self.flying.len()
        } else {
            self.left
        };
        let came = count
            .checked_sub(self.base)
            .filter(|came| *came <= sent as u64);
        let came = came.ok_or(WireError::Misbehaving(
            "acknowledges messages that were never sent",
        ))?;
        for (channel, bytes) in self.flying.drain(..came as usize) {
            self.flying_cost -= cost(bytes.len());
            self.queues[channel].bytes -= bytes.len();
            self.queues[channel].count -= 1;
        }
        self.base = count;
        self.left = if self.asks {
            0
        } else {
            self.left - came as usize
        };
        self.asks = false;
        Ok(())
    }

    /// Returns the next received message.
    pub fn receive(&mut self) -> Option<(Channel, Vec<u8>)> {
        self.delivered.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn channel() -> impl Strategy<Value = Channel> {
        prop_oneof![Just(Channel::Reliable), (0u8..4).prop_map(Channel::Ordered)]
    }

    /// Two sides on a connection that breaks now and then and loses what is in flight.
    struct Pair {
        sides: [MessageStream; 2],
        ways: [VecDeque<Vec<u8>>; 2],
        now: Timestamp,
        came: Vec<(Channel, Vec<u8>)>,
    }

    impl Pair {
        fn step(&mut self, frames: usize) {
            self.now += Duration::from_millis(10);
            for (at, side) in self.sides.iter_mut().enumerate() {
                self.ways[at].extend(std::iter::from_fn(|| side.poll(self.now)));
            }
            for at in [0, 1] {
                for frame in self.ways[at]
                    .drain(..frames.min(self.ways[at].len()))
                    .collect::<Vec<_>>()
                {
                    self.sides[1 - at].take(&frame, self.now).unwrap();
                }
                if at == 0 {
                    self.came
                        .extend(std::iter::from_fn(|| self.sides[1].receive()));
                }
            }
        }

        fn lose(&mut self) {
            self.ways.iter_mut().for_each(VecDeque::clear);
            self.sides.iter_mut().for_each(MessageStream::begin_again);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_message_comes_once_and_in_order_over_connections_that_break(
            messages in proptest::collection::vec((channel(), 0usize..30_000), 1..60),
            losses in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let ways = [VecDeque::new(), VecDeque::new()];
            let sides = [MessageStream::default(), MessageStream::default()];
            let mut pair = Pair { sides, ways, now: Timestamp::default(), came: Vec::new() };
            let mut losses = losses.into_iter();
            let mut sent = Vec::new();
            for (at, (channel, length)) in messages.into_iter().enumerate() {
                let message = (channel, vec![at as u8; length]);
                pair.sides[0].send(channel, message.1.clone()).unwrap();
                sent.push(message);
                pair.step(2);
                if losses.next() == Some(true) {
                    pair.lose();
                }
            }
            for _ in 0..200 {
                pair.step(20);
            }
            prop_assert_eq!(pair.sides[0].waiting_bytes(), 0);
            prop_assert_eq!(pair.came.len(), sent.len());
            for channel in (0..4).map(Channel::Ordered).chain([Channel::Reliable]) {
                let on = |messages: &[(Channel, Vec<u8>)]| -> Vec<Vec<u8>> {
                    messages.iter().filter(|(c, _)| *c == channel).map(|(_, bytes)| bytes.clone()).collect()
                };
                prop_assert_eq!(on(&pair.came), on(&sent));
            }
        }

        #[test]
        fn random_frames_never_panic(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40)) {
            let mut stream = MessageStream::default();
            for frame in frames {
                let _ = stream.take(&frame, Timestamp::default());
            }
        }
    }

    #[test]
    fn no_more_leaves_than_the_window_until_it_is_told_that_something_came() {
        let (mut from, now) = (MessageStream::default(), Timestamp::default());
        (0..12).for_each(|_| from.send(Channel::Ordered(1), vec![0; 30_000]).unwrap());
        assert_eq!(
            std::iter::from_fn(|| from.poll(now)).count(),
            CHANNEL_WINDOW_BYTES / cost(30_000)
        );
        from.take(&[&[3], &2u64.to_le_bytes()[..]].concat(), now)
            .unwrap();
        assert_eq!(std::iter::from_fn(|| from.poll(now)).count(), 2);
        let too_many = [&[3], &99u64.to_le_bytes()[..]].concat();
        assert!(matches!(
            from.take(&too_many, now),
            Err(WireError::Misbehaving(_))
        ));
    }

    #[test]
    fn the_sessions_own_messages_do_not_wait_for_a_long_row_of_others() {
        let (mut from, now) = (MessageStream::default(), Timestamp::default());
        (0..3).for_each(|_| from.send(Channel::Ordered(2), vec![2]).unwrap());
        from.send(Channel::Ordered(0), vec![0]).unwrap();
        let first = from.poll(now).unwrap();
        assert_eq!(first, [2, 1, 0]);
    }
}
