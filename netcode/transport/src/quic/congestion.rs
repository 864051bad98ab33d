//! QUIC's congestion control, with a floor under its window.
//!
//! A game's traffic is not a bulk transfer: the session bounds its rate and adapts it to the path
//! itself (`truetick_netcode::congestion`). The window of RFC 9002, which halves at each loss,
//! would delay snapshots of about 60 packets a second at 5 % loss and 100 ms, and delayed snapshots
//! are late. So nothing is delayed below the floor. Above it, which only bulk messages reach, CUBIC
//! (RFC 9438) decides as usual.

use std::any::Any;
use std::sync::Arc;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, CubicConfig};

use crate::clock::Instant;

/// Bytes in flight that are always allowed: the largest snapshots at 60 Hz for a round trip of 130
/// ms.
const FLOOR_BYTES: u64 = 64 * 1024;

/// Creates CUBIC controllers with a floor under their window.
#[derive(Debug, Default)]
pub(crate) struct FloorFactory;

impl ControllerFactory for FloorFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floor(
            Arc::new(CubicConfig::default()).build(now, current_mtu),
        ))
    }
}

struct Floor(Box<dyn Controller>);

impl Controller for Floor {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.0.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.0.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest: Option<u64>,
    ) {
        self.0.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        persistent: bool,
        lost_bytes: u64,
    ) {
        self.0
            .on_congestion_event(now, sent, persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.window().max(FLOOR_BYTES)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self(self.0.clone_box()))
    }

    fn initial_window(&self) -> u64 {
        self.0.initial_window().max(FLOOR_BYTES)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
