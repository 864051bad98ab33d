//! The queue from the room's thread to the driver of the connections, and its counts.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use super::super::listener::Admission;
use super::super::session::Session;
use super::super::unsent::UnsentFrames;
use crate::event_channel::{EventSender, QueuedEvent};
use crate::limits::{QUIC_QUEUE_BYTES, QUIC_TRANSMIT_BYTES};
use truetick_netcode::transport::{PeerAddr, Transmit};

/// A command to the driver.
pub(in crate::quic) enum DriverCommand {
    /// Send the batch. The frames to the peers in `unsent` could not be kept, so their connections
    /// must be closed.
    Send {
        batch: Vec<(PeerAddr, Transmit)>,
        bytes: usize,
        unsent: BTreeSet<PeerAddr>,
    },
    /// A connection is ready. A server's comes with its queue of frames and is not admitted yet.
    Opened(PeerAddr, Box<Session>, Option<ServerSide>),
    /// A connection has ended.
    Ended(PeerAddr),
    /// Use this socket from now on.
    Rebind(UdpSocket),
    /// Close all connections and confirm it.
    End(std::sync::mpsc::Sender<()>),
}

/// What the driver needs to keep a connection that a peer opened.
pub(in crate::quic) struct ServerSide {
    /// Queue of frames to send.
    pub frames: UnsentFrames,
    /// The connection's admission, until it carries a session.
    pub admission: Arc<Admission>,
}

/// Counts that both sides of the queue update.
#[derive(Debug, Default)]
pub(in crate::quic) struct Counts {
    /// Bytes of UDP payload sent.
    pub sent: AtomicU64,
    /// Bytes of waiting batches.
    pub(super) queued: AtomicUsize,
    pub batches_dropped: AtomicU64,
    pub bytes_dropped: AtomicU64,
    /// Connections that were closed because their frames could not be kept.
    pub ended_unsent: AtomicU64,
}

/// The sending end of the driver's queue, for the room's thread.
pub(in crate::quic) struct Outgoing {
    pub orders: UnboundedSender<DriverCommand>,
    pub counts: Arc<Counts>,
    event_channel: EventSender,
}

impl Outgoing {
    pub(in crate::quic) fn new(
        orders: UnboundedSender<DriverCommand>,
        counts: Arc<Counts>,
        event_channel: EventSender,
    ) -> Self {
        Self {
            orders,
            counts,
            event_channel,
        }
    }

    /// Returns the bytes of waiting batches.
    #[cfg(test)]
    pub(in crate::quic) fn waiting(&self) -> usize {
        self.counts.queued.load(Ordering::Relaxed)
    }

    /// Queues a batch, or drops it if too much waits already. Transmits that open or close
    /// connections are always kept, because their number is bounded by that of the connections.
    pub(in crate::quic) fn send(&self, batch: Vec<(PeerAddr, Transmit)>) {
        let bytes = batch
            .iter()
            .map(|(_, transmit)| transmit.payload_len() + QUIC_TRANSMIT_BYTES)
            .sum();
        let counts = &self.counts;
        let fits = counts.queued.load(Ordering::Relaxed) + bytes <= QUIC_QUEUE_BYTES;
        let order = if fits {
            DriverCommand::Send {
                batch,
                bytes,
                unsent: BTreeSet::new(),
            }
        } else {
            counts.batches_dropped.fetch_add(1, Ordering::Relaxed);
            counts
                .bytes_dropped
                .fetch_add(bytes as u64, Ordering::Relaxed);
            let is_frame = |transmit: &Transmit| matches!(transmit, Transmit::Frame(_));
            let unsent = batch
                .iter()
                .filter(|(_, transmit)| is_frame(transmit))
                .map(|(to, _)| *to)
                .collect();
            let kept =
                |transmit: &Transmit| matches!(transmit, Transmit::Open(_) | Transmit::Close);
            let batch: Vec<_> = batch
                .into_iter()
                .filter(|(_, transmit)| kept(transmit))
                .collect();
            let bytes = batch
                .iter()
                .map(|(_, transmit)| transmit.payload_len() + QUIC_TRANSMIT_BYTES)
                .sum();
            DriverCommand::Send {
                batch,
                bytes,
                unsent,
            }
        };
        if let DriverCommand::Send { bytes, .. } = &order {
            counts.queued.fetch_add(*bytes, Ordering::Relaxed);
        }
        // The driver has ended, so no connection can be opened.
        if let Err(unsent) = self.orders.send(order)
            && let DriverCommand::Send { batch, .. } = unsent.0
        {
            let opens = batch
                .into_iter()
                .filter(|(_, transmit)| matches!(transmit, Transmit::Open(_)));
            opens.for_each(|(to, _)| {
                self.event_channel
                    .put(to, QueuedEvent::Closed { told: false })
            });
        }
    }
}
